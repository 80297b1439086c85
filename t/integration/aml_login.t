# aml signs in: by an account, by a code that is approved in a browser, by a
# personal access token; keeps what it gets to itself, renews it, and forgets
# it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Cli;
use AML::LosingProxy;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(instances => {});
my @where = ('--server', $gw->studio, '--ca', $gw->ca, '--workspace',
    $gw->workspace);

sub mode ($file) { return sprintf '%o', (stat $file)[2] & 07777 }

sub kept ($cli) { return decode_json($cli->credentials->slurp) }

# Changes a profile behind its back.
sub change ($cli, %members) {
    my $json = kept($cli);
    my $p    = $json->{profiles}{default};
    $p->{$_} = $members{$_} for keys %members;
    $cli->credentials->spurt(encode_json($json));
    chmod 0600, $cli->credentials;
}

subtest 'by an account' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'creator');
    my $r   = $cli->aml('whoami');
    is $r->{status}, 3, 'nobody is signed in';
    like $r->{err}, qr/aml login --server/, 'and is told what to do';

    $r = $cli->aml('login', @where, '--account', 'creator', \"wrong\n");
    is $r->{status}, 3, 'a wrong password';
    like $r->{err}, qr/password is wrong/, 'is told';
    ok !-e $cli->credentials, 'nothing is kept';

    $cli->login;
    is mode($cli->credentials), '600', 'the file is one\'s own';
    is mode($cli->credentials->dirname), '700', 'as is its directory';
    is_deeply [sort grep { !/lock$/ } map { $_->basename }
            $cli->credentials->dirname->list->each], ['credentials.json'],
        'and nothing is left beside it';
    like $cli->aml_ok('whoami'), qr/^creator at \Q@{[$gw->studio]}\E$/m,
        'whoami';
    is decode_json($cli->aml_ok('whoami', '--json'))->{name}, 'creator',
        'as JSON';
    like $cli->aml_ok('profiles'), qr/^default \* +https:\S+ +account +for/m,
        'profiles';

    chomp(my $token = $cli->aml_ok('token'));
    is $gw->program->get($gw->studio_url('/auth/sessions'),
        headers => {Authorization => "Bearer $token"})->res->code, 200,
        'the token is good';

    change($cli, expires => time - 5);
    $r = $cli->aml('token');
    is $r->{status}, 3, 'one that has expired';
    is $r->{out}, '', 'is not printed';
    like $r->{err}, qr/expired: aml login/, 'with a word what to do';

    $cli->aml_ok('login', '--account', 'creator',
        \"@{[$gw->passwords->{creator}]}\n");
    is $cli->aml('whoami')->{status}, 0, 'the server is known by then';
    my $session = sub ($token) {
        return $gw->program->get($gw->studio_url('/auth/sessions'),
            headers => {Authorization => "Bearer $token"});
    };
    chomp($token = $cli->aml_ok('token'));
    my ($this) = grep { $_->{current} }
        @{$session->($token)->res->json('/value')};
    is $this->{method}, 'password', 'it is among one\'s sessions';
    like $this->{client}, qr/^aml on \S/, 'with what asked';
    $r = $cli->aml('logout');
    like $r->{err}, qr/^Signed out of \Q@{[$gw->studio]}\E\.$/m, 'signed out';
    is $session->($token)->res->code, 401, 'the token has ended with that';
    is $cli->aml('whoami')->{status}, 3, 'and is forgotten';
    unlike $cli->credentials->slurp, qr/token|eyJ/, 'nothing is left of it';
};

