"""Limits of the process: whatever it is short of, a program says so and ends by itself."""

import json
import os
import re
import resource
import subprocess
import urllib.request

import pytest

MIB = 1 << 20
NAMES = ("sample", "inspect", "convert", "bench", "schedule", "simulate", "eval", "train", "check",
         "daemon")  # fmt: skip


@pytest.fixture(scope="session")
def plain(build_dir):
    """Sanitizers need terabytes of addresses, and stacks of their own size."""
    options = json.loads((build_dir / "meson-info" / "intro-buildoptions.json").read_text())
    if {option["name"]: option["value"] for option in options}["b_sanitize"] not in ("none", []):
        pytest.skip("a build with sanitizers")


@pytest.fixture
def commands(program, model, trainer, tmp_path):
    """A command of every program that computes what it is there for."""
    trainer.recipe["schedule"] = {"levels": [0.01, 8]}
    model = str(model)
    return {
        "sample": [program("softdiff-sample"), model, "--grid", tmp_path / "x.png", "--nfe", "2"],
        "inspect": [program("softdiff-inspect"), model],
        "convert": [program("softdiff-convert"), "defaults", model, tmp_path / "x", "-f"]
        + ["--nfe", "3", "--sampler", "sde-2m"],
        "bench": [program("softdiff-bench"), model, "--rounds", "2", "--threads", "2"],
        "schedule": [program("softdiff-schedule"), "solver", model, tmp_path / "x", "-f", "--nfe", "2"],
        "simulate": [program("softdiff-simulate"), model, "--slots", "2", "--requests", "9"],
        "eval": [program("softdiff-eval"), "distance", trainer.data, trainer.data],
        "train": trainer.command("run", "--steps", "1", "--dry-run"),
        "check": [program("softdiffd"), "--model", f"m={model}", "--check"],
        "daemon": [program("softdiffd"), "--model", f"m={model}", "--listen", "127.0.0.1:0"]
        + ["--admin-listen", "127.0.0.1:0"],
    }


def limited(kind, soft, hard=None):
    def apply():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(kind, (soft, soft if hard is None else hard))

    return apply


def serve(command, **options):
    """Lets a daemon answer once. Its exit code and what it said."""
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, **options
    ) as process:
        text, url = "", None
        for line in process.stderr:
            text += line
            if match := re.search(r"listener=public address=(\S+)", line):
                url = "http://" + match[1]
            if "event=ready" in line:
                body = json.dumps({"seed": 1, "n": 4, "nfe": 2}).encode()
                head = {"Content-Type": "application/json"}
                with urllib.request.urlopen(
                    urllib.request.Request(url + "/v1/samples", body, head), timeout=60
                ) as answer:
                    assert answer.status == 200
                process.terminate()
        return process.wait(timeout=60), text


def run(name, command, **options):
    if name == "daemon":
        return serve(command, **options)
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=100, **options
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_address_space(plain, commands, name):
    """From so little that nothing works to enough: never a signal, and no refusal without a word.

    In 58 to 66 MiB oneDNN 3 aborts in its initialisers, before main(): nothing of ours runs there.
    """
    codes = []
    for mib in range(80, 421, 20):
        code, text = run(name, commands[name], preexec_fn=limited(resource.RLIMIT_AS, mib * MIB))
        codes.append(code)
        assert code in (0, 1, 127), f"{mib} MiB: {text}"  # 127: the libraries do not fit
        if code == 1:
            assert re.search("memory|thread|space", text), f"{mib} MiB: {text}"
            if name not in ("train", "daemon"):
                assert text.count("\n") == 1
    assert codes[-1] == 0


@pytest.mark.parametrize("name", NAMES)
def test_stacks(plain, commands, name):
    few = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    unlimited = resource.RLIM_INFINITY
    for soft, hard, works in (
        (128 << 10, 128 << 10, False),
        (1 * MIB, 1 * MIB, True),
        (128 << 10, unlimited, True),  # it is raised
        (unlimited, unlimited, True),
        (2048 * MIB, unlimited, True),
    ):
        limit = limited(resource.RLIMIT_STACK, soft, hard)
        code, text = run(name, commands[name], preexec_fn=limit, env=few)
        assert code == (0 if works else 1), f"{soft} {hard}: {text}"
        if not works:
            assert "the limit of the stack, 128 KiB (ulimit -s)" in text


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("daemon", "train")])
def test_output_that_is_not_taken(commands, name):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            list(map(str, commands[name])), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "could not write to standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("name", NAMES)
def test_help_that_is_not_taken(commands, name, option):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [commands[name][0], option], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "could not write to standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("name", ["sample", "convert", "schedule", "simulate", "eval"])
def test_files_that_may_not_grow(program, commands, tmp_path, trainer, name):
    """An error of the write, not SIGXFSZ; and the older file stays."""
    simulate = [program("softdiff-simulate"), "--ticks", "1:2", "--slots", "1"]
    stats = [program("softdiff-eval"), "stats", trainer.data, "--out"]
    writes = {
        "sample": [*commands["sample"], "-n", "64"],
        "convert": commands["convert"],
        "schedule": commands["schedule"],
        "simulate": [*simulate, "--requests", "99", "--csv", tmp_path / "x", "--load"]
        + [",".join(["0.5"] * 32)],
        "eval": [*stats, tmp_path / "x"],
    }
    for name_of in ("x", "x.png"):
        (tmp_path / name_of).write_text("as it was")
    code, text = run(name, writes[name], preexec_fn=limited(resource.RLIMIT_FSIZE, 1000))
    assert code == 1 and "File too large" in text, text
    for name_of in ("x", "x.png"):
        assert (tmp_path / name_of).read_text() == "as it was"
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "daemon"])
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_closed_standard_files(commands, tmp_path, name, closed):
    """Nothing that is opened later gets their numbers, nor what is meant for a terminal. The daemon
    has tests/api/test_process.py."""

    def close():
        for fd in closed:
            os.close(fd)

    done = subprocess.run(
        list(map(str, commands[name])), preexec_fn=close, check=False, timeout=100
    )
    assert done.returncode == 0
    for path, begin in ((tmp_path / "x.png", b"\x89PNG"), (tmp_path / "x", b"")):
        if path.exists():
            written = path.read_bytes()
            assert written.startswith(begin)
            path.unlink()
            assert subprocess.run(list(map(str, commands[name])), check=False).returncode == 0
            assert path.read_bytes() == written
