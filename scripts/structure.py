"""Holds the workspace to its floor plan: which crate may use which, how large a file may be, what
it may be called, that it says what it is for, and that unsafe code stays in `crates/sys`.

Reads `cargo metadata` and the sources; says every place that breaks a rule, and ends with status 1
when there is one. Formatting and lints are the compiler's business.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

# Crate: the crates it may use. docs/ARCHITECTURE.md shows the same as a picture.
FLOOR_PLAN = {
    "model": set(),
    "sys": set(),
    "operations": {"model"},
    "chat-hosts": {"model", "operations"},
    "protocol": {"model"},
    "store": {"model"},
    "environment": {"model", "store"},
    "machine": {"model", "protocol"},
    "patch": {"protocol"},
    "guest": {"model", "protocol", "sys"},
    "launcher": {"machine", "protocol", "sys"},
    "machine-container": {"launcher", "machine", "model", "protocol", "sys"},
    "machine-microvm": {"launcher", "machine", "model", "protocol", "sys"},
    "engine": {
        "chat-hosts", "environment", "machine", "machine-container", "machine-microvm", "model", "operations",
        "patch", "protocol", "store", "sys",
    },
    "sdk": {"engine", "model", "operations"},
    "mcp": {"engine", "model", "operations"},
    "cli": {"engine", "mcp", "model", "operations", "sdk", "sys"},
    # Tries to get out of a machine; only tests use it.
    "escape": {"machine", "model"},
    # Plays whole stories through the real chat hosts; nothing but tests.
    "stories": set(),
    # Measures the finished program from outside; nothing uses it.
    "bench": {"model", "operations", "sdk", "sys"},
}
# Tests may also use these.
FOR_TESTS = {
    "guest": {"machine", "patch"}, "machine": {"machine"}, "machine-container": {"escape"}, "machine-microvm": {"escape"},
}
# Only these crates may know these libraries: nothing below the doors knows a command line or MCP.
DOORS_ONLY = {"clap": {"cli"}, "clap_complete": {"cli"}, "clap_mangen": {"cli"}, "rmcp": {"mcp"}, "tokio": {"mcp"}}
MOST_CODE_LINES = 400
MOST_HEADER_LINES = 20
# The front page of a library may show an example.
MOST_FRONT_PAGE_LINES = 40
NO_NAMES = {"util", "utils", "common", "imp", "impls", "helper", "helpers", "misc", "shared", "manager"}
# Names that were there before the rule, each with the reason why it stays.
STAYS = {"crates/engine/src/helper.rs": "the short-lived helper process is called so in the architecture"}

wrong = []


def crates():
    command = "cargo metadata --format-version 1 --no-deps --locked --offline"
    found = json.loads(subprocess.check_output(command.split()))
    root = Path(found["workspace_root"])
    return {Path(p["manifest_path"]).parent.relative_to(root / "crates").as_posix(): p for p in found["packages"]}


def check_arrows(crates):
    names = {package["name"]: folder for folder, package in crates.items()}
    for folder, package in crates.items():
        if folder not in FLOOR_PLAN:
            wrong.append(f"crates/{folder}: not in the floor plan (scripts/structure.py, docs/ARCHITECTURE.md)")
            continue
        for used in package["dependencies"]:
            target = names.get(used["name"])
            test = used["kind"] == "dev"
            if target and target not in FLOOR_PLAN[folder]:
                if not (test and target in FOR_TESTS.get(folder, set())):
                    wrong.append(f"crates/{folder}: must not use {target}")
            elif not test and folder not in DOORS_ONLY.get(used["name"], {folder}):
                wrong.append(f"crates/{folder}: must not use {used['name']}, which is for the doors")
        manifest = Path("crates", folder, "Cargo.toml").read_text()
        if not re.search(r"^\[lints\]\nworkspace = true", manifest, re.M):
            wrong.append(f"crates/{folder}/Cargo.toml: lacks [lints] workspace = true")


def without_tests(lines):
    """The lines before the module of tests, which ends a file."""
    for at, line in enumerate(lines):
        if line.startswith("#[cfg(test)]") and re.match(r"(pub\S* )?mod \w+ \{", "".join(lines[at + 1 : at + 2])):
            return lines[:at]
    return lines


def check_file(path):
    name, lines = path.as_posix(), path.read_text().split("\n")
    is_test = "tests" in path.parts or path.stem == "tests" or path.stem.endswith("_tests")
    header = 0
    while header < len(lines) and lines[header].startswith("//!"):
        header += 1
    if path.name != "build.rs" or header:
        most = MOST_FRONT_PAGE_LINES if path.name == "lib.rs" else MOST_HEADER_LINES
        if not 1 <= header <= most:
            wrong.append(f"{name}: the header has {header} lines, 1 to {most} are wanted")
    code = [line for line in without_tests(lines) if line.strip() and not line.strip().startswith("//")]
    if not is_test and len(code) > MOST_CODE_LINES:
        wrong.append(f"{name}: {len(code)} lines of code, at most {MOST_CODE_LINES} are wanted")
    if name not in STAYS and NO_NAMES & {path.stem, *path.parts}:
        wrong.append(f"{name}: a name that does not say what is inside")
    if path.parts[1] != "sys":
        for at, line in enumerate(lines, 1):
            text = line.split("//")[0]
            if re.search(r"\bunsafe\s*(\{|fn|impl|extern|trait)|\bunsafe\(", text):
                wrong.append(f"{name}:{at}: unsafe code outside of crates/sys")
            if re.search(r"\b(allow|expect)\([^)]*\bunsafe_code\b", text):
                wrong.append(f"{name}:{at}: allows unsafe code outside of crates/sys")


def check_script(path):
    lines = path.read_text().split("\n")
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    if not first.startswith(("# ", '"""')):
        wrong.append(f"{path}: lacks a header that says what it is for")


def main():
    check_arrows(crates())
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "crates", "scripts", "examples"], text=True)
    files = [Path(name) for name in listed.splitlines() if Path(name).is_file()]
    sources = [path for path in files if path.suffix == ".rs"]
    for path in sources:
        check_file(path)
    for path in files:
        if path.parts[0] in ("scripts", "examples") and path.suffix in ("", ".sh", ".py"):
            check_script(path)
    print(f"{len(sources)} source files, {len(wrong)} places that break a rule")
    sys.exit("\n".join(wrong) or None)


main()
