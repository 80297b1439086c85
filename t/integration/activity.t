# What workers tell amld of credentials in use: once in half a minute each,
# without ever waiting for it, and never by pings.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256 sha256_hex);
use IO::Socket::UNIX;
use Mojo::JSON qw(decode_json);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(time);
use AML::JWT;
use AML::RawWebSocket;
use AML::Test;
use AML::Tunnel;
use AML::Wait qw(wait_for);

# This test listens in amld's place: only nginx's side of the templates is
# changed.
my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx => sub ($text) { $text =~ s{/activity\.sock}{/test.sock}r },
);
my $path = $gw->dir . '/test.sock';
my $url  = $gw->app_url('first-lab', '/x');
my $host = $gw->app_host('first-lab');

my $socket;

sub listen_there {
    unlink $path;
    $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path)
        or die "$path: $!";
    $socket->blocking(0);
}

my @missing;    # issuers of keys that are not known, as they came

# Records that have come since the last call.
sub heard {
    my @records;
    while (defined $socket->recv(my $in, 65_536)) {
        my ($version, $count) = unpack 'vv', $in;
        if ($version == 2) {
            push @missing, unpack 'x2v/a', $in;
            is length $in, 4 + $count, 'an issuer and nothing else';
            next;
        }
        is $version, 3, 'version' if $version != 3;
        my $at = 4;
        for (1 .. $count) {
            my %r;
            (@r{qw(kind length port age requests polls in out credential)}) =
                unpack 'CCvvVVVVa32', substr $in, $at;
            $r{name} = substr $in, $at + 54, $r{length};
            $at += 54 + $r{length};
            push @records, \%r;
        }
        is $at, length $in, 'nothing else in it' if $at != length $in;
    }
    return @records;
}

my @all;

# Those of a credential, so far.
sub of ($credential) {
    push @all, heard();
    return grep { $_->{credential} eq $credential } @all;
}

sub metric ($name) {
    my $text = $gw->program->get($gw->studio_url('/.aml/status'))->res->body;
    return ($text =~ /^\Q$name\E (\d+)$/m)[0];
}

sub sum ($name, @records) {
    my $n = 0;
    $n += $_->{$name} for @records;
    return $n;
}

my $me;

subtest 'nobody listens' => sub {
    $me = $gw->opened('creator', 'first-lab');
    is $me->fetch(GET => $url)->res->code, 200, 'requests are answered';
    ok wait_for(sub { metric('aml_activity_dropped_total') > 0 }),
        'and what could not be told is counted';
};

subtest 'a session' => sub {
    listen_there();
    AML::Wait::turn(1.5);
    $me = $gw->opened('creator', 'first-lab');
    my $session = sha256($me->cookie('__Host-aml', $host));
    my $studio  = sha256($me->cookie('__Host-aml', $gw->studio_host));
    is $me->fetch(GET => $url)->res->code, 200, 'a request' for 1 .. 20;
    ok wait_for(sub { of($session) }), 'is told of';
    AML::Wait::turn(0.6);
    my @r = of($session);
    cmp_ok scalar @r, '<=', scalar $gw->workers, 'once a worker, at most';
    is_deeply [@{$r[0]}{qw(kind name port age)}],
        [1, 'first-lab', 8888, 0], 'kind, instance and port';
    cmp_ok $r[0]{requests}, '>=', 1, 'as a request';
    is $r[0]{in} + $r[0]{out}, 0, 'and no frames';
    $me->navigate($gw->studio_url('/'));
    ok wait_for(sub { of($studio) }), 'that of the studio is another';
    is_deeply [@{(of($studio))[0]}{qw(kind name port)}], [1, '', 0],
        'without an instance';
};

