# amld from the command line.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(b64_encode);
use Test::More;
use AML::Test;

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});

subtest 'help' => sub {
    for my $how ('--help', '-h') {
        my $r = $gw->run('', $AML::Test::AMLD, $how);
        is $r->{status}, 0, $how;
        like $r->{out}, qr/\b$_\b/, "names $_"
            for qw(account role compute key registry);
    }
    my $r = $gw->run('', $AML::Test::AMLD, 'frobnicate');
    isnt $r->{status}, 0, 'an unknown command fails';
    like $r->{err}, qr/frobnicate|usage/i, 'and says so';
    $r = $gw->run('', $AML::Test::AMLD, '--version');
    like $r->{out}, qr/\d+\.\d+/, '--version';
};

subtest 'instances' => sub {
    my $list = $gw->amld_ok('compute', 'list');
    like $list, qr/^first-lab +Running +STANDARD_DS3_V2 +creator +demo /m,
        'list: name, state, size, creator, workspace';
    like $list, qr/ Create Succeeded \d{4}-/, 'and what was done last';
    is $gw->amld_ok('compute', 'list', '--state', 'stopped'), '',
        'none in that state';
    like $gw->amld_ok('compute', 'list', '--creator', 'creator'),
        qr/^first-lab/, 'those of a person';
    is $gw->amld_ok('compute', 'list', '--creator', 'reader'), '',
        'who has none';
    is decode_json($gw->amld_ok('compute', 'list', '--json'))->{name},
        'first-lab', 'as JSON';

    my $show = $gw->amld_ok('compute', 'show', 'FIRST-LAB');
    like $show, qr/"state": "Running"/, 'show';
    path($gw->dir, 'state', 'i')->list({dir => 1})->first
        ->child('jupyter.log')->spurt("said last\e[31m\n");
    like $gw->amld_ok('compute', 'show', 'first-lab'),
        qr/jupyter\.log\nsaid last\n/, 'the end of its log, without colours';

    $gw->api(
        PUT => $gw->compute('third-lab'), 'creator',
        json => $gw->compute_body(setupScripts => {
            scripts => {startupScript => {
                scriptSource    => 'inline',
                scriptData      => b64_encode("echo said by a step\n", ''),
                scriptArguments => 'a-secret'
            }}
        })
    );
    $gw->wait_state('third-lab', 'Running');
    for my $how ([], ['--json']) {
        my $out = $gw->amld_ok('compute', 'show', 'third-lab', @$how);
        like $out, qr/startupScript/, "@$how: there is a script";
        unlike $out, qr/a-secret|scriptData/, 'what it says is not shown';
    }
    like $gw->amld_ok('compute', 'show', 'third-lab'), qr/^said by a step$/m,
        'the log of a step';

    my $r = $gw->amld('compute', 'show', 'second-lab');
    is $r->{status}, 1, 'one that is not there';
    like $r->{err}, qr/second-lab: there is no such instance/, 'is named';
    is $gw->amld('compute', $_)->{status}, 2, "$_: is no command"
        for 'stop', 'show';
};

subtest 'accounts' => sub {
    like $gw->amld_ok('account', 'list'), qr/^creator\b/m, 'list';
    $gw->add_account('dora', 'Reader');
    like $gw->amld_ok('account', 'list'), qr/^dora\b/m, 'add';
    is $gw->api(GET => $gw->workspace . '/computes', 'dora')->res->code, 200,
        'works while amld runs';
    isnt $gw->amld('account', 'add', 'dora', '--password-stdin',
        \"other-password\n")->{status},
        0, 'not twice';
    isnt $gw->amld('account', 'add', 'DORA', '--password-stdin',
        \"other-password\n")->{status},
        0, 'nor in other case';
    for my $name ('', 'a b', "a\nb", '../x', 'x' x 300, "\xff", '-x') {
        my $r = $gw->amld('account', 'add', $name, '--password-stdin',
        \"long-enough-1\n");
        isnt $r->{status}, 0, 'bad name ' . $name =~ s/[^ -~]/?/gr;
        is $r->{signal}, 0, 'and no crash';
    }
    isnt $gw->amld('account', 'add', 'empty', '--password-stdin',
        \"\n")->{status}, 0,
        'an empty password';
    isnt $gw->amld('account', 'add', 'none', '--password-stdin',
        \"")->{status}, 0,
        'none at all';
    my $old = $gw->token('dora');
    $gw->amld_ok('account', 'password', 'dora',
        '--password-stdin', \"another-one-9\n");
    my $ask = sub ($password) {
        $gw->program->request(
            POST    => $gw->studio_url('/auth/token'),
            headers => {Authorization => $gw->basic('dora', $password)}
        )->res->code;
    };
    is $ask->('another-one-9'), 200, 'a new password';
    is $ask->($gw->passwords->{dora}), 401, 'the old one is no more';
    is $gw->api(GET => $gw->workspace . '/computes', 'dora')->res->code, 401,
        'nor is what was signed in with it';
    $gw->amld_ok('account', 'remove', 'dora');
    unlike $gw->amld_ok('account', 'list'), qr/^dora\b/m, 'remove';
    isnt $gw->amld('account', 'remove', 'dora')->{status}, 0, 'not twice';
};

