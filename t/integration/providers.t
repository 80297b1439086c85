# The identity providers of the other tests work by themselves, without a
# gateway: what a client of theirs may rely on, by a client made of nothing of
# the product.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }
use Digest::SHA  qw(sha256);
use IO::Socket::SSL;
use MIME::Base64 qw(encode_base64url);
use Mojo::JSON   qw(decode_json encode_json);
use Mojo::URL;
use Test::More;
use AML::Browser;
use AML::Port;
use AML::Provider;
use AML::Provider::Client;
use AML::Wait qw(wait_for);

sub header_of ($token) {
    return decode_json(
        Mojo::Util::b64_decode((split /\./, $token)[0] =~ tr{-_}{+/}r));
}

# ---- what is told by back channel ----

# One POST of a logout token to `port`, as claims and header.
sub logout_server ($idp, $port) {
    return IO::Socket::SSL->new(
        LocalAddr => '127.0.0.1',
        LocalPort => $port,
        Listen    => 8,
        ReuseAddr => 1,
        SSL_cert_file => $idp->dir . '/tls/server.pem',
        SSL_key_file  => $idp->dir . '/tls/server-key.pem',
        Timeout       => 20
    ) // die "listen: $! $SSL_ERROR";
}

# Runs `what` in a process of its own while one answer is awaited here.
sub told ($client, $server, $what) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        $what->();
        POSIX::_exit(0);
    }
    my $in = '';
    if (my $c = $server->accept) {
        until ($in =~ /\r\n\r\n(.*)/s
            && length $1 >= ($in =~ /^Content-Length: (\d+)/mi)[0])
        {
            sysread $c, $in, 65_536, length $in or last;
        }
        print $c "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
            . "Connection: close\r\n\r\n";
        close $c;
    }
    waitpid $pid, 0;
    my ($line) = $in =~ /^(.*?)\r\n/;
    my ($token) = $in =~ /logout_token=([^&\s]+)/;
    return {line => $line} unless $token;
    my ($header, $claims) = $client->verified($token, verify_exp => undef);
    return {line => $line, header => $header, claims => $claims};
}

# ---- each provider ----

