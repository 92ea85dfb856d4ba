#!/bin/sh
# Builds weather-widget.wasm: sh build.sh [OUTPUT]. Needs clang, lld, llvm and wasi-libc (Debian: clang lld llvm wasi-libc
# libclang-rt-dev-wasm32). The same compiler and sources give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/weather-widget.wasm}
objcopy=${OBJCOPY:-llvm-objcopy}

# --stack-first: a stack that grows too far traps instead of overwriting data. --strip-debug keeps the function names,
# which make backtraces readable.
"${CC:-clang}" --target=wasm32-wasi -mexec-model=reactor -std=c99 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror \
    -I "$here/../../guests/c" \
    -Wl,-z,stack-size=65536 -Wl,--stack-first -Wl,--strip-debug \
    -o "$output" \
    "$here/weather-widget.c" "$here/days.c" "$here/json.c" "$here/card.c" "$here/draw.c" "$here/font.c" "$here/png.c"

# The manifest travels inside of the module.
"$objcopy" --add-section=desk:manifest="$here/manifest.ron" --remove-section=producers "$output"
