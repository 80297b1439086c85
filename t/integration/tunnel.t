# The tunnel: a websocket at the host of an application that speaks no HTTP,
# relayed byte by byte to its socket; who may open it, and how it ends.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Mojo::File qw(path);
use Socket     qw(SOL_SOCKET SO_LINGER SHUT_WR);
use Test::More;
use Time::HiRes qw(time);
use AML::Port;
use AML::Raw;
use AML::Test;
use AML::Tunnel;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx     => sub ($text) {
        $text =~ s/(worker_shutdown_timeout) \w+;/$1 2s;/;
        $text =~ s/worker_processes \d+/worker_processes 1/;
        $text =~ s/(aml_tunnel \S+);/$1 connect=1s;/;
        return $text;
    },
);
my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');
my $bearer = 'Authorization: Bearer ' . $gw->token('creator');
AML::Tunnel->route($gw, 'ssh-lab', $me);

sub tunnel (@headers) {
    my $t = AML::Tunnel->open($gw, 'ssh-lab', @headers ? @headers : $bearer);
    is $t->code, 101, 'open';
    return $t;
}

# A session of the creator's at the host, in a cookie that begins so.
sub session ($cookie) {
    $cookie = sprintf '%sA', $cookie . 'x' x (42 - length $cookie);
    $gw->edit(
        {
            op => 'session', cookie => $cookie, principal => $me,
            host => $gw->app_host('ssh-lab', 22), sign_in => $me,
            created => int time, expires => 3600 + int time
        }
    );
    return $cookie;
}

sub own_origin { 'Origin: ' . $gw->app_origin('ssh-lab', 22) }

sub end_session ($cookie) {
    $gw->edit({op => 'delete', key => 'session/' . sha256_hex($cookie)});
    return time;
}

sub metric ($name) {
    my $text = $gw->program->get($gw->studio_url('/.aml/status'))->res->body;
    return ($text =~ /^\Q$name\E (\d+)$/m)[0];
}

sub random_bytes ($n) {
    open my $fh, '<:raw', '/dev/urandom' or die "urandom: $!";
    read $fh, my ($bytes), $n;
    return $bytes;
}

