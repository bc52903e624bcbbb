#!/usr/bin/env bash
# Owns the suite on other Pythons, those of Debian's newer suites: `tests/pythons.sh [--one] [SUITE ...]`. For a Python
# that no suite has, `tests/pythons.sh --wheels 3.12` sees that all that is pinned could be installed.
#
# Each suite gets a chroot in .cache/pythons/SUITE, made by debootstrap and kept. pip downloads the pinned wheels outside
# of it, with whatever index this machine has; in it `make test` runs on a copy of the last commit, without an index. What
# needs Node, nginx or chromium skips there. A suite that is not available is "not run", which is no failure; a missing wheel
# is one, as is a failing test. With --one the first suite that runs is the last.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=python3,python3-venv,make,openssl,pgbouncer,strace
CHROOTS=$PWD/.cache/pythons

main() {
  local one= suite why status=0 told=()
  if [ "${1-}" = --wheels ]; then
    wheels "$2" "$CHROOTS/wheels-$2"
    echo "$2: wheels resolve, not run"
    return
  fi
  if [ "${1-}" = --one ]; then one=yes; shift; fi
  [ $# -gt 0 ] || set -- forky trixie # the newest Python first
  mkdir -p "$CHROOTS"
  for suite; do
    if ! why=$(have "$suite"); then
      told+=("$suite: not run: $why")
      continue
    fi
    if run "$suite"; then
      told+=("$suite: Python $(version "$suite") passed")
    else
      status=1
      told+=("$suite: Python $(version "$suite") failed")
    fi
    [ -z "$one" ] || break
  done
  printf '%s\n' "${told[@]}"
  return $status
}

# Make the suite's chroot, unless there is one with these packages. Prints why it could not.
have() {
  tests/chroot.sh "$1" "$CHROOTS/$1" "$PACKAGES"
}

# The version of a suite's Python, such as 3.14.
version() {
  chroot "$CHROOTS/$1" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# Run the tests of the last commit in a suite's chroot.
run() {
  local root=$CHROOTS/$1
  rm -rf "$root/project" "$root/tmp"/*
  mkdir "$root/project"
  git archive HEAD | tar -x -C "$root/project"
  wheels "$(version "$1")" "$root/wheels" || return 1
  cp /etc/hosts "$root/etc/hosts"
  unshare --mount bash -c 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
    exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels \
      /project/tests/twice.sh test' "$root"
}

# Download what the locks pin for a Python, and what installs the project itself.
wheels() {
  local download=(.venv/bin/python -m pip download --quiet --disable-pip-version-check --only-binary :all:)
  "${download[@]}" --python-version "$1" --dest "$2" -r requirements.lock -r requirements-dev.lock &&
    "${download[@]}" --python-version "$1" --dest "$2" hatchling editables hatch-fancy-pypi-readme
}

main "$@"
exit
