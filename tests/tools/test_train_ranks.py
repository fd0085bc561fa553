"""softdiff-train with several ranks: the same training as with one, and the end of one is that of all."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import mpi
import numpy
import pictures
import pytest
import safetensors_file

ARRAYS = ["adam.m", "adam.v", "ema", "weights"]


@pytest.fixture(autouse=True)
def module(build_dir):
    if not (build_dir / "engine/communicator/softdiff-mpi.so").exists():
        pytest.skip("built without MPI")


@pytest.fixture
def everything(trainer, program, tmp_path):
    """A training with all that a recipe can ask for, on a packed data set with labels."""
    for i, name in enumerate(["cat", "dog", "ox"] * 4):
        (trainer.data / name).mkdir(exist_ok=True)
        (trainer.data / f"{i}.png").rename(trainer.data / name / f"{i}.png")
    done = subprocess.run(
        [program("softdiff-convert"), "dataset", trainer.data, tmp_path / "packed"]
        + ["--side", "16", "--labels"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trainer.data = tmp_path / "packed"
    trainer.recipe["architecture"] |= {"n_labels": 3, "augment": True}
    trainer.recipe["data"] = {"augment": 0.5}
    trainer.recipe |= {
        "output": "scaled",
        "objective": {"look_ahead": 0.1, "residual": 0.1, "perturbation": 0.1, "colors": "alike"},
    }
    trainer.recipe["training"] |= {"weight": "balanced", "label_dropout": 0.3}
    return trainer


def command(trainer, n, run, *arguments):
    return mpi.command(n, trainer.command(run, "--threads", "1", *arguments))


def ranks(trainer, n, run, *arguments):
    return mpi.run(n, trainer.command(run, "--threads", "1", *arguments))


def start(trainer, n, run, *arguments):
    return mpi.start(n, trainer.command(run, "--threads", "1", *arguments))


def pids(process, n):
    """The process of each rank, by what mpirun tells it."""
    found = {}
    while len(found) < n:
        assert process.poll() is None
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                variables = (folder / "environ").read_bytes().split(b"\0")
                rank = [v.split(b"=")[1] for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
            except OSError:
                continue
            if parent == process.pid and rank:
                found[int(rank[0])] = int(folder.name)
    return found


def state(trainer, run):
    arrays, metadata = safetensors_file.read(trainer.folder / run / "state.safetensors")
    assert sorted(arrays) == ARRAYS
    return arrays, json.loads(metadata["softdiff_training"])


def same(trainer, one, other):
    one, other = state(trainer, one)[0], state(trainer, other)[0]
    return all(one[name].tobytes() == other[name].tobytes() for name in ARRAYS)


def log(trainer, run):
    return [json.loads(line) for line in (trainer.folder / run / "log.jsonl").read_text().splitlines()]


def wait_for(path, process):
    while process.poll() is None and not (path.exists() and path.stat().st_size):
        time.sleep(0.02)


def test_two_ranks_are_one(everything):
    """With a chunk of the batch each, bit for bit: what each adds is what one would have added."""
    trainer = everything
    trainer.recipe["progress"]["grid_every"] = 6
    assert trainer("one").returncode == 0
    done = ranks(trainer, 2, "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("event=trainer ") == 1 and " ranks=2 " in done.stderr
    assert same(trainer, "one", "two")
    for name in ("model.safetensors", "start.safetensors", "grid-000006.png"):
        one, two = (trainer.folder / run / name for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name
    assert sorted(path.name for path in (trainer.folder / "two").iterdir()) == [
        "grid-000006.png", "log.jsonl", "model.safetensors", "start.safetensors", "state.safetensors"
    ]  # fmt: skip
    for one, two in zip(log(trainer, "one"), log(trainer, "two"), strict=True):
        for name in ("step", "images", "loss", "loss_t", "grad_norm", "lr"):
            assert one[name] == two[name], name


def test_sums_of_sums_are_rounded(trainer):
    """With more chunks than ranks, to rounding; the images, times and noise are the same."""
    trainer.recipe["training"] |= {"batch": 32, "steps": 3}
    assert trainer("one", "--precision", "fp32").returncode == 0
    for n in (2, 4):
        done = ranks(trainer, n, f"ranks{n}", "--precision", "fp32")
        assert done.returncode == 0, done.stderr
        for one, other in zip(log(trainer, "one"), log(trainer, f"ranks{n}"), strict=True):
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
            assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
        for name in ("adam.m", "weights"):
            one, other = (numpy.array(state(trainer, run)[0][name]) for run in ("one", f"ranks{n}"))
            difference = numpy.abs(one - other).max() / numpy.abs(one).max()
            assert difference < 1e-6, name


def test_a_batch_in_parts_is_the_batch(trainer):
    trainer.recipe["training"]["batch"] = 32
    assert trainer("whole").returncode == 0
    assert trainer("parts", "--accumulate", 4).returncode == 0
    assert same(trainer, "whole", "parts")
    assert ranks(trainer, 2, "two").returncode == 0
    assert ranks(trainer, 2, "both", "--accumulate", 2).returncode == 0
    assert same(trainer, "two", "both")
    done = trainer("not", "--accumulate", 5)
    assert done.returncode == 1
    assert "a batch of 32 cannot be divided among 1 ranks with 5 runs each" in done.stderr


def test_errors_are_told_once(trainer):
    done = ranks(trainer, 3, "three")
    assert done.returncode == 1
    assert done.stderr.count("a batch of 4 cannot be divided among 3 ranks with 1 runs each") == 1
    done = ranks(trainer, 2, "dry", "--dry-run")
    assert done.returncode == 1 and done.stderr.count("a dry run is of one rank") == 1
    trainer.recipe["loss"] = "none"
    done = ranks(trainer, 2, "wrong")
    assert done.returncode == 1 and done.stderr.count("recipe.json") == 1


@pytest.mark.slow
def test_ranks_that_cannot_agree(trainer):
    """Other pictures, or another arithmetic, on one of the machines."""
    other = trainer.folder / "other"
    shutil.copytree(trainer.data, other)
    pictures.write(other / "0.png", 16, 1000)
    # Not two programs with ":" between them, of which mpirun of Open MPI 5.0.7 dies itself.
    script = 'test "$OMPI_COMM_WORLD_RANK" = 0 || set -- "$@" $MORE; exec "$@"'
    for more, text in (
        (f"--data {other}", "rank 1: the pictures in"),
        ("--device reference", "rank 1: computes other bytes than rank 0: here in "),
    ):
        program = trainer.command("run", "--threads", "1", "--steps", "1")
        done = subprocess.run(
            mpi.command(2, ["sh", "-c", script, "sh", *program]),
            capture_output=True, text=True, check=False, env=mpi.environment() | {"MORE": more},
        )  # fmt: skip
        assert done.returncode == 1 and done.stderr.count(text) == 1, done.stderr


@pytest.mark.parametrize("n", [1, 2])
def test_kill_9_at_a_random_step(everything, n):
    """It goes on from what was saved, to the bytes of a training that nobody killed."""
    trainer = everything
    chance = random.Random(os.urandom(8))
    trainer.recipe["progress"] |= {"checkpoint_minutes": 0.01, "log_every": 1}
    log_file = trainer.folder / "run" / "log.jsonl"
    process = start(trainer, n, "run", "--steps", 1000000)
    while process.poll() is None and not (trainer.folder / "run" / "state.safetensors").exists():
        time.sleep(0.02)
    time.sleep(chance.uniform(0.1, 0.8))
    for pid in pids(process, n).values():
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    saved = state(trainer, "run")[1]["step"]
    killed = len(log_file.read_text().splitlines())
    assert killed >= saved > 0
    steps = max(saved, killed) + 2
    done = ranks(trainer, n, "run", "--steps", steps)
    assert done.returncode == 0, done.stderr
    assert f"event=resumed step={saved}" in done.stderr
    assert ranks(trainer, n, "through", "--steps", steps).returncode == 0
    assert same(trainer, "run", "through")
    assert [line["step"] for line in log(trainer, "run")] == list(range(1, steps + 1))


def test_a_rank_that_dies_ends_all(trainer):
    trainer.recipe["progress"]["checkpoint_minutes"] = 0.01
    process = start(trainer, 2, "run", "--steps", 1000000)
    wait_for(trainer.folder / "run" / "state.safetensors", process)
    os.kill(pids(process, 2)[1], signal.SIGKILL)
    _, text = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "rank 1" in text and "signal 9" in text, text
    saved = state(trainer, "run")[1]["step"]
    done = trainer("run", "--steps", saved + 1)  # by fewer, which is told
    assert done.returncode == 0, done.stderr
    assert f"event=resumed step={saved}" in done.stderr
    assert "event=changed key=ranks before=2 after=1" in done.stderr


@pytest.mark.parametrize("who", [0, 1, "mpirun"])
@pytest.mark.sanitizers
def test_a_signal_to_any_rank_saves_and_stops_all(trainer, who):
    """And one to mpirun, which hands it on, but no longer what ranks say then."""
    process = start(trainer, 2, "run", "--steps", 1000000)
    wait_for(trainer.folder / "run" / "log.jsonl", process)
    os.kill(process.pid if who == "mpirun" else pids(process, 2)[who], signal.SIGTERM)
    _, text = process.communicate(timeout=60)
    if who != "mpirun":
        assert process.returncode == 0 and "reason=signal" in text, text
    step = state(trainer, "run")[1]["step"]
    assert step == log(trainer, "run")[-1]["step"]
    assert ranks(trainer, 2, "through", "--steps", step).returncode == 0
    assert same(trainer, "run", "through")


def test_time_is_up_for_all(trainer):
    for minutes in (0.02, 0.2, 1):  # of which the beginning takes its part
        done = ranks(trainer, 2, "run", "--steps", 1000000, "--minutes", minutes)
        assert done.returncode == 0 and "reason=time" in done.stderr, done.stderr
        if "reason=time step=0 " not in done.stderr:
            break
    done = ranks(trainer, 2, "run", "--steps", state(trainer, "run")[1]["step"])
    assert done.returncode == 0 and "reason=done" in done.stderr, done.stderr


def test_without_the_module(trainer):
    """A rank of several that cannot meet the others must not train alone."""
    done = trainer(
        "run", env=os.environ | {"OMPI_COMM_WORLD_SIZE": "2", "SOFTDIFF_MODULE_DIR": "/nowhere"}
    )
    assert done.returncode == 1
    assert "one of several ranks, which need MPI: softdiff-mpi.so is not installed" in done.stderr
    assert not (trainer.folder / "run").exists()
