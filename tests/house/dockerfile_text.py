"""Reads a Dockerfile."""

import re


def instructions(text):
    """The instructions as (name, arguments), lines joined, comments dropped."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*#", line)]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages(parsed):
    """Arguments before the first stage, and each stage's name, base and instructions."""
    arguments, found = {}, {}
    for name, value in parsed:
        if name == "FROM":
            base, alias = re.fullmatch(r"(\S+) AS (\S+)", value).groups()
            found[alias] = (base, [])
            current = found[alias][1]
        elif not found:
            assert name == "ARG"
            arguments.update([value.split("=", 1)])
        else:
            current.append((name, value))
    return arguments, found
