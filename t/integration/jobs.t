# Jobs are run: in order, as many as there is room for, and what is asked of
# them, or done by them, at any moment leads to an end that is told.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->prepare(amld => sub ($t) {
    "$t\nstop_timeout = 1s\njob_log_max = 1m\n"
});
unlink $gw->dir . '/venv/bin/jupyter';
symlink "$FindBin::Bin/../lib/small-application",
    $gw->dir . '/venv/bin/jupyter'
    or die "symlink: $!";
$gw->start_amld;
$gw->add_account('creator',   'Contributor');
$gw->add_account('colleague', 'Contributor');
$gw->start_nginx;

sub lifecycle ($verb, $to) {
    $gw->api(POST => $gw->compute('lab') . "/$verb", 'creator');
    ok wait_for(sub { $gw->state_of('lab') =~ /^(?:$to)$/ }), "$verb: $to";
}

my $tx = $gw->api(PUT => $gw->compute('lab'), 'creator',
    json => $gw->compute_body);
like $tx->res->code, qr/^20[01]$/, 'an instance';
$gw->wait_state('lab', 'Running');
my $slots = 2 * do {
    my $sizes = $gw->amld_ok('registry', 'dump', '--json');
    my ($cores) = $sizes =~ /"cores":\s*(\d+)/;
    $cores;
};
my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');

# Processes with that in their environment.
sub alive ($mark) {
    return grep {
        my $environ = eval { path("$_/environ")->slurp } // '';
        $environ =~ /(?:^|\0)MARK=\Q$mark\E-$$(?:\0|$)/
    } glob '/proc/[0-9]*';
}

subtest 'one' => sub {
    $jobs->submit(
        'hello',
        "echo \"it's \$NAME\n'quoted'\"; pwd >&2; echo 3 > model.txt; cat",
        environmentVariables => {NAME => "a \$(b) 'c' \"d\"\nnext"}
    );
    my $is = $jobs->ends('hello', 'Completed');
    is $is->{exitCode}, 0, 'exit code';
    is $jobs->log('hello'),
        "it's a \$(b) 'c' \"d\"\nnext\n'quoted'\n"
        . $jobs->file('jobs', 'hello') . "\n", 'its log';
    is $jobs->file('jobs', 'hello', 'model.txt')->slurp, "3\n", 'its output';
    is $is->{folder}, 'Users/creator/jobs/hello', 'and where it is';
    is((stat $jobs->file('jobs', 'hello'))[2] & 0777, 0700, 'the creator\'s');

    $jobs->submit('fails', 'echo why; exit 3');
    is $jobs->ends('fails', 'Failed', qr/exit status 3/)->{exitCode}, 3,
        'and one that fails';
    my $refused = $jobs->put('image', 'true', environmentId => 'image:x/y');
    is $refused->res->code, 400, 'there are no images here';
    like $refused->res->json('/error/message'), qr/no images/, 'it says';
};