# Resident memory of the worker, in kB.  The sanitizer keeps what was freed.
sub worker_memory {
    return 0 if $AML::Test::VARIANT eq 'asan';
    my ($worker) = $gw->workers;
    return path("/proc/$worker/status")->slurp =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

sub last_line {
    my @lines = grep {m{/nbip/v1.0/ws-tcp}}
        split /\n/, $gw->log_text('access.log');
    return $lines[-1] // '';
}

subtest 'bytes as they are' => sub {
    my $t = tunnel();
    $t->say_back("SSH-2.0-test\r\n");
    ok $t->turn_until(5, sub { $t->got eq "SSH-2.0-test\r\n" }),
        'what the application says first';
    $t->say_binary("\0\xff" . 'a' x 300);
    ok $t->turn_until(5, sub { $t->heard eq "\0\xff" . 'a' x 300 }),
        'what the client says';
    $t->say_back('x');
    ok $t->turn_until(5, sub { $t->got eq "SSH-2.0-test\r\nx" }), 'one byte';
    shutdown $t->end, SHUT_WR;
    ok $t->turn_until(5, sub { $t->client_ended }), 'the application ends';
    is_deeply $t->closed_by, [1000, ''], 'Close 1000';
    ok wait_for(sub { last_line() =~ / 101 (\d+) / }), 'the log has it' or return;
    my ($out) = last_line() =~ / 101 (\d+) /;
    cmp_ok $out, '>=', 2 + 14 + 2 + 1 + 4, 'with bytes';
    like last_line(), qr/ ssh-lab:22 "-" allow ok /, 'and what was decided';
};

# 32 MB in each direction at once, in frames and pieces of many sizes.
subtest 'megabytes both ways' => sub {
    my $t = tunnel();
    $t->sum(Digest::SHA->new(256))->heard_sum(Digest::SHA->new(256));
    my ($there, $back) = (Digest::SHA->new(256), Digest::SHA->new(256));
    my $pool = random_bytes(4_000_000);
    my $size = 32_000_000;
    my ($sent, $answered) = (0, 0);
    my @sizes = (1, 2, 125, 126, 1000, 16_384, 65_535, 65_536, 300_001);
    my $ok = $t->turn_until(
        60,
        sub {
            while ($sent < $size && length $t->to_gateway < 500_000) {
                my $bytes = substr $pool, rand 3_000_000, $sizes[rand @sizes];
                $sent += length $bytes;
                $there->add($bytes);
                $t->say_binary($bytes);
            }
            while ($answered < $size && length $t->to_client < 500_000) {
                my $bytes = substr $pool, rand 3_000_000, $sizes[rand @sizes];
                $answered += length $bytes;
                $back->add($bytes);
                $t->say_back($bytes);
            }
            return $t->heard_bytes == $sent && $t->got_bytes == $answered;
        }
    );
    ok $ok, 'all came through';
    is $t->heard_bytes, $sent,     'the application has as many bytes';
    is $t->got_bytes,   $answered, 'so has the client';
    is $t->heard_sum->hexdigest, $there->hexdigest, 'the same to it';
    is $t->sum->hexdigest,       $back->hexdigest,  'and from it';
    note sprintf '%d frames of %d bytes', $t->frames,
        $answered / ($t->frames || 1);
    $t->close_client;
};

subtest 'who does not read holds up the other, and nothing else' => sub {
    my $t      = tunnel();
    my $other  = tunnel();
    my $before = worker_memory();
    my $block  = random_bytes(100_000);

    # the application does not read: the client can't send without end
    $t->end_reads(0);
    my ($offered, $last) = (0, time);
    while (time - $last < 0.5 * $patience && $offered < 100_000_000) {
        if (length $t->to_gateway < 1_000_000) {
            $t->say_binary($block);
            $offered += length $block;
        }
        $last = time if $t->turn(0.05);
    }
    my $taken = $offered - length $t->to_gateway;
    cmp_ok $taken, '<', 30_000_000, 'the client is held up';
    cmp_ok worker_memory() - $before, '<', 2000, 'the worker has not grown';
    $other->say_binary('and you');
    ok $other->turn_until(5, sub { $other->heard eq 'and you' }),
        'another tunnel goes on';

    # but what it says the other way comes through
    $t->say_back('still here');
    ok $t->turn_until(5, sub { $t->got eq 'still here' }), 'so does this';
    $t->end_reads(1);
    ok $t->turn_until(30, sub { $t->heard_bytes == $offered }),
        'it reads again: all is there';
    ok $t->heard eq $block x ($offered / 100_000), 'and as it was';

    # the client does not read
    $t->client_reads(0);
    ($offered, $last) = (0, time);
    while (time - $last < 0.5 * $patience && $offered < 100_000_000) {
        if (length $t->to_client < 1_000_000) {
            $t->say_back($block);
            $offered += length $block;
        }
        $last = time if $t->turn(0.05);
    }
    cmp_ok $offered - length $t->to_client, '<', 30_000_000,
        'the application is held up';
    cmp_ok worker_memory() - $before, '<', 2000, 'the worker has not grown';
    my $heard = $t->heard_bytes;
    $t->say_binary('still there');
    ok $t->turn_until(5, sub { $t->heard_bytes == $heard + 11 }),
        'the other way is open';
    $t->{got} = '';
    $t->{got_bytes} = 0;
    $t->client_reads(1);
    ok $t->turn_until(30, sub { $t->got_bytes == $offered }),
        'it reads again: all is there';
    ok $t->got eq $block x ($offered / 100_000), 'and as it was';
    $_->close_client for $t, $other;
};

subtest 'half-close' => sub {
    # a request by one end of the stream, an answer by the other
    my $t = tunnel();
    my $question = random_bytes(3_000_000);
    $t->say_binary($question);
    $t->say_raw(AML::Tunnel::frame(0x88, pack 'n', 1000));
    ok $t->turn_until(20, sub { $t->end_ended }), 'the client has closed';
    is $t->end_ended, 1, 'which is the end of what is to be read';
    ok $t->heard eq $question, 'behind all that it said';
    is $t->closed_by, undef, 'the Close is not answered yet';
    my $answer = random_bytes(3_000_000);
    $t->say_back($answer);
    ok $t->turn_until(20, sub { !length $t->to_client }), 'an answer';
    close $t->end;
    $t->end(undef);
    ok $t->turn_until(20, sub { $t->client_ended }), 'the end';
    ok $t->got eq $answer, 'the answer is whole';
    is_deeply $t->closed_by, [1000, ''], 'and then Close is answered';

    # an application that does not care
    $t = tunnel();
    $t->say_raw(AML::Tunnel::frame(0x88, pack 'na*', 1001, 'leaving'));
    ok $t->turn_until(5, sub { $t->end_ended }), 'it is told';
    my $since = time;
    ok $t->turn_until(20, sub { $t->client_ended }), 'and does not close';
    is_deeply $t->closed_by, [1001, ''], 'the Close is answered all the same';
    cmp_ok time - $since, '<', 12 * $patience, 'in seconds';

    # the last words of an application
    $t = tunnel();
    $t->say_back($answer);
    $t->turn_until(20, sub { !length $t->to_client });
    close $t->end;
    $t->end(undef);
    ok $t->turn_until(20, sub { $t->client_ended }), 'the application closes';
    ok $t->got eq $answer, 'all was sent';
    is_deeply $t->closed_by, [1000, ''], 'and then Close 1000';
};

subtest 'what is gone' => sub {
    my $open = metric('aml_websockets');

    # The client, with and without a word, in the middle of a frame.
    for my $last ('', substr AML::Tunnel::frame(0x82, 'x' x 1000), 0, 300) {
        my $t = tunnel();
        $t->say_binary('last words');
        $t->say_raw($last);
        $t->turn_until(5, sub { !length $t->to_gateway });
        $t->close_client;
        $t->client_reads(0);
        ok $t->turn_until(5, sub { $t->end_ended }), 'the client has gone';
        like $t->heard, qr/^last words/, 'and was heard';
    }

    # A reset by each.
    my $t = tunnel();
    $t->say_binary('x' x 1000);
    $t->turn_until(5, sub { length $t->heard == 1000 });
    setsockopt $t->client, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    $t->client->close(SSL_no_shutdown => 1);
    $t->client_ended(1);
    ok $t->turn_until(5, sub { $t->end_ended }), 'a reset by the client';

    # While the Close frame waits behind what it does not read.
    $t = tunnel();
    $t->client_reads(0);
    $t->say_back('z' x 20_000_000);
    $t->turn_idle(0.5);
    $t->say_raw("\x82\x00");
    $t->turn_until(5, sub { !length $t->to_gateway });
    setsockopt $t->client, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    my $since = time;
    $t->client->close(SSL_no_shutdown => 1);
    $t->client_ended(1)->to_client('');
    ok $t->turn_until(5, sub { $t->end_ended }), 'a reset behind a Close';
    cmp_ok time - $since, '<', 2 * $patience, 'ends it at once';

    AML::Tunnel->route($gw, 'tcp-lab', $me, tcp => 1);
    $t = AML::Tunnel->open($gw, 'tcp-lab', $bearer);
    is $t->code, 101, 'over TCP';
    $t->say_binary('hello');
    $t->turn_until(5, sub { $t->heard eq 'hello' });
    setsockopt $t->end, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    close $t->end;
    $t->end(undef);
    ok $t->turn_until(5, sub { $t->client_ended }),
        'a reset by the application';
    is_deeply $t->closed_by, [1011, ''], 'is no end in good order';

    # It closes with something unread: what it said before still comes.
    $t = tunnel();
    $t->end_reads(0);
    $t->say_binary('y' x 100_000);
    $t->turn_until(5, sub { !length $t->to_gateway });
    $t->say_back('last words');
    $t->turn_until(5, sub { !length $t->to_client });
    close $t->end;
    $t->end(undef);
    ok $t->turn_until(5, sub { $t->client_ended }), 'the application closes';
    is $t->got, 'last words', 'what it said has come';
    ok wait_for(sub { metric('aml_websockets') == $open }), 'none is left';
};

subtest 'who may not' => sub {
    my $colleague = 'Authorization: Bearer ' . $gw->token('colleague');
    my $code      = sub (@headers) {
        my $t = AML::Tunnel->open($gw, 'ssh-lab', @headers);
        my ($reason) = $t->in =~ /"code":"(\w+)"/;
        return $t->code . ' ' . ($reason // '');
    };
    is $code->(),                       '401 sign_in_required', 'nobody';
    is $code->($colleague),             '403 not_creator',      'a colleague';
    is $code->($bearer =~ s/.{9}$/AAAAAAAAA/r), '401 token_signature',
        'a token that somebody made';
    is $code->($bearer, $bearer), '400 request_malformed', 'two tokens';

    my $session = $gw->opened('creator', 'first-lab')
        ->cookie('__Host-aml', $gw->app_host('first-lab'));
    is $code->("Cookie: __Host-aml=$session", own_origin()),
        '401 session_host', 'a session of another host';

    my $mine = 'Cookie: __Host-aml=' . session('mine');
    for my $origin (
        undef,
        'null',
        $gw->studio,
        $gw->app_origin('first-lab'),
        'https://evil.example',
        $gw->app_origin('ssh-lab', 22) . '.evil.example',
        )
    {
        is $code->($mine, $origin ? "Origin: $origin" : ()),
            '403 cross_origin', 'a session, origin ' . ($origin // 'none');
    }
    my $t = tunnel($mine, own_origin());
    $t->say_binary('me');
    ok $t->turn_until(5, sub { $t->heard eq 'me' }), 'a session, its origin';
    $t->close_client;
};

subtest 'where nothing is' => sub {
    my $refused = sub ($name) {
        my $t = AML::Tunnel->open($gw, $name, $bearer);
        my ($reason) = $t->in =~ /"code":"(\w+)"/;
        return $t->code . ' ' . ($reason // '');
    };
    for my $case (
        ['Stopped',  '409 instance_stopped'],
        ['Stopping', '503 instance_stopping'],
        ['Starting', '503 instance_starting'],
        ['Failed',   '409 instance_failed']
        )
    {
        AML::Tunnel->say_route($gw, 'state-lab', $me, 'unix:/nowhere',
            state => $case->[0]);
        is $refused->('state-lab'), $case->[1], $case->[0];
    }
    is $refused->('nobodys-lab'), '404 instance_not_found', 'no instance';
    is $refused->('first-lab'),   '404 port_not_open',      'no SSH';

    AML::Tunnel->say_route($gw, 'gone-lab', $me, 'unix:' . $gw->dir . '/gone');
    is $refused->('gone-lab'), '502 application_unreachable', 'no socket';
    IO::Socket::UNIX->new(Local => $gw->dir . '/gone', Listen => 1)->close;
    is $refused->('gone-lab'), '502 application_unreachable',
        'nobody listens on it';
    my $port = AML::Port->take;
    AML::Tunnel->say_route($gw, 'gone-lab', $me, "127.0.0.1:$port");
    is $refused->('gone-lab'), '502 application_unreachable',
        'nobody listens on the port';

    # A listener that is full does not answer: the kernel drops what comes.
    my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die $!;
    my @wait = map {
        IO::Socket::INET->new(
            PeerAddr => '127.0.0.1', PeerPort => $full->sockport,
            Blocking => 0
        )
    } 1 .. 4;
    AML::Tunnel->say_route($gw, 'full-lab', $me,
        '127.0.0.1:' . $full->sockport);
    my $hasty = AML::Raw::connect_tls($gw, $gw->app_host('full-lab', 22));
    AML::Raw::send_bytes(
        $hasty,
        join "\r\n",
        'GET ' . AML::Tunnel->PATH . ' HTTP/1.1',
        'Host: ' . $gw->app_host('full-lab', 22) . ':' . $gw->port,
        'Connection: Upgrade', 'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', $bearer, '', ''
    );
    AML::Wait::turn(0.2);
    $hasty->close;
    ok wait_for(sub { last_line() =~ / 499 / }), 'who does not wait for it';
    my $since = time;
    is $refused->('full-lab'), '504 application_timeout', 'no answer';
    cmp_ok time - $since, '<', 10 * $patience, 'in seconds';
    $gw->tolerate(qr/connecting to the end of a tunnel took too long/);
};

subtest 'the answer to the handshake' => sub {
    my $socket = AML::Raw::connect_tls($gw, $gw->app_host('ssh-lab', 22));
    AML::Raw::send_bytes(
        $socket,
        join "\r\n",
        'GET ' . AML::Tunnel->PATH . ' HTTP/1.1',
        'Host: ' . $gw->app_host('ssh-lab', 22) . ':' . $gw->port,
        'Connection: keep-alive, Upgrade', 'Upgrade: WebSocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Protocol: what, ever',
        'Sec-WebSocket-Extensions: permessage-deflate', $bearer, '',
        AML::Tunnel::frame(0x82, 'with the handshake')
    );
    my $end = $gw->{tunnels}{'ssh-lab'}->accept;
    my $in  = '';
    until ($in =~ /\r\n\r\n/) {
        AML::Raw::read_some($socket, \$in) or last;
    }
    like $in, qr{^HTTP/1\.1 101 }, 'the protocol is switched';
    like $in, qr/^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/m,
        'the key of RFC 6455 is answered as it says';
    like $in, qr/^Upgrade: websocket\r$/m,  'Upgrade';
    like $in, qr/^Connection: upgrade\r$/m, 'Connection';
    unlike $in, qr/^Sec-WebSocket-(?:Protocol|Extensions)/m,
        'no protocol and no extension is chosen';
    unlike $in, qr/^(?:Content-Type|Content-Length|Transfer-Encoding)/mi,
        'there is no body';
    sysread $end, my $heard, 100;
    is $heard, 'with the handshake', 'what came with it was heard';
    $socket->close;
};

subtest 'revoked' => sub {
    my $of = sub ($cookie) {
        return tunnel("Cookie: __Host-aml=$cookie", own_origin());
    };
    my $ends_well = sub ($t, $since, $code, $name) {
        ok $t->turn_until(5, sub { $t->client_ended }), "$name: closed";
        is_deeply $t->closed_by, [1008, $code], "$name: 1008 and the reason";
        cmp_ok $t->client_ended_at - $since, '<', 1 * $patience,
            "$name: within a second";
        ok $t->turn_until(5, sub { $t->end_ended }),
            "$name: so is the application's side";
    };
    my $closed = metric('aml_websockets_closed_total');

    my $stays = tunnel();
    my $t     = $of->(my $one = session('one'));
    my $since = end_session($one);
    $ends_well->($t, $since, 'session_unknown', 'idle');

    # under flow, both ways
    $t = $of->(my $two = session('two'));
    $since = 0;
    $t->turn_until(
        10,
        sub {
            $t->say_binary('x' x 60_000) if length $t->to_gateway < 500_000;
            $t->say_back('y' x 60_000)
                if $t->end && length $t->to_client < 500_000;
            if (!$since && $t->got_bytes > 3_000_000) {
                $since = end_session($two);
            }
            return $t->client_ended;
        }
    );
    ok $since, 'under flow: it flowed';
    $ends_well->($t, $since, 'session_unknown', 'under flow');
    is $t->got, 'y' x $t->got_bytes, 'under flow: frames are whole';

    # a client that does not read can't be told
    $t = $of->(my $three = session('three'));
    $t->client_reads(0);
    $t->say_back('z' x 20_000_000);
    $t->turn_idle(0.5);
    $since = end_session($three);
    $t->to_client('');
    ok $t->turn_until(5, sub { $t->end_ended }),
        'not reading: the application is rid of it';
    cmp_ok time - $since, '<', 2 * $patience, 'not reading: in time';
    $t->close_client;

    # the instance
    $t = tunnel();
    AML::Tunnel->route($gw, 'other-lab', $me);
    my $other = AML::Tunnel->open($gw, 'other-lab', $bearer);
    is $other->code, 101, 'open, too';
    AML::Tunnel->say_route($gw, 'other-lab', $me,
        'unix:' . $gw->dir . '/other-lab.sock', state => 'Stopping');
    $ends_well->($other, time, 'instance_stopping', 'stopping');
    AML::Tunnel->say_route($gw, 'other-lab', $me,
        'unix:' . $gw->dir . '/other-lab.sock');
    $other = AML::Tunnel->open($gw, 'other-lab', $bearer);
    AML::Tunnel->say_route($gw, 'other-lab', $me,
        'unix:' . $gw->dir . '/other-lab.sock', state => 'Stopping');
    $other->end->close;
    $other->end(undef);
    $other->turn_until(5, sub { $other->client_ended });
    is_deeply $other->closed_by, [1008, 'instance_stopping'],
        'the reason, though the application has gone first';

    is metric('aml_websockets_closed_total') - $closed, 5, 'five were closed';
    for my $one ($t, $stays) {
        $one->say_binary('and I');
        ok $one->turn_until(5, sub { $one->heard eq 'and I' }),
            'others go on';
        $one->close_client;
    }
};

subtest 'sign-out, in a browser' => sub {
    my $browser = $gw->signed_in('creator');
    $browser->navigate($gw->app_url('ssh-lab', '/', 22));
    my $cookie
        = $browser->cookie('__Host-aml', $gw->app_host('ssh-lab', 22));
    ok $cookie, 'signed in at the host of the tunnel';
    my $t = tunnel("Cookie: __Host-aml=$cookie", own_origin());
    $browser->fetch(POST => $gw->app_url('ssh-lab', '/.aml/sign-out', 22));
    ok $t->turn_until(2, sub { $t->client_ended }), 'closed';
    is_deeply $t->closed_by, [1008, 'session_unknown'], 'by the sign-out';
};

subtest 'a reload, and the end of a worker' => sub {
    my ($old) = $gw->workers;
    my $t = tunnel();
    $gw->reload_nginx;
    my $since = time;
    $t->say_binary('after it');
    ok $t->turn_until(5, sub { $t->heard eq 'after it' }), 'goes on';
    $t->say_back('so do I');
    ok $t->turn_until(5, sub { $t->got eq 'so do I' }), 'both ways';
    my $new = tunnel();
    $new->close_client;
    ok $t->turn_until(10, sub { $t->client_ended }), 'its time is over';
    cmp_ok time - $since, '>', 1.5, 'which is worker_shutdown_timeout';
    is_deeply $t->closed_by, [1001, ''], 'Close 1001';
    ok wait_for(sub { !grep { $_ == $old } $gw->workers }),
        'the worker has left';

    # one that has nothing left leaves at once
    ($old) = $gw->workers;
    $t = tunnel();
    $gw->reload_nginx;
    $since = time;
    $t->say_raw(AML::Tunnel::frame(0x88, ''));
    $t->turn_until(5, sub { $t->end_ended });
    close $t->end;
    $t->end(undef);
    ok $t->turn_until(5, sub { $t->client_ended }), 'closed by the client';
    $t->close_client;
    ok wait_for(sub { !grep { $_ == $old } $gw->workers }), 'the worker left';
    cmp_ok time - $since, '<', 1.5 * $patience, 'and waited for nothing';
};

$gw->done;
