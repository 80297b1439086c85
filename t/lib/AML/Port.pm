package AML::Port;

# TCP ports that no two tests share: one lock file a port, held as long as the
# test lives.

use Mojo::Base -strict, -signatures;
use Fcntl qw(:flock);
use IO::Socket::IP;

use constant {FIRST => 20_000, LAST => 29_999};

my @held;

# A free port of the loopback; below the range that the kernel gives out.
sub take ($class) {
    my $dir = "/tmp/aml-ports.$<";
    mkdir $dir, 0700;
    my $count = LAST - FIRST + 1;
    my $start = int rand $count;

    for my $i (0 .. $count - 1) {
        my $port = FIRST + ($start + $i) % $count;
        open my $lock, '>>', "$dir/$port" or die "$dir/$port: $!";
        next unless flock $lock, LOCK_EX | LOCK_NB;
        my $probe = IO::Socket::IP->new(
            LocalHost => '127.0.0.1',
            LocalPort => $port,
            Listen    => 1,
            ReuseAddr => 1
        ) or next;
        close $probe;
        push @held, $lock;
        return $port;
    }
    die "no free port\n";
}

1;
