# The demo: its accounts, its instance, and whether they answer.  Sourced by
# ./dev.
# shellcheck shell=bash

INSTANCE=first-lab
DEMO_USERS="creator:Contributor colleague:Contributor reader:Reader"

amld() {
    "$AMLD" -c "$RUN/amld.conf" "$@"
}

# Accounts and roles, before amld runs.  A password is written down before it
# is set, and an account is finished when its .done file is there: a first
# start that was cut short goes on where it was.
demo_accounts() {
    local user name role file have=""
    if [ -e "$RUN/registry/data.mdb" ]; then
        have=$(amld account list) || return 1
    fi
    for user in $DEMO_USERS; do
        name=${user%:*}
        role=${user#*:}
        file=$RUN/accounts/$name
        if [ ! -s "$file" ]; then
            rm -f "$file.done"
            (
                umask 077
                new_password > "$file.new" && mv "$file.new" "$file"
            ) || return 1
        fi
        if ! grep -qw "^$name" <<< "$have"; then
            rm -f "$file.done"
            amld account add "$name" --password-stdin < "$file" || return 1
        elif [ ! -e "$file.done" ]; then
            amld account password "$name" --password-stdin < "$file" ||
                return 1
        fi
        if [ ! -e "$file.done" ]; then
            amld role assign --account "$name" --role "$role" \
                --scope "$WORKSPACE" || return 1
            touch "$file.done"
        fi
    done
}

# 24 letters and digits, over 120 bits; without those that look alike.
new_password() {
    local password
    password=$(head -c 512 /dev/urandom | LC_ALL=C tr -dc 'a-km-zA-HJ-NP-Z2-9' |
        cut -c 1-24)
    [ ${#password} -eq 24 ] && printf '%s\n' "$password"
}

# curl to the gateway; what is secret comes on standard input (-K -), since
# everyone can read a command line.
gateway() { # CURL-ARGUMENT…
    curl --silent --show-error --noproxy '*' --max-time 20 \
        --cacert "$RUN/ca.pem" -K - "$@"
}

demo_token() { # USER
    local answer
    answer=$(printf 'user = "%s:%s"\n' "$1" "$(cat "$RUN/accounts/$1")" |
        gateway --fail -X POST "$STUDIO/auth/token") || return 1
    answer=${answer#*\"access_token\"*:*\"}
    TOKEN=${answer%%\"*}
    [ -n "$TOKEN" ]
}

# api METHOD PATH [BODY]: the body in $ANSWER, the status in $STATUS.
api() {
    local url="$STUDIO$2?api-version=2022-10-01"
    local -a more=()
    [ $# -lt 3 ] || more=(-H 'Content-Type: application/json' --data "$3")
    STATUS=000
    ANSWER=$(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" |
        gateway -X "$1" -w '\n%{http_code}' "${more[@]}" "$url") || return 1
    STATUS=${ANSWER##*$'\n'}
    ANSWER=${ANSWER%$'\n'*}
}

# The state of the instance; none when it doesn't exist.
instance_state() { # NAME
    api GET "$WORKSPACE/computes/$1" || return 1
    case $STATUS in
    404) printf 'none\n' ;;
    200)
        grep -o '"state": *"[A-Za-z]*"' <<< "$ANSWER" | head -n 1 |
            cut -d '"' -f 4
        ;;
    *)
        echo "$STATUS $ANSWER" >&2
        return 1
        ;;
    esac
}

# Through the control API, as anybody would.
demo_instance() {
    local state rounds=240 asked=
    demo_token creator || return 1
    while [ "$rounds" -gt 0 ]; do
        state=$(instance_state "$INSTANCE") || return 1
        echo "$INSTANCE is $state"
        case $state in
        Running) return 0 ;;
        none)
            api PUT "$WORKSPACE/computes/$INSTANCE" '{"location":"local",
                "properties":{"computeType":"ComputeInstance",
                "properties":{"vmSize":"STANDARD_DS3_V2"}}}' || return 1
            ;;
        Stopped)
            api POST "$WORKSPACE/computes/$INSTANCE/start" || return 1
            ;;
        *Failed | Unusable)
            echo "$ANSWER"
            [ -z "$asked" ] || return 1
            asked=1
            api POST "$WORKSPACE/computes/$INSTANCE/start" || return 1
            ;;
        *) STATUS=200 ;;
        esac
        case $STATUS in
        20*) ;;
        *)
            echo "$STATUS $ANSWER"
            return 1
            ;;
        esac
        sleep 0.25
        rounds=$((rounds - 1))
    done
    echo "$INSTANCE is still $state after 60 s"
    return 1
}

