# Session cookies: which are good, and how they are set.  Those that are refused
# are in attacks.t.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Raw qw(raw_http);
use AML::Test;

my $gw   = AML::Test->start(instances => {'first-lab' => 'creator'});
my $host = $gw->app_host('first-lab');
my $now  = time;

# A principal of our own, made by hand, who owns the instance "hand-lab".
my $me = '11111111-2222-4333-8444-555555555555';
my %principal = (
    op => 'principal', id => $me, not_before => 0, flags => 0, name => 'Hand',
    issuer => 'test', assignments => []
);
my $handlab = $gw->app_host('hand-lab');
my $count   = 0;

sub new_session (%o) {
    my $cookie = sprintf '%042d0', ++$count; # 256 bits, none behind them
    $gw->edit({
        op      => 'session', cookie => $cookie, host => $handlab,
        principal => $me, sign_in => '99999999-2222-4333-8444-555555555555',
        created => $now - 50, expires => $now + 600, %o
    });
    return $cookie;
}

# What the gateway says to Cookie headers at hand-lab.
sub ask (@cookies) {
    my $r = raw_http($gw, join "\n", 'GET /x HTTP/1.1', "Host: $handlab",
        'Sec-Fetch-Site: same-origin',
        (map {"Cookie: $_"} @cookies), 'Connection: close', '', '');
    return join ' ', $r->{code} // 'none',
        $r->{headers}{'x-aml-reason'}[0] // '',
        $r->{json}{error}{code} // '';
}

$gw->edit(
    \%principal,
    {
        op => 'route', name => 'hand-lab', port => 0, state => 'Stopped',
        creator => $me, generation => 3, compute => $gw->compute('hand-lab')
    }
);

# The instance is stopped: whoever is told so has been taken for its creator.
use constant GOOD => '409 instance_stopped instance_stopped';

my $good = new_session();
is ask("__Host-aml=$good"), GOOD, 'a good one';
is ask("a=b; __Host-aml=$good; c=d"), GOOD, 'among others';
is ask('a=b', "__Host-aml=$good"), GOOD, 'in a second header';
is ask("__Host-aml-browser=x; __Host-aml=$good"), GOOD,
    'beside one whose name begins alike';

subtest 'over HTTP/2, where a cookie may come in pieces' => sub {
    my $ask = sub (@cookies) {
        my $r = AML::Raw::raw_h2(
            $gw,
            [
                [':method', 'GET'], [':scheme', 'https'], [':path', '/x'],
                [':authority', $handlab], map { ['cookie', $_] } @cookies
            ]
        );
        return join ' ', $r->{code} // 'none', $r->{json}{error}{code} // '';
    };
    is $ask->("__Host-aml=$good"), '409 instance_stopped', 'one';
    is $ask->('a=b', "__Host-aml=$good", 'c=d'), '409 instance_stopped',
        'among pieces';
    is $ask->("__Host-aml=$good", "__Host-aml=$good"),
        '400 credential_repeated', 'twice';
};

subtest 'too many cookies' => sub {
    my $r = raw_http($gw, join "\n", 'GET /x HTTP/1.1', "Host: $handlab",
        (map {"Cookie: c$_=" . 'x' x 4000} 1 .. 40), 'Connection: close',
        '', '');
    is $r->{code}, 431, 'status';
    is $r->{headers}{'x-aml-reason'}[0], 'headers_too_large', 'reason';
    $r = raw_http($gw, join "\n", 'GET /x HTTP/1.1', "Host: $handlab",
        'Cookie: c=' . 'x' x 20000, 'Connection: close', '', '');
    is $r->{code}, 431, 'one that is huge';
    $r = raw_http($gw, join "\n", 'GET /x HTTP/1.1', "Host: $handlab",
        (map {"Cookie: c$_=" . 'x' x 3900} 1 .. 10), 'Connection: close',
        '', '');
    is $r->{code}, 401, 'ten large ones are borne';
};

subtest 'what people see' => sub {
    my $browser = $gw->browser;
    $browser->set_cookie('__Host-aml', 'broken', $host);
    my $tx = $browser->navigate($gw->app_url('first-lab', '/lab'), follow => 0);
    is $tx->res->code, 302, 'a broken session leads to sign-in';
    is $tx->res->headers->location, '/.aml/sign-in?to=%2Flab',
        'and from there to what was asked for';
    $gw->refused($browser->fetch(GET => $gw->app_url('first-lab', '/lab')),
        401, 'session_malformed', 'a script is told, not redirected');
    my $ws = $browser->websocket($gw->app_url('first-lab', '/ws'));
    is $ws->failed, 401, 'a websocket as well';
};

subtest 'cookies as they are set' => sub {
    my $browser = $gw->opened('creator', 'first-lab');
    my $studio  = $gw->studio_host;
    like $browser->cookie('__Host-aml', $studio), qr/^[\w-]{43}$/,
        '256 random bits at the studio';
    like $browser->cookie('__Host-aml', $host), qr/^[\w-]{43}$/,
        'and at the instance';
    isnt $browser->cookie('__Host-aml', $host),
        $browser->cookie('__Host-aml', $studio), 'not the same';
    my @set = map { @{$_->res->headers->every_header('Set-Cookie')} }
        @{$browser->trail};
    ok scalar @set, 'some were set';
    for my $cookie (@set) {
        next if $cookie !~ /^__Host-/;
        like $cookie, qr/;\s*Secure/i,       'Secure';
        like $cookie, qr/;\s*HttpOnly/i,     'HttpOnly';
        like $cookie, qr/;\s*Path=\/(;|$)/i, 'Path=/';
        like $cookie, qr/;\s*SameSite=Lax/i, 'SameSite=Lax';
        unlike $cookie, qr/;\s*Domain=/i,    'no Domain';
    }
};

$gw->done;
