"""Holds every crate that pyro is built from to deny.toml: its licence, its source, its wrappers.

Stands in for cargo-deny where that is not installed. Reads `cargo metadata`, offline. It knows
less: no licence texts, no advisories, no exceptions for single crates.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licences):
    """Whether an SPDX expression can be met with these licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    tokens = re.sub(r"(\S+) WITH (\S+)", r"\1~\2", " ".join(tokens)).split()
    known = {licence.replace(" WITH ", "~") for licence in licences}

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token != "(":
            return token in known
        value = either()
        tokens.pop(0)
        return value

    return either()


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    command = "cargo metadata --format-version 1 --locked --offline --all-features"
    found = json.loads(subprocess.check_output(command.split()))
    packages = {package["id"]: package for package in found["packages"]}
    ours = set(found["workspace_members"])
    wrong, versions = [], defaultdict(set)
    for name, package in packages.items():
        if name in ours:
            continue
        title = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        if not package["license"] or not allowed(package["license"], rules["licenses"]["allow"]):
            wrong.append(f"{title}: licence {package['license']} is not allowed")
        if package["source"] != CRATES_IO:
            wrong.append(f"{title}: comes from {package['source']}")
    users = defaultdict(set)
    for node in found["resolve"]["nodes"]:
        for used in node["dependencies"]:
            users[packages[used]["name"]].add(packages[node["id"]]["name"])
    for rule in rules["bans"]["deny"]:
        others = users[rule["crate"]] - set(rule.get("wrappers", []))
        if others:
            wrong.append(f"{rule['crate']}: must not be used by {', '.join(sorted(others))}")
    for package in (packages[member] for member in ours):
        for used in package["dependencies"]:
            if used["req"] == "*" and not used.get("path"):
                wrong.append(f"{package['name']}: any version of {used['name']} would do")
    twice = [f"{name} {' '.join(sorted(found))}" for name, found in sorted(versions.items()) if len(found) > 1]
    print(f"{len(packages) - len(ours)} crates; in more than one version: {'; '.join(twice) or 'none'}")
    sys.exit("\n".join(wrong) or None)


main()
