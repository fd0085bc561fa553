"""What every program does: its version, its help, and life without standard files."""
import os
import subprocess

import pytest

PROGRAMS = ["softdiffd"] + [
    f"softdiff-{name}" for name in ("bench", "convert", "eval", "inspect", "sample", "simulate", "train")
]
COMMANDS = [
    ("softdiff-eval", command) for command in ("stats", "distance", "curve")
] + [("softdiff-inspect", "run")]  # fmt: skip


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_all_programs_are_known(build_dir):
    made = {path.name for path in build_dir.glob("tools/*/softdiff-*") if path.is_file()}
    assert made == {name for name in PROGRAMS if name != "softdiffd"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_version(program, name):
    done = run(program(name), "--version")
    assert done.returncode == 0 and done.stderr == ""
    want = run(program("softdiffd"), "--version").stdout.split()[1]
    assert done.stdout == f"{name} {want}\n"
    assert "--version" in run(program(name), "--help").stdout


@pytest.mark.parametrize("name, command", COMMANDS)
def test_version_of_a_command(program, name, command):
    done = run(program(name), command, "--version")
    assert done.returncode == 0 and done.stdout.startswith(name + " ")


@pytest.mark.parametrize("name", PROGRAMS)
def test_mistakes_are_told_in_a_line(program, name):
    done = run(program(name), "--colour", "red")
    assert done.returncode in (1, 2) and done.stdout == ""
    assert done.stderr.startswith(f"{name}: ") and done.stderr.count("\n") == 1
    assert "--colour" in done.stderr and "--help" in done.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_standard_files(trainer, closed):
    """No file of a run gets the number that the log is written to."""
    done = subprocess.run(
        trainer.command("run", "--steps", 2), timeout=60, check=False,
        preexec_fn=lambda: [os.close(fd) for fd in closed],
    )  # fmt: skip
    assert done.returncode == 0
    lines = (trainer.folder / "run" / "log.jsonl").read_text().splitlines()
    assert lines and all(line.startswith("{") and line.endswith("}") for line in lines)
