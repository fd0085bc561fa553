"""Starts programs as ranks of this machine, all on whatever processors there are."""

import os
import subprocess

OPTIONS = [
    "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
    # Containers forbid that processes read each other's memory.
    "--mca", "btl_vader_single_copy_mechanism", "none",
    "--mca", "odls_base_sigkill_timeout", "3",
]  # fmt: skip


def command(n, program):
    return ["mpirun", *OPTIONS, "-n", str(n), *program]


def environment():
    """The library leaks, and no test is about that."""
    return os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def run(n, program):
    return subprocess.run(
        command(n, program),
        capture_output=True, text=True, check=False, env=environment(), timeout=110,
    )  # fmt: skip


def start(n, program):
    return subprocess.Popen(
        command(n, program),
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment(),
    )  # fmt: skip
