# Bearer tokens: which are good, how long, and how to get one.  Those that are
# refused are in attacks.t.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use List::Util qw(min);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::JWT;
use AML::Raw qw(raw_http);
use AML::Test;

use constant {ISS => 'https://issuer.test', AUD => 'api://aml'};

my $gw = AML::Test->start;

# Issuers of our own beside the gateway's, so that good tokens and bad ones
# are made by nothing of the product.
my %key = map { $_ => AML::JWT::new_key($gw->dir, $_) }
    qw(RS256 PS256 ES256 ES384 ES512 EdDSA);
my %issuer = (
    op => 'issuer', iss => ISS, algs => ['RS256'], leeway => 0,
    audiences => [AUD], name_claim => 'name'
);
$gw->edit(
    \%issuer, {op => 'key', iss => ISS, kid => 'one', pem => $key{RS256}},
    {
        %issuer, iss => 'https://many.test',
        algs => [qw(RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512
            EdDSA)]
    },
    map { {op => 'key', iss => 'https://many.test', kid => $_,
            pem => $key{$_}} } keys %key
);

my $now = time;
my %claims = (
    iss => ISS, aud => AUD, sub => 'alice', name => 'Alice', iat => $now,
    exp => $now + 600
);

# What the gateway says to a list of Authorization values: status and reason.
sub ask (@values) {
    my $r = raw_http($gw, join "\n",
        'GET ' . $gw->compute('any-lab') . '?api-version=2022-10-01 HTTP/1.1',
        'Host: ' . $gw->studio_host,
        (map {"Authorization: $_"} @values),
        'Connection: close', '', '');
    return join ' ', $r->{code} // 'none',
        $r->{headers}{'x-aml-reason'}[0] // '',
        $r->{json}{error}{code} // '';
}

# A stranger who is who they say they are has no role here.
use constant GOOD => '403 action_denied action_denied';

subtest 'good tokens' => sub {
    my $header = {alg => 'RS256', kid => 'one'};
    my $make = sub ($h, $c) {
        'Bearer ' . AML::JWT::make('RS256', $key{RS256}, $h, $c);
    };
    is ask($make->($header, \%claims)), GOOD, 'the plain one';
    is ask($make->({%$header, typ => 'JWT'}, \%claims)), GOOD, 'typ JWT';
    is ask($make->({%$header, typ => 'at+jwt'}, \%claims)), GOOD,
        'typ at+jwt';
    is ask($make->({alg => 'RS256'}, \%claims)), GOOD,
        'no kid, and one key only';
    is ask($make->($header, {%claims, aud => ['x', AUD]})), GOOD,
        'one of several audiences';
    is ask($make->($header, {%claims, exp => $now + 600.5})), GOOD,
        'a time with a fraction';
    is ask($make->($header, {%claims, name => "Zo\x{eb} \x{1f600}"})), GOOD,
        'a name beyond ASCII';
    is ask($make->($header, {%claims, name => "a\r\nX-AML-Principal: b"})),
        GOOD, 'a name with a line break, which goes nowhere';
    is ask($make->($header, \%claims) =~ s/^Bearer/bearer/r), GOOD,
        'the scheme in other case';
};

subtest 'every algorithm' => sub {
    for my $alg (qw(RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512
        EdDSA))
    {
        my $kid   = $alg =~ /^(RS|PS)/ ? "${1}256" : $alg;
        my $token = AML::JWT::make($alg, $key{$kid}, {alg => $alg, kid => $kid},
            {%claims, iss => 'https://many.test'});
        is ask("Bearer $token"), GOOD, $alg;
        $token =~ s/^([^.]+\.[^.]+\.).*/$1/;
        like ask("Bearer ${token}AAAA"), qr/^401 token_signature/,
            "$alg with another signature";
    }
    like ask('Bearer ' . AML::JWT::make(
        'ES256', $key{ES256}, {alg => 'ES384', kid => 'ES384'},
        {%claims, iss => 'https://many.test'}
    )), qr/^401 token_signature/, 'ES384 by name, ES256 by signature';
};

subtest 'a bad token is not helped by a good session' => sub {
    my $browser = $gw->signed_in('creator');
    my $tx = $browser->fetch(
        GET     => $gw->studio_url($gw->workspace . '/computes'
            . '?api-version=2022-10-01'),
        headers => {Authorization => 'Bearer x.y.z'}
    );
    $gw->refused($tx, 401, 'token_malformed', 'refused');
};

subtest 'a refused token says how to ask' => sub {
    my $tx = $gw->program->get(
        $gw->studio_url($gw->workspace . '/computes'),
        headers => {Authorization => 'Bearer x.y.z'}
    );
    like $tx->res->headers->www_authenticate // '', qr/^Bearer\b/,
        'WWW-Authenticate';
    unlike $tx->res->body, qr/openssl|jansson|\.c:\d/, 'and nothing more';
};

subtest 'a token that was good is remembered no longer than it is' => sub {
    my $make = sub ($exp) {
        'Bearer ' . AML::JWT::make('RS256', $key{RS256},
            {alg => 'RS256', kid => 'one'}, {%claims, exp => $exp});
    };
    my $token = $make->(time + 3);
    is ask($token), GOOD, 'good';
    ok AML::Wait::wait_for(
        sub { ask($token) eq '401 token_expired token_expired' }, 10),
        'and expired, though it was remembered';

    $token = $make->(time + 600);
    is ask($token), GOOD, 'another is good';
    $gw->edit({op => 'delete-key', iss => ISS, kid => 'one'});
    is ask($token), '401 token_key token_key',
        'until its key goes, though it was remembered';
};