subtest 'roles' => sub {
    $gw->add_account('erin');
    my $read = sub {
        $gw->api(GET => $gw->workspace . '/computes', 'erin')->res->code;
    };
    is $read->(), 403, 'no role';
    $gw->assign('erin', 'Reader');
    is $read->(), 200, 'with the next request';
    $gw->role('remove', 'erin', 'Reader');
    is $read->(), 403, 'taken away with the next';
    $gw->assign('erin', 'acdd72a7-3385-48ef-bd42-f606fba81ae7', '/');
    is $read->(), 200, 'by number, everywhere';
    my @bad = (
        ['an unknown role',       'erin',   'Emperor', '/'],
        ['an unknown account',    'nobody', 'Reader',  '/'],
        ['a scope that is none',  'erin',   'Reader',  'x'],
        ['a scope with a slash behind', 'erin', 'Reader', '/a/'],
        ['an empty scope',        'erin',   'Reader',  ''],
    );
    for my $case (@bad) {
        my ($name, @words) = @$case;
        ok !eval { $gw->role('assign', @words); 1 }, $name;
    }
    like $gw->amld_ok('role', 'list', '--account', 'erin'), qr/Reader/,
        'what one has';
    my $list = $gw->amld_ok('role', 'definitions');
    like $list, qr/\b$_\b/, $_
        for 'Owner', 'Contributor', 'Reader', 'AzureML Data Scientist',
        'AzureML Compute Operator';
};

subtest 'keys' => sub {
    my $before = $gw->token('creator');
    $gw->amld_ok('key', 'rotate');
    my $after = $gw->token('creator', 1);
    my $kid = sub ($t) {
        Mojo::JSON::decode_json(Mojo::Util::b64_decode(
            (split /\./, $t)[0] =~ tr{-_}{+/}r))->{kid};
    };
    isnt $kid->($after), $kid->($before), 'a new key signs';
    for my $token ($before, $after) {
        is $gw->program->get(
            $gw->studio_url($gw->workspace
                . '/computes?api-version=2022-10-01'),
            headers => {Authorization => "Bearer $token"}
        )->res->code, 200, 'and both are taken';
    }
    like $gw->amld_ok('key', 'list'), qr/\Q@{[$kid->($after)]}\E/, 'list';
};

subtest 'registry dump' => sub {
    my $browser = $gw->opened('creator', 'first-lab');
    my $dump    = $gw->amld_ok('registry', 'dump');
    like $dump, qr/^\Q$_\E/m, $_
        for 'session/', 'principal/', 'role/', 'route/first-lab/0',
        'route/first-lab/8888', 'key/', 'issuer/', 'account/creator',
        'compute/', 'meta/format';
    unlike $dump, qr/PRIVATE KEY|\$y\$|signing-key.*BEGIN/, 'no secrets';
    unlike $dump, qr/[^\t\n -~\x80-\xff]/, 'printable';
    unlike $dump, qr/\Q@{[$browser->cookie('__Host-aml',
        $gw->studio_host)]}\E/, 'no cookie';
};

