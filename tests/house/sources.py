"""Finds our sources and what they include."""

import pathlib
import re

FOLDERS = ("engine", "model", "api", "config", "server", "tools", "tests")


def find(*suffixes):
    """Our files with these suffixes, in order, relative to the root of the repository."""
    return sorted(path for folder in FOLDERS for path in pathlib.Path(folder).rglob("*")
                  if path.suffix in suffixes)


def included(path, quote):
    """What a file includes: with quote '"' ours, with '<' the libraries'."""
    pattern = {'"': r'^\s*#\s*include\s*"([^"]+)"', "<": r"^\s*#\s*include\s*<([^>]+)>"}[quote]
    return re.findall(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
