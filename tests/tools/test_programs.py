"""What every program does: its version, its help, and life without standard files."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
import safetensors_file

PROGRAMS = ["softdiffd"] + [
    f"softdiff-{name}" for name in ("bench", "convert", "eval", "inspect", "sample", "schedule", "simulate",
        "train")
]
COMMANDS = [
    ("softdiff-eval", command) for command in ("stats", "distance", "curve", "gaussian", "choose")
] + [
    ("softdiff-inspect", command) for command in ("run", "compare")
] + [("softdiff-schedule", command) for command in ("fit", "solver")
] + [("softdiff-convert", command) for command in ("upgrade", "defaults")]  # fmt: skip

DEVICES = [
    [name] for name in PROGRAMS
    if name not in ("softdiff-convert", "softdiff-eval", "softdiff-schedule")
] + [["softdiff-eval", "curve"], ["softdiff-eval", "gaussian"], ["softdiff-eval", "choose"],
     ["softdiff-inspect", "run"], ["softdiff-inspect", "compare"]]
ZOO = str(pathlib.Path(__file__).resolve().parents[2] / "model" / "zoo" / "faces32.safetensors")


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
    assert done.stdout == (
        f"{name} {want}\nCUDA engine: tested on a simulated device only\n")
    assert "--version" in run(program(name), "--help").stdout


@pytest.mark.parametrize("command", [[name] for name in PROGRAMS] + list(map(list, COMMANDS)))
def test_help(program, command):
    """All have one form, and fit a terminal."""
    done = run(program(command[0]), *command[1:], "--help")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert any(line.startswith("usage: " + " ".join(command)) for line in lines)
    assert max(map(len, lines)) <= 100
    for option in ("--help", "--version"):
        assert any(re.match(f" +{option}", line) for line in lines)


@pytest.mark.parametrize("command", DEVICES)
def test_devices_are_listed(program, command):
    """Also those that cannot be used here, with the reason."""
    done = run(program(command[0]), *command[1:], "--list-devices",
               env=os.environ | {"SOFTDIFF_MODULE_DIR": "/nowhere"})
    assert done.returncode == 0 and done.stderr == ""
    rows = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {"cuda", "cpu", "reference"} == {name.split(":")[0] for name in rows}
    assert rows["cpu"].startswith("oneDNN ") and rows["cuda"].startswith("cannot be used: ")
    assert "--list-devices" in run(program(command[0]), *command[1:], "--help").stdout


def test_a_device_that_is_not_there_is_told_in_a_line(program, tmp_path):
    done = run(program("softdiff-sample"), ZOO, "--device", "cuda:1", "--out", str(tmp_path),
               env=os.environ | {"SOFTDIFF_MODULE_DIR": "/nowhere"})
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert re.search('device "cuda": (there is no driver: |softdiff-cuda.so is not)', done.stderr)


@pytest.mark.parametrize("name, command", COMMANDS)
def test_version_of_a_command(program, name, command):
    done = run(program(name), command, "--version")
    assert done.returncode == 0 and done.stdout.startswith(name + " ")


WRONG = {  # command lines that no file and no machine would make right
    "softdiffd": [
        "", "--check", "--slots 0", "--slots", "--slots=many", "--model a", "--model a=b --model a=c", "extra",
        "-h", "--help=yes", "--precision fp7 --check", "--idle-timeout 5parsecs", "--listen nowhere --check",
        "--healthcheck --admin-listen 1.2.3.4:99999",
        "--device abacus --check",
    ],
    "softdiff-bench": [
        "", "a b", "a --batch 0", "a --batch 1,,2", "a --threads x", "a --threads 1,", "a --precision fp7",
        "a --precision fp32,", "a --ticks 0", "a --ticks 1 --train", "a --trace x --plan", "a --rounds 0",
        "a --batch " + ",".join(["1"] * 17), "a --seconds nan", "a --batch 99999999999999999999",
        "a --device abacus",
    ],
    "softdiff-convert": [
        "", "downgrade a b", "upgrade", "upgrade a", "upgrade a b c", "defaults a b", "defaults a b --nfe 0",
        "defaults a b --sampler magic", "defaults a b --excess 2",
    ],
    "softdiff-eval": [
        "", "guess", "stats", "stats a", "stats a --out b --side 0", "distance a", "distance a b --side many",
        "curve", "curve a --reference b", "curve --reference a --csv b", "curve a --reference b --csv c --nfe 0",
        "curve a --reference b --csv c --samplers magic", "curve a --reference b --csv c --precision fp7",
        "curve a --reference b --csv c -n 1",
        "curve a --reference b --csv c --device cpu:1",
    ],
    "softdiff-inspect": [
        "", "a b", "run", "run a", "run -a a -w b -i c -o d --precision fp7", "compare", "compare a cpu",
        "compare a cpu cpu -n 0", "compare a cpu cpu --tolerance inf", "a --json=yes",
        "run -a a -w b -i c -o d --device abacus", "compare a cpu abacus",
    ],
    "softdiff-sample": [
        "", "a", "a --out b --grid c", "a --grid b --nfe 0", "a --grid b --sampler magic", "a --grid b --seed -1",
        "a --grid b --precision fp7", "a --grid b -n 0", "a --grid b --threads 0", "a --grid",
        "a --grid b --device cuda:x",
    ],
    "softdiff-schedule": [
        "", "guess", "fit", "fit a", "fit a b", "fit a b c --data d", "solver", "solver a", "solver a b c", "solver a b --nfe 1,", "solver a b --nfe 0",
        "solver a b --target 3", "solver a b --noise nan",
    ],
    "softdiff-simulate": [
        "", "a --ticks 1:2", "--ticks 1", "--ticks 1:2 --slots 2", "--ticks 1:2 --rate 0", "--ticks 1:2 --images x",
        "--ticks 1:2 --nfe 5:", "--ticks 1:2 --precision fp7", "--ticks 1:2 --load 1,,2",
        "a --load 1 --device abacus",
    ],
    "softdiff-train": [
        "", "-r a", "-r a -d b", "-r a -d b -o c extra", "-r a -d b -o c --steps 0", "-r a -d b -o c --steps 1.5",
        "-r a -d b -o c --minutes 0", "-r a -d b -o c --precision fp7",
        "-r a -d b -o c --device abacus",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_mistakes_on_the_command_line(program, name):
    """One convention: a line that names the program and the help, exit code 2, nothing touched."""
    for words in ["--colour red", *WRONG.get(name, [""])]:
        done = run(program(name), *words.split())
        assert done.returncode == 2 and done.stdout == "", (words, done)
        assert done.stderr.startswith(name) and done.stderr.count("\n") == 1, (words, done)
        assert "--help" in done.stderr, (words, done)
    assert "--colour" in run(program(name), "--colour", "red").stderr


def test_mistakes_in_settings(program, tmp_path):
    """They are the daemon's command line, wherever they stand; a file that is not there is no such mistake."""
    config = tmp_path / "config.json"
    for text in ('{"slots": 0}', '{"slotz": 1}', "[]", "{", '{"slots": 1, "slots": 2}', '{"slots": null}'):
        config.write_text(text)
        done = run(program("softdiffd"), "--config", config)
        assert done.returncode == 2 and str(config) in done.stderr, (text, done)
    done = run(program("softdiffd"), env=os.environ | {"SOFTDIFF_SLOTS": "many"})
    assert done.returncode == 2 and "SOFTDIFF_SLOTS" in done.stderr
    done = run(program("softdiffd"), "--config", tmp_path / "none")
    assert done.returncode == 1 and "none" in done.stderr
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):  # neither waited for nor read for ever
        done = run(program("softdiffd"), "--config", path, "--print-config")
        assert done.returncode == 2 and "not a regular file" in done.stderr


