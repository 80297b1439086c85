# amld as root, with the engine process: instances run as their creators'
# accounts on this machine, which this test makes and removes.  nginx's workers
# are an account of their own, as on a server.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(S_ISLNK);
use IO::Socket::IP;
use IO::Socket::UNIX;
use Mojo::File qw(path);
use POSIX ();
use Test::More;
use AML::Jobs;
use AML::Port;
use AML::Test;
use AML::Wait qw(turn wait_for);

plan skip_all => 'accounts are made by root' if $< != 0;

my ($ann, $bob, $low) = map {"aml$_$$"} qw(a b l);
my $owner = $$;

END {
    if ($owner == $$) {
        my $status = $?;
        system "userdel $_ 2>/dev/null" for $ann, $bob, $low;
        $? = $status;
    }
}

sub useradd (@args) { system('useradd', @args) == 0 or die "useradd: $?\n" }

useradd('--no-create-home', '--home-dir', '/tmp', '--shell', '/bin/sh', $_)
    for $ann, $bob;
useradd('--no-create-home', '--system', $low);
my %uid = map { $_ => scalar getpwnam $_ } $ann, $bob, $low;

my $gw = AML::Test->prepare(
    amld => sub ($text) {
        $text =~ s/^unix_accounts = .*\n//m or die 'no unix_accounts';
        $text =~ s/(gateway_uids = \{) \d+/$1 www-data/;
        return qq($text\nregistry_group = "www-data"\n);
    },
    nginx => sub ($text) { $text =~ s/^user root;$/user www-data;/mr }
);

# What they run has to be where they may read it.
unlink $gw->dir . '/venv/bin/jupyter';
path($gw->dir, 'venv/bin/AML')->make_path;
path("$AML::Test::ROOT/t/lib/stand-in-application")
    ->copy_to($gw->dir . '/venv/bin/jupyter')->chmod(0755);
path("$AML::Test::ROOT/t/lib/AML/StandInApplication.pm")
    ->copy_to($gw->dir . '/venv/bin/AML')->chmod(0644);

$gw->start_amld;
$gw->add_account($_, 'Contributor') for $ann, $bob, 'nobody-here', $low;
$gw->start_nginx;

like $gw->log_text('amld.err'), qr/run as the accounts of their creators/,
    'it is the default where amld is root';

sub create ($name, $who) {
    my $tx = $gw->api(
        PUT  => $gw->compute($name), $who,
        json => $gw->compute_body
    );
    like $tx->res->code, qr/^20[01]$/, "$name: asked for";
    my $state;
    wait_for(sub {
        $state = $gw->state_of($name, $who);
        $state =~ /^(?:Running|CreateFailed)$/;
    });
    return $state;
}

sub status ($pid, $field) {
    my ($line) = path("/proc/$pid/status")->slurp =~ /^$field:\t(.*)$/m;
    return $line;
}

# Runs code as an account, in a process of its own; what it returns.
sub as ($who, $code) {
    pipe my $in, my $out or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        my (undef, undef, $uid, $gid) = getpwnam $who;
        $) = "$gid $gid";
        POSIX::setgid($gid);
        POSIX::setuid($uid);
        syswrite $out, $code->() // '';
        POSIX::_exit(0);
    }
    close $out;
    local $/;
    my $said = <$in>;
    waitpid $pid, 0;
    return $said;
}

sub asked ($name, $who) {
    return $gw->program->get($gw->app_url($name, '/x'),
        headers => $gw->bearer($who))->res;
}

is create('ann-lab', $ann), 'Running', 'it runs';
is create('bob-lab', $bob), 'Running', 'and another\'s';

my (%pid, %private);
for my $pair ([$ann, 'ann-lab'], [$bob, 'bob-lab']) {
    my ($who, $name) = @$pair;
    subtest "$name runs as its creator" => sub {
        my $res = asked($name, $who);
        is $res->code, 200, 'the gateway reaches it' or return;
        my $pid = $pid{$who} = $res->json('/pid');
        is status($pid, 'Uid'), join("\t", ($uid{$who}) x 4), 'user';
        my $gid = (getpwnam $who)[3];
        is status($pid, 'Gid'), join("\t", ($gid) x 4), 'group';
        like status($pid, 'Groups'), qr/^$gid ?$/, 'and no other groups';
        my %env = map { split /=/, $_, 2 } split /\0/,
            path("/proc/$pid/environ")->slurp;
        is $env{HOME}, '/tmp', 'its home';
        is $env{USER}, $who,   'its name';
        is $res->json('/cwd'), $gw->share("Users/$who"),
            'in its folder of the share';
        my @st = stat $gw->share("Users/$who");
        is $st[4], $uid{$who}, 'which is its own';
        is $st[2] & 07777, 0755, 'and readable for everybody';
        ($private{$who}) = $env{AML_COMMAND} =~ m{^(.+)/jupyter$};
    };
}

