"""Limits of single models: a request is held to those of its own, and one model's queue is not another's."""
import pytest
import requests
from softdiffd import PATIENCE_S

LIMITS = ("--model-limits", "faces:max-queue=1:max-images=2:max-nfe=50", "--model-limits", "blurred:max-nfe=70")


@pytest.fixture
def limited(start):
    return start("--slots", "2", "--max-queue", "10", "--max-nfe", "5000", *LIMITS,
                 models=("faces", "blurred", "slow"))  # fmt: skip


def fields(answer):
    assert answer.status_code == 422, answer.text
    return [error["field"] for error in answer.json()["errors"]]


def test_what_is_told(limited):
    models = {m["name"]: m["limits"] for m in limited.get("/v1/models").json()["models"]}
    assert models == {"faces": {"n": 2, "nfe": 50, "places": 3}, "blurred": {"n": 12, "nfe": 70, "places": 12},
                      "slow": {"n": 12, "nfe": 5000, "places": 12}}  # fmt: skip
    assert limited.get("/v1/capabilities").json()["limits"]["nfe"] == 5000


@pytest.mark.sanitizers
def test_each_request_has_those_of_its_model(limited):
    assert limited.post({"n": 2, "nfe": 50}).status_code == 200
    assert fields(limited.post({"n": 3, "nfe": 51})) == ["nfe", "n"]
    assert fields(limited.post({"model": "blurred", "nfe": 71})) == ["nfe"]
    assert limited.post({"model": "blurred", "n": 12, "nfe": 2}).status_code == 200
    assert fields(limited.post({"n": 3, "nfe": 50}, accept="text/event-stream")) == ["n"]
    assert limited.get("/v1/models/faces/samples/1.png?nfe=51").status_code == 422
    assert limited.post({"n": 3}, path="/v1/images/generations").status_code == 400
    seeds = {"name": "SEED", "shape": [3], "datatype": "UINT64", "data": [1, 2, 3]}
    answer = limited.post({"inputs": [seeds]}, path="/v2/models/faces/infer")
    assert answer.status_code == 400 and "at most 2" in answer.text or "fields" in answer.text
    png = limited.png(model="blurred", nfe=60)
    verdict = requests.post(limited.url + "/v1/verify", data=png, timeout=PATIENCE_S,
                            headers={"Content-Type": "image/png"})  # fmt: skip
    assert verdict.json()["match"] == "exact"


def test_jobs_may_have_more_images_but_not_evaluations(limited):
    job = limited.post({"n": 7, "nfe": 20}, path="/v1/jobs")
    assert job.status_code == 202
    assert "completed" in limited.get(job.headers["Location"] + "/events").text
    assert fields(limited.post({"n": 7, "nfe": 51}, path="/v1/jobs")) == ["nfe"]


def test_queues_are_their_own(limited):
    """A full one turns away, another takes on."""
    held = [limited.connect_and_send({"model": "slow", "nfe": 5000, "n": 12})]
    limited.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    assert limited.post({"model": "slow", "nfe": 1}).status_code == 503
    assert limited.post({"n": 2, "nfe": 50}).status_code == 200
    held[0].close()
    limited.wait_for_queue(lambda q: not q["requests"], "an empty queue")
