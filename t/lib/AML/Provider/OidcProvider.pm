package AML::Provider::OidcProvider;

# panva's oidc-provider, run by t/providers/oidc-provider.mjs.
#
# What it does here: discovery, authorization code with PKCE (demanded) and
# `iss` in the answer, refresh tokens that are rotated and whose reuse ends the
# grant, JWT access tokens for `audience` by `resource` (RFC 8707; without it
# the token is opaque and for userinfo), device flow, introspection,
# revocation, RP-initiated and back-channel logout with `sid`.  ID tokens have
# the claims of the scopes.  A consent page comes once a grant.

use Mojo::Base 'AML::Provider', -signatures;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json true);
use Mojo::URL;
use AML::Wait qw(wait_for);

use constant {kind => 'oidc-provider', cancels => 1};

has secret => sub { AML::Provider::random(40) };

sub missing ($class) {
    return 'oidc-provider is not installed: npm ci in t/providers'
        unless -d "$AML::Provider::ROOT/t/providers/node_modules/oidc-provider";
    return undef;
}

sub issuer ($self) { $self->origin }

sub options ($self) {
    return (scopes => 'openid profile email groups offline_access');
}

# An account's `sub`, which is no name.
sub subject ($self, $user) {
    return $self->users->{$user}{sub} //= join '-',
        map { sprintf '%04x', rand 65_536 } 1 .. 8;
}

sub command ($self) {
    $ENV{NODE_EXTRA_CA_CERTS} = $self->ca;
    return ('node', "$AML::Provider::ROOT/t/providers/oidc-provider.mjs",
        $self->dir . '/provider.json');
}

sub prepare ($self) { $self->write }

sub write_json ($self, $name, $what) {
    my $file = path($self->dir, $name);
    path("$file.new")->spurt(encode_json($what))->move_to($file);
}

sub write ($self) {
    $self->write_json('keys.json', $self->keys);
    my @alike = (
        scope => 'openid profile email groups offline_access',
        id_token_signed_response_alg => $self->algs->[0],
    );
    $self->write_json(
        'provider.json',
        {
            issuer   => $self->issuer,
            port     => $self->port,
            cert     => $self->dir . '/tls/server.pem',
            key      => $self->dir . '/tls/server-key.pem',
            keys     => $self->dir . '/keys.json',
            state    => $self->dir . '/state.json',
            secret   => $self->secret,
            lifetime => $self->lifetime,
            resources => [
                {
                    id    => $self->audience,
                    scope => 'user_impersonation',
                    alg   => $self->algs->[0]
                }
            ],
            clients => [
                {
                    @alike,
                    client_id      => $self->client_id,
                    client_secret  => $self->client_secret,
                    redirect_uris  => $self->redirect_uris,
                    response_types => ['code'],
                    grant_types => ['authorization_code', 'refresh_token'],
                    token_endpoint_auth_method => 'client_secret_basic',
                    post_logout_redirect_uris  => $self->post_logout_uris,
                    $self->backchannel_uri
                    ? (
                        backchannel_logout_uri => $self->backchannel_uri,
                        backchannel_logout_session_required => true
                        )
                    : ()
                },
                {
                    @alike,
                    client_id      => $self->device_client,
                    redirect_uris  => [],
                    response_types => [],
                    grant_types    => [
                        'urn:ietf:params:oauth:grant-type:device_code',
                        'refresh_token'
                    ],
                    token_endpoint_auth_method => 'none'
                }
            ],
            accounts => [
                map {
                    my $u = $self->users->{$_};
                    +{%$u, login => $_, sub => $self->subject($_)}
                } sort keys %{$self->users}
            ],
        }
    );
}

# Returns when the process has read its files again.
sub reload ($self) {
    my $count = sub { scalar(() = $self->log_text =~ /^read again$/mg) };
    my $before = $count->();
    $self->write;
    return unless $self->pid;
    kill 'HUP', $self->pid;
    wait_for(sub { $count->() > $before })
        or $self->give_up('does not read its files');
}

# How many requests for a path there were.
sub requests ($self, $path) {
    return scalar(() = $self->log_text =~ m{^request: \w+ \Q$path\E$}mg);
}

sub write_user ($self, $user) { $self->reload }

# Signs somebody out everywhere, as an administrator does; their clients are
# told by back channel.  Returns the `sid`s that were told.
sub end_sessions ($self, $user) {
    my $tx = AML::Browser->new(ca => $self->ca, program => 1)->request(
        POST    => $self->origin . '/control/end-sessions',
        json    => {account       => $user},
        headers => {Authorization => 'Bearer ' . $self->secret}
    );
    $tx->res->code == 200 or $self->give_up('ends no sessions');
    return @{$tx->res->json->{told}};
}

# The person's refresh tokens are good no more.
sub end_grants ($self, $user) { $self->change_user($user, disabled => 1) }


# ---- signing in ----

# From the page `tx`, the provider's for signing in, as far as redirects lead.
# user undef: the person cancels.
sub sign_in ($self, $browser, $tx, $user, $password = undef) {
    my $submit = sub ($form, $values) {
        my $action = $tx->res->dom->at($form)
            // die 'no form on ' . $tx->req->url . "\n";
        $browser->submit($tx, $values, form => $form);
    };
    return $submit->('form[action$=/abort]', {}) unless defined $user;
    if ($tx->res->dom->at('input[name=password]')) {
        $tx = $submit->(
            'form[action$=/login]',
            {login => $user, password => $password // $self->password($user)}
        );
    }
    $tx = $submit->('form[action$=/consent]', {})
        if $tx->res->dom->at('#allow');
    return $tx;
}

# From the page that asks whether to sign out.
sub confirm_sign_out ($self, $browser, $tx) {
    return $browser->submit($tx, {logout => 'yes'}, 
        form => '[id="op.logoutForm"]');
}

# The same for Playwright: what to fill and click, one after the other.  maybe:
# only where it comes up.
sub steps ($self, $user) {
    return [
        {fill  => 'input[name=login]',    with => $user},
        {fill  => 'input[name=password]', with => $self->password($user)},
        {click => 'form[action$="/login"] button'},
        {click => '#allow', maybe => true},
    ];
}

sub sign_out_steps ($self) { [{click => 'button[name=logout]'}] }

1;
