"""tools/run: what it does with its arguments, before it builds and when it serves."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def place(tmp_path, program):
    """A folder with the script and what it reads. Commands tell the file "calls" that they were
    called; meson builds a daemon that tells its arguments and ends, or, asked for its settings,
    is the real one."""
    for name in ("tools/run", "config/settings.c", "model/zoo/faces32.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    write_command(tmp_path / "tools/packages", 'echo "packages $*" >>calls')
    write_command(tmp_path / "daemon", f'case "$*" in\n*--print-config*) exec {program("softdiffd")}'
                  ' "$@" ;;\nesac\necho "softdiffd $*" >>calls')
    write_command(tmp_path / "bin/meson", 'echo "meson $*" >>calls\n'
                  "mkdir -p build/server && cp daemon build/server/softdiffd")
    return tmp_path


def write_command(path, body):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(place, *arguments, **variables):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("SOFTDIFF_")}
    environment.update(variables, PATH=f"{place}/bin:{os.environ['PATH']}")
    done = subprocess.run([place / "tools/run", *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    calls = place / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_builds_and_serves(place):
    done, calls = run(place)
    assert done.returncode == 0, done.stderr
    assert calls[0] == "packages build readme"
    assert calls[1].startswith("meson setup build")
    assert calls[-1] == "softdiffd --model faces32=model/zoo/faces32.safetensors --model-dir model/zoo"
    assert "Open http://127.0.0.1:8080 once" in done.stdout


def test_help_needs_no_build(place):
    done, calls = run(place, "--listen", "127.0.0.1:1", "--help")
    assert done.returncode == 0
    assert "usage: tools/run" in done.stdout and "--max-queue" in done.stdout
    assert calls == []


@pytest.mark.parametrize("arguments", [
    ("--colour", "red"),
    ("--colour=red",),
    ("--listen",),
    ("red",),
    ("--listen", "127.0.0.1:1", "red"),
    ("-y",),
])
def test_a_wrong_argument_is_told_before_the_build(place, arguments):
    done, calls = run(place, *arguments)
    assert done.returncode == 2
    assert "tools/run: " in done.stderr
    assert calls == []


def test_knows_every_flag_of_the_daemon(place, program):
    text = subprocess.run([program("softdiffd"), "--help"], capture_output=True, text=True,
                          check=True).stdout
    flags = re.findall(r"^  (--[a-z-]+) \S", text, re.MULTILINE)
    assert "--config" in flags and len(flags) > 10
    done, _ = run(place, "--help")
    assert set(re.findall(r"^  (--[a-z-]+)$", done.stdout, re.MULTILINE)) == set(flags)


@pytest.mark.parametrize("arguments", [
    ("--yes", "--slots", "4", "--threads=2"),
    ("--slots", "4", "--yes", "--threads=2"),
    ("--slots", "4", "--threads=2", "--yes"),
])
def test_yes_stands_anywhere(place, arguments):
    done, calls = run(place, *arguments)
    assert done.returncode == 0, done.stderr
    assert calls[0] == "packages --yes build readme"
    assert calls[-1].endswith("--model-dir model/zoo --slots 4 --threads=2")


def test_arguments_keep_their_words(place):
    """The daemon itself refuses the value: it is one word."""
    done, _ = run(place, "--listen", "no address * at all")
    assert done.returncode != 0
    assert '"no address * at all"' in done.stderr


@pytest.mark.parametrize("arguments,variables,page", [
    (("--listen", "127.0.0.1:8123"), {}, "http://127.0.0.1:8123"),
    (("--listen=[::1]:8123",), {}, "http://[::1]:8123"),
    (("--listen", "0.0.0.0:8123"), {}, "http://127.0.0.1:8123"),
    (("--listen", "127.0.0.1:0"), {}, "the address that the log's line listener=public names,"),
    ((), {"SOFTDIFF_LISTEN": "127.0.0.1:8124"}, "http://127.0.0.1:8124"),
    (("--config", "file.json"), {}, "http://127.0.0.1:8125"),
])
def test_names_the_page_that_is_served(place, arguments, variables, page):
    (place / "file.json").write_text('{"listen": "127.0.0.1:8125"}')
    done, _ = run(place, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert f"Open {page} once" in done.stdout


def test_without_the_model(place):
    (place / "model/zoo/faces32.safetensors").unlink()
    done, calls = run(place)
    assert done.returncode == 1
    assert "is missing, so there is nothing to serve" in done.stderr
    assert calls == []


def test_a_folder_without_tests_fails_its_tests(tmp_path):
    """What tools/run sets up has no tests. Whoever runs them there must hear of it."""
    build = tmp_path / "build"
    subprocess.run(["meson", "setup", build, ROOT, "-Dtests=false"], check=True,
                   capture_output=True)
    done = subprocess.run(["meson", "test", "-C", build, "--no-rebuild"], capture_output=True,
                          text=True, check=False)
    assert done.returncode != 0
    assert "-Dtests=true" in done.stdout
