# The identity providers of the other tests work by themselves, without a
# gateway: what a client of theirs may rely on, by a client made of nothing of
# the product.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }
use Crypt::JWT   qw(decode_jwt);
use Digest::SHA  qw(sha256);
use IO::Socket::SSL;
use MIME::Base64 qw(encode_base64url);
use Mojo::JSON   qw(decode_json encode_json);
use Mojo::URL;
use Mojo::Util qw(b64_encode url_escape);
use Test::More;
use AML::Browser;
use AML::Port;
use AML::Provider;
use AML::Wait qw(wait_for);

use constant {
    CALLBACK => 'https://client.localhost/callback',
    GOODBYE  => 'https://client.localhost/goodbye',
};

# ---- a client ----

my $random = sub { encode_base64url(join '', map { chr rand 256 } 1 .. 32) };

sub browser ($idp) {
    return AML::Browser->new(ca => $idp->ca,
        stop_at => qr{^https://client\.localhost/});
}

sub authorize_url ($idp, $flow, %o) {
    $flow->{$_} //= $random->() for qw(state nonce verifier);
    my %query = (
        response_type  => 'code',
        client_id      => $idp->client_id,
        redirect_uri   => CALLBACK,
        scope          => 'openid profile email groups',
        state          => $flow->{state},
        nonce          => $flow->{nonce},
        code_challenge => encode_base64url(sha256($flow->{verifier})),
        code_challenge_method => 'S256',
        %o
    );
    return Mojo::URL->new($idp->metadata->{authorization_endpoint})
        ->query(\%query)->to_string;
}

# What the provider sends to the client's address.
sub callback ($tx) {
    my $to = $tx->res->headers->location // '';
    return index($to, CALLBACK) == 0
        ? Mojo::URL->new($to)->query->to_hash
        : {failed => $tx->res->code . " $to " . $tx->res->body};
}

sub token ($idp, %form) {
    my $authorization = 'Basic ' . b64_encode(
        join(':', map { url_escape($_) } $idp->client_id,
            $idp->client_secret),
        ''
    );
    return AML::Browser->new(ca => $idp->ca, program => 1)->request(
        POST    => $idp->metadata->{token_endpoint},
        form    => \%form,
        headers => {Authorization => $authorization}
    )->res;
}

sub code_for_tokens ($idp, $flow, $code, %o) {
    my %form = (
        grant_type    => 'authorization_code',
        code          => $code,
        redirect_uri  => CALLBACK,
        code_verifier => $flow->{verifier},
        %o
    );
    return token($idp, %form);
}

# Claims of a token whose signature holds, and its header.
sub verified ($idp, $token, @options) {
    return decode_jwt(
        token         => $token,
        kid_keys      => $idp->jwks,
        accepted_alg  => ['RS256', 'ES256'],
        decode_header => 1,
        @options
    );
}

sub header_of ($token) {
    return decode_json(
        Mojo::Util::b64_decode((split /\./, $token)[0] =~ tr{-_}{+/}r));
}

# A whole sign-in: browser, flow, tokens, claims of the ID token.  user undef:
# of who has signed in already, without any page.
sub sign_in ($idp, $user, $browser = browser($idp), %o) {
    my %flow;
    my $tx = $browser->navigate(authorize_url($idp, \%flow,
        $user ? () : (prompt => 'none'), %o));
    $tx = $idp->sign_in($browser, $tx, $user) if $user;
    my $answer = callback($tx);
    my $res    = code_for_tokens($idp, \%flow, $answer->{code} // '');
    my $tokens = $res->json // {};
    my (undef, $claims) =
        $tokens->{id_token} ? verified($idp, $tokens->{id_token}) : ();
    return {
        browser => $browser, flow => \%flow, answer => $answer,
        tokens => $tokens, claims => $claims, res => $res
    };
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
sub told ($idp, $server, $what) {
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
    my ($header, $claims) = verified($idp, $token, verify_exp => undef);
    return {line => $line, header => $header, claims => $claims};
}

# ---- each provider ----

sub run ($kind) {
    my $port = AML::Port->take;
    my $idp  = AML::Provider->make(
        $kind,
        redirect_uris    => [CALLBACK],
        post_logout_uris => [GOODBYE],
        backchannel_uri  => "https://$kind.localhost:$port/logout"
    );
    $idp->users->{dave} =
        {name => 'Dave', email => 'dave@example.org', groups => []};
    $idp->start;

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

    my $alice = sign_in($idp, 'alice');
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
        my $browser = browser($idp);
        my $tx = $browser->navigate(authorize_url($idp, \%flow));
        $tx = $idp->sign_in($browser, $tx, 'alice', 'wrong');
        is callback($tx)->{code}, undef, 'a wrong password';
        %flow = ();
        $tx = $browser->navigate(authorize_url($idp, \%flow));
        $tx = $idp->sign_in($browser, $tx, 'alice');
        my $code = callback($tx)->{code};
        ok $code, 'a code';
        my $res = code_for_tokens($idp, \%flow, $code,
            code_verifier => $random->());
        is $res->json('/id_token'), undef, 'another verifier';
        my $again = code_for_tokens($idp, $alice->{flow},
            $alice->{answer}{code});
        is $again->json('/id_token'), undef, 'a code for the second time';
        $tx = browser($idp)->navigate(authorize_url($idp, {},
            redirect_uri => 'https://evil.localhost/'));
        unlike $tx->res->headers->location // '', qr/^https:\/\/evil/,
            'another redirect_uri';
        return unless $idp->cancels;
        $browser = browser($idp);
        $tx = $browser->navigate(authorize_url($idp, \%flow));
        my $answer = callback($idp->sign_in($browser, $tx, undef));
        is $answer->{error}, 'access_denied', 'a person who cancels';
        is $answer->{state}, $flow{state}, 'with the state';
    };

    # replaying the code above ended Alice's grant
    my $bob = sign_in($idp, 'bob');
    subtest 'a second person, and again without a password' => sub {
        is $bob->{claims}{name}, 'Böb Baker', 'Bob';
        my $again = sign_in($idp, undef, $bob->{browser},
            id_token_hint => $bob->{tokens}{id_token});
        is $again->{claims}{sub}, $bob->{claims}{sub}, 'is known';
        is $again->{claims}{sid}, $bob->{claims}{sid}, 'by one sid';
        is $again->{claims}{nonce}, $again->{flow}{nonce}, 'with a new nonce';
    };

    subtest 'an access token for the API' => sub {
        my %flow;
        my $tx = $bob->{browser}->navigate(
            authorize_url($idp, \%flow, resource => $idp->audience,
                scope => 'openid groups user_impersonation'));
        $tx = $idp->sign_in($bob->{browser}, $tx, 'bob')
            unless callback($tx)->{code};
        my $token = code_for_tokens($idp, \%flow, callback($tx)->{code} // '')
            ->json('/access_token') // '';
        is +($token =~ tr/.//), 2, 'is a JWT' or return;
        my ($header, $claims) = verified($idp, $token);
        is $header->{typ}, 'at+jwt', 'typ';
        is $claims->{aud}, $idp->audience, 'aud';
        is $claims->{sub}, $bob->{claims}{sub}, 'sub';
        is $claims->{name}, 'Böb Baker', 'name';
        ok $claims->{groups}, 'groups';
        note encode_json($claims);
    };

    subtest 'refresh' => sub {
        my $first = sign_in($idp, 'carol', browser($idp),
            scope => 'openid profile email groups offline_access',
            prompt => 'consent')->{tokens}{refresh_token};
        ok $first, 'a refresh token' or return;
        my $ask = sub ($token) {
            token($idp, grant_type => 'refresh_token',
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
        my $end = Mojo::URL->new($idp->metadata->{end_session_endpoint})
            ->query(
            id_token_hint            => $bob->{tokens}{id_token},
            post_logout_redirect_uri => GOODBYE,
            state                    => 'farewell'
            );
        my $page = $bob->{browser}->navigate("$end");
        my $told = told($idp, $server,
            sub { $idp->confirm_sign_out($bob->{browser}, $page) });
        $is_logout->($told, $bob->{claims}{sub}, $bob->{claims}{sid});

        my $carol = sign_in($idp, 'carol');
        $end->query({id_token_hint => $carol->{tokens}{id_token}});
        $page = $carol->{browser}->navigate("$end");
        close $server;    # nobody listens: told in vain
        my $tx = $idp->confirm_sign_out($carol->{browser}, $page);
        is $tx->res->headers->location, GOODBYE . '?state=farewell',
            'leads back';
        $tx = $carol->{browser}->navigate(authorize_url($idp, {}));
        is callback($tx)->{code}, undef, 'and who is back has to sign in';
    };

    $server = logout_server($idp, $port);
    subtest 'sign-out by an administrator' => sub {
        my $dave = sign_in($idp, 'dave');
        my $told = told($idp, $server, sub { $idp->end_sessions('dave') });
        $is_logout->($told, $dave->{claims}{sub}, $dave->{claims}{sid});
    };
    close $server;

    subtest 'somebody is changed and disabled' => sub {
        $idp->change_user('alice', groups => ['guests'], name => 'Alice B.');
        my $now = sign_in($idp, 'alice');
        is_deeply $now->{claims}{groups}, ['guests'], 'groups';
        is $now->{claims}{name}, 'Alice B.', 'name';
        is $now->{claims}{sub}, $alice->{claims}{sub}, 'the same sub';
        $idp->change_user('bob', disabled => 1);
        is sign_in($idp, 'bob')->{claims}, undef, 'disabled';
    };

    subtest 'keys are changed' => sub {
        my $before = sign_in($idp, 'alice')->{tokens}{id_token};
        my $kid    = $idp->rotate_keys;
        my $after  = sign_in($idp, 'alice')->{tokens}{id_token};
        isnt header_of($before)->{kid}, $kid, 'another kid before';
        is header_of($after)->{kid}, $kid, 'the new one then';
        ok scalar(verified($idp, $before)), 'the old one is still published';
        $idp->rotate_keys(keep => 0);
        is eval { verified($idp, $before); 1 }, undef, 'and then it is not';
        is scalar @{$idp->jwks->{keys}}, 2, 'nor are there any others';
    };

    subtest 'an outage' => sub {
        my $session = sign_in($idp, 'carol');
        my $kids    = $idp->published;
        is $idp->outage(1), 0, 'it ends cleanly';
        ok !$idp->listens, 'connections are refused';
        is eval { $idp->metadata; 1 }, undef, 'there is no document';
        $idp->outage(0);
        is $idp->published, $kids, 'the keys are the same then';
        my $again = sign_in($idp, undef, $session->{browser},
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
