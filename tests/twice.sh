#!/usr/bin/env bash
# Owns a second chance for a run on a busy machine: `tests/twice.sh TARGET` makes a target that runs pytest. What failed runs once
# more, alone; what fails again has failed, and so has a run that broke off before it knew what failed.
set -euo pipefail
cd "$(dirname "$0")/.."

make "$1" && exit
echo "== once more, alone: what failed in \`make $1\`"
PYTEST_ADDOPTS='--last-failed --last-failed-no-failures none' make "$1"
