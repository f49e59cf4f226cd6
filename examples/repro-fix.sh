#!/usr/bin/env bash
# Repro and fix: copy the checkout around the current directory, run what fails, change a file,
# run it again, and take the difference out as a patch. The checkout itself stays as it is.
#
#   examples/repro-fix.sh FILE OLD NEW -- COMMAND...     (the patch lands in ./fix.patch)

set -euo pipefail
file=$1 old=$2 new=$3
shift 4
workspace=$(pyro workspace create host --id-only)
trap 'pyro workspace delete "$workspace" >/dev/null' EXIT

pyro workspace exec "$workspace" -- "$@" && echo "it does not fail" >&2 && exit 1
pyro workspace file edit "$workspace" "$file" --old-string "$old" --new-string "$new"
pyro workspace exec "$workspace" -- "$@"
pyro workspace diff "$workspace"
pyro workspace export "$workspace" --kind patch --output fix.patch
