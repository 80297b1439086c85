# The gateway's counters, in Prometheus' text format.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $bearer = $gw->bearer('creator');

sub metrics {
    my $res = $gw->program->get($gw->studio_url('/.aml/status'))->res;
    is $res->code, 200, 'answers' if $res->code != 200;
    my %m = $res->body =~ /^(\w+(?:\{[^}]*\})?) (\d+(?:\.\d+)?)$/mg;
    $m{TEXT} = $res;
    return \%m;
}

my $before = metrics();
like $before->{TEXT}->headers->content_type, qr{^text/plain; version=0\.0\.4},
    'content type';
is $before->{aml_registry_up}, 1, 'the registry is up';
for my $line (grep { !/^#/ } split /\n/, $before->{TEXT}->body) {
    next if $line =~ /^[a-z_]+(\{[a-z]+="(?:[a-z_]+|\d+|\+Inf)"\})? \d+(\.\d+)?$/;
    fail "malformed: $line";
}

$gw->program->get($gw->app_url('first-lab', '/x'), headers => $bearer)
    for 1 .. 10;
$gw->program->get($gw->app_url('first-lab', '/x'),
    headers => $gw->bearer('colleague'))
    for 1 .. 3;
$gw->program->get($gw->app_url('first-lab', '/x'),
    headers => {Authorization => 'Bearer x'});
$gw->program->get($gw->app_url('no-9'));
my $after = metrics();
my $grew  = sub ($reason) {
    my $name = qq(aml_decisions_total{reason="$reason"});
    return $after->{$name} - $before->{$name};
};
cmp_ok $grew->('ok'), '>=', 10, 'allowed requests are counted';
is $grew->('not_creator'),     3, 'refusals by reason';
is $grew->('token_malformed'), 1, 'a bad token';

subtest 'websockets' => sub {
    my $me  = $gw->opened('creator', 'first-lab');
    my $now = metrics()->{aml_websockets};
    my $closed = metrics()->{aml_websockets_closed_total};
    my @ws  = map { $me->websocket($gw->app_url('first-lab', '/ws')) } 1 .. 3;
    ok $_->echoes('x'), 'open' for @ws;
    is metrics()->{aml_websockets}, $now + 3, 'three more';
    $ws[0]->close;
    ok wait_for(sub { metrics()->{aml_websockets} == $now + 2 }), 'one less';

    # the application goes on: it is the gateway that closes
    $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'));
    ok $_->closes(2), 'closed' for @ws[1, 2];
    ok wait_for(sub { metrics()->{aml_websockets} == $now }), 'none left';
    is metrics()->{aml_websockets_closed_total}, $closed + 2,
        'two were closed by the gateway';
};

subtest 'jobs' => sub {
    my $jobs = AML::Jobs->new(gw => $gw, compute => 'first-lab');
    my $is   = sub ($name, %want) {
        my ($m, %got) = metrics();
        $got{$_} = $m->{$_ =~ /^(?:completed|failed|canceled)$/
            ? qq(aml_jobs_ended_total{status="$_"}) : "aml_jobs_$_"}
            for keys %want;
        is_deeply \%got, \%want, $name or diag explain \%got;
    };
    $is->('none at first', submitted_total => 0, queued => 0, running => 0,
        completed => 0, failed => 0, canceled => 0);
    $jobs->submit(good => 'true');
    $jobs->submit(bad  => 'exit 3');
    $jobs->submit(long => 'sleep 1000');
    $jobs->ends(good => 'Completed');
    $jobs->ends(bad  => 'Failed');
    $jobs->becomes(long => 'Running');
    $is->('as they end', submitted_total => 3, queued => 0, running => 1,
        completed => 1, failed => 1, canceled => 0);

    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    $gw->wait_state('first-lab', 'Stopped');
    $jobs->submit($_ => 'true') for qw(waits other);
    $jobs->cancel('other');
    $jobs->ends(other => 'Canceled');
    my @after = (submitted_total => 5, queued => 1, running => 0,
        completed => 1, failed => 2, canceled => 1);
    $is->('those that wait', @after);
    $gw->kill_amld;
    $is->('while amld is down', @after);
    $gw->start_amld;
    $is->('and with another', @after);

    my $m    = metrics();
    my @wait = map { $m->{qq(aml_job_wait_seconds_bucket{le="$_"})} }
        qw(1 10 60 600 3600 +Inf);
    is_deeply \@wait, [sort { $a <=> $b } @wait], 'buckets hold one another';
    is $wait[-1], 3, 'of all that were started';
    is $m->{aml_job_wait_seconds_count}, 3, 'which are counted';
    cmp_ok $m->{aml_job_wait_seconds_sum}, '>', 0, 'and how long they waited';
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $jobs->ends(waits => 'Completed');
    $is->('it runs then', submitted_total => 5, queued => 0, running => 0,
        completed => 2, failed => 2, canceled => 1);
};

subtest 'services' => sub {
    my @names = map {"aml_service_${_}_total"} qw(starts restarts failures);
    my $now   = sub { [@{metrics()}{@names}] };
    my $give  = sub ($command) {
        my $res = $gw->api(
            POST => $gw->compute('first-lab') . '/customServices', 'creator',
            json => [{name => 'mine', command => $command, endpoints => []}])
            ->res;
        is $res->code, 200, 'a service' or diag $res->body;
    };
    is_deeply $now->(), [0, 0, 0], 'none at first';
    $give->('exec sleep 1000');
    ok wait_for(sub { $now->()[0] == 1 }), 'one that was started';
    $give->('exit 3');
    ok wait_for(sub { $now->()[1] > 0 }), 'one that ends is started again';
    my ($starts, $restarts, $failures) = @{$now->()};
    is $starts, $restarts + 2, 'which is a start, too';
    is $failures, 0, 'and not given up yet';
};

subtest 'a reload goes on counting' => sub {
    my $name = 'aml_decisions_total{reason="not_creator"}';
    my $count = metrics()->{$name};
    $gw->reload_nginx;
    is metrics()->{$name}, $count, 'the same';
};

is $gw->program->request(POST => $gw->studio_url('/.aml/status'))->res->code,
    405, 'POST is no way to read it';

$gw->done;
