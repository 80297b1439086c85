# Signing out ends everything that one sign-in began, at once; and does not
# sign in again.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Raw qw(connect_tls);
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'second-lab' => 'creator'});

# Presses the button that the page has.
sub sign_out ($me) {
    my $tx = $me->navigate($gw->studio_url('/'));
    return $me->submit($tx, {}, form => 'form[action*=sign-out]');
}

my $me    = $gw->opened('creator', 'first-lab');
my $other = $gw->opened('creator', 'first-lab');
$me->navigate($gw->app_url('second-lab'));
my @urls = map { $gw->app_url($_, '/api/status') } qw(first-lab second-lab);
my @ws   = map { $me->websocket($_) } @urls;
my $others_ws = $other->websocket($urls[0]);
ok $_->echoes('hello'), 'a websocket is open' for @ws, $others_ws;
my %old = map {
    $_ => $me->cookie('__Host-aml', $_)
} $gw->studio_host, map { $gw->app_host($_) } qw(first-lab second-lab);
is $me->fetch(GET => $_)->res->code, 200, $_ for @urls;

my $tx = sign_out($me);
cmp_ok $tx->res->code, '<', 400, 'signing out is answered';
ok $_->closes(1), 'a websocket is closed within a second' for @ws;
ok $others_ws->echoes('still'), 'that of another sign-in is not';

subtest 'every origin, with the cookies as they were' => sub {
    for my $host (sort keys %old) {
        $me->set_cookie('__Host-aml', $old{$host}, $host);
    }
    $gw->refused($me->fetch(GET => $_), 401, 'session_unknown', $_) for @urls;
    $gw->refused($me->fetch(GET => $gw->studio_url($gw->workspace
        . '/computes?api-version=2022-10-01')), 401, 'session_unknown',
        'the control API');
    is $me->websocket($_)->failed, 401, 'websocket' for @urls;
};

subtest 'the way back does not sign in' => sub {
    for my $url ($gw->app_url('first-lab', '/lab'), $gw->studio_url('/')) {
        my $tx = $me->navigate($url);
        is $tx->req->url->path, '/auth/sign-in', "$url asks for a password";
        ok $tx->res->dom->at('input[type=password]'), 'in a form';
    }
};

subtest 'a code that was made before' => sub {
    my $one = $gw->signed_in('creator');
    my $tx  = $one->navigate($gw->app_url('first-lab', '/lab'), follow => 0);
    for (1 .. 2) {
        my $l = Mojo::URL->new($tx->res->headers->location)
            ->to_abs($tx->req->url);
        $tx = $one->navigate("$l", follow => 0);
    }
    like my $code = $tx->res->headers->location, qr/code=/, 'there is one';
    sign_out($one);
    $one->navigate($code, follow => 0);
    my $answer = $one->fetch(GET => $urls[0]);
    is $answer->res->code, 401, 'opens nothing any more';
};

subtest 'the other sign-in goes on' => sub {
    is $other->fetch(GET => $urls[0])->res->code, 200, 'requests';
    ok $others_ws->echoes('on'), 'and its websocket';
};

subtest 'from an instance' => sub {
    my $one = $gw->opened('creator', 'first-lab');
    my $url = $gw->app_url('first-lab', '/.aml/sign-out');
    for my $from ($gw->app_origin('second-lab'), 'https://evil.example') {
        $one->navigate($url, method => 'POST', form => {}, from => $from);
        is $one->fetch(GET => $urls[0])->res->code, 200,
            "a form of $from does nothing";
    }
    my $tx = $one->fetch(POST => $url);
    cmp_ok $tx->res->code, '<', 400, 'its own does';
    is $one->fetch(GET => $urls[0])->res->code, 401, 'there';
    $one->navigate($gw->studio_url('/'));
    is $one->trail->[-1]->req->url->path, '/auth/sign-in',
        'and at the studio';
};

subtest 'sign-out by another site' => sub {
    my $tx = $other->navigate($gw->studio_url('/auth/sign-out'),
        method => 'POST', form => {}, from => 'https://evil.example');
    is $other->fetch(GET => $urls[0])->res->code, 200, 'POST does nothing';
    $other->navigate($gw->studio_url('/auth/sign-out'),
        from => 'https://evil.example');
    is $other->fetch(GET => $urls[0])->res->code, 200, 'nor does GET';
};

subtest 'a token and what it opened' => sub {
    my $program = $gw->program;
    my $ws = $program->websocket($urls[0], headers => $gw->bearer('creator'));
    ok $ws->echoes('token'), 'a websocket by token';
    sign_out($other);
    ok $ws->echoes('still'), 'is not the session\'s';
};

subtest 'the session ends by itself' => sub {
    my $me = $gw->opened('creator', 'first-lab');
    my $ws = $me->websocket($urls[0]);
    ok $ws->echoes('x'), 'a websocket';
    my $host = $gw->app_host('first-lab');
    $gw->edit({
        op => 'delete',
        key => 'session/' . Digest::SHA::sha256_hex(
            $me->cookie('__Host-aml', $host))
    });
    ok $ws->closes(1), 'is closed when its session is deleted';
};

# Whatever is under way ends: a page that was left open is no way in.
subtest 'what is no websocket ends as well' => sub {
    my $me   = $gw->opened('creator', 'first-lab');
    my $host = $gw->app_host('first-lab');
    my @head = (
        "Host: $host:" . $gw->port,
        'Cookie: __Host-aml=' . $me->cookie('__Host-aml', $host),
        "Origin: https://$host:" . $gw->port
    );
    my %open = (
        'an event stream' => "GET /stand-in/stream HTTP/1.1\r\n"
            . join("\r\n", @head, '', ''),
        'an upload' => "PUT /x HTTP/1.1\r\n"
            . join("\r\n", @head, 'Transfer-Encoding: chunked', '', '')
            . "5\r\nhello\r\n",
        'a long poll' => "GET /stand-in/silent HTTP/1.1\r\n"
            . join("\r\n", @head, '', ''),
    );
    my %socket = map { $_ => connect_tls($gw, $host) } sort keys %open;
    print {$socket{$_}} $open{$_} for keys %open;
    $_->blocking(0) for values %socket;
    ok wait_for(
        sub {
            my $more = sysread $socket{'an event stream'}, my $some, 4096;
            return $more && $some =~ /data: x/;
        },
        10
    ), 'an event stream flows';

    my $other = $gw->opened('creator', 'first-lab');
    sign_out($me);
    my %at;
    wait_for(
        sub {
            for my $name (grep { !$at{$_} } keys %socket) {
                1 while sysread $socket{$name}, my $some, 65536;
                $at{$name} = 1 if !$!{EAGAIN};
            }
            return keys %at == keys %socket;
        },
        1
    );
    ok $at{$_}, "$_ is closed within a second" for sort keys %open;
    is $other->fetch(GET => $gw->app_url('first-lab', '/x'))->res->code, 200,
        'of another sign-in nothing is';
};

subtest 'an account that is removed' => sub {
    my $me = $gw->opened('creator', 'first-lab');
    my $ws = $me->websocket($urls[0]);
    my $token = $gw->bearer('creator');
    ok $ws->echoes('x'), 'a websocket';
    $gw->amld_ok('account', 'remove', 'creator');
    ok $ws->closes(1), 'is closed';
    like $me->fetch(GET => $urls[0])->res->code, qr/^401$/, 'session';
    is $gw->program->get($urls[0], headers => $token)->res->code, 401,
        'token';
};

$gw->done;
