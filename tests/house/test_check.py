"""tools/check: nothing that it should run is left out without a word."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

CASE = '<testcase classname="a" name="{name}" time="{time}">{result}</testcase>'
SKIPPED = '<skipped message="no such thing here"/>'


def listing(*arguments):
    text = subprocess.run([ROOT / "tools/check", "--list", *arguments], capture_output=True,
                          text=True, check=True).stdout
    return [(int(least), name) for least, name in
            (line.split(" ", 1) for line in text.splitlines())]


@pytest.mark.parametrize("arguments, n", [((), 13), (("--slow",), 29), (("--golden",), 6)])
def test_the_stages(arguments, n):
    stages = listing(*arguments)
    assert len(stages) == n
    assert len({name for _, name in stages}) == n
    for least, name in stages:
        assert least >= (100 if name == "C tests threads"
                         else 1000 if "C tests" in name or "Debian" in name
                         else 5 if "tests" in name or "golden" in name else 1)


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
    for name in "api config engine model server tools tests .ci .venv".split():
        (tmp_path / name).mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests/requirements.txt", tmp_path / ".venv/requirements.txt")
    write_command(tmp_path / "tools/packages", 'echo "packages $*" >>calls')
    write_command(tmp_path / "tools/unpacked", ":")
    write_command(tmp_path / "tools/cuda", 'echo "cuda" >>calls')
    write_command(tmp_path / "bin/clang-format", 'echo "clang-format version 14.0.6"')
    for name in ("clang", "clang-tidy", "cppcheck", "gcovr", "shellcheck"):
        write_command(tmp_path / "bin" / name, f'echo "{name} $*" >>calls')
    # meson setup FOLDER ..., meson configure FOLDER ..., meson compile -C F, meson test -C F ...
    write_command(tmp_path / "bin/meson", """echo "meson $*" >>calls
case $1 in
setup) mkdir -p "$2" && touch "$2/build.ninja" ;;
test)
    mkdir -p "$3/meson-logs"
    case $* in *"--setup slow"*) name=check-slow ;; *) name=check ;; esac
    cp c.xml "$3/meson-logs/$name.junit.xml"
    ;;