subtest 'tokens' => sub {
    my $principal = pack 'H*',
        ($gw->log_text('access.log')
            =~ / ([0-9a-f-]{36}) first-lab:8888 "-" allow ok /)[0] =~ tr/-//dr;
    my $uuid = join '-', unpack 'H8H4H4H4H12', $principal;
    my $personal = 'amlp_' . 'o' x 43;
    $gw->edit({
        op => 'token', token => $personal, principal => $uuid, id => $uuid,
        created => int(time) + 5, expires => int(time) + 600
    });
    is $gw->program->get($url, headers => {Authorization => "Bearer $personal"})
        ->res->code, 200, 'a personal token';
    ok wait_for(sub { of(sha256($personal)) }), 'is told of by its hash';
    is((of(sha256($personal)))[0]{kind}, 2, 'its kind');

    is $gw->program->get($url, headers => $gw->bearer('creator'))->res->code,
        200, 'a JSON Web Token';
    my @r;
    ok wait_for(
        sub {
            of('');
            @r = grep { $_->{kind} == 3 && $_->{name} eq 'first-lab'
                    && substr($_->{credential}, 0, 16) eq $principal } @all;
        }
    ), 'is told of by its principal';
};

subtest 'what a page asks by itself' => sub {
    my $you  = $gw->opened('creator', 'first-lab');
    my $hash = sha256($you->cookie('__Host-aml', $host));
    $you->fetch(GET => $gw->app_url('first-lab', $_))
        for qw(/api/kernels /api/sessions?1 /api/contents/a%20b?content=1
        /apix /files/x);
    $you->fetch(PUT => $gw->app_url('first-lab', '/api/contents/a'));
    $gw->reload_nginx;
    ok wait_for(sub { sum(requests => of($hash)) >= 6 }), 'are requests';
    is sum(polls => of($hash)), 3, 'and said to be no more than that';
};

subtest 'what is refused is no use' => sub {
    my ($other) = $gw->opened('colleague', 'first-lab');
    my $cookie = $other->cookie('__Host-aml', $host) // '';
    is $other->fetch(GET => $url)->res->code, 403, 'not the creator';
    is $gw->program->get($url)->res->code, 401, 'a stranger';
    AML::Wait::turn(0.6);
    is scalar of(sha256($cookie)), 0, 'nothing was told of it';
    is scalar(grep { $_->{name} !~ /^(?:first-lab)?$/ } @all), 0, 'or of others';
};

subtest 'keys that are not known' => sub {
    my @iss = ($gw->studio, map {"https://id$_.test"} 1 .. 40);
    $gw->edit(map { {op => 'issuer', iss => $_, algs => ['RS256'],
            audiences => ['x'], name_claim => 'name'} } @iss[1 .. 40]);
    my $key = AML::JWT::new_key($gw->dir, 'RS256');
    my $ask = sub ($iss) {
        state %token;
        my $token = $token{$iss} //= AML::JWT::make('RS256', $key,
            {alg => 'RS256', kid => 'none'},
            {iss => $iss, aud => 'x', sub => 'x', exp => int(time) + 600});
        $gw->program->get($url, headers => {Authorization => "Bearer $token"})
            ->res->headers->header('X-AML-Reason');
    };
    my $told = sub ($iss) {
        push @all, heard();
        return scalar grep { $_ eq $iss } @missing;
    };
    my $since = time;
    is $ask->($iss[0]), 'token_key', 'one of ours' for 1 .. 30;
    is $ask->('https://other.test'), 'token_issuer', 'a stranger\'s';
    ok wait_for(sub { $told->($iss[0]) }), 'is told of by its issuer';
    AML::Wait::turn(0.6);
    cmp_ok $told->($iss[0]), '<=', $gw->workers * (1 + int(time - $since + 1)),
        'once a worker and second, at most';
    is $told->('https://other.test'), 0, 'the other is not';
    AML::Wait::turn(1.1);
    my $before = $told->($iss[0]);
    is $ask->($iss[0]), 'token_key', 'a second later';
    ok wait_for(sub { $told->($iss[0]) > $before }), 'again';

    # no issuer takes another's place
    my @reasons;
    for my $iss (@iss) {
        push @reasons, map { $ask->($iss) } 1 .. 2;
        $told->($iss);    # the socket's queue is short
    }
    is_deeply [grep { $_ ne 'token_key' } @reasons], [], 'many issuers';
    ok wait_for(sub { !grep { !$told->($_) } @iss }), 'each is told of';
    $gw->edit(map { {op => 'delete', key => 'issuer/' . s{/}{%2F}gr} }
            @iss[1 .. 40]);
};

