#!/bin/sh
# Builds notebook.wasm: sh build.sh [OUTPUT]. Needs clang, lld and llvm (Debian: clang lld llvm).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/notebook.wasm}
"${CC:-clang}" --target=wasm32 -nostdlib -std=c99 -Os -Wall -Wextra -Werror -I "$here/../../guests/c" \
    -Wl,--no-entry -Wl,-z,stack-size=65536 -Wl,--stack-first -o "$output" "$here/notebook.c"

# The manifest travels inside of the module.
"${OBJCOPY:-llvm-objcopy}" --add-section=desk:manifest="$here/manifest.ron" "$output"
