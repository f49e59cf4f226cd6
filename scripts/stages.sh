# Sourced by the other scripts: where the project is, where a build puts its programs, how a pyro's
# home is removed, and stages, each shown with its name and time, and all of them again at the end.
# Stops at the first stage that fails; it does not catch or hide anything.

set -euo pipefail
export LC_ALL=C.UTF-8
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
stage_names=() stage_times=()

# The folder of programs of a build in the profile `debug` or `release`.
built_in() {
    echo "${CARGO_TARGET_DIR:-$root/target}/$(rustc --print host-tuple)/$1"
}

seconds_since() {
    awk -v start="$1" -v end="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", end - start }'
}

stage() {
    local name=$1 start=$EPOCHREALTIME took
    shift
    printf '\n== %s\n' "$name"
    "$@"
    took=$(seconds_since "$start")
    stage_names+=("$name") stage_times+=("$took")
    printf '== %s: done in %s\n' "$name" "$took"
}

stages_done() {
    local at
    printf '\n%s\n' "$1"
    for at in "${!stage_names[@]}"; do
        printf '  %10s  %s\n' "${stage_times[$at]}" "${stage_names[$at]}"
    done
}

# Removes a folder together with the workspaces of the home in it: files of other ids are pyro's to
# remove. `leave_nothing PYRO FOLDER`
leave_nothing() {
    local pyro=$1 folder=$2 workspace try
    if [[ -n $pyro && -d $PYRO_HOME ]]; then
        for workspace in $("$pyro" --json workspace list 2>/dev/null | grep -o 'ws_[a-z2-7]\{10\}' | sort -u); do
            "$pyro" workspace delete "$workspace" >/dev/null 2>&1 || true
        done
        "$pyro" env prune >/dev/null 2>&1 || true
        # What was deleted goes in the background.
        for try in {1..100}; do
            [[ -n $(ls -A "$PYRO_HOME/trash" 2>/dev/null) ]] || break
            sleep 0.1
        done
    fi
    rm -rf -- "$folder" || echo "could not remove all of $folder" >&2
}
