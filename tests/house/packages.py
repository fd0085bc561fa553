"""tools/packages-run.txt names the packages whose shared libraries the programs load, and what these read, no
others.

usage: packages.py BUILD_FOLDER, in the root of the repository
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import tap

# What libraries read: libcurl the authorities of certificates.
READ = {"ca-certificates"}

# The sanitizers' libraries come with the compiler and are not shipped.
SANITIZERS = re.compile(r"lib(asan|ubsan|tsan|lsan)\.so")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def programs(build):
    for target in json.loads(output("meson", "introspect", "--targets", build)):
        if target["type"] == "executable" and target["installed"]:
            yield target["filename"][0]


def package_of(library):
    """The Debian package that a library's file is in; its name alone, as the linker stores it."""
    for name in output("dpkg", "-S", f"*/{library}").splitlines():
        package, path = name.split(": ", 1)
        if re.fullmatch(r"(/usr)?/lib/[^/]+/(lapack/)?[^/]+", path):
            return package.split(":")[0].split(",")[0]
    raise FileNotFoundError(f"no package has {library}")


def main():
    if not shutil.which("dpkg"):
        print("1..0 # SKIP no Debian system")
        return
    needed = set(READ)
    for program in programs(sys.argv[1]):
        for line in output("objdump", "-p", program).splitlines():
            words = line.split()
            if words[:1] == ["NEEDED"] and not SANITIZERS.match(words[1]):
                needed.add(package_of(words[1]))
    text = pathlib.Path("tools/packages-run.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    alternatives = [set(line.split(" | ")) for line in lines]
    unlisted = needed.difference(*alternatives)
    unneeded = [line for line, names in zip(lines, alternatives) if not names & needed]
    results = tap.Results(2)
    results.add(not unlisted, "every library's package is listed", unlisted)
    results.add(not unneeded, "every listed package is needed", unneeded)
    results.finish()


main()