subtest 'configuration' => sub {
    is $gw->amld('-t')->{status}, 0, '-t passes the one that ships';
    my $good = path($gw->dir, 'amld.conf')->slurp;
    my $file = $gw->dir . '/bad.conf';
    my $try  = sub ($text) {
        path($file)->spurt($text);
        return $gw->run('', $AML::Test::AMLD, '-t', '-c', $file);
    };
    my @bad = (
        ['an unknown option', sub { $_[0] . "\nfrobnicate = 1\n" },
            qr/frobnicate/],
        ['a syntax error', sub { $_[0] . "\nstudio = {\n" }, qr/\d/],
        ['no studio', sub { $_[0] =~ s/^studio = .*$//mr }, qr/studio/],
        ['a studio without https', sub { $_[0] =~ s/"https:/"http:/r },
            qr/studio/],
        ['an unknown engine',
            sub { $_[0] =~ s/engine = "\w+"/engine = "warp"/r }, qr/engine/],
        ['a number that is none',
            sub { "threads = many\n" . $_[0] }, qr/threads/],
        ['a workspace without a share',
            sub { $_[0] =~ s/^\s*share = .*$//mr }, qr/share/],
        ['an application that is not known',
            sub { $_[0] =~ s/application jupyter/application emacs/r },
            qr/emacs/],
    );
    for my $case (@bad) {
        my ($name, $change, $what) = @$case;
        my $r = $try->($change->($good));
        isnt $r->{status}, 0, "$name: fails";
        is $r->{signal}, 0, "$name: without a crash";
        like $r->{err}, $what, "$name: says what";
        like $r->{err}, qr/bad\.conf:\d+|bad\.conf: /, "$name: and where";
    }
    my $r = $try->(
        join "\n", (map {"# line $_"} 1 .. 40), 'threads = "many"', $good);
    like $r->{err}, qr/bad\.conf:41\b/, 'the very line';
    $r = $gw->run('', $AML::Test::AMLD, '-t', '-c', $gw->dir . '/none.conf');
    isnt $r->{status}, 0, 'a file that is not there';
    like $r->{err}, qr/none\.conf/, 'is named';
};

subtest 'whose a share is' => sub {
    my $share = $gw->share->to_string;
    my $users = path($share, 'Users')->make_path->to_string;
    my $said  = sub {
        my $r = $gw->amld('-t');
        is $r->{status}, 0, 'it is no fault';
        return join '', grep {/ warn /} split /^/, $r->{err};
    };
    is $said->(), '', 'nothing is said of what is right';

    for my $dir ($share, $users) {
        my $mode = (stat $dir)[2] & 07777;
        for my $bad (0777, 01777, 0775) {
            chmod $bad, $dir;
            like $said->(), qr/\Qmay write to $dir,\E/,
                sprintf '%s is %04o', $dir, $bad;
        }
        chmod $mode, $dir;
    }

    SKIP: {
        skip 'needs root to give a directory away', 1 unless $< == 0;
        chown 12345, -1, $users;
        like $said->(), qr/\Q$users\E belongs to uid 12345/, 'somebody else\'s';
        $gw->stop_amld;
        $gw->start_amld;
        like path($gw->dir, 'log', 'amld.err')->slurp,
            qr/warn workspace \S+ \Q$users\E belongs to uid 12345/,
            'and when amld starts';
        chown 0, -1, $users;
    }
};

subtest 'what a provider said that is configured no more' => sub {
    my $key = 'unix-account/11111111-1111-8111-8111-111111111111';
    $gw->edit({
        op  => 'put',
        key => $key,
        hex => unpack 'H*',
        '{"account":"daemon","claim":"name","issuer":"https://idp.example"}'
    });
    $gw->stop_amld;
    $gw->start_amld;
    is $gw->edit({op => 'get', key => $key}), "none\n", 'a start forgets it';
};

subtest 'the socket is the gateway\'s alone' => sub {
    plan skip_all => 'needs root to be somebody else' unless $< == 0;
    chmod 0777, $gw->socket;
    my $r = $gw->run(
        '', 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
        'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}',
        '--unix-socket', $gw->socket,
        '-H', 'X-AML-Principal: 00000000-0000-4000-8000-000000000000',
        'http://x' . $gw->workspace . '/computes?api-version=2022-10-01'
    );
    is $r->{out}, '403', 'another account of the machine is refused';
};

$gw->done;
