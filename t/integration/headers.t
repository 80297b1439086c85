# What goes upstream: what a client may not say is taken out, however it is
# spelled; then the gateway says it.  The application is a stand-in that says
# what arrived.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Raw qw(raw_http raw_h2);
use AML::Test;

my $gw      = AML::Test->start(instances => {'first-lab' => 'creator'});
my $host    = $gw->app_host('first-lab') . ':' . $gw->port;
my $bearer  = $gw->bearer('creator')->{Authorization};
my $browser = $gw->opened('creator', 'first-lab');
my $cookie  = $browser->cookie('__Host-aml', $gw->app_host('first-lab'));
my $me      = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');

# Headers as the application got them, as [lower-case name, value].
sub arrived (@lines) {
    my $r = raw_http($gw, join "\n", 'GET /x?y=z HTTP/1.1', "Host: $host",
        @lines, 'Connection: close', '', '');
    die "refused: $r->{code} $r->{body}\n" unless $r->{json}{headers};
    return map { [lc $_->[0], $_->[1]] } @{$r->{json}{headers}};
}

sub values_of ($name, @headers) {
    return join '|', map { $_->[1] } grep { $_->[0] eq $name } @headers;
}

my @forged = (
    'X-AML-Principal: 00000000-0000-4000-8000-000000000000',
    'x-aml-principal: mallory',
    'X-Aml-Name: mallory',
    'X-AML-Credential: session',
    'X-AML-Session: mallory',
    'X-AML-Action: mallory',
    'X-AML-Request-Id: mallory',
    'X-AML-Anything-Else: mallory',
    'X_AML_Principal: mallory',
    'X-AML_Principal: mallory',
    'X_Forwarded_For: mallory',
    'X-Forwarded-For: mallory',
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Proto: mallory',
    'X-Forwarded-Host: mallory',
    'X-Forwarded-Port: mallory',
    'X-Forwarded-Prefix: mallory',
    'X-Forwarded-User: mallory',
    'Forwarded: for=mallory',
    'X-Original-Host: mallory',
    'X-RStudio-Request: mallory',
    'X-RStudio-Root-Path: mallory',
    'X-RStudio-Username: mallory',
);

sub check ($what, @headers) {
    my %h = map { $_->[0] => $_->[1] } @headers;
    subtest $what => sub {
        ok !(grep { $_->[1] =~ /mallory|6\.6\.6\.6/ } @headers),
            'nothing that was forged'
            or diag explain \@headers;
        is values_of('x-aml-principal', @headers), $me, 'the principal, once';
        is values_of('x-forwarded-for', @headers), '127.0.0.1',
            'X-Forwarded-For, once';
        is values_of('x-forwarded-proto', @headers), 'https',
            'X-Forwarded-Proto, once';
        is values_of('x-forwarded-host', @headers), $host,
            'X-Forwarded-Host, with the port';
        is values_of('host', @headers), $host, 'the public Host';
    };
}

check 'token', arrived("Authorization: $bearer", @forged);
check 'session',
    arrived("Cookie: __Host-aml=$cookie", 'Sec-Fetch-Site: same-origin',
        @forged);
check 'nothing forged', arrived("Authorization: $bearer");

