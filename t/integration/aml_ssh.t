# aml ssh, ssh-config and the tunnel, with OpenSSH's own programs and a real
# gateway; and aml open.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use IO::Socket::IP;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Cli;
use AML::Port;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw   = AML::Test->start(instances => {'plain-lab' => 'creator'});
my $cli  = AML::Cli->new(gw => $gw, name => 'creator')->login;
my $user = getpwuid $<;
my $key  = $gw->dir . '/id';
$gw->run('', qw(ssh-keygen -q -t ed25519 -N), '', '-f', $key)->{status} == 0
    or die 'no key';
my @ssh = ('ssh', '-i', $key, '-o', 'BatchMode=yes', '-o',
    'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR');

sub ssh (@args) {
    my $p = $cli->begin(@ssh, @args);
    $p->close_in;
    $p->wait(60);
    return $p;
}

$cli->aml_ok(qw(instance create first-lab --ssh-key), "$key.pub");

subtest 'a command' => sub {
    my $p = ssh('first-lab', 'echo', 'hello;', 'exit', '7');
    is $p->status, 7, 'its status' or diag $p->errors;
    is $p->got, "hello\n", 'and what it says';
    is $p->errors, '', 'and nothing else';
    my $known = path($cli->home, '.local/state/aml/known_hosts')->slurp;
    like $known, qr/^\S+ ssh-ed25519 \S+$/m,
        'the host\'s key is kept, apart from one\'s others';
    unlike ssh('first-lab', '-v')->errors, qr/debug1/,
        'options behind are the command\'s';
    is ssh('first-lab', '--', 'true')->status, 0, 'after "--" as well';
    is ssh('first-lab', 'echo', 1 .. 200)->got, join(' ', 1 .. 200) . "\n",
        'as many arguments as there are';

    $p = $cli->begin(@ssh, 'first-lab', 'cat');
    my $bytes = join '', map { chr int rand 256 } 1 .. 200_000;
    $p->send($bytes)->close_in;
    is $p->wait(60), 0, 'what it reads';
    is sha256_hex($p->look->got), sha256_hex($bytes), 'comes there and back';
};

subtest 'a forward' => sub {
    my ($here, $there) = (AML::Port->take, AML::Port->take);
    my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $there, Listen => 1, ReuseAddr => 1);
    my $p = $cli->begin(@ssh, '-N', '-L', "127.0.0.1:$here:127.0.0.1:$there",
        'first-lab');
    my $socket;
    ok wait_for(sub { $socket = IO::Socket::IP->new(
                PeerHost => '127.0.0.1', PeerPort => $here) }), 'listens';
    my $other = $listen->accept;
    syswrite $other, "through\n";
    is readline($socket), "through\n", 'leads there';
    $p->kill('TERM');
};

subtest 'ssh-config' => sub {
    my $entry = $cli->aml_ok(qw(ssh-config first-lab));
    like $entry, qr/^Host first-lab\.aml$/m, 'the host';
    like $entry, qr/^    User \Q$user\E$/m,  'the user';
    ok !-e $cli->home . '/.ssh', 'nothing is written unasked';

    my $dir = path($cli->home, '.ssh')->make_path;
    my $was = "# mine\nServerAliveInterval 7\n\nHost box\n  User me\n";
    my $real = path($cli->home, 'dotfiles')->make_path->child('ssh');
    $real->spurt($was);
    chmod 0640, $real;
    symlink $real, $dir->child('config');
    $cli->aml_ok(qw(ssh-config --write)) for 1 .. 3;
    ok -l $dir->child('config'), 'a link stays one';
    is sprintf('%o', (stat $real)[2] & 07777), '640', 'with its mode';
    my $ours = $cli->home . '/.config/aml/ssh_config';
    is $real->slurp, qq{Include "$ours"\n\n$was}, 'one line more, once';
    is scalar(() = path($ours)->slurp =~ /^Host /mg), 1, 'one entry';
    path($ours)->spurt("# note\n" . path($ours)->slurp);
    $cli->aml_ok(qw(ssh-config --write first-lab));
    like path($ours)->slurp, qr/^# note\n# >>> aml: first-lab\.aml\n/,
        'what is beside it stays';

    my @with = ('-F', "$real", '-o', 'BatchMode=yes', '-i', $key);
    my $run  = sub (@command) {
        my $p = $cli->program(@command);
        $p->close_in;
        $p->wait(60);
        return $p;
    };
    my $p = $run->('ssh', '-G', '-F', "$real", 'first-lab.aml');
    like $p->got, qr/^serveraliveinterval 7$/m, 'what was there still holds';
    unlike $run->('ssh', '-G', '-F', "$real", 'box')->got, qr/\.aml\b|proxycommand/,
        'and nothing of ours for others';
    $p = $run->('ssh', @with, 'first-lab.aml', 'echo', 'by config');
    is $p->got, "by config\n", 'ssh takes it' or diag $p->errors;
    path($gw->dir, 'file')->spurt('x' x 1_000_000);
    is $run->('scp', @with, $gw->dir . '/file', 'first-lab.aml:there')->status,
        0, 'scp, too';
    is -s $gw->share('Users', 'creator', 'there'), 1_000_000, 'all of it';

    $cli->aml_ok(qw(ssh-config --remove first-lab));
    is path($ours)->slurp, "# note\n", 'taken out again';
    # many at once, each of a profile
    my $json = decode_json($cli->credentials->slurp);
    $json->{profiles}{"p$_"} = $json->{profiles}{default} for 1 .. 12;
    $cli->credentials->spurt(encode_json($json));
    $real->spurt($was);
    my @all = map {
        $cli->begin('-p', "p$_", qw(ssh-config --write first-lab))
    } 1 .. 12;
    is $_->wait, 0, 'one of many' or diag $_->errors for @all;
    is scalar(() = path($ours)->slurp =~ /^Host first-lab\.p\d+\.aml$/mg), 12,
        'none is lost';
    is $real->slurp, qq{Include "$ours"\n\n$was}, 'nor the line that leads there';

    path($ours)->spurt("# >>> aml: first-lab.aml\nHost x\n");
    my $r = $cli->aml(qw(ssh-config --write first-lab));
    is $r->{status}, 1, 'an entry without an end is left alone';
    is path($ours)->slurp, "# >>> aml: first-lab.aml\nHost x\n", 'it is';
};

