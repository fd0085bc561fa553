#!/usr/bin/env python3
"""Prints how many tests of a JUnit file passed, failed and were skipped."""

import sys
import xml.etree.ElementTree


def main():
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(sys.argv[1]).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    print(passed, failed, skipped)


main()