demo_make() {
    step run-instance "Starting the compute instance $INSTANCE" \
        demo_instance && write_demo_json
}

write_demo_json() {
    local user users="" separator=""
    rm -f "$RUN/demo.json.new"
    for user in $DEMO_USERS; do
        users+="$separator{\"name\":\"${user%:*}\",\"password\":\"$(
            cat "$RUN/accounts/${user%:*}")\",\"roles\":[\"${user#*:}\"]}"
        separator=,
    done
    (
        umask 077
        exec > "$RUN/demo.json.new"
        printf '{"studio":"%s","apps":"%s","ca":"%s/ca.pem",' \
            "$STUDIO" "$APPS:$PORT" "$RUN_NAME"
        printf '"workspace":"%s","users":[%s],' "$WORKSPACE" "$users"
        printf '"instances":[{"name":"%s","creator":"creator"}]}\n' "$INSTANCE"
    )
    mv "$RUN/demo.json.new" "$RUN/demo.json"
}

# The sign-in page, and the application with a token.
demo_check() {
    local code
    code=$(gateway -o /dev/null -w '%{http_code}' \
        "$STUDIO/auth/sign-in" < /dev/null) || return 1
    [ "$code" = 200 ] || { say "the sign-in page answers $code"; return 1; }
    demo_token creator || return 1
    code=$(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" |
        gateway -o /dev/null -w '%{http_code}' \
            "https://$INSTANCE.$APPS:$PORT/api/status") || return 1
    [ "$code" = 200 ] || { say "$INSTANCE answers $code"; return 1; }
}

demo_greet() {
    cat << EOF

  JupyterLab    https://$INSTANCE.$APPS:$PORT/lab
  sign in as    creator
  password      $(cat "$RUN/accounts/creator")

  colleague and reader may not open it; their passwords are in
  $RUN_NAME/demo.json.  Your browser warns of the certificate until it trusts
  $RUN_NAME/ca.pem; curl takes it with --cacert $RUN_NAME/ca.pem.
  ./dev stop ends the demo and its instances; files stay in $RUN_NAME/share.

EOF
}

demo_status() {
    local state
    if ! demo_token creator || ! state=$(instance_state "$INSTANCE"); then
        say "the gateway does not answer at $STUDIO"
        return 1
    fi
    say "$INSTANCE is $state: https://$INSTANCE.$APPS:$PORT/lab"
    say "studio: $STUDIO"
}

# Every instance of the workspace: this is a demo, and what it started ends
# with it.  The next start starts the first one again.
demo_stop_instances() {
    local name rounds=60 names
    if ! demo_runs || ! demo_token creator ||
        ! api GET "$WORKSPACE/computes" || [ "$STATUS" != 200 ]; then
        echo "the gateway can't be asked to stop instances"
        return 0
    fi
    names=$(grep -o '"id": *"[^"]*/computes/[^"/]*"' <<< "$ANSWER" |
        sed 's#.*/##; s/"$//' | sort -u)
    for name in $names; do
        api POST "$WORKSPACE/computes/$name/stop" || true
    done
    while [ -n "$(instance_processes)" ] && [ $((rounds -= 1)) -gt 0 ]; do
        sleep 0.25
    done
}
