"""Every recipe that ships, made small: it trains, goes on where it stopped, and is drawn with."""

import copy
import json
import os
import pathlib
import statistics
import subprocess

import pytest
import safetensors_file
import small_models
from small_models import SIDE

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "config" / "recipes").glob("*.json"))
RECIPES.remove("low-pass32")  # matrices, for another


def shrink(recipe, side=SIDE):
    """Another size and budget; what makes the recipe stays."""
    recipe["architecture"] |= {
        "image_size": side, "nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [side // 2],
    }  # fmt: skip
    recipe["training"] |= {"batch": 4, "warmup": 2, "lr": 1e-3}
    recipe["progress"] = {"log_every": 1, "grid_every": 0, "checkpoint_minutes": 1000}
    schedule = recipe["schedule"]
    if schedule.get("levels") == "fit":
        schedule |= {"n_levels": 5, "candidates": 40, "images": 12}
    if "level_max" in schedule:
        schedule["level_max"] = {"pixelate": side.bit_length() - 1, "matrices": 7}.get(recipe["corruption"]["name"], 12)
    if recipe["corruption"]["name"] == "product":
        recipe["corruption"]["second"]["levels"] = [side**2, 0]
    if recipe["corruption"]["name"] == "matrices":
        recipe["corruption"]["matrices"] = small_models.low_pass(6, side)
    return recipe


@pytest.fixture
def run(trainer, program):
    """Trains with a recipe at 8 px, in two parts, and draws with what comes out; the losses."""

    def run(name, steps):
        path = ROOT / "config" / "recipes" / f"{name}.json"
        trainer.recipe = shrink(json.loads(path.read_text()), 8)
        if "n_labels" in trainer.recipe["architecture"]:
            trainer.recipe["architecture"]["n_labels"] = 2
            for i, picture in enumerate(sorted(trainer.data.glob("*.png"))):
                (trainer.data / str(i % 2)).mkdir(exist_ok=True)
                picture.rename(trainer.data / str(i % 2) / picture.name)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        for until in (steps // 2, steps):
            done = trainer("run", "--steps", until, env=environment)
            assert done.returncode == 0, done.stderr
        log = [
            json.loads(line) for line in (trainer.folder / "run/log.jsonl").read_text().splitlines()
        ]
        model = trainer.folder / "run" / "model.safetensors"
        assert safetensors_file.raw(model)[1]["provenance"]["steps"] == steps
        assert [line["step"] for line in log if "loss" in line] == list(range(1, steps + 1))
        for arguments in (["-n", "2", "--nfe", "4"], ["--forward", next(trainer.data.rglob("0.png"))]):
            picture = trainer.folder / f"{len(arguments)}.png"
            done = subprocess.run(
                [program("softdiff-sample"), model, *arguments, "--grid", picture],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0 and picture.stat().st_size > 100, done.stderr
        return [line["loss"] for line in log if "loss" in line]

    return run


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_fifty_steps(run, name):
    losses = run(name, 50)
    first, last = (statistics.geometric_mean(part) for part in (losses[:20], losses[-20:]))
    assert last < 2 * first, losses  # few images, some of them at times that count a lot: noisy, but not away


def test_products_and_matrices_are_served(trainer, program):
    """Nothing of a recipe stays behind in files: a model knows its matrices."""
    trainer.recipe = shrink(
        json.loads((ROOT / "config/recipes/faces32-matrices.json").read_text())
    )
    matrices = copy.deepcopy(trainer.recipe["corruption"]["matrices"])
    (trainer.folder / "matrices.json").write_text(json.dumps(matrices))
    trainer.recipe["corruption"]["matrices"] = str(trainer.folder / "matrices.json")
    assert trainer("run", "--steps", 1).returncode == 0
    document = safetensors_file.raw(trainer.folder / "run" / "model.safetensors")[1]
    assert len(document["corruption"]["matrices"]) == 8
    done = subprocess.run(
        [program("softdiff-inspect"), trainer.folder / "run" / "model.safetensors"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and max(map(len, done.stdout.splitlines())) < 600
