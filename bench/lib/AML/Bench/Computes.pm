package AML::Bench::Computes;

# Compute instances, very many or from nothing to ready: with amld and nginx
# as the tests start them.

use strict;
use warnings;

use AML::Bench::Process qw(read_command);
use AML::Bench::Report qw(add_row note);
use AML::Bench::SignIn qw(end_gateway in_order);
use AML::Test;
use AML::Wait qw(wait_for);
use Exporter 'import';
use IO::Socket::UNIX;
use JSON::PP;
use List::Util qw(max min);
use Mojo::File qw(path);
use Socket;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(many operations ready_podman ready_process);

# One account asks for all: its rate limit would be what is measured.
sub unlimited {
    my ($text) = @_;
    return $text =~ s/(zone=aml_control:\S+) rate=\S+;/$1 rate=100000r\/s;/r;
}

# ---- very many ----

# Lists, amld's memory and its restart, with `instances` of them in the
# registry and one that runs.
sub many {
    my ($b) = @_;

    my $gw = AML::Test->start(
        accounts  => {creator => 'Contributor'},
        instances => {runs    => 'creator'},
        nginx     => \&unlimited
    );
    $gw->token('creator');
    $gw->stop_amld;
    my $fill = $gw->run('', "$b->{root}/build/release/t/computes_fill",
        $gw->dir . '/amld.conf', AML::Test::WORKSPACE, $b->{instances});
    die "computes_fill: $fill->{err}" if $fill->{status};
    $gw->start_amld;

    my ($seen, @pages) = pages($b, $gw);
    add_row({
        case    => "list of $b->{instances}, a page",
        pages   => scalar @pages,
        listed  => $seen,
        seconds => spread(@pages),
        met     => $seen >= $b->{instances} && $pages[-1] < 0.1,
        text    => sprintf('%d pages; %s', scalar @pages, milliseconds(@pages)),
    });

    my %kb = path('/proc/' . $gw->pid('amld') . '/status')->slurp
        =~ /^(Vm(?:HWM|RSS)):\s+(\d+) kB/mg;
    add_row({
        case => "amld's memory with $b->{instances}, after lists",
        kb   => {map { $_ => $kb{$_} + 0 } keys %kb},
        met  => $kb{VmHWM} < 100 * 1024,
        text => sprintf('%.0f MB, %.0f MB at most',
            $kb{VmRSS} / 1024, $kb{VmHWM} / 1024),
    });

    restarts($b, $gw);
    end_gateway($gw);
    return;
}

# Of every page, the time until all of it was read.
sub pages {
    my ($b, $gw) = @_;

    my $browser = $gw->program;
    my $url     = $gw->studio_url(
        $gw->workspace . '/computes?api-version=2022-10-01');
    my ($seen, @seconds) = (0);
    while ($url) {
        my $began = time;
        my $tx = $browser->get($url, headers => $gw->bearer('creator'));
        my $list = $tx->res->json;
        push @seconds, time - $began;
        die "$url: " . $tx->res->code . "\n" if $tx->res->code != 200;
        $seen += @{$list->{value}};
        $url = $list->{nextLink};
    }
    return $seen, in_order(@seconds);
}

# amld is killed and started again, and has to answer; requests to the
# application go on all the time.
sub restarts {
    my ($b, $gw) = @_;

    my $stop = $gw->dir . '/stop';
    my $from = beside($gw, sub {
        my $browser = $gw->program;
        my %sum     = (requests => 0, failed => 0);
        while (!-e $stop) {
            my $tx = $browser->get($gw->app_url('runs', '/api/status'),
                headers => $gw->bearer('creator'));
            $sum{requests}++;
            next if $tx->res->code == 200;
            $sum{failed}++;
            $sum{first} //= $tx->res->code;
        }
        return \%sum;
    });

    my @seconds;
    for (1 .. $b->{restarts}) {
        $gw->kill_amld;
        my $began = time;
        $gw->start_amld;
        my $tx = $gw->api(GET => $gw->compute('runs'), 'creator');
        push @seconds, time - $began;
        die 'after a restart: ' . $tx->res->code . "\n"
            if $tx->res->code != 200;
    }
    path($stop)->spurt('');
    my $sum = result($from);

    @seconds = in_order(@seconds);
    add_row({
        case     => "amld killed and started with $b->{instances}",
        restarts => scalar @seconds,
        seconds  => spread(@seconds),
        requests => $sum->{requests},
        failed   => $sum->{failed},
        met      => $seconds[-1] < 2
            && !$sum->{failed}
            && $sum->{requests} > 0,
        text => sprintf('%s; %d of %d requests to the application failed',
            milliseconds(@seconds), $sum->{failed}, $sum->{requests}),
    });
    return;
}