subtest 'HTTP/2' => sub {
    my $r = raw_h2(
        $gw,
        [
            [':method', 'GET'], [':scheme', 'https'], [':path', '/x'],
            [':authority', $host], ['authorization', $bearer],
            map { [lc $1, $2] if /^([^:]+): (.*)/ } @forged
        ]
    );
    check 'over HTTP/2',
        map { [lc $_->[0], $_->[1]] } @{$r->{json}{headers} // []};
};

subtest 'with underscores allowed by the operator' => sub {
    my $gw2 = AML::Test->start(
        instances => {'first-lab' => 'creator'},
        nginx     => sub ($text) {
            $text =~ s/underscores_in_headers off/underscores_in_headers on/r;
        }
    );
    my $tx = $gw2->program->get(
        $gw2->app_url('first-lab', '/x'),
        headers => {
            %{$gw2->bearer('creator')},
            'X_AML_Principal' => 'mallory', 'X-AML_Name' => 'mallory',
            'x_forwarded_for' => 'mallory', 'X_RStudio_Request' => 'mallory',
            'my_own'          => 'kept'
        }
    );
    unlike $tx->res->body, qr/mallory/, 'nothing that was forged';
    like $tx->res->body, qr/my_own/, 'others are kept';
    $gw2->finish;
};

subtest 'cookies' => sub {
    my @to = ("Cookie: __Host-aml=$cookie", 'Sec-Fetch-Site: same-origin');
    is values_of('cookie', arrived(@to)), '', 'the gateway\'s own is gone';
    is values_of(
        'cookie',
        arrived(
            "Cookie: _xsrf=2|a|b; __Host-aml=$cookie; "
                . '__Host-aml-browser=secret; username-x="v; w"',
            $to[1]
        )
        ),
        '_xsrf=2|a|b; username-x="v; w"', 'the application\'s are kept';
    is values_of('cookie',
        arrived("Cookie: a=1", "Cookie: __Host-aml=$cookie", 'Cookie: b=2',
            $to[1])) =~ s/[|;] ?/ /gr, 'a=1 b=2', 'in several headers';
    is values_of('cookie',
        arrived("Cookie: __Host-amlx=1; __Host-aml=$cookie", $to[1])),
        '__Host-amlx=1', 'a name that only begins alike is the application\'s';
    is values_of('cookie', arrived("Authorization: $bearer",
        "Cookie: __Host-aml=$cookie; a=1")), 'a=1',
        'also beside a token';
};

subtest 'Authorization' => sub {
    is values_of('authorization', arrived("Authorization: $bearer")), '',
        'our token is used up';
    my @session = ("Cookie: __Host-aml=$cookie", 'Sec-Fetch-Site: same-origin');
    is values_of('authorization',
        arrived(@session, 'Authorization: token abc')), 'token abc',
        'Jupyter\'s own stays';
    is values_of('authorization',
        arrived(@session, 'Authorization: Basic YTpi')), 'Basic YTpi',
        'Basic stays';
    my $all = join ' ', map { join ':', @$_ }
        arrived("Authorization: $bearer");
    ok index($all, (split / /, $bearer)[1]) < 0, 'the token is nowhere';
};

subtest 'the request itself' => sub {
    my $r = raw_http($gw, join "\n", 'GET /a%2Fb%20c/./d?e=%26&f HTTP/1.1',
        "Host: $host", "Authorization: $bearer", 'Connection: close', '', '');
    is $r->{json}{url}, '/a%2Fb%20c/./d?e=%26&f',
        'the address arrives as it was sent';
    my $body = join '', map { chr rand 256 } 1 .. 300_000;
    my $tx   = $browser->fetch(
        PUT  => $gw->app_url('first-lab', '/api/contents/x'),
        body => $body
    );
    is $tx->res->json('/body/bytes'), length $body, 'a body, its length';
    is $tx->res->json('/body/sha256'), Digest::SHA::sha256_hex($body),
        'and content';
    is $tx->res->json('/method'), 'PUT', 'and method';
};

subtest 'what is too large, or no request' => sub {
    my $ask = sub (@lines) {
        my $r = raw_http($gw, join "\n", @lines, 'Connection: close', '', '');
        return join ' ', $r->{code} // 'none',
            $r->{headers}{'x-aml-reason'}[0] // '',
            $r->{json}{error}{code} // '';
    };
    my @to = ("Host: $host", "Authorization: $bearer");
    is $ask->('PUT /x HTTP/1.1', @to, 'Content-Length: 600000000'),
        '413 request_too_large request_too_large', 'a body of 600 MB';
    is $ask->('GET /' . 'x' x 17_000 . ' HTTP/1.1', @to),
        '414 request_malformed request_malformed', 'an address of 17 KB';
    is $ask->('TRACE / HTTP/1.1', @to),
        '405 request_malformed request_malformed', 'TRACE';
    is $ask->('POST /x HTTP/1.1', @to, 'Transfer-Encoding: gzip'),
        '501 request_malformed request_malformed', 'a coding nobody has';
    for my $line ('GET  HTTP/1.1', 'GET /x HTTP/9.9', 'GET /x',
        "GET /\0x HTTP/1.1", 'get /x HTTP/1.1', 'GET /%00 HTTP/1.1',
        'GET /%zz HTTP/1.1', 'GET /../../x HTTP/1.1', ': HTTP/1.1')
    {
        like $ask->($line, @to),
            qr/^(?:(?:400|505) request_malformed request_malformed|none )/,
            $line =~ s/[^ -~]/?/gr;
    }
    for my $header ('Content-Length: -1', 'Content-Length: 1, 2',
        "Content-Length: 1\nContent-Length: 2",
        "Content-Length: 1\nTransfer-Encoding: chunked",
        'Transfer-Encoding: gzip', "Transfer-Encoding: chunked\n"
        . 'Transfer-Encoding: chunked')
    {
        like $ask->('POST /x HTTP/1.1', @to, $header), qr/^(?:400|501) /,
            $header =~ s/\n/ /r;
    }
};

subtest 'the answer' => sub {
    my $tx = $browser->fetch(
        GET => $gw->app_url('first-lab',
            '/stand-in/header?Set-Cookie=_xsrf%3D1%3B%20Path%3D/&'
                . 'Set-Cookie=b%3D2&X-Test=yes&Location=/lab')
    );
    my $h = $tx->res->headers;
    is_deeply $h->every_header('Set-Cookie'), ['_xsrf=1; Path=/', 'b=2'],
        'the application\'s cookies are not touched';
    is $h->header('X-Test'), 'yes', 'nor are its headers';
    $tx = $browser->fetch(
        GET => $gw->app_url('first-lab', '/stand-in/headers/10'));
    is $tx->res->headers->header('X-Long-10'), 'x' x 1000, '10 KB of them';
    $tx = $browser->fetch(
        GET => $gw->app_url('first-lab', '/stand-in/status/503'));
    is $tx->res->body, 'status',
        'nor its own errors: they are not taken for the gateway\'s';
    is $tx->res->headers->header('X-AML-Reason'), undef, 'and have no reason';
};

subtest 'what an application may not answer' => sub {
    my $tx = $browser->fetch(
        GET => $gw->app_url('first-lab',
            '/stand-in/header?Set-Cookie=__Host-aml%3Dmine%3B+Path%3D/%3B+Secure'
                . '&set-cookie=__host-AML-browser%3Dmine&Set-Cookie=+__Host-aml%3Dx'
                . '&Set-Cookie=ok%3D1&Set-Cookie=x__Host-aml%3D1'
        )
    );
    is_deeply $tx->res->headers->every_header('Set-Cookie'),
        ['ok=1', 'x__Host-aml=1'], 'no cookie of the gateway\'s name';

    $tx = $browser->fetch(GET => $gw->app_url('first-lab',
        '/stand-in/header?Clear-Site-Data=%22cookies%22&clear-site-data=%22*%22'
            . '&X-Test=yes'));
    is $tx->res->headers->header('Clear-Site-Data'), undef,
        'nor anything that takes the cookies of other hosts';
    is $tx->res->headers->header('X-Test'), 'yes', 'others are let through';

    for my $to ('@daemon_unavailable', '/.aml/sign-in', '/lab') {
        $tx = $browser->fetch(GET => $gw->app_url('first-lab',
            '/stand-in/header?X-Accel-Redirect=' . Mojo::Util::url_escape($to)));
        is $tx->res->code . ' ' . $tx->res->body, '200 header',
            "it does not send nginx to $to";
    }
};

subtest 'Upgrade over HTTP/2, which has none' => sub {
    my $r = raw_h2($gw,
        [
            [':method', 'GET'], [':scheme', 'https'], [':authority', $host],
            [':path', '/ws'], ['upgrade', 'websocket'],
            ['authorization', $bearer], ['sec-websocket-version', '13'],
            ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ==']
        ],
        sni => $gw->app_host('first-lab'));
    is $r->{code}, 400, 'is refused';
    is $r->{json}{error}{code}, 'request_malformed', 'with the reason';
};

subtest 'a websocket' => sub {
    my $ws = $browser->websocket($gw->app_url('first-lab', '/ws'),
        headers => {'X-AML-Principal' => 'mallory', 'Forwarded' => 'mallory'});
    ok $ws->echoes('hello'), 'is open';
    my $tx = $browser->fetch(
        GET => $gw->app_url('first-lab', '/stand-in/headers-of-ws'));
    unlike $tx->res->body, qr/mallory/, 'nothing that was forged';
    like $tx->res->body, qr/\Q$me\E/, 'the principal';
    unlike $tx->res->body, qr/\Q$cookie\E/, 'no cookie of ours';
};

subtest 'a client that says it is amld\'s gateway' => sub {
    for my $path ('/', '/auth/sign-in', $gw->workspace . '/computes') {
        my $tx = $gw->program->get(
            $gw->studio_url($path),
            headers => {
                'X-AML-Principal'  => $me,
                'X-AML-Name'       => 'creator',
                'X-AML-Credential' => 'session',
                'X-AML-Session'    => 'a' x 64
            }
        );
        unlike $tx->res->body, qr/first-lab/, "$path tells nothing";
        isnt $tx->res->code, 200, "$path" if $path =~ /computes/;
    }
};

$gw->done;
