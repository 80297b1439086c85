# What the README tells people to type: ./dev run, stop, and a second start,
# with the lines that it gives for scripts, word for word.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use File::Temp ();
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use POSIX      qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(sleep time);
use AML::Port;
use AML::Wait qw(wait_for);

my $root = path($FindBin::Bin)->dirname->dirname->realpath;
chdir $root or die "$root: $!";

# short: addresses of unix sockets have at most 107 bytes
my $run = File::Temp::tempdir('/tmp/aml-demo.XXXXXX', CLEANUP => 1);
$ENV{AML_RUN}  = $run;
$ENV{AML_PORT} = my $port = AML::Port->take;

sub dev (@arguments) {
    my $from = time;
    my $out  = qx(./dev @arguments 2>&1);
    return {status => $? >> 8, out => $out, took => time - $from};
}

sub stopped () {
    return !grep { (readlink "$_/exe" // '') =~ m{/(?:amld|nginx)\b}
            && (eval { path("$_/cmdline")->slurp } // '') =~ /\Q$run\E/ }
        glob '/proc/[0-9]*';
}

my ($demo, $foreground);

END {
    kill 'KILL', -$foreground if $foreground;
    dev('stop') if $run && !stopped();
}

subtest 'the first start' => sub {
    my $r = dev('run', '--detach');
    is $r->{status}, 0, 'succeeds' or diag $r->{out};
    like $r->{out}, qr{https://first-lab\S+:$port/lab}, 'says the address';
    $demo = decode_json(path($run, 'demo.json')->slurp);
    is $demo->{studio}, "https://aml.localhost:$port", 'demo.json: the studio';
    is $demo->{apps}, "instances.aml.localhost:$port", 'the apps domain';
    is $demo->{ca}, "$run/ca.pem", 'the authority';
    like $demo->{workspace}, qr{^/subscriptions/[^/]+/.*/workspaces/demo$},
        'the workspace';
    is_deeply [map { [$_->{name}, $_->{roles}] } @{$demo->{users}}],
        [
            [creator => ['Contributor']], [colleague => ['Contributor']],
            [reader  => ['Reader']]
        ],
        'the users';
    is scalar(grep { length $_->{password} >= 20 } @{$demo->{users}}), 3,
        'with passwords of their own';
    is_deeply $demo->{instances}, [{name => 'first-lab', creator => 'creator'}],
        'the instance';
    is((stat path($run, 'demo.json'))[2] & 0777, 0600, 'for nobody else');
    like $r->{out}, qr/\Q$demo->{users}[0]{password}\E/, 'the password is said';
};

subtest 'the lines of the README' => sub {
    my ($lines) = path('README.md')->slurp =~ /```sh\n(password=.*?)```/s
        or die 'the README has no such lines';
    $lines =~ s{build/run}{$run}g;
    $lines =~ s{:8443}{:$port}g;
    my $out = qx(set -e; exec 2>/dev/null; $lines);
    is $? >> 8, 0, 'succeed';
    ok exists decode_json($out)->{started}, 'Jupyter says since when it runs';
};

subtest 'again while it runs' => sub {
    my $r = dev('run', '--detach');
    is $r->{status}, 0, 'succeeds';
    like $r->{out}, qr/It runs already/, 'and says so';
    $r = dev('status');
    is $r->{status}, 0, 'status';
    like $r->{out}, qr/first-lab is Running/, 'names the instance';
};

subtest 'stop' => sub {
    my $r = dev('stop');
    is $r->{status}, 0, 'succeeds' or diag $r->{out};
    ok stopped(), 'nothing runs any more';
    isnt dev('status')->{status}, 0, 'and status says so';
};

subtest 'in the foreground, until Ctrl-C' => sub {
    my $from = time;
    my $pid  = fork // die "fork: $!";
    if ($pid == 0) {
        setpgrp;
        $SIG{INT} = 'DEFAULT';    # what runs in the background ignores it
        open STDOUT, '>', "$run/out";
        open STDERR, '>&', \*STDOUT;
        exec './dev', 'run';
    }
    $foreground = $pid;
    my $said = sub { -e "$run/out" ? path("$run/out")->slurp : '' };
    ok wait_for(sub { $said->() =~ /Ctrl-C ends the demo/ }, 60),
        'it is up again';
    cmp_ok time - $from, '<', 30, 'within seconds';
    is decode_json(path($run, 'demo.json')->slurp)->{users}[0]{password},
        $demo->{users}[0]{password}, 'with the same password';
    kill 'INT', -$pid;
    my $ended;
    wait_for(sub { $ended = waitpid($pid, WNOHANG) == $pid }, 60)
        or kill 'KILL', -$pid;
    is $ended && $?, 0, 'Ctrl-C ends it cleanly';
    undef $foreground;
    ok wait_for(sub { stopped() }, 20), 'and all that it started';
};

subtest 'a port that is taken' => sub {
    my $other = IO::Socket::IP->new(
        LocalHost => '127.0.0.1', LocalPort => $port, Listen => 1,
        ReuseAddr => 1
    ) or die "port $port: $!";
    my $r = dev('run', '--detach');
    isnt $r->{status}, 0, 'fails';
    like $r->{out}, qr/port $port is taken.*AML_PORT=/s, 'and says what to do';
    ok stopped(), 'nothing is left behind';
};

done_testing;
