#!/usr/bin/env bash
# Fills in a template: packaging/render.sh TEMPLATE NAME=VALUE… >FILE
# Each @NAME@ becomes VALUE; a name that is left is an error.
set -eu

template=$1
shift
text=$(cat "$template"; printf x)
text=${text%x}
for pair in "$@"; do
    value=${pair#*=}
    text=${text//"@${pair%%=*}@"/"$value"}
done
if [[ $text =~ @[A-Z]+@ ]]; then
    echo "$template: no value for ${BASH_REMATCH[0]}" >&2
    exit 1
fi
printf '%s' "$text"
