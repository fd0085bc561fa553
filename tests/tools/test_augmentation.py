"""Augmented trainings: exact when they go on, and what is drawn knows nothing of it."""

import json
import subprocess

import safetensors_file


def test_augmented_trainings(trainer, program, tmp_path):
    plain = trainer("plain")
    assert plain.returncode == 0, plain.stderr
    trainer.recipe["architecture"]["augment"] = True
    done = trainer("run")
    assert done.returncode == 1 and '"architecture.augment" has nothing to tell' in done.stderr
    trainer.recipe["data"] = {"augment": 0.8}
    trainer.recipe["progress"]["grid_every"] = 6
    assert trainer("through").returncode == 0
    for steps in (2, 6):
        done = trainer("parts", "--steps", steps)
        assert done.returncode == 0, done.stderr
    states = [
        safetensors_file.read(trainer.folder / run / "state.safetensors")[0]
        for run in ("through", "parts")
    ]
    assert states[0] == states[1]
    model = trainer.folder / "parts" / "model.safetensors"
    weights, metadata = safetensors_file.read(model)
    assert any(weights["net.augment.weight"]) and len(weights["net.augment.weight"]) == 64 * 8
    assert json.loads(metadata["softdiff"])["architecture"]["augment"] is True
    loss = [
        json.loads((trainer.folder / run / "log.jsonl").read_text().splitlines()[0])["loss"]
        for run in ("plain", "through")
    ]
    assert loss[0] != loss[1]

    # Told nothing, the network is the one without what it was told by.
    def forget(document):
        del document["architecture"]["augment"]

    other = tmp_path / "other.safetensors"
    safetensors_file.rewrite(model, other, forget, without=["net.augment.weight"])
    for path, name in ((model, "a.png"), (other, "b.png")):
        done = subprocess.run(
            [program("softdiff-sample"), path, "--grid", tmp_path / name, "-n", "3", "--nfe", "3"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    trainer.recipe["data"]["augment"] = 0.7
    done = trainer("parts", "--steps", 7)
    assert done.returncode == 1 and '"data.augment" of the recipe' in done.stderr
    trainer.recipe["architecture"]["augment"] = False
    done = trainer("x")
    assert done.returncode == 1 and '"data.augment" needs a network that is told' in done.stderr
