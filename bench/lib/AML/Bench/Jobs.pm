package AML::Bench::Jobs;

# Jobs of one instance that has two slots: submissions, and what lies between
# the last that one job does and the first that the next one does.

use strict;
use warnings;

use AML::Bench::Report qw(add_row wanted);
use AML::Bench::SignIn qw(end_gateway in_order);
use AML::Test;
use AML::Wait qw(wait_for);
use Exporter 'import';
use Mojo::File qw(path);
use Time::HiRes qw(sleep time);

# For beside() and result().
use AML::Bench::Computes;

our @EXPORT_OK = qw(jobs);

my $round = 0;

sub jobs {
    my ($b) = @_;

    my $gw = AML::Test->start(
        accounts => {creator => 'Contributor'},
        nginx    => sub {
            $_[0] =~ s/(zone=aml_control:\S+) rate=\S+;/$1 rate=100000r\/s;/r;
        },
        amld => sub {
            $_[0]
                . qq(\njob_queue = 100000\njob_history = 1000000\n)
                . qq(job_history_size = 1g\nsize "ONE" {\n    family = "f"\n)
                . qq(    cores = 1\n    memory = "1g"\n}\n);
        }
    );
    $gw->token('creator');
    call($gw, $gw->program, PUT => $gw->compute('lab'), 201,
        $gw->compute_body(vmSize => 'ONE'));
    $gw->wait_state('lab', 'Running');

    measure($b, $gw, 'no history');

    if (wanted('history')) {
        $gw->stop_amld;
        my $fill = $gw->run('', "$b->{root}/build/release/t/jobs_fill",
            $gw->dir . '/amld.conf',
            AML::Test::WORKSPACE, 'lab', $b->{history});
        die "jobs_fill: $fill->{err}" if $fill->{status};
        $gw->start_amld;
        $gw->wait_state('lab', 'Running');
        measure($b, $gw, "$b->{history} in the history");
    }

    end_gateway($gw);
    return;
}

sub measure {
    my ($b, $gw, $which) = @_;
    submissions($b, $gw, $which) if wanted("submissions, $which");
    starts($b, $gw, $which)      if wanted("start, $which");
    through($b, $gw, $which)     if wanted("short jobs, $which");
    return;
}

# To an instance that is stopped: nothing runs beside.
sub submissions {
    my ($b, $gw, $which) = @_;

    my $tag = 's' . ++$round;
    stop($gw, 'Stopped');
    my @from = map {
        my $client = $_;
        AML::Bench::Computes::beside($gw, sub {
            my $browser = $gw->program;
            my $end     = time + $b->{seconds};
            my $done    = 0;
            while (time < $end) {
                submit($gw, $browser, "$tag-$client-" . $done++, 'true');
            }
            return {done => $done};
        })
    } 1 .. $b->{clients};
    my $done = 0;
    $done += AML::Bench::Computes::result($_)->{done} for @from;

    add_row({
        case    => "submissions, $which, $b->{clients} clients",
        done    => $done,
        seconds => $b->{seconds} + 0,
        text    => sprintf('%.0f a second', $done / $b->{seconds}),
    });

    empty($gw);
    stop($gw, 'Running');
    return;
}

# What waits is canceled, or it would run before what is measured next.
sub empty {
    my ($gw) = @_;
    my $browser = $gw->program;
    call($gw, $browser, DELETE => $gw->compute('lab'), 202, undef,
        '&underlyingResourceAction=Delete');
    $gw->wait_state('lab', '');
    call($gw, $browser, PUT => $gw->compute('lab'), 201,
        $gw->compute_body(vmSize => 'ONE'));
    return;
}

