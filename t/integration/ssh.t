# sshd in an instance, as OpenSSH's own programs see it.  Straight to its
# socket: what the gateway does in between is ssh_tunnel.t's.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use IO::Socket::IP;
use IO::Socket::UNIX;
use Mojo::File qw(path);
use Test::More;
use AML::Port;
use AML::SSH;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw   = AML::Test->start(instances => {'plain-lab' => 'creator'});
my $user = getpwuid $<;
my $ssh  = AML::SSH->new(gw => $gw, name => 'first-lab', user => $user);

sub create ($name, $key) {
    my $tx = $gw->api(PUT => $gw->compute($name), 'creator',
        json => $gw->compute_body($key->settings));
    $tx->res->code == 201 or $gw->give_up($tx->res->body);
    $gw->wait_state($name, 'Running');
}

sub inner ($name) {
    return $gw->api(GET => $gw->compute($name), 'creator')
        ->res->json('/properties/properties');
}

# The private directory that a name's socket and files are in.
sub private ($name) {
    my ($id) = $gw->amld_ok('registry', 'dump')
        =~ m{^runtime/(\w+)/\S+/\Q$name\E\b}m;
    return path($gw->dir, 'state/i', $id // $gw->give_up("where is $name?"));
}

sub order ($verb, $name, $state) {
    $gw->api(POST => $gw->compute($name) . "/$verb", 'creator')->res->code
        == 202
        or $gw->give_up("$verb $name");
    $gw->wait_state($name, $state);
}

create('first-lab', $ssh);
my $private = private('first-lab');
my $folder  = $gw->share('Users', 'creator')->to_string;
$ssh->to_socket("$private/ssh.sock");

subtest 'what the API says' => sub {
    my $said = inner('first-lab')->{sshSettings};
    is $said->{sshPublicAccess}, 'Enabled',    'it is on';
    is $said->{adminUserName},   $user,        'whom to sign in as';
    is $said->{sshPort},         22,           'the port that hosts name';
    is $said->{adminPublicKey},  $ssh->public, 'the key that lets in';

    $said = inner('plain-lab')->{sshSettings};
    is $said->{sshPublicAccess}, 'Disabled', 'without a key it is off';
    is $said->{$_}, undef, "no $_" for qw(adminUserName sshPort);
    ok !-e private('plain-lab') . '/ssh.sock', 'nothing listens';
    ok !-e private('plain-lab') . '/ssh.log',  'nothing was started';
};

subtest 'a command' => sub {
    is $ssh->run('pwd')->{out}, "$folder\n", 'begins in one\'s folder';
    is $ssh->run('echo $AML_INSTANCE')->{out}, "first-lab\n", 'knows where';
    is $ssh->run('command -v jupyter')->{out},
        $gw->dir . "/venv/bin/jupyter\n", 'has the notebooks\' programs';
    is $ssh->run('echo $TMPDIR')->{out}, "$private/tmp\n", 'and their /tmp';
    is $ssh->run('echo "$SSH_ORIGINAL_COMMAND"')->{out}, "\n",
        'nothing of how it came to be is left';
    is $ssh->run('exit 7')->{status},   7,   'its status';
    is $ssh->run('kill -9 $$')->{status}, 255, 'its signal, as ssh says it';
    is $ssh->run(q{printf '%s|' "a  b" 'c"d' '$e' "f
g"})->{out}, qq{a  b|c"d|\$e|f\ng|}, 'quotes and lines as they are';
    is $ssh->run('printenv LANG', options => ['SendEnv=LANG'])->{out},
        ($ENV{LANG} || 'C.UTF-8') . "\n", 'a language';

    my $bytes = join '', map { chr rand 256 } 1 .. 1_000_000;
    my $r     = $ssh->run('cat', input => $bytes);
    is sha256_hex($r->{out}), sha256_hex($bytes), 'a megabyte of any bytes';
};

subtest 'a terminal' => sub {
    my $shell = $ssh->open(flags => ['-tt']);
    $shell->type("stty -echo; tty; pwd; command -v jupyter; echo :\$((6*7)):\n");
    ok $shell->says(qr/:42:/), 'a shell' or diag $shell->err;
    like $shell->out, qr{/dev/pts/\d+}, 'on a terminal';
    like $shell->out, qr{\Q$folder\E\r?$}m, 'in one\'s folder';
    like $shell->out, qr{\Q${\$gw->dir}\E/venv/bin/jupyter\r?$}m,
        'also behind the profile it has the notebooks\' programs';
    $shell->type("exit 3\n");
    ok $shell->wait, 'it ends';
    is $shell->status, 3, 'with its status';
};

subtest 'who is let in' => sub {
    my $other = $ssh->make_key('other');
    my $r = $ssh->run('true', options => ["IdentityFile=$other"]);
    is $r->{status}, 255, 'another key is refused';
    like $r->{err}, qr/Permission denied \(publickey\)/, 'by nothing but keys';

    $r = $ssh->run('true', options => ['PubkeyAuthentication=no']);
    like $r->{err}, qr/Permission denied \(publickey\)/, 'no password either';

    my ($else) = grep { $_ ne $user } qw(root nobody daemon);
    $r = $ssh->run('true', options => ["User=$else"]);
    is $r->{status}, 255, "not as $else, by the same key";

    my $many = AML::SSH->new(gw => $gw, name => 'first-lab', user => $user,
        proxy => $ssh->proxy);
    my @keys = map { 'IdentityFile=' . $ssh->make_key("many$_") } 1 .. 8;
    $r = $many->run('echo in', options => [@keys, 'IdentityFile=' . $ssh->key]);
    is $r->{out}, "in\n", 'the ninth key of an agent is heard, too';
};

subtest 'files' => sub {
    my $bytes = join '', map { chr rand 256 } 1 .. 300_000;
    my $from  = path($gw->dir, 'from.bin')->spurt($bytes);

    my $r = $ssh->scp($from, 'first-lab:');
    is $r->{status}, 0, 'scp' or diag $r->{err};
    is path($folder, 'from.bin')->slurp, $bytes, 'into one\'s folder';
    $r = $ssh->scp('-O', "first-lab:from.bin", $gw->dir . '/back.bin');
    is $r->{status}, 0, 'scp as it was, back' or diag $r->{err};
    is path($gw->dir, 'back.bin')->slurp, $bytes, 'the same';

    $r = $ssh->sftp("pwd\nmkdir deep\nput $from deep/x\nls deep\n");
    is $r->{status}, 0, 'sftp' or diag $r->{err};
    like $r->{out}, qr{directory: \Q$folder\E$}m, 'begins there';
    is path($folder, 'deep/x')->slurp, $bytes, 'and puts a file';

    path($gw->dir, 'tree/a/b')->make_path;
    path($gw->dir, "tree/a/b/$_")->spurt("file $_") for 1 .. 50;
    $r = $ssh->rsync('-a', $gw->dir . '/tree/', 'first-lab:tree/');
    is $r->{status}, 0, 'rsync' or diag $r->{err};
    is path($folder, 'tree/a/b/50')->slurp, 'file 50', 'a tree';
    path($gw->dir, 'tree/a/b/7')->spurt('changed');
    $r = $ssh->rsync('-ai', $gw->dir . '/tree/', 'first-lab:tree/');
    is scalar(() = $r->{out} =~ /^<f/mg), 1, 'and then what has changed';
};

# A server that greets once for each connection.
sub greeter ($text) {
    my $server = IO::Socket::IP->new(
        LocalHost => '127.0.0.1',
        LocalPort => 0,
        Listen    => 8
    ) or die $@;
    my $pid = fork // die $!;
    if ($pid == 0) {
        while (my $c = $server->accept) {
            sysread $c, my $ask, 100;
            syswrite $c, "HTTP/1.0 200 OK\r\n\r\n$text: $ask";
            close $c;
        }
        POSIX::_exit(0);
    }
    return ($server->sockport, sub { kill 'KILL', $pid; waitpid $pid, 0 });
}

sub greeted ($port) {
    my $s = IO::Socket::IP->new(
        PeerHost => '127.0.0.1',
        PeerPort => $port
    ) or return '';
    syswrite $s, "hello\r\n\r\n";
    local $/;
    return readline($s) // '';
}

subtest 'forwards' => sub {
    my ($port, $end) = greeter('there');
    my ($l, $r, $d) = map { AML::Port->take } 1 .. 3;
    my $session = $ssh->open(flags => [
        '-N', '-L', "$l:127.0.0.1:$port", '-R', "$r:127.0.0.1:$port", '-D', $d
    ]);
    ok wait_for(sub { greeted($l) =~ /there: hello/ }), '-L' or diag $session->err;
    ok wait_for(sub { greeted($r) =~ /there: hello/ }), '-R';
    my $curl = $gw->run('', 'curl', '-s', '--socks5', "127.0.0.1:$d",
        "http://127.0.0.1:$port/x");
    like $curl->{out}, qr{there: GET /x}, '-D';

    my $wide = path('/proc/net/tcp')->slurp;
    my $hex  = sprintf '%04X', $r;
    like $wide, qr/ 0100007F:$hex 00000000:0000 0A/,
        'what is forwarded back is for the machine itself only';
    $session->end;
    ok wait_for(sub { greeted($r) eq '' }), 'and goes with the session';
    $end->();
};

subtest 'the host key' => sub {
    my $key = path($private, 'ssh/host_key.pub')->slurp;
    order(restart => 'first-lab', 'Running');
    is $ssh->run('true')->{status}, 0, 'a restart: known as before';
    order(stop => 'first-lab', 'Stopped');
    order(start => 'first-lab', 'Running');
    is $ssh->run('true')->{status}, 0, 'so it is after a stop';
    is path($private, 'ssh/host_key.pub')->slurp, $key, 'it is the same';

    my $second = AML::SSH->new(gw => $gw, name => 'second-lab', user => $user);
    create('second-lab', $second);
    my $place = private('second-lab');
    isnt path($place, 'ssh/host_key.pub')->slurp, $key,
        'another instance has another';

    # One that a full disk has cut short.
    order(stop => 'second-lab', 'Stopped');
    path($place, 'ssh/host_key')->spurt('-----BEGIN');
    order(start => 'second-lab', 'Running');
    $second->to_socket("$place/ssh.sock");
    is $second->run('true')->{status}, 0, 'one that is broken is made anew';
    is path($place, 'ssh/host_key.broken')->slurp, '-----BEGIN',
        'and is there to be looked at';

    $gw->api(DELETE => $gw->compute('second-lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'});
    $gw->wait_state('second-lab', '');
    ok !-e $place, 'it goes with the instance';
};

sub listener {
    my @found = grep {
        (eval { path("$_/cmdline")->slurp } // '')
            =~ m{^socat\0UNIX-LISTEN:\Q$private\E/}
            && (split ' ', path("$_/stat")->slurp)[3] != $$
    } glob '/proc/[0-9]*';
    return map {/(\d+)$/} @found;
}

subtest 'what is kept from being added' => sub {
    my $keys = path($private, 'ssh/authorized_keys');
    my $was  = $keys->slurp;
    $keys->spurt($was, path($ssh->make_key('other') . '.pub')->slurp);
    order(restart => 'first-lab', 'Running');
    is $keys->slurp, $was, 'a start writes the key that it was created with';

    my $tx = $gw->api(PUT => $gw->compute('first-lab'), 'creator',
        json => $gw->compute_body(sshSettings => {
            sshPublicAccess => 'Enabled',
            adminPublicKey  => path($ssh->make_key('other') . '.pub')->slurp
        }));
    is $tx->res->code, 400, 'the API changes no key';
    $tx = $gw->api(PUT => $gw->compute('plain-lab'), 'creator',
        json => $gw->compute_body($ssh->settings));
    is $tx->res->code, 400, 'nor does it add one later';
};

subtest 'a listener that is killed' => sub {
    my $session = $ssh->open(flags => ['-tt']);
    $session->type("echo :\$((6*7)):\n");
    ok $session->says(qr/:42:/), 'somebody is there' or diag $session->err;
    my ($pid) = listener();
    ok $pid, 'the listener';
    kill 'KILL', $pid;
    ok $session->wait, 'those who are there are gone with it';
    ok wait_for(sub { my ($new) = listener(); $new && $new != $pid }),
        'it is started again';
    ok wait_for(sub { $ssh->run('true')->{status} == 0 }), 'and lets in';
    is $gw->state_of('first-lab'), 'Running', 'the instance went on';
};

subtest 'a shim that is killed leaves nobody in' => sub {
    my $session = $ssh->open(flags => ['-N']);
    ok wait_for(sub { $ssh->run('true')->{status} == 0 }), 'it lets in';
    my ($pid)  = listener();
    my ($shim) = (split ' ', path("/proc/$pid/stat")->slurp)[3];
    $gw->kill_amld;
    kill 'KILL', $shim;
    kill 'KILL', $pid;
    ok $session->wait, 'sshd ends without a command to find it by';
    $gw->start_amld;
    ok wait_for(sub { $ssh->run('true')->{status} == 0 }), 'it is there again';
};

subtest 'many connections' => sub {
    my ($pid) = listener();
    my (@idle, $most);
    my $knock = sub {
        my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM);
        $s->blocking(0);
        push @idle, $s if connect $s, pack_sockaddr_un("$private/ssh.sock");
        my $n = split ' ', path("/proc/$pid/task/$pid/children")->slurp;
        $most = $n if $n > ($most // 0);
        return;
    };
    wait_for(sub { $knock->() for 1 .. 20; $most >= 64 });
    $knock->() for 1 .. 200;
    is $most, 64, 'so many have their sshd, and say nothing';
    cmp_ok scalar @idle, '<', 90, 'few wait, the rest is turned away';
    is $gw->state_of('first-lab'), 'Running', 'amld answers';
    $_->close for @idle;
    ok wait_for(sub { $ssh->run('true')->{status} == 0 }), 'then it lets in';
};

subtest 'a stop ends sessions' => sub {
    my $session = $ssh->open(flags => ['-tt']);
    $session->type("trap '' TERM HUP; echo :\$((6*7)):\n");
    ok $session->says(qr/:42:/), 'a session';
    my ($pid) = listener();
    order(stop => 'first-lab', 'Stopped');
    ok $session->wait, 'is ended';
    ok !-e "$private/ssh.sock", 'nothing listens';
    ok !kill(0, $pid), 'nor is there anything to';
};

$gw->done;
