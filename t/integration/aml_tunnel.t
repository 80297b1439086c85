# aml tunnel, the client's end: bytes both ways, through a proxy or not, with a
# peer that keeps to the rules and with peers that do not.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Fcntl qw(F_GETFL O_NONBLOCK);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use POSIX qw(WNOHANG);
use Socket qw(AF_UNIX SOCK_STREAM);
use Test::More;
use AML::Cli;
use AML::Port;
use AML::Test;
use AML::TunnelPeer;
use AML::Wait qw(wait_for);

my $gw   = AML::Test->start(instances => {});
my $cli  = AML::Cli->new(gw => $gw, name => 'creator')->login;
my $peer = AML::TunnelPeer->start($gw);
my $json = decode_json($cli->credentials->slurp);
$json->{profiles}{default}{apps} = $peer->apps;
$cli->credentials->spurt(encode_json($json));
chmod 0600, $cli->credentials;

sub peer_says ($pattern) {
    return wait_for(sub { $peer->log->slurp =~ $pattern }, 20);
}

sub memory ($pid) {
    my ($kb) = path("/proc/$pid/status")->slurp =~ /^VmRSS:\s+(\d+)/m;
    return $kb;
}

subtest 'both ways' => sub {
    my $t = $cli->begin('tunnel', 'echo-lab');
    $t->send("hello\n");
    ok $t->says(qr/^hello\n$/), 'there and back' or diag $t->errors;
    ok peer_says(qr{^asked echo /nbip/v1.0/ws-tcp Bearer 13$}m),
        'as clients of Azure ask';
    my $bytes = join '', map { chr int rand 256 } 1 .. 300_000;
    my $pid = fork;
    if (!$pid) { $t->send($bytes); POSIX::_exit(0) }
    ok wait_for(sub { length $t->look->got >= 6 + length $bytes }), 'much';
    waitpid $pid, 0;
    is sha256_hex(substr $t->got, 6), sha256_hex($bytes), 'the same bytes';
    my $at = length $t->got;
    for my $i (1 .. 20) {
        $t->send("$i");
        wait_for(sub { length $t->look->got > $at });
        $at = length $t->got;
    }
    $t->send('COUNT');
    ok wait_for(sub { length $t->look->got > $at }), 'counted';
    cmp_ok substr($t->got, $at), '>', 20, 'each frame has a mask of its own';
    unlike path('/proc/' . $t->pid . '/cmdline')->slurp, qr/eyJ/,
        'no token among the arguments';
    $t->close_in;
    is $t->wait, 0, 'the end of what we send is a clean end';
    ok peer_says(qr/^close 1000$/m), 'said by Close 1000';
    is $t->errors, '', 'without a word';
};

subtest 'pieces' => sub {
    my $t = $cli->begin('tunnel', 'early-lab');
    ok $t->says(qr/^one two three\n$/), 'fragments, and what came at once';
    ok peer_says(qr/^pong ping!$/m), 'a ping between them is answered';
    $t->close_in;
    is $t->wait, 0, 'ends';
    $t = $cli->begin('tunnel', 'brim-lab');
    ok wait_for(sub { $t->look->got =~ /^y+z$/ }, 10),
        'what TLS had in one piece with the answer, all of it';
    $t->close_in;
    is $t->wait, 0, 'ends';
    $t = $cli->begin('tunnel', 'drip-lab');
    ok $t->says(qr/^x{300}\n$/), 'a byte at a time';
    $t->close_in;
    is $t->wait, 0, 'ends';
    $t = $cli->begin('tunnel', 'half-lab');
    $t->send('x' x 100_000)->close_in;
    is $t->wait, 0, 'half closed';
    is $t->look->got, "counted 100000\n", 'what comes later is not lost';
    $t = $cli->begin('tunnel', 'pour-lab');
    is $t->wait, 0, '16 MB at once';
    is length $t->look->got, 16 * 16 * 65536, 'all of them';
};

