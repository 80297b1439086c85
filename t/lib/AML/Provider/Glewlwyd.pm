package AML::Provider::Glewlwyd;

# Glewlwyd 2.7.5 as Debian has it, with its own TLS and an SQLite database.
#
# What it does here: discovery, authorization code with PKCE (demanded) and
# `iss` in the answer, refresh tokens, each for one use, JWT access tokens
# (`aud` is `audience` when that is asked for as `resource`, else the scopes),
# device flow, introspection, revocation, RP-initiated logout by a page of
# its own, back-channel logout with `sid`.  The issuer is the plugin's address.
#
# What is different from others:
# * Its pages are one program of JavaScript; without it the same is done by
#   its own interface, as sign_in() does.
# * The discovery document does not say that it sends `iss`
#   (authorization_response_iss_parameter_supported), nor that it does back
#   channel logout.
# * Debian's webapp/config.json is a link to a directory, so that the pages
#   find no configuration, and what is linked to elsewhere is not served at
#   all; a copy of the pages has neither fault.
# * `sub` is random, given out at the first token, and known from then on.
# * Its page for signing in has no way to cancel, and comes up also for who has
#   signed in (a button to continue), except with prompt=none.
# * Its page for consent has no scope ticked but openid, and who does not tick
#   the others gets a code all the same; so all claims here come with openid.
# * An id_token_hint that has expired leads to a page without a way back.
# * A refresh token brings no ID token; one that is no good is answered 400 and
#   nothing.
# * Logout tokens have neither `exp` nor a `typ` of their own.

use Mojo::Base 'AML::Provider', -signatures;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json false true);
use Mojo::URL;
use Mojo::Util qw(url_escape);
use AML::Browser;

use constant {kind => 'glewlwyd', cancels => 0};

my $share  = '/usr/share/glewlwyd';
my $tables = '/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz';

has admin => sub { AML::Provider::random(24) };
has scopes => sub { [qw(openid profile email groups)] };

sub missing ($class) {
    for my $file ('/usr/bin/glewlwyd', '/usr/bin/sqlite3', $tables) {
        return "$file is not installed: apt-get install glewlwyd"
            unless -e $file;
    }
    return undef;
}

sub issuer ($self) { $self->api('/oidc') }
sub options ($self) { (kind => 'glewlwyd', userinfo => 'true') }
sub api ($self, $path) { $self->origin . '/api' . $path }

sub command ($self) {
    return ('glewlwyd', '--config-file=' . $self->dir . '/glewlwyd.conf');
}


# ---- before it runs ----

sub prepare ($self) {
    $self->copy_pages;
    $self->make_database unless -e $self->dir . '/glewlwyd.db';
    $self->write_conf;
}

sub copy_pages ($self) {
    my $pages = $self->dir . '/webapp';
    $self->run('cp', '-RL', "$share/webapp", $pages);
    path($pages, 'config.json')->remove_tree;
    path("$share/templates/config.json")->copy_to("$pages/config.json");
}

# The tables, and the columns that clients and users have beyond the usual.
sub make_database ($self) {
    my ($file, $script) = map { $self->dir . "/$_" } qw(glewlwyd.db init.sql);
    open my $zcat, '-|', 'zcat', $tables or die "zcat: $!";
    my $sql = do { local $/; <$zcat> };
    close $zcat or die "zcat: $?";
    my $of = sub ($multiple) {
        encode_json({multiple => $multiple, read => true, write => true});
    };
    path($script)->spurt(
        "PRAGMA synchronous=OFF; BEGIN;\n$sql",
        'UPDATE g_client_module_instance SET gcmi_parameters = json_set(',
        "gcmi_parameters, '\$.data-format.post_logout_redirect_uris', json('",
        $of->(true), "'));\n",
        'UPDATE g_user_module_instance SET gumi_parameters = json_set(',
        "gumi_parameters, '\$.data-format.groups', json('", $of->(true),
        "'));\nCOMMIT;\n"
    );
    $self->run('sqlite3', '-bail', $file, ".read $script");
}

sub write_conf ($self) {
    my ($dir, $port, $origin, $host) =
        ($self->dir, $self->port, $self->origin, $self->host);
    my $types = join ",\n", map {
        my ($extension, $type) = @$_;
        qq(  {extension = ".$extension"; mime_type = "$type"; compress = 0;});
    } (
        [html => 'text/html'], [css => 'text/css'],
        [js   => 'application/javascript'], [json => 'application/json'],
        [png  => 'image/png'], [ico => 'image/x-icon'], [woff => 'font/woff'],
        [woff2 => 'font/woff2'], [ttf => 'font/ttf']
    );
    path($dir, 'glewlwyd.conf')->spurt(<<"END");
port = $port
bind_address = "127.0.0.1"
external_url = "$origin"
login_url = "login.html"
api_prefix = "api"
static_files_path = "$dir/webapp/"
static_files_mime_types = (
$types
)
log_mode = "console"
log_level = "INFO"
cookie_domain = "$host"
cookie_secure = 1
cookie_same_site = "lax"
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
user_middleware_module_path = "/usr/lib/glewlwyd/user_middleware"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
use_secure_connection = true
secure_connection_key_file = "$dir/tls/server-key.pem"
secure_connection_pem_file = "$dir/tls/server.pem"
hash_algorithm = "SHA512"
database = {
  type = "sqlite3"
  path = "$dir/glewlwyd.db"
}
END
}


