"""Pages tell of what is there: every link to a file of ours leads somewhere (pictures are not links),
every header or source that is named is one, and so is, on pages beside the code, every function (a word
with an underscore in it).

usage: links.py, in the root of the repository
"""

import pathlib
import re

import sources
import tap

HISTORY = {"CHANGELOG.md"}  # names things that are gone
CODE = {"api", "config", "engine", "model", "server", "tools"}


def links(path):
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            yield target.split("#")[0]


def names(path):
    """What stands between backticks, as words."""
    for text in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", path.read_text(), flags=re.S)):
        yield from re.findall(r"[\w./-]+", text)


def words_of_sources():
    found = set()
    for path in sources.find(".c", ".h", ".py", ".json", ".build", ".html"):
        found.update(re.findall(r"\w+", path.read_text()))
    return found


def main():
    pages = sorted(pathlib.Path(".").glob("*.md")) + sources.find(".md")
    files = {str(path) for path in sources.find(".c", ".h")}
    words = words_of_sources()
    results = tap.Results(len(pages))
    for page in pages:
        missing = [link for link in links(page) if not (page.parent / link).exists()]
        for name in names(page) if str(page) not in HISTORY else ():
            if re.fullmatch(r"[\w/]+\.[ch]", name):
                if not any(file == name or file.endswith(f"/{name}") for file in files):
                    missing.append(name)
            elif (re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", name) and name not in words
                  and page.parts[0] in CODE):
                missing.append(name)
        results.add(not missing, str(page), "missing: " + ", ".join(missing))
    results.finish()


main()