subtest 'who does not read' => sub {
    my $t = $cli->begin('tunnel', 'flood-lab');
    ok peer_says(qr/^flood stands at \d+$/m), 'we do not, and the peer stands';
    cmp_ok memory($t->pid), '<', 40_000, 'memory is bounded';
    $t->kill('TERM');
    is $t->status, 0, 'a signal ends it';

    $t = $cli->begin('tunnel', 'stuck-lab');
    my $sent = 0;
    $t->in->blocking(0);
    wait_for(
        sub {
            my $n = syswrite $t->in, 'x' x 65536;
            $sent += $n // 0;
            return !defined $n && $sent > 100_000;
        },
        20
    );
    my $before = -1;
    wait_for(sub { my $was = $before; $before = memory($t->pid);
            $was == $before }, 5);
    cmp_ok $before, '<', 40_000, 'the peer does not: memory is bounded';
    $t->kill('HUP');
    is $t->status, 0, 'a signal ends it within moments';

    my $r = $cli->program('sh', '-c',
        "$AML::Cli::AML tunnel pour-lab | head -c 10; wait");
    is $r->wait, 0, 'whoever reads goes away';
    is $r->look->errors, '', 'which is no error';
};

# Both ends in one, as socat's EXEC has it.
subtest 'a socket' => sub {
    socketpair my $here, my $there, AF_UNIX, SOCK_STREAM, 0 or die $!;
    my $tunnel = sub ($name) {
        my $pid = fork // die "fork: $!";
        return $pid if $pid;
        open STDIN,  '<&', $there;
        open STDOUT, '>&', $there;
        %ENV = %{$cli->environment};
        exec $AML::Cli::AML, 'tunnel', $name or POSIX::_exit(127);
    };
    my $ended = sub ($pid) {
        return wait_for(sub { waitpid($pid, WNOHANG) == $pid }, 5) ? $? : undef;
    };
    my $pid = $tunnel->('mute-lab');
    syswrite $here, 'said before it goes';
    close $here;
    is $ended->($pid), 0, 'whose other end has gone, while the peer stays'
        or kill 'KILL', $pid;
    ok peer_says(qr/^mute heard said before it goes$/m), 'all was sent';
    is fcntl($there, F_GETFL, 0) & O_NONBLOCK, 0, 'its flags are as they were';
};

subtest 'a terminal that is not looked at' => sub {
    my $file = path($gw->dir, 'terminal-pid');
    my $noted = () = $peer->log->slurp =~ /^flood stands/mg;
    my $t = $cli->program('script', '-qec',
        "echo \$\$ > $file; exec $AML::Cli::AML tunnel flood-lab", '/dev/null');
    ok wait_for(sub { (() = $peer->log->slurp =~ /^flood stands/mg) > $noted }),
        'the peer stands';
    chomp(my $pid = $file->slurp);
    kill 'TERM', $pid;
    ok wait_for(sub {
            my $stat = eval { path("/proc/$pid/stat")->slurp } // ') Z';
            return $stat =~ /\) Z/;
        }, 5), 'a signal ends it';
};

subtest 'peers that break rules' => sub {
    my %status = (policy => 1, away => 0, afterward => 0, bare => 1);
    my %said   = (
        policy => qr/^aml: the gateway has closed the tunnel: session_ended: you have signed out.*1008/,
        text   => qr/text came/,
        bare   => qr/no words \(0\)/,
    );
    for my $name (AML::TunnelPeer->broken) {
        my $t = $cli->begin('tunnel', "$name-lab");
        is $t->wait, $status{$name} // 5, "$name: status";
        like $t->errors, $said{$name} // qr/the tunnel has ended/, "$name: said"
            if $status{$name} // 1;
        unlike $t->errors, qr/\e/, "$name: to no terminal";
        is $t->got, $name eq 'nested' ? 'a' : '', "$name: nothing of it";
    }
    ok peer_says(qr/^text close 1003$/m),   'text is 1003';
    ok peer_says(qr/^masked close 1002$/m), 'a mask is 1002';
    my $t = $cli->begin('tunnel', 'cut-lab');
    is $t->wait, 5, 'a connection that is cut';
    like $t->errors, qr/cut/, 'said';
    is $t->got, 'a', 'what came before is not lost';
};

