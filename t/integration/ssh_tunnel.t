# SSH from end to end: OpenSSH's own programs, `aml tunnel` as their
# ProxyCommand, the gateway, sshd in the instance; straight, and through a
# forward proxy that asks for a password.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use IO::Socket::IP;
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(time);
use AML::Cli;
use AML::Port;
use AML::SSH;
use AML::Test;
use AML::Wait qw(wait_for);

use constant SHUTDOWN => 4;

my $gw = AML::Test->start(
    instances => {'plain-lab' => 'creator'},
    nginx     => sub ($text) {
        $text =~ s/(worker_shutdown_timeout) \w+;/$1 @{[SHUTDOWN]}s;/;
        $text =~ s/worker_processes \d+/worker_processes 1/;
        return $text;
    },
);
my $cli  = AML::Cli->new(gw => $gw, name => 'creator')->login;
my $user = getpwuid $<;
my $ssh  = AML::SSH->new(gw => $gw, name => 'first-lab', user => $user);

sub by ($who, $name = 'first-lab') { AML::SSH::by_aml($who, $name) }

$gw->api(PUT => $gw->compute('first-lab'), 'creator',
    json => $gw->compute_body($ssh->settings))->res->code == 201
    or $gw->give_up('PUT');
$gw->wait_state('first-lab', 'Running');
$ssh->proxy(by($cli));
my $folder = $gw->share('Users', 'creator');

subtest 'each program' => sub {
    is $ssh->run('pwd; exit 9')->{status}, 9, 'ssh';
    my $bytes = join '', map { chr rand 256 } 1 .. 3_000_000;
    my $r     = $ssh->run('cat', input => $bytes);
    is sha256_hex($r->{out}), sha256_hex($bytes), 'megabytes there and back';

    my $from = path($gw->dir, 'from.bin')->spurt($bytes);
    is $ssh->scp($from, 'first-lab:')->{status}, 0, 'scp, there';
    is sha256_hex($folder->child('from.bin')->slurp), sha256_hex($bytes), 'same';
    is $ssh->scp('first-lab:from.bin', $gw->dir . '/back.bin')->{status}, 0,
        'and back';
    is -s $gw->dir . '/back.bin', 3_000_000, 'all of it';
    is $ssh->sftp("put $from other\nls -l other\n")->{status}, 0, 'sftp';
    path($gw->dir, 'tree')->make_path;
    path($gw->dir, "tree/$_")->spurt("file $_") for 1 .. 40;
    is $ssh->rsync('-az', $gw->dir . '/tree', 'first-lab:')->{status}, 0,
        'rsync';
    is $folder->child('tree/40')->slurp, 'file 40', 'a tree';

    my $shell = $ssh->open(flags => ['-tt']);
    $shell->type("stty -echo; echo :\$((6*7)):\n");
    ok $shell->says(qr/:42:/), 'a terminal' or diag $shell->err;
    $shell->type("exit\n");
    ok $shell->wait, 'that ends';
};

subtest 'forwards' => sub {
    my ($l, $r, $d, $there) = map { AML::Port->take } 1 .. 4;
    my $session = $ssh->open(flags => ['-N', '-L', "$l:127.0.0.1:$there", '-R',
        "$r:127.0.0.1:$there", '-D', $d]);
    my $server = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $there, Listen => 8, ReuseAddr => 1) or die $@;
    my $through = sub ($port) {
        my $s;
        wait_for(sub { $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
            PeerPort => $port) }) or return 'no';
        my $other = $server->accept;
        syswrite $s,     "to $port\n";
        syswrite $other, readline $other;
        return readline $s;
    };
    is $through->($l), "to $l\n", '-L';
    is $through->($r), "to $r\n", '-R';
    $server->close;
    my $curl = $gw->run('', 'curl', '-s', '-m', 10, '--socks5',
        "127.0.0.1:$d", '--cacert', $gw->ca, $gw->studio_url('/.aml/status'));
    like $curl->{out}, qr/^aml_/m, '-D' or diag $curl->{err};
    $session->end;
};

# What an editor does that has its server there, such as VS Code's Remote-SSH:
# one ssh without a terminal, a shell that reads a script, and the server it
# starts by SOCKS through the same ssh.
subtest 'a server that a script starts' => sub {
    my $socks = AML::Port->take;
    my $shell = $ssh->open(flags => ['-T', '-D', $socks], command => 'bash');
    $shell->type(<<'SCRIPT');
set -u
uname -s
mkdir -p .editor && cd .editor || exit 1
cat > server.pl <<'END'
use IO::Socket::IP;
$| = 1;
my $l = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
    Listen => 32) or die $@;
