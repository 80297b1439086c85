# The demo: its processes.  Sourced by ./dev.
# shellcheck shell=bash
#
# State is in build/run/, or where AML_RUN says: nginx.conf and amld.conf (made at every start),
# registry/, state/ (instances), share/ (people's files), tls/ (the development
# authority), accounts/ (generated passwords) and demo.json.

RUN=${AML_RUN:-$ROOT/build/run}
RUN_NAME=${RUN#"$ROOT"/} # as people and scripts are told
AMLD=$ROOT/build/release/amld
NGINX=/usr/sbin/nginx
MODULE=$ROOT/build/release/nginx/ngx_http_aml_module.so

# The process `kind` (nginx or amld) of this demo, or nothing.  A number in a
# pid file may have become somebody else's: the program and what it was started
# with have to be ours, too.
our_pid() { # KIND
    local pid
    pid=$(cat "$RUN/$1.pid" 2> /dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    is_ours "$pid" "$1" || return 1
    printf '%s\n' "$pid"
}

is_ours() { # PID KIND
    local exe line
    exe=$(readlink "/proc/$1/exe" 2> /dev/null) || return 1
    exe=${exe% (deleted)}
    [ "${exe##*/}" = "$2" ] || return 1
    line=$(tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline") || return 1
    [[ $line == *"$RUN/$2.conf"* ]]
}

# What a killed run has left.  Workers of nginx keep their listening sockets
# when the master is gone, and no pid file names them; their working directory
# is ours (working_directory in nginx.conf).  An amld is known by its
# configuration file.
orphans() { # KIND
    local directory pid
    for directory in $(running "$1"); do
        pid=${directory#/proc/}
        case $1 in
        nginx)
            [ "$(readlink "$directory/cwd" 2> /dev/null)" != "$RUN/nginx" ] ||
                printf '%s\n' "$pid"
            ;;
        amld) ! is_ours "$pid" amld || printf '%s\n' "$pid" ;;
        esac
    done
}

# /proc directories of what runs a program, one a line.
running() { # PROGRAM…
    local directory exe program
    for directory in /proc/[0-9]*; do
        exe=$(readlink "$directory/exe" 2> /dev/null) || continue
        exe=${exe% (deleted)}
        for program in "$@"; do
            # shellcheck disable=SC2053
            [[ ${exe##*/} != $program ]] || printf '%s\n' "$directory"
        done
    done
}

# Instances: Python, SSH's listener, and amld as their shim, with a path of our
# state directory on the command line.
instance_processes() {
    local directory line
    for directory in $(running 'python*' socat amld); do
        line=$(tr '\0' ' ' 2> /dev/null < "$directory/cmdline") || continue
        [[ $line != *"$RUN/state/"* ]] || printf '%s\n' "${directory#/proc/}"
    done
}

demo_runs() {
    our_pid nginx > /dev/null && our_pid amld > /dev/null
}

# Waits until none of the processes is there, for at most SECONDS.
wait_gone() { # SECONDS PID…
    local rounds=$(($1 * 20)) pid alive
    shift
    while [ "$rounds" -gt 0 ]; do
        alive=
        for pid in "$@"; do
            if [ -d "/proc/$pid" ] &&
                ! grep -qs '^State:.Z' "/proc/$pid/status"; then
                alive=1
            fi
        done
        [ -n "$alive" ] || return 0
        sleep 0.05
        rounds=$((rounds - 1))
    done
    return 1
}

end_processes() { # SIGNAL SECONDS PID…
    local signal=$1 seconds=$2
    shift 2
    [ $# -gt 0 ] || return 0
    kill -s "$signal" "$@" 2> /dev/null || true
    wait_gone "$seconds" "$@" || {
        kill -s KILL "$@" 2> /dev/null || true
        wait_gone 5 "$@" || true
    }
}

end_nginx() {
    local pid
    # QUIT would wait for open websockets; a demo that is told to end, ends.
    if pid=$(our_pid nginx); then
        kill -s QUIT "$pid"
        wait_gone 2 "$pid" || end_processes TERM 5 "$pid"
    fi
    # shellcheck disable=SC2046
    end_processes TERM 5 $(orphans nginx)
    rm -f "$RUN/nginx.pid"
}

end_amld() {
    # shellcheck disable=SC2046
    end_processes TERM 15 $(orphans amld)
    rm -f "$RUN/amld.pid" "$RUN/amld.sock"
}

end_all() {
    demo_stop_instances
    end_nginx
    end_amld
    # Instances outlive amld; those that it could not be asked to stop (it was
    # killed, say) are ended here.
    # shellcheck disable=SC2046
    end_processes TERM 10 $(instance_processes)
}

# One ./dev run or stop at a time.
lock_run() {
    mkdir -p "$RUN"
    exec 9> "$RUN/lock"
    flock -n 9 || {
        say "Waiting for another ./dev run or stop …"
        flock -w 120 9 || fail "another ./dev run or stop is still at work"
    }
}

unlock_run() {
    exec 9>&-
}

# Starts a program of its own session, with signals as a login shell has them:
# what bash ignores for background jobs would stay ignored down to the kernels.
spawn() { # DIRECTORY LOG COMMAND…
    local directory=$1 log=$2
    shift 2
    (
        cd "$directory" || exit
        exec env --default-signal=INT,QUIT,PIPE setsid "$@" \
            < /dev/null >> "$log" 2>&1 9>&-
    ) &
    SPAWNED=$!
}

port_free() { # PORT
    ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

settings() {
    PORT=${AML_PORT:-$(cat "$RUN/port" 2> /dev/null || echo 8443)}
    if ! [[ $PORT =~ ^[0-9]{1,5}$ ]] || [ "$PORT" -gt 65535 ] ||
        [ "$PORT" -lt 1 ]; then
        fail "AML_PORT is not a port: $PORT" 2
    fi
    STUDIO_HOST=aml.localhost
    APPS=instances.aml.localhost
    STUDIO=https://$STUDIO_HOST:$PORT
    SUBSCRIPTION=00000000-0000-4000-8000-000000000001
    WORKSPACE=/subscriptions/$SUBSCRIPTION/resourceGroups/demo
    WORKSPACE+=/providers/Microsoft.MachineLearningServices/workspaces/demo
}

render() { # TEMPLATE FILE
    local user=
    [ "$(id -u)" -ne 0 ] || user="user root;"
    packaging/render.sh "packaging/$1" \
        "ROOT=$ROOT" "MODULE=$MODULE" "USER=$user" "UID=$(id -u)" \
        "RUN=$RUN" "LISTEN=127.0.0.1:$PORT" "PORT=:$PORT" \
        "STUDIO=$STUDIO_HOST" "APPS=$APPS" "ORIGIN=$STUDIO" \
        "CERT=$RUN/tls/server.pem" "KEY=$RUN/tls/server-key.pem" \
        "REGISTRY=$RUN/registry" "AMLD=$RUN/amld.sock" \
        "SUBSCRIPTION=$SUBSCRIPTION" "SHARE=$RUN/share" \
        "VENV=$ROOT/build/venv" > "$2.new" &&
        mv "$2.new" "$2"
}

# Runs where set -e does not reach (step asks for the status).
prepare_run() {
    (
        umask 077
        mkdir -p "$RUN/nginx" "$RUN/tls" "$RUN/state" "$RUN/share" \
            "$RUN/accounts"
    ) &&
        render nginx.conf.in "$RUN/nginx.conf" &&
        render amld.conf.in "$RUN/amld.conf" &&
        sh tls/dev-ca.sh "$RUN/tls" "$STUDIO_HOST" "*.$APPS" &&
        cp "$RUN/tls/ca.pem" "$RUN/ca.pem.new" &&
        chmod 644 "$RUN/ca.pem.new" &&
        mv "$RUN/ca.pem.new" "$RUN/ca.pem" &&
        printf '%s\n' "$PORT" > "$RUN/port"
}

start_amld() {
    rm -f "$RUN/amld.sock"
    spawn "$RUN" "$RUN/amld.log" "$AMLD" -c "$RUN/amld.conf"
    printf '%s\n' "$SPAWNED" > "$RUN/amld.pid"
    local rounds=200
    until [ -S "$RUN/amld.sock" ]; do
        if [ ! -d "/proc/$SPAWNED" ] || [ $((rounds -= 1)) -eq 0 ]; then
            echo "amld did not start:"
            tail -n 20 "$RUN/amld.log"
            return 1
        fi
        sleep 0.05
    done
}

start_nginx() {
    local -a command=("$NGINX" -p "$RUN/nginx/" -c "$RUN/nginx.conf"
        -e "$RUN/nginx/error.log")
    "${command[@]}" -t || return 1
    # nginx writes its pid file itself, after it has bound its port
    rm -f "$RUN/nginx.pid"
    spawn "$RUN/nginx" "$RUN/nginx/error.log" "${command[@]}" -g 'daemon off;'
    local rounds=100
    until our_pid nginx > /dev/null && ! port_free "$PORT"; do
        if [ ! -d "/proc/$SPAWNED" ] || [ $((rounds -= 1)) -eq 0 ]; then
            echo "nginx did not start:"
            tail -n 20 "$RUN/nginx/error.log"
            return 1
        fi
        sleep 0.05
    done
}

# Something that was built or installed since the start is used by the next.
outdated() {
    local file
    for file in "$AMLD" "$MODULE" build/venv/.made-from "$NGINX"; do
        [ ! "$file" -nt "$RUN/amld.pid" ] || return 0
    done
    [ "$(cat "$RUN/port" 2> /dev/null)" != "$PORT" ]
}

run_command() {
    local detach=
    while [ $# -gt 0 ]; do
        case $1 in
        --detach | -d) detach=1 ;;
        *) fail "run: unknown argument: $1" 2 ;;
        esac
        shift
    done
    settings
    # addresses of unix sockets have room for 107 bytes
    [ ${#RUN} -le 70 ] || fail "the path is too long for sockets below it:
$ROOT
Move the repository to a shorter one."
    need_packages run
    need_venv
    build_release
    lock_run

    if demo_runs && ! outdated; then
        say "It runs already."
    else
        trap 'echo; say "Interrupted: stopping."; end_all; exit 130' \
            INT TERM HUP
        if [ -n "$(orphans nginx)$(orphans amld)" ]; then
            step run-end "Ending the run before this one" end_gateway
        fi
        port_free "$PORT" || fail "port $PORT is taken by another program;
choose another one: AML_PORT=9443 ./dev run"
        step run-prepare "Making certificates and configuration" prepare_run
        if ! step run-accounts "Making the demo's accounts" demo_accounts ||
            ! step run-amld "Starting amld" start_amld ||
            ! step run-nginx "Starting nginx" start_nginx; then
            end_gateway
            exit 1
        fi
        if ! demo_make; then
            say "Logs: $RUN_NAME/amld.log, $RUN_NAME/nginx/error.log"
            end_all
            exit 1
        fi
        trap - INT TERM HUP
    fi
    demo_check || fail "the gateway does not answer; ./dev stop, then try again"
    demo_greet
    unlock_run
    [ -n "$detach" ] || follow
}

# nginx and amld only: instances go on and are adopted.
end_gateway() {
    end_nginx
    end_amld
}

# In the foreground: the logs, until Ctrl-C or until it is stopped.
follow() {
    local tail_pid
    say "Logs follow; Ctrl-C ends the demo."
    tail -q -n 0 -F "$RUN/amld.log" "$RUN/nginx/error.log" \
        "$RUN/nginx/access.log" 2> /dev/null &
    tail_pid=$!
    # shellcheck disable=SC2064
    trap "kill $tail_pid 2> /dev/null || true; echo; stop_command; exit 0" \
        INT TERM HUP
    while demo_runs; do
        sleep 1 &
        wait $! || true
    done
    kill "$tail_pid" 2> /dev/null || true
    [ -e "$RUN/amld.pid" ] || [ -e "$RUN/nginx.pid" ] || {
        say "It was stopped."
        return 0
    }
    say "amld or nginx has ended by itself; the end of their logs:"
    tail -n 10 "$RUN/amld.log" "$RUN/nginx/error.log"
    stop_command
    exit 1
}

stop_command() {
    [ -d "$RUN" ] || { say "Nothing runs."; return 0; }
    settings
    lock_run
    if [ -z "$(orphans nginx)$(orphans amld)$(instance_processes)" ]; then
        rm -f "$RUN/nginx.pid" "$RUN/amld.pid"
        say "Nothing runs."
    else
        step stop "Stopping the demo's instances, nginx and amld" end_all
    fi
    unlock_run
}

status_command() {
    no_arguments status "$@"
    settings
    local kind pid status=0
    for kind in nginx amld; do
        if pid=$(our_pid "$kind"); then
            say "$kind runs (pid $pid)"
        else
            say "$kind does not run"
            status=1
        fi
    done
    [ "$status" -ne 0 ] || demo_status || status=$?
    return "$status"
}
