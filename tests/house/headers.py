"""Every header compiles alone: with nothing included before it.

usage: headers.py BUILD_FOLDER, in the root of the repository

A header is compiled with the flags of a source beside it, rather one that includes it, as the
build folder's compile_commands.json has them.
"""

import json
import pathlib
import shlex
import subprocess
import sys

import sources
import tap


def flags_by_source(build):
    commands = json.loads((build / "compile_commands.json").read_text())
    flags = {}
    for command in commands:
        words = shlex.split(command["command"])
        path = (build / words[-1]).resolve()
        if path.suffix == ".c":
            drop = {"-c", words[-1], "-MD", "-MQ", "-MF", "-o"}
            kept, skip = [], False
            for word in words:
                if skip:
                    skip = False
                elif word in drop:
                    skip = word in {"-MQ", "-MF", "-o"}
                else:
                    kept.append(word)
            flags[path] = kept
    return flags


def source_beside(header, flags):
    """The source whose flags a header gets: beside it, or above it, and including it if any."""
    for folder in header.resolve().parents:
        beside = sorted(path for path in flags if path.is_relative_to(folder))
        if beside:
            including = [p for p in beside if str(header) in sources.included(p, '"')]
            return (including or beside)[0]
    raise FileNotFoundError(f"no source beside {header}")


def main():
    build = pathlib.Path(sys.argv[1])
    flags = flags_by_source(build)
    headers = sources.find(".h")
    if "engine/cuda" not in " ".join(str(path) for path in flags):  # built without CUDA
        headers = [path for path in headers
                   if path.parts[:2] not in (("engine", "cuda"), ("tests", "cudasim"))]
    results = tap.Results(len(headers))
    for header in headers:
        words = flags[source_beside(header, flags)]
        command = words + ["-fdiagnostics-color=never", "-fsyntax-only", "-x", "c", "-"]
        # Included, as clang wants every static function of the file itself to be called.
        done = subprocess.run(command, cwd=build, capture_output=True, text=True,
                              input=f'#include "{header.resolve()}"\n')
        results.add(done.returncode == 0, str(header), done.stderr)
    results.finish()


main()
