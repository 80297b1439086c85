package AML::RawWebSocket;

# A websocket's client that sees bytes: where frames end, what is behind the
# last one, whether TLS was ended.  It reads only when it is told to.

use Mojo::Base -base, -signatures;
use IO::Select;
use Mojo::Util qw(b64_encode);
use Time::HiRes qw(time);
use AML::Raw;

has [qw(socket code ended_at)];
has in => '';      # what came and was not looked at
has total => 0;    # bytes of frames that were read
has last => sub { [] };    # of the whole frames: [opcode, payload], 20 of them
has ended => 0;

# Connects; `headers` are more lines of the handshake.
sub open ($class, $gw, $host, $path, @headers) {
    my $self = $class->new(socket => AML::Raw::connect_tls($gw, $host));
    my $key = b64_encode(join('', map chr rand 256, 1 .. 16), '');
    AML::Raw::send_bytes(
        $self->socket,
        join "\r\n",
        "GET $path HTTP/1.1",
        "Host: $host:" . $gw->port,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        "Sec-WebSocket-Key: $key",
        @headers, '', ''
    );
    my $in = '';
    until ($in =~ /\r\n\r\n/) {
        AML::Raw::read_some($self->socket, \$in) or die "no handshake\n";
    }
    my ($head, $rest) = split /\r\n\r\n/, $in, 2;
    $self->code($head =~ m{^HTTP/1\.1 (\d+)} ? $1 : 0)->in($rest);
    $self->socket->blocking(0);
    return $self;
}

# As a client says it: masked, by zeros.
sub frame ($opcode, $payload) {
    my $n = length $payload;
    return pack('C', 0x80 | $opcode)
        . ($n < 126   ? pack('C', 0x80 | $n)
         : $n < 65536 ? pack('Cn', 0x80 | 126, $n)
         :              pack('CQ>', 0x80 | 127, $n))
        . "\0\0\0\0" . $payload;
}

# Writes all of it, also where the gateway takes it slowly.
sub say ($self, $bytes) {
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $n = syswrite $self->socket, $bytes;
        if    ($n) { substr $bytes, 0, $n, '' }
        elsif ($!{EAGAIN}) { IO::Select->new($self->socket)->can_write(1) }
        else               { return 0 }
    }
    return 1;
}

sub text ($self, $text) { $self->say(frame(1, $text)) }

# Reads what there is, for so many seconds at most, until `until` holds or the
# connection ends.
sub read ($self, $seconds, $until = sub {0}) {
    my $deadline = time + $seconds;
    while (!$self->ended && !$until->($self)) {
        my $left = $deadline - time;
        return 0 if $left <= 0;
        my $socket = $self->socket;
        IO::Select->new($socket)->can_read($left) or next
            unless $socket->pending;
        my $n = sysread $socket, $self->{in}, 262_144, length $self->{in};
        if (defined $n && $n == 0 || !defined $n && !$!{EAGAIN}) {
            $self->ended(1)->ended_at(time);
        }
        $self->take;
    }
    return 1;
}

# Whole frames off what came.
sub take ($self) {
    while (length $self->{in} >= 2) {
        my ($first, $size) = unpack 'CC', $self->{in};
        my $head = 2;
        if ($size == 126) {
            last if length $self->{in} < 4;
            ($size, $head) = (unpack('x2n', $self->{in}), 4);
        }
        elsif ($size == 127) {
            last if length $self->{in} < 10;
            ($size, $head) = (unpack('x2Q>', $self->{in}), 10);
        }
        last if length $self->{in} < $head + $size;
        push @{$self->last}, [$first & 15, substr $self->{in}, $head, $size];
        shift @{$self->last} if @{$self->last} > 20;
        $self->{total} += $head + $size;
        substr $self->{in}, 0, $head + $size, '';
    }
}

# [code, reason] of the last frame, when that is a Close and nothing is behind
# it; undef otherwise.
sub close_frame ($self) {
    my $last = $self->last->[-1] // return undef;
    return undef if $last->[0] != 8 || length $self->in;
    my ($code, $reason) = unpack 'na*', $last->[1];
    return [$code, $reason];
}

# Has the gateway ended TLS in the way of TLS?
sub notified ($self) {
    return !!(Net::SSLeay::get_shutdown($self->socket->_get_ssl_object) & 2);
}

sub close ($self) { CORE::close $self->socket }

1;
