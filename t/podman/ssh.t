# SSH into a container: root inside, by the key that the instance was created
# with, and by nothing that root inside does about it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::UNIX;
use Mojo::File qw(path);
use Test::More;
use AML::Podman;
use AML::SSH;
use AML::Wait qw(wait_for);

AML::Podman->need;
my $gw  = AML::Podman->start;
my $ssh = AML::SSH->new(gw => $gw, name => 'anna-lab', user => 'root');
$gw->create('anna-lab', 'creator', $ssh->settings);
my $socket = $gw->private('anna-lab') . '/s/ssh.sock';
$ssh->to_socket($socket);

subtest 'root inside' => sub {
    my $said = $gw->api(GET => $gw->compute('anna-lab'), 'creator')
        ->res->json('/properties/properties/sshSettings');
    is $said->{adminUserName}, 'root', 'whom to sign in as';
    is $ssh->run('id -u; pwd; hostname')->{out},
        "0\n/share/Users/creator\nanna-lab\n", 'who and where one is';
    is $ssh->run('command -v python; echo $AML_INSTANCE')->{out},
        "/opt/aml/bin/python\nanna-lab\n", 'the notebooks\' Python';
    my $r = $ssh->run('true', options => ['User=www-data']);
    isnt $r->{status}, 0, 'nobody else, by the same key';

    my $shell = $ssh->open(flags => ['-tt']);
    $shell->type("stty -echo; command -v python; echo :\$((6*7)):\n");
    ok $shell->says(qr/:42:/), 'a terminal' or diag $shell->err;
    like $shell->out, qr{/opt/aml/bin/python\r?$}m, 'with the same';
    $shell->end;
};

subtest 'files and forwards' => sub {
    my $from = path($gw->dir, 'from.bin')
        ->spurt(join '', map { chr rand 256 } 1 .. 100_000);
    is $ssh->scp($from, 'anna-lab:')->{status}, 0, 'scp';
    is $gw->share('Users/creator/from.bin')->slurp, $from->slurp, 'arrives';
    is $ssh->rsync('-a', $from, 'anna-lab:synced/')->{status}, 0, 'rsync';
    is $ssh->sftp("ls -l\n")->{status}, 0, 'sftp';

    my $back    = 40000 + $$ % 10000;
    my $session = $ssh->open(flags => ['-N', '-R', "$back:127.0.0.1:9"]);
    ok wait_for(
        sub {
            $ssh->run("ss -ltnH 'sport = :$back'")->{out} =~ /127\.0\.0\.1:$back/;
        }
    ), '-R listens inside, on its loopback' or diag $session->err;
};

subtest 'what root inside can plant' => sub {
    my $other = $ssh->make_key('other');
    my $key   = path("$other.pub")->slurp;
    chomp $key;
    $gw->inside('anna-lab', <<"EOF2");
mkdir -p /root/.ssh
echo 'command="echo planted" $key' > /root/.ssh/authorized_keys
echo 'echo planted' > /root/.ssh/rc
echo 'PLANTED=yes' > /root/.ssh/environment
echo 'Port 2222' > /etc/ssh/sshd_config
EOF2
    isnt $ssh->run('true', options => ["IdentityFile=$other"])->{status}, 0,
        'a key in ~/.ssh does not let in';
    is $ssh->run('env | grep -c PLANTED')->{out}, "0\n",
        'nor are rc and environment there read';

    my $place = '/root/.aml/ssh';
    $gw->inside('anna-lab', "rm -rf $place; ln -s /etc $place");
    my $tx = $gw->api(POST => $gw->compute('anna-lab') . '/restart', 'creator');
    is $tx->res->code, 202, 'a link in the place of its directory';
    ok wait_for(sub { $gw->state_of('anna-lab') =~ /Stopped|Running/ });
    is $gw->state_of('anna-lab'), 'Stopped', 'is not followed, and said';
    ok !-e "/etc/sshd_config.aml-new" && !-e '/etc/authorized_keys',
        'nothing was written there';
    path($gw->private('anna-lab'), 'home/.aml/ssh')->remove;
    $gw->order(start => 'anna-lab', 'Running');
    unlink $ssh->known;
    is $ssh->run('true')->{status}, 0, 'without it all is well';
};

subtest 'its socket is replaced' => sub {
    $gw->inside('anna-lab',
        'rm /run/aml/ssh.sock; ln -s /run/aml/jupyter.sock /run/aml/ssh.sock');
    ok !IO::Socket::UNIX->new($socket), 'a link is not followed';
    $gw->inside('anna-lab', 'rm /run/aml/ssh.sock; pkill -x socat');
    ok wait_for(sub { $ssh->run('true')->{status} == 0 }),
        'a listener that is ended is started again';
};

subtest 'the host key stays as long as the instance' => sub {
    my $key = $gw->inside('anna-lab', 'cat /root/.aml/ssh/host_key.pub');
    like $key, qr/^ssh-ed25519 /, 'there is one';
    $gw->order(stop => 'anna-lab', 'Stopped');
    ok !-e $socket, 'a stop takes the socket';
    $gw->order(start => 'anna-lab', 'Running');
    is $ssh->run('true')->{status}, 0, 'it is known as before';
    is $gw->inside('anna-lab', 'cat /root/.aml/ssh/host_key.pub'), $key, 'same';
};

subtest 'one that was created without a key' => sub {
    $gw->create('bert-lab', 'colleague');
    ok !-e $gw->private('bert-lab') . '/s/ssh.sock', 'does not listen';
    unlike $gw->inside('bert-lab', 'ps -eo args'), qr/sshd|socat/, 'at all';
};

$gw->done;
