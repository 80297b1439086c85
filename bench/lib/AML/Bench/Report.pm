package AML::Bench::Report;

# The table of a benchmark, on the terminal and as JSON.

use strict;
use warnings;

use AML::Bench::Measure qw(compare);
use AML::Bench::Peers qw(write_file);
use AML::Bench::Process qw(cores read_command version_of);
use Exporter 'import';
use JSON::PP;

our @EXPORT_OK = qw(add_row check_log finish_report forget_log heading measure
    note side wanted);

my ($b, $only, @rows, %read);

# Cases whose name does not match `only` are left out.
sub begin {
    ($b, $only) = @_;
    return;
}

sub note {
    print STDERR "bench: @_\n";
    return;
}

sub wanted {
    my ($name) = @_;
    return $name =~ /$only/i;
}

# Where to ask, and a file with the requests.
sub side {
    my ($server, $host, $file, %more) = @_;
    return {
        port     => $server->{port},
        pids     => $server->{pids},
        sni      => $host,
        requests => $file,
        %more
    };
}

# A ratio, with its limit or undef.
sub measure {
    my ($name, $limit, $base, $case, %more) = @_;

    return if !wanted($name);
    my $row = eval { compare($b, $base, $case) };
    if (!$row) {
        chomp(my $why = $@);
        $row = {failed => $why};
    }
    $row = {%{$row}, %more, case => $name};
    if (defined $limit) {
        $row->{limit} = $limit + 0;
        $row->{met}
            = !$row->{failed} && $row->{ratio}{median} <= $limit
            ? JSON::PP::true
            : JSON::PP::false;
    }
    push @rows, $row;
    print_row($row);
    return $row;
}

# Whatever else was found out: {case, text, met (or undef), …}.
sub add_row {
    my ($row) = @_;

    $row->{met} = $row->{met} ? JSON::PP::true : JSON::PP::false
        if defined $row->{met};
    push @rows, $row;
    printf "%-52s %s%s\n", $row->{case}, $row->{text},
        defined $row->{met} ? ($row->{met} ? '   met' : '   NOT MET') : '';
    return;
}

sub heading {
    printf "%-52s %6s %-13s %-20s %6s %s\n", 'case', 'ratio', '  min-max',
        '  us of CPU (min-max)', 'base', 'limit';
    return;
}

sub print_row {
    my ($row) = @_;

    if ($row->{failed}) {
        printf "%-52s failed: %s\n", @{$row}{qw(case failed)};
        return;
    }
    printf "%-52s %6.3f %5.2f-%-6.2f %7.1f (%.1f-%.1f)%s %6.1f %s\n",
        $row->{case}, @{$row->{ratio}}{qw(median min max)},
        @{$row->{cpu_us}}{qw(median min max)}, '',
        $row->{base_cpu_us}{median},
        defined $row->{limit}
        ? sprintf('%.2f %s', $row->{limit}, $row->{met} ? 'met' : 'NOT MET')
        : '';
    return;
}

# A benchmark of errors measures nothing.
sub check_log {
    my ($log) = @_;
    open my $in, '<', $log or die "$log: $!\n";
    seek $in, $read{$log} // 0, 0;

    # The load client is the upstream as well: when its run is over it leaves
    # with requests under way.  A request that was counted is answered 200.
    my $left = qr/(?:while\ (?:sending\ request\ to
        |reading\ response\ header\ from)\ upstream)/x;
    my @bad = grep { /\[(alert|crit|emerg|error)\]/ && !/\[error\].*$left/ }
        <$in>;
    die "the gateway's log has errors:\n", @bad[0 .. ($#bad > 4 ? 4 : $#bad)]
        if @bad;
    return;
}

sub forget_log {
    my ($log) = @_;
    $read{$log} = -s $log;
    return;
}

sub machine {
    my %m = (cores => cores());
    open my $cpu, '<', '/proc/cpuinfo' or return \%m;
    while (<$cpu>) {
        $m{model} //= $1 if /^model name\s*:\s*(.*)/;
        $m{hypervisor} = JSON::PP::true if /^flags.*\bhypervisor\b/;
    }
    ($m{kernel}) = read_command('uname', '-r') =~ /(\S+)/;
    return \%m;
}

# Writes the file and ends the program: {json (file), settings, more (further
# members), short (names of what is not met besides the rows)}.
sub finish_report {
    my (%o) = @_;

    my $report = {
        machine  => machine(),
        versions => {
            nginx   => version_of('nginx -v'),
            openssl => version_of('openssl version')
        },
        settings => $o{settings},
        rows     => \@rows,
        %{$o{more} // {}},
    };
    write_file($o{json}, JSON::PP->new->canonical->pretty->encode($report));

    my @short = map { $_->{case} }
        grep { $_->{failed} || defined $_->{met} && !$_->{met} } @rows;
    push @short, @{$o{short} // []};
    if (@short) {
        print "\nnot met: ", join('; ', @short), "\n";
        exit 1;
    }
    print "\nall limits met\n";
    return;
}

1;
