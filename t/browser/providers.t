# The pages of the identity providers in a real Chromium, by the steps that
# other tests take there: signing in, again, signing out.  What the browser
# does is in t/browser/providers.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }
use Test::More;
use AML::Chromium;
use AML::Provider;
use AML::Provider::Client;

AML::Chromium->needed;

my %client = map { $_ => AML::Provider::Client->of($_) } AML::Provider->kinds;
my %flow;
my %do = (
    start => sub ($kind) {
        $client{$kind}->authorize_url($flow{$kind} = {});
    },
    finish => sub ($m) {
        my ($c, $flow) = ($client{$m->{kind}}, $flow{$m->{kind}});
        is $m->{state}, $flow->{state}, "$m->{kind}: state";
        is $m->{iss}, $c->idp->issuer, "$m->{kind}: iss";
        my $token =
            $c->code_for_tokens($flow, $m->{code})->json('/id_token');
        is +($c->verified($token))[1]{name}, 'Alice Adams',
            "$m->{kind}: name";
        return $token;
    },
    end => sub ($m) {
        $client{$m->{kind}}->end_session_url($m->{hint}, 'farewell');
    },
);

AML::Chromium->drive(
    providers => {
        cert      => $client{glewlwyd}->idp->dir . '/tls/server.pem',
        key       => $client{glewlwyd}->idp->dir . '/tls/server-key.pem',
        providers => [
            map {
                my $c = $client{$_};
                +{
                    kind     => $_,
                    origin   => $c->idp->origin,
                    login    => $c->idp->steps('alice'),
                    signOut  => $c->idp->sign_out_steps,
                    callback => $c->callback,
                    goodbye  => $c->goodbye
                }
            } sort keys %client
        ]
    },
    \%do
);
is $_->idp->stop, 0, $_->idp->kind . ' ended cleanly' for values %client;

done_testing;
