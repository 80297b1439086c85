package AML::Attacks;

# The table of attacks, t/data/identity-attacks.json, and what its tokens are
# made of: issuers and keys of the test's own, so that nothing of the product
# makes them.

use Mojo::Base -base, -signatures;
use Encode qw(encode_utf8);
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(b64_encode);
use AML::JWT;

use constant {
    ISS    => 'https://issuer.test',
    MANY   => 'https://many.test',
    ENTRA  => 'https://login.test/11111111-2222-4333-8444-aaaaaaaaaaaa/v2.0',
    TENANT => '11111111-2222-4333-8444-aaaaaaaaaaaa',
    AUD    => 'api://aml',
};

# Keys of MANY, by kid.
my %kinds = (
    rsa => 'RS256', 'rsa-ps256' => 'PS256', p256 => 'ES256', p384 => 'ES384',
    p521 => 'ES512', ed25519 => 'EdDSA'
);

has 'gw';
has now    => sub {time};
has values => sub { {} };    # of placeholders beyond these, without "@"
has key    => sub ($self) {
    return {
        (map { $_ => AML::JWT::new_key($self->gw->dir, $kinds{$_}) }
            keys %kinds),
        one   => AML::JWT::new_key($self->gw->dir, 'RS256'),
        other => AML::JWT::new_key($self->gw->dir, 'RS256'),
        'other-ec' => AML::JWT::new_key($self->gw->dir, 'ES256'),
    };
};
has table => sub {
    decode_json(path(__FILE__)->realpath->dirname->dirname->dirname
            ->child('data', 'identity-attacks.json')->slurp);
};

# Tells the gateway of the issuers.
sub establish ($self) {
    my %issuer = (
        op => 'issuer', iss => ISS, algs => ['RS256'], leeway => 0,
        audiences => [AUD], name_claim => 'name'
    );
    my $key = $self->key;
    $self->gw->edit(
        \%issuer,
        {
            %issuer, iss => MANY,
            algs => [qw(RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512
                EdDSA)]
        },
        {%issuer, iss => ENTRA, identity => 'entra', space => TENANT},
        (
            map { {op => 'key', iss => $_, kid => 'one', pem => $key->{one}} }
                ISS, ENTRA
        ),
        map { {
            op => 'key', iss => MANY, kid => $_, pem => $key->{$_},
            alg => $_ eq 'rsa-ps256' ? 'PS256' : ''
        } } keys %kinds
    );
    return $self;
}

# Text, or a whole structure, with values for placeholders.
sub filled ($self, $v) {
    return [map { $self->filled($_) } @$v] if ref $v eq 'ARRAY';
    return {map { $_ => $self->filled($v->{$_}) } keys %$v}
        if ref $v eq 'HASH';
    return $v if ref $v || !defined $v;
    my %of = (
        good => '{@who,@when,@for}',
        head => '{"alg":"RS256","kid":"rsa"}',
        who  => '"iss":"@many","sub":"ada"',
        when => '"exp":@now+600',
        for  => '"aud":"@aud"',
        iss  => ISS, many => MANY, entra => ENTRA, aud => AUD,
        %{$self->values}
    );
    my $names = join '|', map {quotemeta}
        sort { length $b <=> length $a } keys %of;
    1 while $v =~ s/\@($names)/$of{$1}/;
    return $self->now + $1 if $v =~ /^\@now([+-]\d+)$/;
    return $v =~ s/\@now([+-]\d+)/$self->now + $1/ger;
}


# ---- tokens ----