# ---- configuring it by its interface ----

# A call as somebody who has signed in; dies unless it is 200.
sub call ($self, $browser, $method, $path, $json = undef) {
    my $tx = $browser->fetch($method => $self->api($path),
        defined $json ? (json => $json) : ());
    $tx->res->code == 200
        or $self->give_up("$method $path: " . $tx->res->code . ' '
            . $tx->res->body);
    return $tx->res;
}

# A browser that has signed in here.
sub signed_in ($self, $user, $password) {
    my $browser = AML::Browser->new(ca => $self->ca);
    $self->call($browser, POST => '/auth/',
        {username => $user, password => $password});
    return $browser;
}

sub as_admin ($self) { $self->signed_in('admin', $self->admin) }

sub configure ($self) {
    my $admin = $self->signed_in('admin', 'password');
    $self->call($admin, PUT => '/profile/password',
        {old_password => 'password', password => $self->admin});
    for my $scope (grep { $_ ne 'openid' } @{$self->scopes}) {
        $self->call($admin, POST => '/scope/',
            {
                name => $scope, display_name => $scope, description => $scope,
                password_required => true, password_max_age => 0
            });
    }
    $self->call($admin, POST => '/user/', $self->user_of($_))
        for sort keys %{$self->users};
    $self->call($admin, POST => '/client/', $_) for $self->clients;
    $self->call($admin, POST => '/mod/plugin/', $self->plugin);
}

sub user_of ($self, $user) {
    my $u = $self->users->{$user};
    return {
        username => $user,
        (map { $_ => $u->{$_} } grep { defined $u->{$_} }
                qw(password name email groups)),
        scope    => [@{$self->scopes}, 'g_profile'],
        enabled  => $u->{disabled} ? false : true
    };
}

sub clients ($self) {
    return (
        {
            client_id     => $self->client_id,
            name          => 'AML Gateway',
            confidential  => true,
            client_secret => $self->client_secret,
            enabled       => true,
            redirect_uri  => $self->redirect_uris,
            authorization_type => [qw(code refresh_token)],
            token_endpoint_auth_method => ['client_secret_basic'],
            post_logout_redirect_uris  => $self->post_logout_uris,
            $self->backchannel_uri
            ? (
                backchannel_logout_uri              => $self->backchannel_uri,
                backchannel_logout_session_required => 'true'
                )
            : ()
        },
        {
            client_id    => $self->device_client,
            name         => 'aml',
            confidential => false,
            enabled      => true,
            redirect_uri => [],
            authorization_type => [qw(device_authorization refresh_token)]
        }
    );
}

sub plugin ($self) {
    my $claim = sub ($name, $property, @scopes) {
        return {
            name => $name, 'user-property' => $property, type => 'string',
            mandatory => false, 'on-demand' => false, scope => \@scopes
        };
    };
    return {
        module       => 'oidc',
        name         => 'oidc',
        display_name => 'OpenID Connect',
        enabled      => true,
        parameters   => {
            iss => $self->issuer,
            'oauth-as-iss-id'        => true,
            'jwks-private'           => encode_json({keys => $self->keys}),
            'jwks-show'              => true,
            'access-token-duration'  => $self->lifetime,
            'refresh-token-duration' => 14 * 86_400,
            'code-duration'          => 60,
            'refresh-token-rolling'  => true,
            'refresh-token-one-use'  => 'always',
            'allow-non-oidc'         => true,
            'auth-type-code-enabled' => true,
            'auth-type-code-revoke-replayed' => true,
            'auth-type-refresh-enabled'      => true,
            'auth-type-device-enabled'       => true,
            'device-authorization-expiration' => 600,
            'device-authorization-interval'   => 1,
            map({ +"auth-type-$_-enabled" => false }
                qw(token none implicit password client)),
            'pkce-allowed'              => true,
            'pkce-required'             => true,
            'pkce-method-plain-allowed' => false,
            'introspection-revocation-allowed'             => true,
            'introspection-revocation-allow-target-client' => true,
            'resource-allowed' => true,
            'resource-scope'   => {openid => [$self->audience]},
            'allowed-scope'    => $self->scopes,
            'subject-type'     => 'public',
            'name-claim'       => 'no',
            'name-claim-scope' => ['openid'],
            'email-claim'      => 'no',
            'email-claim-scope' => ['openid'],
            'scope-claim'       => 'no',
            claims => [
                $claim->(qw(preferred_username username openid)),
                $claim->(qw(groups groups openid))
            ],
            'additional-parameters' => [
                map { {'user-parameter' => $_, 'token-parameter' => $_} }
                    qw(name groups)
            ],
            'session-management-allowed'  => true,
            'session-cookie-name'         => 'GLEWLWYD2_OIDC_SID',
            'session-cookie-expiration'   => 2_419_200,
            # its page for signing out asks for that list
            'front-channel-logout-allowed' => true,
            'back-channel-logout-allowed'  => true,
            # or it would ask the system's authorities, which it can't be told
            # to exchange, about the gateway's certificate
            'request-parameter-allow'            => false,
            'request-uri-allow-https-non-secure' => true
        }
    };
}

