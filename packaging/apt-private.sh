#!/usr/bin/env bash
# apt with lists of its own under build/apt, from the mirror that this machine
# uses for Debian; nothing of the system changes and no root is needed.
#   packaging/apt-private.sh update            fetch lists older than a day
#   packaging/apt-private.sh get ARGUMENT…     apt-get
#   packaging/apt-private.sh cache ARGUMENT…   apt-cache
# It knows this release's sources, and trixie, forky and sid for newer nginx.
set -euo pipefail
# the working directory stays: apt-get writes what it downloads there
root=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")/build/apt
mkdir -p "$root/lists/partial" "$root/archives/partial"
touch "$root/status"
newer="trixie forky sid"

# Origin, URI, suite and components of what this machine uses.
sources() {
    # shellcheck disable=SC2016
    apt-get indextargets 'Created-By: Packages' \
        --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)'
}

write_sources() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg suite mirror
    sources | awk -v keys="$keys" '$1 == "Debian" && $4 == "main" {
        print "deb-src [signed-by=" keys "] " $2, $3, $4 }' | sort -u \
        > "$root/sources.new"
    [ -s "$root/sources.new" ] || {
        echo "apt-private.sh: no Debian source is configured and updated" >&2
        return 1
    }
    # the archive itself, not its security or updates part
    mirror=$(sources | awk '$1 == "Debian" && $3 !~ /-/ { print $2; exit }')
    for suite in $newer; do
        echo "deb [signed-by=$keys] $mirror $suite main"
    done >> "$root/sources.new"
    mv "$root/sources.new" "$root/sources.list"
}

# Read last, over the machine's own settings (proxies and the like stay).
cat > "$root/apt.conf" << EOF
Dir::State "$root";
Dir::State::Lists "$root/lists";
Dir::State::status "$root/status";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "root";
APT::Architecture "$(dpkg --print-architecture)";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
EOF

command=$1
shift
case $command in
update)
    stamp=$root/updated
    if [ -z "$(find "$stamp" -mmin -1440 2> /dev/null)" ]; then
        write_sources
        APT_CONFIG=$root/apt.conf apt-get update
        touch "$stamp"
    fi
    ;;
get | cache) APT_CONFIG=$root/apt.conf exec "apt-$command" "$@" ;;
esac
