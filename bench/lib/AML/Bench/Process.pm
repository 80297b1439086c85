package AML::Bench::Process;

# Servers in the foreground, on a core of their own, ended by their number.

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(remove_tree);
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(children cores free_port pinned read_command start
    temporary version_of wait_for);

my (%running, @temporary);
my $owner = $$;

$SIG{INT} = $SIG{TERM} = sub { exit 130 };

END {
    if ($$ == $owner) {
        my $status = $?;
        stop(keys %running);
        remove_tree(@temporary);
        $? = $status;
    }
}

# A directory that is gone when the program ends.
sub temporary {
    my ($keep) = @_;
    my $dir = File::Temp::tempdir('aml-bench-XXXXXX', TMPDIR => 1);
    push @temporary, $dir if !$keep;
    return $dir;
}

sub cores {
    my ($n) = `nproc`;
    return $n + 0;
}

# The servers that are measured have core 0, everything else core 1.
sub pinned {
    my ($core, @command) = @_;
    return @command if cores() < 2;
    return ('taskset', '-c', $core, @command);
}

sub free_port {
    my $socket = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        Listen    => 1
    ) or die "no free port: $!\n";
    return $socket->sockport;
}

sub start {
    my ($log, @command) = @_;

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<', '/dev/null' or die;
        open STDOUT, '>>', $log       or die "$log: $!\n";
        open STDERR, '>&', \*STDOUT   or die;
        exec {$command[0]} @command or die "$command[0]: $!\n";
    }
    $running{$pid} = $log;
    return $pid;
}

# Until something accepts at a port or a socket's path.
sub wait_for {
    my ($pid, $where) = @_;

    my $end = time + 20;
    while (time < $end) {
        my $socket
            = $where =~ m{^/}
            ? IO::Socket::UNIX->new(Peer => $where)
            : IO::Socket::INET->new(
            PeerAddr => '127.0.0.1',
            PeerPort => $where
            );
        return if $socket;
        if (waitpid($pid, 1) == $pid) {
            my $log = delete $running{$pid};
            die "it did not start:\n" . tail($log);
        }
        sleep 0.02;
    }
    die "nothing listens at $where:\n" . tail($running{$pid});
}

# Until its log says so.
sub until_says {
    my ($pid, $log, $what, $seconds) = @_;

    my $end = time + $seconds;
    while (time < $end) {
        return if join('', tail($log)) =~ $what;
        if (waitpid($pid, 1) == $pid) {
            delete $running{$pid};
            die "it has ended:\n" . tail($log);
        }
        sleep 0.05;
    }
    die "it takes too long:\n" . tail($log);
}

# Waits for its end.
sub finished {
    my ($pid) = @_;
    waitpid $pid, 0;
    my $log = delete $running{$pid};
    die "it failed:\n" . tail($log) if $?;
    return;
}

sub tail {
    my ($log) = @_;
    open my $in, '<', $log or return "$log: $!\n";
    my @lines = <$in>;
    splice @lines, 0, -15 if @lines > 15;
    return join '', @lines;
}

# The processes that do the work: the children, or itself without any.
sub children {
    my ($pid) = @_;
    for (1 .. 200) {
        if (open my $in, '<', "/proc/$pid/task/$pid/children") {
            my @pids = split ' ', <$in> // '';
            return @pids if @pids;
        }
        sleep 0.01;
    }
    return $pid;
}

sub stop {
    my (@pids) = grep { exists $running{$_} } @_;

    kill 'TERM', @pids;
    for my $pid (@pids) {
        my $end = time + 5;
        while (waitpid($pid, 1) == 0) {
            kill 'KILL', $pid if time > $end;
            sleep 0.02;
        }
        delete $running{$pid};
    }
    return;
}

# Runs a program and returns what it wrote.
sub read_command {
    my (@command) = @_;
    open my $out, '-|', @command or die "$command[0]: $!\n";
    local $/;
    my $text = <$out>;
    close $out
        or die "$command[0] failed" . ($! ? ": $!" : '') . "\n";
    return $text;
}

# The first thing that looks like a version number; undef when the program
# is not there.
sub version_of {
    my ($command) = @_;
    my $text = `$command 2>&1`;
    return if $? != 0 && $text !~ /version/i;
    return $text =~ /(\d+\.\d+(?:\.\d+)*)/ ? $1 : undef;
}

1;