sub run ($kind) {
    my $port = AML::Port->take;
    my $client = AML::Provider::Client->of($kind,
        backchannel_uri => "https://$kind.localhost:$port/logout");
    my $idp = $client->idp;

    subtest 'discovery and keys' => sub {
        my $m = $idp->metadata;
        is $m->{issuer}, $idp->issuer, 'the issuer is what was asked';
        for my $name (qw(authorization token userinfo end_session
            device_authorization revocation introspection))
        {
            like $m->{"${name}_endpoint"}, qr{^\Q@{[$idp->origin]}\E/\w},
                "${name}_endpoint";
        }
        is_deeply $m->{code_challenge_methods_supported}, ['S256'], 'PKCE';
        my @keys = @{$idp->jwks->{keys}};
        is join(' ', sort map { $_->{alg} } @keys), 'ES256 RS256', 'two keys';
        ok !(grep { defined $_->{d} || defined $_->{p} } @keys),
            'without their secrets';
    };

    my $alice = $client->sign_in('alice');
    subtest 'authorization code with PKCE' => sub {
        my ($answer, $claims) = @$alice{qw(answer claims)};
        is $answer->{failed}, undef, 'comes back';
        is $answer->{state}, $alice->{flow}{state}, 'state';
        is $answer->{iss},   $idp->issuer,          'iss';
        is $alice->{res}->code, 200, 'tokens' or diag $alice->{res}->body;
        is $claims->{iss},   $idp->issuer,           'iss of the ID token';
        is $claims->{aud},   $idp->client_id,        'aud';
        is $claims->{nonce}, $alice->{flow}{nonce},  'nonce';
        is $claims->{sub},   $idp->subject('alice'), 'sub';
        isnt $claims->{sub}, 'alice', 'which is no name';
        ok $claims->{sid}, 'sid';
        my $hash = substr sha256($alice->{tokens}{access_token}), 0, 16;
        is $claims->{at_hash}, encode_base64url($hash), 'at_hash';
        is $claims->{preferred_username}, 'alice', 'preferred_username';
        is $claims->{name}, 'Alice Adams', 'name';
        is $claims->{email}, 'alice@example.org', 'email';
        is_deeply $claims->{groups}, ['researchers', 'staff'], 'groups';
        cmp_ok $claims->{exp}, '>', time + 60, 'exp';
        is header_of($alice->{tokens}{id_token})->{kid},
            $idp->keys->[0]{kid}, 'the first key signed it';
    };

    subtest 'what is refused' => sub {
        my %flow;
        my $browser = $client->browser;
        my $tx = $browser->navigate($client->authorize_url(\%flow));
        $tx = $idp->sign_in($browser, $tx, 'alice', 'wrong');
        is $client->answer($tx)->{code}, undef, 'a wrong password';
        %flow = ();
        $tx = $browser->navigate($client->authorize_url(\%flow));
        $tx = $idp->sign_in($browser, $tx, 'alice');
        my $code = $client->answer($tx)->{code};
        ok $code, 'a code';
        my $res = $client->code_for_tokens(\%flow, $code,
            code_verifier => $client->random);
        is $res->json('/id_token'), undef, 'another verifier';
        my $again = $client->code_for_tokens($alice->{flow},
            $alice->{answer}{code});
        is $again->json('/id_token'), undef, 'a code for the second time';
        $tx = $client->browser->navigate($client->authorize_url({},
            redirect_uri => 'https://evil.localhost/'));
        unlike $tx->res->headers->location // '', qr/^https:\/\/evil/,
            'another redirect_uri';
        return unless $idp->cancels;
        $browser = $client->browser;
        $tx = $browser->navigate($client->authorize_url(\%flow));
        my $answer = $client->answer($idp->sign_in($browser, $tx, undef));
        is $answer->{error}, 'access_denied', 'a person who cancels';
        is $answer->{state}, $flow{state}, 'with the state';
    };

    # replaying the code above ended Alice's grant
    my $bob = $client->sign_in('bob');
    subtest 'a second person, and again without a password' => sub {
        is $bob->{claims}{name}, 'Böb Baker', 'Bob';
        my $again = $client->sign_in(undef, $bob->{browser},
            id_token_hint => $bob->{tokens}{id_token});
        is $again->{claims}{sub}, $bob->{claims}{sub}, 'is known';
        is $again->{claims}{sid}, $bob->{claims}{sid}, 'by one sid';
        is $again->{claims}{nonce}, $again->{flow}{nonce}, 'with a new nonce';
    };

    subtest 'an access token for the API' => sub {
        my $token = $client->access_token('bob', $bob->{browser});
        is +($token =~ tr/.//), 2, 'is a JWT' or return;
        my ($header, $claims) = $client->verified($token);
        is $header->{typ}, 'at+jwt', 'typ';
        is $claims->{aud}, $idp->audience, 'aud';
        is $claims->{sub}, $bob->{claims}{sub}, 'sub';
        is $claims->{name}, 'Böb Baker', 'name';
        ok $claims->{groups}, 'groups';
        note encode_json($claims);
    };

    subtest 'refresh' => sub {
        my $first = $client->sign_in('carol', $client->browser,
            scope => 'openid profile email groups offline_access',
            prompt => 'consent')->{tokens}{refresh_token};
        ok $first, 'a refresh token' or return;
        my $ask = sub ($token) {
            $client->token(grant_type => 'refresh_token',
                refresh_token => $token);
        };
        my $res = $ask->($first);
        is $res->code, 200, 'works' or diag $res->body;
        my $second = $res->json('/refresh_token');
        isnt $second, $first, 'and is another one then';
        is $ask->($second)->code, 200, 'which works';
        is $ask->($first)->code, 400, 'the first does not any more';
        is $ask->($second)->code, 400, 'nor then any of that grant';
    };

    subtest 'the device flow' => sub {
        my $program = AML::Browser->new(ca => $idp->ca, program => 1);
        my $device = $program->request(
            POST => $idp->metadata->{device_authorization_endpoint},
            form => {client_id => $idp->device_client,
                scope => 'openid profile groups'}
        )->res->json // {};
        like $device->{user_code} // '', qr/^[\w-]{4,}$/, 'a code for people';
        like $device->{verification_uri} // '', qr/^https:/, 'and its page';
        my $res = $program->request(
            POST => $idp->metadata->{token_endpoint},
            form => {
                client_id   => $idp->device_client,
                device_code => $device->{device_code},
                grant_type  => 'urn:ietf:params:oauth:grant-type:device_code'
            }
        )->res;
        is $res->json('/error'), 'authorization_pending', 'is awaited';
    };

    my $server = logout_server($idp, $port);
    my $is_logout = sub ($told, $sub, $sid) {
        like $told->{line} // '', qr{^POST /logout }, 'a POST';
        my $claims = $told->{claims} // {};
        is $claims->{iss}, $idp->issuer,    'iss';
        is $claims->{aud}, $idp->client_id, 'aud';
        is $claims->{sid}, $sid,            'sid';
        is $claims->{sub} // $sub, $sub,    'sub, if at all';
        ok $claims->{jti}, 'jti';
        ok !defined $claims->{nonce}, 'no nonce';
        is_deeply [keys %{$claims->{events}}],
            ['http://schemas.openid.net/event/backchannel-logout'], 'events';
        note encode_json($told->{header}), encode_json($claims);
    };
    subtest 'sign-out by the person' => sub {
        my $end = sub ($who) {
            $who->{browser}->navigate($client->end_session_url(
                $who->{tokens}{id_token}, 'farewell'));
        };
        my $page = $end->($bob);
        my $told = told($client, $server,
            sub { $idp->confirm_sign_out($bob->{browser}, $page) });
        $is_logout->($told, $bob->{claims}{sub}, $bob->{claims}{sid});

        my $carol = $client->sign_in('carol');
        $page = $end->($carol);
        close $server;    # nobody listens: told in vain
        my $tx = $idp->confirm_sign_out($carol->{browser}, $page);
        is $tx->res->headers->location, $client->goodbye . '?state=farewell',
            'leads back';
        $tx = $carol->{browser}->navigate($client->authorize_url({}));
        is $client->answer($tx)->{code}, undef,
            'and who is back has to sign in';
    };

    $server = logout_server($idp, $port);
    subtest 'sign-out by an administrator' => sub {
        my $dave = $client->sign_in('dave');
        my $told = told($client, $server, sub { $idp->end_sessions('dave') });
        $is_logout->($told, $dave->{claims}{sub}, $dave->{claims}{sid});
    };
    close $server;

    subtest 'somebody is changed and disabled' => sub {
        $idp->change_user('alice', groups => ['guests'], name => 'Alice B.');
        my $now = $client->sign_in('alice');
        is_deeply $now->{claims}{groups}, ['guests'], 'groups';
        is $now->{claims}{name}, 'Alice B.', 'name';
        is $now->{claims}{sub}, $alice->{claims}{sub}, 'the same sub';
        $idp->change_user('bob', disabled => 1);
        is $client->sign_in('bob')->{claims}, undef, 'disabled';
    };

    subtest 'keys are changed' => sub {
        my $before = $client->sign_in('alice')->{tokens}{id_token};
        my $kid    = $idp->rotate_keys;
        my $after  = $client->sign_in('alice')->{tokens}{id_token};
        isnt header_of($before)->{kid}, $kid, 'another kid before';
        is header_of($after)->{kid}, $kid, 'the new one then';
        ok scalar($client->verified($before)), 'the old one is still published';
        $idp->rotate_keys(keep => 0);
        is eval { $client->verified($before); 1 }, undef, 'and then it is not';
        is scalar @{$idp->jwks->{keys}}, 2, 'nor are there any others';
    };

    subtest 'an outage' => sub {
        my $session = $client->sign_in('carol');
        my $kids    = $idp->published;
        is $idp->outage(1), 0, 'it ends cleanly';
        ok !$idp->listens, 'connections are refused';
        is eval { $idp->metadata; 1 }, undef, 'there is no document';
        $idp->outage(0);
        is $idp->published, $kids, 'the keys are the same then';
        my $again = $client->sign_in(undef, $session->{browser},
            id_token_hint => $session->{tokens}{id_token});
        is $again->{claims}{sid}, $session->{claims}{sid},
            'and who was signed in is so still';
    };

    is $idp->stop, 0, 'ends cleanly';
    is join(' ', AML::Reaper::processes($idp->dir)), '', 'nothing is left';
    ok !-e $idp->dir, 'no files either';
}

for my $kind (AML::Provider->kinds) {
    subtest $kind => sub { run($kind) };
}

done_testing;
