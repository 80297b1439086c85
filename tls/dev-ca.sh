#!/bin/sh
#
# A certificate authority for development: tls/dev-ca.sh DIR NAME…
#
# Makes DIR/ca.pem and DIR/ca-key.pem once, and DIR/server.pem (leaf first,
# then the authority) and DIR/server-key.pem for the given DNS names, the first
# label of which may be "*".  Run it at every start: it keeps what is good, and
# makes the server's certificate anew when it is about to expire, when the names
# have changed or when it does not belong to the authority.
#
# Whoever has ca-key.pem can be any site to a browser that trusts ca.pem.  It
# stays on this machine and is for no other use.

set -eu
umask 077

ca_days=3650
leaf_days=396   # browsers take 398 at most
renew=2592000   # 30 days, in seconds

say() { echo "dev-ca: $*"; }
fail() { echo "dev-ca: $*" >&2; exit 1; }

[ $# -ge 2 ] || { echo "usage: $0 DIR NAME..." >&2; exit 2; }
dir=$1
shift

label='[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
for name in "$@"; do
    case $name in
    *'
'*) fail "a name has a line break" ;;
    esac
    [ ${#name} -le 253 ] || fail "not a DNS name: $name"
    printf '%s\n' "$name" | grep -Eq "^(\*\.)?$label(\.$label)*\$" ||
        fail "not a DNS name: $name"
    # A name that ends in a number is an address to a browser.
    ! printf '%s\n' "$name" | grep -Eq '(^|\.)[0-9]+$' ||
        fail "not a DNS name: $name"
done

command -v openssl >/dev/null || fail "openssl is not installed"

mkdir -p "$dir"
exec 9>"$dir/.dev-ca.lock"
flock 9

# Everything is made beside and moved into place, so that neither an
# interrupted run nor a reader ever meets half a file.
tmp=$(mktemp -d "$dir/.dev-ca.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

public_of_key() { openssl pkey -in "$1" -pubout 2>/dev/null; }
public_of_cert() { openssl x509 -in "$1" -noout -pubkey 2>/dev/null; }

belong_together() { # certificate, key
    [ -s "$1" ] && [ -s "$2" ] &&
        [ "$(public_of_cert "$1")" = "$(public_of_key "$2")" ]
}

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 \
        -out "$1" 2>"$tmp/log" || fail "$(cat "$tmp/log")"
}

ca_is_good() {
    belong_together "$dir/ca.pem" "$dir/ca-key.pem" &&
        openssl x509 -in "$dir/ca.pem" -noout -checkend "$renew" >/dev/null
}

make_ca() {
    new_key "$tmp/ca-key.pem"
    cat >"$tmp/ca.cnf" <<END
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
O = AML Gateway
CN = AML Gateway development CA $(openssl rand -hex 4)
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    openssl req -new -x509 -sha256 -days "$ca_days" -config "$tmp/ca.cnf" \
        -key "$tmp/ca-key.pem" -out "$tmp/ca.pem" 2>"$tmp/log" ||
        fail "$(cat "$tmp/log")"
    chmod 0644 "$tmp/ca.pem"
    mv -f "$tmp/ca-key.pem" "$dir/ca-key.pem"
    mv -f "$tmp/ca.pem" "$dir/ca.pem"
    say "made a certificate authority, $dir/ca.pem"
}

wanted_names() { printf 'DNS:%s\n' "$@" | sort -u; }

names_of() {
    openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null |
        sed 1d | tr -d ' ' | tr ',' '\n' | sort -u
}

leaf_is_good() {
    belong_together "$dir/server.pem" "$dir/server-key.pem" &&
        openssl x509 -in "$dir/server.pem" -noout -checkend "$renew" \
            >/dev/null &&
        openssl verify -x509_strict -purpose sslserver \
            -CAfile "$dir/ca.pem" "$dir/server.pem" >/dev/null 2>&1 &&
        [ "$(names_of "$dir/server.pem")" = "$(wanted_names "$@")" ]
}

make_leaf() {
    new_key "$tmp/server-key.pem"
    {
        cat <<END
[req]
prompt = no
distinguished_name = name
[name]
O = AML Gateway
CN = AML Gateway development
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = @names
[names]
END
        printf '%s\n' "$@" | sort -u | sed '=' | sed 'N; s/^/DNS./; s/\n/ = /'
    } >"$tmp/leaf.cnf"

    openssl req -new -sha256 -config "$tmp/leaf.cnf" \
        -key "$tmp/server-key.pem" -out "$tmp/leaf.csr" 2>"$tmp/log" ||
        fail "$(cat "$tmp/log")"
    openssl x509 -req -sha256 -days "$leaf_days" -in "$tmp/leaf.csr" \
        -CA "$dir/ca.pem" -CAkey "$dir/ca-key.pem" \
        -set_serial "0x$(openssl rand -hex 16 | sed 's/^./4/')" \
        -extfile "$tmp/leaf.cnf" -extensions leaf \
        -out "$tmp/leaf.pem" 2>"$tmp/log" || fail "$(cat "$tmp/log")"

    cat "$tmp/leaf.pem" "$dir/ca.pem" >"$tmp/server.pem"
    chmod 0644 "$tmp/server.pem"
    mv -f "$tmp/server-key.pem" "$dir/server-key.pem"
    mv -f "$tmp/server.pem" "$dir/server.pem"
    say "made a certificate for $*"
}

ca_is_good || make_ca
leaf_is_good "$@" || make_leaf "$@"
