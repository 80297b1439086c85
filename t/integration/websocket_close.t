# How websockets end when their principal may no longer use them: with a Close
# frame 1008 that has the reason, between frames, within a second, whatever is
# going on in both directions; and no others.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::IOLoop;
use Socket qw(SO_ERROR);
use Test::More;
use Time::HiRes qw(time);
use AML::JWT;
use AML::RawWebSocket;
use AML::Test;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'second-lab' => 'creator'},
);
my $host = $gw->app_host('first-lab');
my $url  = $gw->app_url('first-lab', '/ws');

sub metric ($name) {
    my $text = $gw->program->get($gw->studio_url('/.aml/status'))->res->body;
    return ($text =~ /^\Q$name\E (\d+)$/m)[0];
}

sub of_stand_in ($what) {
    return $gw->program->get(
        $gw->app_url('first-lab', '/stand-in/websockets'),
        headers => $gw->bearer('creator'))->res->json("/$what");
}

# A session of its own, and how to end it without anybody's help.
sub session ($name = 'first-lab') {
    my $me = $gw->opened('creator', $name);
    return ($me, $me->cookie('__Host-aml', $gw->app_host($name)));
}

sub revoke (@cookies) {
    $gw->edit(map { {op => 'delete', key => 'session/' . sha256_hex($_)} }
            @cookies);
    return time;
}

sub raw ($cookie, $path = '/stand-in/raw') {
    my $ws = AML::RawWebSocket->open($gw, $host, $path,
        "Cookie: __Host-aml=$cookie", 'Origin: ' . $gw->app_origin('first-lab'));
    is $ws->code, 101, 'open';
    return $ws;
}

# Ends the session and reads on: the Close frame, the end of TLS, in time.
sub ends_well ($ws, $cookie, $name) {
    my $since = revoke($cookie);
    $ws->read(5 * $patience);
    is_deeply $ws->close_frame, [1008, 'session_unknown'], "$name: 1008";
    ok $ws->ended, "$name: the connection ends";
    ok $ws->notified, "$name: so does TLS";
    cmp_ok $ws->ended_at - $since, '<', 1 * $patience, "$name: within a second";
}

subtest 'the reason' => sub {
    my ($me, $cookie) = session();
    my $ws = $me->websocket($url);
    ok $ws->echoes('x'), 'open';
    $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'));
    ok $ws->closes(1), 'sign-out: closed within a second';
    is $ws->code,   1008,              'code';
    is $ws->reason, 'session_unknown', 'reason';

    ($me, $cookie) = session();
    $ws = $me->websocket($url);
    my $raw = raw($cookie);
    ok $ws->echoes('x'), 'open';
    $gw->amld_ok('account', 'password', 'creator', '--password-stdin',
        \"$gw->{passwords}{creator}\n");
    ok $ws->closes(1), 'a new password: closed within a second';
    is $ws->code, 1008, 'code';
    my $reason = $ws->reason;
    like $reason, qr/^(?:session_unknown|principal_revoked)$/, 'reason';
    $raw->read(5);
    is_deeply $raw->close_frame, [1008, $reason], 'as bytes';
    ok $raw->notified, 'and TLS was ended';
    my ($line) = reverse grep { m{"GET /ws"} }
        split /\n/, $gw->log_text('access.log');
    ok wait_for(sub { $gw->log_text('access.log') =~ /"GET \/ws" 101 .* refuse $reason / }),
        'the access log has it';
    $gw->token('creator', 1);
};

subtest 'the instance' => sub {
    for my $try (1 .. 3) {
        my ($me, $cookie) = session('second-lab');
        my $ws = $me->websocket($gw->app_url('second-lab', '/ws'));
        ok $ws->echoes('x'), 'open';
        is $gw->api(POST => $gw->compute('second-lab') . '/restart', 'creator')
            ->res->code, 202, 'restart';
        ok $ws->closes(1), 'closed within a second';
        is $ws->code, 1008, 'code, though the application may have gone first';
        like $ws->reason, qr/^instance_(?:start|stopp)ing$/, 'reason';
        $gw->wait_state('second-lab', 'Running');
    }
};

subtest 'in the middle of a frame' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);

    # 10 bytes, 4 of them now, the others when the session is long gone
    $ws->text('hex 820a61616161');
    $ws->text('later 0.3 ' . '62' x 6);
    $ws->read(5, sub { length $ws->in == 6 });
    ends_well($ws, $cookie, 'a payload');
    is_deeply $ws->last->[-2], [2, 'aaaabbbbbb'], 'the frame is whole';

    ($me, $cookie) = session();
    $ws = raw($cookie);
    $ws->text('hex 82');
    $ws->text('later 0.3 ' . '7e0080' . '63' x 128 . '8103616263');
    $ws->read(5, sub { length $ws->in == 1 });
    ends_well($ws, $cookie, 'a header');
    is_deeply $ws->last->[-2], [2, 'c' x 128],
        'the frame is whole, and what came behind it is left out';
};