@pytest.mark.parametrize("script", ["run", "check", "packages"])
def test_mistakes_of_scripts(script):
    path = pathlib.Path(__file__).parents[2] / "tools" / script
    for words in ("--colour", "colour"):
        done = run(path, words)
        assert done.returncode == 2 and done.stdout == "" and f"tools/{script}" in done.stderr, done


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


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["-q"], 'unknown option "-q"'),
        (["-nq"], 'takes a whole number'),
        (["--s", "1"], '"--s" may be one of 2 options'),
        (["--n", "1"], '"--n" may be one of 2 options'),
        (["--magic=1"], 'unknown option "--magic=1"'),
        (["--help=1"], '"--help" takes no value'),
    ],
)
def test_unknown_options_are_named(program, arguments, text):
    done = run(program("softdiff-sample"), "model", *arguments)
    assert done.returncode == 2 and text in done.stderr


def test_outputs_are_tried_before_work_begins(program, model, tmp_path):
    """Here the input is as wrong as the output: which of them is told shows what is looked at first."""
    nowhere, wrong = str(tmp_path / "nowhere" / "x"), str(tmp_path / "wrong")
    for command in (
        ["sample", wrong, "--grid", nowhere],
        ["sample", wrong, "--out", nowhere],
        ["eval", "stats", wrong, "--out", nowhere],
        ["eval", "curve", wrong, "--reference", wrong, "--csv", nowhere],
        ["eval", "curve", wrong, "--reference", wrong, "--csv", wrong + "2", "--svg", nowhere],
        ["simulate", wrong, "--csv", nowhere],
        ["convert", "upgrade", wrong, nowhere],
        ["convert", "defaults", wrong, nowhere, "--nfe", "3"],
        ["schedule", "solver", wrong, nowhere],
        ["bench", wrong, "--tune", nowhere],
        ["bench", wrong, "--trace", nowhere],
        ["simulate", wrong, "--svg", nowhere],
        ["simulate", wrong, "--stream", nowhere],
        ["inspect", "run", "-a", wrong, "-w", wrong, "-i", wrong, "-o", nowhere],
    ):
        done = run(program(f"softdiff-{command[0]}"), *command[1:])
        assert done.returncode == 1 and nowhere in done.stderr, (command, done.stderr)


