# Instances that nobody uses stop; a page or a session of SSH that is open is no
# use, a kernel that computes and a job are, though nobody looks.  With real
# Jupyter Servers, and OpenSSH through the gateway.
#
# amld and nginx run with a clock that is many times as fast (libfaketime), so
# that the least idle time of 15 minutes can be waited for.  amld's monotonic
# clock stays, as real processes have to start and stop in real time.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(time);
use AML::Cli;
use AML::Jobs;
use AML::Needs;
use AML::SSH;
use AML::Test;
use AML::Wait qw(turn wait_for);

use constant SPEED => 45;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
needs 'libfaketime is not installed', $faketime;
plan skip_all => 'libfaketime and the sanitizers exclude each other'
    if $AML::Test::VARIANT eq 'asan';
needs 'there is no Jupyter', -x "$AML::Test::VENV/bin/jupyter";

my $gw = AML::Test->prepare(
    application => 'jupyter',
    amld        => sub ($text) {
        "session_idle = 0\nsession_lifetime = 30d\ntoken_lifetime = 1d\n$text"
    }
);
my $zero = time;

sub fast ($run, %more) {
    my $now = strftime('%Y-%m-%d %H:%M:%S',
        localtime($zero + (time - $zero) * SPEED));
    local @ENV{qw(LD_PRELOAD FAKETIME), keys %more}
        = ($faketime, "\@$now x" . SPEED, values %more);
    return $run->();
}

sub start_amld {
    fast(
        sub { $gw->start_amld },
        FAKETIME_DONT_FAKE_MONOTONIC => 1,
        DONT_FAKE_MONOTONIC          => 1
    );
}

# Minutes of the fast clock since the test began.
sub minutes { (time - $zero) * SPEED / 60 }

sub create ($name, %properties) {
    my $tx = $gw->api(
        PUT => $gw->compute($name), 'creator',
        json => $gw->compute_body(%properties)
    );
    like $tx->res->code, qr/^20[01]$/, "$name: created";
}

# A new token may be of the future where nginx's fast clock is a little behind
# that of amld.
sub idle ($name, $who = 'creator') {
    my $res;
    wait_for(
        sub {
            $res = $gw->api(GET => $gw->compute($name) . '/idle', $who)->res;
            return $res->code != 401;
        }
    );
    return $res;
}

start_amld();
$gw->add_account('creator',  'Contributor');
$gw->add_account('reader',   'Reader');
$gw->add_account('stranger');
fast(sub { $gw->start_nginx });

my $ssh = AML::SSH->new(gw => $gw, name => 'open-tab',
    user => scalar getpwuid $<);
create('open-tab', $ssh->settings, idleTimeBeforeShutdown => 'PT15M');
create($_, idleTimeBeforeShutdown => 'PT15M') for qw(busy-one worked-on has-job);
create('no-limit');
$gw->wait_state($_, 'Running')
    for qw(open-tab busy-one worked-on has-job no-limit);

subtest 'what is said of it' => sub {
    my $answer = idle('open-tab')->json;
    is $answer->{idleTimeBeforeShutdown}, 'PT15M', 'its time';
    like $answer->{stopsAt}, qr/^20\d\d-.*Z$/, 'when it stops';
    like $answer->{idleSince}, qr/^20\d\d-.*Z$/, 'since when it is idle';
    cmp_ok $answer->{minutes}, '<=', 16, 'in how many minutes';
    like $answer->{reasons}[0], qr/^It stops in \d+ minutes because /, 'why';
    is_deeply $answer->{keeps}, [], 'nothing keeps it';
    is idle('open-tab', 'reader')->code, 200, 'whoever may read it';
    is idle('open-tab', 'stranger')->code, 403, 'nobody else';
    is idle('nothing')->code, 404, 'one that is not there';
    like idle('no-limit')->json('/reasons/0'), qr/does not stop by itself/,
        'one that has no time';
};

my $jobs = AML::Jobs->new(gw => $gw, compute => 'has-job');
$jobs->submit('train', $jobs->waits);
$jobs->up('train');

sub job_keeps {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer = idle('has-job')->json;
    is_deeply $answer->{keeps}, ['A job runs or waits.'], 'a job keeps it';
    is $answer->{stopsAt}, undef, 'so that it does not stop';
    is $jobs->status('train'), 'Running', 'as it runs';
}
job_keeps();

$ssh->proxy(AML::SSH::by_aml(
    AML::Cli->new(gw => $gw, name => 'creator')->login, 'open-tab'));
my $shell = $ssh->open(flags => ['-tt']);
$shell->type("echo :\$((6*7)):\n");
ok $shell->says(qr/:42:/), 'a session of SSH' or diag $shell->err;
my $said = minutes();

my $me = $gw->opened('creator', 'busy-one');