sub reload ($self) {
    my $admin = $self->as_admin;
    $self->call($admin, PUT => '/mod/plugin/oidc', $self->plugin);
    $self->call($admin, PUT => '/mod/plugin/oidc/reset');
}

sub write_user ($self, $user) {
    $self->call($self->as_admin, PUT => "/user/$user", $self->user_of($user));
}

# undef until the person has got a token.
sub subject ($self, $user) {
    return ($self->query('SELECT gposi_sub FROM gpo_subject_identifier WHERE'
        . " gposi_username = '$user'"))[0];
}

# The first column.  It waits for its turn: without that what is being written
# meanwhile would look like nothing.
sub query ($self, $sql) {
    open my $sqlite, '-|', 'sqlite3', '-readonly', '-cmd', '.timeout 20000',
        $self->dir . '/glewlwyd.db', $sql
        or die "sqlite3: $!";
    chomp(my @rows = <$sqlite>);
    close $sqlite or die "sqlite3: $?";
    return @rows;
}

# Signs somebody out everywhere, as they themselves can in their profile; their
# clients are told by back channel.  Returns the `sid`s that were told.
sub end_sessions ($self, $user) {
    my @sids = $self->query(
        'SELECT DISTINCT gpoi_sid FROM gpo_id_token WHERE gpoi_enabled = 1'
        . " AND gpoi_sid IS NOT NULL AND gpoi_username = '$user'");
    my $browser = $self->signed_in($user, $self->password($user));
    $self->call($browser, DELETE => "/oidc/session/$_") for @sids;
    $self->call($browser, DELETE => '/profile/session/');
    return @sids;
}

# Its refresh tokens are good no more.  (Of a person who is disabled they are.)
sub end_grants ($self, $user) {
    my $browser = $self->signed_in($user, $self->password($user));
    my $tokens  = $self->call($browser, GET => '/oidc/token')->json;
    for my $token (grep { $_->{enabled} } @$tokens) {
        $self->call($browser,
            DELETE => '/oidc/token/' . url_escape($token->{token_hash}));
    }
}


# ---- signing in ----

# What the pages' program does, from the page `tx`, as far as redirects lead.
sub sign_in ($self, $browser, $tx, $user, $password = undef) {
    my $query = $tx->req->url->query->to_hash;
    my $back  = $query->{callback_url}
        // die 'not a page for signing in: ' . $tx->req->url . "\n";
    my $from = $self->origin;
    my $ask  = sub ($method, $path, $json) {
        $browser->fetch($method => $self->api($path), json => $json);
    };
    die "its page has no way to cancel\n" unless defined $user;
    my $res = $ask->(
        POST => '/auth/',
        {username => $user, password => $password // $self->password($user)}
    )->res;
    return $tx if $res->code != 200;
    $ask->(PUT => "/auth/grant/$query->{client_id}",
        {scope => $query->{scope}});
    return $browser->navigate(
        Mojo::URL->new($back)->query({g_continue => 1})->to_string,
        from => $from
    );
}

# From the page that asks whether to sign out.
sub confirm_sign_out ($self, $browser, $tx) {
    my $query = $tx->req->url->query->to_hash;
    $browser->fetch(
        DELETE => $self->api("/$query->{plugin}/session/$query->{sid}"));
    $browser->fetch(DELETE => $self->api('/auth/'));
    return $tx unless $query->{callback_url};
    return $browser->led_to($query->{callback_url}, from => $self->origin);
}

# The same for Playwright: what to fill and click, one after the other.  maybe:
# only where it comes up.
sub steps ($self, $user) {
    return [
        {fill  => '#username', with => $user},
        {fill  => '#password', with => $self->password($user)},
        {click => '#loginbut'},
        {click => 'button.btn-primary:has-text("Grant")', maybe => true},
        {click => 'button.btn-success', maybe => true},
    ];
}

sub sign_out_steps ($self) {
    return [{click => 'button.btn-danger:not(.dropdown-toggle)'}];
}

1;