subtest 'no tunnel' => sub {
    my %want = (
        refuse      => [1, qr/This is not yours\..*\(not_creator\)/],
        plain       => [1, qr/no tunnel/],
        wrongaccept => [5, qr/Sec-WebSocket-Accept is wrong/],
        extension   => [5, qr/not offered/],
        noupgrade   => [5, qr/no websocket/],
        bighead     => [5, qr/does not answer/],
        cuthead     => [5, qr/does not answer/],
    );
    for my $name (sort keys %want) {
        my $t = $cli->begin('tunnel', "$name-lab");
        is $t->wait, $want{$name}[0], "$name: status";
        like $t->errors, $want{$name}[1], "$name: said";
        unlike $t->errors, qr/\e/, "$name: to no terminal";
    }
    my $t = $cli->begin('tunnel', 'starting-lab');
    $t->send("up\n");
    ok $t->says(qr/^up\n$/), 'one that has to start first';
    like $t->errors, qr/not ready yet/, 'and it is said';
    for my $bad (['x/y'], ['lab', '0'], ['lab', '22x'], ['lab', '65536']) {
        is $cli->aml('tunnel', @$bad)->{status}, 2, "@$bad";
    }
};

subtest 'through a proxy' => sub {
    my $port = AML::Port->take;
    my $dir  = path($gw->dir, 'proxy')->make_path;
    $dir->child('tinyproxy.conf')->spurt(
        "Port $port\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\n",
        "LogFile \"$dir/tinyproxy.log\"\nMaxClients 50\n",
        "BasicAuth someone s3cret\nConnectPort @{[$peer->port]}\n",
        "ConnectPort @{[$gw->port]}\n"
    );
    {
        local $ENV{LD_PRELOAD} =
            "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/localhost.so";
        $gw->spawn('proxy', 'tinyproxy', '-d', '-c', "$dir/tinyproxy.conf");
    }
    ok wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1',
                PeerPort => $port) }), 'tinyproxy runs';
    my $proxied = sub {
        my $log = eval { $dir->child('tinyproxy.log')->slurp } // '';
        return scalar(() = $log =~ /Request .*CONNECT \S*\.aml\.localhost/g)
    };

    local $cli->env->{HTTPS_PROXY} =
        "http://someone:s3cret\@127.0.0.1:$port";
    my $t = $cli->begin('tunnel', 'echo-lab');
    $t->send("by proxy\n");
    ok $t->says(qr/^by proxy\n$/), 'the tunnel' or diag $t->errors;
    ok $proxied->() > 0, 'went through it';
    $t->close_in;
    is $t->wait, 0, 'and ends';
    is $cli->aml(qw(instance list))->{status}, 0, 'and the control API';

    $cli->env->{HTTPS_PROXY} = "http://someone:wrong\@127.0.0.1:$port";
    $t = $cli->begin('tunnel', 'echo-lab');
    is $t->wait, 5, 'a wrong password';
    like $t->errors, qr/proxy wants a name and a password/, 'is said';

    my $before = $proxied->();
    local $cli->env->{NO_PROXY} = '.aml.localhost';
    $t = $cli->begin('tunnel', 'echo-lab');
    $t->send("direct\n");
    ok $t->says(qr/^direct\n$/), 'NO_PROXY goes around it';
    $t->close_in;
    is $t->wait, 0, 'and ends';
    is $proxied->(), $before, 'the proxy saw nothing of it';
    $gw->end(proxy => 'TERM');
};

$peer->stop;
$gw->done;