print 'listens on :', $l->sockport, ":\n";
while (my $c = $l->accept) {
    my $ask = <$c>;
    print {$c} "HTTP/1.0 200 OK\r\n\r\n", $ask, 'x' x 100_000;
    close $c;
}
END
perl server.pl > log 2>&1 < /dev/null &
until grep : log 2> /dev/null; do sleep 0.05; done
SCRIPT
    ok $shell->says(qr/listens on :\d+:/), 'is started' or diag $shell->err;
    my ($port) = $shell->out =~ /listens on :(\d+):/;
    my $got  = $gw->dir . '/got';
    my $curl = $gw->run('', 'curl', '-s', '-Z', '--parallel-immediate', '-m',
        20, '--socks5', "127.0.0.1:$socks", '-o', "$got.#1",
        "http://127.0.0.1:$port/[1-8]");
    is $curl->{status}, 0, 'and reached eight times at once'
        or diag $curl->{err};
    is scalar(grep { -s "$got.$_" == 100_000 + length "GET /$_ HTTP/1.1\r\n" }
            1 .. 8), 8, 'all of each answer';
    $shell->type("kill %1; echo :\$((6*7)):; exit 5\n");
    ok $shell->says(qr/:42:/), 'the script goes on';
    ok $shell->wait, 'and ends';
    is $shell->status, 5, 'with its status';
};

subtest 'one connection for several' => sub {
    my $socks  = AML::Port->take;
    my $at     = $gw->dir . '/master';
    my $master = sub (@flags) {
        return $ssh->run(undef, flags => ['-S', $at, @flags],
            options => ['ProxyCommand=false']);
    };
    my $r = $ssh->run(undef,
        flags => ['-N', '-f', '-M', '-S', $at, '-D', $socks]);
    is $r->{status}, 0, 'ssh -N -f -M -D goes on behind' or diag $r->{err};
    is $master->('-O', 'check')->{status}, 0, 'it is there';
    for my $n (1 .. 3) {
        $r = $ssh->run("echo in $n", flags => ['-S', $at],
            options => ['ProxyCommand=false']);
        is $r->{out}, "in $n\n", 'a session by it' or diag $r->{err};
    }
    my $l = AML::Port->take;
    is $master->('-O', 'forward', '-L', "$l:127.0.0.1:@{[$gw->port]}")
        ->{status}, 0, 'a forward that is asked for later';
    for my $way (['-D', '--socks5', "127.0.0.1:$socks"],
        ['-L', '--connect-to', "::127.0.0.1:$l"]) {
        my ($name, @by) = @{$way};
        my $curl = $gw->run('', 'curl', '-s', '-m', 10, @by, '--cacert',
            $gw->ca, $gw->studio_url('/.aml/status'));
        like $curl->{out}, qr/^aml_/m, $name or diag $curl->{err};
    }
    is $master->('-O', 'exit')->{status}, 0, 'its end';
    ok wait_for(sub { !-e $at }), 'nothing is left';
};

subtest 'a reload, and the end of a worker' => sub {
    my ($old)   = $gw->workers;
    my $session = $ssh->open(flags => ['-tt']);
    $session->type("stty -echo; echo :\$((6*7)):\n");
    ok $session->says(qr/:42:/), 'a session' or diag $session->err;
    $gw->reload_nginx;
    my $since = time;
    $session->type("echo :\$((6*8)):\n");
    ok $session->says(qr/:48:/), 'goes on';
    ok scalar(grep { $_ == $old } $gw->workers), 'by the worker of before';
    is $ssh->run('true')->{status}, 0, 'another one begins by the new';
    ok $session->wait, 'it ends';
    cmp_ok time - $since, '>', SHUTDOWN - 0.5,
        'when worker_shutdown_timeout is over, not before';
    ok wait_for(sub { !grep { $_ == $old } $gw->workers }),
        'the worker has left';
};

subtest 'who is not let in' => sub {
    my $other = $ssh->make_key('other');
    my $r     = $ssh->run('true', options => ["IdentityFile=$other"]);
    like $r->{err}, qr/Permission denied \(publickey\)/, 'one with another key';

    my $them = AML::Cli->new(gw => $gw, name => 'colleague')->login;
    $r = $ssh->run('true', options => ['ProxyCommand=' . by($them)]);
    is $r->{status}, 255, 'a colleague, with the right key';
    like $r->{err}, qr/not_creator/, 'and is told why';

    my $out = AML::Cli->new(gw => $gw, name => 'reader');
    $r = $ssh->run('true', options => ['ProxyCommand=' . by($out)]);
    is $r->{status}, 255, 'nobody without signing in';

    $r = $ssh->run('true', options => ['ProxyCommand=' . by($cli, 'plain-lab')]);
    is $r->{status}, 255, 'an instance without a key has no SSH';
    $gw->refused($gw->program->get($gw->app_url('first-lab', '/', 22),
        headers => $gw->bearer('creator')), 426, 'tunnel_only',
        'HTTP is not for sshd');
    is $gw->program->get($gw->app_url('plain-lab', '/', 22),
        headers => $gw->bearer('creator'))->res->code, 404,
        'nor is there anything where it is off';
};

subtest 'the same host after a restart' => sub {
    $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
    $gw->wait_state('first-lab', 'Running');
    is $ssh->run('true', options => ['StrictHostKeyChecking=yes'])->{status}, 0,
        'its key is known';
};

