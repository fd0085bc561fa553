"""Averages of any length after a training, against those that were kept during it."""

import json
import shutil
import subprocess

import numpy
import pytest
import safetensors_file

STEPS = 60


@pytest.fixture
def convert(program):
    def run(*arguments):
        return subprocess.run(
            [program("softdiff-convert"), "average", *map(str, arguments)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def weights(path):
    tensors, metadata = safetensors_file.read(path)
    values = [numpy.array(tensors[name]) for name in sorted(tensors) if name.startswith("net.")]
    return numpy.concatenate(values), json.loads(metadata["softdiff"])


def train(trainer, run, lengths, *arguments):
    trainer.recipe["training"] |= {"averages": lengths, "lr": 5e-3, "steps": STEPS}
    trainer.recipe["progress"] |= {"averages_every": 5, "log_every": 10}
    done = trainer(run, *arguments)
    assert done.returncode == 0, done.stderr
    return trainer.folder / run


@pytest.mark.sanitizers
def test_an_average_made_afterwards_is_the_one_kept(trainer, convert):
    stored = train(trainer, "stored", [0.05, 0.1])
    kept = train(trainer, "kept", [0.07, 0.15])
    assert (stored / "model.safetensors").read_bytes() == (kept / "model.safetensors").read_bytes()
    assert sorted(path.name for path in stored.glob("average-*")) == [
        f"average-{step:06}.safetensors" for step in range(5, STEPS + 1, 5)
    ]
    out = trainer.folder / "out.safetensors"
    for length, step, limit in ((0.07, STEPS, 0.003), (0.15, STEPS, 0.015), (0.07, 40, 0.015)):
        made = []
        for run in (kept, stored):
            done = convert(run, out, "--length", length, "--step", step, "--force")
            assert done.returncode == 0, done.stderr
            values, document = weights(out)
            made.append(values)
            assert f"length {length:g} at step {step}" in done.stdout
            assert document["provenance"]["steps"] == step
            assert document["provenance"]["images"] == 4 * step
            assert document["provenance"]["average_length"] == pytest.approx(length)
        start = weights(kept / "start.safetensors")[0]
        moved = numpy.linalg.norm(made[0] - start)
        assert numpy.linalg.norm(made[1] - made[0]) < limit * moved
    # What the run of 0.07 says of itself is what its state has, in the same order.
    assert convert(kept, out, "--length", 0.07, "--force").returncode == 0
    state, _ = safetensors_file.read(kept / "state.safetensors")
    tensors, _ = safetensors_file.read(out)
    mine = numpy.concatenate([numpy.array(v) for name, v in tensors.items() if name.startswith("net.")])
    assert numpy.abs(mine - numpy.array(state["average.0"])).max() < 1e-4 * numpy.abs(mine).max()


def test_averages_resume_exactly(trainer):
    through = train(trainer, "through", [0.05, 0.2])
    for steps in (37, STEPS):
        parts = train(trainer, "parts", [0.05, 0.2], "--steps", steps)
    for path in through.glob("*.safetensors"):
        if path.name != "state.safetensors":
            assert path.read_bytes() == (parts / path.name).read_bytes(), path.name
    one, other = (safetensors_file.read(run / "state.safetensors")[0] for run in (through, parts))
    assert sorted(one) == ["adam.m", "adam.v", "average.0", "average.1", "ema", "weights"]
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes(), name
    trainer.recipe["training"]["averages"] = [0.05]
    done = trainer("parts", "--steps", STEPS + 1)
    assert done.returncode == 1 and '"training.averages"' in done.stderr


def test_what_cannot_be_made_is_told(trainer, convert):
    run = train(trainer, "run", [0.1])
    out = trainer.folder / "out.safetensors"
    for arguments, text in (
        (["--length", 0.02], "the length 0.02 cannot be made from what is stored"),
        (["--length", 0.1, "--step", 3], "no averages are stored in"),
        (["--length", 0.1, "--step", 42], "those before end at 40"),
    ):
        done = convert(run, out, *arguments)
        assert done.returncode == 1 and text in done.stderr, done.stderr
    done = convert(run, out)
    assert done.returncode == 2 and "--length is needed" in done.stderr
    trainer.recipe["training"]["seed"] = 9
    other = train(trainer, "other", [0.1])
    shutil.copy(other / "average-000030.safetensors", run)
    done = convert(run, out, "--length", 0.1)
    assert done.returncode == 1 and "is of another training" in done.stderr, done.stderr
    (run / "average-000030.safetensors").write_bytes(b"nothing")
    done = convert(run, out, "--length", 0.1)
    assert done.returncode == 1 and "average-000030" in done.stderr, done.stderr
    del trainer.recipe["training"]["averages"]
    assert trainer("plain", "--steps", 1).returncode == 0
    done = convert(trainer.folder / "plain", out, "--length", 0.1)
    assert done.returncode == 1 and "its recipe needs training.averages" in done.stderr
    assert not out.exists()
    out.write_text("mine")
    done = convert(run, out, "--length", 0.1)
    assert done.returncode == 1 and "--force" in done.stderr and out.read_text() == "mine"
