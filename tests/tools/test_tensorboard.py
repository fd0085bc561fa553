"""What TensorBoard itself reads of a training."""

import json
import signal
import subprocess
import time

import pytest
from tensorboard.backend.event_processing import event_accumulator

EVERYTHING = {"scalars": 0, "images": 0}


def read(run):
    events = event_accumulator.EventAccumulator(str(run), size_guidance=EVERYTHING)
    events.Reload()
    return events


def test_numbers_and_pictures(trainer):
    trainer.recipe["progress"] |= {"tensorboard": True, "grid_every": 3}
    assert trainer("run").returncode == 0
    run = trainer.folder / "run"
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    events = read(run)
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    for tag in ("loss", "grad_norm", "grad_norm_max", "lr", "skipped", "images_per_s", "idle"):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [1, 2, 3, 4, 5, 6]
        for scalar, line in zip(scalars, lines, strict=True):
            assert scalar.value == pytest.approx(line[tag], rel=2e-3, abs=1e-4)
            assert abs(scalar.wall_time - time.time()) < 1000
    bins = {(scalar.step, i): scalar.value for i in range(10) if f"loss_t/0.{i}" in events.Tags()["scalars"]
            for scalar in events.Scalars(f"loss_t/0.{i}")}  # fmt: skip
    assert bins == {
        (line["step"], i): pytest.approx(value, rel=1e-4)
        for line in lines
        for i, value in enumerate(line["loss_t"])
        if value is not None
    }
    grids = events.Images("grid")
    assert [grid.step for grid in grids] == [3, 6]
    for grid in grids:
        assert (grid.width, grid.height) == (8 * 18 - 2, 8 * 18 - 2)
        assert grid.encoded_image_string == (run / f"grid-{grid.step:06}.png").read_bytes()


def test_lost_steps_are_forgotten(trainer):
    """Each process has a file of its own, and what came after the last save is drawn once."""
    run = trainer.folder / "run"
    trainer.recipe["progress"]["tensorboard"] = True
    assert trainer("run", "--steps", 3).returncode == 0
    trainer.recipe["progress"]["checkpoint_minutes"] = 1000
    process = subprocess.Popen(
        trainer.command("run", "--steps", 1000000), stderr=subprocess.DEVNULL
    )
    while process.poll() is None and (run / "log.jsonl").read_text().count("\n") < 10:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1)  # files are read in the order of their seconds
    assert trainer("run", "--steps", 6).returncode == 0
    assert len(list(run.glob("events.out.tfevents.*"))) == 3
    assert [scalar.step for scalar in read(run).Scalars("loss")] == [1, 2, 3, 4, 5, 6]


def test_no_event_files_unless_asked_for(trainer):
    assert trainer("run", "--steps", 1).returncode == 0
    assert not list((trainer.folder / "run").glob("events*"))