subtest 'through a proxy with a password' => sub {
    my $port = AML::Port->take;
    my $dir  = path($gw->dir, 'proxy')->make_path;
    $dir->child('tinyproxy.conf')->spurt(
        "Port $port\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\n",
        "LogFile \"$dir/tinyproxy.log\"\nMaxClients 50\n",
        "BasicAuth someone s3cret\nConnectPort @{[$gw->port]}\n"
    );
    {
        local $ENV{LD_PRELOAD}
            = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/localhost.so";
        $gw->spawn('proxy', 'tinyproxy', '-d', '-c', "$dir/tinyproxy.conf");
    }
    ok wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1',
                PeerPort => $port) }), 'tinyproxy runs';
    my $proxied = sub ($host = 'first-lab-22.') {
        my $log = eval { $dir->child('tinyproxy.log')->slurp } // '';
        return scalar(() = $log =~ /Request .*CONNECT \Q$host\E/g);
    };

    local $cli->env->{HTTPS_PROXY} = "http://someone:s3cret\@127.0.0.1:$port";
    my $behind = AML::SSH->new(gw => $gw, name => 'first-lab', user => $user,
        proxy => by($cli));
    is $behind->run('echo through')->{out}, "through\n", 'ssh';
    ok $proxied->(), 'went through it';
    is $behind->scp($gw->dir . '/from.bin', 'first-lab:proxied')->{status}, 0,
        'scp';
    is -s $folder->child('proxied'), 3_000_000, 'all of it';
    is $behind->rsync('-a', $gw->dir . '/tree/', 'first-lab:behind/')->{status},
        0, 'rsync';
    is $behind->sftp("get proxied @{[$gw->dir]}/got\n")->{status}, 0, 'sftp';
    is -s $gw->dir . '/got', 3_000_000, 'all of it';

    my $studio = $gw->port;
    for my $way ('-L', '-R') {
        my $at      = AML::Port->take;
        my $forward = $behind->open(
            flags => ['-N', $way, "127.0.0.1:$at:127.0.0.1:$studio"]);
        ok wait_for(sub {
            $gw->run('', 'curl', '-s', '-m', 10, '--cacert', $gw->ca,
                '--connect-to', "::127.0.0.1:$at",
                $gw->studio_url('/.aml/status'))->{out} =~ /^aml_/m;
        }), $way;
        $forward->end;
    }
    my $l       = AML::Port->take;
    my $session = $behind->open(flags => ['-N', '-D', $l]);
    my $curl;
    ok wait_for(sub {
        $curl = $gw->run('', 'curl', '-s', '-m', 10, '--socks5',
            "127.0.0.1:$l", '--cacert', $gw->ca,
            $gw->studio_url('/.aml/status'));
        $curl->{out} =~ /^aml_/m;
    }), 'a forward';
    $session->end;

    # the control API, and what goes on for long
    my $other = AML::Cli->new(gw => $gw, name => 'creator', env => $cli->env,
        home => path($gw->dir, 'behind')->make_path->to_string);
    my $before = $proxied->('aml.localhost:');
    $other->login;
    cmp_ok $proxied->('aml.localhost:'), '>', $before, 'aml login';
    $other->aml_ok(qw(job submit -i first-lab -n behind --),
        'for i in 1 2 3; do echo line $i; sleep 0.1; done');
    $before = $proxied->('aml.localhost:');
    is $other->aml_ok(qw(job logs -f behind)), "line 1\nline 2\nline 3\n",
        'logs that are followed';
    cmp_ok $proxied->('aml.localhost:'), '>', $before, 'went through it';
    {
        local $other->env->{NO_PROXY} = 'aml.localhost';
        $before = $proxied->('aml.localhost:');
        $other->aml_ok(qw(instance list));
        is $proxied->('aml.localhost:'), $before, 'NO_PROXY goes around it';
    }

    $cli->env->{HTTPS_PROXY} = "http://someone:wrong\@127.0.0.1:$port";
    my $r = $ssh->run('true', options => ['ProxyCommand=' . by($cli)]);
    is $r->{status}, 255, 'not with a wrong password';
    like $r->{err}, qr/proxy wants a name and a password/, 'which is said';
    $gw->end(proxy => 'TERM');
};

subtest 'revoked while it is open' => sub {
    my $session = $ssh->open(flags => ['-tt']);
    $session->type("trap '' TERM HUP; echo :\$((6*7)):\n");
    ok $session->says(qr/:42:/), 'a session';
    my $since = time;
    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    ok $session->wait, 'a stop ends it';
    cmp_ok time - $since, '<', 1.5 * ($ENV{AML_PATIENCE} || 1), 'within a second';
    like $session->err, qr/1008/, 'by a Close frame that says why';
    $gw->wait_state('first-lab', 'Stopped');
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $gw->wait_state('first-lab', 'Running');

    $session = $ssh->open(flags => ['-N']);
    is $ssh->run('true')->{status}, 0, 'it is back';
    $since = time;
    $gw->amld_ok('principal', 'revoke', '--account', 'creator');
    ok $session->wait, 'signing out everywhere ends it, too';
    cmp_ok time - $since, '<', 1.5 * ($ENV{AML_PATIENCE} || 1), 'within a second';
    isnt $ssh->run('true')->{status}, 0, 'and nobody comes in';
};

$gw->done;
