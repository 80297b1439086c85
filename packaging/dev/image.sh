# The instance image of the engine podman.  Sourced by ./dev.
# shellcheck shell=bash
#
# No container registry is asked.  mmdebstrap makes a base of the machine's own
# Debian mirror, podman takes it, packaging/image/Containerfile goes on from
# there, with the machine's own configuration of pip.  Both are made anew only
# when what they are made of has changed: an image knows its inputs' hash.

IMAGE=localhost/aml-instance
IMAGE_BASE=localhost/aml-base
IMAGE_DIR=build/image

# Bind mounts and user namespaces of others; podman is root's here.
image_podman() {
    as_root podman "$@"
}

# What an image of ours was made from, or nothing.
image_hash() { # IMAGE
    image_podman image inspect --format \
        '{{index .Config.Labels "aml.inputs"}}' "$1" 2> /dev/null || true
}

# Names and contents of everything that an image is made of.
image_inputs() { # FILE…
    local file
    for file in "$@"; do
        printf '%s ' "$file"
        sha256sum < "$file"
    done | sha256sum | cut -d ' ' -f 1
}

image_list() { # FILE…: packages, one a line
    sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$@" | sort -u
}

# Of the machine's Debian, as one-line sources.
image_sources() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' \
        'Created-By: Packages' | awk -F '|' '
        $1 == "Debian" && $4 == "main" { print "deb " $2 " " $3 " " $4 }' |
        sort -u
}

# How the machine reaches its mirror, as options of mmdebstrap.
image_apt_options() {
    apt-config dump 2> /dev/null |
        sed -nE 's/^(Acquire::https?::([^ ]*::)?(Proxy|CaInfo|Verify-Peer) .*)/--aptopt=\1/p'
}

image_make_base() { # HASH SOURCE…
    local hash=$1 tar=$ROOT/$IMAGE_DIR/base.tar
    local -a options=() packages=()
    shift
    mkdir -p "$IMAGE_DIR"
    mapfile -t options < <(image_apt_options)
    mapfile -t packages < <(image_list "${lists[@]}")
    # shellcheck disable=SC2016
    as_root mmdebstrap --variant=minbase --mode=root --format=tar \
        --include="$(IFS=,; echo "${packages[*]}")" \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --aptopt='APT::Install-Recommends "false"' \
        "${options[@]+"${options[@]}"}" \
        --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' \
        --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
        --customize-hook='sed -i -E "s#//[^/@ ]+@#//#" \
            "$1"/etc/apt/sources.list' \
        --customize-hook=': > "$1"/etc/machine-id' \
        --customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname' \
        "$VERSION_CODENAME" "$tar" "$@" || return
    image_podman import --change "LABEL aml.inputs=$hash" "$tar" \
        "$IMAGE_BASE:$variant" || return
    as_root rm -f "$tar"
}