subtest 'the application ends meanwhile' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('hex 820a61616161');
    $ws->text('end 0.3 ' . '62' x 6);
    $ws->read(5, sub { length $ws->in == 6 });
    ends_well($ws, $cookie, 'with its frame');

    ($me, $cookie) = session();
    $ws = raw($cookie);
    $ws->text('hex 820a61616161');
    $ws->text('end 0.3 6262');
    $ws->read(5, sub { length $ws->in == 6 });
    revoke($cookie);
    $ws->read(5 * $patience);
    ok $ws->ended, 'without its frame';
    is $ws->in, "\x82\x0aaaaabb", 'nothing was put into it';
};

subtest 'the client ends meanwhile' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('hex 820a61616161');
    $ws->read(5, sub { length $ws->in == 6 });
    my $open = of_stand_in('open');
    revoke($cookie);
    AML::Wait::turn(0.25);
    $ws->close;
    ok wait_for(sub { of_stand_in('open') < $open }), 'it is over';
};

subtest 'in the middle of a frame that does not end' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('hex 820a61616161');
    $ws->read(5, sub { length $ws->in == 6 });
    my $since = revoke($cookie);
    $ws->read(5 * $patience);
    ok $ws->ended, 'closed';
    cmp_ok $ws->ended_at - $since, '<', 1 * $patience, 'within a second';
    is $ws->in, "\x82\x0aaaaa", 'and nothing was put into the frame';
};

subtest 'what is no frame' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('hex ' . unpack 'H*', 'this is no websocket');
    $ws->read(5, sub { length $ws->in == 20 });
    my $since = revoke($cookie);
    $ws->read(5 * $patience);
    cmp_ok $ws->ended_at - $since, '<', 1 * $patience, 'closed';
    is $ws->in, 'this is no websocket', 'with nothing behind it';
};

subtest 'the application has closed already' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('hex 880203e8');
    $ws->read(5, sub { $ws->close_frame });
    revoke($cookie);
    $ws->read(5 * $patience);
    ok $ws->ended, 'closed';
    is_deeply $ws->close_frame, [1000, ''], 'there is one Close frame';
};

subtest 'a message in frames of a megabyte' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $ws->text('pour 1048576');
    $ws->read(30, sub { $ws->total > 20 * 1048576 });
    ends_well($ws, $cookie, 'under flow');
    is $ws->last->[-2][0], 0, 'a continuation came before it';
    is length $ws->last->[-2][1], 1048576, 'a whole one';
};

subtest 'a client that reads again' => sub {
    for my $size (1048576, 1500) {
        my ($me, $cookie) = session();
        my $ws = raw($cookie);
        $ws->text("pour $size");
        ok wait_for(sub { of_stand_in('open') }), "it pours frames of $size";
        AML::Wait::turn(0.5);
        my $since = revoke($cookie);
        AML::Wait::turn(0.25);
        $ws->read(5 * $patience);
        is_deeply $ws->close_frame, [1008, 'session_unknown'],
            'the Close frame comes behind what was under way';
        is_deeply [map { length $_->[1] } grep { $_->[0] != 8 } @{$ws->last}],
            [($size) x (@{$ws->last} - 1)], 'which is whole';
        cmp_ok $ws->ended_at - $since, '<', 1 * $patience, 'within a second';
    }
};

subtest 'a client that does not read' => sub {
    my ($me, $cookie) = session();
    my $open = of_stand_in('open');
    my $ws   = raw($cookie);
    $ws->text('pour 1048576');
    ok wait_for(sub { of_stand_in('open') == $open + 1 }), 'it pours';
    AML::Wait::turn(0.5);
    my $since = revoke($cookie);
    ok wait_for(sub { of_stand_in('open') == $open }, 5),
        'the application is rid of it';
    cmp_ok time - $since, '<', 1.5 * $patience, 'in a second';
    $ws->read(10);
    ok $ws->ended, 'and so is the gateway';
    is $ws->close_frame, undef, 'there was no place for a Close frame';
};

subtest 'a client that does not stop sending' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie, '/ws');
    my $block = AML::RawWebSocket::frame(1, 'y' x 20_000);
    local $SIG{PIPE} = 'IGNORE';
    my ($since, $sent, $rest) = (undef, 0, '');
    my $deadline = time + 20;
    while (!$ws->ended && time < $deadline) {
        $since = revoke($cookie) if !$since && $ws->total > 200_000;
        $rest = $block unless length $rest;
        my $n = syswrite $ws->socket, $rest;
        substr $rest, 0, $n, '' if $n;
        $ws->read(0.002);
    }
    ok $since, 'it got its echoes';
    is_deeply $ws->close_frame, [1008, 'session_unknown'],
        'the Close frame comes through';
    ok $ws->notified, 'TLS was ended';
    my $reset = 0;
    for (1 .. 5) {
        $reset ||= !defined syswrite($ws->socket, $block) && !$!{EAGAIN};
        AML::Wait::turn(0.02);
        $reset ||= $ws->socket->sockopt(SO_ERROR);
    }
    ok !$reset, 'and nothing was reset: what it sends is dropped';
    cmp_ok $ws->ended_at - $since, '<', 1 * $patience, 'within a second';

    # From when it is decided, nothing of the client's gets through.
    ($me, $cookie) = session();
    $ws = raw($cookie);
    $ws->text('hex 820a61616161');
    $ws->read(5, sub { length $ws->in == 6 });
    my $closed = metric('aml_websockets_closed_total');
    revoke($cookie);
    wait_for(sub { metric('aml_websockets_closed_total') > $closed });
    my $before = of_stand_in('messages');
    $ws->text('hex 00') for 1 .. 5;
    $ws->read(5 * $patience);
    ok $ws->ended, 'closed';
    is of_stand_in('messages'), $before, 'nothing came through';
};