subtest 'what is private' => sub {
    my $of = $private{$ann};
    is +(stat $of)[4], 0, 'the directory is root\'s';
    is +(stat "$of/$_->[0]")[2] & 07777, $_->[1], "mode of $_->[0]"
        for ['u', 0700], ['s', 02770], ['u/tmp', 0700], ['jupyter.log', 0600];
    is +(stat "$of/s")[5], scalar getgrnam('www-data'), 'sockets: the gateway\'s';
    my $try = sub ($who) {
        as($who, sub {
            my @found;
            push @found, 'instances'
                if opendir(my $i, $gw->dir . '/state/i');
            push @found, 'list'      if opendir(my $d, $of);
            push @found, 'own'       if opendir my $u, "$of/u";
            push @found, 'sockets'   if opendir my $s, "$of/s";
            push @found, 'log'       if open(my $l, '<', "$of/jupyter.log");
            push @found, 'write'     if open(my $w, '>>', "$of/x");
            push @found, 'connect'
                if IO::Socket::UNIX->new(Peer => "$of/s/jupyter.sock");
            push @found, 'folder'
                if open(my $f, '>', $gw->share("Users/$ann/x"));
            push @found, 'share' if opendir my $h, $gw->share("Users/$ann");
            return join ' ', @found;
        });
    };
    is $try->($bob), 'share', 'another account sees what is shared, only';
    is $try->($ann), 'own sockets connect folder share',
        'its own sees what is its own';
};

subtest 'a link leads the gateway nowhere' => sub {
    my ($from, $to) = ("$private{$bob}/s/jupyter.sock",
        "$private{$ann}/s/jupyter.sock");
    as($bob, sub { unlink $from; symlink $to, $from; '' });
    ok S_ISLNK((lstat $from)[2]), 'he has put one there';
    $gw->restart_nginx;    # and no connection is kept to his own
    my $res = asked('bob-lab', $bob);
    isnt $res->code, 200, 'what it leads to is not asked';
    isnt $res->json('/pid') // 0, $pid{$ann}, 'by no means';
};

subtest 'services, and a colleague who takes their ports' => sub {
    my ($tcp, $sock, $port) = map { AML::Port->take } 1 .. 3;
    my $program = 'exec ' . $gw->dir . '/venv/bin/jupyter';
    my $path    = $gw->compute('ann-lab');
    my $at      = sub ($n, $who = $ann) {
        return $gw->program->get($gw->app_url('ann-lab', '/x', $n),
            headers => $gw->bearer($who))->res;
    };
    my $is = sub ($name, $state) {
        my $one;
        ok wait_for(sub {
            ($one) = grep { $_->{name} eq $name } @{$gw->api(GET => $path, $ann)
                ->res->json('/properties/properties/customServices')};
            $one->{state} eq $state;
        }), "$name is $state" or diag explain $one;
        return $one;
    };

    # bob's program listens where ann's is to, and says so if somebody comes
    my $stolen = $gw->dir . '/share/stolen';
    my $thief  = fork // die $!;
    if ($thief == 0) {
        as($bob, sub {
            my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1',
                LocalPort => $port, Listen => 5) or return 'no';
            $s->accept;
            return 'came';
        }) eq 'came' and path($stolen)->spurt('');
        POSIX::_exit(0);
    }
    ok wait_for(sub { IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $port, Listen => 1) ? 0 : 1 }), 'a port is taken';

    $gw->api(POST => "$path/customServices", $ann, json => [
        {name => 'tcp', command => "$program --listen=127.0.0.1:$tcp",
            endpoints => [{target => $tcp}]},
        {name => 'sock', command => "$program --ServerApp.sock=\$AML_SOCKET",
            endpoints => [{target => $sock}]},
        {name => 'late', command => "$program --listen=127.0.0.1:$port",
            endpoints => [{target => $port}]}
    ]);
    for my $pair (['tcp', $tcp], ['sock', $sock]) {
        my ($name, $n) = @$pair;
        $is->($name, 'Running');
        ok wait_for(sub { $at->($n)->code == 200 }), 'it is reached';
        like status($at->($n)->json('/pid'), 'Uid'), qr/^$uid{$ann}\t/,
            'and is its creator\'s';
        is $at->($n, $bob)->code, 403, 'by nobody else';
    }
    like $is->('late', 'Failed')->{message}, qr/port $port .* is in use/,
        'what comes late says so';
    is $at->($port)->headers->header('X-AML-Reason'), 'service_failed',
        'and leads nobody there';
    ok !-e $stolen, 'nothing has come to whoever was first';
    $gw->api(POST => "$path/customServices", $ann, json => []);
    my ($under) = path("/proc/$thief/task/$thief/children")->slurp =~ /(\d+)/;
    kill 'KILL', $thief, $under // ();
    waitpid $thief, 0;
};

