"""What tests/api/failing_allocations.c lets fail, and what may come of it."""
import contextlib
import mmap
import os
import subprocess
import time

import requests
from softdiffd import wait_until

NUMBER = 8  # bytes
FAIL_AT, FAIL_MORE, N_CALLS, N_FAILED, SPARED = range(5)
SPARED_BYTES = 64
WHERE = SPARED * NUMBER + SPARED_BYTES
EVERYTHING = 1 << 40


class Allocations:
    """Those of one daemon, on all of its threads."""

    def __init__(self, build_dir, folder):
        self.file = folder / "allocations"
        self.file.write_bytes(bytes(WHERE + 4096))
        with self.file.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 0)
        library = build_dir / "tests/api/libfailing_allocations.so"
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.environment = {"LD_PRELOAD": str(library), "FAILING_ALLOCATIONS": str(self.file), "ASAN_OPTIONS": options}

    def _set(self, which, value):
        self.shared[which * NUMBER : (which + 1) * NUMBER] = value.to_bytes(NUMBER, "little")

    def _get(self, which):
        return int.from_bytes(self.shared[which * NUMBER : (which + 1) * NUMBER], "little")

    @contextlib.contextmanager
    def failing(self, at, more=0):
        """The one of this number fails, and as many after it."""
        self._set(FAIL_AT, 0)
        for which in (N_CALLS, N_FAILED):
            self._set(which, 0)
        self.shared[WHERE] = 0
        self._set(FAIL_MORE, more)
        self._set(FAIL_AT, at)
        try:
            yield
        finally:
            self._set(FAIL_AT, 0)

    def spare(self, library):
        """Its calls do not fail from now on."""
        self.shared[SPARED * NUMBER : WHERE] = library.encode().ljust(SPARED_BYTES, b"\0")

    @property
    def n_calls(self):
        return self._get(N_CALLS)

    @property
    def n_failed(self):
        return self._get(N_FAILED)

    def where(self):
        """The stack of the first that failed, innermost call first: FILE+OFFSET a line."""
        return self.shared[WHERE:].split(b"\0")[0].decode()


def named(stack, depth=12):
    """With the names of functions."""
    frames = []
    for line in stack.splitlines()[:depth]:
        path, _, offset = line.rpartition("+")
        run = subprocess.run(["addr2line", "-fe", path, offset], capture_output=True, text=True, check=False)
        function, _, place = run.stdout.strip().partition("\n")
        frames.append(f"    {os.path.basename(path)} {function} {os.path.basename(place)}")
    return "\n".join(frames)