subtest 'frames on websockets' => sub {
    my $you    = $gw->opened('creator', 'first-lab');
    my $cookie = $you->cookie('__Host-aml', $host);
    my $raw    = sub {
        AML::RawWebSocket->open($gw, $host, '/ws', "Cookie: __Host-aml=$cookie",
            'Origin: ' . $gw->app_origin('first-lab'));
    };
    my ($busy, $idle) = ($raw->(), $raw->());
    is $busy->code, 101, 'open';
    for (1 .. 7) {
        $busy->text('hello');
        $busy->text('h' x 70_000) if $_ == 3;
        $busy->say(AML::RawWebSocket::frame(9, 'ping'));
    }
    $busy->read(10, sub ($ws) { 15 == @{$ws->last} });
    is scalar(grep { $_->[0] == 1 } @{$busy->last}), 8, 'eight echoes';
    for (1 .. 50) {
        $idle->say(AML::RawWebSocket::frame(9, 'ping'));
    }
    $idle->read(10, sub ($ws) { $ws->total >= 50 * 6 });
    $_->close for $busy, $idle;
    ok wait_for(sub { metric('aml_websockets') == 0 }), 'closed';

    # a worker that leaves tells what is left
    $gw->reload_nginx;
    my $hash = sha256($cookie);
    ok wait_for(sub { sum(in => of($hash)) == 8 }, 10),
        'those from the client, and no ping';
    is sum(out => of($hash)), 8, 'those to it, and no pong';
};

subtest 'what RStudio sends only to be there' => sub {
    my ($app) = glob $gw->dir . '/state/i/*/jupyter.sock';
    $gw->edit({
        op      => 'route', name => 'first-lab', port => 8787,
        state   => 'Running', address => "unix:$app", generation => 7,
        creator => $gw->api(GET => $gw->compute('first-lab'), 'creator')
            ->res->json('/properties/properties/createdBy/userId')
    });
    my $there  = $gw->app_host('first-lab', 8787);
    my $you    = $gw->opened('creator', 'first-lab', 8787);
    my $cookie = $you->cookie('__Host-aml', $there);
    my $ws     = AML::RawWebSocket->open($gw, $there, '/ws',
        "Cookie: __Host-aml=$cookie",
        'Origin: ' . $gw->app_origin('first-lab', 8787));
    is $ws->code, 101, 'a terminal';
    $ws->text($_) for ('b') x 9, 'al', 'as', ('b') x 9;
    $ws->read(10, sub ($ws) { 20 == @{$ws->last} });
    is scalar @{$ws->last}, 20, 'all of it passes';
    $ws->close;
    ok wait_for(sub { metric('aml_websockets') == 0 }), 'closed';
    $gw->reload_nginx;
    my $hash = sha256($cookie);
    ok wait_for(sub { sum(in => of($hash)) == 2 }, 10),
        'what is typed is use, and that is not';
    is sum(out => of($hash)), 2, 'nor is the answer';
};

subtest 'a tunnel' => sub {
    my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
        ->res->json('/properties/properties/createdBy/userId');
    AML::Tunnel->route($gw, 'ssh-lab', $me);
    my $you = $gw->signed_in('creator');
    $you->navigate($gw->app_url('ssh-lab', '/', 22));
    my $cookie = $you->cookie('__Host-aml', $gw->app_host('ssh-lab', 22));
    my $t = AML::Tunnel->open($gw, 'ssh-lab', "Cookie: __Host-aml=$cookie",
        'Origin: ' . $gw->app_origin('ssh-lab', 22));
    is $t->code, 101, 'open';
    for my $n (1 .. 3) {
        $t->say_binary("$n")->say_raw(AML::Tunnel::frame(0x89, 'ping'));
        ok $t->turn_until(5, sub { $t->heard_bytes == $n }), 'said';
    }
    $t->say_back('x');
    ok $t->turn_until(5, sub { $t->got_bytes == 1 }), 'heard';
    $t->close_client;
    ok wait_for(sub { metric('aml_websockets') == 0 }), 'closed';
    $gw->reload_nginx;
    my $hash = sha256($cookie);
    ok wait_for(sub { sum(in => of($hash)) == 3 }, 10),
        'what was said is use, and no ping';
    is sum(out => of($hash)), 1, 'and what was answered, and no pong';
};

