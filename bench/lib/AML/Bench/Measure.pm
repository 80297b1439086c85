package AML::Bench::Measure;

# Alternating runs of the load client, and what comes of them.

use strict;
use warnings;

use AML::Bench::Process qw(pinned read_command);
use Exporter 'import';
use JSON::PP;
use List::Util qw(max min);

our @EXPORT_OK = qw(compare);

# How the load client is told where and what to ask: {port, sni, requests
# (file), warm (file), pids}.
sub side {
    my ($b, $side, $count) = @_;
    return (
        '--connect',  "127.0.0.1:$side->{port}",
        '--sni',      $side->{sni},
        '--ca',       $b->{cert},
        '--requests', $side->{requests},
        '--count',    $count,
        ($side->{warm} ? ('--warm', $side->{warm}) : ()),
        map { ('--pid', $_) } @{$side->{pids}}
    );
}

# Runs one side or two in turns; what the client measured of each.
sub run {
    my ($b, $slices, @sides) = @_;    # [side, count]…

    my @command = map { ('--against', side($b, @{$_})) } @sides;
    shift @command;
    my $results = decode_json(
        read_command(
            pinned(
                1,           "$b->{out}/load",
                '--answer',  $b->{upstream},
                '--port',    $b->{upstream_port},
                '--slices',  $slices,
                '--connections', $b->{connections},
                @command
            )
        )
    );
    for my $result (@{$results}) {
        die "$result->{failed} of $result->{requests} requests failed: "
            . "$result->{first_failure}\n"
            if $result->{failed};
    }
    return @{$results};
}

# How many requests take about as long as a side's part of a round.
sub calibrate {
    my ($b, $side) = @_;
    my $n = 500;
    for (1 .. 2) {
        my ($result) = run($b, 1, [$side, $n]);
        $n = max(200, int($n / $result->{seconds} * $b->{seconds}));
    }
    return $n;
}

sub median {
    my @list = sort { $a <=> $b } @_;
    my $half = int(@list / 2);
    return @list % 2 ? $list[$half] : ($list[$half - 1] + $list[$half]) / 2;
}

sub spread {
    my @list = @_;
    return {
        median => median(@list) + 0,
        min    => min(@list) + 0,
        max    => max(@list) + 0
    };
}

# Rounds of base and case in turns.  The ratio of a round is the median of
# those of its pairs of slices, so that a slice in which the machine did
# something else does not count.
sub compare {
    my ($b, $base, $case) = @_;

    my (@ratio, @base_us, @case_us, @seconds);
    my @side = map { [$_, $_->{count} // calibrate($b, $_)] } $base, $case;

    # a slice has some requests for each connection, or it measures its ends
    my $slices = int(min(map { $_->[1] } @side) / 8 / $b->{connections});
    $slices = max(1, min($b->{slices}, $slices));

    for (1 .. $b->{rounds}) {
        $case->{before}->() if $case->{before};
        my ($first, $second) = run($b, $slices, @side);
        my ($plain, $own) = map { $_->{cpu_us} } $first, $second;
        push @ratio,   median(map { $own->[$_] / $plain->[$_] } 0 .. $#{$own});
        push @base_us, median(@{$plain});
        push @case_us, median(@{$own});
        push @seconds, $second->{seconds};
    }
    return {
        rounds      => $b->{rounds} + 0,
        slices      => $slices + 0,
        requests    => $side[1][1] + 0,
        seconds     => median(@seconds) + 0,
        ratio       => spread(@ratio),
        cpu_us      => spread(@case_us),
        base_cpu_us => spread(@base_us),
        ratios      => \@ratio,
    };
}

1;
