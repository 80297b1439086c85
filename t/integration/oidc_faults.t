# An identity provider that misbehaves: whatever it does, the person gets a page
# with a reason and a way on, nobody is signed in who should not be, and amld
# keeps nobody else waiting.  A stand-in does what no real one would.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Encode qw(encode_utf8);
use MIME::Base64 qw(encode_base64url);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::URL;
use Mojo::Util qw(url_escape);
use Test::More;
use Time::HiRes qw(time);
use AML::JWT;
use AML::StandInProvider;
use AML::Test;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;
my $idp      = AML::StandInProvider->new;
my $kind     = $idp->name;
my $gw       = AML::Test->start(
    providers => [$idp],
    accounts  => {creator => 'Contributor'},
    amld      => sub ($text) {
        $text . $idp->section(label => 'Stand-in', key_cooldown => '1s');
    },
);
my $studio = $gw->studio;
my $start  = "$studio/auth/oidc/$kind?to=/auth/tokens";

# As at first, but for what is given; undef in it is none.
sub set (%change) {
    my %first = map { $_ => undef } qw(mode only user delay claims token
        callback userinfo metadata alg kid key refresh tls headers says);
    $idp->set(%first, %change);
}

# Begins a sign-in and stops where the provider sends it back.
sub comes_back ($me = $gw->browser) {
    $me->stop_at(qr{/auth/callback/});
    my $url = $me->navigate($start)->res->headers->location // '';
    $me->stop_at(undef);
    like $url, qr{/auth/callback/$kind\?}, 'comes back';
    return ($me, $url);
}

sub signed_in ($me) { $me->cookie('__Host-aml', $gw->studio_host) }

sub is_page ($tx, $status, $reason, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $link = $tx->res->dom->at('main a');
    $gw->refused($tx, $status, $reason, $name)
        or diag $tx->res->body, $gw->log_text('amld.err');
    is $link && $link->{href}, '/auth/sign-in?to=/auth/tokens', 'with a way on';
    like $tx->res->body, qr/Request: <code>[0-9a-f]{32}</, 'and the request';
}

