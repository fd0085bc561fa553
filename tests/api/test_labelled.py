"""Models with labels: what is drawn with one, with guidance, in every dialect."""
import array
import base64
import json
import pathlib
import random
import subprocess
import sys

import pytest
import requests
from softdiffd import PATIENCE_S, Daemon, png_text

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tools"))
import safetensors_file

NAMES = ["one", "two", "3"]


@pytest.fixture(scope="module")
def checkpoint(checkpoints, tmp_path_factory):
    """A small model with random embeddings of three labels."""

    def label(document):
        document["architecture"]["n_labels"] = 3
        document["format"] = 2
        document["labels"] = NAMES

    path = tmp_path_factory.mktemp("labelled") / "labelled.safetensors"
    generator = random.Random(1)
    table = array.array("f", [generator.gauss(0, 3) for _ in range(4 * 32)])
    safetensors_file.rewrite(pathlib.Path(checkpoints["faces"]), path, label, extra={"net.labels.weight": ([4, 32], table)})
    return path


@pytest.fixture(scope="module")
def daemon(program, checkpoint, checkpoints):
    flags = ["--model", f"labelled={checkpoint}", "--model", f"faces={checkpoints['faces']}", "--threads", "1"]
    shared = Daemon(program("softdiffd"), *flags, "--max-nfe", "100", "--slots", "4")
    yield shared
    shared.stop()


def pixels(png):
    """The compressed rows, which are the same where the pixels are."""
    found, position = b"", 8
    while position < len(png):
        size, kind = int.from_bytes(png[position : position + 4], "big"), png[position + 4 : position + 8]
        found += png[position + 8 : position + 8 + size] if kind == b"IDAT" else b""
        position += 12 + size
    return found


def evaluations(daemon):
    return daemon.queue()["evaluations"]


@pytest.mark.sanitizers
def test_what_is_drawn(daemon, program, checkpoint, tmp_path):
    models = {model["name"]: model for model in daemon.get("/v1/models").json()["models"]}
    assert (models["labelled"]["n_labels"], models["labelled"]["labels"]) == (3, NAMES)
    assert models["faces"]["n_labels"] == 0 and "labels" not in models["faces"]
    settings = {"seed": 5, "nfe": 6, "sampler": "pf-2m"}
    plain, second = daemon.png(**settings), daemon.png(**settings, label=2)
    assert daemon.png(**settings, label=0) == daemon.png(**settings, label=None) == plain
    assert daemon.png(**settings, label="two") == daemon.png(**settings, label=2, guidance=1) == second != plain
    assert daemon.png(**settings, label="3") == daemon.png(**settings, label=3) not in (plain, second)
    before = evaluations(daemon)
    guided = daemon.png(**settings, label=2, guidance=2.5)
    assert evaluations(daemon) == before + 2 * 6 and guided not in (plain, second)
    assert daemon.png(**settings, label=2, guidance=2.50001) == guided
    # In company, and as the tool draws it.
    assert daemon.pngs(**settings | {"seed": 3}, label=2, guidance=2.5, n=4)[2] == guided
    for options, png in ((["--label", "two"], second), (["--label", "two", "--guidance", "2.5"], guided)):
        subprocess.run([program("softdiff-sample"), checkpoint, "--seed", "5", "--nfe", "6", "--sampler", "pf-2m",
                        "--threads", "1", "--out", tmp_path, *options], check=True, capture_output=True)  # fmt: skip
        (drawn,) = tmp_path.glob("*.png")
        assert pixels(drawn.read_bytes()) == pixels(png)
        drawn.unlink()


def test_provenance_and_addresses(daemon):
    body = {"seed": 9, "nfe": 4, "sampler": "sde-2m", "label": 3, "guidance": 1.75}
    answer = daemon.post(body).json()
    assert (answer["label"], answer["guidance"]) == (3, 1.75)
    (image,) = answer["images"]
    png = base64.b64decode(image["png"])
    params = json.loads(png_text(png)["softdiff:params"])
    assert (params["label"], params["guidance"]) == (3, 1.75)
    assert image["url"].endswith("&label=3&guidance=1.75")
    found = daemon.get(image["url"])
    assert found.content == png and "immutable" in found.headers["Cache-Control"]
    again = requests.get(daemon.url + image["url"], headers={"If-None-Match": found.headers["ETag"]}, timeout=PATIENCE_S)
    assert again.status_code == 304
    path = "/v1/models/labelled/samples/9.png?nfe=4&sampler=sde-2m"
    tags = [daemon.get(path + more).headers["ETag"] for more in
            ("", "&label=1", "&label=two", "&label=3", "&label=3&guidance=1.75", "&label=3&guidance=2")]  # fmt: skip
    assert len(set(tags)) == 6 and tags[4] == found.headers["ETag"]
    same = [daemon.get(path + more).headers["ETag"] for more in
            ("&label=2", "&label=two&guidance=1", "&label=0", "&label=3&guidance=1.7500")]  # fmt: skip
    assert same == [tags[2], tags[2], tags[0], tags[4]]
    verdict = daemon.post(png, path="/v1/verify", Content_Type="image/png").json()
    assert (verdict["match"], verdict["label"], verdict["guidance"]) == ("exact", 3, 1.75)
    plain = daemon.post({"seed": 9, "nfe": 4, "label": 3}).json()
    assert plain["label"] == 3 and "guidance" not in plain and plain["images"][0]["url"].endswith("&label=3")
    assert "label" not in daemon.post({"seed": 9, "nfe": 4}).json()


