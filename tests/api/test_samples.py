"""What is served, and that a seed means the same bytes wherever and whenever it is asked for."""
import base64
import concurrent.futures
import io
import json
from xml.etree import ElementTree

import pytest
from PIL import Image
from softdiffd import png_text

pytestmark = pytest.mark.sanitizers

SAMPLERS = [
    "sde-2m", "pf-2m", "momentum", "probability-flow", "pf-literal", "naive", "pf-sigma", "ancestral",
    "pf-heun",
]  # fmt: skip


def test_json(daemon):
    answer = daemon.post({"seed": 7, "n": 3, "nfe": 4})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Seed"] == "7"
    assert answer.headers["Cache-Control"] == "no-store"
    for part in ("queue;dur=", "engine;dur=", "encode;dur="):
        assert part in answer.headers["Server-Timing"]
    body = answer.json()
    models = daemon.get("/v1/models").json()["models"]
    assert body["checkpoint"] == models[0]["checkpoint"][:12]
    images = body.pop("images")
    assert [image["seed"] for image in images] == [7, 8, 9]
    for image in images:
        assert daemon.get(image["url"]).content == base64.b64decode(image["png"])
    assert body.pop("determinism") == daemon.get("/v1/capabilities").json()["determinism"]["id"]
    del body["checkpoint"], body["precision"]
    assert body == {"model": "faces", "corruption": "noise", "sampler": "sde-2m", "nfe": 4, "seed": 7}


def test_png_carries_its_parameters(daemon):
    png = daemon.png(seed=7, nfe=4, model="blurred", sampler="momentum")
    params = json.loads(png_text(png)["softdiff:params"])
    assert params["seed"] == 7 and params["nfe"] == 4 and params["sampler"] == "momentum"
    assert params["model"] == "blurred" and params["corruption"] == "blur"
    assert params["determinism"] == daemon.get("/v1/capabilities").json()["determinism"]["id"]
    # Programs that look for pictures made by models find IPTC's mark.
    xmp = ElementTree.fromstring(Image.open(io.BytesIO(png)).info["XML:com.adobe.xmp"].split("?>", 1)[1])
    assert "trainedAlgorithmicMedia" in ElementTree.tostring(xmp, encoding="unicode")
    # What it says is enough to make it again.
    again = {key: params[key] for key in ("seed", "nfe", "sampler", "model", "corruption")}
    assert daemon.png(**again) == png


def test_seeds(daemon):
    texts = {}
    for seed in (0, 2**53 - 1, 2**53, "9007199254740993", 2**63 - 1, 2**63, 2**64 - 1):
        answer = daemon.post({"seed": seed, "nfe": 2})
        assert answer.headers["X-Seed"] == str(seed)
        assert int(answer.json()["seed"]) == int(seed)
        assert isinstance(answer.json()["seed"], int) == (int(seed) < 2**53)
        texts[seed] = answer.json()["images"][0]["png"]
    assert len(set(texts.values())) == len(texts)
    # The seeds of a batch wrap around.
    for last in (2**64 - 1, "18446744073709551615"):
        images = daemon.post({"seed": last, "n": 2, "nfe": 2}).json()["images"]
        assert images[0]["png"] == texts[2**64 - 1]
    assert images[1]["seed"] == 0 and images[1]["png"] == texts[0]


def test_random_seed_is_told_and_repeats(daemon):
    first, second = (daemon.post({"nfe": 2}) for _ in range(2))
    assert first.headers["X-Seed"] != second.headers["X-Seed"]
    seed = first.json()["seed"]
    assert isinstance(seed, int) and str(seed) == first.headers["X-Seed"]
    assert daemon.post({"nfe": 2, "seed": seed}).json()["images"] == first.json()["images"]


def test_empty_body(daemon):
    answer = daemon.post(b"", Content_Type="")
    assert answer.status_code == 200 and len(answer.json()["images"]) == 1


def test_accept(daemon):
    for accept, n, status, kind in [
        ("image/png", 1, 200, "image/png"),
        ("image/*;q=0.9, application/json;q=0.1", 1, 200, "image/png"),
        ("*/*", 1, 200, "application/json"),
        ("image/png, application/json;q=0.5", 2, 200, "application/json"),
        ("image/png", 2, 406, "application/problem+json"),
        ("text/html", 1, 406, "application/problem+json"),
        ("application/json;q=0", 1, 406, "application/problem+json"),
    ]:
        answer = daemon.post({"seed": 1, "n": n, "nfe": 2}, accept=accept)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, kind), accept


def test_models_are_chosen_by_name_or_corruption(daemon):
    chosen = [
        daemon.post(body | {"nfe": 2}).json()["model"]
        for body in ({}, {"model": "blurred"}, {"corruption": "blur"}, {"corruption": "noise"},
                     {"model": "blurred", "corruption": "blur"})
    ]  # fmt: skip
    assert chosen == ["faces", "blurred", "blurred", "faces", "blurred"]


def test_every_sampler(daemon):
    capabilities = daemon.get("/v1/capabilities").json()
    assert capabilities["samplers"] == SAMPLERS
    assert set(capabilities["sampler_notes"]) < set(SAMPLERS)
    assert "too much variance" in capabilities["sampler_notes"]["sde-2m"]
    images = [daemon.png(seed=1, nfe=5, sampler=sampler) for sampler in SAMPLERS]
    assert len(set(images)) == len(SAMPLERS)
    for sampler in SAMPLERS:
        assert len(daemon.png(seed=1, nfe=1, sampler=sampler)) > 0


def test_same_bytes_in_any_batch(daemon):
    alone = {seed: daemon.png(seed=seed, nfe=6) for seed in range(100, 120)}
    assert len(set(alone.values())) == len(alone)
    for first, n in [(100, 1), (100, 2), (103, 7), (100, 20), (119, 1), (110, 9)]:
        assert daemon.pngs(seed=first, n=n, nfe=6) == [alone[s] for s in range(first, first + n)]


def test_same_bytes_beside_others(daemon):
    """Many clients with other samplers, NFE, models and sizes at once, in changing company."""
    wanted = [
        {"seed": 1000 + i, "nfe": 1 + i * 7 % 23, "sampler": SAMPLERS[i % len(SAMPLERS)],
         "model": ("faces", "blurred")[i // 3 % 2]}
        for i in range(48)
    ]  # fmt: skip
    alone = [daemon.png(**body) for body in wanted]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(2):
            noise = [pool.submit(daemon.pngs, seed=i, n=1 + i % 5, nfe=11) for i in range(6)]
            together = list(pool.map(lambda body: daemon.png(**body), wanted))
            assert together == alone
            for future in noise:
                future.result()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_bytes_after_a_restart(start, precision):
    """Also with another number of slots and threads."""
    images = []
    for flags in [("--slots", "1", "--threads", "1"), ("--slots", "5", "--threads", "2")]:
        daemon = start("--precision", precision, *flags, models=("faces", "blurred"))
        capabilities = daemon.get("/v1/capabilities").json()
        assert capabilities["determinism"]["batch_invariant"]
        assert {model["precision"] for model in capabilities["models"]} == {precision}
        images.append(daemon.pngs(seed=5, n=6, nfe=7) + daemon.pngs(seed=5, n=2, model="blurred"))
        daemon.stop()
    assert images[0] == images[1]


def test_precisions_differ(start):
    images = [start("--precision", precision).png(seed=5) for precision in ("fp32", "bf16")]
    assert images[0] != images[1]
