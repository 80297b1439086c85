# Installing what is missing.  Sourced by ./dev.
# shellcheck shell=bash

# Packages whose services must not run because a test wanted the program.
SERVICES="nginx apache2 apache-htcacheclean haproxy glewlwyd ssh tinyproxy"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo -- "$@"
    else
        fail "this needs root or sudo: $*"
    fi
}

# Packages of the lists that are not installed, one a line.
missing_packages() { # LIST…
    local list
    local -a lists=()
    for list in "$@"; do
        lists+=("packaging/packages/$list.txt")
    done
    local -a wanted=()
    local package command
    while read -r package command; do
        case $package in
        '' | '#'*) continue ;;
        esac
        if [ -n "$command" ] && command -v "$command" > /dev/null; then
            continue
        fi
        wanted+=("$package")
    done < <(sort -u "${lists[@]}")

    # one look at the database; packages it doesn't know are on stderr only
    comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) <(
        dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" \
            2> /dev/null | sed -n 's/ installed$//p' | sort -u
    )
}

need_packages() { # LIST…
    command -v dpkg-query > /dev/null ||
        fail "this needs Debian 12: dpkg-query is missing"
    local -a missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Missing Debian packages: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || fail "run as root, or install sudo:
    apt-get install ${missing[*]}"
        sudo -v || fail "sudo is needed to install: ${missing[*]}"
    fi
    step apt "Installing ${#missing[@]} Debian packages" \
        as_root bash packaging/dev/apt-install.sh "$SERVICES" "${missing[@]}"
}

# JupyterLab and what it needs, in a virtual environment of the project's own.
need_venv() {
    local hash
    hash=$(file_hash packaging/requirements.txt)-$(/usr/bin/python3 -V |
        tr -d ' ')-$ROOT
    [ "$(cat build/venv/.made-from 2> /dev/null)" != "$hash" ] || return 0
    step venv "Installing JupyterLab and Notebook into build/venv" make_venv
    printf '%s\n' "$hash" > build/venv/.made-from
}

make_venv() {
    rm -rf build/venv
    mkdir -p build
    /usr/bin/python3 -m venv build/venv &&
        build/venv/bin/pip install --disable-pip-version-check --no-input \
            --no-deps -r packaging/requirements.txt &&
        build/venv/bin/pip check
}

# npm packages of a directory with a package-lock.json.
need_npm() { # DIRECTORY
    [ -f "$1/package-lock.json" ] || return 0
    local hash
    hash=$(file_hash "$1/package-lock.json")
    [ "$(cat "$1/node_modules/.made-from" 2> /dev/null)" != "$hash" ] ||
        return 0
    step "npm-${1//\//-}" "Installing npm packages into $1/node_modules" \
        npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund
    mkdir -p "$1/node_modules"
    printf '%s\n' "$hash" > "$1/node_modules/.made-from"
}

# VS Code in the browser, for t/applications.  npm's package has parts that are
# compiled, and packages of its own below; it runs with one version of node only,
# and where that is missing, or its headers are, the tests are skipped.
need_code_server() {
    local where=t/applications/node_modules/code-server
    case $(node --version) in
    v20.*) ;;
    *)
        say "code-server needs node 20: t/applications is skipped"
        return 0
        ;;
    esac
    if [ ! -f /usr/include/node/node_api.h ]; then
        say "No headers of node: t/applications is skipped"
        return 0
    fi
    need_npm t/applications
    local hash
    hash=$(file_hash t/applications/package-lock.json)-$(node --version)
    [ "$(cat $where/.made-from 2> /dev/null)" != "$hash" ] || return 0
    step code-server "Compiling parts of code-server" make_code_server $where
    printf '%s\n' "$hash" > $where/.made-from
}

make_code_server() { # DIRECTORY
    local vscode=$1/lib/vscode name
    export npm_config_nodedir=/usr
    npm rebuild --prefix t/applications argon2 &&
        npm install --prefix "$vscode" --omit=dev --ignore-scripts --no-save \
            --no-audit --no-fund &&
        npm rebuild --prefix "$vscode" @vscode/spdlog native-watchdog ||
        return
    # what its scripts do after that wants packages that are not among them
    # shellcheck disable=SC2016 # npm says to the shell where that is
    (cd "$vscode/node_modules/node-pty" && npm exec --offline -c \
        '"$npm_config_node_gyp" rebuild') || return
    name=$vscode/node_modules/@vscode/ripgrep/bin
    mkdir -p "$name" && ln -sf "$(command -v rg)" "$name/rg"
}
