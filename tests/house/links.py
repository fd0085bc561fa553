"""Every link of a page to a file of ours leads somewhere; pictures are not links.

usage: links.py, in the root of the repository
"""

import pathlib
import re

import sources
import tap


def links(path):
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"[a-z]+:|#", target):
            yield target.split("#")[0]


def main():
    pages = sorted(pathlib.Path(".").glob("*.md")) + sources.find(".md")
    results = tap.Results(len(pages))
    for page in pages:
        missing = [link for link in links(page) if not (page.parent / link).exists()]
        results.add(not missing, str(page), "missing: " + ", ".join(missing))
    results.finish()


main()
