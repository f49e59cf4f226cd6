#!/usr/bin/env bash
# Parallel workspaces: one named and labelled workspace for each issue, all from this checkout and
# sharing one copy of it; each runs the same command without seeing the others.
#
#   examples/parallel.sh COMMAND...

set -euo pipefail
issues=(101 102 103)
trap 'for issue in "${issues[@]}"; do pyro workspace delete "issue-$issue" >/dev/null; done' EXIT

for issue in "${issues[@]}"; do
    pyro workspace create host --name "issue-$issue" --label "issue=$issue" --label story=parallel >/dev/null
    pyro workspace exec "issue-$issue" --detach -- "$@" >/dev/null
done
pyro workspace list --label story=parallel
for issue in "${issues[@]}"; do
    # Reads the newest command's id; a chat would have kept it from the reply.
    exec_id=$(pyro --json workspace logs "issue-$issue" | grep -o 'ex_[a-z2-7]\{10\}' | head -n 1)
    pyro workspace exec-wait "issue-$issue" "$exec_id"
done
