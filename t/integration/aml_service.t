# aml service: commands of one's own, added, told what to do, and removed.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Cli;
use AML::Port;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw  = AML::Test->start(instances => {'first-lab' => 'creator'});
my $cli = AML::Cli->new(gw => $gw, name => 'creator')->login;
my ($port, $other) = (AML::Port->take, AML::Port->take);
my $web = 'python3 -m http.server --bind 127.0.0.1';

subtest 'add' => sub {
    my $r = $cli->aml(qw(service add first-lab web -P), "$port", qw(-e A=b=c --),
        "echo A is \$A; exec $web $port");
    is $r->{status}, 0, 'added' or diag $r->{err};
    like $r->{err}, qr/^web is Running\.$/m, 'and waited for';
    my ($address) = $cli->aml_ok('open', 'first-lab', $port) =~ /(\S+)/;
    is $gw->program->get($address, headers => $gw->bearer('creator'))
        ->res->code, 200, 'it is reached where aml opens it';
    like $cli->aml_ok(qw(service logs first-lab web)), qr/^A is b=c$/m,
        'its log';
    $r = $cli->aml(qw(service add first-lab bad -P), $other, '--',
        'echo no; exit 3');
    is $r->{status}, 6, 'one that ends';
    like $r->{err}, qr/^aml: bad is Failed: \S/m, 'is told of';

    like $cli->aml_ok(qw(service list first-lab)),
        qr/^web +Running +$port +echo A.*\nbad +Failed +$other +echo no/m,
        'list';
    is scalar @{decode_json($cli->aml_ok(qw(service list first-lab --json)))},
        2, 'as JSON';
    $r = $cli->aml(qw(service add first-lab web -- true));
    is $r->{status}, 1, 'not twice by mistake';
    like $r->{err}, qr/--replace/, 'and it is said how';
    $r = $cli->aml(qw(service add first-lab later --no-auto-start --),
        'sleep 1000');
    is $r->{status}, 0, 'one that waits to be started';
};

subtest 'stop, start, restart' => sub {
    for my $step (['stop', 'Stopped'], ['start', 'Running'],
        ['restart', 'Running'])
    {
        my $r = $cli->aml('service', $step->[0], 'first-lab', 'web');
        is $r->{status}, 0, $step->[0] or diag $r->{err};
        is $r->{err}, "web is $step->[1].\n", 'said';
    }
};

subtest 'remove' => sub {
    $cli->aml_ok(qw(service remove first-lab bad));
    my $list = $cli->aml_ok(qw(service list first-lab));
    unlike $list, qr/^bad/m, 'gone';
    like $list, qr/^web +Running/m, 'and the others are as they were';
    is $cli->aml(qw(service remove first-lab bad))->{status}, 4,
        'and not there again';
};

subtest 'what can\'t be' => sub {
    for my $case (
        [2, qr/COMMAND/, qw(service add first-lab x)],
        [2, qr/--port wants/, qw(service add first-lab x -P 0 -- true)],
        [2, qr/--port wants/, qw(service add first-lab x -P 1:2:3 -- true)],
        [2, qr/--env wants/, qw(service add first-lab x -e A -- true)],
        [2, qr/can't be a service's name/, qw(service logs first-lab a/b)],
        [4, qr/ServiceNotFound|no service|not/, qw(service start first-lab x)],
        )
    {
        my ($status, $said, @args) = @$case;
        my $r = $cli->aml(@args);
        is $r->{status}, $status, "@args";
        like $r->{err}, $said, 'said';
    }
    my $them = AML::Cli->new(gw => $gw, name => 'colleague')->login;
    my $r    = $them->aml(qw(service stop first-lab web));
    is $r->{status}, 1, 'a colleague';
    like $r->{err}, qr/OwnerOnly/, 'is refused';
};

$gw->done;
