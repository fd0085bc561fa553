"""Images between two seeds: the ends are the seeds' own, everything between is one image by any way."""
import base64
import io
import json
import zipfile

import pytest
from PIL import Image, ImageChops
from softdiffd import png_text
from test_events import events
from test_jobs import image, wait_for
from test_verify import verify, with_params

SAMPLERS = ["sde-2m", "pf-2m", "momentum"]
A, B = 5, 9


def distance(one, other):
    one, other = (Image.open(io.BytesIO(png)).convert("RGB") for png in (one, other))
    return sum(i * n for i, n in enumerate(ImageChops.difference(one, other).convert("L").histogram()))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_ends_are_the_seeds(daemon, sampler):
    """Byte by byte, text and all."""
    settings = {"sampler": sampler, "nfe": 4}
    a, b = (daemon.png(seed=seed, **settings) for seed in (A, B))
    assert daemon.png(seed=A, seed_b=B, mix=0, **settings) == a
    assert daemon.png(seed=A, seed_b=B, mix=1, **settings) == b
    assert daemon.png(seed=A, seed_b=A, mix=0.5, **settings) == a
    half = daemon.png(seed=A, seed_b=B, mix=0.5, **settings)
    assert half == daemon.png(seed=A, seed_b=B, **settings) and half not in (a, b)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_way_from_one_to_the_other(daemon, sampler):
    """Each step leads away from the one and towards the other."""
    way = [daemon.png(seed=A, seed_b=B, mix=i / 8, sampler=sampler, nfe=4) for i in range(9)]
    from_a = [distance(png, way[0]) for png in way]
    from_b = [distance(png, way[-1]) for png in way]
    assert from_a == sorted(from_a) and from_b == sorted(from_b, reverse=True)
    assert len(set(way)) == 9


def test_in_any_company(daemon):
    want = [daemon.png(seed=A + i, seed_b=B + i, mix=0.3, nfe=5) for i in range(4)]
    assert daemon.pngs(seed=A, seed_b=B, mix=0.3, nfe=5, n=4) == want
    held = daemon.connect_and_send({"nfe": 200, "n": 30, "seed_b": 3, "mix": 0.7})
    assert daemon.pngs(seed=A, seed_b=B, mix=0.3, nfe=5, n=4) == want
    held.close()
    body = daemon.post({"seed": A, "seed_b": B, "mix": 0, "nfe": 5, "n": 3}).json()
    assert body == daemon.post({"seed": A, "nfe": 5, "n": 3}).json()


@pytest.mark.sanitizers
def test_what_is_told(daemon):
    big = 2**64 - 3
    body = daemon.post({"seed": A, "seed_b": big, "mix": 0.3, "nfe": 4, "n": 4}).json()
    assert (body["seed"], body["seed_b"], body["mix"]) == (A, str(big), 0.3)
    for i, image in enumerate(body["images"]):
        png = base64.b64decode(image["png"])
        params = json.loads(png_text(png)["softdiff:params"])
        assert (params["seed"], int(params["seed_b"]), params["mix"]) == (A + i, (big + i) % 2**64, 0.3)
        answer = daemon.get(image["url"])
        assert answer.content == png and "immutable" in answer.headers["Cache-Control"]
        verdict = verify(daemon, png).json()
        assert verdict["match"] == "exact" and verdict["same_file"]
        assert verdict["mix"] == 0.3 and int(verdict["seed_b"]) == (big + i) % 2**64
    for lie in ({"mix": 0.31}, {"seed_b": 1}, {"mix": 0.7}):
        assert verify(daemon, with_params(png, **lie)).json()["match"] == "differs"
    for nonsense in ({"mix": 2}, {"mix": "a"}, {"seed_b": -1}):
        assert verify(daemon, with_params(png, **nonsense)).status_code == 422
    plain = daemon.post({"seed": A, "nfe": 4}).json()
    assert "seed_b" not in plain and "mix" not in plain


def test_addresses(daemon):
    path = "/v1/models/faces/samples/5.png?nfe=4&sampler=pf-2m"
    between = daemon.get(f"{path}&seed_b=9&mix=0.25")
    assert between.content == daemon.png(seed=5, seed_b=9, mix=0.25, nfe=4, sampler="pf-2m")
    pinned = between.headers["Content-Location"]
    assert pinned.endswith("&seed_b=9&mix=0.25")
    assert daemon.get(pinned).headers["ETag"] == between.headers["ETag"]
    tags = {daemon.get(f"{path}{more}").headers["ETag"] for more in (
        "", "&seed_b=9&mix=0.25", "&seed_b=9&mix=0.250", "&seed_b=9&mix=0.2500001", "&seed_b=9", "&seed_b=8",
        "&seed_b=9&mix=0", "&seed_b=5")}  # fmt: skip
    assert len(tags) == 4  # of 5, a quarter, half of 9, half of 8
    end = daemon.get(f"{path}&seed_b=9&mix=1")
    assert end.headers["X-Seed"] == "9" and "/9.png" in end.headers["Content-Location"]
    assert end.headers["ETag"] == daemon.get(path.replace("/5.png", "/9.png")).headers["ETag"]
    for more in ("&mix=0.5", "&seed_b=9&mix=1.5", "&seed_b=9&mix=x", "&seed_b=-1"):
        assert daemon.get(path + more).status_code == 422


def test_in_the_other_dialects(daemon):
    want = daemon.png(seed=A, seed_b=B, mix=0.75, nfe=4)
    body = {"seed": A, "seed_b": B, "mix": 0.75, "nfe": 4}
    answer = daemon.post(body, path="/v1/images/generations").json()
    assert base64.b64decode(answer["data"][0]["b64_json"]) == want
    assert (answer["seed_b"], answer["mix"]) == (B, 0.75)
    stream = events(daemon, body)
    assert stream[0][2]["mix"] == 0.75 and stream[-1][0] == "completed"
    assert base64.b64decode(stream[-1][2]["images"][0]["png"]) == want


def test_jobs(start):
    """Of images between the same as when they are waited for, through pieces, addresses and the file of all."""
    daemon = start("--response-cache", "0")
    body = {"seed": 2**64 - 3, "seed_b": B, "mix": 0.3, "nfe": 4, "n": 20}
    want = daemon.pngs(**body)
    assert len(set(want)) == 20
    for answer in (daemon.post(body, path="/v1/jobs"), daemon.post(body, Prefer="respond-async")):
        job = answer.json()
        assert answer.status_code == 202 and (job["seed_b"], job["mix"]) == (B, 0.3) and '"mix":0.3}' in answer.text
        wait_for(daemon, job, "completed")
        found = image(daemon, job, 19)
        assert found.content == want[19] and "&seed_b=28&mix=0.3" in found.history[0].headers["Location"]
        with zipfile.ZipFile(io.BytesIO(daemon.get(job["archive"]).content)) as file:
            assert [file.read(name) for name in file.namelist()] == want
    end = daemon.post(body | {"mix": 1}, path="/v1/jobs").json()
    assert end["seed"] == B and "seed_b" not in end and "mix" not in end
    wait_for(daemon, end, "completed")
    assert image(daemon, end, 3).content == daemon.png(seed=B + 3, nfe=4)
    assert daemon.post({"mix": 0.3}, path="/v1/jobs").status_code == 422
    assert [found.get("mix") for found in daemon.get("/v1/jobs").json()["jobs"]] == [None, 0.3, 0.3]
