# Signing in, and out, with an organisation's identity provider in a real
# Chromium, at the pages of each of the two real ones: tabs, other keys, an
# outage, sign-out here and there.  What people do is in t/browser/oidc.mjs;
# this file is the gateway, and the providers' administrator.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Chromium;
use AML::Provider;
use AML::Test;
use AML::Wait qw(wait_for);

AML::Chromium->needed;

my @idp  = map { AML::Provider->make($_) } AML::Provider->kinds;
my %idp  = map { $_->kind => $_ } @idp;
my @ways = @idp;
my $more = '';
my $gw   = AML::Test->start(
    providers => \@idp,
    amld => sub ($text) { join '', $text, $more, map { $_->section } @ways },
);

# An instance of Alice's own at each.
sub instance ($idp) {
    my $name = 'lab-' . substr $idp->kind, 0, 4;
    $gw->amld_ok(qw(role assign --group researchers --space), $idp->issuer,
        qw(--role Contributor --scope), $gw->workspace);
    my $me = $gw->browser;
    $idp->enter($me, 'alice', $gw->studio_url('/'));
    my $url = $gw->studio . $gw->compute($name) . '?api-version=2022-10-01';
    is $me->fetch(PUT => $url, json => $gw->compute_body)->res->code, 201,
        "$name is there";
    ok wait_for(sub {
        ($me->fetch(GET => $url)->res->json('/properties/properties/state')
                // '') eq 'Running'
    }), 'and runs';
    return $gw->app_origin($name);
}

sub configure ($m) {
    $more = $m->{local} ? '' : "\nlocal_sign_in = false\n";
    @ways = $m->{only} ? $idp{$m->{only}} : @idp;
    $gw->write_amld_conf;
    is $gw->stop_amld, 0, 'amld ends';
    $gw->start_amld;
    return 1;
}

# With whom a sign-in begins now: 302 is to the provider.
sub begins ($kind) {
    return $gw->browser->navigate(
        $gw->studio_url("/auth/oidc/$kind?to=/"), follow => 0)->res->code;
}

my %do = (
    rotate => sub ($kind) { $idp{$kind}->rotate_keys },
    'end sessions' => sub ($kind) { scalar($idp{$kind}->end_sessions('alice')) },
    outage => sub ($m) {
        $idp{$m->{kind}}->outage($m->{on});
        my $want = $m->{on} ? 502 : 302;
        return wait_for(sub { begins($m->{kind}) == $want }) ? 1 : 0;
    },
    configure => \&configure,
);

AML::Chromium->drive(
    oidc => {
        studio    => $gw->studio,
        providers => [
            map { +{
                kind    => $_->kind,
                origin  => $_->origin,
                steps   => $_->steps('alice'),
                signOut => $_->sign_out_steps,
                # the other's sign-out is by its administrator
                $_->kind eq 'oidc-provider'
                ? (signOutPage => $_->origin . '/session/end')
                : (),
                # the one's pages can be gone through twice
                repeats => $_->kind eq 'glewlwyd' ? \1 : \0,
                cancels => $_->cancels ? \1 : \0,
                lab     => instance($_)
            } } @idp
        ]
    },
    \%do
);

$gw->done;
