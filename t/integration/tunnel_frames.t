# A tunnel's client that is broken or means harm: frames and handshakes that
# may not be, floods, silence; and requests that ask for no tunnel at all.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time);
use AML::Raw qw(raw_http);
use AML::Test;
use AML::Tunnel;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx     => sub ($text) {
        $text =~ s/worker_processes \d+/worker_processes 1/;
        $text =~ s/(aml_tunnel \S+);/$1 ping=1s;/;
        $text =~ s/(client_header_buffer_size) 4k;/$1 256k;/;
        return $text;
    },
);
my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');
my $bearer = 'Authorization: Bearer ' . $gw->token('creator');
AML::Tunnel->route($gw, 'ssh-lab', $me);
my $host = $gw->app_host('ssh-lab', 22);

sub frame { AML::Tunnel::frame(@_) }

sub tunnel () {
    my $t = AML::Tunnel->open($gw, 'ssh-lab', $bearer);
    is $t->code, 101, 'open';
    return $t;
}

# The sanitizer keeps what was freed.
sub worker_memory {
    return 0 if $AML::Test::VARIANT eq 'asan';
    my ($worker) = $gw->workers;
    return path("/proc/$worker/status")->slurp =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

# A client that answers pings, for a while.
sub polite ($t, $seconds) {
    my $deadline = time + $seconds;
    while (time < $deadline && !$t->client_ended) {
        $t->turn(0.05);
        while (my ($ping) = grep { $_->[0] == 0x89 } @{$t->controls}) {
            @{$t->controls} = grep { $_ != $ping } @{$t->controls};
            $t->say_raw(frame(0x8a, $ping->[1]));
        }
    }
}

subtest 'frames that may not be' => sub {
    my $mask = 'mask';
    my %bad  = (
        'no mask'                     => [1002, "\x82\x05hello"],
        'no mask, nothing in it'      => [1002, "\x82\x00"],
        'reserved bit 1'              => [1002, frame(0xc2, 'x')],
        'reserved bit 2'              => [1002, frame(0xa2, 'x')],
        'reserved bit 3'              => [1002, frame(0x92, 'x')],
        'text'                        => [1003, frame(0x81, 'text')],
        'text in pieces'              => [1003, frame(0x01, 'text')],
        'a continuation of nothing'   => [1002, frame(0x80, 'x')],
        'and not the last'            => [1002, frame(0x00, 'x')],
        'a message within another'    => [1002, frame(0x02, 'x') . frame(0x82, 'y')],
        'text within another'         => [1002, frame(0x02, 'x') . frame(0x81, 'y')],
        'a ping in pieces'            => [1002, frame(0x09, 'x')],
        'a Close in pieces'           => [1002, frame(0x08, '')],
        'a ping of 126 bytes'         => [1002, frame(0x89, 'x' x 126)],
        'a pong of 65536 bytes'       => [1002, frame(0x8a, 'x' x 65_536)],
        'a Close of 126 bytes'        => [1002, frame(0x88, 'x' x 126)],
        '125 bytes said in 16 bits'   => [1002, "\x82\xfe\0\x7d$mask"],
        '65535 bytes said in 64 bits' => [1002, "\x82\xff\0\0\0\0\0\0\xff\xff$mask"],
        'bit 63 of the length'        => [1002, "\x82\xff\x80\0\0\0\0\0\0\0$mask"],
        'half a code'                 => [1002, frame(0x88, "\x03")],
        'a code that is never sent'   => [1002, frame(0x88, pack 'n', 1006)],
        'a code below all'            => [1002, frame(0x88, pack 'n', 1)],
        'a code that is not given'    => [1002, frame(0x88, pack 'n', 2000)],
        'a reason that is no UTF-8'   => [1007, frame(0x88, "\x03\xe8\xff\xfe")],
        'no websocket at all'         => [1002, "GET / HTTP/1.1\r\n\r\n"],
    );
    for my $opcode (3 .. 7, 11 .. 15) {
        $bad{"opcode $opcode"} = [1002, frame(0x80 | $opcode, 'x')];
    }
    my $fine = 0;
    for my $name (sort keys %bad) {
        my ($code, $bytes) = @{$bad{$name}};

        # behind what is right, in one piece and byte by byte
        for my $pieces (0, 1) {
            my $t = AML::Tunnel->open($gw, 'ssh-lab', $bearer);
            $t->say_binary('right');
            $t->turn_until(5, sub { $t->heard eq 'right' });
            for my $piece ($pieces ? split(//, substr $bytes, 0, 24) : $bytes) {
                $t->say_raw($piece);
                $t->turn(0) for 1, 2;
            }
            $t->say_binary('wrong') if !$pieces;
            $t->turn_until(5, sub { $t->client_ended });
            my $by = $t->closed_by // ['none', ''];
            $t->turn_until(5, sub { $t->end_ended });
            my $heard = $t->heard;
            $heard =~ s/^rightx?$/right/;    # before a second frame
            if ($by->[0] eq $code && $t->end_ended && $heard eq 'right') {
                $fine++;
                next;
            }
            fail "$name: $by->[0] instead of $code, heard " . $t->heard
                . ($t->end_ended ? '' : ', and went on');
        }
    }
    is $fine, 2 * keys %bad, keys(%bad) . ' of them, whole and by bytes';
};

subtest 'frames that may be' => sub {
    my $t = tunnel();
    my $said = '';
    for my $first (0x02, (0x00) x 20, 0x80) {
        my $bytes = chr(65 + rand 26) x int rand 200;
        $said .= $bytes;
        $t->say_raw(frame($first, $bytes) . frame(0x8a, 'not asked for'));
    }
    $t->say_raw(frame(0x82, '') . frame(0x02, '') . frame(0x80, 'end'));
    ok $t->turn_until(5, sub { $t->heard eq "${said}end" }),
        'a message in pieces, with pongs between';

    # One frame of 16 MB, of which the mask is at any place.
    my $big = join '', map { pack 'N*', map { int rand 2**32 } 1 .. 1000 } 1 .. 100;
    $big x= 10;
    $t->heard('')->say_binary($big);
    ok $t->turn_until(30, sub { length $t->heard == length $big }),
        'a frame of 4 MB is a stream';
    ok $t->heard eq $big, 'and comes as it was';

    # A frame of half the world, of which little comes: nothing waits for it.
    $t->heard('')->say_raw("\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0" . 'little');
    ok $t->turn_until(5, sub { $t->heard eq 'little' }), 'a frame of 2^62 bytes';
    $t->say_back('and back');
    ok $t->turn_until(5, sub { $t->got eq 'and back' }), 'within it, an answer';
    $t->close_client;
};

subtest 'pings' => sub {
    my $t = tunnel();
    $t->say_raw(frame(0x89, 'are you there'));
    ok $t->turn_until(
        5, sub { grep { $_->[0] == 0x8a } @{$t->controls} }), 'a pong';
    is_deeply [grep { $_->[0] == 0x8a } @{$t->controls}],
        [[0x8a, 'are you there']], 'with what the ping had';

    # While frames go out, pongs come between them.
    $t->controls([]);
    my $pings = 0;
    $t->turn_until(
        20,
        sub {
            $t->say_back('x' x 50_000) if length $t->to_client < 500_000;
            $t->say_raw(frame(0x89, 'ping ' . $pings++))
                if !length $t->to_gateway && $pings < 200;
            return $t->got_bytes > 10_000_000 && $pings == 200;
        }
    );
    $t->turn_until(5, sub { !length $t->to_client });
    $t->turn_until(
        5, sub { grep { $_->[1] eq 'ping 199' } @{$t->controls} });
    is $t->got, 'x' x $t->got_bytes, 'nothing was put into a frame';
    my @pongs = grep { $_->[0] == 0x8a } @{$t->controls};
    cmp_ok scalar @pongs, '>', 0, @pongs . ' pongs upon 200 pings';
    is $pongs[-1][1], 'ping 199', 'the last is answered';

    # Whoever sends pings and reads no pongs fills nothing.
    my $before = worker_memory();
    $t->client_reads(0);
    my $flood = frame(0x89, 'p' x 125) x 1000;
    my ($sent, $last) = (0, time);
    while (time - $last < 0.5 && $sent < 100) {
        if (!length $t->to_gateway) { $t->say_raw($flood); $sent++ }
        $last = time if $t->turn(0.05);
    }
    cmp_ok worker_memory() - $before, '<', 1000,
        'a flood of pings takes no memory';
    $t->client_reads(1);
    $t->say_binary('and on');
    $t->heard('');
    ok $t->turn_until(20, sub { $t->heard =~ /and on$/ }), 'it goes on';
    polite($t, 0.1);
    $t->close_client;
};

subtest 'silence' => sub {
    my ($polite, $quiet, $speaks, $held) = map { tunnel() } 1 .. 4;

    # who is held up: its application reads nothing, nor does it itself
    $held->end_reads(0)->client_reads(0);
    $held->say_binary('x' x 20_000_000);
    $quiet->client_reads(0);
    my $deadline = time + 6;
    while (time < $deadline) {
        $speaks->say_binary('.');
        $speaks->turn(0.05);
        polite($polite, 0.05);
        $held->turn(0.05);
    }
    $quiet->client_reads(1);
    ok $quiet->turn_until(5, sub { $quiet->client_ended && $quiet->end_ended }),
        'who does not answer pings is gone';
    my @pings = grep { $_->[0] == 0x89 } @{$quiet->controls};
    is scalar @pings, 3, 'after three';
    is $quiet->closed_by, undef, 'and is told nothing';
    ok !$polite->client_ended, 'who answers stays';
    ok !$speaks->client_ended, 'who speaks stays';
    $held->end_reads(1)->client_reads(1);
    ok $held->turn_until(30, sub { $held->heard_bytes == 20_000_000 }),
        'who is held up stays, and is heard';
    $_->close_client for $polite, $speaks, $held;
};

subtest 'handshakes' => sub {
    my %good = (
        'Connection'            => 'Upgrade, close',
        'Upgrade'               => 'websocket',
        'Sec-WebSocket-Version' => '13',
        'Sec-WebSocket-Key'     => 'dGhlIHNhbXBsZSBub25jZQ==',
    );
    my $answer = sub ($change, %o) {
        my %h = (%good, %$change);
        my $text = ($o{line} // 'GET ' . AML::Tunnel->PATH . ' HTTP/1.1')
            . "\nHost: $host\n$bearer\n"
            . join('', map {"$_: $h{$_}\n"} grep { defined $h{$_} } sort keys %h)
            . ($o{more} // '');
        return raw_http($gw, "$text\n" . ($o{body} // ''), sni => $host);
    };
    my $is = sub ($r, $code, $reason, $name) {
        is "$r->{code} " . ($r->{headers}{'x-aml-reason'}[0] // ''),
            "$code $reason", $name;
    };
    my %tunnel_only = (
        'no Upgrade'       => {Upgrade => undef, Connection => 'close'},
        'another protocol' => {Upgrade => 'h2c'},
        'no version'       => {'Sec-WebSocket-Version' => undef},
        'version 8'        => {'Sec-WebSocket-Version' => '8'},
        'version 130'      => {'Sec-WebSocket-Version' => '130'},
    );
    for my $name (sort keys %tunnel_only) {
        my $r = $answer->($tunnel_only{$name});
        $is->($r, 426, 'tunnel_only', $name);
        is_deeply [$r->{headers}{upgrade}, $r->{headers}{'sec-websocket-version'}],
            [['websocket'], ['13']], "$name: what it would take";
    }
    my %malformed = (
        'no Connection'      => {Connection => 'close'},
        'Connection: up'     => {Connection => 'up, upgraded, close'},
        'no key'             => {'Sec-WebSocket-Key' => undef},
        'an empty key'       => {'Sec-WebSocket-Key' => ''},
        'a short key'        => {'Sec-WebSocket-Key' => 'c2hvcnQ='},
        'a long key'         => {'Sec-WebSocket-Key' => 'QUFB' x 8},
        'a key in no base64' => {'Sec-WebSocket-Key' => '!GhlIHNhbXBsZSBub25jZQ=='},
    );
    $is->($answer->($malformed{$_}), 400, 'request_malformed', $_)
        for sort keys %malformed;
    $is->($answer->({}, more => "Sec-WebSocket-Key: $good{'Sec-WebSocket-Key'}\n"),
        400, 'request_malformed', 'two keys');
    $is->($answer->({}, more => "Sec-WebSocket-Version: 8\n"),
        426, 'tunnel_only', 'two versions');
    $is->($answer->({}, more => "Content-Length: 5\n", body => "hello"),
        400, 'request_malformed', 'a body');
    $is->($answer->({}, more => "Transfer-Encoding: chunked\n",
            body => "5\r\nhello\r\n0\r\n\r\n"),
        400, 'request_malformed', 'a body in chunks');
    $is->($answer->({}, line => 'POST ' . AML::Tunnel->PATH . ' HTTP/1.1'),
        400, 'request_malformed', 'POST');
    $is->($answer->({}, line => 'GET ' . AML::Tunnel->PATH . ' HTTP/1.0'),
        400, 'request_malformed', 'HTTP/1.0');
    $is->($answer->({}, line => "GET $_ HTTP/1.1"), 426, 'tunnel_only', "at $_")
        for '/', '/nbip/v1.0/ws-tcp/', '/nbip/v1.0/ws-tcp.', '/nbip/v1.0';
};

sub handshake (@more) {
    return join "\r\n", 'GET ' . AML::Tunnel->PATH . ' HTTP/1.1',
        "Host: $host:" . $gw->port, 'Connection: Upgrade',
        'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', $bearer, @more, '', '';
}

subtest 'handshakes in pieces' => sub {
    my $listens = $gw->{tunnels}{'ssh-lab'};
    my $text    = handshake();
    my $socket  = AML::Raw::connect_tls($gw, $host);
    $socket->autoflush(1);
    for my $byte (split //, $text) { AML::Raw::send_bytes($socket, $byte) }
    my $end = $listens->accept;
    my $in  = '';
    until ($in =~ /\r\n\r\n/) {
        AML::Raw::read_some($socket, \$in) or last;
    }
    like $in, qr{^HTTP/1\.1 101 }, 'byte by byte';
    AML::Raw::send_bytes($socket, $_) for split //, frame(0x82, 'and on');
    my $heard = '';
    while (length $heard < 6) {
        sysread $end, $heard, 100, length $heard or last;
    }
    is $heard, 'and on', 'and frames likewise';

    # left half-way, in good order or by a reset, at any place
    $listens->blocking(0);
    my $log = length $gw->log_text('error.log');
    for my $at (1, 10, index($text, 'Upgrade'), length($text) - 1) {
        for my $reset (0, 1) {
            my $half = AML::Raw::connect_tls($gw, $host);
            $half->autoflush(1);
            AML::Raw::send_bytes($half, substr $text, 0, $at);
            setsockopt $half, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0
                if $reset;
            $half->close(SSL_no_shutdown => $reset);
        }
    }
    ok !$listens->accept, 'who leaves half-way gets nowhere';
    unlike substr($gw->log_text('error.log'), $log), qr/\[(?:alert|crit)\]/,
        'and alarms nobody';

    # reset when all was said, before or behind the 101: the end hears of it
    for my $wait (0, 1) {
        my $whole = AML::Raw::connect_tls($gw, $host);
        $whole->autoflush(1);
        AML::Raw::send_bytes($whole, $text);
        if ($wait) { my $head = ''; AML::Raw::read_some($whole, \$head) }
        setsockopt $whole, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
        $whole->close(SSL_no_shutdown => 1);
        next if !$wait;
        my $its = wait_for(sub { $listens->accept });
        ok $its, 'reset behind the 101' or next;
        while (my $next = $listens->accept) { $its = $next }
        $its->blocking(0);
        ok wait_for(sub { defined sysread $its, my $x, 1 }),
            'the application hears of it';
    }
    while ($listens->accept) { }
    $listens->blocking(1);
    AML::Raw::send_bytes($socket, frame(0x82, '!'));
    sysread $end, $heard, 100;
    is $heard, '!', 'the first goes on meanwhile';
    $socket->close;
};

# A header's buffer may be larger than a tunnel's.
subtest 'more with the handshake than there is room for' => sub {
    for my $case ([40_000, undef], [150_000, 1009]) {
        my ($size, $code) = @$case;
        my $socket = AML::Raw::connect_tls($gw, $host);
        my $bytes = join '', map { frame(0x82, 'x' x 5_000) } 1 .. $size / 5000;
        AML::Raw::send_bytes($socket, handshake() . $bytes);
        my $end = $gw->{tunnels}{'ssh-lab'}->accept;
        my $heard = 0;
        while ($heard < $size) {
            my $n = sysread $end, my $some, 65_536 or last;
            $heard += $n;
        }
        if (!$code) {
            is $heard, $size, "$size bytes: all was heard";
            next;
        }
        my $in = '';
        1 while AML::Raw::read_some($socket, \$in);
        my $closed = $in =~ /\x88\x02(..)$/s ? unpack 'n', $1 : 'none';
        ok $heard == $size || $closed eq $code,
            "$size bytes: all was heard, or Close $code"
            or diag "$heard bytes, Close $closed";
    }
};

subtest 'what nginx refuses' => sub {
    my $good = path($gw->dir, 'nginx.conf')->slurp;
    my ($have) = $good =~ /(aml_tunnel [^;]+;)/;
    ok $have, 'there is one' or return;
    for my $case (
        ["$have $have",                 qr/"aml_tunnel" directive is duplicate/],
        ['aml_tunnel nbip;',            qr/needs a path that begins with "\/"/],
        ['aml_tunnel "";',              qr/needs a path/],
        ['aml_tunnel;',                 qr/invalid number of arguments/],
        ['aml_tunnel /x ping=0;',       qr/invalid parameter "ping=0"/],
        ['aml_tunnel /x ping=;',        qr/invalid parameter/],
        ['aml_tunnel /x ping=soon;',    qr/invalid parameter/],
        ['aml_tunnel /x connect=-1s;',  qr/invalid parameter/],
        ['aml_tunnel /x pong=1s;',      qr/invalid parameter "pong=1s"/],
        )
    {
        my ($text, $message) = @$case;
        my $file = path($gw->dir, 'bad.conf');
        $file->spurt($good =~ s/\Q$have\E/$text/r);
        my $r = $gw->run('', $AML::Test::NGINX, '-t', '-p', $gw->dir, '-c',
            "$file");
        isnt $r->{status}, 0, $text;
        like $r->{err}, $message, 'says why';
    }

    # where people are let in by something else than being the creator
    my $file = path($gw->dir, 'bad.conf');
    $file->spurt($good =~ s/\Q$have\E//r
        =~ s/(aml_require action;)/$1 $have/r);
    my $r = $gw->run('', $AML::Test::NGINX, '-t', '-p', $gw->dir, '-c',
        "$file");
    isnt $r->{status}, 0, 'without aml_require creator';
    like $r->{err}, qr/"aml_tunnel" needs "aml_require creator"/, 'says why';
};

subtest 'no tunnel' => sub {
    for my $method (qw(GET POST PUT DELETE OPTIONS)) {
        $gw->refused(
            $gw->program->request(
                $method => $gw->app_url('ssh-lab', '/x', 22),
                headers => $gw->bearer('creator')
            ),
            426,
            'tunnel_only',
            $method
        );
    }
    my $page = $gw->signed_in('creator')
        ->navigate($gw->app_url('ssh-lab', '/', 22));
    $gw->refused($page, 426, 'tunnel_only', 'a person');
    like $page->res->headers->content_type, qr{^text/html}, 'gets a page';
    like $page->res->body, qr/aml ssh/, 'that says what it is for';

    # A browser speaks HTTP/2, in which Upgrade makes an answer malformed.
    my $h2 = $gw->run('', 'curl', '-sS', '--http2', '--cacert', $gw->ca,
        '--resolve', "$host:" . $gw->port . ':127.0.0.1', '-H', $bearer,
        '-D', '-', "https://$host:" . $gw->port . AML::Tunnel->PATH);
    like $h2->{out}, qr{^HTTP/2 426}, 'HTTP/2';
    unlike $h2->{out}, qr/^upgrade:/mi, 'where there is no Upgrade';

    my $end = $gw->{tunnels}{'ssh-lab'};
    $end->blocking(0);
    ok !$end->accept, 'the application saw nothing of all that';
    $end->blocking(1);

    $gw->refused(
        $gw->program->get($gw->app_url('ssh-lab', '/x', 22),
            headers => $gw->bearer('colleague')),
        403, 'not_creator', 'others are not even told that'
    );
    my $tx = $gw->program->get($gw->app_url('first-lab', AML::Tunnel->PATH),
        headers => $gw->bearer('creator'));
    is $tx->res->code, 200, 'elsewhere the path is an application\'s own';
};

$gw->done;