subtest 'two a core, in order' => sub {
    $jobs->file('order')->spurt('');
    my @all = map {"s$_"} 1 .. $slots + 3;
    $jobs->submit($_, $jobs->waits) for @all;
    $jobs->up($_) for @all[0 .. $slots - 1];
    $jobs->becomes($all[$slots - 1], 'Running');
    is $jobs->status($_), 'Queued', "$_ waits" for @all[$slots .. $#all];
    is $gw->state_of('lab'), 'JobRunning', 'the instance says that one runs';

    my @next = @all[$slots .. $#all];
    for my $end (@all[1, 0]) {
        $jobs->go($end);
        $jobs->up(my $next = shift @next);
        is $jobs->status($end), 'Completed', "$end has ended, $next runs";
        is $jobs->status($next[0]), 'Queued', "$next[0] waits";
    }
    $jobs->go(@all);
    $jobs->ends($_, 'Completed') for @all;
    my @order = $jobs->order;
    is_deeply [sort @order], [sort @all], 'each has run once';
    is_deeply [@order[$slots .. $#order]], [@all[$slots .. $#all]],
        'those that waited in their order';
    is $gw->state_of('lab'), 'Running', 'no more';
};

subtest 'canceled in every state' => sub {
    my @fill = map {"f$_"} 1 .. $slots;
    $jobs->submit($_, $jobs->waits) for @fill;
    $jobs->up($_) for @fill;

    $jobs->submit('waiting', $jobs->waits);
    is $jobs->cancel('waiting'), 202, 'one that waits';
    is $jobs->status('waiting'), 'Canceled', 'is so at once';

    $jobs->submit('running', 'trap "echo saved; exit 0" TERM; '
            . 'touch ../../running.up; while :; do sleep 0.02; done');
    $jobs->go('f1');
    $jobs->up('running');
    is $jobs->cancel('running'), 202, 'one that runs';
    $jobs->ends('running', 'Canceled');
    like $jobs->log('running'), qr/saved/, 'it had time to save';
    ok !-e $jobs->file('waiting.up'), 'the first was never run';

    # a moment after it was submitted: held back, just begun, or ended
    for my $k (1 .. 20) {
        $jobs->submit("soon$k", 'sleep 0.0' . $k % 4);
        select undef, undef, undef, 0.004 * ($k % 5);
        like $jobs->cancel("soon$k"), qr/^20[02]$/, "soon$k";
    }
    for my $k (1 .. 20) {
        my $is = $jobs->becomes("soon$k", 'Completed|Canceled|Failed');
        isnt $is->{status}, 'Failed', "soon$k: $is->{status}"
            or diag $is->{message};
    }
    is $jobs->cancel('running'), 200, 'and one that has ended';
    $jobs->go(@fill);
    $jobs->ends($_, 'Completed') for @fill;
};

subtest 'those that do not want to end' => sub {
    $jobs->submit('stubborn',
        "trap '' TERM; MARK=stubborn-$$ sleep 600 & touch ../../stubborn.up; "
            . 'while :; do wait; done');
    $jobs->submit('away',
        "MARK=away-$$ setsid sh -c 'trap \"\" TERM; sleep 600 & sleep 600' & "
            . "(MARK=away-$$ sh -c 'sleep 600 &' &); sleep 0.2; exit 5");
    $jobs->ends('away', 'Failed', qr/exit status 5/);
    ok wait_for(sub { !alive('away') }), 'what it has left is ended with it';

    $jobs->up('stubborn');
    ok alive('stubborn'), 'one that ignores SIGTERM';
    $jobs->cancel('stubborn');
    $jobs->ends('stubborn', 'Canceled');
    ok wait_for(sub { !alive('stubborn') }), 'is killed, with what it started';

    $jobs->submit('late', 'exec sleep 600', limits => {timeout => 'PT1S'});
    $jobs->ends('late', 'Failed', qr/within 1 second, its timeout/);
};

subtest 'a log without end' => sub {
    $jobs->submit('chatter', 'yes "a line of many" | head -c 300000000; '
            . 'echo; echo the last line');
    $jobs->ends('chatter', 'Completed');
    my $size = -s $jobs->file('jobs', 'chatter', 'std_log.txt');
    cmp_ok $size, '<=', 2**20 + 1000, "is bounded: $size bytes";
    my $log = $jobs->log('chatter');
    like $log, qr/\Aa line of many\n/,         'it has the beginning,';
    like $log, qr/\nthe last line\n\z/,        'the end,';
    like $log, qr/\[amld: \d+ bytes left out/, 'and says what is not there';
};

subtest 'a stop keeps the queue' => sub {
    $jobs->file('order')->spurt('');
    my @all = map {"q$_"} 1 .. $slots + 2;
    $jobs->submit($_, $jobs->waits) for @all;
    $jobs->up($_) for @all[0 .. $slots - 1];
    lifecycle(stop => 'Stopped');
    $jobs->ends($_, 'Failed', qr/instance was stopped/)
        for @all[0 .. $slots - 1];
    is $jobs->status($_), 'Queued', "$_ waits" for @all[$slots .. $#all];
    $jobs->submit('q-stopped', 'true');
    is $jobs->status('q-stopped'), 'Queued', 'and another is taken';
    $jobs->submit('q-canceled', 'touch ../../ran');
    is $jobs->cancel('q-canceled'), 202, 'or canceled';
    is $jobs->status('q-canceled'), 'Canceled', 'at once';

    lifecycle(start => 'Running|JobRunning');
    $jobs->up($_) for @all[$slots .. $#all];
    $jobs->ends('q-stopped', 'Completed');
    ok !-e $jobs->file('ran'), 'what was canceled is not run';

    lifecycle(restart => 'Running');
    $jobs->ends($_, 'Failed', qr/instance was restarted/)
        for @all[$slots .. $#all];
};

subtest 'a deletion cancels it' => sub {
    my @all = map {"d$_"} 1 .. $slots + 2;
    $jobs->submit($_, 'exec sleep 600') for @all;
    $jobs->becomes($all[$slots - 1], 'Running');
    $gw->api(DELETE => $gw->compute('lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'});
    $gw->wait_state('lab', '');
    $jobs->ends($_, 'Canceled', qr/instance was deleted/) for @all;
    is $jobs->log('hello'),
        "it's a \$(b) 'c' \"d\"\nnext\n'quoted'\n"
        . $jobs->file('jobs', 'hello') . "\n", 'logs stay';
};

$gw->done;
