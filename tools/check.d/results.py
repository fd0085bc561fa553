#!/usr/bin/env python3
"""Reads the results that test runners wrote as JUnit files.

usage: results.py count FILE          "PASSED FAILED SKIPPED", then why tests were skipped
       results.py slowest N FOLDER    the N slowest stages and tests; FOLDER/times: "SECONDS STAGE"
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree


def parse(path):
    return xml.etree.ElementTree.parse(path)


def count(path):
    n, reasons = collections.Counter(), collections.Counter()
    for case in parse(path).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            n["failed"] += 1
        elif skip is not None:
            n["skipped"] += 1
            reasons[skip.get("message") or skip.text or case.get("name")] += 1
        else:
            n["passed"] += 1
    print(n["passed"], n["failed"], n["skipped"])
    for reason, times in reasons.most_common():
        print(f"    skipped: {times} x {reason}")


def times(path):
    """A test's seconds by name; meson knows those of whole programs only."""
    for suite in parse(path).iter("testsuite"):
        cases = [case for case in suite.iter("testcase") if case.get("time")]
        for case in cases:
            yield float(case.get("time")), f"{case.get('classname')}.{case.get('name')}"
        if not cases:
            yield float(suite.get("time", 0)), suite.get("name")


def slowest(n, folder):
    folder = pathlib.Path(folder)
    rows = []
    for line in (folder / "times").read_text().splitlines():
        seconds, name = line.split(" ", 1)
        rows.append((float(seconds), name))
    for path in folder.glob("*.xml"):
        rows += [(seconds, f"{path.stem}: {name}") for seconds, name in times(path)]
    for seconds, name in sorted(rows, reverse=True)[:n]:
        print(f"{seconds:8.1f} s  {name}")


def main():
    if sys.argv[1] == "count":
        count(sys.argv[2])
    else:
        slowest(int(sys.argv[2]), sys.argv[3])


main()