# One slot is taken all the time, in the other one job runs after the other.
# Each notes the first and the last moment of its own.
sub starts {
    my ($b, $gw, $which) = @_;

    my $tag     = 't' . ++$round;
    my $browser = $gw->program;
    my $note    = $gw->share('Users', 'creator', "$tag.times");
    submit($gw, $browser, "$tag-long", 'exec sleep 3600');
    submit($gw, $browser, "$tag-first", 'until [ -e ../../go ]; do sleep 0.1; done');
    my $times = 'b=$EPOCHREALTIME; sleep 0.01; '
        . "echo \"\$b \$EPOCHREALTIME\" >> $note";
    submit($gw, $browser, "$tag-$_", $times) for 1 .. $b->{starts};
    path($gw->share('Users', 'creator', 'go'))->spurt('');

    wait_for(sub { -e $note && lines($note) == $b->{starts} }, 120)
        or die "jobs do not end\n";
    call($gw, $browser, POST => "@{[$gw->workspace]}/jobs/$tag-long/cancel",
        202);
    unlink $gw->share('Users', 'creator', 'go');

    my @times = map { [split] } lines($note);
    my @took  = in_order(
        map { $times[$_][0] - $times[$_ - 1][1] } 1 .. $#times);
    my $p99 = $took[int(@took * 0.99)];
    add_row({
        case    => "start of the next job, $which",
        starts  => scalar @took,
        seconds => {
            p50 => $took[@took / 2] + 0,
            p99 => $p99 + 0,
            max => $took[-1] + 0
        },
        limit => 0.05,
        met   => $p99 < 0.05,
        text  => sprintf('p50 %.1f ms, p99 %.1f ms, most %.1f ms',
            map { 1000 * $_ } $took[@took / 2], $p99, $took[-1]),
    });
    return;
}

# As many as there are, one after the other, in both slots.
sub through {
    my ($b, $gw, $which) = @_;

    my $tag     = 'u' . ++$round;
    my $browser = $gw->program;
    my $note    = $gw->share('Users', 'creator', "$tag.ran");
    submit($gw, $browser, "$tag-hold$_",
        'until [ -e ../../go ]; do sleep 0.05; done')
        for 1, 2;
    submit($gw, $browser, "$tag-$_", "echo x >> $note") for 1 .. $b->{starts};
    path($gw->share('Users', 'creator', 'go'))->spurt('');
    wait_for(sub { -e $note }, 60) or die "jobs do not begin\n";
    my $began = time;
    wait_for(sub { lines($note) == $b->{starts} }, 120)
        or die "jobs do not end\n";
    my $took = time - $began;
    unlink $gw->share('Users', 'creator', 'go');
    add_row({
        case    => "short jobs, $which",
        done    => $b->{starts} + 0,
        seconds => $took,
        text    => sprintf('%.0f a second, of one instance',
            $b->{starts} / $took),
    });
    return;
}

sub lines { split /\n/, path(shift)->slurp }

sub stop {
    my ($gw, $state) = @_;
    return if $gw->state_of('lab') eq $state;
    $gw->api(POST => $gw->compute('lab')
            . ($state eq 'Running' ? '/start' : '/stop'), 'creator')
        if $gw->state_of('lab') !~ /ing$/ || $state eq 'Stopped';
    $gw->wait_state('lab', $state);
    return;
}

sub submit {
    my ($gw, $browser, $name, $command) = @_;
    call($gw, $browser, PUT => $gw->workspace . "/jobs/$name", 201,
        {properties => {
            jobType   => 'Command',
            computeId => 'lab',
            command   => $command
        }});
    return;
}

# One call of the control API on a connection that stays.
sub call {
    my ($gw, $browser, $method, $path, $want, $json, $query) = @_;
    my $tx = $browser->request(
        $method,
        $gw->studio_url("$path?api-version=2022-10-01" . ($query // '')),
        headers => $gw->bearer('creator'),
        ($json ? (json => $json) : ())
    );
    die "$method $path: " . $tx->res->code . ' ' . $tx->res->body . "\n"
        if $tx->res->code != $want;
    return $tx;
}

1;