# Runs code in a new kernel, and leaves.
sub compute ($name, $code) {
    my $api = $gw->app_url($name, '/api');
    $me->navigate($gw->app_url($name, '/tree'));
    my $xsrf = $me->cookie('_xsrf', $gw->app_host($name));
    my $res  = $me->fetch(
        POST    => "$api/kernels",
        json    => {name => 'python3'},
        headers => {'X-XSRFToken' => $xsrf}
    )->res;
    is $res->code, 201, 'a kernel' or return;
    my $ws = $me->websocket(
        "$api/kernels/" . $res->json('/id') . '/channels?session_id=test');
    $ws->send(
        {
            json => {
                channel => 'shell',
                content => {code => $code, silent => \0},
                header  => {
                    msg_id   => 'm1', session => 'test', username => '',
                    msg_type => 'execute_request', version => '5.3'
                },
                parent_header => {}, metadata => {}, buffers => []
            }
        }
    );
    ok $ws->next_message(60, sub ($m) {
        my $j = eval { decode_json($m) } or return 0;
        return ($j->{content}{execution_state} // '') eq 'busy';
    }), 'is at work';
    $ws->close;
}

my $computes = 1500 / SPEED + 10;    # more than 25 minutes of the fast clock
my $begun    = time;
compute('busy-one', "import time; time.sleep($computes)");
my $keeps;
ok wait_for(
    sub {
        $keeps = idle('busy-one')->json('/keeps/0') // '';
        $keeps eq '1 of 1 kernels are at work.';
    }
), 'and keeps it' or diag $keeps;
is idle('busy-one')->json('/stopsAt'), undef, 'so that it does not stop';

# One that somebody types into, and one whose page is open, with nobody there.
$me->navigate($gw->app_url($_, '/tree')) for qw(worked-on open-tab);
my %stopped;
ok wait_for(
    sub {
        $me->fetch(GET => $gw->app_url('open-tab', "/api/$_"))
            for qw(kernels sessions terminals contents?content=1);
        $me->fetch(GET => $gw->app_url('worked-on', '/files/none'));
        for my $name (qw(open-tab busy-one worked-on has-job)) {
            $stopped{$name} //= minutes()
                if $gw->state_of($name) =~ /^Stop/;
        }
        turn(0.2);
        return $stopped{'open-tab'};
    },
    60
), 'the one with an open page stops';
cmp_ok $stopped{'open-tab'} - $said, '>=', 15, 'after its time';
ok $shell->wait, 'and with it the session in which nothing happened';
is $stopped{'busy-one'}, undef, 'the one that computes does not'
    if time < $begun + $computes;
is $stopped{'worked-on'}, undef, 'nor the one that is used';
is $stopped{'has-job'}, undef, 'nor the one with a job';
job_keeps();
is $gw->state_of('no-limit'), 'Running', 'nor the one that has no time';

$gw->wait_state('open-tab', 'Stopped');
my $last = $gw->api(GET => $gw->compute('open-tab'), 'creator')
    ->res->json('/properties/properties/lastOperation');
is_deeply [@$last{qw(operationName operationStatus operationTrigger)}],
    [qw(Stop Succeeded IdleShutdown)], 'and it says why';
like $gw->log_text('amld.err'),
    qr/open-tab: Stop by IdleShutdown: It was idle for 1\d minutes/,
    'so does the log';
like idle('open-tab')->json('/reasons/0'), qr/^It is Stopped\.$/,
    'there is nothing to say of it now';

subtest 'amld starts anew' => sub {
    $gw->kill_amld;
    my $from = minutes();
    start_amld();
    my $answer = idle('no-limit');
    is $answer->code, 200, 'it is there';
    job_keeps();
    my $let = minutes();
    $jobs->go('train');
    $jobs->ends('train', 'Completed');
    is_deeply idle('has-job')->json('/keeps'), [], 'a job that is over does not';
    ok wait_for(
        sub {
            for my $name (qw(worked-on has-job)) {
                $stopped{$name} //= minutes()
                    if $gw->state_of($name) =~ /^Stop/;
            }
            turn(0.2);
            return $stopped{'worked-on'} && $stopped{'has-job'};
        },
        60
    ), 'one that is used no more stops, and one without a job';
    cmp_ok $stopped{'worked-on'} - $from, '>=', 15,
        'but not for what was before';
    cmp_ok $stopped{'has-job'} - $let, '>=', 15, 'nor right after the job';
    like $gw->log_text('amld.err'),
        qr/has-job: Stop by IdleShutdown: It was idle for 1\d minutes/,
        'as the log has it';
};

ok wait_for(sub { turn(0.2); $gw->state_of('busy-one') =~ /^Stop/ }, 90),
    'what has computed stops as well';
cmp_ok time, '>=', $begun + $computes, 'when it is done';

subtest 'a program in a terminal, with nobody there' => sub {
    $me->navigate($gw->app_url('no-limit', '/tree'));
    my $res = $me->fetch(
        POST    => $gw->app_url('no-limit', '/api/terminals'),
        json    => {},
        headers => {
            'X-XSRFToken' => $me->cookie('_xsrf', $gw->app_host('no-limit'))
        }
    )->res;
    is $res->code, 200, 'a terminal' or return;
    my $ws = $me->websocket($gw->app_url('no-limit',
        '/terminals/websocket/' . $res->json('/name')));
    is_deeply idle('no-limit')->json('/keeps'), [], 'that waits is no use';

    # Its own words: what was typed comes back before that.
    $ws->send(
        {json => ['stdin', "printf 'wor%s\\n' king; while :; do :; done\r"]});
    my $shown = '';
    ok $ws->next_message(60, sub ($m) {
        my $j = eval { decode_json($m) } or return 0;
        $shown .= $j->[1] if $j->[0] eq 'stdout';
        return $shown =~ /working/;
    }), 'a program begins' or diag $shown;
    $ws->close;
    my $said;
    ok wait_for(
        sub {
            $said = idle('no-limit')->json;
            ($said->{keeps}[0] // '') eq 'A program in a terminal is at work.';
        }
    ), 'one at work is' or diag explain $said;
};

$gw->done;
