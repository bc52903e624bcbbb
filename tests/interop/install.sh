#!/bin/sh
# Installs the Node packages that tests/interop needs, exactly as package-lock.json names them, beside this file. Needs
# node, npm, python3, make and a C++ compiler; no network beyond the npm registry where Node's headers are installed
# beside it (Debian, nodesource, nvm and the official archives all do that).
#
# sqlite3's native module is built here and not downloaded: the prebuilt one comes from GitHub, which many a build
# machine cannot reach.
set -eu

cd "$(dirname "$0")"

for tool in node npm python3 make c++; do
    command -v "$tool" >/dev/null || { echo "install.sh: $tool is missing (Debian: apt-get install -y nodejs npm python3 make g++)" >&2; exit 1; }
done

# Nothing to do when the last run installed this very lock for this very Node: `make interop` calls us each time.
stamp=node_modules/.installed
want="$(node -p 'process.version + " " + process.arch') $(cksum <package-lock.json)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
    exit 0
fi

# No package's own install script runs. What sqlite3's would do at best is said here instead: npm's ways of passing
# the flags through to it (nodedir, build-from-source, approval of the script) change with each major version.
npm ci --ignore-scripts --no-audit --no-fund
set -- rebuild --jobs=max
prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
if [ -f "$prefix/include/node/node.h" ]; then
    set -- "$@" "--nodedir=$prefix" # else node-gyp fetches the headers from nodejs.org
fi
unset MAKEFLAGS MFLAGS MAKELEVEL # ours, when `make interop` is the caller; node-gyp runs a make of its own
(cd node_modules/sqlite3 && ../.bin/node-gyp "$@" >../.node-gyp.log 2>&1) || { cat node_modules/.node-gyp.log >&2; exit 1; }

# sqlite3 is optional to connect-sqlite3, and npm forgives an optional package that does not build: ask it.
node -e '["sqlite3", "connect-sqlite3", "connect-pg-simple", "pg", "connect-redis", "redis", "connect-mongo", "mongodb", "express", "express-session", "passport"].forEach(require)'
echo "$want" >"$stamp"
