# Where people sign in with their organisation's provider and in no other way:
# no page in between, no passwords here, and signing out is signing out.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json false);
use Mojo::URL;
use Test::More;
use AML::StandInProvider;
use AML::Test;
use AML::Wait qw(wait_for);

my $idp = AML::StandInProvider->new(name => 'corp');
my %more;
my $gw = AML::Test->start(
    providers => [$idp],
    accounts  => {creator => 'Contributor'},
    amld      => sub ($text) {
        $text . "\nlocal_sign_in = false\n" . $idp->section(%more);
    },
);
my $studio = $gw->studio;
$idp->set(user => {sub => 'ada', sid => '*', name => 'Ada'});

# What the browser is sent to the provider with.
sub asked ($me, $url) {
    $me->stop_at(qr{/authorize\?});
    my $tx = $me->navigate($url);
    $me->stop_at(undef);
    my $to = Mojo::URL->new($tx->res->headers->location // '');
    is $to->host, $idp->host, 'to the provider' or diag $tx->res->body;
    return $to->query->to_hash;
}

sub restart (%o) {
    %more = %o;
    $gw->write_amld_conf;
    is $gw->stop_amld, 0, 'amld ends';
    $gw->start_amld;
}

subtest 'there is no page in between' => sub {
    my $me = $gw->browser;
    my $tx = $me->navigate("$studio/auth/tokens");
    is $tx->req->url->path, '/auth/tokens', 'signed in by going there';
    ok !(grep { $_->res->dom->at('input[type=password]') } @{$me->trail}),
        'no password is asked for here';
    my ($sign_in) = $me->fetch(GET => "$studio/auth/sessions",
        headers => {Accept => 'application/json'})->res->json('/value/0');
    is $sign_in->{method}, 'oidc', 'method';
};

subtest 'nor another way' => sub {
    my $tx = $gw->browser->navigate("$studio/auth/sign-in", method => 'POST',
        follow => 0, form => {name => 'creator',
            password => $gw->passwords->{creator}, to => '/'});
    is $tx->res->code, 403, 'the right password of a local account is refused';
    is $gw->program->request(POST => "$studio/auth/token",
        headers => {Authorization => $gw->basic('creator')})->res->code, 401,
        'by HTTP Basic, too';
};

subtest 'what is asked for' => sub {
    my $q = asked($gw->browser, "$studio/auth/oidc/corp?to=/");
    is $q->{tenant}, 'x', 'what the endpoint\'s address has stays';
    is $q->{response_type}, 'code', 'a code';
    is $q->{code_challenge_method}, 'S256', 'with PKCE';
    like $q->{$_}, qr/^[\w-]{43}$/, $_ for qw(state nonce code_challenge);
    is $q->{client_id}, 'aml & co', 'by whom';
    is $q->{redirect_uri}, "$studio/auth/callback/corp", 'back to where';
    is $q->{scope}, 'openid profile email', 'scopes of its kind';
    is $q->{prompt}, undef, 'as the provider likes';
    my $again = asked($gw->browser, "$studio/auth/oidc/corp?to=/");
    isnt $again->{$_}, $q->{$_}, "another $_ each time"
        for qw(state nonce code_challenge);
    for my $prompt (qw(login select_account consent)) {
        is asked($gw->browser, "$studio/auth/oidc/corp?prompt=$prompt")
            ->{prompt}, $prompt, "prompt $prompt";
    }
    for my $prompt ('none', 'login%20none', '%0d%0aX:y') {
        is asked($gw->browser, "$studio/auth/oidc/corp?prompt=$prompt")
            ->{prompt}, undef, "none of $prompt";
    }
};

subtest 'signing out' => sub {
    my $me = $gw->browser;
    my $tx = $me->navigate("$studio/auth/tokens");
    my $id = $tx->res->dom->at('form[action*=sign-out]');
    $tx = $me->submit($me->navigate("$studio/"), {},
        form => 'form[action*=sign-out]');
    my $to = $me->refresh_of($tx);
    my $q = Mojo::URL->new($to)->query->to_hash;
    like $q->{id_token_hint}, qr/^eyJ[\w.-]+$/, 'with the ID token';
    is $q->{post_logout_redirect_uri}, "$studio/auth/signed-out", 'and back';

    # half-way
    is $me->navigate("$studio/auth/signed-out")->req->url->path,
        '/auth/signed-out', 'a page that signs nobody in';
    is asked($me, "$studio/auth/tokens")->{prompt}, 'login',
        'who did not sign out there is asked for a password there';

    $tx = $me->navigate($to, from => $studio);
    is $tx->req->url->path, '/auth/signed-out', 'the whole way';
    is $tx->res->code, 200, 'ends here';
    is asked($me, "$studio/auth/tokens")->{prompt}, undef,
        'and the provider knows by itself';
    my $leave = $me->navigate("$studio/auth/leave?code=" . 'x' x 43);
    is $leave->req->url->path, '/auth/signed-out', 'a code of nobody\'s';
};

subtest 'a provider that signs nobody out' => sub {
    $idp->set(metadata => {end_session_endpoint => undef});
    restart();
    my $me = $gw->browser;
    $me->navigate("$studio/");
    my $tx = $me->submit($me->navigate("$studio/"), {},
        form => 'form[action*=sign-out]');
    is $tx->req->url->path, '/auth/signed-out', 'one is signed out here';
    is asked($me, "$studio/")->{prompt}, 'login', 'and is asked who it is';
    $idp->set(metadata => undef);
};

subtest 'nor does what leads to the provider keep a session alive' => sub {
    my $me = $gw->browser;
    $me->navigate("$studio/");
    my $page = $me->navigate("$studio/");
    my $json = sub { $me->fetch(GET => "$studio/auth/sessions",
        headers => {Accept => 'application/json'})->res };
    my ($mine) = grep { $_->{current} } @{$json->()->json('/value')};
    $gw->edit({op => 'put', key => "sign-in-secret/$mine->{id}", hex => '00'});
    my $tx = $me->submit($page, {}, form => 'form[action*=sign-out]');
    is $tx->req->url->path, '/auth/signed-out', 'a record that is no good'
        or diag $tx->res->body;
    is $json->()->code, 401, 'does not';
    like $gw->log_text('amld.err'), qr/can't be led to a provider/,
        'and the log says so';
};

subtest 'while amld is started anew' => sub {
    my $me = $gw->browser->stop_at(qr{/auth/callback});
    my $url = $me->navigate("$studio/auth/oidc/corp?to=/auth/tokens")
        ->res->headers->location;
    is $gw->kill_amld, 9, 'amld is killed';
    $gw->start_amld;
    is $me->stop_at(undef)->navigate($url, from => $idp->origin)->req->url
        ->path, '/auth/tokens', 'a sign-in that was under way goes on';
};

subtest 'a refresh token by consent' => sub {
    restart(scopes => 'openid offline_access');
    my $q = asked($gw->browser, "$studio/auth/oidc/corp");
    is $q->{scope}, 'openid offline_access', 'scopes of the section';
    is $q->{prompt}, 'consent', 'as OpenID Connect Core has it';
    is asked($gw->browser, "$studio/auth/oidc/corp?prompt=login")->{prompt},
        'login consent', 'and another prompt';
};

subtest 'what is renewed' => sub {
    restart(userinfo => 'true');
    $idp->set(token => {expires_in => 2}, claims => {groups => undef},
        userinfo => {groups => ['staff']});
    $gw->amld_ok(qw(role assign --group admins --space), $idp->issuer,
        qw(--role Reader --scope), $gw->workspace);
    my $me = $gw->browser;
    $me->navigate("$studio/");
    my $asks = sub {
        $me->fetch(GET => $studio . $gw->workspace
            . '/computes?api-version=2022-10-01')->res->code;
    };
    is $asks->(), 403, 'no role by UserInfo';
    $idp->set(userinfo => {groups => ['admins']});
    ok wait_for(sub { $asks->() == 200 }, 30), 'until it says another group'
        or diag $gw->log_text('amld.err');

    # for each what the sign-in does then
    for my $case (
        ['an error of the server', {mode => 'error', only => 'token'}, 200],
        ['another error', {refresh => 'invalid_client'}, 200],
        ['no JSON', {mode => 'html', only => 'token'}, 200],
        )
    {
        my ($name, $set, $code) = @$case;
        my $before = () = $gw->log_text('amld.err') =~ /renewal: by "corp"/g;
        $idp->set(%$set);
        ok wait_for(sub {
            (() = $gw->log_text('amld.err') =~ /renewal: by "corp"/g) > $before
        }, 90), "$name: it was tried";
        is $asks->(), $code, 'and the sign-in goes on';
        $idp->set(map { $_ => undef } keys %$set);
    }
    $idp->set(refresh => 'invalid_grant');
    my $lost;
    ok wait_for(sub {
        $lost = $gw->log_text('amld.err') =~ /renewal: the refresh token of Ada/;
        $lost || $asks->() == 401
    }, 90), 'a refusal is heard';
    ok $lost, 'where an answer was lost it says nothing of the person'
        or diag $gw->log_text('amld.err');
    is $asks->(), 200, 'who stays';

    $idp->set(refresh => undef);
    my $next = $gw->browser;
    $next->navigate("$studio/");
    $me = $next;
    is $asks->(), 200, 'another sign-in';
    $idp->set(refresh => 'invalid_grant');
    ok wait_for(sub { $asks->() == 401 }, 30), 'that is refused ends';
    $idp->set(refresh => undef);

    $me = $gw->browser;
    $me->navigate("$studio/");
    $idp->set(userinfo => {groups => ['admins'], sub => 'eve'},
        claims => {sub => 'eve', groups => undef});
    ok wait_for(sub { $asks->() == 401 }, 30),
        'nor does one go on in the name of somebody else';
};

$gw->done;
