package AML::Wait;

# Waiting for what is to happen, never for time to pass: polls a condition
# until it holds or a deadline is over.

use Mojo::Base -strict, -signatures;
use Exporter qw(import);
use Time::HiRes qw(time);
use Mojo::IOLoop;

our @EXPORT_OK = qw(wait_for turn);

# Lets the event loop run for a moment, so that what it has to do gets done.
sub turn ($seconds = 0.02) {
    my $id = Mojo::IOLoop->timer($seconds => sub { Mojo::IOLoop->stop });
    Mojo::IOLoop->start;
    Mojo::IOLoop->remove($id);
}

# The condition's first true value; undef when it did not hold in time.
sub wait_for ($condition, $seconds = 30) {
    my $deadline = time + $seconds * ($ENV{AML_PATIENCE} || 1);
    while (1) {
        my $value = $condition->();
        return $value if $value;
        return undef  if time > $deadline;
        turn();
    }
}

1;
