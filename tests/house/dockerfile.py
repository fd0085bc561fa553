"""The Dockerfile keeps what it promises to whoever builds and runs its images.

usage: dockerfile.py, in the root of the repository
"""

import json
import pathlib
import re

import dockerfile_text
import tap

TARGETS = ("cpu", "cuda")


def is_exec_form(value):
    try:
        words = json.loads(value)
    except ValueError:
        return False
    return isinstance(words, list) and all(isinstance(word, str) for word in words)


def values(stage, name):
    return [value for instruction, value in stage if instruction == name]


def copied_sources(stage):
    """What COPY takes from the build context."""
    for value in values(stage, "COPY"):
        words = value.split()
        if not words[0].startswith("--from="):
            yield from words[:-1]


def checks(text):
    """Each rule as (its name, whether it holds)."""
    parsed = dockerfile_text.instructions(text)
    arguments, found = dockerfile_text.stages(parsed)
    everything = [item for _, stage in found.values() for item in stage]

    yield "no syntax line: any builder will do", not re.match(r"#\s*syntax", text)
    yield "no heredoc", not re.search(r"<<-?\s*['\"]?\w", text)
    yield "no COPY --link", not any("--link" in v for v in values(everything, "COPY"))
    yield "a stage build", "build" in found
    build = values(found["build"][1], "RUN")
    for command in ("tools/packages --yes build test", "meson setup", "meson compile",
                    "meson test", "meson install"):
        yield f"build runs {command}", any(command in run for run in build)
    tests = [run for run in values(everything, "RUN") if "meson test" in run]
    yield "tests have patience: whoever builds may be slow", all(
        "--timeout-multiplier" in run for run in tests)
    for path in sorted(set(copied_sources(everything))):
        yield f"COPY takes {path}, which exists", pathlib.Path(path).exists()

    for target in TARGETS:
        yield f"a target {target}", target in found
        base, stage = found[target]
        yield f"{target}: the base is an argument", base[2:-1] in arguments and base[:2] == "${"
        users = values(stage, "USER")
        yield f"{target}: a numeric user that is not root", (
            len(users) == 1 and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0]) is not None)
        yield f"{target}: nothing runs after USER", not values(
            stage[stage.index(("USER", users[0])):], "RUN")
        yield f"{target}: SIGTERM stops it", values(stage, "STOPSIGNAL") == ["SIGTERM"]
        entry = values(stage, "ENTRYPOINT")
        yield f"{target}: the daemon is process 1", (
            len(entry) == 1 and is_exec_form(entry[0])
            and json.loads(entry[0]) == ["/usr/bin/softdiffd"])
        health = values(stage, "HEALTHCHECK")
        yield f"{target}: the daemon checks its own health", (
            len(health) == 1 and is_exec_form(health[0].split("CMD", 1)[1])
            and json.loads(health[0].split("CMD", 1)[1]) == ["/usr/bin/softdiffd",
                                                             "--healthcheck"])
        yield f"{target}: the zoo is in it", "model/zoo/" in list(copied_sources(stage))
        yield f"{target}: libraries of the list", any(
            "packages --yes run" in run for run in values(stage, "RUN"))


def main():
    done = list(checks(pathlib.Path("Dockerfile").read_text()))
    results = tap.Results(len(done))
    for name, holds in done:
        results.add(holds, name)
    results.finish()


main()