def test_precision_is_refused_before_pictures_are_read(trainer):
    trainer.recipe["schedule"] = {"levels": [0.01, 8]}
    done = trainer("run", "--precision", "bf16", env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert done.returncode == 1
    assert "bf16 needs a processor" in done.stderr and "event=reading" not in done.stderr


def test_what_is_wrong_is_told_before_pictures_are_read(trainer):
    done = trainer("run", "--from", trainer.folder / "none")
    assert done.returncode == 1
    assert "none" in done.stderr and "event=reading" not in done.stderr
    assert trainer("run", "--steps", 1).returncode == 0
    trainer.recipe["training"]["batch"] = 2
    done = trainer("run")
    assert done.returncode == 1
    assert '"training.batch"' in done.stderr and "event=reading" not in done.stderr


def test_files_that_are_not_there(program, model, tmp_path):
    """Errors name the file and the reason, nothing else."""
    none = str(tmp_path / "none")
    text = f'could not read "{none}": No such file or directory'
    for command in (
        ["sample", none, "--grid", tmp_path / "x.png"],
        ["inspect", none],
        ["simulate", none],
        ["simulate", none + ".json"],
        ["bench", none + ".json"],
        ["convert", "defaults", model, tmp_path / "x", "--solvers", none],
        ["convert", "defaults", model, tmp_path / "x", "--evidence", none],
        ["train", "--recipe", none, "--data", none, "--out", tmp_path / "run"],
    ):
        done = run(program(f"softdiff-{command[0]}"), *map(str, command[1:]))
        want = text.replace(none, none + ".json") if none + ".json" in command else text
        assert done.returncode == 1 and want in done.stderr.replace("checkpoint ", ""), (
            command,
            done.stderr,
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_long_work_stops(program, trainer, model, number, tmp_path):
    commands = [
        ["sample", model, "--grid", tmp_path / "x.png", "-n", 10000, "--nfe", 1000],
        ["simulate", model, "--slots", 4000, "--requests", 10],
        ["bench", model, "--seconds", 1000, "--rounds", 10000, "--batch", 64],
        ["eval", "curve", model, "--reference", trainer.data, "--csv", tmp_path / "x.csv"]
        + ["--nfe", 10000],
    ]
    for command in commands:
        with subprocess.Popen(
            [program(f"softdiff-{command[0]}"), *map(str, command[1:])],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            time.sleep(0.5)
            assert process.poll() is None, command
            process.send_signal(number)
            process.communicate(timeout=60)
            assert process.returncode in (1, -number), command
    assert not list(tmp_path.glob(".*.part")) and not (tmp_path / "x.png").exists()


def writes(folder):
    """Whether a file is half written there; an empty one was only tried."""
    try:
        return any(path.stat().st_size for path in folder.glob(".*.part"))
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_half_files_where_a_program_is_stopped_while_it_writes(program, tmp_path, number):
    zoo = pathlib.Path(__file__).parents[2] / "model/zoo/faces32.safetensors"
    out, old = tmp_path / "out", tmp_path / "old"

    def forget(document):
        document["format"] = 1
        for key in ("defaults", "solvers", "evidence"):
            document.pop(key, None)

    safetensors_file.rewrite(zoo, old, forget)
    for command in (
        ["convert", "upgrade", old, out, "--force"],
        ["convert", "defaults", zoo, out, "--force", "--sampler", "pf-2m", "--nfe", 3],
        ["schedule", "solver", zoo, out, "--force", "--nfe", 4],
    ):
        with subprocess.Popen(
            [program(f"softdiff-{command[0]}"), *map(str, command[1:])], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and not writes(tmp_path):
                pass
            process.send_signal(number)
            process.communicate(timeout=60)
        assert not list(tmp_path.glob(".*.part")), command
        assert process.returncode == 0 and out.stat().st_size > zoo.stat().st_size / 2, command
        out.unlink()


def test_killed_programs_leave_whole_files(program, model, tmp_path):
    """Whenever kill -9 comes: the older file, or the newer one."""
    old = b"older"
    commands = {
        "x.png": ["sample", model, "--grid", tmp_path / "x.png", "-n", 64, "--nfe", 1],
        "x.csv": ["simulate", "--ticks", "1:2", "--slots", 1, "--requests", 3000, "--csv",
                  tmp_path / "x.csv", "--stream", tmp_path / "y.csv", "--svg", tmp_path / "x.svg"],
    }  # fmt: skip
    for name, command in commands.items():
        command = [program(f"softdiff-{command[0]}"), *map(str, command[1:])]
        assert run(*command).returncode == 0
        names = [path.name for path in tmp_path.glob(name[0] + "*")] + ["y.csv"] * (name == "x.csv")
        whole = {each: (tmp_path / each).read_bytes() for each in names}
        for i in range(12):
            for each in names:
                (tmp_path / each).write_bytes(old)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                time.sleep(0.01 * i)
                process.kill()
            for each in names:
                assert (tmp_path / each).read_bytes() in (old, whole[each]), each
        for each in names:
            (tmp_path / each).unlink()