subtest 'the gateway\'s own tokens' => sub {
    my $token = $gw->token('creator');
    my ($h, $c) = map { decode_json(Mojo::Util::b64_decode(tr{-_}{+/}r)) }
        (split /\./, $token)[0, 1];
    like $h->{alg}, qr/^(?:RS|PS|ES)\d+$|^EdDSA$/, 'signed with a key pair';
    ok $h->{kid}, 'which has a name';
    is $c->{iss}, $gw->studio, 'iss';
    is ref $c->{aud} ? $c->{aud}[0] : $c->{aud}, $gw->studio, 'aud';
    cmp_ok $c->{exp}, '>', time, 'exp';
    like $c->{sub}, qr/^[0-9a-f-]{36}$/, 'sub is no name';
};

subtest 'POST /auth/token' => sub {
    my $ask = sub ($authorization, %o) {
        $gw->program->request(
            $o{method} // 'POST',
            $gw->studio_url('/auth/token'),
            headers => {Authorization => $authorization}
        );
    };
    my $good = $ask->($gw->basic('creator'));
    is $good->res->code, 200;
    is lc $good->res->json('/token_type'), 'bearer', 'token_type';
    cmp_ok $good->res->json('/expires_in'), '>', 0, 'expires_in';
    like $good->res->headers->cache_control, qr/no-store/, 'is not kept';
    for my $case (
        ['a wrong password',   $gw->basic('creator', 'wrong')],
        ['an unknown account', $gw->basic('nobody', 'wrong')],
        ['an empty password',  $gw->basic('creator', '')],
        ['no credential',      undef],
        ['not base64',         'Basic !!!'],
        ['no colon',           'Basic ' . Mojo::Util::b64_encode('creator', '')],
        ['huge', $gw->basic('creator', 'x' x 5000)],
        ['NUL',  $gw->basic('creator', "x\0y")],
        ['another scheme', 'Digest username="creator"'],
    ) {
        my $tx = $ask->($case->[1]);
        like $tx->res->code, qr/^40[01]$/, $case->[0];
        is $tx->res->json('/access_token'), undef, 'no token';
    }
    my ($a, $b) = map {
        my $tx = $ask->($gw->basic($_, 'wrong'));
        my $body = $tx->res->body =~ s/"requestId":"[^"]*"//r;
        $tx->res->code . $body;
    } qw(creator nobody);
    is $a, $b, 'an account that exists answers as one that does not';
    isnt $ask->($gw->basic('creator'), method => 'GET')->res->code, 200,
        'GET gives no token';
};

# What says what it is called can sign out again.
subtest 'a token of a sign-in' => sub {
    my $ask = sub ($password, @form) {
        $gw->program->request(
            POST    => $gw->studio_url('/auth/token'),
            headers => {Authorization => $gw->basic('creator', $password)},
            @form
        );
    };
    my $good   = sub (@form) { $ask->($gw->passwords->{creator}, @form) };
    my $mine   = $gw->studio_url('/auth/sessions');
    my $listed = sub ($token) {
        return $gw->program->get($mine,
            headers => {Authorization => "Bearer $token"});
    };
    my ($plain, $one, $other) = map { $_->res->json('/access_token') }
        $good->(), map { $good->(form => {client_id => "robot $_"}) } 1, 2;
    my $clients = sub {
        return [sort grep { $_ ne 'a browser' } map { $_->{client} }
                @{$listed->($plain)->res->json('/value')}];
    };
    is_deeply $clients->(), ['robot 1', 'robot 2'],
        'is among the sessions, a plain one is not';
    my ($this) = grep { $_->{current} } @{$listed->($one)->res->json('/value')};
    is $this->{client}, 'robot 1', 'and knows itself by';
    is $gw->program->request(
        DELETE  => "$mine/$this->{id}",
        headers => {Authorization => "Bearer $one"}
    )->res->code, 204, 'it signs out';
    is $listed->($one)->res->code, 401, 'with that it ends';
    is $listed->($_)->res->code, 200, 'and no other' for $plain, $other;

    for my $bad ('', 'x' x 65, "a\x07b") {
        my $tx = $good->(form => {client_id => $bad});
        is $tx->res->code, 400, 'a name that can\'t be';
        is $tx->res->json('/error'), 'invalid_request', 'is said';
    }
    is $ask->('wrong', form => {client_id => 'robot'})->res->code, 401,
        'a wrong password';
    is_deeply $clients->(), ['robot 2'], 'begins nothing';
};

subtest 'and takes as long for either' => sub {
    # By turns, and the quickest of each, which a busy machine makes later for
    # both alike.
    my %least = map { $_ => 1e9 } qw(creator nobody);
    for my $account ((sort keys %least) x 5) {
        my $from = Time::HiRes::time();
        $gw->program->request(
            POST    => $gw->studio_url('/auth/token'),
            headers => {Authorization => $gw->basic($account, 'wrong')}
        );
        $least{$account}
            = min($least{$account}, Time::HiRes::time() - $from);
    }
    my ($known, $unknown) = @least{qw(creator nobody)};
    cmp_ok $unknown, '>', $known / 4, 'an unknown account hashes, too'
        or diag "$known $unknown";
};

$gw->done;
