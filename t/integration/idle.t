# A sign-in that nobody uses ends, one that is used does not; and nobody is
# signed out for what amld did not hear of.
#
# amld and nginx run with a clock that is thirty times as fast (libfaketime).

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use POSIX qw(strftime);
use Time::HiRes qw(time);
use AML::Needs;
use AML::Test;
use AML::Wait qw(turn wait_for);

use constant SPEED => 30;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
needs 'libfaketime is not installed', $faketime;
plan skip_all => 'libfaketime and the sanitizers exclude each other'
    if $AML::Test::VARIANT eq 'asan';

my $gw = AML::Test->prepare(
    amld => sub ($text) {"session_idle = 2m\nsession_lifetime = 1d\n$text"});

# What one starts later goes on where the others are.
my $zero = time;

sub fast ($run) {
    my $now = strftime('%Y-%m-%d %H:%M:%S',
        localtime($zero + (time - $zero) * SPEED));
    local @ENV{qw(LD_PRELOAD FAKETIME)} = ($faketime, "\@$now x" . SPEED);
    return $run->();
}

# Seconds of the fast clock since amld began.
my $began;
sub passed { (time - $began) * SPEED }

sub start_amld {
    $began = time;
    fast(sub { $gw->start_amld });
}

sub ended ($who) {
    return $who->fetch(GET => $gw->studio_url('/auth/sessions'))->res->code
        == 401;
}

# Whether the sign-in is there, asked without using it.
sub there ($who) {
    my $id = $gw->{id}{$who};
    return $gw->amld_ok('session', 'list') =~ /^$id /m;
}

sub sign_in {
    my $who = $gw->signed_in('creator');
    ($gw->{id}{$who}) = map { $_->{id} } grep { $_->{current} }
        @{$who->fetch(GET => $gw->studio_url('/auth/sessions'))
            ->res->json('/value')};
    return $who;
}

start_amld();
$gw->add_account('creator');
fast(sub { $gw->start_nginx });

# Idle is 2 minutes; uses are heard of a minute after the start, and may be
# written two minutes late.
my $earliest = 60 + 120 + 120;

my $used   = sign_in();
my $unused = sign_in();
my $gone;
ok wait_for(
    sub {
        die "the used one has ended\n" if ended($used);
        $gone = passed() unless there($unused);
        turn(0.3);
        return $gone;
    },
    60
), 'the one that is not used ends';
cmp_ok $gone, '>=', $earliest, 'when that can be told';
ok ended($unused), 'nothing more by it';
ok !ended($used), 'the one that is used goes on';

# What else is over goes too: a token, a device's codes, a refresh token.
my $hex = 'ab' x 32;
my $id  = '11111111-2222-4333-8444-555555555555';
$gw->edit(
    {
        op      => 'token',
        token   => 'amlp_' . 'A' x 43,
        id      => $id,
        principal => $id,
        created => 1,
        expires => 2,
        label   => 'x'
    },
    map {
        {op => 'put', key => "$_/$hex", hex => unpack 'H*', '{"expires":2}'}
    } qw(device refresh)
);
ok wait_for(
    sub {
        $used->fetch(GET => $gw->studio_url('/'));
        $gw->amld_ok('registry', 'dump') !~ m{^(?:token|device|refresh)/}m;
    },
    60
), 'what has expired is removed';

# While amld is down nobody hears of use: this one is in use until amld is
# there again.
my $lately = sign_in();
$gw->kill_amld;
my $until = time + $earliest / SPEED;
while (time < $until) {
    $_->fetch(GET => $gw->studio_url('/')) for $used, $lately;
    turn(0.3);
}
start_amld();
undef $gone;
ok wait_for(
    sub {
        $gone = passed() unless there($lately);
        die "the used one has ended\n" if ended($used);
        turn(0.3);
        return $gone;
    },
    60
), 'after a start, what is used no more ends as well';
cmp_ok $gone, '>=', $earliest, 'when that can be told again';
ok !ended($used), 'the one that was used does not';

$gw->done;
