# What becomes of a sign-in with an identity provider, by each of the two real
# ones: renewed with what the provider says now, ended when it says no, kept
# through an outage; signed out here and there, and from there here.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);
use AML::Provider;
use AML::Test;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;

# Renewed after five seconds.
my @idp = map { AML::Provider->make($_, lifetime => 8) } AML::Provider->kinds;
my $gw  = AML::Test->start(
    providers => \@idp,
    amld      => sub ($text) { join '', $text, map { $_->section } @idp },
);
my $studio = $gw->studio;
my $list   = $studio . $gw->workspace . '/computes?api-version=2022-10-01';

sub enter ($idp, $user, $browser = $gw->browser) {
    my $tx = $idp->enter($browser, $user, "$studio/");
    is $tx->req->url->path, '/', "$user is signed in"
        or diag $tx->res->body, $gw->log_text('amld.err');
    return $browser;
}

# What the control API says: 200, 403 without a role, or why not.
sub asks ($browser) {
    my $res = $browser->fetch(GET => $list)->res;
    return join ' ', $res->code, $res->headers->header('X-AML-Reason') // '';
}

sub becomes ($browser, $what, $name, $seconds = 30) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got;
    ok wait_for(sub { ($got = asks($browser)) =~ $what }, $seconds), $name
        or diag "$got\n", $gw->log_text('amld.err');
}

sub log_count ($pattern) {
    return scalar(() = $gw->log_text('amld.err') =~ /$pattern/mg);
}

sub audited ($event) {
    return grep { $_->{event} eq $event }
        map { decode_json($_) } split /\n/,
        Mojo::File->new($gw->dir, 'audit.log')->slurp;
}

# Presses the studio's button, and the provider's that asks whether one is sure.
sub sign_out ($idp, $me) {
    my $tx = $me->submit($me->navigate("$studio/"), {},
        form => 'form[action*=sign-out]');
    is $tx->req->url->path, '/auth/leave', 'is led to the provider';
    is asks($me), '401 sign_in_required', 'and signed out here already';
    my $to = $me->refresh_of($tx);
    $tx = $me->navigate($to, from => $gw->studio);
    is $tx->req->url->host, $idp->host, 'there one is asked';
    return $idp->confirm_sign_out($me, $tx);
}

my $evil = $gw->browser;

sub run ($idp) {
    my $kind = $idp->kind;

    # an instance of Alice's own, for websockets
    $gw->amld_ok(qw(role assign --group researchers --space), $idp->issuer,
        qw(--role Contributor --scope), $gw->workspace);
    my $lab = 'lab-' . substr $kind, 0, 4;
    my $me  = enter($idp, 'alice');
    my $url = "$studio@{[$gw->compute($lab)]}?api-version=2022-10-01";
    is $me->fetch(PUT => $url, json => $gw->compute_body)->res->code, 201,
        'an instance';
    ok wait_for(sub {
        ($me->fetch(GET => $url)->res->json('/properties/properties/state')
                // '') eq 'Running'
    }), 'runs';

    subtest 'what the provider says now' => sub {
        my $bob   = enter($idp, 'bob');
        my $ended = audited('session-end');
        is asks($bob), '403 action_denied', 'no role';
        my @groups = @{$idp->users->{bob}{groups}};
        $idp->change_user(bob => groups => ['researchers']);
        becomes($bob, qr/^200/, 'a group that is given gives its role');
        $idp->change_user(bob => groups => \@groups);
        becomes($bob, qr/^403 action_denied/, 'and one that is taken, takes it');
        is scalar(audited('session-end')), $ended,
            'nobody was signed out for it';
    };

    subtest 'an outage' => sub {
        my $bob = enter($idp, 'bob');
        my $late = $gw->browser->stop_at(qr{/auth/callback});
        my $back = $idp->enter($late, 'carol',
            "$studio/auth/oidc/$kind?to=/x")->res->headers->location;
        $idp->outage(1);
        $gw->refused($late->stop_at(undef)->navigate($back, from => $idp->origin),
            502, 'provider_unreachable', 'who is on their way is told');
        my $tried = log_count(qr/renewal: by "$kind"/);
        ok wait_for(sub { log_count(qr/renewal: by "$kind"/) > $tried }, 30),
            'the provider was asked in vain' or diag $gw->log_text('amld.err');
        is asks($bob), '403 action_denied', 'who is signed in stays so';
        is $gw->kill_amld, 9, 'amld is killed meanwhile';
        $gw->start_amld;
        $idp->outage(0);
        $idp->change_user(bob => groups => ['researchers']);
        becomes($bob, qr/^200/, 'and it is renewed once the provider is back',
            60);
        $idp->change_user(bob => groups => ['staff']);
    };

    subtest 'other keys' => sub {
        $idp->rotate_keys(keep => 0);
        enter($idp, 'carol');
    };

    subtest 'somebody who is let in no more' => sub {
        my $dave = enter($idp, 'dave');
        $idp->end_grants('dave');
        becomes($dave, qr/^401 session_unknown/, 'is out with the next renewal');
        my ($end) = grep { $_->{target} eq $kind && $_->{name} =~ /dave/i }
            audited('session-end');
        is $end->{reason}, 'provider_refused', 'as the audit log says';
        is $end->{target}, $kind, 'by whom';
    };

    subtest 'signing out' => sub {
        my $alice = enter($idp, 'alice');
        my $tx = $alice->navigate($gw->app_url($lab, '/lab'));
        is $tx->res->code, 200, 'an application is open';
        my $ws = $alice->websocket($gw->app_url($lab, '/ws'));
        ok $ws->echoes('x'), 'and a websocket';
        $tx = sign_out($idp, $alice);
        ok $ws->closes(1), 'which is closed within a second';
        is $tx->req->url->path, '/auth/signed-out', 'and back'
            or diag $tx->res->body;
        is $tx->res->code, 200, 'to a page';
        is asks($alice), '401 sign_in_required', 'that signs nobody in';
        $tx = $alice->navigate($tx->req->url);
        is $tx->req->url->path, '/auth/signed-out', 'nor again';

        $tx = $alice->navigate("$studio/auth/oidc/$kind?to=/");
        is $tx->req->url->host, $idp->host, 'the next sign-in';
        ok !$tx->req->url->query->param('code'), 'asks who it is';
        enter($idp, 'alice', $alice);
    };

    subtest 'signing out there' => sub {
        my $alice = enter($idp, 'alice');
        my $bob   = enter($idp, 'bob');
        is $alice->navigate($gw->app_url($lab, '/lab'))->res->code, 200,
            'an application is open';
        my $ws = $alice->websocket($gw->app_url($lab, '/ws'));
        ok $ws->echoes('x'), 'and a websocket';
        my $since = time;
        ok scalar($idp->end_sessions('alice')), 'by an administrator, say';
        ok $ws->closes(1 * $patience), 'closes it within a second'
            or diag $gw->log_text('amld.err');
        is $ws->code, 1008, 'code';
        is $ws->reason, 'session_unknown', 'reason';
        is asks($alice), '401 session_unknown', 'and is out here';
        like asks($bob), qr/^403/, 'others are not';
        my ($end) = reverse grep { $_->{reason} eq 'provider_logout' }
            audited('session-end');
        is $end->{target}, $kind, 'the audit log has it';
    };
}

for my $idp (@idp) {
    subtest $idp->kind => sub { run($idp) };
}

$gw->done;
