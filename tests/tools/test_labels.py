"""Labels: from folders to a model that is drawn with one, guided, and served."""

import json
import subprocess
import urllib.request

import pytest
import safetensors_file

NAMES = ["cat", "dog", "ox"]


@pytest.fixture
def labelled(trainer):
    for i, name in enumerate(NAMES * 4):
        (trainer.data / name).mkdir(exist_ok=True)
        (trainer.data / f"{i}.png").rename(trainer.data / name / f"{i}.png")
    trainer.recipe["architecture"]["n_labels"] = 3
    return trainer


def state(trainer, run):
    return safetensors_file.read(trainer.folder / run / "state.safetensors")[0]


def document(trainer, run):
    _, metadata = safetensors_file.read(trainer.folder / run / "model.safetensors")
    return json.loads(metadata["softdiff"])


def test_labels_are_learnt_and_resumed(labelled, program, tmp_path):
    """Embeddings of all labels move, that of none by those whose label was withheld, bit for bit the
    same with a stop in between, and on a packed set."""
    packed = tmp_path / "packed"
    done = subprocess.run(
        [program("softdiff-convert"), "dataset", labelled.data, packed, "--side", "16", "--labels"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    labelled.recipe["training"] |= {"label_dropout": 0.3, "steps": 12}
    folder = labelled.data
    assert labelled("through").returncode == 0
    for data, steps in ((folder, 5), (packed, 12)):
        labelled.data = data
        done = labelled("parts", "--steps", steps)
        assert done.returncode == 0, done.stderr
    assert state(labelled, "through") == state(labelled, "parts")
    assert document(labelled, "parts")["labels"] == NAMES
    weights, _ = safetensors_file.read(labelled.folder / "parts" / "model.safetensors")
    width = 4 * 16
    table = weights["net.labels.weight"]
    assert len(table) == (len(NAMES) + 1) * width
    assert all(any(table[i * width : (i + 1) * width]) for i in range(len(NAMES) + 1))

    labelled.recipe["training"]["label_dropout"] = 0.4
    done = labelled("parts", "--steps", 13)
    assert done.returncode == 1 and '"training.label_dropout" of the recipe' in done.stderr
    labelled.recipe["training"]["label_dropout"] = 0
    labelled.data = folder
    assert labelled("always").returncode == 0
    weights, _ = safetensors_file.read(labelled.folder / "always" / "model.safetensors")
    assert not any(weights["net.labels.weight"][:width])

    labelled.recipe["training"]["label_dropout"] = 0.3
    (folder / "ox").rename(folder / "yak")  # the same pictures, another name
    done = labelled("through", "--steps", 13)
    assert done.returncode == 1 and "begun with other images" in done.stderr


def test_labels_that_are_not_there(labelled):
    labelled.recipe["architecture"]["n_labels"] = 4
    done = labelled("run")
    assert done.returncode == 1
    assert "have 3 labels, and the recipe's architecture.n_labels is 4" in done.stderr
    (labelled.data / "cat" / "0.png").rename(labelled.data / "0.png")
    done = labelled("run")
    assert done.returncode == 1 and "is in none of them" in done.stderr
    labelled.recipe["architecture"]["n_labels"] = 0
    labelled.recipe["training"]["label_dropout"] = 0.1
    done = labelled("run")
    assert done.returncode == 1 and '"training.label_dropout" needs labels' in done.stderr


def test_drawing_with_labels(labelled, program, tmp_path, serve):
    labelled.recipe["training"] |= {"lr": 0.01, "ema": 0, "steps": 30, "label_dropout": 0.2}
    labelled.recipe["progress"]["grid_every"] = 30
    done = labelled("run")
    assert done.returncode == 0, done.stderr
    model = labelled.folder / "run" / "model.safetensors"

    def sample(name, *arguments):
        done = subprocess.run(
            [program("softdiff-sample"), model, "--out", tmp_path / name, "--nfe", "4", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return done, {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.png")}

    _, none = sample("none", "-n", "3")
    _, dog = sample("dog", "-n", "3", "--label", "dog")
    _, second = sample("second", "-n", "3", "--label", "2")
    _, every = sample("every", "-n", "3", "--label", "all")
    done, guided = sample("guided", "-n", "3", "--label", "dog", "--guidance", "30")
    assert done.returncode == 0, done.stderr
    _, as_trained = sample("trained", "-n", "3", "--label", "dog", "--guidance", "1")
    assert len(none) == len(guided) == 3
    assert dog == second == as_trained and every["1.png"] == dog["1.png"]
    assert all(len({none[f], dog[f], guided[f]}) == 3 for f in dog)
    for arguments, text in (
        (["--label", "cow"], 'no label "cow", but 1 to 3 (cat, dog, ox)'),
        (["--label", "4"], 'no label "4"'),
        (["--label", ""], 'no label ""'),
    ):
        done, _ = sample("x", *arguments)
        assert done.returncode == 1 and text in done.stderr, done.stderr
    done, _ = sample("x", "--guidance", "2")
    assert done.returncode == 2 and "--guidance needs --label" in done.stderr

    url = serve("--model", f"pets={model}")
    with urllib.request.urlopen(url + "/v1/capabilities", timeout=60) as answer:
        assert json.load(answer)["models"][0]["labels"] == NAMES
    with urllib.request.urlopen(url + "/v1/models/pets/samples/1.png?nfe=4", timeout=60) as answer:
        assert answer.read()[:4] == b"\x89PNG"
