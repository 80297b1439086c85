package AML::StandInProvider;

# A stand-in for an identity provider, which signs in whoever comes, without a
# page, and goes wrong in any way that a test wants.  What real ones do is for
# AML::Provider.  Modes and `only` are AML::KeyServer's; further, by set():
#
#     user      who it signs in: {sub, name, groups, sid}; "*" as sub makes
#               each one another, and so with sid
#     delay     seconds before the token endpoint answers
#     claims    of the ID token, instead of what it has; undef leaves one out
#     token     members of the token endpoint's answer, likewise
#     callback  parameters that the browser comes back with, likewise
#     userinfo  claims of UserInfo, likewise
#     metadata  members of the metadata, likewise
#     alg, kid, key    what ID tokens are signed with: name, id, PEM file
#     refresh   false: no refresh tokens; or the error that they are answered
#     refuse    {sub => [status, error]}: what refresh tokens of some are answered
#     tls       "wrong": the certificate of another name

use Mojo::Base 'AML::KeyServer', -signatures;
use Crypt::PK::ECC;
use Digest::SHA    qw(sha256);
use IO::Socket::SSL;
use MIME::Base64   qw(decode_base64 decode_base64url encode_base64url);
use Mojo::File     qw(path);
use Mojo::JSON     qw(decode_json encode_json);
use Mojo::Parameters;
use Mojo::URL;
use Mojo::Util     qw(url_unescape);
use Time::HiRes    qw(time sleep);
use AML::JWT;

has name          => 'stand-in';
has client_id     => 'aml & co';
has client_secret => 'a secret: 100%+';
has pem           => sub ($self) { AML::JWT::new_key('/tmp', 'ES256') };

sub start ($self, %o) {
    my $dir = path($o{gw}->dir, $self->folder)->make_path;
    path($dir, 'client.secret')->spurt($self->client_secret . "\n");
    chmod 0600, "$dir/client.secret";
    path($dir, 'used')->make_path;
    path($self->pem)->copy_to("$dir/key.pem");
    unlink $self->pem;
    $self->pem("$dir/key.pem");
    $self->publish(one => $self->pem);
    $self->dir("$dir");
    $self->certify($o{gw}, 'tls-wrong', 'elsewhere.localhost');
    return $self->SUPER::start(%o);
}