subtest 'by a code' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'coder');
    my $me  = $gw->signed_in('creator');
    my $p   = $cli->begin('login', @where);
    ok $p->complains(qr/or open (\S+)/), 'shows an address';
    my ($url) = $p->errors =~ /or open (\S+)/;
    my ($code) = $p->errors =~ /the code (\S+)/;
    like $url, qr/user_code=\Q$code\E$/, 'and a code';
    my $tx = $me->navigate($url);
    like $tx->res->dom->at('main')->all_text, qr/aml on \S+/,
        'the page says what asks';
    $me->submit($tx, {answer => 'approve'}, form => 'form[action$=answer]');
    is $p->wait, 0, 'it is signed in' or diag $p->errors;
    like $cli->aml_ok('whoami'), qr/^creator at/, 'as whoever approved it';
    like $cli->aml_ok('profiles'), qr/device +renewed by itself/, 'profiles';

    # renewal: before the end, once, whoever asks at the same moment
    my $before = kept($cli)->{profiles}{default};
    change($cli, expires => time + 30);
    my @all = map { $cli->begin('token') } 1 .. 5;
    is $_->wait, 0, 'each has a token' or diag $_->errors for @all;
    my %tokens = map { $_->got => 1 } @all;
    is scalar keys %tokens, 1, 'the same';
    my $after = kept($cli)->{profiles}{default};
    isnt $after->{refresh_token}, $before->{refresh_token}, 'renewed';
    cmp_ok $after->{expires}, '>', time + 3000, 'for an hour';
    is $cli->aml('whoami')->{status}, 0, 'and the sign-in lives';

    # each renews once: what comes must not be lost by a full disk…
    my $full = sub {
        my $p = $cli->program('sh', '-c',
            "trap '' XFSZ; ulimit -f 0; exec $AML::Cli::AML token");
        $p->wait;
        return $p;
    };
    change($cli, expires => time - 5);
    my $refused = $full->();
    is $refused->status, 1, 'no room, and no token';
    like $refused->errors, qr/can't be renewed now: \S+credentials.json: /,
        'is said';
    change($cli, expires => time + 30);
    is $full->()->status, 0, 'no room, and one that is good still';
    is $cli->aml('token')->{status}, 0, 'the sign-in lives';
    isnt kept($cli)->{profiles}{default}{refresh_token},
        $after->{refresh_token}, 'and is renewed later';

    # …nor by a signal
    change($cli, expires => time - 5);
    kill 'STOP', $gw->pid('amld');
    for my $signal (qw(HUP INT TERM)) {
        change($cli, expires => time - 5);
        my $ends = $cli->begin('token');
        ok wait_for(sub { glob $cli->credentials . '.??????' }),
            'it is under way';
        kill $signal, $ends->pid;
        kill 'CONT', $gw->pid('amld');
        ok defined $ends->wait, "ended by SIG$signal";
        is_deeply [glob $cli->credentials . '.??????'], [],
            'nothing is left beside it';
        cmp_ok kept($cli)->{profiles}{default}{expires}, '>', time + 3000,
            'but not before it was kept';
        is $cli->aml('whoami')->{status}, 0, 'and the sign-in lives';
        kill 'STOP', $gw->pid('amld');
    }
    kill 'CONT', $gw->pid('amld');

    # the server does not answer: what is good still is used
    change($cli, expires => time + 30);
    $gw->stop_amld;
    my $r = $cli->aml('token');
    is $r->{status}, 0, 'amld is down, the token is good';
    like $r->{err}, qr/can't be renewed now/, 'it says so';
    change($cli, expires => time - 1);
    is $cli->aml('token')->{status}, 5, 'and nothing without one';
    $gw->start_amld;
    is $cli->aml('token')->{status}, 0, 'later it is';

    {
        # whoever signs out of a profile does so with its own token
        local $cli->env->{AML_TOKEN} = 'another';
        $cli->aml_ok('logout');
    }
    is scalar(grep { $_->{method} eq 'device' }
            @{$me->fetch(GET => $gw->studio_url('/auth/sessions'))
                ->res->json('/value')}), 0, 'logout ends it there';

    $p = $cli->begin('login', @where);
    ok $p->complains(qr/or open (\S+)/), 'another time';
    ($url) = $p->errors =~ /or open (\S+)/;
    $tx = $me->navigate($url);
    $me->submit($tx, {answer => 'deny'}, form => 'form[action$=answer]');
    is $p->wait, 3, 'denied';
    like $p->errors, qr/denied/, 'and said';
};