subtest 'jobs' => sub {
    my $jobs = AML::Jobs->new(gw => $gw, compute => 'ann-lab',
        account => $ann);
    $jobs->submit('mine', 'id -un; touch made; cat /etc/shadow');
    $jobs->ends('mine', 'Failed');
    like $jobs->log('mine'), qr/\A$ann\n.*denied/s, 'run as their account';
    my $dir = $jobs->file('jobs', 'mine');
    is((stat $_)[4], $uid{$ann}, "$_: theirs")
        for $dir, "$dir/made", "$dir/std_log.txt";

    # The directory is entered with the account's rights, not amld's.
    my $secret = path($gw->dir, 'secret', 'open')->make_path;
    $secret->dirname->chmod(0700);
    $secret->chmod(0755);
    symlink $secret, $jobs->file('way');
    $jobs->submit('in', 'ls; pwd', properties => {workingDirectory => 'way'});
    is $jobs->ends('in', 'Failed')->{exitCode}, 126, 'a way to where they may '
        . 'not go';
    like $jobs->log('in'), qr/cannot enter .*denied/, 'leads nowhere';

    $jobs->submit('long', 'trap "" TERM; while :; do sleep 0.1; done');
    $jobs->becomes('long', 'Running');
    $jobs->cancel('long');
    $jobs->ends('long', 'Canceled');
};

subtest 'set-up scripts in the share' => sub {
    my $folder = path($gw->share("Users/$ann"));
    my $secret = path($gw->dir, 'secret')->make_path->chmod(0700);
    $secret->child('x.sh')->spurt("echo never\n");
    my $try = sub ($file, $state, $log, $why) {
        $gw->api(PUT => $gw->compute('set-lab'), $ann,
            json => $gw->compute_body(setupScripts => {scripts => {
                creationScript => {scriptSource => 'workspaceStorage',
                    scriptData => "Users/$ann/$file"}}}));
        wait_for(sub {
            $gw->state_of('set-lab', $ann) =~ /^(?:Running|.*Failed)$/;
        });
        is $gw->state_of('set-lab', $ann), $state, $why;
        my $said = $gw->api(GET => $gw->compute('set-lab')
                . '/logs/creation-script', $ann)->res->body;
        like $said, $log, 'says the log';
        unlike $said, qr/^never$/m;
    };
    my $write = sub ($who, $file, $text = "echo never\n") {
        is as($who, sub { path($file)->spurt($text); 'written' }), 'written',
            $file->basename . " is $who\'s to write";
    };
    symlink $secret->child('x.sh'), $folder->child('link.sh');
    $try->('link.sh', 'SetupFailed', qr/it is a symbolic link/,
        'a link to what only amld may read');
    rename $folder->child('link.sh'), $folder->child('away.sh');
    link $secret->child('x.sh'), $folder->child('hard.sh') or die $!;
    $try->('hard.sh', 'SetupFailed', qr/belongs to somebody else/,
        'the same by another name');

    my $drop = $folder->child('drop');
    as($ann, sub { $drop->make_path->chmod(01777) });
    $write->($bob, $drop->child('x.sh'));
    $try->('drop/x.sh', 'SetupFailed', qr/others may write to .*drop/,
        'where a colleague can put one');
    as($ann, sub { $drop->chmod(0755) });
    $try->('drop/x.sh', 'SetupFailed', qr/belongs to somebody else/,
        'where they have');
    $write->($ann, $folder->child('mine.sh'));
    as($ann, sub { $folder->child('mine.sh')->chmod(0666) });
    $write->($bob, $folder->child('mine.sh'));
    $try->('mine.sh', 'SetupFailed', qr/others may write to it/,
        'their own, which a colleague has written');
    $write->($ann, $folder->child('good.sh'),
        "id -un; cat /etc/shadow; touch made; exit 0\n");
    as($ann, sub { $folder->child('good.sh')->chmod(0600) });
    $try->('good.sh', 'Running', qr/^$ann\n.*denied/m, 'their own');
    is +(stat $folder->child('made'))[4], $uid{$ann}, 'runs as their account';
    $gw->api(DELETE => $gw->compute('set-lab'), $ann,
        query => {underlyingResourceAction => 'Delete'});
    ok wait_for(sub { $gw->state_of('set-lab', $ann) eq '' }), 'deleted';
};