esac""")
    write_command(tmp_path / ".venv/bin/python",
                  'for word; do [ "$last" != --junitxml ] || cp python.xml "$word"; '
                  "last=$word; done")
    (tmp_path / "c.xml").write_text(junit(5000))
    (tmp_path / "python.xml").write_text(junit(1000))
    (tmp_path / ".gitignore").write_text("/*\n!/engine\n")
    (tmp_path / "engine/a.h").touch()
    for name in "abc":
        (tmp_path / f"engine/{name}.c").write_text(f'#include "engine/{name}.h"\n')
    (tmp_path / "build").mkdir()
    (tmp_path / "build/compile_commands.json").write_text(
        "".join(f'    "file": "../engine/{name}.c",\n' for name in ("a", "b", "c", "new")))
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    (tmp_path / "engine/b.c").touch()
    commit(tmp_path, "--allow-empty")
    return tmp_path


def git(place, *arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=place,
                   check=True)


def commit(place, *options):
    git(place, "add", "--all")
    git(place, "commit", "-q", "-m", "a: b", *options)


def write_command(path, body):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def check(place, *arguments, path=None):
    environment = dict(os.environ, PATH=path or f"{place}/bin:{os.environ['PATH']}")
    done = subprocess.run([place / "tools/check", *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def calls(place):
    return (place / "calls").read_text().splitlines()


def test_counts_everything(place):
    status, lines = check(place, "--yes")
    assert status == 0
    assert calls(place)[:2] == ["packages --yes build readme test clients", "cuda"]
    assert lines[-1] == f"{2 * 5000 + 2 * 1000 + 9} passed, 0 failed"
    assert lines[-2].startswith(f"{len(listing())} stages in ")


def test_no_cuda_is_told(place):
    status, lines = check(place, "--no-cuda")
    assert status == 0
    assert "cuda" not in calls(place)
    assert "meson setup build -Dtests=true -Dcuda=disabled -Dmpi=enabled" in calls(place)
    line = next(i for i, line in enumerate(lines) if line.startswith("CUDA's compiler"))
    assert "0 passed, 0 failed, 1 skipped" in lines[line]
    assert lines[line + 1] == "    skipped: the CUDA engine is not built: --no-cuda"


def test_names_the_ten_slowest(place):
    _, lines = check(place)
    start = lines.index("the slowest:")
    assert len(lines) == start + 1 + 10 + 2
    assert "4999.0 s  C-tests" in lines[start + 1] and lines[start + 1].endswith("a.case4999")


def test_a_folder_without_tests_gets_them(place):
    """As tools/run leaves one behind."""
    (place / "build/build.ninja").touch()
    assert check(place)[0] == 0
    configured = calls(place).index("meson configure build -Dtests=true -Dcuda=enabled -Dmpi=enabled")
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
    assert lines[-1] == "2009 passed, 2 failed"


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


def test_a_missing_linter_is_told(place):
    linters = ["clang-tidy", "cppcheck", "shellcheck"]
    for name in linters:
        (place / f"bin/{name}").unlink()
    others = "bash cmp comm cp dirname find git grep mkdir nproc rm sed sort tail touch tr wc xargs"
    for name in others.split():
        write_command(place / "bin" / name, f'exec {shutil.which(name)} "$@"')
    write_command(place / "bin/python3", f'exec {sys.executable} "$@"')
    status, lines = check(place, path=f"{place}/bin")
    assert status == 0, "\n".join(lines)
    for name in linters:
        assert f"    skipped: there is no {name} here: tools/packages slow installs it" in lines


def linted(place, name="clang-tidy"):
    """The C files that a linter was given."""
    words = " ".join(line for line in calls(place) if line.startswith(name + " ")).split()
    return [word for word in words if word.endswith(".c")]


def test_changed_files_are_read(place):
    """On main: since the commit before; those that are not committed, too."""
    (place / "engine/b.c").write_text("int b;\n")
    commit(place)
    check(place)
    assert linted(place) == linted(place, "cppcheck") == ["engine/b.c"]
    (place / "engine/a.h").write_text("int a;\n")
    (place / "engine/new.c").touch()
    (place / "engine/c.c").unlink()
    (place / "calls").unlink()
    check(place)
    assert linted(place) == ["engine/a.c", "engine/b.c", "engine/new.c"]


def test_a_branch_is_read_since_it_left_main(place):
    git(place, "checkout", "-q", "-b", "branch")
    for name in "ac":
        (place / f"engine/{name}.c").write_text("int a;\n")
        commit(place)
    check(place)
    assert linted(place) == ["engine/a.c", "engine/c.c"]


def test_a_first_commit_is_told(place):
    git(place, "checkout", "-q", "--orphan", "lonely")
    commit(place)
    git(place, "branch", "-q", "-D", "main")
    status, lines = check(place)
    assert status == 0
    assert lines.count("    skipped: there is no commit to tell by what has changed") == 2


def test_a_linter_that_complains_fails(place):
    (place / "engine/a.c").write_text("int a;\n")
    write_command(place / "bin/cppcheck", "echo no; exit 1")
    status, lines = check(place)
    assert status == 1 and lines[-1].endswith(" passed, 1 failed")


def test_a_build_that_fails_ends_it(place):
    meson = place / "bin/meson"
    meson.write_text(meson.read_text().replace("case $1", 'case "$1 $3" in "compile build") '
                                               "exit 1 ;; esac\ncase $1"))
    status, lines = check(place)
    assert status == 1
    assert f"5 of {len(listing())} stages were run" in lines
    assert lines[-1] == "4 passed, 1 failed"


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
def test_a_release(place, release):
    write_command(place / "tools/check.d/release", 'echo "release $*" >>calls; echo done')
    assert check(place, "--release", release) == (0, ["done"])
    assert calls(place) == ["packages release", f"release {release}"]


def test_a_stage_that_counts_counts(place):
    write_command(place / "tools/check.d/release", 'echo "5000 passed, 0 failed"')
    write_command(place / "tools/check.d/image", "echo fine")
    write_command(place / "tools/check.d/package", "echo fine")
    status, lines = check(place, "--slow")
    assert status == 0
    assert calls(place)[0] == "packages build readme test clients slow release"
    in_roots = 3 + 2 * 5000 if os.getuid() == 0 else 0  # else skipped
    assert lines[-1] == f"{5 * 5000 + 3 * 1000 + 16 + in_roots} passed, 0 failed"


@pytest.mark.parametrize("arguments", [("--fast",), ("--release",), ("--release", "sid")])
def test_a_wrong_argument(place, arguments):
    done = subprocess.run([place / "tools/check", *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert "usage: tools/check" in done.stderr
    assert not (place / "calls").exists()
