"""tools/check: nothing that it should run is left out without a word."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

CASE = '<testcase classname="a" name="{name}" time="{time}">{result}</testcase>'
SKIPPED = '<skipped message="no such thing here"/>'


def listing(*arguments):
    text = subprocess.run([ROOT / "tools/check", "--list", *arguments], capture_output=True,
                          text=True, check=True).stdout
    return [(int(least), name) for least, name in
            (line.split(" ", 1) for line in text.splitlines())]


@pytest.mark.parametrize("arguments, n", [((), 8), (("--slow",), 11)])
def test_the_stages(arguments, n):
    stages = listing(*arguments)
    assert len(stages) == n
    assert len({name for _, name in stages}) == n
    for least, name in stages:
        assert least >= (1000 if "C tests" in name or "Debian" in name
                         else 10 if "tests" in name else 1)


def junit(n_passed, n_skipped=0, n_failed=0):
    cases = [CASE.format(name=f"case{i}", time=i, result="") for i in range(n_passed)]
    cases += [CASE.format(name="skipped", time=0, result=SKIPPED)] * n_skipped
    cases += [CASE.format(name="failed", time=0, result="<failure/>")] * n_failed
    return f'<testsuites><testsuite name="s" time="1">{"".join(cases)}</testsuite></testsuites>'


@pytest.fixture
def place(tmp_path):
    """A folder with the script and all that it needs; its programs are doubles that tell the file
    "calls" that they were called, and write results."""
    for name in ("tools/check", "tools/check.d", "tests/requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for name in "api config engine model server tools tests .venv".split():
        (tmp_path / name).mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests/requirements.txt", tmp_path / ".venv/requirements.txt")
    write_command(tmp_path / "tools/packages", 'echo "packages $*" >>calls')
    write_command(tmp_path / "bin/clang-format", 'echo "clang-format version 14.0.6"')
    # meson setup FOLDER ..., meson configure FOLDER ..., meson compile -C F, meson test -C F ...
    write_command(tmp_path / "bin/meson", """echo "meson $*" >>calls
case $1 in
setup) mkdir -p "$2" && touch "$2/build.ninja" ;;
test) mkdir -p "$3/meson-logs" && cp c.xml "$3/meson-logs/check.junit.xml" ;;
esac""")
    write_command(tmp_path / ".venv/bin/python",
                  'for word; do [ "$last" != --junitxml ] || cp python.xml "$word"; '
                  "last=$word; done")
    (tmp_path / "c.xml").write_text(junit(5000))
    (tmp_path / "python.xml").write_text(junit(1000))
    return tmp_path


def write_command(path, body):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def check(place, *arguments):
    environment = dict(os.environ, PATH=f"{place}/bin:{os.environ['PATH']}")
    done = subprocess.run([place / "tools/check", *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def calls(place):
    return (place / "calls").read_text().splitlines()


def test_counts_everything(place):
    status, lines = check(place, "--yes")
    assert status == 0
    assert calls(place)[0] == "packages --yes build readme test"
    assert lines[-1] == f"{2 * 5000 + 2 * 1000 + 4} passed, 0 failed"
    assert lines[-2].startswith(f"{len(listing())} stages in ")


def test_names_the_ten_slowest(place):
    _, lines = check(place)
    start = lines.index("the slowest:")
    assert len(lines) == start + 1 + 10 + 2
    assert "4999.0 s  C-tests" in lines[start + 1] and lines[start + 1].endswith("a.case4999")


def test_a_folder_without_tests_gets_them(place):
    """As tools/run leaves one behind."""
    (place / "build").mkdir()
    (place / "build/build.ninja").touch()
    assert check(place)[0] == 0
    configured = calls(place).index("meson configure build -Dtests=true")
    assert "meson compile -C build" in calls(place)[configured:]


@pytest.mark.parametrize("results", ["c.xml", "python.xml"])
def test_too_few_tests_fail(place, results):
    """A stage whose tests were left out, though none of those that ran failed."""
    (place / results).write_text(junit(9))
    status, lines = check(place)
    assert status == 1
    assert any("only 9 tests passed, where at least" in line for line in lines)
    assert lines[-1].endswith(" passed, 2 failed")


def test_a_runner_without_results_fails(place):
    (place / "c.xml").unlink()
    status, lines = check(place)
    assert status == 1
    assert lines[-1] == "2004 passed, 2 failed"


def test_results_of_an_earlier_run_do_not_count(place):
    check(place)
    (place / "c.xml").unlink()
    assert check(place)[0] == 1


def test_skipped_tests_are_told(place):
    (place / "python.xml").write_text(junit(1000, n_skipped=3))
    status, lines = check(place)
    assert status == 0
    assert "    skipped: 3 x no such thing here" in lines
    assert ", 6 tests skipped" in lines[-2]


def test_another_clang_format_is_told(place):
    write_command(place / "bin/clang-format", 'echo "Debian clang-format version 19.1.7"')
    status, lines = check(place)
    assert status == 0
    line = next(i for i, line in enumerate(lines) if line.startswith("format"))
    assert "0 passed, 0 failed, 1 skipped" in lines[line]
    assert "no clang-format 14 but Debian clang-format version 19.1.7" in lines[line + 1]


def test_a_build_that_fails_ends_it(place):
    meson = place / "bin/meson"
    meson.write_text(meson.read_text().replace("case $1", 'case "$1 $3" in "compile build") '
                                               "exit 1 ;; esac\ncase $1"))
    status, lines = check(place)
    assert status == 1
    assert f"3 of {len(listing())} stages were run" in lines
    assert lines[-1] == "2 passed, 1 failed"


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
def test_a_release(place, release):
    write_command(place / "tools/check.d/release", 'echo "release $*" >>calls; echo done')
    assert check(place, "--release", release) == (0, ["done"])
    assert calls(place) == ["packages slow", f"release {release}"]


def test_a_stage_that_counts_counts(place):
    write_command(place / "tools/check.d/release", 'echo "5000 passed, 0 failed"')
    write_command(place / "tools/check.d/image", "echo fine")
    meson = place / "bin/meson"
    meson.write_text(meson.read_text().replace("check.junit", "check-slow.junit"))
    status, lines = check(place, "--slow")
    assert status == 0
    in_roots = 1 + 2 * 5000 if os.getuid() == 0 else 0  # else skipped
    assert lines[-1] == f"{2 * 5000 + 2 * 1000 + 4 + in_roots} passed, 0 failed"


@pytest.mark.parametrize("arguments", [("--fast",), ("--release",), ("--release", "sid")])
def test_a_wrong_argument(place, arguments):
    done = subprocess.run([place / "tools/check", *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert "usage: tools/check" in done.stderr
    assert not (place / "calls").exists()
