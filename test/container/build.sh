#!/usr/bin/env bash
# Builds the image from the Dockerfile with buildah, where the public base image can't be had: a stand-in for it is made from
# Debian's own packages and this checkout's Node 24, under the same name, so that the Dockerfile is tested as it is.
#
#   build.sh STORE    needs root, buildah and debootstrap; STORE is a folder for buildah's images, below which it leaves mounts
#
# In STORE it leaves: root (where the image's files are mounted), image.json, manifest.json (with the sizes of the layers as a registry gets them), driver.
#
# The stand-in is kept in .clients/ and made again when Node or the Debian release changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
store=$(mkdir -p "$1" && cd "$1" && pwd)
name=docker.io/library/node:24-bookworm-slim
release=bookworm
node=node_modules/node/bin/node
kept=.clients/base-$release-node-$("$node" --version)-$(uname -m).tar

# Copying whole file systems takes long; but one overlay does not lie on another, which is what a container's own files may be.
storage_driver() {
  local try=$store/try driver=vfs
  mkdir -p "$try"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
    umount "$try/merged"
    driver=overlay
  fi
  rm -rf "$try"
  echo "$driver"
}
driver=$(storage_driver)
echo "$driver" >"$store/driver"

buildah() { command buildah --storage-driver "$driver" --root "$store/images" --runroot "$store/run" "$@"; }

# The mirror that this machine is set up to use.
mirror() { apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' "Release: $release" | head -n 1; }

make_base() {
  local root=$store/base container from
  from=$(mirror)
  [ -n "$from" ] || { echo "apt knows no source for $release; run apt-get update" >&2; return 1; }
  debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$from" >"$store/debootstrap.log" 2>&1 || {
    tail -n 20 "$store/debootstrap.log" >&2
    return 1
  }
  # What the public image has: the user, node, npm; its documentation and package lists are left out as well.
  chroot "$root" sh -c 'groupadd -g 1000 node && useradd -u 1000 -g node -s /bin/bash -m node'
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/*
  install -m 755 "$node" "$root/usr/local/bin/node"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -a "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  container=$(buildah from scratch)
  buildah copy -q "$container" "$root" / >/dev/null
  buildah config --cmd node "$container"
  buildah commit -q "$container" "$name" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$root"
  mkdir -p .clients
  # Complete or not at all: a run that was cut short must not leave half a base behind.
  buildah push -q "$name" "oci-archive:$kept.$$:$name" && mv "$kept.$$" "$kept"
}

# npm's settings on this machine, for the time of the build only: where packages come from, and whom to trust.
npm_settings() {
  local file
  echo "; $LARDER_BUILD_MARK"
  file=$(npm config get userconfig)
  [ ! -f "$file" ] || grep -vE '^[[:space:]]*(cafile|prefix|cache|nodedir)[[:space:]]*=' "$file" || true
  echo "registry=$(npm config get registry)"
  file=$(npm config get cafile)
  [ ! -f "$file" ] || awk '/BEGIN CERT/ { text = "" } { text = text $0 "\\n" } /END CERT/ { print "ca[]=\"" text "\"" }' "$file"
}

if [ -f "$kept" ]; then
  buildah pull -q "oci-archive:$kept" >/dev/null
else
  make_base
fi
(umask 077 && LARDER_BUILD_MARK=${LARDER_BUILD_MARK:-build} npm_settings >"$store/npmrc" 2>/dev/null)
trap 'rm -f "$store/npmrc"' EXIT
# Health checks exist in the docker format only.
buildah bud --isolation chroot --format docker --pull-never --secret "id=npmrc,src=$store/npmrc" --tag larder . >&2
container=$(buildah from --pull-never larder)
buildah inspect --type image larder >"$store/image.json"
buildah mount "$container" >"$store/root"
# What a registry would be sent.
buildah push -q larder "oci:$store/pushed:larder" >/dev/null
manifest=$(grep -o '"digest":"sha256:[0-9a-f]*"' "$store/pushed/index.json" | head -n 1 | grep -o '[0-9a-f]\{64\}')
cp "$store/pushed/blobs/sha256/$manifest" "$store/manifest.json"
rm -rf "$store/pushed"
