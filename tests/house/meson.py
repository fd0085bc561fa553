"""No meson.build leaves something out because it was not found: what a build needs is required,
what it can do without is an option, whose value is seen.

usage: meson.py, in the root of the repository
"""

import pathlib
import re

import sources
import tap

# Files that may ask, and why.
MAY_ASK = {
    "meson.build": "-Dcuda=auto, the default, takes CUDA where it is; the summary says",
    "engine/communicator/meson.build": "-Dmpi=auto, likewise",
    "engine/cuda/meson.build": "likewise",
    "server/meson.build": "-Dpostgresql=auto, likewise",
    "tests/cudasim/meson.build": "likewise",
    "tests/cuda/meson.build": "likewise",
}


def main():
    files = [pathlib.Path("meson.build")] + sorted(
        path for folder in sources.FOLDERS for path in pathlib.Path(folder).rglob("meson.build"))
    results = tap.Results(len(files))
    for path in files:
        text = re.sub(r"#.*", "", path.read_text())
        found = re.findall(r"subdir_done\(|\.found\(\)|required: *false|disabler: *true", text)
        results.add(not found or str(path) in MAY_ASK, str(path), ", ".join(found))
    results.finish()


main()
