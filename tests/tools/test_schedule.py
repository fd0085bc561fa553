"""softdiff-schedule: tables of the sampler tuned, and the programs that use them."""

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
    done = schedule("solver", ZOO, tmp_path / "tuned", "--nfe", "8,4")
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
    assert done.returncode == 1 and '"mask"' in done.stderr and not tuned.exists()


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        ([], 2, "missing"),
        (["fit", "in", "out"], 2, 'no command "fit"'),
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