my %mangle = (
    'two-parts'  => sub ($t) { $t =~ s/\.[^.]*$//r },
    'four-parts' => sub ($t) {"$t.x"},
    'cut-header' => sub ($t) { substr $t, 3 },
    'cut-claims' => sub ($t) { $t =~ s/...(\.[^.]*)$/$1/r },
    'cut-signature'  => sub ($t) { substr $t, 0, -2 },
    'no-signature'   => sub ($t) { $t =~ s/[^.]*$//r },
    'flip-signature' => sub ($t) {
        $t =~ s{\.(.)([^.]*)$}{'.' . ($1 eq 'A' ? 'B' : 'A') . $2}er;
    },
    'swap-claims' => sub ($t) {
        my @p = split /\./, $t;
        my $c = decode_json(Mojo::Util::b64_decode($p[1] =~ tr{-_}{+/}r));
        $p[1] = b64_encode(encode_json({%$c, sub => 'bob'}), '')
            =~ tr{+/}{-_}r =~ s/=+$//r;
        join '.', @p;
    },
    'padding'  => sub ($t) {"$t="},
    'plus'     => sub ($t) { $t =~ s/\.(.)([^.]*)$/.+$2/r },
    'tab'      => sub ($t) { $t =~ s/\./.\t/r },
    'trailing' => sub ($t) {"$t x"},
    'latin1'   => sub ($t) { $t =~ s/\./\xe9./r },
    'comma'    => sub ($t) {"$t,$t"},
    'large'    => sub ($t) { $t . 'A' x 5000 },
    'huge'     => sub ($t) { $t . 'A' x 20_000 },
);

# Those that are made before the signature.
my %before = (
    'deep'     => sub ($h, $c) { $$c = '[' x 2000 . ']' x 2000 },
    'long-kid' => sub ($h, $c) { $$h->{kid} = 'k' x 2000 },
    'long-iss' => sub ($h, $c) { $$c->{iss} = 'https://' . 'i' x 2000 },
    'huge-exp' => sub ($h, $c) {
        $$c = encode_json($$c) =~ s/"exp":\d+/"exp":1e400/r;
    },
);

sub bytes_of ($self, $text, $latin1) {
    my $filled = $self->filled($text);
    return $latin1 ? $filled : encode_utf8($filled);
}

# Claims of a token that is good.
sub claims ($self) {
    return {
        iss => ISS, aud => AUD, sub => 'alice', name => 'Alice',
        iat => $self->now, exp => $self->now + 600
    };
}

# A row of "tokens": the token, and the key that its issuer would take.
sub token ($self, $row) {
    return $self->filled($row->{raw}) if defined $row->{raw};
    my $alg = $row->{alg} // 'RS256';
    my ($h, $c) = ({alg => $alg, kid => 'one'}, $self->claims);
    for my $part ([$h, $row->{header}], [$c, $row->{claims}]) {
        my ($into, $from) = @$part;
        for my $name (keys %{$from // {}}) {
            $into->{$name} = $self->filled($from->{$name});
            delete $into->{$name} unless defined $into->{$name};
        }
    }
    $h = $self->bytes_of($row->{header_text}, $row->{latin1})
        if defined $row->{header_text};
    $c = $self->bytes_of($row->{claims_text}, $row->{latin1})
        if defined $row->{claims_text};
    my $mangle = $row->{mangle} // '';
    $before{$mangle}->(\$h, \$c) if $before{$mangle};

    my $key  = $self->key;
    my $with = $row->{key} // 'issuer';
    my $signed_as = $alg =~ /^(?:RS|PS|ES)\d+$/ ? $alg : 'RS256';
    my $token =
          $with eq 'public-as-secret'
        ? AML::JWT::make_hs256(AML::JWT::public_pem($key->{one}), $h, $c)
        : AML::JWT::make($signed_as, $key->{$with} // $key->{one}, $h, $c);
    $token =~ s/[^.]*$// if $with eq 'none';
    return $mangle{$mangle} ? $mangle{$mangle}->($token) : $token;
}

# A row of "texts".
sub text_token ($self, $row) {
    return AML::JWT::make('RS256', $self->key->{rsa},
        map { $self->bytes_of($row->{$_}, $row->{latin1}) }
            qw(header_text claims_text));
}

1;