# What comes of a sign-in while the stand-in is so.
sub fails (%o) {
    my ($set, $status, $reason, $name) = @o{qw(set status reason name)};
    subtest $name => sub {
        set(%{$o{early} // {}});
        my ($me, $url) = comes_back();
        set(%{$set // {}});
        my $since = time;
        my $tx = $me->navigate($url, from => $idp->origin);
        is_page $tx, $status // 502, $reason // 'provider_answer', $name;
        cmp_ok time - $since, '<', 15 * $patience, 'in a bounded time';
        is signed_in($me), undef, 'nobody is signed in';
        set();
    };
}

subtest 'it works at all' => sub {
    my $me = $gw->browser;
    is $me->navigate($start)->req->url->path, '/auth/tokens', 'signed in'
        or diag $gw->log_text('amld.err');
    ok signed_in($me), 'with a session';
};

# ---- the token endpoint ----

fails(set => {mode => 'huge', only => 'token'}, name => 'a huge answer');
fails(set => {mode => 'html', only => 'token'}, name => 'another type');
fails(set => {mode => 'cut', only => 'token'},
    reason => 'provider_unreachable', name => 'an answer cut short');
fails(set => {mode => 'error', only => 'token'},
    reason => 'provider_unreachable', name => 'status 503');
fails(set => {mode => 'redirect', only => 'token'}, name => 'a redirect');
fails(set => {mode => 'drip', only => 'token'},
    reason => 'provider_unreachable', name => 'byte by byte');
fails(set => {token => {token_type => 'mac'}}, name => 'another token type');
fails(set => {token => {access_token => undef}}, name => 'no access token');
fails(set => {token => {id_token => undef}}, name => 'no ID token');
fails(set => {token => {id_token => 'x.y.z'}}, name => 'no token at all');
fails(set => {token => {id_token => {a => 1}}}, name => 'an object for one');
fails(set => {tls => 'wrong'}, reason => 'provider_unreachable',
    name => 'the certificate of another name');

# ---- ID tokens ----

for my $case (
    ['another issuer',   {iss     => 'https://evil.example'}],
    ['another audience', {aud     => 'somebody'}],
    ['two audiences without azp', {aud => ['aml & co', 'somebody']}],
    ['another azp',      {azp     => 'somebody'}],
    ['another nonce',    {nonce   => 'x' x 43}],
    ['no nonce',         {nonce   => undef}],
    ['another at_hash',  {at_hash => encode_base64url('x' x 16)}],
    ['at_hash of another kind', {at_hash => 1}],
    ['no sub',           {sub     => undef}],
    ['no exp',           {exp     => undef}],
    ['an end that is past', {exp  => time - 10}],
    ['one that is old',  {iat     => time - 3600}],
    ['one of the future', {iat    => time + 3600, nbf => time + 3600}],
    ['a logout token',
        {events => {'http://schemas.openid.net/event/backchannel-logout' => {}}}],
    )
{
    fails(set => {claims => $case->[1]}, name => $case->[0]);
}
fails(set => {alg => 'none'}, name => 'alg none');
fails(set => {alg => 'HS256'}, name => 'alg HS256');
fails(set => {kid => 'made-up'}, name => 'a key that nobody has published');

fails(set => {key => AML::JWT::new_key($gw->dir, 'ES256')},
    name => 'somebody else\'s signature');

# ---- what is no fault of the person's ----

# Says so, and in the log what to look at.
sub misconfigured ($name, $log, %o) {
    my $before = length $gw->log_text('amld.err');
    fails(name => $name, %o);
    like substr($gw->log_text('amld.err'), $before), $log, "$name: the log";
}

subtest 'what an administrator has to look at' => sub {
    my $file   = path($idp->dir, 'client.secret');
    my $secret = $file->slurp;
    $file->spurt("expired\n");
    misconfigured('a secret that it does not know',
        qr/look at client_id and client_secret_file \(invalid_client/);
    $file->spurt("\n");
    misconfigured('an empty secret', qr/client_secret_file.*\(it is empty\)/);
    $file->remove;
    misconfigured('no secret', qr/client_secret_file.*\(No such file/);
    $file->spurt($secret)->chmod(0600);
    misconfigured('no ID token', qr/has no ID token/,
        set => {token => {id_token => undef}});
    misconfigured($_->[0], qr/look at both clocks/, set => {claims => $_->[1]})
        for ['an old token', {exp => time - 10}],
        ['a token of the future', {iat => time + 3600, nbf => time + 3600}];
};

# ---- what the browser comes back with ----

for my $case (
    ['another iss', {iss => 'https://evil.example'}, 502, 'provider_answer'],
    ['no iss',      {iss => undef}, 502, 'provider_answer'],
    ['no code',     {code => undef}, 502, 'provider_answer'],
    ['a refusal',   {code => undef, error => 'access_denied'}, 403,
        'provider_refused'],
    ['an error of its own', {code => undef, error => 'server_error'}, 502,
        'provider_unreachable'],
    ['an error that is none', {code => undef, error => '<b>" onload='}, 403,
        'provider_refused'],
    ['a client that may not', {code => undef, error => 'unauthorized_client'},
        502, 'provider_answer'],
    ['a scope that it does not know', {code => undef,
        error => 'invalid_scope'}, 502, 'provider_answer'],
    ['a code that is not one', {code => 'made-up'}, 400, 'sign_in_stale'],
    )
{
    my ($name, $callback, $status, $reason) = @$case;
    fails(early => {callback => $callback}, set => {callback => $callback},
        status => $status, reason => $reason, name => $name);
}

# ---- attacks ----

my $table = decode_json(path($FindBin::Bin, qw(.. data identity-attacks.json))
        ->slurp);

subtest 'where to afterwards' => sub {
    my $ours = quotemeta $studio;
    for my $row (grep { $_->{reason} eq 'ok' } @{$table->{redirects}}) {
        my $to = url_escape(encode_utf8($row->{to}));
        my $me = $gw->browser->stop_at(qr{^(?!$ours/|https://id\.localhost:)});
        my $tx = $me->navigate("$studio/auth/oidc/$kind?to=$to");
        my ($back) = grep { $_->req->url->path eq "/auth/callback/$kind" }
            @{$me->trail};
        my $where = $back->res->headers->location;
        my $want  = $row->{leads_to} // '/';
        my $host = Mojo::URL->new($where)->to_abs($back->req->url)->host;
        is $host, $gw->studio_host, encode_json([$row->{to}]) . ' stays here';
        like $where, qr{^/(?![/\\])}, 'by a path' if $want eq '/';
        ok signed_in($me), 'signed in';
    }
};

# ---- metadata ----

# It is known for a day; a new amld has to ask.
for my $case (
    ['of another issuer', 'provider_unreachable',
        {says => 'https://evil.example'}],
    ['of another type', 'provider_unreachable', {mode => 'html'}],
    ['cut short', 'provider_unreachable', {mode => 'cut'}],
    ['that is huge', 'provider_unreachable', {mode => 'huge'}],
    ['that redirects', 'provider_unreachable', {mode => 'redirect'}],
    ['with status 503', 'provider_unreachable', {mode => 'error'}],
    ['that never comes', 'provider_unreachable', {mode => 'hang'}],
    ['without endpoints', 'provider_answer',
        {metadata => {authorization_endpoint => undef}}],
    ['with endpoints in clear', 'provider_answer',
        {metadata => {token_endpoint => 'http://id.localhost/'}}],
    )
{
    my ($name, $reason, $set) = @$case;
    subtest "metadata $name" => sub {
        is $gw->stop_amld, 0, 'amld ends';
        set(only => 'openid-configuration', %$set);
        $gw->start_amld;
        is_page $gw->browser->navigate($start, follow => 0), 502, $reason,
            $name;
        set();
    };
}
subtest 'metadata without the method of PKCE that is used' => sub {
    is $gw->stop_amld, 0, 'amld ends';
    set(metadata => {code_challenge_methods_supported => ['plain']});
    my $before = length $gw->log_text('amld.err');
    $gw->start_amld;
    ok wait_for(sub {
        substr($gw->log_text('amld.err'), $before) =~ /names no S256/
    }), 'the log says so';
    set();
};

subtest 'amld ends while metadata is waited for' => sub {
    is $gw->stop_amld, 0, 'amld ends';
    set(only => 'openid-configuration', mode => 'hang');
    my $before = $idp->count('/openid-configuration');
    $gw->start_amld;
    my $threads = sub { scalar(() = glob "/proc/@{[$gw->pid('amld')]}/task/*") };
    my $idle    = $threads->();
    my $pid     = fork // die "fork: $!";
    if ($pid == 0) {
        my $tx = eval { $gw->browser->navigate($start, follow => 0) };
        POSIX::_exit($tx && $tx->res->code == 502 ? 0 : 1);
    }
    ok wait_for(sub { $idp->count('/openid-configuration') > $before
        && $threads->() > $idle }), 'somebody waits for it';
    my $since = time;
    is $gw->stop_amld, 0, 'amld ends';
    cmp_ok time - $since, '<', 2 * $patience, 'at once';
    waitpid $pid, 0;
    is $?, 0, 'who waited gets a page';
    set();
    $gw->start_amld;
};

is $gw->stop_amld, 0, 'amld ends';
$gw->start_amld;
ok wait_for(sub {
    my $me = $gw->browser;
    $me->navigate($start);
    signed_in($me);
}), 'and it works again';

# ---- nobody else waits ----

subtest 'one that hangs keeps nobody else waiting' => sub {
    my @on_way = map { [comes_back()] } 1 .. 40;
    my $before = $idp->count('/token');
    set(mode => 'hang', only => 'token');
    my @pid;
    for my $way (@on_way) {
        my ($me, $url) = @$way;
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            my $tx = eval { $me->navigate($url, from => $idp->origin) };
            my $h  = $tx && $tx->res->headers;
            POSIX::_exit(
                !$tx                   ? 1
                : $tx->res->code == 502 ? 0
                : ($h->header('X-AML-Reason') // '') eq 'daemon_busy'
                    && $tx->res->code == 503 && $h->header('Retry-After') ? 3
                : 2);
        }
        push @pid, $pid;
    }
    ok wait_for(sub { $idp->count('/token') >= $before + 24 }),
        'two dozen wait for it';
    my $slowest = 0;
    for (1 .. 20) {
        my $since = time;
        is $gw->browser->navigate("$studio/auth/sign-in")->res->code, 200,
            'a page';
        my $took = time - $since;
        $slowest = $took if $took > $slowest;
    }
    cmp_ok $slowest, '<', 1 * $patience, 'at once';
    my $since = time;
    ok signed_in($gw->signed_in('creator')), 'and somebody signs in otherwise';
    cmp_ok time - $since, '<', 3 * $patience, 'without waiting, too';
    is $idp->log_out($gw, sub => 'nobody')->code, 200,
        'a logout token is heard meanwhile';
    my %ended;
    my @busy;
    for my $i (0 .. $#pid) {
        waitpid $pid[$i], 0;
        $ended{$? >> 8}++;
        push @busy, $on_way[$i] if $? >> 8 == 3;
    }
    is_deeply \%ended, {0 => 24, 3 => 16},
        'who waited gets a page, the others are told to come again';
    is $idp->count('/token'), $before + 24, 'and have asked nobody';
    set();
    my ($me, $url) = @{$busy[0]};
    is $me->navigate($url, from => $idp->origin)->req->url->path,
        '/auth/tokens', 'their sign-in goes on when they do';
};

# ---- many ----

subtest '200 people at once' => sub {
    set();
    my $per = 10;
    my @pid;
    my $since = time;
    for my $group (1 .. 20) {
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            srand;
            my $bad = 0;
            for (1 .. $per) {
                my $me = $gw->browser;
                my $tx = eval { $me->navigate($start) };
                $bad++ unless $tx && $tx->res->code == 200
                    && $tx->req->url->path eq '/auth/tokens' && signed_in($me);
            }
            POSIX::_exit($bad);
        }
        push @pid, $pid;
    }
    my $bad = 0;
    for my $pid (@pid) { waitpid $pid, 0; $bad += $? >> 8 }
    is $bad, 0, 'every one succeeds' or diag $gw->log_text('amld.err');
    note sprintf '%.1f s', time - $since;
    my $dump = $gw->amld_ok(qw(session list));
    cmp_ok scalar(() = $dump =~ /Some Body/g), '>=', 200, 'each has a sign-in';
};

# ---- logout tokens ----

subtest 'logout tokens' => sub {
    set(user => {sub => 'ada', sid => 'p-1', name => 'Ada'});
    my $me = $gw->browser;
    $me->navigate($start);
    my $in = sub { $me->navigate("$studio/auth/tokens")->req->url->path };
    is $in->(), '/auth/tokens', 'signed in';
    for my $case (
        ['another audience', aud => 'somebody'],
        ['another issuer',   iss => 'https://evil.example'],
        ['no jti',           jti => undef],
        ['no iat',           iat => undef],
        ['an old one',       iat => int(time) - 3600, exp => int(time) - 3000],
        ['no events',        events => undef],
        ['other events',     events => {x => {}}],
        ['a nonce',          nonce => 'x'],
        ['neither sub nor sid', jti => 'a'],
        )
    {
        my ($name, %claims) = @$case;
        my $res = $idp->log_out($gw,
            ($name =~ /neither/ ? () : (sub => 'ada', sid => 'p-1')), %claims);
        is $res->code, 400, $name or diag $res->body;
        is $res->json('/error'), 'invalid_request', 'as JSON';
        is $res->headers->cache_control, 'no-store', 'that nobody keeps';
    }
    is $in->(), '/auth/tokens', 'still signed in';
    my %other = (sub => 'ada', sid => 'p-2');
    is $idp->log_out($gw, %other)->code, 200, 'another session of hers';
    is $in->(), '/auth/tokens', 'is not this one';
    my %this = (sub => 'ada', sid => 'p-1', jti => 'once');
    is $idp->log_out($gw, %this)->code, 200, 'this one';
    isnt $in->(), '/auth/tokens', 'has ended';
    is $idp->log_out($gw, %this)->code, 400, 'the same token again is refused';
    is $gw->program->request(POST => "$studio/auth/backchannel-logout",
        form => {logout_token => $_})->res->code, 400, 'not a token'
        for '', 'x', 'a.b.c', encode_base64url('{"alg":"none"}') . '.'
        . encode_base64url(encode_json({iss => $idp->issuer})) . '.';
    is $gw->program->request(POST => "$studio/auth/backchannel-logout")
        ->res->code, 400, 'none';
    is $gw->program->get("$studio/auth/backchannel-logout")->res->code, 405,
        'nor by GET';
    set();
};

# nginx takes a head of a page of memory from amld, and providers addresses of
# some kilobytes.
subtest 'signing out with an ID token that is large' => sub {
    for my $groups (0, 40, 200) {
        set(claims => {groups => [map { sprintf "%032d", $_ } 1 .. $groups]});
        my $me = $gw->browser;
        is $me->navigate($start)->res->code, 200, "$groups groups: signed in"
            or diag $gw->log_text('amld.err');
        my $tx = $me->submit($me->navigate("$studio/"), {},
            form => 'form[action*=sign-out]');
        is $tx->res->code, 200, "$groups groups: a page";
        my $to = Mojo::URL->new($me->refresh_of($tx) // '');
        is $to->path, Mojo::URL->new($idp->issuer . '/end')->path,
            'that leads to the provider';
        is $to->query->param('client_id'), $idp->client_id, 'and says who asks';
        my $hint = $to->query->param('id_token_hint');
        $groups < 200 ? like $hint, qr/^eyJ/, 'and for whom'
            : is $hint, undef, 'but no hint that is too large for an address';
        ok $me->cookie('__Host-aml-left', $gw->studio_host),
            'the browser knows that it is on its way';
    }
    set();
};

$gw->done;