subtest 'after half a minute' => sub {
    my $you    = $gw->opened('creator', 'first-lab');
    my $hash = sha256($you->cookie('__Host-aml', $host));
    ok wait_for(sub { of($hash) }), 'told once';
    my $ws = $you->websocket($gw->app_url('first-lab', '/ws'));
    ok $ws->echoes("n$_"), 'a message' for 1 .. 3;
    AML::Wait::turn(10);
    is sum(in => of($hash)), 0, 'not told again so soon';
    ok $ws->echoes('more'), 'a message';
    ok wait_for(sub { sum(in => of($hash)) == 4 }, 45), 'but later, all of it';
    my ($record) = grep { $_->{in} } of($hash);
    cmp_ok $record->{age}, '<', 30, 'with the time since';
    $ws->close;
};

subtest 'a listener that does not read' => sub {
    my $full = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $path);
    $full->blocking(0);
    1 while defined $full->send('x');
    ok $!{EAGAIN}, 'its queue is full';
    my $dropped = metric('aml_activity_dropped_total');
    my $since   = time;
    for (1 .. 5) {
        my $you = $gw->opened('creator', 'first-lab');
        is $you->fetch(GET => $url)->res->code, 200, 'requests are answered';
    }
    cmp_ok time - $since, '<', 10 * ($ENV{AML_PATIENCE} || 1), 'soon';
    ok wait_for(sub { metric('aml_activity_dropped_total') > $dropped }),
        'what is lost is counted';
    1 while defined $socket->recv(my $in, 65_536);
};

subtest 'a listener that went and came back' => sub {
    close $socket;
    my $you = $gw->opened('creator', 'first-lab');
    is $you->fetch(GET => $url)->res->code, 200, 'requests are answered';
    AML::Wait::turn(0.6);
    listen_there();
    AML::Wait::turn(1.5);
    for (1 .. 6) {
        $you = $gw->opened('creator', 'first-lab');
        my $hash = sha256($you->cookie('__Host-aml', $host));
        ok wait_for(sub { of($hash) }, 5), 'it hears again, of every worker';
    }
};
close $socket;

subtest 'amld writes it down' => sub {
    my $conf = $gw->dir . '/nginx.conf';
    Mojo::File->new($conf)->spurt(
        Mojo::File->new($conf)->slurp =~ s{/test\.sock}{/activity.sock}r);
    $gw->reload_nginx;
    AML::Wait::turn(1.2);
    my %seen = map { $_->{value}{id} => $_->{value}{seen} }
        grep { $_->{family} eq 'sign-in-of' }
        @{decode_json($gw->amld_ok('registry', 'dump', '--json'))->{records}};
    cmp_ok scalar keys %seen, '>', 3, 'there are sign-ins';
    AML::Wait::turn(1);
    my $used = int time;
    is $me->fetch(GET => $url)->res->code, 200, 'one of them is used';
    AML::Wait::turn(0.6);
    is $gw->stop_amld, 0, 'amld ends, and writes what it has';
    my @later = grep { $_->{value}{seen} > $seen{$_->{value}{id}} }
        grep { $_->{family} eq 'sign-in-of' }
        @{decode_json($gw->amld_ok('registry', 'dump', '--json'))->{records}};
    is scalar @later, 1, 'one was seen since';
    cmp_ok $later[0]{value}{seen}, '>=', $used, 'when it was used';
    $gw->start_amld;
};

subtest 'what nginx refuses' => sub {
    my $good = Mojo::File->new($gw->dir . '/nginx.conf')->slurp;
    for my $case (
        ['/run/activity.sock',      qr/is not a socket/],
        ['unix:activity.sock',      qr/is not a socket/],
        ['unix:/' . 'x' x 120,      qr/longer than a socket's path/],
        ['unix:/a; aml_activity unix:/b', qr/is duplicate/],
        )
    {
        my ($value, $message) = @$case;
        my $file = $gw->dir . '/bad.conf';
        Mojo::File->new($file)
            ->spurt($good =~ s/aml_activity [^;]+;/aml_activity $value;/r);
        my $r = $gw->run('', $AML::Test::NGINX, '-t', '-p', $gw->dir, '-c',
            $file);
        isnt $r->{status}, 0, $value;
        like $r->{err}, $message, 'says why';
    }
};

$gw->done;