subtest 'an answer is lost' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'unlucky');
    my $me  = $gw->signed_in('creator');
    my $p   = $cli->begin('login', @where);
    ok $p->complains(qr/or open (\S+)/), 'by a code';
    my ($url) = $p->errors =~ /or open (\S+)/;
    $me->submit($me->navigate($url), {answer => 'approve'},
        form => 'form[action$=answer]');
    is $p->wait, 0, 'signed in' or diag $p->errors;

    my $proxy  = AML::LosingProxy->start(gw => $gw);
    my $before = kept($cli)->{profiles}{default};
    change($cli, expires => time - 5);
    {
        local $cli->env->{HTTPS_PROXY} = $proxy->url;
        is $cli->aml('token')->{status}, 0, 'it is asked for once more';
    }
    is $proxy->lost, 1, 'the first has been lost';
    isnt kept($cli)->{profiles}{default}{refresh_token},
        $before->{refresh_token}, 'the second is kept';
    like $gw->log_text('amld.err'), qr/a refresh token came again at once/,
        'the server has seen both';
    change($cli, expires => time - 5);
    is $cli->aml('whoami')->{status}, 0, 'and the sign-in lives';
    $cli->aml_ok('logout');
};

subtest 'a sign-in that ends' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'creator')->login;
    is $cli->aml('whoami')->{status}, 0, 'is good';
    $gw->amld_ok('account', 'password', 'creator', '--password-stdin',
        \"another one\n");
    $gw->passwords->{creator} = 'another one';
    my $r = $cli->aml('instance', 'list');
    is $r->{status}, 3, 'is another status';
    like $r->{err}, qr/aml login/, 'and says what to do';
};

subtest 'a personal access token' => sub {
    my $me = $gw->signed_in('creator');
    my $tx = $me->fetch(POST => $gw->studio_url('/auth/tokens'),
        json => {name => 'x', instances => 'all', actions => ['*/read']});
    my $token = $tx->res->json('/token');
    my $cli   = AML::Cli->new(gw => $gw, name => 'scripts');
    $cli->aml_ok('login', @where, '--token-stdin', \"$token\n");
    is $cli->aml('instance', 'list')->{status}, 0, 'is good';
    is $cli->aml_ok('token'), "$token\n", 'and printed';
    my $r = $cli->aml('instance', 'start', 'nowhere');
    is $r->{status}, 1, 'for what it reaches';
    like $r->{err}, qr/token_scope/, 'and no more';
    $r = $cli->aml('logout');
    is $r->{status}, 0, 'it is forgotten';
    like $r->{err}, qr/nothing has ended/, 'and good still, which is said';

    my $bare = AML::Cli->new(gw => $gw, name => 'bare', env => {
        AML_SERVER    => $gw->studio,
        AML_TOKEN     => $token,
        AML_CA        => $gw->ca,
        AML_WORKSPACE => join('/', (split m{/}, $gw->workspace)[2, 4, 8])
    });
    is_deeply decode_json($bare->aml_ok('instance', 'list', '--json')), [],
        'by the environment alone';
    ok !-e $bare->credentials, 'nothing is written';
};

subtest 'several servers' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'creator',
        home => path($gw->dir, 'several')->make_path->to_string);
    $cli->login('--profile', 'lab');
    $cli->aml_ok('login', @where, '--profile', 'other', '--account',
        'colleague', \"@{[$gw->passwords->{colleague}]}\n");
    like $cli->aml_ok('whoami'), qr/^creator/, 'the first is what is used';
    like $cli->aml_ok('whoami', '-p', 'other'), qr/^colleague/, 'or another';
    $cli->env->{AML_PROFILE} = 'other';
    like $cli->aml_ok('whoami'), qr/^colleague/, 'by the environment as well';
    is $cli->aml('whoami', '--profile', 'none')->{status}, 3, 'or none';
    is $cli->aml('login', @where, '-p', '../x', '-a', 'creator')->{status}, 2,
        'a name that can\'t be';
};

subtest 'others may not read it' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'creator',
        home => path($gw->dir, 'loose')->make_path->to_string)->login;
    chmod 0640, $cli->credentials;
    my $r = $cli->aml('whoami');
    is $r->{status}, 1, 'a file that others may read is refused';
    like $r->{err}, qr/chmod 600/, 'with what to do';
    chmod 0600, $cli->credentials;
    chmod 0755, $cli->credentials->dirname;
    is $cli->aml('login', '-a', 'creator', \"x\n")->{status}, 1,
        'as is a directory';
    chmod 0700, $cli->credentials->dirname;

    my $real = $cli->credentials->slurp;
    unlink $cli->credentials;
    path($cli->home, 'elsewhere')->spurt($real);
    chmod 0600, path($cli->home, 'elsewhere');
    symlink path($cli->home, 'elsewhere'), $cli->credentials;
    is $cli->aml('whoami')->{status}, 1, 'and a symbolic link';
};

