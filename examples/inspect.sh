#!/usr/bin/env bash
# Untrusted inspection: look into a directory or archive that may be hostile, without network and
# without the host's toolchains, make a report with the smallest command that does, and take out the report alone.
#
#   examples/inspect.sh DIR|TAR     (needs debian:12-base; the report lands in ./report.txt)

set -euo pipefail
pyro env pull debian:12-base >/dev/null
workspace=$(pyro workspace create debian:12-base --seed-path "$1" --id-only)
trap 'pyro workspace delete "$workspace" >/dev/null' EXIT

pyro workspace file list "$workspace" --depth 3
pyro workspace exec "$workspace" -- sh -c 'find . -type f -perm /111 -exec ls -l {} + >/tmp/r; find . -type f | wc -l >>/tmp/r; cp /tmp/r report.txt'
pyro workspace export "$workspace" report.txt --output report.txt
