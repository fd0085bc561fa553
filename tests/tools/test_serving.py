"""softdiffd with a model of every corruption beside each other, trained here."""

import json
import urllib.request

FIT = {"levels": "fit", "n_levels": 6, "candidates": 32, "images": 12}
CORRUPTIONS = {
    "blur": ({"half_size": 16}, FIT | {"level_max": 8}),
    "blur-dct": ({}, FIT | {"level_max": 12}),
    "pixelate": ({}, FIT | {"level_max": 4}),
    "mask": ({"order": "spiral"}, FIT),
    "fade": ({}, FIT),
    "noise": ({}, {"sigma_max": 20}),
    "vp": ({}, {}),
    "subvp": ({}, {}),
}


def ask(url, path, **body):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_every_corruption_is_served(trainer, serve):
    """Each proves at its start that batches do not change its bytes; a seed names them."""
    models = []
    for name, (members, schedule) in CORRUPTIONS.items():
        trainer.recipe["corruption"] = {"name": name} | members
        trainer.recipe["schedule"] = schedule
        done = trainer(name, "--steps", 1)
        assert done.returncode == 0, done.stderr
        models += ["--model", f"{name}={trainer.folder / name / 'model.safetensors'}"]
    url = serve(*models)
    capabilities = ask(url, "/v1/capabilities")
    assert capabilities["corruptions"] == list(CORRUPTIONS)
    assert capabilities["determinism"]["batch_invariant"]
    images = set()
    for name in CORRUPTIONS:
        answers = [ask(url, "/v1/samples", model=name, seed=1, nfe=3, n=n) for n in (1, 3)]
        assert all(answer["corruption"] == name for answer in answers)
        alone, among = (answer["images"][0] for answer in answers)
        assert alone == among
        images.add(json.dumps(alone))
    assert len(images) == len(CORRUPTIONS)