# ---- operations ----

# How many of each kind amld does in a second, for so many clients at once.
sub operations {
    my ($b) = @_;

    my $gw = AML::Test->start(
        accounts  => {creator => 'Contributor'},
        instances => {runs    => 'creator'},
        nginx     => \&unlimited
    );
    $gw->token('creator');

    my %kinds = (
        'reads' => sub {
            my ($browser, $n) = @_;
            return call($gw, $browser, GET => 'runs', 200);
        },
        'updates' => sub {
            my ($browser, $n) = @_;
            return call($gw, $browser, PUT => 'runs', 200,
                json => {%{$gw->compute_body}, tags => {n => "$n"}});
        },
    );
    for my $kind (sort keys %kinds) {
        my @from = map {
            beside($gw, sub {
                my $browser = $gw->program;
                my $end     = time + $b->{seconds};
                my $done    = 0;
                $kinds{$kind}->($browser, $done++) while time < $end;
                return {done => $done};
            })
        } 1 .. $b->{clients};
        my $done = 0;
        $done += result($_)->{done} for @from;
        rate($b, $kind, $done, $b->{seconds});
    }

    # Each client has an instance of its own and stops and starts it.
    my @names = map { 'cycle-' . chr(96 + $_) } 1 .. $b->{clients};
    $gw->create_instance($_, 'creator') for @names;
    my @from = map {
        my $name = $_;
        beside($gw, sub {
            my $browser = $gw->program;
            my $end     = time + 2 * $b->{seconds};
            my $done    = 0;
            while (time < $end) {
                for (['stop', 'Stopped'], ['start', 'Running']) {
                    call($gw, $browser, POST => "$name/$_->[0]", 202);
                    until_state($gw, $browser, $name, $_->[1]);
                    $done++;
                }
            }
            return {done => $done};
        })
    } @names;
    my $done = 0;
    $done += result($_)->{done} for @from;
    rate($b, 'stops and starts, to their end', $done, 2 * $b->{seconds});
    end_gateway($gw);
    return;
}

sub rate {
    my ($b, $kind, $done, $seconds) = @_;
    add_row({
        case    => "$kind, $b->{clients} clients",
        done    => $done,
        seconds => $seconds + 0,
        text    => sprintf('%.0f a second', $done / $seconds),
    });
    return;
}

