"""Programs of Debian's that tools/unpacked has unpacked, or that are installed."""
import os
import pathlib
import shutil

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / ".packages/root"
LIBRARIES = [ROOT / "usr/lib/x86_64-linux-gnu", ROOT / "usr/lib/aarch64-linux-gnu", ROOT / "lib/x86_64-linux-gnu"]


def program(name):
    """The path, and the environment to run it in; the test is skipped where there is none."""
    path = os.pathsep.join([*(str(ROOT / folder) for folder in ("usr/bin", "usr/sbin")), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=path)
    if not found:
        pytest.skip(f"no {name} on this machine: tools/unpacked")
    return found, os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(map(str, LIBRARIES))}