def test_jobs_and_events(daemon):
    body = {"seed": 20, "nfe": 5, "n": 3, "label": "two", "guidance": 3}
    want = daemon.pngs(**body)
    job = daemon.post(body, path="/v1/jobs").json()
    assert (job["label"], job["guidance"]) == (2, 3)
    end = daemon.get(f"/v1/jobs/{job['id']}/events").text
    assert "event: completed" in end, end
    assert [daemon.get(f"/v1/jobs/{job['id']}/images/{i}.png").content for i in range(3)] == want
    # A guided image has two evaluations of the network for each of the sampler's, which are the steps.
    long = body | {"n": 1, "nfe": 50, "preview_every": 1}
    stream = daemon.post(long, accept="text/event-stream").text
    events = [dict(line.split(": ", 1) for line in part.splitlines() if ": " in line) for part in stream.split("\n\n") if part]
    steps = [json.loads(event["data"]) for event in events if event.get("event") == "progress"]
    assert {event["steps"] for event in steps} == {50} and max(event["step"] for event in steps) <= 50
    previews = [json.loads(event["data"])["nfe_done"] for event in events if event.get("event") == "preview"]
    assert previews == sorted(set(previews)) and 0 < previews[0] and previews[-1] <= 50
    (image,) = json.loads(events[-1]["data"])["images"]
    assert base64.b64decode(image["png"]) == daemon.png(**{key: long[key] for key in ("seed", "nfe", "label", "guidance")})


def test_other_dialects(daemon):
    settings = {"seed": 31, "nfe": 4, "sampler": "pf-2m"}
    want = daemon.png(**settings, label=2, guidance=4)
    answer = daemon.post(settings | {"label": "two", "guidance": 4}, path="/v1/images/generations").json()
    assert base64.b64decode(answer["data"][0]["b64_json"]) == want and (answer["label"], answer["guidance"]) == (2, 4)
    body = {"inputs": [{"name": "SEED", "datatype": "UINT64", "shape": [1], "data": [31]},
                       {"name": "NFE", "datatype": "INT32", "shape": [1], "data": [4]}],
            "outputs": [{"name": "PNG"}], "parameters": {"sampler": "pf-2m", "label": 2, "guidance": 4}}  # fmt: skip
    answer = daemon.post(body, path="/v2/models/labelled/infer")
    assert base64.b64decode(answer.json()["outputs"][0]["data"][0]) == want
    for parameter in ({"label": -1}, {"label": True}, {"guidance": 0}, {"guidance": "much"}):
        bad = daemon.post(body | {"parameters": parameter}, path="/v2/models/labelled/infer")
        assert bad.status_code == 400 and "label must be" in bad.json()["error"]


@pytest.mark.parametrize(
    "body, field, words",
    [
        ({"model": "faces", "label": 1}, "label", 'model "faces" was trained without labels'),
        ({"model": "faces", "label": "cat"}, "label", "was trained without labels"),
        ({"model": "faces", "guidance": 2}, "guidance", "was trained without labels"),
        ({"label": 4}, "label", '0 for none, or 1 to 3: "one", "two", "3"'),
        ({"label": "four"}, "label", '1 to 3: "one"'),
        ({"label": -1}, "label", "the number of a label, or its name"),
        ({"label": 1.5}, "label", "the number of a label, or its name"),
        ({"label": ""}, "label", "the number of a label, or its name"),
        ({"label": True}, "label", "the number of a label, or its name"),
        ({"guidance": 2}, "guidance", "needs a label"),
        ({"label": 0, "guidance": 2}, "guidance", "needs a label"),
        ({"label": 1, "guidance": 0}, "guidance", "from 0.001 to 100"),
        ({"label": 1, "guidance": 101}, "guidance", "from 0.001 to 100"),
        ({"label": 1, "guidance": "x"}, "guidance", "from 0.001 to 100"),
        ({"label": 1, "guidance": 2, "nfe": 51}, "nfe", "at most 50"),
    ],
)
def test_what_cannot_be(daemon, body, field, words):
    answer = daemon.post(body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field and words in error["detail"], error
