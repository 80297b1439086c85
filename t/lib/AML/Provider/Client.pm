package AML::Provider::Client;

# A client of an identity provider, made of nothing of the product: what
# tests use to see that a provider works, and what it would tell a gateway.

use Mojo::Base -base, -signatures;
use Crypt::JWT   qw(decode_jwt);
use Digest::SHA  qw(sha256);
use MIME::Base64 qw(encode_base64url);
use Mojo::URL;
use Mojo::Util qw(b64_encode url_escape);
use AML::Browser;
use AML::Provider;

has 'idp';
has callback => 'https://client.localhost/callback';
has goodbye  => 'https://client.localhost/goodbye';

# The client of a provider that it starts; options are the provider's.
sub of ($class, $kind, %o) {
    my $self = $class->new;
    my $idp  = AML::Provider->make(
        $kind,
        redirect_uris    => [$self->callback],
        post_logout_uris => [$self->goodbye],
        %o
    );
    return $self->idp($idp->start);
}

sub random ($self) { encode_base64url(join '', map { chr rand 256 } 1 .. 32) }

# One that stops where it is sent back to the client.
sub browser ($self) {
    return AML::Browser->new(ca => $self->idp->ca,
        stop_at => qr{^https://client\.localhost/});
}

sub program ($self) { AML::Browser->new(ca => $self->idp->ca, program => 1) }

# Where a sign-in starts; `flow` is filled with what the client remembers.
sub authorize_url ($self, $flow, %o) {
    $flow->{$_} //= $self->random for qw(state nonce verifier);
    my %query = (
        response_type  => 'code',
        client_id      => $self->idp->client_id,
        redirect_uri   => $self->callback,
        scope          => 'openid profile email groups',
        state          => $flow->{state},
        nonce          => $flow->{nonce},
        code_challenge => encode_base64url(sha256($flow->{verifier})),
        code_challenge_method => 'S256',
        %o
    );
    return Mojo::URL->new($self->idp->metadata->{authorization_endpoint})
        ->query(\%query)->to_string;
}

sub end_session_url ($self, $hint, $state) {
    return Mojo::URL->new($self->idp->metadata->{end_session_endpoint})->query({
        id_token_hint            => $hint,
        post_logout_redirect_uri => $self->goodbye,
        state                    => $state
    })->to_string;
}

# What the provider sends to the client's address.
sub answer ($self, $tx) {
    my $to = $tx->res->headers->location // '';
    return index($to, $self->callback) == 0
        ? Mojo::URL->new($to)->query->to_hash
        : {failed => $tx->res->code . " $to " . $tx->res->body};
}

# A call of the token endpoint; the response.
sub token ($self, %form) {
    my $authorization = 'Basic ' . b64_encode(
        join(':', map { url_escape($_) } $self->idp->client_id,
            $self->idp->client_secret),
        ''
    );
    return $self->program->request(
        POST    => $self->idp->metadata->{token_endpoint},
        form    => \%form,
        headers => {Authorization => $authorization}
    )->res;
}

sub code_for_tokens ($self, $flow, $code, %o) {
    my %form = (
        grant_type    => 'authorization_code',
        code          => $code // '',
        redirect_uri  => $self->callback,
        code_verifier => $flow->{verifier},
        %o
    );
    return $self->token(%form);
}

# Header and claims of a token whose signature holds; dies when it doesn't.
sub verified ($self, $token, @options) {
    return decode_jwt(
        token         => $token,
        kid_keys      => $self->idp->jwks,
        accepted_alg  => ['RS256', 'ES256'],
        decode_header => 1,
        @options
    );
}

# A whole sign-in: browser, flow, answer, tokens, claims of the ID token.  user
# undef: of who has signed in already, without any page.
sub sign_in ($self, $user, $browser = $self->browser, %o) {
    my %flow;
    my $tx = $browser->navigate($self->authorize_url(\%flow,
        $user ? () : (prompt => 'none'), %o));
    $tx = $self->idp->sign_in($browser, $tx, $user) if $user;
    my $answer = $self->answer($tx);
    my $res    = $self->code_for_tokens(\%flow, $answer->{code} // '');
    my $tokens = $res->json // {};
    my (undef, $claims) =
        $tokens->{id_token} ? $self->verified($tokens->{id_token}) : ();
    return {
        browser => $browser, flow => \%flow, answer => $answer,
        tokens => $tokens, claims => $claims, res => $res
    };
}

# A new access token for the API, of who signs in with `browser`.
sub access_token ($self, $user, $browser = $self->browser, %o) {
    my %flow;
    my $tx = $browser->navigate($self->authorize_url(\%flow,
        resource => $self->idp->audience,
        scope => 'openid groups user_impersonation', %o));
    $tx = $self->idp->sign_in($browser, $tx, $user)
        unless $self->answer($tx)->{code};
    my $res = $self->code_for_tokens(\%flow, $self->answer($tx)->{code});
    return $res->json('/access_token') // die "$user: no token: "
        . $res->body . "\n";
}

1;
