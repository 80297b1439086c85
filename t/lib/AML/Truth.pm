package AML::Truth;

# What is recorded, compared with what runs: the registry against processes,
# routes, private directories, operations, names, quotas.
#
#     AML::Truth->settle($gw);             # until nothing is under way
#     is_deeply [AML::Truth->lies($gw)], [], 'the same';

use Mojo::Base -strict, -signatures;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use AML::Wait qw(wait_for);

sub registry ($class, $gw) {
    my $dump = decode_json($gw->amld_ok('registry', 'dump', '--json'));
    return {map { $_->{key} => $_->{value} } @{$dump->{records}}};
}

sub documents ($registry) {
    return {map { $_ => $registry->{$_} } grep {m{^compute/}} keys %$registry};
}

# 1 when every instance is in a state that it can stay in.
sub settle ($class, $gw, $seconds = 60) {
    return wait_for(
        sub {
            my $r = $class->registry($gw);
            !grep { $_->{state} =~ /ing$/ && $_->{state} ne 'Running' }
                values %{documents($r)};
        },
        $seconds
    );
}

# {<runtime>/<command> => [pids]} by the mark of commands.
sub commands ($class, $gw) {
    my %found;
    my $state = $gw->dir . '/state/i/';
    for my $proc (glob '/proc/[0-9]*') {
        my ($pid) = $proc =~ /(\d+)$/;
        open my $f, '<', "$proc/environ" or next;
        local $/;
        my $environ = <$f> // next;
        my ($mark) = $environ =~ /(?:^|\0)AML_COMMAND=([^\0]+)/ or next;
        push @{$found{$1}}, $pid if $mark =~ m{^\Q$state\E(.+)$};
    }
    return \%found;
}

sub started ($pid) {
    my $stat = eval { path("/proc/$pid/stat")->slurp } // return -1;
    $stat =~ s/^.*\) //s;
    return (split ' ', $stat)[19];
}

# Jobs: what runs is written down as running, and has not ended; what waits or
# runs is in the queue, and nothing else, and is counted.
sub job_lies ($r, $docs, $runs) {
    my (@lies, %there);
    for my $key (grep {m{^job/}} sort keys %$r) {
        my $job     = $r->{$key};
        my $seq     = sprintf '%016x', $job->{seq};
        my $ended   = $job->{status} =~ /^(?:Completed|Failed|Canceled)$/;
        my $command = $job->{command};
        my $runtime = ($docs->{$job->{compute}} // {})->{runtime} // '';
        my $own     = delete $runs->{"$runtime/job-$seq"} // [];
        my ($of)    = $job->{compute} =~ m{^compute/(.+)};
        $there{"jobqueue/$of/$seq"} = $key unless $ended;
        $there{"jobrun/$of/$seq"}   = $key if !$ended && $command;
        push @lies, "$key: $job->{status}, and has a command"
            if $ended && $command;
        # one that waits may be held back already
        my $held = !$ended && !$command && @$own == 1
            && (eval { path("/proc/$own->[0]/cmdline")->slurp } // '')
            =~ /^amld\0shim\0/;
        push @lies, "$key: $job->{status}, and runs: @$own"
            if @$own && !$held && (!$command || $ended);
        push @lies, "$key: its process is another"
            if $command && !$ended
            && started($command->{pid}) != $command->{started};
    }
    my $running = grep {m{^jobrun/}} keys %there;
    my $queued  = grep {m{^jobqueue/}} keys %there;
    my $counts  = $r->{counts} // {};
    my $over    = 0;
    $over += $counts->{"jobs$_"} // 0 for qw(Completed Failed Canceled);
    for (
        [Running   => $running],
        [Queued    => $queued - $running],
        [Submitted => $queued + $over]
        )
    {
        my ($name, $is) = @$_;
        my $said = $counts->{"jobs$name"} // 0;
        push @lies, "$said jobs are counted as $name, not $is" if $said != $is;
    }
    for my $key (grep {m{^job(?:queue|run)/}} sort keys %$r) {
        push @lies, "$key is wrong" unless delete $there{$key};
    }
    push @lies, map {"$_ is missing"} sort keys %there;
    return @lies;
}

sub lies ($class, $gw) {
    my $r    = $class->registry($gw);
    my $docs = documents($r);
    my $runs = $class->commands($gw);
    my (@lies, %runtime, %name, %route, %used);

    for my $key (sort keys %$docs) {
        my $doc = $docs->{$key};
        my ($low, $state) = (lc $doc->{name}, $doc->{state});
        my $up = $state eq 'Running';
        $runtime{$doc->{runtime}} = $low;
        $name{"name/$doc->{location}/$low"} = $key;
        $route{"route/$low/0"}    = 1;
        $route{"route/$low/8888"} = 1 if $up;
        if (my $size = $doc->{size}) {
            $used{"quota/$doc->{location}/" . lc $_} += $size->{cores}
                for $size->{family}, 'total';
        }
        push @lies, "$low: has an operation under way" if $doc->{operation};
        push @lies, "$low: has a step under way"       if $doc->{step};
        push @lies, "$low: lastOperation is $doc->{lastOperation}{status}"
            if $doc->{lastOperation}{status} !~ /Succeeded$|Failed$/;

        my %commands = %{$doc->{commands} // {}};
        if (!$up) {
            push @lies, "$low: $state, with commands" if %commands;
            push @lies, map {"$low: $state, but $_ runs"}
                grep {m{^\Q$doc->{runtime}\E/}} keys %$runs;
            next;
        }
        push @lies, "$low: Running, without commands" unless %commands;
        for my $command (keys %commands) {
            my ($pid, $began) = @{$commands{$command}}{qw(pid started)};
            push @lies, "$low: $command is not the process $pid"
                if started($pid) != $began;
            my $own = delete $runs->{"$doc->{runtime}/$command"} // [];
            push @lies, "$low: $pid is not among the processes of $command"
                unless grep { $_ == $pid } @$own;
            my @shims = grep {
                (eval { path("/proc/$_/cmdline")->slurp } // '')
                    =~ /^amld\0shim\0/
            } @$own;
            push @lies, "$low: $command has shims @shims" if @shims > 1;
        }
    }

    push @lies, job_lies($r, $docs, $runs);
    push @lies, map {"$_ runs and is nobody's"} sort keys %$runs;
    push @lies, map {"directory $_ is nobody's"} grep { !$runtime{$_} }
        map { $_->basename } path($gw->dir, 'state', 'i')
        ->list({dir => 1})->each;

    my %seen;
    for my $key (sort keys %$r) {
        if ($key =~ m{^operation/}) {
            push @lies, "$key is $r->{$key}{status}: $r->{$key}{name}"
                if $r->{$key}{status} !~ /^(?:Succeeded|Failed|Canceled)$/;
        }
        elsif ($key =~ m{^pending/}) { push @lies, "$key is there" }
        elsif ($key =~ m{^name/}) {
            push @lies, "$key is wrong" unless $name{$key};
            $seen{$key} = 1;
        }
        elsif ($key =~ m{^route/}) {
            push @lies, "$key is wrong" unless $route{$key};
            $seen{$key} = 1;
        }
        elsif ($key =~ m{^quota/}) {
            push @lies, "$key: $r->{$key}{used} cores, not "
                . ($used{$key} // 0)
                if ($r->{$key}{used} // 0) != ($used{$key} // 0);
            $seen{$key} = 1;
        }
    }
    push @lies, map {"$_ is missing"} grep { !$seen{$_} }
        sort keys %name, keys %route, keys %used;

    return @lies;
}

1;
