"""Prints results in the Test Anything Protocol."""

import sys


class Results:
    """Numbers the results of a script; finish() ends the script."""

    def __init__(self, n_planned):
        self.n_done = 0
        self.n_failed = 0
        self.n_planned = n_planned
        print(f"1..{n_planned}")

    def add(self, passed, name, why=""):
        """why is shown where the test did not pass."""
        self.n_done += 1
        self.n_failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.n_done} - {name}", flush=True)
        if not passed:
            for line in str(why).splitlines():
                print(f"# {line}", flush=True)

    def finish(self):
        sys.exit(self.n_failed != 0 or self.n_done != self.n_planned)
