package AML::TunnelPeer;

# The gateway's end of a tunnel, over TLS on the loopback, which does what the
# instance's name in the host says: it echoes, or breaks a rule.  For tests of
# the client only.
#
#     my $peer = AML::TunnelPeer->start($gw);
#     AML::Cli: profile with apps = $peer->apps; aml tunnel echo-lab

use Mojo::Base -base, -signatures;
use Digest::SHA qw(sha1_base64);
use IO::Select;
use IO::Socket::SSL;
use Mojo::File qw(path);
use POSIX ();
use Time::HiRes ();
use AML::Port;

use constant GUID => '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

has [qw(gw pid)];
has port => sub { AML::Port->take };

sub apps ($self) { $self->gw->apps . ':' . $self->port }
sub log ($self) { path($self->gw->dir, 'log', 'peer.out') }

sub start ($class, $gw) {
    my $self   = $class->new(gw => $gw);
    my $listen = IO::Socket::IP->new(
        LocalHost => '127.0.0.1',
        LocalPort => $self->port,
        Listen    => 32,
        ReuseAddr => 1
    ) or die "peer: $@";
    $self->log->spurt('');
    $self->pid(fork // die "fork: $!");
    return $self if $self->pid;
    setpgrp;
    chdir $gw->dir;
    $SIG{CHLD} = 'IGNORE';
    $SIG{PIPE} = 'IGNORE';
    while (1) {
        my $plain = $listen->accept or next;
        if (fork) { close $plain; next }
        close $listen;
        eval { $self->serve($plain) };
        POSIX::_exit(0);
    }
}

# A line in its log, which tests look at.
sub note ($self, $text) {
    open my $log, '>>', $self->log;
    syswrite $log, "$text\n";
}

sub serve ($self, $plain) {
    my $s = IO::Socket::SSL->start_SSL($plain,
        SSL_server    => 1,
        SSL_cert_file => $self->gw->dir . '/tls/server.pem',
        SSL_key_file  => $self->gw->dir . '/tls/server-key.pem'
    ) or return $self->note("tls: $SSL_ERROR");
    my $head = '';
    while ($head !~ /\r\n\r\n/) { sysread $s, $head, 4096, length $head or return }
    my ($name) = $head =~ /^Host: ([a-z]+)-lab/mi;
    my ($key)  = $head =~ /^Sec-WebSocket-Key: (\S+)/mi;
    $self->note("asked $name " . join ' ', $head =~ m{^GET (\S+)},
        $head =~ /^Authorization: (Bearer) ./m,
        $head =~ /^Sec-WebSocket-Version: (13)\r/m);
    my $accept = sha1_base64($key . GUID) . '=';
    my $upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        . "Connection: upgrade\r\nSec-WebSocket-Accept: $accept\r\n\r\n";

    return $self->answer($s, 403, 'not_creator', 'This is not yours.')
        if $name eq 'refuse';
    return $self->answer($s, 200, 'ok', 'no tunnel') if $name eq 'plain';
    if ($name eq 'starting') {
        my $file = path($self->gw->dir, 'asked-before');
        if (!-e $file) {
            $file->spurt('');
            return $self->answer($s, 503, 'application_not_started', 'Wait.',
                "Retry-After: 1\r\n");
        }
    }
    $upgrade =~ s/(Accept: ).*\r/$1AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r/
        if $name eq 'wrongaccept';
    $upgrade =~ s/\r\n\r\n/\r\nSec-WebSocket-Extensions: x\r\n\r\n/
        if $name eq 'extension';
    $upgrade =~ s/Upgrade: websocket\r\n// if $name eq 'noupgrade';
    $upgrade = 'x' x 20_000 if $name eq 'bighead';
    return if $name eq 'cuthead';
    my $does = $self->can("does_$name") // \&does_echo;
    $does->($self, $s, $upgrade);
}

sub answer ($self, $s, $status, $code, $message, $more = '') {
    my $body = qq({"error":{"code":"$code","message":"$message\e[31m"}});
    $body =~ s/\e/\\u001b/;
    put($s, "HTTP/1.1 $status X\r\nContent-Type: application/json\r\n$more"
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    sysread $s, my $rest, 100;
}

sub put ($s, $bytes) {
    my $at = 0;
    while ($at < length $bytes) {
        my $n = syswrite $s, $bytes, 16384, $at or POSIX::_exit(0);
        $at += $n;
    }
}

sub frame ($first, $payload, $n = length $payload) {
    return pack('CC', $first, $n) . $payload if $n < 126;
    return pack('CCn', $first, 126, $n) . $payload if $n < 65536;
    return pack('CCQ>', $first, 127, $n) . $payload;
}

# Every frame that comes, as [first byte, payload], unmasked; those without a
# mask are noted, and end it.
sub each_frame ($self, $s, $cb) {
    my $in = '';
    while (1) {
        while (length $in >= 2) {
            my ($first, $second) = unpack 'CC', $in;
            my $n  = $second & 127;
            my $at = 2;
            if ($n == 126) { last if length $in < 4; $n = unpack 'n', substr $in, 2, 2; $at = 4 }
            elsif ($n == 127) { last if length $in < 10; $n = unpack 'Q>', substr $in, 2, 8; $at = 10 }
            if (!($second & 128)) { $self->note('unmasked'); return }
            last if length $in < $at + 4 + $n;
            my $mask = substr $in, $at, 4;
            my $payload = substr $in, $at + 4, $n;
            substr $in, 0, $at + 4 + $n, '';
            $payload ^= substr $mask x (int($n / 4) + 1), 0, $n;
            $self->{masks}{$mask}++;
            return if $cb->($first, $payload, $mask);
        }
        sysread $s, $in, 65536, length $in or return $self->note('gone');
    }
}

# Echoes; at Close it answers so.  Text commands at the beginning of a frame:
# "COUNT" says how many masks were different.
sub does_echo ($self, $s, $upgrade) {
    put($s, $upgrade);
    $self->each_frame($s, sub ($first, $payload, $mask) {
        if (($first & 15) == 8) {
            $self->note('close ' . unpack 'n', $payload);
            put($s, frame(0x88, $payload));
            return 1;
        }
        put($s, frame(0x8a, $payload)) if ($first & 15) == 9;
        $self->note("pong $payload") if ($first & 15) == 10;
        return if ($first & 15) != 2;
        $payload = 0 + keys %{$self->{masks}} if $payload eq 'COUNT';
        put($s, frame(0x82, $payload));
        return;
    });
}

# What comes with the answer's head is not lost; fragments; pings between.
sub does_early ($self, $s, $upgrade) {
    put($s, $upgrade . frame(0x02, 'one ') . frame(0x89, 'ping!')
            . frame(0x00, 'two ') . frame(0x80, "three\n"));
    $self->does_echo($s, '');
}

# A record as large as there are, which ends the head: what was read of the one
# before leaves no room for all of it.
sub does_brim ($self, $s, $upgrade) {
    put($s, substr $upgrade, 0, 20, '');
    my $n = 16384 - length($upgrade) - 4;
    put($s, $upgrade . frame(0x82, 'y' x ($n - 1) . 'z'));
    $self->does_echo($s, '');
}

# Hears a Close, and says nothing for it.
sub does_mute ($self, $s, $upgrade) {
    put($s, $upgrade);
    $self->each_frame($s, sub ($first, $payload, $mask) {
        $self->note("mute heard $payload") if ($first & 15) == 2;
        return 0;
    });
}

# A byte a record.
sub does_drip ($self, $s, $upgrade) {
    put($s, $_) for split //, $upgrade . frame(0x82, 'x' x 300) . frame(0x82, "\n");
    $self->does_echo($s, '');
}

# Goes on after the client's Close until it has said all.
sub does_half ($self, $s, $upgrade) {
    put($s, $upgrade);
    my $all = '';
    $self->each_frame($s, sub ($first, $payload, $mask) {
        $all .= $payload if ($first & 15) == 2;
        return ($first & 15) == 8;
    });
    select undef, undef, undef, 0.3;
    put($s, frame(0x82, "counted " . length($all) . "\n"));
    put($s, frame(0x88, pack 'n', 1000));
    sysread $s, my $rest, 100;
}

# Takes nothing any more.
sub does_stuck ($self, $s, $upgrade) { put($s, $upgrade); sleep 1000 }

# Sends until it is stopped, and says how far it came.
sub does_flood ($self, $s, $upgrade) {
    put($s, $upgrade);
    my $sent = 0;
    my $data = frame(0x82, 'f' x 60_000);
    $s->blocking(0);
    my $at = 0;
    while (1) {
        my $n = syswrite $s, $data, length($data) - $at, $at;
        if ($n) { $at = ($at + $n) % length $data; $sent += $n; next }
        IO::Select->new($s)->can_write(1) and next;
        $self->note("flood stands at $sent");
        sleep 1000;
    }
}

# Sends so many bytes, as fast as it can.
sub does_pour ($self, $s, $upgrade) {
    put($s, $upgrade);
    my $data = frame(0x82, 'p' x 65_536) x 16;
    put($s, $data) for 1 .. 16;
    put($s, frame(0x88, pack 'n', 1000));
    sysread $s, my $rest, 100;
}

sub does_cut ($self, $s, $upgrade) { put($s, $upgrade . frame(0x82, 'a')); close $s }

my %broken = (
    text      => frame(0x81, 'text'),
    masked    => pack('CC', 0x82, 0x81) . "\0\0\0\0a",
    reserved  => frame(0x83, 'a'),
    bit       => frame(0xc2, 'a'),
    bigping   => pack('CCn', 0x89, 126, 126) . 'p' x 126,
    cutping   => frame(0x09, 'p'),
    orphan    => frame(0x80, 'a'),
    nested    => frame(0x02, 'a') . frame(0x82, 'a'),
    longform  => pack('CCn', 0x82, 126, 5) . 'hello',
    huge      => pack('CCQ>', 0x82, 127, 1 << 63),
    badclose  => frame(0x88, 'x'),
    lowclose  => frame(0x88, pack 'n', 999),
    policy    => frame(0x88, pack('n', 1008) . "session_ended: you have signed out\e[2J"),
    away      => frame(0x88, pack 'n', 1001),
    bare      => frame(0x88, ''),
    afterward => frame(0x88, pack 'n', 1000) . frame(0x82, 'never'),
);

sub broken ($class) { return sort keys %broken }

for my $name (keys %broken) {
    no strict 'refs';
    *{"does_$name"} = sub ($self, $s, $upgrade) {
        put($s, $upgrade . $broken{$name});
        $self->each_frame($s, sub ($first, $payload, $mask) {
            return 0 unless ($first & 15) == 8;
            $self->note("$name close " . unpack 'n', $payload);
            return 1;
        });
    };
}

sub stop ($self) {
    kill '-KILL', $self->pid;
    waitpid $self->pid, 0;
}

1;
