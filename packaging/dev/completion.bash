# bash completion for ./dev:  . <(./dev completion)
_aml_dev() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} root
    root=$(dirname "$(readlink -f "${COMP_WORDS[0]}")")
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "run stop status test bench fuzz
            lint build image clean completion help" -- "$word")
        return
    fi
    case $command in
    run) mapfile -t COMPREPLY < <(compgen -W "--detach --verbose" -- "$word") ;;
    build) mapfile -t COMPREPLY < <(compgen -W "--asan --nginx= --verbose" \
        -- "$word") ;;
    image) mapfile -t COMPREPLY < <(compgen -W "--full --tag --from --deb
        --fresh --verbose" -- "$word") ;;
    test)
        mapfile -t COMPREPLY < <(
            compgen -W "--asan --again --verbose" -- "$word"
            compgen -f -- "$word" | grep -E '^\.?/?t(/|$)'
        )
        ;;
    bench)
        mapfile -t COMPREPLY < <(compgen -W "$(find "$root/bench" \
            -maxdepth 1 -type f -perm -u+x -printf '%f\n' 2> /dev/null |
            sed 's/\..*//')" -- "$word")
        ;;
    esac
}
complete -o default -F _aml_dev ./dev dev
