# Checking.  Sourced by ./dev.
# shellcheck shell=bash

MOST_LINES=900

lint_command() {
    no_arguments lint "$@"
    need_packages run lint
    local failed=()
    lint_step format "Checking the format of C" lint_format
    lint_step lines "Checking that no file has over $MOST_LINES lines" \
        lint_lines
    lint_step shellcheck "Checking shell scripts" lint_shell
    lint_step perl "Checking that Perl compiles" lint_perl
    lint_step gcc "Building all with gcc" \
        make -s -k -j "$(nproc)" amld aml module tests
    lint_step clang "Building all with clang" \
        make -s -k -j "$(nproc)" VARIANT=clang CC=clang \
        amld aml tests
    lint_step tidy "Running clang-tidy" lint_tidy
    lint_step cppcheck "Running cppcheck" lint_cppcheck
    [ ${#failed[@]} -eq 0 ] || fail "lint: failed: ${failed[*]}"
    say "Nothing found."
}

# All checks run, also after one has failed.
lint_step() { # NAME MESSAGE COMMAND…
    local name=$1
    shift
    step "lint-$name" "$@" || failed+=("$name")
}

# Our own files of a kind: build/ and what npm brings are others'.
source_files() { # FIND-EXPRESSION…
    find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune \
        -o -type f \( "$@" \) -print | sed 's#^\./##' | sort
}

c_files() {
    source_files -name '*.c' -o -name '*.h'
}

lint_format() {
    c_files | xargs clang-format --dry-run -Werror
}

lint_lines() {
    local long
    long=$(source_files -name '*.[ch]' -o -name '*.sh' -o -name '*.p[lm]' \
        -o -name '*.t' -o -name '*.m*js' -o -name '*.py' -o -name dev |
        xargs wc -l | awk -v most="$MOST_LINES" \
        '$2 != "total" && $1 > most { print $2 ": " $1 " lines" }')
    [ -z "$long" ] || { echo "$long"; return 1; }
}

lint_shell() {
    {
        source_files -name '*.sh' -o -path ./dev -o -name '*.bash'
        echo .ci/run
    } | xargs shellcheck -x
}

# Only where the tests' modules are installed; ./dev test needs them anyway.
lint_perl() {
    local file status=0
    perl -MMojolicious -MCrypt::JWT -e 1 2> /dev/null || {
        echo "Perl modules of t/ are not installed, nothing was checked"
        return 0
    }
    while read -r file; do
        perl -It/lib -Ibench/lib -c "$file" 2>&1 | grep -v 'syntax OK$' || true
        [ "${PIPESTATUS[0]}" -eq 0 ] || status=1
    done < <(source_files -name '*.t' -o -name '*.pm' -o -name '*.pl')
    return "$status"
}

core_flags() {
    pkg-config --cflags jansson lmdb libcrypto libssl libmicrohttpd \
        libconfuse libjwt libcurl
    echo -std=c11 -D_GNU_SOURCE -I.
}

# nginx's headers are not ours to warn about.
module_flags() {
    local src=/usr/share/nginx/src/src directory
    for directory in core event event/modules event/quic os/unix http \
        http/modules http/v2; do
        [ ! -d "$src/$directory" ] || echo "-isystem $src/$directory"
    done
    echo "-isystem build/release/nginx -I. -std=gnu11 -D_GNU_SOURCE"
}

# Several files a process; the flags come behind "--".
tidy() { # FLAG… <FILES
    # shellcheck disable=SC2016
    xargs -P "$(nproc)" -n 4 sh -c '
        n=$1; shift
        flags=; while [ "$n" -gt 0 ]; do flags="$flags $1"; shift; n=$((n - 1)); done
        exec clang-tidy --quiet "$@" -- $flags' sh "$#" "$@"
}

lint_tidy() {
    local status=0
    local -a flags
    read -r -d '' -a flags < <(core_flags) || true
    # cmocka's assertions end a test by longjmp(), which the analyser does not
    # know; tests and measurements are left to both compilers and sanitizers.
    source_files -name '*.c' | grep -v '^ngx_aml_module/\|^t/\|^bench/' |
        tidy "${flags[@]}" -Wall -Wextra -Wshadow || status=1
    read -r -d '' -a flags < <(module_flags) || true
    source_files -name '*.c' | grep '^ngx_aml_module/' |
        tidy "${flags[@]}" -Wall -Wextra -Wno-unused-parameter || status=1
    return "$status"
}

lint_cppcheck() {
    # The preprocessor can't see into nginx or a library; their macros would
    # be noise.
    c_files | grep -v '^t/\|^bench/' | grep '\.c$' |
        xargs cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
            --enable=warning,performance,portability -I. -j "$(nproc)" \
            --suppress=missingInclude --suppress=unknownMacro \
            --suppress=missingIncludeSystem -D_GNU_SOURCE
}