sub certificates ($self) {
    my $state = decode_json(path($self->dir, 'state.json')->slurp);
    return $self->dir . (($state->{tls} // '') eq 'wrong' ? '/tls-wrong' : '/tls');
}

sub section ($self, %o) {
    return $self->SUPER::section(
        client_id          => $self->client_id,
        client_secret_file => $self->folder . '/client.secret',
        %o
    );
}

# As others tell of a logout: the answer's status.
sub log_out ($self, $gw, %claims) {
    my %all = (
        iss => $self->issuer, aud => $self->client_id, iat => int time,
        exp => int(time) + 120, jti => 'j-' . rand,
        events => {'http://schemas.openid.net/event/backchannel-logout' => {}},
        %claims
    );
    delete @all{grep { !defined $all{$_} } keys %all};
    return $gw->program->request(
        POST => $gw->studio_url('/auth/backchannel-logout'),
        form => {logout_token => $self->signed(\%all, typ => 'logout+jwt')}
    )->res;
}

sub signed ($self, $claims, %header) {
    my $pem = delete $header{pem} // $self->pem;
    my ($h, $c) = map { encode_base64url(encode_json($_)) }
        {alg => 'ES256', kid => 'one', %header}, $claims;
    my $key = Crypt::PK::ECC->new($pem);
    return "$h.$c." . encode_base64url(
        $key->sign_message_rfc7518("$h.$c", 'SHA256'));
}


# ---- in the server's process ----

sub merged ($with, $over) {
    my %all = (%$with, %{$over // {}});
    delete @all{grep { !defined $all{$_} } keys %all};
    return \%all;
}

sub document ($self, $state, $method, $target, $body, $head) {
    srand;    # or all processes draw the same
    my $url  = Mojo::URL->new($target);
    my ($what) = $url->path->to_string =~ m{([\w-]+)$};
    my $form = Mojo::Parameters->new($body // '')->to_hash;
    my $handler = $self->can("serve_$what")
        or return $self->serve_metadata($state);
    return $self->$handler($state, $url->query->to_hash, $form, $head);
}

sub answer_json ($status, $body, %headers) {
    return ($status, encode_json($body), %headers);
}

sub serve_keys ($self, $state, @) {
    return answer_json(200, {keys => [values %{$state->{keys}}]});
}

sub serve_metadata ($self, $state) {
    my $iss = $self->issuer;
    return answer_json(
        200,
        merged(
            {
                issuer                 => $state->{says} // $iss,
                jwks_uri               => "$iss/keys",
                authorization_endpoint => "$iss/authorize?tenant=x",
                token_endpoint         => "$iss/token",
                userinfo_endpoint      => "$iss/userinfo",
                end_session_endpoint   => "$iss/end",
                code_challenge_methods_supported => ['S256'],
                authorization_response_iss_parameter_supported =>
                    Mojo::JSON->true,
                id_token_signing_alg_values_supported => ['ES256', 'RS256'],
            },
            $state->{metadata}
        )
    );
}

# What a code or a refresh token says: there is no other memory.
sub packed ($what) { encode_base64url(encode_json($what)) }

sub unpacked ($text) {
    return eval { decode_json(decode_base64url($text // '')) } // {};
}

# Once for each text.
sub use_up ($self, $text) {
    my $file = $self->dir . '/used/'
        . encode_base64url(sha256($text)) . '.used';
    return sysopen my $fh, $file, Fcntl::O_CREAT() | Fcntl::O_EXCL()
        | Fcntl::O_WRONLY();
}

sub serve_authorize ($self, $state, $query, @) {
    my $user = {sub => '*', name => 'Some Body', groups => ['staff'],
        sid => '*', %{$state->{user} // {}}};
    for my $name (qw(sub sid)) {
        $user->{$name} = "$name-" . int rand 1e15 if $user->{$name} eq '*';
    }
    my $back = merged(
        {
            code => packed({
                user => $user, nonce => $query->{nonce}, at => time,
                challenge => $query->{code_challenge},
                to        => $query->{redirect_uri}, is => rand
            }),
            state => $query->{state},
            iss   => $self->issuer
        },
        $state->{callback}
    );
    return (302, '',
        Location => Mojo::URL->new($query->{redirect_uri})->query($back));
}

sub is_client ($self, $head, $form) {
    my ($basic) = $head =~ /^Authorization: Basic (\S+)/mi or return 0;
    my ($id, $secret) = map { url_unescape($_ =~ tr/+/ /r) }
        split /:/, decode_base64($basic), 2;
    return $id eq $self->client_id && $secret eq $self->client_secret;
}

sub serve_token ($self, $state, $query, $form, $head) {
    sleep $state->{delay} if $state->{delay};
    return answer_json(401, {error => 'invalid_client'})
        unless $self->is_client($head, $form);
    my $grant = $form->{grant_type} // '';
    my $given;
    if ($grant eq 'authorization_code') {
        $given = unpacked($form->{code});
        return answer_json(400, {error => 'invalid_grant'})
            unless $given->{challenge}
            && $given->{challenge} eq
            encode_base64url(sha256($form->{code_verifier} // ''))
            && $given->{to} eq ($form->{redirect_uri} // '')
            && $self->use_up($form->{code});
    }
    elsif ($grant eq 'refresh_token') {
        $given = unpacked($form->{refresh_token});
        return answer_json(400, {error => $state->{refresh}})
            if $state->{refresh} && $state->{refresh} =~ /^[a-z]/;
        my $refused = ($state->{refuse} // {})->{$given->{user}{sub} // ''};
        return answer_json($refused->[0], {error => $refused->[1]}) if $refused;
        return answer_json(400, {error => 'invalid_grant'})
            unless $given->{user} && $self->use_up($form->{refresh_token});
        my %now = %{$state->{user} // {}};
        delete @now{grep { $now{$_} eq '*' } keys %now};
        $given->{user} = {%{$given->{user}}, %now};
        delete $given->{nonce};
    }
    else { return answer_json(400, {error => 'unsupported_grant_type'}) }
    return answer_json(200, $self->tokens($state, $given));
}

sub tokens ($self, $state, $given) {
    my $access = packed({user => $given->{user}, is => rand});
    my $user   = $given->{user};
    my $now    = int time;
    my $claims = merged(
        {
            iss => $self->issuer, aud => $self->client_id,
            sub => $user->{sub}, sid => $user->{sid},
            preferred_username => $user->{name}, groups => $user->{groups},
            iat => $now, exp => $now + 300, nonce => $given->{nonce},
            at_hash => encode_base64url(substr sha256($access), 0, 16)
        },
        $state->{claims}
    );
    my $refresh = defined $state->{refresh} && !$state->{refresh} ? undef
        : packed({user => $user, is => rand});
    return merged(
        {
            access_token  => $access,
            token_type    => 'Bearer',
            expires_in    => 300,
            refresh_token => $refresh,
            id_token      => $self->signed(
                $claims,
                pem => $state->{key},
                kid => $state->{kid} // 'one',
                alg => $state->{alg} // 'ES256'
            )
        },
        $state->{token}
    );
}

sub serve_userinfo ($self, $state, $query, $form, $head) {
    my ($bearer) = $head =~ /^Authorization: Bearer (\S+)/mi;
    my $user = unpacked($bearer)->{user}
        or return answer_json(401, {error => 'invalid_token'});
    return answer_json(
        200,
        merged(
            {
                sub => $user->{sub}, preferred_username => $user->{name},
                groups => $user->{groups}
            },
            $state->{userinfo}
        )
    );
}

sub serve_end ($self, $state, $query, @) {
    my $to = $query->{post_logout_redirect_uri}
        or return (200, 'signed out', 'Content-Type' => 'text/plain');
    return (302, '',
        Location => Mojo::URL->new($to)->query({state => $query->{state}}));
}

1;
