"""No value of a log line is put into quotes by hand: LOG_TEXT() escapes those that are in it.

usage: logs.py, in the root of the repository
"""

import re

import sources
import tap


def main():
    files = [path for path in sources.find(".c") if path.parts[0] != "tests"]
    calls = {path: re.findall(r"\blog_write\([^;]*;", path.read_text()) for path in files}
    calls = {path: found for path, found in calls.items() if found}
    results = tap.Results(len(calls))
    for path, found in calls.items():
        wrong = [call for call in found if re.search(r'=\\"', call)]
        results.add(not wrong, str(path), "\n".join(wrong))
    results.finish()


main()
