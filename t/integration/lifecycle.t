# What happens to processes does not happen to people: amld is killed, nginx
# is restarted and reloaded, and instances, sessions and routes stay.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'second-lab' => 'creator'});
my $me  = $gw->opened('creator', 'first-lab');
my $url = $gw->app_url('first-lab', '/x');
my $pid = $me->fetch(GET => $url)->res->json('/pid');
ok $pid, 'the application\'s process is known';

subtest 'amld is killed' => sub {
    my $ws = $me->websocket($url);
    ok $ws->echoes('before'), 'a websocket';
    $gw->kill_amld;
    is $me->fetch(GET => $url)->res->json('/pid'), $pid, 'the process serves';
    ok $ws->echoes('meanwhile'), 'and so does the websocket';
    $gw->start_amld;
    is $gw->state_of('first-lab'), 'Running', 'the new amld knows it';
    is $me->fetch(GET => $url)->res->json('/pid'), $pid, 'it was adopted';
    ok $ws->echoes('after'), 'the websocket never noticed';
    ok $gw->signed_in('colleague'), 'people can sign in';
};

subtest 'and what was adopted can be stopped' => sub {
    my $second = $gw->program->get($gw->app_url('second-lab', '/x'),
        headers => $gw->bearer('creator'))->res->json('/pid');
    is $gw->api(POST => $gw->compute('second-lab') . '/stop', 'creator')
        ->res->code, 202;
    $gw->wait_state('second-lab', 'Stopped');
    ok !kill(0, $second), 'its process is gone';
    $gw->api(POST => $gw->compute('second-lab') . '/start', 'creator');
    $gw->wait_state('second-lab', 'Running');
};

subtest 'an application that died while amld was down' => sub {
    my $second = $gw->program->get($gw->app_url('second-lab', '/x'),
        headers => $gw->bearer('creator'))->res->json('/pid');
    $gw->kill_amld;
    kill 'KILL', $second;
    ok wait_for(sub { !kill 0, $second }), 'it died';
    $gw->start_amld;
    my $state;
    ok wait_for(
        sub {
            $state = $gw->state_of('second-lab');
            my $tx = $gw->program->get($gw->app_url('second-lab', '/x'),
                headers => $gw->bearer('creator'));
            $tx->res->code == 200 || $state =~ /Stopped|Failed|Unusable/;
        }
    ), 'it is started again, or said not to run';
    note "state: $state";
};

subtest 'an application that dies' => sub {
    my $first = $me->fetch(GET => $url)->res->json('/pid');
    kill 'KILL', $first;
    my $tx;
    ok wait_for(
        sub {
            $tx = $me->fetch(GET => $url);
            ($tx->res->code == 200 && $tx->res->json('/pid') != $first)
                || $tx->res->code =~ /^(?:409|503)$/;
        }
    ), 'is started again, or there is a reason';
    note $tx->res->code . ' ' . ($tx->res->headers->header('X-AML-Reason')
            // '');
    if ($tx->res->code != 200) {
        $gw->api(POST => $gw->compute('first-lab') . "/$_", 'creator')
            for qw(stop);
        $gw->wait_state('first-lab', 'Stopped');
        $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
        $gw->wait_state('first-lab', 'Running');
    }
    $pid = $me->fetch(GET => $url)->res->json('/pid');
};

subtest 'nginx is reloaded' => sub {
    my $ws = $me->websocket($url);
    ok $ws->echoes('before'), 'a websocket';
    my @old = $gw->workers;
    $gw->reload_nginx;
    is $me->fetch(GET => $url)->res->json('/pid'), $pid, 'sessions';
    ok $ws->echoes('after'), 'and websockets stay';
    $ws->close;
    # nginx complains of one that is ended before it has let go
    ok wait_for(
        sub {
            my %there = map { $_ => 1 } $gw->workers;
            return !grep { $there{$_} } @old;
        }
    ), 'the old workers end when they have';
};

subtest 'nginx is restarted' => sub {
    $gw->restart_nginx;
    is $me->fetch(GET => $url)->res->json('/pid'), $pid, 'sessions stay';
    is $gw->program->get($url, headers => $gw->bearer('creator'))->res->code,
        200, 'tokens stay';
};

subtest 'a worker is killed' => sub {
    $gw->tolerate(qr/worker process \d+ exited on signal 9/);
    my ($worker) = $gw->workers;
    kill 'KILL', $worker;
    ok wait_for(sub { eval { $me->fetch(GET => $url)->res->code } // 0 == 200 }),
        'another takes its place';
    my %seen;
    ok wait_for(
        sub {
            eval { $me->fetch(GET => $url)->res->code == 200 }
                && ++$seen{ok} >= 10;
        }
    ), 'and all is well';
};

subtest 'amld is stopped while something starts' => sub {
    $gw->api(PUT => $gw->compute('third-lab'), 'creator',
        json => $gw->compute_body);
    $gw->kill_amld;
    $gw->start_amld;
    $gw->wait_state('third-lab', 'Running');
    is $gw->program->get($gw->app_url('third-lab', '/x'),
        headers => $gw->bearer('creator'))->res->code, 200,
        'it is brought to its end';
    $gw->api(POST => $gw->compute('third-lab') . '/stop', 'creator');
    $gw->kill_amld;
    $gw->start_amld;
    $gw->wait_state('third-lab', 'Stopped');
    is scalar(
        grep {/third-lab/}
        map { Mojo::File->new("/proc/$_/cmdline")->slurp }
            grep { -r "/proc/$_/cmdline" }
            AML::Reaper::processes($gw->dir)
        ),
        0, 'and leaves no process';
};

subtest 'a second amld' => sub {
    my $r = $gw->run('', 'timeout', '20', $AML::Test::AMLD, '-c',
        $gw->dir . '/amld.conf');
    isnt $r->{status}, 0,   'refuses to run beside the first';
    isnt $r->{status}, 124, 'at once';
    like $r->{err}, qr/\S/, 'and says so';
    is $gw->state_of('first-lab'), 'Running', 'the first is not disturbed';
};

subtest 'amld ends, and instances do not' => sub {
    is $gw->stop_amld, 0, 'it ends cleanly';
    is $me->fetch(GET => $url)->res->json('/pid'), $pid, 'the process serves';
    $gw->start_amld;
    is $gw->state_of('first-lab'), 'Running', 'and is known again';
};

$gw->done;
