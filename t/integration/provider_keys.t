# Keys of real identity providers at the gateway: their access tokens are taken,
# through rotations and an outage, and nothing else of theirs is.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Provider;
use AML::Provider::Client;
use AML::Raw qw(raw_http);
use AML::Test;
use AML::Wait qw(wait_for);

use constant GOOD => '403 action_denied';

my %section = ('oidc-provider' => 'oidc', glewlwyd => 'glewlwyd');

sub run ($kind) {
    my $client = AML::Provider::Client->new;
    my $idp = AML::Provider->make(
        $kind,
        redirect_uris    => [$client->callback],
        post_logout_uris => [$client->goodbye]
    );
    $client->idp($idp);
    my $gw = AML::Test->start(
        providers => [$idp],
        accounts  => {creator => 'Contributor'},
        amld      => sub ($text) {
            $text
                . "issuer idp {\n kind = $section{$kind}\n"
                . " issuer = \"@{[$idp->issuer]}\"\n"
                . " audience = { \"@{[$idp->audience]}\" }\n"
                . " ca = \"tls/ca.pem\"\n key_cooldown = 1s\n}\n";
        },
    );

    my $ask = sub ($token) {
        my $r = raw_http($gw, join "\n",
            'GET ' . $gw->compute('any-lab')
                . '?api-version=2022-10-01 HTTP/1.1',
            'Host: ' . $gw->studio_host,
            "Authorization: Bearer $token", 'Connection: close', '', '');
        return join ' ', $r->{code} // 'none',
            $r->{headers}{'x-aml-reason'}[0] // '';
    };

    # A sign-in at the provider, for an access token of our API.
    my $tokens = sub ($user) {
        my %flow;
        my $browser = $client->browser;
        my $tx = $browser->navigate($client->authorize_url(\%flow,
            resource => $idp->audience,
            scope    => 'openid groups user_impersonation'));
        $tx = $idp->sign_in($browser, $tx, $user);
        return $client->code_for_tokens(\%flow, $client->answer($tx)->{code})
            ->json;
    };

    my $first = $tokens->('alice');
    subtest 'tokens' => sub {
        is $ask->($first->{access_token}), GOOD, 'an access token';
        like $ask->($first->{id_token}), qr/^401 token_(?:type|audience)$/,
            'an ID token is none';
    };

    subtest 'a rotation' => sub {
        $idp->rotate_keys;
        my $second = $tokens->('bob');
        my $got;
        ok wait_for(sub { ($got = $ask->($second->{access_token})) eq GOOD },
            10), 'a token by the new key' or diag $got;
        is $ask->($first->{access_token}), GOOD,
            'and by the old one, which is still published';
        $idp->rotate_keys(keep => 0);
        my $third = $tokens->('carol');
        ok wait_for(sub { $ask->($third->{access_token}) eq GOOD }, 10),
            'one more';
        is $ask->($first->{access_token}), '401 token_key',
            'and what is not published any more is not taken';
        $first = $third;
    };

    subtest 'an outage' => sub {
        $idp->outage(1);
        $gw->stop_amld;
        $gw->start_amld;
        ok wait_for(sub { $gw->log_text('amld.err') =~ /can't be reached/ }),
            'is noticed';
        is $ask->($first->{access_token}), GOOD, 'tokens are taken all the same';
        $idp->outage(0);
        ok wait_for(sub { $gw->log_text('amld.err') =~ /all is well again/ },
            40), 'and its end';
        is $ask->($first->{access_token}), GOOD, 'as before';
    };

    $gw->finish;
}

for my $kind (AML::Provider->kinds) {
    subtest $kind => sub { run($kind) };
}

done_testing;
