package AML::JWT;

# Makes tokens, good ones and every kind of bad one.  Signatures are made by
# the openssl command, so that nothing of the product is used to test it.

use Mojo::Base -strict, -signatures;
use Digest::SHA qw(hmac_sha256);
use File::Temp  ();
use Mojo::File  qw(path);
use Mojo::JSON  qw(encode_json);
use MIME::Base64 qw(encode_base64url);

my %kinds = (
    RS => [qw(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)],
    PS => [qw(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)],
    ES256 => [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)],
    ES384 => [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-384)],
    ES512 => [qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-521)],
    EdDSA => [qw(-algorithm ED25519)],
);

my %bytes = (ES256 => 32, ES384 => 48, ES512 => 66);

# A new private key for an algorithm, in a file below `dir`.
sub new_key ($dir, $alg) {
    my $file = File::Temp->new(DIR => $dir, SUFFIX => '.pem', UNLINK => 0)
        ->filename;
    my $options = $kinds{$alg} // $kinds{substr $alg, 0, 2};
    system(qw(openssl genpkey -quiet -out), $file, @$options) == 0
        or die "openssl genpkey: $?\n";
    return $file;
}

sub public_pem ($key) { return run_openssl('', 'pkey', '-in', $key, '-pubout') }

sub run_openssl ($input, @args) {
    my $in = File::Temp->new;
    print $in $input;
    close $in;
    open my $p, '-|', 'openssl', map { $_ eq '@in' ? "$in" : $_ } @args
        or die "openssl: $!";
    binmode $p;
    local $/;
    my $out = <$p>;
    close $p or die "openssl @args: $?\n";
    return $out;
}

sub sign ($alg, $key, $data) {
    if ($alg eq 'EdDSA') {
        return run_openssl($data,
            qw(pkeyutl -sign -rawin -inkey), $key, '-in', '@in');
    }
    my ($family, $size) = $alg =~ /^(RS|PS|ES)(\d+)$/ or die "alg $alg";
    my @pss = $family eq 'PS'
        ? qw(-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest)
        : ();
    my $sig =
        run_openssl($data, 'dgst', "-sha$size", '-sign', $key, @pss, '@in');
    return $sig unless $family eq 'ES';

    # DER to r and s of fixed length, RFC 7518 section 3.4
    my $n = $bytes{$alg};
    my $at = ord(substr $sig, 1, 1) & 0x80 ? 3 : 2;
    my $raw = '';
    for (1 .. 2) {
        my $len = ord substr $sig, $at + 1, 1;
        my $int = substr $sig, $at + 2, $len;
        $int =~ s/^\0+//;
        $raw .= ("\0" x ($n - length $int)) . $int;
        $at += 2 + $len;
    }
    return $raw;
}

# header and claims: hashes, or JSON text as it is.
sub make ($alg, $key, $header, $claims) {
    my ($h, $c) = map { encode_base64url(ref $_ ? encode_json($_) : $_) }
        $header, $claims;
    return "$h.$c." . encode_base64url(sign($alg, $key, "$h.$c"));
}

# Signed with a shared secret, as an attacker does who knows the public key.
sub make_hs256 ($secret, $header, $claims) {
    my ($h, $c) = map { encode_base64url(ref $_ ? encode_json($_) : $_) }
        $header, $claims;
    return "$h.$c." . encode_base64url(hmac_sha256("$h.$c", $secret));
}

1;
