"""The commands of README.md are there on a machine where tools/run has been run.

usage: readme.py BUILD_FOLDER, in the root of the repository
"""

import json
import pathlib
import re
import subprocess
import sys

import tap

# Commands of packages: in a list of tools/run, but for the section on Docker.
PACKAGES = {"curl": "curl"}
NOT_OURS = {"docker"}


def commands(text):
    """The first word of every command in the page's blocks."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if line.strip():
                yield line.split()[0]


def built(build):
    text = subprocess.run(["meson", "introspect", "--targets", build], check=True,
                          capture_output=True, text=True).stdout
    root = pathlib.Path(build).resolve()
    for target in json.loads(text):
        if target["type"] == "executable" and target["installed"]:
            yield "build/" + str(pathlib.Path(target["filename"][0]).resolve().relative_to(root))


def main():
    programs = set(built(sys.argv[1]))
    lists = [pathlib.Path(f"tools/packages-{name}.txt").read_text().splitlines()
             for name in ("build", "readme")]
    installed = {line for lines in lists for line in lines if not line.startswith("#")}
    words = sorted(set(commands(pathlib.Path("README.md").read_text())) - NOT_OURS)
    results = tap.Results(len(words) + len(programs))
    for word in words:
        results.add(word in programs or pathlib.Path(word).is_file()
                    or PACKAGES.get(word) in installed, f"{word} is there")
    text = pathlib.Path("README.md").read_text()
    for program in sorted(programs):
        results.add(f"`{pathlib.Path(program).name}`" in text, f"README.md names {program}")
    results.finish()


main()
