package AML::Tunnel;

# Both ends of a tunnel in one hand: a client that says bytes, and the socket
# that the gateway relays to.  Nothing is read or written but in turn().
#
#     AML::Tunnel->route($gw, 'ssh-lab', $principal);
#     my $t = AML::Tunnel->open($gw, 'ssh-lab', "Authorization: Bearer $token");
#     $t->say_binary('to the application');
#     $t->turn_until(5, sub { $t->heard eq 'to the application' });

use Mojo::Base -base, -signatures;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);
use AML::RawWebSocket;

use constant PATH => '/nbip/v1.0/ws-tcp';

has [qw(gw name code client end client_ended_at)];
has to_gateway => '';    # bytes that the client is still to write
has to_client  => '';    # bytes that the application is still to write
has heard      => '';    # by the application
has got        => '';    # by the client, of binary frames
has in         => '';    # by the client, not looked at yet
has controls   => sub { [] };    # by the client: [opcode, payload]
has frames     => 0;             # binary ones
has [qw(client_reads end_reads)] => 1;
has [qw(client_ended end_ended)] => 0;
has sum => undef;    # a digest: what is got goes there
has [qw(got_bytes heard_bytes)] => 0;
has [qw(heard_sum)];

# A listening socket, and the records of an instance that lead to it.
sub route ($class, $gw, $name, $principal, %o) {
    my $listen = $o{listen};
    my $address;
    if ($o{tcp}) {
        $listen = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', Listen => 16, ReuseAddr => 1)
            or die "listen: $!";
        $address = '127.0.0.1:' . $listen->sockport;
    }
    else {
        my $path = $gw->dir . "/$name.sock";
        $listen //= IO::Socket::UNIX->new(Local => $path, Listen => 64)
            or die "listen: $!";
        $address = "unix:$path";
    }
    $class->say_route($gw, $name, $principal, $address, %o);
    return $gw->{tunnels}{$name} = $listen;
}

sub say_route ($class, $gw, $name, $principal, $address, %o) {
    $gw->edit(
        map {
            {
                op => 'route', name => $name, port => $_,
                state => $o{state} // 'Running', creator => $principal,
                generation => $o{generation} // 7,
                $_ ? (address => $address) : (compute => $gw->compute($name))
            }
        } 0,
        22
    );
}

# A handshake with these headers; where it is answered by 101 both ends are
# there.
sub open ($class, $gw, $name, @headers) {
    my $ws = AML::RawWebSocket->open($gw, $gw->app_host($name, 22), PATH,
        @headers);
    my $self = $class->new(gw => $gw, name => $name, code => $ws->code,
        client => $ws->socket, in => $ws->in);
    return $self if $ws->code != 101;
    my $end = $gw->{tunnels}{$name}->accept or die "accept: $!";
    $end->blocking(0);
    return $self->end($end);
}

# As a client says it.
sub frame ($first, $payload, $mask = pack 'N', int rand 2**32) {
    my $n = length $payload;
    return pack('C', $first)
        . ($n < 126   ? pack('C', 0x80 | $n)
         : $n < 65536 ? pack('Cn', 0xfe, $n)
         :              pack('CQ>', 0xff, $n))
        . $mask
        . ($payload ^ substr $mask x ($n / 4 + 1), 0, $n);
}

sub say_raw ($self, $bytes) { $self->{to_gateway} .= $bytes; $self }
sub say_binary ($self, $bytes) { $self->say_raw(frame(0x82, $bytes)) }
sub say_back ($self, $bytes) { $self->{to_client} .= $bytes; $self }

# Waits a moment for something to do, and does it.  1 when something moved.
sub turn ($self, $seconds = 0.2) {
    my ($c, $e) = ($self->client, $self->end);
    my ($r, $w) = (IO::Select->new, IO::Select->new);
    $r->add($c) if $self->client_reads && !$self->client_ended;
    $r->add($e) if $self->end_reads    && !$self->end_ended && $e;
    $w->add($c) if length $self->to_gateway && !$self->client_ended;
    $w->add($e) if length $self->to_client && $e;
    my $pending
        = $self->client_reads && !$self->client_ended && $c->pending;
    my ($can_read, $can_write)
        = IO::Select->select($r, $w, undef, $pending ? 0 : $seconds);
    my %read = map { $_ => 1 } @{$can_read // []};
    my %write = map { $_ => 1 } @{$can_write // []};
    local $SIG{PIPE} = 'IGNORE';
    my $moved = 0;
    $moved += $self->_write($c, 'to_gateway') if $write{$c};
    $moved += $self->_write($e, 'to_client')  if $e && $write{$e};
    $moved += $self->_read_client if $pending || $read{$c};
    $moved += $self->_read_end if $e && $read{$e};
    return $moved ? 1 : 0;
}

sub turn_until ($self, $seconds, $until) {
    my $deadline = time + $seconds * ($ENV{AML_PATIENCE} || 1);
    until ($until->()) {
        return 0 if time > $deadline;
        $self->turn;
    }
    return 1;
}

# Until for so long nothing has moved.
sub turn_idle ($self, $seconds) {
    my $last = time;
    while (time - $last < $seconds) {
        $last = time if $self->turn(0.05);
    }
}

sub _write ($self, $socket, $what) {
    my $n = syswrite $socket, substr $self->{$what}, 0, 262_144;
    if ($n) {
        substr $self->{$what}, 0, $n, '';
        return $n;
    }
    $self->{$what} = '' if !defined $n && !$!{EAGAIN};
    return 0;
}

sub _read_end ($self) {
    my $n = sysread $self->end, my $bytes, 262_144;
    if ($n) {
        $self->{heard_bytes} += $n;
        if   ($self->heard_sum) { $self->heard_sum->add($bytes) }
        else                    { $self->{heard} .= $bytes }
        return $n;
    }
    return 0 if !defined $n && $!{EAGAIN};
    return $self->end_ended(defined $n ? 1 : 2)->end_ended;
}

sub _read_client ($self) {
    my $n = sysread $self->client, $self->{in}, 262_144, length $self->{in};
    if (!$n) {
        return 0 if !defined $n && $!{EAGAIN};
        $self->client_ended(1)->client_ended_at(time);
    }
    while (length $self->{in} >= 2) {
        my ($first, $size) = unpack 'CC', $self->{in};
        my $head = $size == 126 ? 4 : $size == 127 ? 10 : 2;
        last if length $self->{in} < $head;
        $size = $head == 4 ? unpack('x2n', $self->{in})
            : $head == 10 ? unpack('x2Q>', $self->{in})
            :               $size;
        last if length $self->{in} < $head + $size;
        my $payload = substr $self->{in}, $head, $size;
        substr $self->{in}, 0, $head + $size, '';
        if ($first == 0x82) {
            $self->{frames}++;
            $self->{got_bytes} += $size;
            if   ($self->sum) { $self->sum->add($payload) }
            else              { $self->{got} .= $payload }
        }
        else { push @{$self->controls}, [$first, $payload] }
    }
    return 1;
}

# [code, reason] of a Close frame when it is the last; undef otherwise.
sub closed_by ($self) {
    my $last = $self->controls->[-1] // return undef;
    return undef if $last->[0] != 0x88 || length $self->in;
    return [unpack 'na*', $last->[1]];
}

sub close_client ($self) { $self->client->close; $self->client_ended(1) }

1;