# One call of the control API on a connection that stays.
sub call {
    my ($gw, $browser, $method, $path, $want, %more) = @_;
    my $query = '?api-version=2022-10-01' . (delete $more{query} // '');
    my $tx = $browser->request(
        $method,
        $gw->studio_url($gw->compute($path) . $query),
        headers => $gw->bearer('creator'),
        %more
    );
    die "$method $path: " . $tx->res->code . ' ' . $tx->res->body . "\n"
        if $tx->res->code != $want;
    return $tx;
}

sub until_state {
    my ($gw, $browser, $name, $state) = @_;
    my $end = time + 60;
    while (time < $end) {
        my $is = call($gw, $browser, GET => $name, 200)
            ->res->json('/properties/properties/state');
        return if $is eq $state;
        die "$name is $is\n" if $is =~ /Failed|Unusable/;
        sleep 0.005;
    }
    die "$name does not become $state\n";
}

# ---- from nothing to ready ----

# A process instance, and the same Jupyter Server with the same arguments,
# environment and directory started by hand, by turns: until each answers.
sub ready_process {
    my ($b) = @_;

    my $gw = AML::Test->start(
        accounts    => {creator => 'Contributor'},
        application => 'jupyter',
        nginx       => \&unlimited
    );
    $gw->token('creator');
    $gw->create_instance('first-lab', 'creator');
    my $hand = command_of($gw, 'first-lab');
    my $browser = $gw->program;

    my (@ours, @theirs);
    for my $turn (1 .. $b->{rounds}) {
        my $name = 'lab-' . chr(96 + $turn);
        push @ours, ready($gw, $browser, $name);
        until_gone($gw, $browser, $name);
        push @theirs, by_hand($gw, $hand, $turn);
    }
    ready_row('a process instance', 'the same Jupyter Server by hand',
        0.2, \@ours, \@theirs);
    end_gateway($gw);
    return;
}

# An instance of the engine podman, and by turns its own `podman run` with
# Jupyter in the place of what the container waits with: until each answers.
sub ready_podman {
    my ($b) = @_;

    require AML::Podman;
    AML::Podman->need;
    my $gw = AML::Podman->start(
        accounts => {creator => 'Contributor'},
        nginx    => \&unlimited
    );
    $gw->token('creator');
    $gw->create_instance('first-lab', 'creator');
    my $hand    = container_of($gw, 'first-lab');
    my $browser = $gw->program;

    my (@ours, @theirs);
    for my $turn (1 .. $b->{rounds}) {
        my $name = 'lab-' . chr(96 + $turn);
        push @ours, ready($gw, $browser, $name);
        until_gone($gw, $browser, $name);
        push @theirs, podman_by_hand($gw, $hand, $turn);
    }
    ready_row('a podman instance', 'the same podman run by hand', 0.5, \@ours,
        \@theirs);
    end_gateway($gw);
    return;
}

# From the PUT until the application answers through the gateway.
sub ready {
    my ($gw, $browser, $name) = @_;
    my $began = time;
    call($gw, $browser, PUT => $name, 201, json => $gw->compute_body);
    until_answers(sub {
        my $tx = $browser->get($gw->app_url($name, '/api/status'),
            headers => $gw->bearer('creator'));
        return $tx->res->code == 200;
    });
    return time - $began;
}

sub until_gone {
    my ($gw, $browser, $name) = @_;
    call($gw, $browser, DELETE => $name, 202,
        query => '&underlyingResourceAction=Delete');
    until_answers(sub {
        my $tx = $browser->get(
            $gw->studio_url($gw->compute($name) . '?api-version=2022-10-01'),
            headers => $gw->bearer('creator'));
        return $tx->res->code == 404;
    });
    return;
}

# How podman was asked for the container, and what runs in it.
sub container_of {
    my ($gw, $name) = @_;
    my $run = decode_json(
        read_command(
            'podman',   'inspect',
            '--format', '{{json .Config.CreateCommand}}',
            $gw->spec($name)->{container}
        )
    );
    my $hand = command_of($gw, $name);
    my @argv = @{$hand->{argv}};
    my ($in) = grep { $argv[$_] eq '--' } 0 .. $#argv;
    splice @argv, 0, $in + 1 if defined $in;    # amld's own way in
    shift @argv if $argv[0] =~ /python/;
    my ($cwd) = map {/^--ServerApp[.]preferred_dir=(.*)/} @argv;
    return {
        run     => $run,
        argv    => \@argv,
        env     => $hand->{env},
        cwd     => $cwd,
        private => $gw->private($name)
    };
}

sub podman_by_hand {
    my ($gw, $hand, $turn) = @_;

    my $private = $gw->dir . "/hand-$turn";
    system('cp', '-a', $hand->{private}, $private) == 0 or die "cp\n";
    my ($socket) = map {/^--ServerApp[.]sock=.*\/([^\/]+)$/} @{$hand->{argv}};
    unlink glob "$private/s/*";

    my @run = @{$hand->{run}};
    splice @run, -2;    # what it waits with
    my $image = pop @run;
    s/\Q$hand->{private}\E/$private/g, s/^--name=.*/--name=aml-hand-$turn/
        for @run;
    push @run, map {"--env=$_"} grep { !/^AML_|^PATH=/ } @{$hand->{env}};
    push @run, "--workdir=$hand->{cwd}", $image, @{$hand->{argv}};

    my $began = time;
    read_command(@run);
    until_answers(sub { answers("$private/s/$socket") });
    my $took = time - $began;

    # "device or resource busy", when the machine is: it goes at the next try
    until_answers(sub {
        return system("podman rm -f -t 0 aml-hand-$turn >/dev/null 2>&1") == 0;
    });
    return $took;
}

sub ready_row {
    my ($what, $beside, $allowance, $ours, $theirs) = @_;
    my @ours   = in_order(@{$ours});
    my @theirs = in_order(@{$theirs});
    my ($o, $t) = ($ours[@ours / 2], $theirs[@theirs / 2]);
    add_row({
        case    => "create-to-ready of $what",
        seconds => spread(@ours),
        by_hand => spread(@theirs),
        limit   => 1.1 * $t + $allowance,
        met     => $o <= 1.1 * $t + $allowance,
        text    => sprintf('%s; %s: %s',
            milliseconds(@ours), $beside, milliseconds(@theirs)),
    });
    return;
}

sub until_answers {
    my ($answers) = @_;
    my $end = time + 60;
    while (time < $end) {
        return if $answers->();
        sleep 0.02;
    }
    die "nothing answers\n";
}

# What amld has started for an instance: arguments, environment, directory as
# it is called there.
sub command_of {
    my ($gw, $name) = @_;
    for my $dir (glob '/proc/[0-9]*') {
        my @argv = split /\0/, eval { path("$dir/cmdline")->slurp } // next;
        my @env = split /\0/, eval { path("$dir/environ")->slurp } // next;
        next unless grep { $_ eq "AML_INSTANCE=$name" } @env;
        next unless grep {/^--ServerApp[.]sock=/} @argv;
        next if grep { $_ eq 'shim' } @argv;
        my ($mark) = map {/^AML_COMMAND=(.*)\/[^\/]*$/} @env;
        next unless defined $mark && index($mark, $gw->dir) == 0;
        return {
            argv    => \@argv,
            env     => \@env,
            runtime => $mark,
            cwd     => readlink "$dir/cwd"
        };
    }
    die "$name has no Jupyter Server\n";
}

sub by_hand {
    my ($gw, $hand, $turn) = @_;

    my $runtime = $gw->dir . "/hand-$turn";
    path($runtime, $_)->make_path for qw(tmp run);
    my @argv = map {s/\Q$hand->{runtime}\E/$runtime/gr} @{$hand->{argv}};
    my @env  = grep { !/^AML_/ }
        map {s/\Q$hand->{runtime}\E/$runtime/gr} @{$hand->{env}};

    my $began = time;
    my $pid   = fork // die "fork: $!\n";
    if ($pid == 0) {
        %ENV = map { split /=/, $_, 2 } @env;
        chdir $hand->{cwd} or POSIX::_exit(1);
        open STDOUT, '>', "$runtime/log";
        open STDERR, '>&', \*STDOUT;
        exec {$argv[0]} @argv or POSIX::_exit(1);
    }
    until_answers(sub { answers("$runtime/jupyter.sock") });
    my $took = time - $began;
    kill TERM => $pid;
    waitpid $pid, 0;
    return $took;
}

sub answers {
    my ($path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or return 0;
    print {$socket} "GET /api/status HTTP/1.1\r\nHost: localhost\r\n"
        . "Connection: close\r\n\r\n";
    return (readline($socket) // '') =~ m{^HTTP/1.1 200};
}

# ---- helpers ----

# Runs code in a process of its own; result() waits for what it returns.
sub beside {
    my ($gw, $code) = @_;
    pipe my $in, my $out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        close $in;
        my $text = eval { encode_json($code->()) }
            // encode_json({died => "$@"});
        print {$out} $text;
        close $out;
        POSIX::_exit(0);
    }
    close $out;
    return [$pid, $in];
}

sub result {
    my ($child) = @_;
    my $text = do { local $/; readline $child->[1] };
    waitpid $child->[0], 0;
    my $result = decode_json($text || '{"died":"it was killed"}');
    die $result->{died} if defined $result->{died};
    return $result;
}

sub spread {
    my @seconds = @_;
    return {
        p50 => $seconds[@seconds / 2] + 0,
        min => $seconds[0] + 0,
        max => $seconds[-1] + 0
    };
}

sub milliseconds {
    my @seconds = @_;
    return sprintf '%.0f ms (%.0f-%.0f)',
        map { 1000 * $_ } $seconds[@seconds / 2], $seconds[0], $seconds[-1];
}

1;
