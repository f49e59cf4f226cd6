"""Says what the tests did, from the log of a run: how many passed in each suite, what was skipped
and why. Ends with status 1 when a suite of the list did not run or lost tests.

Reads the output of cargo-nextest and of `cargo test` alike: `test_report.py LOG REQUIRED KINDS`.
"""

import re
import sys
from collections import Counter


def passed_and_skipped(lines):
    """Passed tests of each suite, and the reasons that tests gave for what they left out."""
    passed, skipped, suite = Counter(), Counter(), "?"
    seen = set()
    for line in lines:
        if found := re.match(r"\s*(?:PASS|SLOW|LEAK)\s+\[[^\]]*\]\s+(?:\([^)]*\)\s+)?(\S+)\s", line):
            # A crate's own name has dashes, its unit tests go by underscores.
            suite = found[1].split("::")[-1]
            suite = suite if "::" in found[1] else suite.replace("-", "_")
            passed[suite] += not line.lstrip().startswith("SLOW")
        elif found := re.match(r"\s*Running .*\(\S*/deps/(\w+)-[0-9a-f]+\)", line):
            suite = found[1]
        elif found := re.match(r"test (.*) \.\.\. ok", line):
            # A test that runs itself again as another user says its name twice.
            if (suite, found[1]) not in seen:
                seen.add((suite, found[1]))
                passed[suite] += 1
        elif found := re.match(r"\s*(skipped.*)", line):
            skipped[f"{suite}: {found[1]}"] += 1
    return passed, skipped


def main():
    log, required, kinds = sys.argv[1:]
    with open(log, errors="replace") as file:
        passed, skipped = passed_and_skipped(file)
    print(f"{sum(passed.values())} tests passed; kinds of caller that had to be tested: {kinds}")
    for suite, count in sorted(passed.items()):
        print(f"  {count:5}  {suite}")
    print(f"{sum(skipped.values())} times something was skipped")
    for reason, count in sorted(skipped.items()):
        print(f"  {count:5}  {reason}")
    wrong = []
    with open(required) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                suite, least = line.split()
                if passed[suite] < int(least):
                    wrong.append(f"{suite}: {passed[suite]} tests passed, at least {least} must run")
    sys.exit("\n".join(wrong) or None)


main()
