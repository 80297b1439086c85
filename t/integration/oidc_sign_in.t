# Signing in with an organisation's own identity provider, by each of the two
# real ones: to it, back, on to two instances; tabs, the way back, other
# browsers, and what must not work.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Mojo::URL;
use Test::More;
use AML::Provider;
use AML::Test;
use AML::Wait qw(wait_for);

my @idp = map { AML::Provider->make($_) } AML::Provider->kinds;
my $gw  = AML::Test->start(
    providers => \@idp,
    amld      => sub ($text) {
        join '', $text,
            map { $_->section(account_claim => 'preferred_username') } @idp;
    },
);
my $studio = $gw->studio;
my $cookie = sub ($browser) { $browser->cookie('__Host-aml', $gw->studio_host) };

# A browser that stops where the provider sends it back to us, and that address.
sub comes_back ($idp, $user, $to = '/auth/sessions', $browser = $gw->browser) {
    my $callback = $studio . $idp->callback;
    $browser->stop_at(qr/^\Q$callback\E/);
    my $tx = $idp->enter($browser, $user,
        "$studio/auth/oidc/@{[$idp->kind]}?to=$to");
    $browser->stop_at(undef);
    my $url = $tx->res->headers->location // '';
    like $url, qr/^\Q$callback\E\?/, 'comes back' or diag $tx->res->body;
    return ($browser, $url);
}

sub change ($url, %query) {
    return Mojo::URL->new($url)->query({%query})->to_string;
}

sub is_page ($tx, $status, $reason, $link, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $a = $tx->res->dom->at('main a');
    is join(' ', $tx->res->code, $tx->res->headers->header('X-AML-Reason') // '',
        $a ? $a->{href} : ''), "$status $reason $link", $name
        or diag $tx->res->body, $gw->log_text('amld.err');
}

