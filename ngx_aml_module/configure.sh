#!/usr/bin/env bash
# Configures the build of the module; the Makefile calls it with
#   VARIANT  release or asan      OUT    build directory, absolute
#   SRC      nginx source tree, or the headers of a nginx-dev package
#   ADDON    this repository      CC_OPT, LD_OPT
set -eu

flags=(--with-compat --with-threads --with-debug --with-http_ssl_module
       --with-http_v2_module --with-http_realip_module
       --with-http_auth_request_module --with-http_stub_status_module)

if [ "$VARIANT" = release ] && [ -r "$SRC/conf_flags" ]; then
    # what the distribution's nginx was configured with: the ABI signature
    # of a dynamic module has to match
    NGX_CONF_FLAGS=()
    # shellcheck disable=SC1091
    . "$SRC/conf_flags"
    flags=("${NGX_CONF_FLAGS[@]}")
fi

cd "$SRC"
./configure --builddir="$OUT" "${flags[@]}" --prefix="$OUT/prefix" \
    --with-cc-opt="$CC_OPT" --with-ld-opt="$LD_OPT" \
    --add-dynamic-module="$ADDON" >"$OUT/configure.log" 2>&1 || {
    tail -n 20 "$OUT/configure.log" >&2
    exit 1
}
