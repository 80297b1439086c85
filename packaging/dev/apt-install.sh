#!/usr/bin/env bash
# Installs Debian packages without starting or enabling their services:
#   apt-install.sh "SERVICE…" PACKAGE…          as root
set -euo pipefail

read -r -a services <<< "$1"
shift
policy=/usr/sbin/policy-rc.d
mark='# made by ./dev of AML Gateway while it installs packages'
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l

# Services that are here already are not ours to change.
fresh=()
for service in "${services[@]}"; do
    if [ ! -e "/etc/init.d/$service" ] &&
        [ ! -e "/lib/systemd/system/$service.service" ]; then
        fresh+=("$service")
    fi
done

remove_policy() {
    if [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then
        rm -f "$policy"
    fi
}

# A policy that exists is left alone, unless it is ours from a run that was
# killed.
trap remove_policy EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
    new=$(mktemp "$policy.XXXXXX")
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$new"
    chmod 755 "$new"
    ln "$new" "$policy" 2> /dev/null || true
    rm -f "$new"
fi

# Glewlwyd's package would set up a database server's database.
if printf '%s\n' "$@" | grep -qx glewlwyd; then
    echo 'glewlwyd glewlwyd/config_type select No configuration' |
        debconf-set-selections
fi

update() {
    apt-get update
}

install() {
    apt-get install -y --no-install-recommends "$@"
}

# The lists are fetched when there are none, or when they are so old that a
# package is not to be had any more.
if ! compgen -G '/var/lib/apt/lists/*_Packages*' > /dev/null; then
    update
    install "$@"
elif ! install "$@"; then
    update
    install "$@"
fi

for service in "${fresh[@]+"${fresh[@]}"}"; do
    [ -e "/etc/init.d/$service" ] ||
        [ -e "/lib/systemd/system/$service.service" ] || continue
    echo "disabling $service at boot: only its program is wanted"
    if command -v deb-systemd-helper > /dev/null; then
        deb-systemd-helper disable "$service.service" || true
    fi
    if command -v update-rc.d > /dev/null; then
        update-rc.d "$service" disable || true
    fi
done
