# Testing, measuring, fuzzing.  Sourced by ./dev.
# shellcheck shell=bash

# What t/lib and bench/ take from the environment.
test_environment() { # VARIANT
    export AML_VARIANT=$1
    export AML_AMLD=$ROOT/build/$1/amld
    export AML_MODULE=$ROOT/build/$1/nginx/ngx_http_aml_module.so
    export AML_NGINX=/usr/sbin/nginx
    export AML_VENV=$ROOT/build/venv
    [ "$1" != asan ] || AML_NGINX=$ROOT/build/asan/nginx/nginx
    export ASAN_OPTIONS=detect_odr_violation=0:abort_on_error=0
    export UBSAN_OPTIONS=print_stacktrace=1
    export LSAN_OPTIONS=suppressions=$ROOT/t/lsan.supp:print_suppressions=0
    # *.localhost is here, whatever proxy the machine has for the world
    export no_proxy=localhost,.localhost,127.0.0.1
    export NO_PROXY=$no_proxy
}

# The programs to run for a path that a person names, one a line.
expand_tests() { # VARIANT PATH
    local path=${2#./}
    path=${path#"$ROOT"/}
    path=${path%/}
    case $path in
    t)
        expand_tests "$1" t/unit
        expand_tests "$1" t/integration
        expand_tests "$1" t/sdk
        expand_tests "$1" t/browser
        expand_tests "$1" t/applications
        expand_tests "$1" t/podman
        # what ./dev run starts is never built with sanitizers
        [ "$1" = asan ] || expand_tests "$1" t/demo
        ;;
    t/unit)
        local source
        for source in t/unit/test_*.c; do
            [ ! -e "$source" ] || expand_tests "$1" "$source"
        done
        ;;
    t/unit/test_*.c | t/unit/test_*)
        local name=${path##*/}
        [ -f "t/unit/${name%.c}.c" ] || fail "test: there is no $2" 2
        echo "build/$1/t/${name%.c}"
        ;;
    *)
        if [ -d "$path" ]; then
            find "$path" -name node_modules -prune -o -name '*.t' -print | sort
        elif [ -f "$path" ]; then
            echo "$path"
        else
            fail "test: there is no $2" 2
        fi
        ;;
    esac
}

test_command() {
    local variant=release again=
    local -a paths=()
    while [ $# -gt 0 ]; do
        case $1 in
        --asan) variant=asan ;;
        --again) again=1 ;;
        -*) fail "test: unknown option: $1" 2 ;;
        *) paths+=("$1") ;;
        esac
        shift
    done
    [ ${#paths[@]} -gt 0 ] || paths=(t)

    local path found
    local -a tests=()
    for path in "${paths[@]}"; do
        found=$(expand_tests "$variant" "$path") || exit
        [ -n "$found" ] || continue
        mapfile -t -O ${#tests[@]} tests <<< "$found"
    done
    [ ${#tests[@]} -gt 0 ] || fail "no tests in ${paths[*]}"

    need_packages run test
    if printf '%s\n' "${tests[@]}" | grep -q '\.t$'; then
        need_venv
        need_npm t/providers
    fi
    if printf '%s\n' "${tests[@]}" | grep -q '^t/\(browser\|applications\)/'; then
        need_npm t/browser
    fi
    if printf '%s\n' "${tests[@]}" | grep -q '^t/applications/'; then
        need_code_server
    fi
    if printf '%s\n' "${tests[@]}" | grep -q '^t/sdk/'; then
        need_npm t/sdk
    fi
    if printf '%s\n' "${tests[@]}" | grep -q '^t/podman/'; then
        if [ "$(id -u)" -eq 0 ]; then
            fresh='' need_image standard "$IMAGE" || exit
        else
            say "t/podman is skipped: the engine podman needs root."
        fi
    fi
    build_tests "$variant"
    test_environment "$variant"
    say "Running ${#tests[@]} test programs ($variant)"
    local state="build/log/prove-$variant"
    rm -f "$state"
    prove -j2 --timer -It/lib ${VERBOSE:+-v} --statefile "$state" \
        --state=save "${tests[@]}" && return
    [ -n "$again" ] || return 1
    say "Once more, alone, what failed. What now succeeds is unsteady: mend it."
    prove --timer -It/lib -v --statefile "$state" --state=failed
}

# bench/NAME or bench/NAME.*; all of them without a name.
bench_programs() { # NAME…
    local name file found
    if [ $# -eq 0 ]; then
        find bench -maxdepth 1 -type f -perm -u+x 2> /dev/null | sort
    fi
    for name in "$@"; do
        name=${name#bench/}
        found=
        for file in "bench/$name" "bench/$name".*; do
            if [ -f "$file" ] && [ -x "$file" ]; then
                found=$file
                break
            fi
        done
        [ -n "$found" ] || fail "bench: there is no $name; there are: $(
            bench_programs | sed 's#bench/##; s/\..*//' | tr '\n' ' ')" 2
        echo "$found"
    done
}

bench_command() {
    local found program
    local -a programs
    found=$(bench_programs "$@") || exit
    [ -n "$found" ] || fail "bench: there is nothing to measure in bench/"
    mapfile -t programs <<< "$found"
    need_packages run test bench
    need_venv
    need_npm bench
    build_tests release
    test_environment release
    for program in "${programs[@]}"; do
        say "Running $program"
        "./$program" < /dev/null
    done
}

# t/fuzz/fuzz_*.c, one after the other, with what they found before.
fuzz_command() {
    local seconds=${1:-60} source name found=0
    [ $# -le 1 ] || fail "fuzz: unexpected argument: $2" 2
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "fuzz: not seconds: $seconds" 2
    need_packages run fuzz
    step build-fuzz "Building the fuzzers" \
        make -s -j "$(nproc)" VARIANT=fuzz CC=clang fuzzers
    export UBSAN_OPTIONS=print_stacktrace=1
    for source in t/fuzz/fuzz_*.c; do
        [ -e "$source" ] || continue
        name=${source##*/}
        name=${name%.c}
        found=$((found + 1))
        mkdir -p "build/corpus/$name"
        step "$name" "Fuzzing with $name for $seconds s" \
            "build/fuzz/t/$name" -max_total_time="$seconds" -timeout=10 \
            -rss_limit_mb=2048 -artifact_prefix="build/corpus/$name-" \
            "build/corpus/$name" t/fuzz/corpus ||
            fail "$name found something: build/corpus/$name-*"
    done
    [ "$found" -gt 0 ] || fail "fuzz: there is nothing in t/fuzz"
    say "$found fuzzers found nothing."
}
