#!/usr/bin/env bash
# Compiles the module against the nginx-dev packages of Debian's newer
# releases, which are unpacked and not installed:
#   packaging/nginx-headers.sh 1.26 1.30
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

fetch() { # VERSION DIRECTORY
    local full
    packaging/apt-private.sh update
    full=$(packaging/apt-private.sh cache madison nginx-dev |
        awk -v wanted="$1." '$4 == "|" || $2 == "|" {
            if (index($3, wanted) == 1) { print $3; exit } }')
    [ -n "$full" ] || {
        echo "nginx-headers.sh: Debian has no nginx-dev $1 now; it has:" >&2
        packaging/apt-private.sh cache madison nginx-dev >&2
        return 1
    }
    rm -rf "$2" "$2.new"
    mkdir -p "$2.new"
    (
        cd "$2.new"
        ../../../packaging/apt-private.sh get download "nginx-dev=$full"
        dpkg -x ./*.deb .
        rm ./*.deb
    )
    mv "$2.new" "$2"
    echo "nginx-dev $full"
}

for version in "$@"; do
    headers=build/nginx-headers/$version
    [ -d "$headers" ] || fetch "$version" "$headers"
    make -s module \
        NGINX_SRC="$PWD/$headers/usr/share/nginx/src" \
        NGINX_OUT="build/nginx-$version"
    echo "the module builds against nginx $version"
done