subtest 'stopped and started' => sub {
    is $gw->api(POST => $gw->compute('bob-lab') . '/stop', $bob)->res->code,
        202, 'stopped';
    ok wait_for(sub { $gw->state_of('bob-lab', $bob) eq 'Stopped' }), 'it is';
    ok !kill(0, $pid{$bob}), 'its process is gone';
    ok !-e "$private{$bob}/s/jupyter.sock", 'and its sockets';
    unlike path('/proc/self/mounts')->slurp, qr{^aml \Q$private{$bob}\E}m,
        'with their file system';
    $gw->api(POST => $gw->compute('bob-lab') . '/start', $bob);
    ok wait_for(sub { $gw->state_of('bob-lab', $bob) eq 'Running' }), 'again';
    is asked('bob-lab', $bob)->code, 200, 'the gateway reaches it';
};

subtest 'amld is killed' => sub {
    $gw->kill_amld;
    is asked('ann-lab', $ann)->json('/pid'), $pid{$ann}, 'it serves';
    $gw->start_amld;
    is $gw->state_of('ann-lab', $ann), 'Running', 'and is adopted';
    kill 'KILL', $pid{$ann};
    my $res;
    ok wait_for(sub {
        $res = asked('ann-lab', $ann);
        $res->code == 200 && $res->json('/pid') != $pid{$ann};
    }), 'one that dies is started again';
    is status($res->json('/pid'), 'Uid'), join("\t", ($uid{$ann}) x 4),
        'as its creator';
};

subtest 'whoever has no account' => sub {
    is create('no-lab', 'nobody-here'), 'CreateFailed', 'gets no instance';
    my $errors = $gw->api(GET => $gw->compute('no-lab'), 'nobody-here')
        ->res->json('/properties/properties/errors/0');
    my $text = $errors->{error}{message} // $errors->{message} // '';
    like $text, qr/There is no account "nobody-here" on this machine/, 'why';
    is create('low-lab', $low), 'CreateFailed', 'nor one of the system';
    is $gw->api(DELETE => $gw->compute('no-lab'), 'nobody-here',
        query => {underlyingResourceAction => 'Delete'})->res->code, 202,
        'and it can be deleted';
};

subtest 'a share that is gone, or is another' => sub {
    my $share = $gw->share;
    my $verb  = sub ($verb) {
        is $gw->api(POST => $gw->compute('bob-lab') . "/$verb", $bob)
            ->res->code, 202, $verb;
    };
    my $starts = sub ($state) {
        $verb->('start');
        my $is;
        wait_for(sub {
            $is = $gw->state_of('bob-lab', $bob);
            $is =~ /^(?:Running|Stopped)$/;
        });
        is $is, $state, "is $state";
    };

    $verb->('stop');
    wait_for(sub { $gw->state_of('bob-lab', $bob) eq 'Stopped' });
    rename $share, "$share.away" or die "rename: $!";
    $starts->('Stopped');
    ok !-e $share, 'nothing was made in its place';
    mkdir $share or die "mkdir: $!";
    $starts->('Stopped');
    is_deeply [$share->list({dir => 1, hidden => 1})->each], [], 'nor in it';
    rmdir $share;
    rename "$share.away", $share or die "rename: $!";
    $starts->('Running');
};

for my $pair (['ann-lab', $ann], ['bob-lab', $bob]) {
    my ($name, $who) = @$pair;
    $gw->api(DELETE => $gw->compute($name), $who,
        query => {underlyingResourceAction => 'Delete'});
    ok wait_for(sub { $gw->state_of($name, $who) eq '' }), "$name: deleted";
    ok !-e $private{$who}, 'with what was private';
    ok -d $gw->share("Users/$who"), 'but for its files';
}

$gw->done;
