# The pages of the identity providers in a real Chromium, by the steps that
# other tests take there: signing in, again, signing out.  What the browser
# does is in t/browser/providers.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }
use IPC::Open2;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Provider;
use AML::Provider::Client;

-d "$FindBin::Bin/node_modules/playwright-core"
    or plan skip_all => 'playwright-core is not installed: npm ci in t/browser';
-x '/usr/bin/chromium' or plan skip_all => 'chromium is not installed';

my %client = map { $_ => AML::Provider::Client->of($_) } AML::Provider->kinds;
my $shots  = path($AML::Provider::ROOT, 'build/screenshots')->make_path;

local $ENV{AML_BROWSER} = encode_json({
    shots     => "$shots",
    cert      => $client{glewlwyd}->idp->dir . '/tls/server.pem',
    key       => $client{glewlwyd}->idp->dir . '/tls/server-key.pem',
    patience  => 0 + ($ENV{AML_PATIENCE} || 1),
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
});
delete local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy)};

# One JSON object a line: a result, or something to do.
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

my $pid = open2(my $out, my $in, 'node', "$FindBin::Bin/providers.mjs");
$in->autoflush;
my $ended = 0;
while (my $line = <$out>) {
    my $m = eval { decode_json($line) } or do { diag $line; next };
    if (exists $m->{ok}) {
        ok $m->{ok}, $m->{name} or diag $m->{why} // '';
    }
    elsif ($m->{do}) {
        my $answer = $do{$m->{do}}->($m->{with});
        print $in encode_json({answer => $answer}) . "\n";
    }
    elsif ($m->{end}) { $ended = 1 }
}
waitpid $pid, 0;
is $?, 0, 'the browser\'s side ended well';
ok $ended, 'and came to its end';
is $_->idp->stop, 0, $_->idp->kind . ' ended cleanly' for values %client;

done_testing;