subtest 'certificates' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'careful');
    my $r = $cli->aml('login', '--server', $gw->studio, '-a', 'creator',
        \"@{[$gw->passwords->{creator}]}\n");
    is $r->{status}, 5, 'an unknown authority';
    like $r->{err}, qr/not trusted.*--ca FILE/, 'is refused';
    is $cli->aml('login', '--server', 'http://aml.localhost', '-a', 'creator',
        \"x\n")->{status}, 2, 'and never without TLS';
};

subtest 'a password on a terminal' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'typist');
    my $terminal = sub {
        return $cli->program('script', '-qec',
            "$AML::Cli::AML login @where -a creator; echo is \$?; stty -a",
            '/dev/null');
    };
    my $p = $terminal->();
    ok $p->says(qr/Password of creator: /), 'is asked for';
    $p->send("$gw->{passwords}{creator}\n");
    ok $p->says(qr/is 0/), 'taken' or diag $p->got;
    is $p->wait, 0, 'ends';
    unlike $p->got, qr/\Q$gw->{passwords}{creator}\E/, 'and not shown';
    like $p->got, qr/(?<!-)\becho\b/, 'afterwards the terminal shows again';
};

# Whatever ends the question, or puts it off.
subtest 'a terminal as it was' => sub {
    my $cli  = AML::Cli->new(gw => $gw, name => 'typist');
    my $file = path($gw->dir, 'terminal.pl')->spurt(<<'END');
use POSIX qw(WUNTRACED);
$SIG{TTOU} = 'IGNORE';
$| = 1;
my $pid = fork;
if (!$pid) {
    setpgrp;
    POSIX::tcsetpgrp(0, $$);
    $SIG{TTOU} = 'DEFAULT';
    exec @ARGV;
}
waitpid $pid, WUNTRACED;
my $how = ${^CHILD_ERROR_NATIVE};
POSIX::tcsetpgrp(0, getpgrp);
print $how == 0 ? 'done ' : 'ended ', `stty -a`, "that is it\n";
if (POSIX::WIFSTOPPED($how)) {
    POSIX::tcsetpgrp(0, $pid);
    kill 'CONT', $pid;
    for (1 .. 200) {
        last if `stty -a` =~ /-echo\b/;
        select undef, undef, undef, 0.05;
    }
    print "goes on\n";
    waitpid $pid, 0;
    print "at last $?\n";
}
END
    my $terminal = sub {
        my $p = $cli->program('script', '-qec',
            "perl $file $AML::Cli::AML login @where -a creator", '/dev/null');
        ok $p->says(qr/Password of creator: /), 'is asked for';
        return $p;
    };
    for my $key ("\cC", "\c\\") {
        my $p = $terminal->()->send($key);
        ok defined $p->wait, 'given up';
        like $p->got, qr/ended .*(?<!-)\becho\b.*that is it/s, 'it shows again';
    }
    my $p = $terminal->()->send("\cZ");
    ok $p->says(qr/that is it/), 'put off';
    like $p->got, qr/ended .*(?<!-)\becho\b.*that is it/s, 'it shows again';
    ok $p->says(qr/goes on/), 'taken up again';
    my $at = length $p->got;
    $p->send("$gw->{passwords}{creator}\n");
    ok $p->says(qr/at last 0/), 'and goes on' or diag $p->got;
    unlike substr($p->got, $at), qr/\Q$gw->{passwords}{creator}\E/,
        'with nothing shown';
};

subtest 'in no argument and no log' => sub {
    my $cli = AML::Cli->new(gw => $gw, name => 'creator',
        home => path($gw->dir, 'quiet')->make_path->to_string)->login;
    chomp(my $token = $cli->aml_ok('token'));
    my $p = $cli->begin('login', '--account', 'colleague');
    ok wait_for(sub { -e '/proc/' . $p->pid . '/cmdline' }), 'it runs';
    unlike path('/proc/' . $p->pid . '/cmdline')->slurp,
        qr/\Q$gw->{passwords}{colleague}\E/, 'no password in its arguments';
    $p->close_in;
    is $p->wait, 2, 'without one it ends';
    my $logs = join '', map { path($_)->slurp } grep {-f}
        glob $gw->dir . '/{log,nginx}/*';
    ok index($logs, $token) < 0, 'no token in the logs';
};

$gw->done;
