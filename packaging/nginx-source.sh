#!/usr/bin/env bash
# Debian's nginx source, patched, into build/nginx-source: of the installed
# version, or where the mirror lacks that (a point release behind the security
# archive), of the newest revision of the same upstream version.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
installed=$(dpkg-query -W -f '${source:Version}' nginx)
[ "$(cat build/nginx-source/.for 2> /dev/null)" != "$installed" ] || exit 0

packaging/apt-private.sh update
versions=$(packaging/apt-private.sh cache madison nginx |
    awk '$NF == "Sources" { print $3 }' | sort -rV | uniq)
rm -rf build/nginx-source build/nginx-download
mkdir -p build/nginx-download
cd build/nginx-download
for version in "$installed" $versions; do
    [ "${version%-*}" = "${installed%-*}" ] || continue
    echo "nginx $version"
    if ../../packaging/apt-private.sh get source --download-only \
        "nginx=$version"; then
        dpkg-source -x ./*.dsc ../nginx-source
        rm -rf ../nginx-download
        printf '%s\n' "$installed" > ../nginx-source/.for
        exit 0
    fi
    rm -f ./*
done
echo "nginx-source.sh: no source of nginx ${installed%-*} is to be had" >&2
exit 1
