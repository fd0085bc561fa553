"""softdiff-schedule: schedules from pictures, tables of the sampler tuned, and what uses them."""

import hashlib
import json
import pathlib
import re
import subprocess

import pytest
import safetensors_file

ZOO = pathlib.Path(__file__).resolve().parents[2] / "model" / "zoo" / "faces32.safetensors"


@pytest.fixture
def schedule(program):
    def run(*arguments):
        return subprocess.run(
            [program("softdiff-schedule"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_tables_ship_in_the_checkpoint(schedule, program, tmp_path):
    def forget(document):
        del document["solvers"], document["defaults"]

    safetensors_file.rewrite(ZOO, tmp_path / "none", forget)
    done = schedule("solver", tmp_path / "none", tmp_path / "tuned", "--nfe", "8,4")
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256((tmp_path / "tuned").read_bytes()).hexdigest()
    assert done.stdout.endswith(f"{digest}  {tmp_path / 'tuned'}\n")
    assert done.stdout.startswith("spectrum of the model's pictures\n")
    assert re.search(r"^ +4 +\d\.\d+ \.\. \d\.\d+$", done.stdout, re.M)
    lowest, highest = map(float, re.search(r"^ +8 +(.+) \.\. (.+)$", done.stdout, re.M).groups())
    assert 0.88 < lowest < 1 < highest < 1.12  # any mode; whole bands are nearer

    tensors, document = safetensors_file.raw(tmp_path / "tuned")
    assert tensors == safetensors_file.raw(ZOO)[0]
    assert document["format"] == 2
    assert document["evidence"]["solvers"] == {"target": 1, "noise": 0, "spectrum": "model"}
    four, eight = document["solvers"]
    assert (four["nfe"], eight["nfe"]) == (4, 8)
    assert eight["t"][0] == 1 and eight["t"][8] == 0 and eight["t"] == sorted(eight["t"])[::-1]
    assert eight["noise"] == [0] * 8 and max(map(abs, eight["trend"])) <= 2
    drawn = subprocess.run(
        [program("softdiff-sample"), tmp_path / "tuned", "--grid", tmp_path / "x.png"]
        + ["--sampler", "tuned", "--nfe", "4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert drawn.returncode == 0 and "tuned at 4 evaluations" in drawn.stdout

    # Other tables stay, one for as many evaluations gives way.
    done = schedule(
        *["solver", tmp_path / "tuned", tmp_path / "more", "--nfe", "6,8"],
        *["--target", "1.1", "--noise", "5"],
    )
    assert done.returncode == 0, done.stderr
    document = safetensors_file.raw(tmp_path / "more")[1]
    assert [table["nfe"] for table in document["solvers"]] == [4, 6, 8]
    assert document["solvers"][0] == four
    assert document["solvers"][2]["noise"][0] > 0 and document["solvers"][2] != eight
    assert document["evidence"]["solvers"]["target"] == 1.1


@pytest.mark.parametrize("corruption", ["noise", "vp", "subvp"])
def test_any_trained_model_is_tuned(schedule, trainer, program, corruption):
    trainer.recipe["corruption"] = {"name": corruption}
    trainer.recipe["schedule"] = {"sigma_max": 20} if corruption == "noise" else {}
    assert trainer("run", "--steps", 1).returncode == 0
    model, tuned = trainer.folder / "run" / "model.safetensors", trainer.folder / "tuned"
    done = schedule("solver", model, tuned, "--nfe", "8")
    assert done.returncode == 0, done.stderr
    document = safetensors_file.raw(tuned)[1]
    assert [table["nfe"] for table in document["solvers"]] == [8]
    done = subprocess.run(
        [program("softdiff-eval"), "gaussian", tuned, "--samplers", "tuned", "--nfe", "8"]
        + ["--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    (row,) = json.loads(done.stdout)["rows"]
    assert all(0.97 < band < 1.03 for band in row["bands"]), row


def test_a_mask_is_refused_by_name(schedule, trainer):
    trainer.recipe["corruption"] = {"name": "mask", "order": "spiral"}
    trainer.recipe["schedule"] = {"levels": [256, 128, 0]}
    assert trainer("run", "--steps", 1).returncode == 0
    model, tuned = trainer.folder / "run" / "model.safetensors", trainer.folder / "tuned"
    done = schedule("solver", model, tuned)
    assert done.returncode == 1 and not tuned.exists()
    assert 'cannot be tuned for "mask": what a step uncovers depends on all pixels' in done.stderr


@pytest.fixture
def fit(schedule, trainer):
    """Writes the schedule of the trainer's recipe; the process and the document."""

    def run(name, *arguments):
        recipe = trainer.folder / "recipe.json"
        recipe.write_text(json.dumps(trainer.recipe))
        done = schedule("fit", recipe, trainer.folder / name, "--data", trainer.data, *arguments)
        return done, json.loads((trainer.folder / name).read_text()) if not done.returncode else {}

    return run


def test_a_recipe_takes_the_schedule_that_it_would_have_fitted(fit, trainer):
    done, document = fit("schedule.json", "--plot", trainer.folder / "plot.svg")
    assert done.returncode == 0, done.stderr
    assert document["corruption"] == trainer.recipe["corruption"] and document["image_size"] == 16
    assert document["fitted"]["rule"] == "path" and document["fitted"]["estimator"] == "identity"
    assert document["fitted"]["images"] == 12 and document["fitted"]["data"] == "data"
    levels = document["level"]["value"]
    assert len(levels) == 7 and levels[0] == levels[1] == 0.01 and levels[-1] == 8
    assert document["level"]["t"][1] == 0.2 and document["sigma"]["value"] == [0.01, 0.1, 0.1]
    assert re.search(r"^6 levels of 32 by 12 images: eps [\d.]+, length [\d.]+$", done.stdout, re.M)
    assert len(re.findall(r"^ +[01]\.\d{4} +[\d.]+ +0\.\d+$", done.stdout, re.M)) == 7
    plot = (trainer.folder / "plot.svg").read_text()
    assert ">tiny: blur<" in plot and ">level<" in plot and ">sigma<" in plot

    assert trainer("fitted", "--steps", 1).returncode == 0
    trainer.recipe["schedule"] = str(trainer.folder / "schedule.json")
    done = trainer("given", "--steps", 1)
    assert done.returncode == 0 and "what=schedule" not in done.stderr, done.stderr
    fitted, given = (
        safetensors_file.raw(trainer.folder / run / "model.safetensors")[1]["schedule"]
        for run in ("fitted", "given")
    )
    assert all(
        got == pytest.approx(want, rel=1e-6)
        for kind in ("level", "sigma")
        for got, want in zip(given[kind].values(), fitted[kind].values())
    )
    # The run has it inside: the file may go.
    (trainer.folder / "schedule.json").write_text("{}")
    trainer.recipe["schedule"] = fitted
    trainer.recipe["schedule"] |= {"corruption": {"name": "fade"}, "image_size": 16}
    done = trainer("other", "--steps", 1)
    assert done.returncode == 1 and '"schedule.corruption"' in done.stderr

    done, _ = fit("schedule.json")
    assert done.returncode == 1 and "--force replaces it" in done.stderr


def test_a_picture_that_cannot_be_written_is_told_before_the_work(fit, trainer):
    done, _ = fit("schedule.json", "--plot", trainer.folder / "none" / "plot.svg")
    assert done.returncode == 1 and "plot.svg" in done.stderr and "event=" not in done.stderr
    assert not (trainer.folder / "schedule.json").exists()


def test_transport_needs_no_coupling(fit, trainer):
    """Pictures compared with all others come to what the identity says of a blur."""
    trainer.recipe["schedule"] |= {"candidates": 16, "n_levels": 4}
    identity = fit("identity")[1]["fitted"]
    trainer.recipe["schedule"]["estimator"] = "transport"
    done, document = fit("transport")
    assert done.returncode == 0 and "off by" not in done.stdout
    assert document["fitted"]["estimator"] == "transport"
    assert document["fitted"]["length"] == pytest.approx(identity["length"], rel=0.02)
    assert document["fitted"]["eps"] == pytest.approx(identity["eps"], rel=0.02)


def test_the_baseline_spends_its_time_on_mild_levels(fit, trainer):
    trainer.recipe["schedule"]["levels"] = "mse"
    document = fit("mse")[1]
    assert document["fitted"] == {
        "recipe": "tiny", "data": "data", "images": 12, "candidates": 32, "rule": "mse",
    }  # fmt: skip
    mse = document["level"]["value"]
    trainer.recipe["schedule"]["levels"] = "fit"
    path = fit("path")[1]["level"]["value"]
    assert mse[-1] == path[-1] == 8 and mse == sorted(mse)
    assert all(a < 0.8 * b for a, b in zip(mse[4:-1], path[4:-1])), (mse, path)


def test_settings_without_effect_are_told(trainer, fit):
    trainer.recipe["schedule"] = {
        "levels": [0, 4, 8], "noise": "beside", "t_noise": 0.999, "candidates": 9
    }  # fmt: skip
    done, document = fit("beside")
    assert done.returncode == 0 and "fitted" not in document
    assert document["level"] == {"t": [0, 0.5, 1], "value": [0, 4, 8]}
    assert document["sigma"] == {"t": [0, 0.999, 1], "value": [0.01, 0.1, 0.1]}
    assert done.stderr.count("event=useless_setting") == 1
    assert "key=schedule.candidates" in done.stderr
    del trainer.recipe["schedule"]["candidates"]
    trainer.recipe["schedule"] |= {"sigma_min": 0.1}
    done, document = fit("constant")
    assert document["sigma"] == {"t": [0, 1], "value": [0.1, 0.1]}
    assert "key=schedule.t_noise" in done.stderr


@pytest.mark.parametrize("output", ["wiener", "residual", "scaled"])
def test_models_without_noise(trainer, program, schedule, output):
    """Blur alone, as in Cold Diffusion: two samplers, and the others say what they lack."""
    trainer.recipe["schedule"] |= {"sigma_min": 0, "sigma_max": 0}
    trainer.recipe["output"] = output
    done = trainer("run", "--steps", 3)
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (trainer.folder / "run/log.jsonl").read_text().splitlines()]
    assert len(log) == 3 and all(0 < line["loss"] < 1000 for line in log)
    model = trainer.folder / "run" / "model.safetensors"
    assert set(safetensors_file.raw(model)[1]["schedule"]["sigma"]["value"]) == {0}

    def sample(*arguments):
        return subprocess.run(
            [program("softdiff-sample"), model, "-n", "2", "--nfe", "4", *arguments, "--grid"]
            + [trainer.folder / f"{len(arguments)}.png"],
            capture_output=True,
            text=True,
            check=False,
        )

    done = sample()
    assert done.returncode == 0 and "probability-flow at 4" in done.stdout, done.stderr
    assert sample("--sampler", "naive").returncode == 0
    done = sample("--sampler", "sde-2m", "--seed", "2")
    assert done.returncode == 1 and '"sde-2m" needs noise' in done.stderr
    done = schedule("solver", model, trainer.folder / "tuned")
    assert done.returncode == 1 and "without noise" in done.stderr

    trainer.recipe["corruption"] = {"name": "fade"}
    trainer.recipe["schedule"] = {"sigma_min": 0, "sigma_max": 0, "levels": [1, 0]}
    done = trainer("fade", "--steps", 1)
    assert done.returncode == 1 and "would be the same" in done.stderr


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        ([], 2, "missing"),
        (["fit", "in", "out"], 2, "--data"),
        (["fit", "none", "out", "--data", "."], 1, "none"),
        (["solver", ZOO], 2, "missing"),
        (["solver", "none", "out"], 1, "none"),
        (["solver", ZOO, ZOO], 1, "--force replaces it"),
        (["solver", ZOO, "out", "--nfe", "65"], 2, "65"),
        (["solver", ZOO, "out", "--target", "3"], 2, "target"),
    ],
)
def test_mistakes(schedule, tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    done = schedule(*arguments)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []
