# Saying what is done.  Sourced by ./dev.
# shellcheck shell=bash

LOG=build/log
VERBOSE=${AML_VERBOSE:-}

fail() { # MESSAGE [STATUS]
    printf './dev: %s\n' "$1" >&2
    exit "${2:-1}"
}

say() {
    printf '%s\n' "$*"
}

# No options and no arguments are expected.
no_arguments() { # COMMAND ARGUMENT…
    [ $# -eq 1 ] || fail "$1: unexpected argument: $2" 2
}

# step NAME MESSAGE COMMAND…: runs COMMAND with its output in
# build/log/NAME.log; one line that says what is done and how long it took.
# The end of the log is shown when it fails, and the status is COMMAND's.
step() {
    local log=$LOG/$1.log message=$2 start=$SECONDS status=0
    shift 2
    mkdir -p "$LOG"
    if [ -n "$VERBOSE" ]; then
        say "$message"
        "$@" < /dev/null 2>&1 | tee "$log" || status=$?
    else
        printf '%s … ' "$message"
        "$@" > "$log" 2>&1 < /dev/null || status=$?
    fi
    if [ "$status" -eq 0 ]; then
        say "$((SECONDS - start)) s"
        return 0
    fi
    say "failed after $((SECONDS - start)) s"
    if [ -z "$VERBOSE" ]; then
        say "--- the end of $log:"
        tail -n 20 "$log"
        say "---"
    fi
    return "$status"
}

file_hash() { # FILE…
    cat "$@" | sha256sum | cut -d ' ' -f 1
}