sub sign_ins ($browser) {
    my $tx = $browser->fetch(GET => "$studio/auth/sessions",
        headers => {Accept => 'application/json'});
    return @{$tx->res->json('/value') // []};
}

sub run ($idp) {
    my $kind = $idp->kind;
    my $callback = $studio . $idp->callback;
    $gw->amld_ok(qw(role assign --group researchers --space), $idp->issuer,
        qw(--role Contributor --scope), $gw->workspace);

    subtest 'one sign-in, two instances' => sub {
        my $me = $gw->browser;
        my $tx = $idp->enter($me, 'alice', "$studio/");
        is $tx->res->code, 200, 'back at the studio' or diag $tx->res->body;
        like $tx->res->body, qr/<span class="soft">alice|Alice Adams/, 'by name';
        my %flags = map { $_->name => $_ } map { @{$_->res->cookies} }
            @{$me->trail};
        ok $flags{'__Host-aml'}->secure && $flags{'__Host-aml'}->httponly,
            'a cookie for no script';
        my ($back) = grep { $_->req->url->path eq $idp->callback }
            @{$me->trail};
        is $back->res->headers->cache_control, 'no-store', 'nothing is kept';
        is $back->res->headers->referrer, undef;
        is $back->res->headers->header('Referrer-Policy'), 'no-referrer',
            'and no address is told';

        # a role of her group makes her the creator of two
        my @labs = map {"$_-" . substr $kind, 0, 4} qw(one two);
        for my $name (@labs) {
            my $url = "$studio@{[$gw->compute($name)]}?api-version=2022-10-01";
            is $me->fetch(PUT => $url, json => $gw->compute_body)->res->code,
                201, "makes $name";
            ok wait_for(sub {
                ($me->fetch(GET => $url)->res->json(
                    '/properties/properties/state') // '') eq 'Running'
            }), 'which runs';
            $tx = $me->navigate($gw->app_url($name, '/lab'));
            is $tx->res->code, 200, 'opens without signing in again';
            is $tx->req->url->to_string, $gw->app_url($name, '/lab'), 'there';
        }
        my @mine = sign_ins($me);
        is scalar @mine, 1, 'one sign-in';
        is $mine[0]{method}, 'oidc', 'by OpenID Connect';
        my $tx2 = $gw->signed_in('creator')->navigate(
            $gw->app_url($labs[0], '/lab'));
        is $tx2->res->headers->header('X-AML-Reason'), 'not_creator',
            'somebody else does not get in';
    };

    subtest 'to where one wanted to go, here only' => sub {
        for my $to ('/auth/tokens', '/auth/sessions?x=%26%3Dy') {
            my ($me, $url) = comes_back($idp, 'bob', $to =~ s/%/%25/gr);
            my $tx = $me->navigate($url, from => $idp->origin, follow => 0);
            is $tx->res->headers->location, $to, $to;
        }
        for my $to ('https://evil.example/', '//evil.example', '/\\evil.example',
            '/%0d%0aX-Evil:1', 'javascript:alert(1)')
        {
            my ($me, $url) = comes_back($idp, 'bob', $to);
            my $tx = $me->navigate($url, from => $idp->origin, follow => 0);
            is $tx->res->headers->location, '/', "not to $to";
            is $tx->res->headers->header('X-Evil'), undef, 'no other header';
        }
    };

    subtest 'the same callback again' => sub {
        my ($me, $url) = comes_back($idp, 'alice', '/auth/tokens');
        is $me->navigate($url, from => $idp->origin)->res->code, 200, 'once';
        my $session = $cookie->($me);
        is_page $me->navigate($url), 400, 'sign_in_stale', '/auth/tokens',
            'the way back leads on';
        is $cookie->($me), $session, 'and changes nothing';
        $me->submit($me->navigate("$studio/"), {},
            form => 'form[action*=sign-out]');
        is_page $me->navigate($url), 400, 'sign_in_stale',
            '/auth/sign-in?to=/auth/tokens', 'signed out it leads to sign in';
        is_page $gw->browser->navigate($url), 400, 'sign_in_elsewhere',
            '/auth/sign-in', 'and tells no other browser where';
    };

    subtest 'in another browser' => sub {
        my ($me, $url) = comes_back($idp, 'alice');
        my $other = $gw->browser;
        is_page $other->navigate($url, from => 'https://evil.example'), 400,
            'sign_in_elsewhere', '/auth/sign-in', 'that has no cookie';
        is $cookie->($other), undef, 'is not signed in';
        is_page $me->navigate($url, from => $idp->origin), 400,
            'sign_in_stale', '/auth/sign-in?to=/auth/sessions',
            'and who began has to begin again';

        # by now it has a cookie of its own
        ($me, $url) = comes_back($idp, 'alice', '/', $me);
        ($other) = comes_back($idp, 'bob', '/', $other);
        is_page $other->navigate($url, from => 'https://evil.example'), 400,
            'sign_in_elsewhere', '/auth/sign-in', 'that has another cookie';
        is $cookie->($other), undef, 'is not signed in either';
    };

    subtest 'nor as somebody else, by a first visit' => sub {
        my ($evil, $url) = comes_back($idp, 'bob');
        my $victim = $gw->browser;
        comes_back($idp, 'alice', '/', $victim);
        my $tx = $victim->navigate($url, from => 'https://evil.example');
        my ($mine) = sign_ins($victim);
        ok !$mine || $tx->res->body !~ /bob/i, 'it is not the attacker\'s'
            or diag $tx->res->body;
        is_page $evil->navigate($url), 400, 'sign_in_stale',
            '/auth/sign-in?to=/auth/sessions', 'whose code was given to nobody';
    };

    subtest 'tabs' => sub {
        my $me = $gw->browser;
        $me->stop_at(qr/^\Q$callback\E/);
        my @page = map {
            $me->navigate("$studio/auth/oidc/$kind?to=/auth/tokens?tab=$_")
        } 1 .. 3;
        my @names = sort map { $_->name } grep { $_->domain eq $gw->studio_host }
            @{$me->ua->cookie_jar->all};
        is "@names", '__Host-aml-browser', 'one cookie for all';
        my @url = map {
            my $tx = $idp->sign_in($me, $page[$_ - 1], 'alice');
            $tx->res->headers->location
        } 3, 1, 2;
        $me->stop_at(undef);
        my $session;
        for my $i (0 .. 2) {
            my $tab = (3, 1, 2)[$i];
            my $tx = $me->navigate($url[$i], from => $idp->origin);
            is $tx->req->url->path_query, "/auth/tokens?tab=$tab", "tab $tab";
            is $tx->res->code, 200, 'works';
            $session //= $cookie->($me);
            is $cookie->($me), $session, 'in the one sign-in';
        }
        is scalar(grep { $_->{current} } sign_ins($me)), 1, 'which goes on';
    };

    subtest 'two first tabs, of which one loses its cookie' => sub {
        my ($me, $url) = comes_back($idp, 'alice', '/auth/tokens');
        my ($second)   = comes_back($idp, 'alice');
        $me->set_cookie('__Host-aml-browser',
            $second->cookie('__Host-aml-browser', $gw->studio_host),
            $gw->studio_host);
        my $tx = $me->navigate($url, from => $idp->origin);
        $tx = $idp->sign_in($me, $tx, 'alice')
            if $tx->req->url->host eq $idp->host;
        is $tx->req->url->path, '/auth/tokens', 'is taken along';
        my @codes = grep { $_->req->url->path eq $idp->callback }
            @{$me->trail};
        isnt $codes[-1]->req->url->query->param('code'),
            Mojo::URL->new($url)->query->param('code'), 'by a code of its own';
    };

    subtest 'what comes back is not what it must be' => sub {
        my ($me, $url) = comes_back($idp, 'alice');
        is_page $me->navigate(change($url, state => 'x' x 43)), 400,
            'sign_in_stale', '/auth/sign-in?to=/', 'a state of nobody\'s';
        is_page $me->navigate("$callback?code=x"), 400, 'sign_in_stale',
            '/auth/sign-in?to=/', 'none';
        is_page $me->navigate(change($url, iss => 'https://evil.example')),
            502, 'provider_answer', '/auth/sign-in?to=/auth/sessions',
            'another provider\'s answer';
        is_page $me->navigate($url), 400, 'sign_in_stale',
            '/auth/sign-in?to=/auth/sessions', 'after which it is over';

        ($me, $url) = comes_back($idp, 'alice');
        my $tx = $me->navigate(change($url, code => 'made-up'));
        like $tx->res->headers->header('X-AML-Reason'),
            qr/^(?:sign_in_stale|provider_refused)$/, 'another code';
        ($me, $url) = comes_back($idp, 'alice');
        is_page $me->navigate(change($url, error => 'access_denied',
            error_description => '<script>')), 403, 'provider_refused',
            '/auth/sign-in?to=/auth/sessions', 'a refusal';
        ($me, $url) = comes_back($idp, 'alice');
        my $other = $idp[0]->kind eq $kind ? $idp[1] : $idp[0];
        my (undef, $others) = comes_back($other, 'alice');
        my $q = Mojo::URL->new($others)->query;
        is_page $me->navigate(change($url, code => $q->param('code'),
            iss => $q->param('iss'))), 502, 'provider_answer',
            '/auth/sign-in?to=/auth/sessions', 'a code of another provider';
        is $cookie->($me), undef, 'nobody is signed in by any of it';
    };

    subtest 'a person who cancels' => sub {
        plan skip_all => 'its page has no way to' unless $idp->cancels;
        my $me = $gw->browser;
        is_page $idp->enter($me, undef, "$studio/auth/tokens"), 403,
            'provider_refused', '/auth/sign-in?to=/auth/tokens', 'is told so';
    };

    subtest 'in place of whoever was signed in' => sub {
        my $me  = $gw->signed_in('creator');
        my $old = $cookie->($me);
        my $tx  = $me->navigate("$studio/auth/oidc/$kind?to=/auth/tokens");
        is $tx->req->url->path, '/auth/tokens', 'who is, stays so';
        my ($other, $url) = comes_back($idp, 'alice', '/');
        $other->set_cookie('__Host-aml', $old, $gw->studio_host);
        $tx = $other->navigate($url, from => $idp->origin);
        isnt $cookie->($other), $old, 'a cookie that was planted is replaced';
        is $me->fetch(GET => $studio . $gw->workspace
                . '/computes?api-version=2022-10-01')->res->headers
            ->header('X-AML-Reason'), 'session_unknown', 'and its sign-in over';
    };

    subtest 'somebody who is disabled here' => sub {
        my $me = $gw->browser;
        $idp->enter($me, 'dave', "$studio/");
        my $id = $gw->amld_ok(qw(principal id --subject),
            $idp->subject('dave'), '--space', $idp->issuer) =~ s/\s//gr;
        $gw->amld_ok(qw(principal disable), $id);
        is_page $idp->enter($gw->browser, 'dave', "$studio/"), 401,
            'principal_revoked', '/auth/sign-in?to=/', 'is not signed in';
        $gw->amld_ok(qw(principal enable), $id);
        is $idp->enter($gw->browser, 'dave', "$studio/")->res->code, 200,
            'until they are enabled';
    };
}

for my $idp (@idp) {
    subtest $idp->kind => sub { run($idp) };
}

subtest 'nothing that is secret is in a log, or open in the registry' => sub {
    my $data = path($gw->registry, 'data.mdb')->slurp;
    unlike $data, qr/eyJ[\w-]{20,}/, 'no token in the registry';
    like $gw->amld_ok(qw(registry dump)), qr/sign-in-secret\b/,
        'where the sealed ones are';
    is +(stat $gw->dir . '/state/sealing-keys')[2] & 07777, 0600,
        'the key is amld\'s alone';
    my $logs = join '', map { path($_)->slurp }
        glob($gw->dir . '/{log,nginx}/*.{log,err,out}');
    like $logs, qr{/auth/callback}, 'the logs have the callbacks';
    unlike $logs, qr/[?&](?:code|state|nonce|code_challenge)=/, 'no query';
    unlike $logs, qr/eyJ[\w-]{20,}/, 'no token';
    for my $idp (@idp) {
        unlike $logs, qr/\Q@{[$idp->client_secret]}\E/, 'no client secret';
    }
};

subtest 'accounts of the machine' => sub {
    my $dump = $gw->amld_ok(qw(registry dump));
    my $said = join '',
        $dump =~ m{^unix-account/[0-9a-f-]{36}\b.*\n(?: .*\n)*}mg;
    isnt $said, '', 'a claim says which one is somebody\'s' or diag $dump;
    like $said, qr/^ +account: (?:alice|bob|carol)$/m, 'by its name';
    like $said, qr/^ +claim: preferred_username$/m, 'what has said so';
    like $said, qr{^ +issuer: https://}m, 'and who';
};

subtest 'the ways to sign in' => sub {
    my $page = $gw->browser->navigate("$studio/auth/sign-in?to=/x%22%3E")->res;
    is $page->dom->find('.ways a')->map('text')->join('|'),
        join('|', map {"Sign in at @{[$_->kind]}"} @idp), 'each provider';
    ok $page->dom->at('input[type=password]'), 'and local accounts';
    is $page->dom->at('.ways a')->{href},
        "/auth/oidc/@{[$idp[0]->kind]}?to=/x%22%3E",
        'with where to';
    is_page $gw->browser->navigate("$studio/auth/oidc/nobody"), 404, '',
        '/auth/sign-in', 'no other';
    my $tx = $gw->browser->fetch(
        GET => "$studio/auth/oidc/@{[$idp[0]->kind]}",
        from => $gw->app_origin('first-lab'));
    is $tx->res->headers->header('X-AML-Reason'), 'cross_origin',
        'no script of another origin begins one';
};

$gw->done;
