#!/usr/bin/env bash
# Owns one chroot: `tests/chroot.sh SUITE FOLDER [PACKAGE,PACKAGE ...]` makes it by debootstrap, unless the folder has it
# with these packages. If it cannot be made, the script prints why, and fails.
set -euo pipefail

main() {
  local suite=$1 root=$2 packages=${3-} script=/usr/share/debootstrap/scripts/$1 mirror
  [ "$(id -u)" = 0 ] || { echo "only root can make a chroot"; return 1; }
  [ ! -e "$root/.packages" ] || [ "$(cat "$root/.packages")" != "$packages" ] || return 0
  command -v debootstrap >/dev/null || { echo "no debootstrap on this machine"; return 1; }
  mirror=$(. /etc/os-release && apt-get indextargets 'Created-By: Packages' "Release: ${VERSION_CODENAME-}" \
    'Component: main' --format '$(REPO_URI)' | head -1) || true
  [ -n "$mirror" ] || { echo "apt knows no mirror of Debian (after apt-get update?)"; return 1; }
  [ -e "$script" ] || script=${script%/*}/sid # a suite that is newer than this debootstrap
  rm -rf "$root"
  # in a mount namespace of its own, so that nothing stays mounted; a mirror that does not answer is waited for at most so long
  unshare --mount timeout 1200 debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$root" "$mirror" "$script" \
    >"$root.log" 2>&1 || { echo "$(tail -1 "$root.log") ($root.log)"; return 1; }
  echo "$packages" >"$root/.packages"
}

main "$@"