# What the build may use of this machine, mounted at /mnt: its authorities, how
# it reaches package indexes.  Nobody else may read it, and nothing stays.
# Volumes for directories of wheels are added to `wheels`.
image_environment() {
    local directory=$IMAGE_DIR/machine name line option
    local -a links=()
    rm -rf "$directory"
    mkdir -p "$directory" "$IMAGE_DIR/cache"
    chmod 700 "$directory"
    cp /etc/ssl/certs/ca-certificates.crt "$directory/ca.pem"
    [ -x "$IMAGE_DIR/pip/bin/pip" ] ||
        /usr/bin/python3 -m venv "$IMAGE_DIR/pip" || return
    {
        # files first, what the environment says after them
        "$IMAGE_DIR/pip/bin/pip" config list | grep -v '^:env:' |
            while IFS= read -r line; do
                option=${line%%=*}
                option=${option#*.}
                option=${option^^}
                printf 'export PIP_%s=%s\n' "${option//-/_}" "${line#*=}"
            done
        for name in $(compgen -e | grep -E '^PIP_'); do
            [ "$name" = PIP_FIND_LINKS ] ||
                printf 'export %s=%q\n' "$name" "${!name}"
        done
        # directories of wheels are in /mnt, too
        for name in ${PIP_FIND_LINKS:-}; do
            if [ -d "$name" ]; then
                mkdir -p "$directory/wheels/${#wheels[@]}"
                links+=("/mnt/wheels/${#wheels[@]}")
                wheels+=("--volume=$name:${links[-1]}:ro")
            else
                links+=("$name")
            fi
        done
        [ ${#links[@]} -eq 0 ] ||
            printf 'export PIP_FIND_LINKS=%q\n' "${links[*]}"
        printf '%s\n' 'export PIP_CONFIG_FILE=/dev/null PIP_CERT=/mnt/ca.pem' \
            'export PIP_CACHE_DIR=/media PIP_DISABLE_PIP_VERSION_CHECK=1' \
            'export DEBIAN_FRONTEND=noninteractive' \
            'aml_apt() { apt-get -o Acquire::https::CaInfo=/mnt/ca.pem "$@"; }'
    } > "$directory/environment"
}

# Podman asks for limits that a machine may not allow.  Those of processes can't
# be above 32768, which podman takes for itself.
image_limits() {
    local files processes
    files=$(ulimit -Hn)
    processes=$(ulimit -Hu)
    [ "$files" = unlimited ] || printf '%s\n' "--ulimit=nofile=$files:$files"
    if [ "$processes" = unlimited ] || [ "$processes" -gt 32768 ]; then
        processes=32768
    fi
    printf '%s\n' "--ulimit=nproc=$processes:$processes"
}

# The first OCI runtime that runs here; crun 1.8 needs cgroup v2.
image_runtime() { # IMAGE
    local runtime
    for runtime in crun runc; do
        command -v "$runtime" > /dev/null || continue
        if image_podman --runtime "$runtime" run --rm --network none \
            "${limits[@]+"${limits[@]}"}" "$1" true > /dev/null 2>&1; then
            echo "$runtime"
            return 0
        fi
    done
    echo "neither crun nor runc starts a container here:" >&2
    image_podman run --rm --network none \
        "${limits[@]+"${limits[@]}"}" "$1" true >&2
    return 1
}

image_build() { # TAG FILE CONTEXT OPTION…
    local tag=$1 file=$2 context=$3 runtime
    local -a limits=() wheels=()
    shift 3
    mapfile -t limits < <(image_limits)
    runtime=$(image_runtime "$IMAGE_BASE:$variant") || return
    image_environment || return
    image_podman --runtime "$runtime" build --network host --format oci \
        --pull=never "${limits[@]+"${limits[@]}"}" \
        --volume "$ROOT/$IMAGE_DIR/machine:/mnt:ro" \
        --volume "$ROOT/$IMAGE_DIR/cache:/media" \
        "${wheels[@]+"${wheels[@]}"}" "$@" \
        --tag "$tag" --file "$file" "$context"
}

# Everything that the Containerfile copies, in one place.
image_context() { # [DEB…]
    local context=$IMAGE_DIR/context
    rm -rf "$context"
    mkdir -p "$context/requirements" "$context/extra"
    cp -R packaging/image/files "$context/files"
    chmod -R u=rwX,go=rX "$context/files"
    cat "${requirements[@]}" > "$context/requirements/python.txt"
    [ "$variant" != full ] || cp packaging/image/requirements-azure.txt \
        "$context/requirements/azure.txt"
    [ $# -eq 0 ] || cp "$@" "$context/extra/"
}

# The image that was tagged so before is not wanted any more; instances that
# run keep it.
image_forget() { # IMAGE-ID TAG
    [ -n "$1" ] || return 0
    [ "$(image_podman image inspect --format '{{.Id}}' "$2")" = "$1" ] ||
        image_podman image rm "$1" > /dev/null 2>&1 || true
}

image_id() { # TAG
    image_podman image inspect --format '{{.Id}}' "$1" 2> /dev/null || true
}

# Makes the image where it is missing or made of something else.
need_image() { # standard|full TAG [DEB…]
    local variant=$1 tag=$2 hash base before
    local -a lists=(packaging/image/packages.txt) sources=()
    local -a requirements=(packaging/requirements.txt
        packaging/image/requirements.txt)
    shift 2
    if [ "$variant" = full ]; then
        lists+=(packaging/image/packages-full.txt)
        requirements=(packaging/image/requirements-full.txt)
    fi
    need_packages run image
    # shellcheck source=/dev/null
    . /etc/os-release
    mapfile -t sources < <(image_sources)
    [ ${#sources[@]} -gt 0 ] ||
        fail "image: apt knows no mirror of Debian; apt-get update, then again"

    hash=$({
        image_list "${lists[@]}"
        declare -f image_make_base
        echo "$VERSION_CODENAME"
    } | sha256sum | cut -d ' ' -f 1)
    if [ -n "$fresh" ] || [ "$(image_hash "$IMAGE_BASE:$variant")" != "$hash" ]; then
        before=$(image_id "$IMAGE_BASE:$variant")
        step image-base "Making a base of $(image_list "${lists[@]}" | wc -l) Debian packages and what they need" \
            image_make_base "$hash" "${sources[@]}" || return
        image_forget "$before" "$IMAGE_BASE:$variant"
    fi

    base=$(image_id "$IMAGE_BASE:$variant")
    hash=$({
        image_inputs packaging/image/Containerfile packaging/dev/image.sh \
            "${requirements[@]}" packaging/image/requirements-azure.txt "$@"
        (cd packaging/image && find files -type f -print0 | sort -z |
            xargs -0 sha256sum)
        echo "$base"
    } | sha256sum | cut -d ' ' -f 1)
    if [ "$(image_hash "$tag")" = "$hash" ]; then
        return 0
    fi
    image_context "$@"
    before=$(image_id "$tag")
    step image "Installing Python packages, and building $tag" \
        image_build "$tag" packaging/image/Containerfile "$IMAGE_DIR/context" \
        --build-arg BASE="$IMAGE_BASE:$variant" \
        --label aml.inputs="$hash" || return
    image_forget "$before" "$tag"
}

image_command() {
    local variant=standard tag='' from='' fresh='' base size before
    local -a debs=()
    while [ $# -gt 0 ]; do
        case $1 in
        --full) variant=full ;;
        --fresh) fresh=1 ;;
        --tag | --from | --deb)
            [ $# -gt 1 ] || fail "image: $1 needs a value" 2
            case $1 in
            --tag) tag=$2 ;;
            --from) from=$2 ;;
            --deb) debs+=("$2") ;;
            esac
            shift
            ;;
        --tag=?*) tag=${1#*=} ;;
        --from=?*) from=${1#*=} ;;
        --deb=?*) debs+=("${1#*=}") ;;
        *) fail "image: unknown argument: $1" 2 ;;
        esac
        shift
    done
    local file
    for file in "${debs[@]+"${debs[@]}"}" ${from:+"$from"}; do
        [ -f "$file" ] || fail "image: there is no $file" 2
    done
    if [ -n "$tag" ] && [[ ! $tag =~ ^[a-z0-9][a-z0-9._/:-]*$ ]]; then
        fail "image: not a name of an image: $tag" 2
    fi
    case $tag in
    */*) ;;
    ?*) tag=localhost/$tag ;;
    esac

    base=$IMAGE
    [ "$variant" = standard ] || base=$IMAGE:full
    if [ -n "$from" ]; then
        [ -n "$tag" ] || fail "image: --from needs --tag" 2
    elif [ -n "$tag" ]; then
        base=$tag
    fi
    need_image "$variant" "$base" "${debs[@]+"${debs[@]}"}" || exit
    if [ -n "$from" ]; then
        before=$(image_id "$tag")
        step image-from "Building $tag from $from" \
            image_build "$tag" "$from" "$(dirname "$from")" \
            --build-arg BASE="$base" || exit
        image_forget "$before" "$tag"
        base=$tag
    fi
    size=$(image_podman image inspect --format '{{.Size}}' "$base")
    say "$base is there: $((size / 1000000)) MB. In amld's configuration:

    engine = \"podman\"
    podman {
        image = \"$base\"
    }"
}
