# Building.  Sourced by ./dev.
# shellcheck shell=bash

# The gateway, amld and the module: what ./dev run needs.
build_release() {
    step build "Building amld, aml and the module" \
        make -s -j "$(nproc)" amld aml module
}

build_tests() { # VARIANT
    if [ "$1" = asan ]; then
        step nginx-source "Fetching Debian's nginx source" \
            packaging/nginx-source.sh
        step build-asan "Building nginx, the module, amld and tests with sanitizers" \
            make -s -j "$(nproc)" VARIANT=asan \
            amld aml module tests
    else
        step build "Building amld, aml, the module and the tests" \
            make -s -j "$(nproc)" amld aml module tests
    fi
}

build_newer() { # VERSION
    step "nginx-$1" "Building the module against Debian's nginx-dev $1" \
        packaging/nginx-headers.sh "$1"
}

build_command() {
    local variant=release version=
    while [ $# -gt 0 ]; do
        case $1 in
        --asan) variant=asan ;;
        --nginx=?*) version=${1#*=} ;;
        *) fail "build: unknown argument: $1" 2 ;;
        esac
        shift
    done
    if [ "$variant" = asan ]; then
        need_packages run test
        build_tests asan
    elif [ -n "$version" ]; then
        need_packages run test
        build_newer "$version"
    else
        need_packages run
        build_release
    fi
}

clean_command() {
    no_arguments clean "$@"
    if demo_runs; then
        fail "the demo runs from here; ./dev stop ends it"
    fi
    [ -d build ] || return 0
    find build -mindepth 1 -maxdepth 1 ! -name run -exec rm -rf {} +
    rm -rf t/browser/node_modules t/providers/node_modules \
        t/sdk/node_modules bench/node_modules
    if [ -d build/run ]; then
        say "The demo's accounts and files are kept in build/run."
    fi
}