subtest 'without amld' => sub {
    my $p = $cli->begin('tunnel', 'first-lab');
    ok $p->says(qr/^SSH-2\.0-/), 'the tunnel as such';
    $p->close_in;
    is $p->wait, 0, 'ends';
    $gw->stop_amld;
    $p = $cli->begin('tunnel', 'first-lab');
    ok $p->says(qr/^SSH-2\.0-/), 'needs no amld';
    $p->close_in;
    is $p->wait, 0, 'ends';
    $gw->start_amld;
};

subtest 'refused, and ended' => sub {
    my $r = $cli->aml('ssh', 'plain-lab');
    is $r->{status}, 1, 'no SSH';
    like $r->{err}, qr/--ssh-key/, 'is told how to have it';
    is $cli->aml('ssh', 'nowhere')->{status}, 4, 'no instance';
    is $cli->aml('tunnel', 'nowhere')->{status} != 0, 1, 'no tunnel';

    my $them = AML::Cli->new(gw => $gw, name => 'colleague')->login;
    my $p    = $them->begin('tunnel', 'first-lab');
    is $p->wait, 1, 'a colleague';
    like $p->errors, qr/\(not_creator\)/, 'is refused';

    my $stays = $cli->begin('tunnel', 'first-lab');
    ok $stays->says(qr/SSH/), 'one is open';
    $cli->aml_ok(qw(instance stop first-lab));
    ok defined $stays->wait(5), 'stopping ends it';
    like $stays->errors, qr/closed the tunnel: .*\(1008\)/, 'with words';
    $r = $cli->aml('ssh', 'first-lab');
    is $r->{status}, 1, 'a stopped one';
    like $r->{err}, qr/is Stopped: aml instance start/, 'says what to do';
};

subtest 'an old name' => sub {
    $cli->aml_ok(qw(instance delete -y first-lab));
    $cli->aml_ok(qw(instance create first-lab --ssh-key), "$key.pub");
    is ssh('first-lab', 'true')->status, 0, 'is another host';
};

subtest 'open' => sub {
    is $cli->aml_ok('open', 'first-lab'), $gw->app_url('first-lab', "/lab\n"),
        'lab';
    is $cli->aml_ok('open', 'First-Lab', 'rstudio'),
        $gw->app_url('first-lab', "/\n", 8787), 'rstudio';
    is $cli->aml_ok('open', 'first-lab', '6006'),
        $gw->app_url('first-lab', "/\n", 6006), 'a port';
    is $cli->aml('open', 'first-lab', 'emacs')->{status}, 2, 'nothing known';
    # a browser, where there is somebody to see it
    my $seen = path($gw->dir, 'seen');
    my $browser = path($gw->dir, 'browser')->spurt("#!/bin/sh\n",
        "echo \"\$*\" > $seen\ngrep SigIgn /proc/self/status >> $seen\n");
    chmod 0755, $browser;
    local $cli->env->{BROWSER} = "$browser";
    $cli->aml_ok('open', 'first-lab');
    ok !-e $seen, 'no browser where there is no terminal';
    is $cli->program('script', '-qec', "$AML::Cli::AML open first-lab",
        '/dev/null')->wait, 0, 'on a terminal';
    my ($url, $ignored) = split /\n/, $seen->slurp;
    is $url, $gw->app_url('first-lab', '/lab'), '$BROWSER is started';
    is hex(($ignored =~ /(\w+)$/)[0]) & 1 << 12, 0, 'and may end by SIGPIPE';
    is $cli->program('script', '-qec',
        "$AML::Cli::AML open --print first-lab > /dev/null", '/dev/null')->wait,
        0, '--print';

    my $other = AML::Cli->new(gw => $gw, name => 'reader')->login;
    is $other->aml('open', 'nowhere')->{status}, 4,
        'where nothing is known it is asked for';
};

$gw->done;