subtest 'five hundred, half of them revoked' => sub {
    my ($me,  $cookie) = session();
    my ($you, $yours)  = session();
    my @mine   = map { $me->websocket($url) } 1 .. 250;
    my @others = map { $you->websocket($url) } 1 .. 250;
    is scalar(grep { !$_->failed } @mine, @others), 500, '500 are open';

    # Each says something twice a second, and hears it again.
    my %said;
    my $id = Mojo::IOLoop->recurring(
        0.5 => sub {
            for my $ws (@mine, @others) {
                next if defined $ws->code;
                $ws->send('m' . $said{$ws}++);
            }
        }
    );
    ok wait_for(sub { 500 == grep { @{$_->messages} >= 2 } @mine, @others }),
        'all are busy';
    my $since = revoke($cookie);
    ok wait_for(sub { !grep { !defined $_->code } @mine }, 10),
        'the revoked are closed';
    my @late = grep { $_->closed_at - $since > 1 * $patience } @mine;
    is scalar @late, 0, 'each within a second';
    my ($last) = sort { $b <=> $a } map { $_->closed_at } @mine;
    note sprintf 'the last after %.3f s', $last - $since;
    is_deeply [map { $_->code . ' ' . $_->reason } @mine],
        [('1008 session_unknown') x 250], 'each with code and reason';
    my %before = map { $_ => scalar @{$_->messages} } @others;
    ok wait_for(
        sub { 250 == grep { @{$_->messages} >= $before{$_} + 2 } @others }),
        'the others go on';
    Mojo::IOLoop->remove($id);
    is scalar(grep { defined $_->code } @others), 0, 'none was closed';
    for my $ws (@others) {
        my @m = @{$ws->messages};
        next if join(' ', @m) eq join ' ', map {"m$_"} 0 .. $#m;
        fail 'a message was lost or came out of order';
        last;
    }
    $_->close for @others;
    ok wait_for(sub { metric('aml_websockets') == 0 }), 'none is left';
};

subtest 'the old workers after a reload' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie);
    $gw->reload_nginx;
    ends_well($ws, $cookie, 'after a reload');
};

subtest 'another protocol' => sub {
    my ($me, $cookie) = session();
    my $ws = raw($cookie, '/stand-in/switch');
    $ws->read(5, sub { length $ws->in == 5 });
    my $since = revoke($cookie);
    $ws->read(5 * $patience);
    cmp_ok $ws->ended_at - $since, '<', 1 * $patience, 'closed';
    is $ws->in, 'other', 'with nothing that it would not know';
};

subtest 'the registry is gone' => sub {
    my $key = AML::JWT::new_key($gw->dir, 'RS256');
    my ($me, $cookie) = session();
    my $mine = $me->websocket($url);
    my ($who) = $gw->log_text('access.log')
        =~ / ([0-9a-f-]{36}) first-lab:8888 "-" allow ok /;
    ok $who, 'known in the log' or return;
    my ($you, $yours) = session();
    $gw->edit(
        {
            op => 'session', cookie => $yours, host => $host,
            principal => $who, sign_in => $who, created => int(time),
            expires => int(time) + 5
        }
    );
    my $short = $you->websocket($url);
    ok $_->echoes('x'), 'open' for $mine, $short;
    rename $gw->registry, $gw->registry . '.away' or die "rename: $!";
    ok wait_for(sub { metric('aml_registry_up') == 0 }),
        'the registry can\'t be read';
    ok $short->closes(8), 'what expires meanwhile is closed';
    is $short->code,   1008,              'code';
    is $short->reason, 'session_expired', 'reason';
    ok $mine->echoes('y'), 'what does not goes on';
    ok wait_for(sub { !$gw->alive('amld') }, 20), 'amld has ended';
    rename $gw->registry . '.away', $gw->registry or die "rename: $!";
    ok wait_for(sub { metric('aml_registry_up') == 1 }), 'it is back';
    ok $mine->echoes('z'), 'and it goes on';
    $gw->start_amld;
    $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'));
    ok $mine->closes(1), 'and can be closed again';
    is $mine->reason, 'session_unknown', 'with the reason';
};

$gw->done;
