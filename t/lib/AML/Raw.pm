package AML::Raw;

# Requests that no well-behaved client sends: bytes over TLS, in HTTP/1.1 as
# they are given, in HTTP/2 with whatever header fields are given.

use Mojo::Base -strict, -signatures;
use Exporter qw(import);
use IO::Select;
use IO::Socket::SSL;
use Mojo::JSON qw(decode_json);

our @EXPORT_OK = qw(connect_tls raw_dialogue raw_http raw_h2);

sub connect_tls ($gw, $sni, @options) {
    my $socket = IO::Socket::SSL->new(
        PeerHost            => '127.0.0.1',
        PeerPort            => $gw->port,
        SSL_ca_file         => $gw->ca,
        SSL_hostname        => $sni,
        SSL_verifycn_scheme => 'none',
        Timeout             => 20,
        @options,
    ) or die "TLS: $! $SSL_ERROR\n";
    return $socket;
}

# IO::Socket::SSL would send what Perl has inside, UTF-8 or not.
sub send_bytes ($socket, $bytes) {
    utf8::downgrade($bytes);
    print $socket $bytes;
}

sub read_some ($socket, $buffer) {
    return 0 if !$socket->pending && !IO::Select->new($socket)->can_read(30);
    my $n = sysread $socket, $$buffer, 65_536, length $$buffer;
    return $n;
}

# Sends `bytes` (lines ended by \n become \r\n up to the empty line) and reads
# the answer until the connection ends.  {code, headers, body, json}.
sub raw_http ($gw, $bytes, %o) {
    my ($head, $body) = split /\n\n/, $bytes, 2;
    $head =~ s/\r?\n/\r\n/g;
    my $socket = connect_tls($gw, $o{sni} // $gw->studio_host);
    local $SIG{PIPE} = 'IGNORE';
    send_bytes($socket, "$head\r\n\r\n" . ($body // ''));
    my $in = '';
    1 while read_some($socket, \$in);
    close $socket;
    my ($h, $b) = split /\r\n\r\n/, $in, 2;
    my ($code) = ($h // '') =~ m{^HTTP/1\.\d (\d+)};
    my %headers;
    for my $line (split /\r\n/, $h // '') {
        push @{$headers{lc $1}}, $2 if $line =~ /^([^:\s]+):\s*(.*)$/;
    }
    if (($headers{'transfer-encoding'}[0] // '') eq 'chunked') {
        my ($out, $rest) = ('', $b // '');
        while ($rest =~ s/^([0-9a-fA-F]+)\r\n//) {
            my $n = hex $1 or last;
            $out .= substr $rest, 0, $n, '';
            $rest =~ s/^\r\n//;
        }
        $b = $out;
    }
    return {
        code    => $code,
        headers => \%headers,
        body    => $b // '',
        json    => scalar eval { decode_json($b) }
    };
}

# One HTTP/1.1 connection.  Called with the lines of a head it answers {code,
# headers}; it dies when the connection has ended.
sub raw_dialogue ($gw, $sni) {
    my $socket = connect_tls($gw, $sni);
    my $in     = '';
    return sub (@lines) {
        local $SIG{PIPE} = 'IGNORE';
        send_bytes($socket, join "\r\n", @lines, '', '');
        my ($head, %headers);
        until (defined $head) {
            ($head, $in) = ($1, $2) if $in =~ /\A(.*?)\r\n\r\n(.*)\z/s;
            last if defined $head;
            read_some($socket, \$in) or die "the connection ended\n";
        }
        my ($code) = $head =~ m{^HTTP/1\.\d (\d+)};
        for my $line (split /\r\n/, $head) {
            push @{$headers{lc $1}}, $2 if $line =~ /^([^:\s]+):\s*(.*)$/;
        }
        my $size = $headers{'content-length'}[0] // 0;
        my $whole = ($headers{'transfer-encoding'}[0] // '') eq 'chunked'
            ? sub { $in =~ s/\A.*?(?:^|\r\n)0\r\n\r\n//s }
            : sub { length $in >= $size && (substr($in, 0, $size, ''), 1) };
        until ($whole->()) {
            read_some($socket, \$in) or die "the connection ended\n";
        }
        return {code => $code, headers => \%headers};
    };
}

sub frame ($type, $flags, $stream, $payload = '') {
    return
          substr(pack('N', length $payload), 1)
        . pack('CCN', $type, $flags, $stream)
        . $payload;
}

# HPACK: a literal without indexing, new name, no Huffman code.
sub literal ($name, $value) {
    return "\0" . integer(7, length $name) . $name
        . integer(7, length $value) . $value;
}

sub integer ($bits, $n) {
    my $max = 2**$bits - 1;
    return pack 'C', $n if $n < $max;
    my $out = pack 'C', $max;
    $n -= $max;
    while ($n >= 128) {
        $out .= pack 'C', $n % 128 + 128;
        $n = int $n / 128;
    }
    return $out . pack 'C', $n;
}

my %status_index = (
    8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400, 13 => 404, 14 => 500
);

# One GET without a body.  `fields` is a list of [name, value], pseudo header
# fields first.  {code, body, json, error (RST_STREAM or GOAWAY code)}.
sub raw_h2 ($gw, $fields, %o) {
    my $socket = connect_tls($gw, $o{sni} // $gw->studio_host,
        SSL_alpn_protocols => ['h2']);
    die "no h2\n" unless ($socket->alpn_selected // '') eq 'h2';
    local $SIG{PIPE} = 'IGNORE';
    my $block = join '', map { literal(@$_) } @$fields;
    utf8::downgrade($block);
    send_bytes($socket, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            . frame(4, 0, 0) . frame(1, 5, 1, $block));

    my ($in, %answer) = ('', body => '');
    FRAME: while (1) {
        while (length $in < 9 || length $in < 9 + unpack 'N', "\0$in") {
            last FRAME unless read_some($socket, \$in);
        }
        my $size = unpack 'N', "\0$in";
        my ($type, $flags, $stream) = unpack 'x3CCN', $in;
        my $payload = substr $in, 9, $size;
        substr $in, 0, 9 + $size, '';
        if ($type == 0) { $answer{body} .= $payload }
        elsif ($type == 1 && !$answer{code}) {
            $payload =~ s/^[\x20-\x3f]//;    # table size update
            my $first = ord $payload;
            $answer{code} =
                  $first & 0x80
                ? $status_index{$first & 0x7f}
                : substr $payload, 2, 3;
        }
        elsif ($type == 3) { $answer{error} = unpack 'N', $payload; last }
        elsif ($type == 4 && !($flags & 1)) { print $socket frame(4, 1, 0) }
        elsif ($type == 7) {
            $answer{error} = unpack 'x4N', $payload;
            last;
        }
        last if $type <= 1 && $flags & 1;
    }
    close $socket;
    $answer{json} = eval { decode_json($answer{body}) };
    return \%answer;
}

1;
