"""Restorations that nobody waits for: jobs as others are, whose picture is in the store as long as it is needed."""
import contextlib
import io
import select
import sqlite3
import zipfile

import numpy
import pytest
import requests
from softdiffd import wait_until
from test_durable_jobs import kill, run, state  # noqa: F401
from test_jobs import cancel, image, look, wait_for, watch
from test_restorations import blurred, images, picture, png, text  # noqa: F401

MODEL = {"model": "blurred", "seed": 5, "nfe": 4}
BOTH = ("faces", "blurred")


@pytest.fixture
def blur(picture):
    return {"image": text(png(blurred(picture, 1))), "degradation": "blur"} | MODEL


@pytest.fixture
def mask(picture):
    hidden = numpy.zeros((32, 32))
    hidden[8:20, 10:25] = 1
    return {"image": text(png(picture)), "mask": text(png(hidden)), "degradation": "mask"} | MODEL


def begin(daemon, body, **headers):
    answer = daemon.post(body, path="/v1/restorations", Prefer="respond-async", **headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.json()


def restored(daemon, body):
    """What they are who wait, and what is told of it."""
    answer = daemon.post(body, path="/v1/restorations")
    return images(answer), answer.json()["restoration"]


def pictures(daemon, job):
    return [image(daemon, job, i).content for i in range(job["n"])]


def archive(daemon, job):
    answer = daemon.get(job["archive"])
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        return [file.read(name) for name in file.namelist()]


@pytest.mark.sanitizers
def test_they_are_those_that_are_waited_for(daemon, blur, mask):
    """Byte by byte, with a std that was estimated, a mask, a strength, and one that stays as it is."""
    for body in (blur | {"n": 20}, mask | {"n": 2}, blur | {"std": 1.1, "strength": 0.4, "consistency": 0.5},
                 mask | {"strength": 0}):  # fmt: skip
        want, told = restored(daemon, body)
        job = begin(daemon, body)
        assert job["restoration"] == told
        done = wait_for(daemon, job, "completed")
        assert done["restoration"] == told and done["images_done"] == len(want) == done["n"]
        assert pictures(daemon, job) == want and archive(daemon, job) == want


def test_events_and_previews(daemon, blur):
    job = begin(daemon, blur | {"nfe": 100, "n": 4})
    events = watch(daemon, job, "?preview_every=20")
    assert events[-1][0] == "completed" and {"progress", "preview"} <= {name for name, _, _ in events}
    assert events[-1][2]["restoration"]["degradation"] == "blur"


def test_a_key_names_what_is_asked_for(daemon, blur, picture):
    """However it is written: a form has other bytes every time that it is sent."""
    key = {"Idempotency-Key": "restoration", "Prefer": "respond-async"}
    fields = {"degradation": "blur", "seed": "5", "nfe": "4", "model": "blurred"}

    def post(fields, pixels):
        return requests.post(daemon.url + "/v1/restorations", data=fields, headers=key, timeout=60,
                             files={"image": ("a.png", png(pixels), "image/png")})  # fmt: skip

    first = post(fields, blurred(picture, 1))
    assert first.status_code == 202, first.text
    assert post(dict(reversed(fields.items())), blurred(picture, 1)).json()["id"] == first.json()["id"]
    assert begin(daemon, blur, Idempotency_Key="restoration")["id"] == first.json()["id"]
    for fields, pixels in ((fields | {"seed": "6"}, blurred(picture, 1)), (fields | {"std": "1"}, blurred(picture, 1)),
                           (fields, blurred(picture, 2))):  # fmt: skip
        answer = post(fields, pixels)
        assert answer.status_code == 422 and "another body" in answer.json()["detail"]
        assert "Preference-Applied" not in answer.headers


def test_what_no_job_can_is_waited_for(daemon, blur):
    for more, accept in (({"deadline_ms": 60000}, None), ({}, "image/png"), ({"preview_every": 2}, "text/event-stream")):
        answer = daemon.post(blur | more, path="/v1/restorations", accept=accept, Prefer="respond-async")
        assert answer.status_code == 200 and "Preference-Applied" not in answer.headers
    bad = daemon.post(blur | {"std": 100}, path="/v1/restorations", Prefer="respond-async")
    assert bad.status_code == 422 and bad.json()["errors"][0]["field"] == "std"


@pytest.mark.sanitizers
def test_kill(run, blur, mask):
    """kill -9 when they are taken on and in the middle: they go on, from the picture in the store."""
    flags = {"models": BOTH}
    daemon = run(**flags)
    bodies = [blur | {"n": 20, "nfe": 10}, mask | {"n": 2}]
    want = [restored(daemon, body)[0] for body in bodies]
    jobs = [begin(daemon, body) for body in bodies]
    kill(daemon)
    daemon = run(**flags)
    wait_until(lambda: look(daemon, jobs[0])["images_done"] > 0, "a piece")
    kill(daemon)
    daemon = run("--response-cache", "0", **flags)
    for job, pngs in zip(jobs, want):
        assert wait_for(daemon, job, "completed")["images_done"] == len(pngs)
        assert pictures(daemon, job) == pngs and archive(daemon, job) == pngs
    lost = begin(daemon, blur | {"n": 64, "nfe": 10000})
    assert cancel(daemon, lost).json()["status"] == "cancelled"


def test_images_are_kept_or_drawn_again(run, blur):
    """With --keep-results they are those that were drawn, whatever draws now; else only the same are drawn again."""
    flags = ("--response-cache", "0", "--keep-results", "1MiB")
    daemon = run("--precision", "fp32", *flags, models=BOTH)
    want, _ = restored(daemon, blur | {"n": 3})
    kept = wait_for(daemon, begin(daemon, blur | {"n": 3}), "completed")
    before = daemon.queue()["evaluations"]
    assert pictures(daemon, kept) == want and archive(daemon, kept) == want
    assert daemon.queue()["evaluations"] == before
    daemon.stop()
    daemon = run("--precision", "bf16", *flags, models=BOTH)
    assert pictures(daemon, kept) == want and archive(daemon, kept) == want
    daemon.stop()
    daemon = run("--precision", "fp32", models=BOTH)
    job = wait_for(daemon, begin(daemon, blur | {"n": 3}), "completed")
    before = daemon.queue()["evaluations"]
    assert pictures(daemon, job) == want and daemon.queue()["evaluations"] == before  # of the cache
    daemon.stop()
    daemon = run("--precision", "bf16", models=BOTH)
    for answer in (image(daemon, job, 0), daemon.get(job["archive"])):
        assert answer.status_code == 404 and "determinism" in answer.json()["detail"]
    daemon.stop()
    daemon = run("--precision", "fp32")
    assert image(daemon, job, 0).status_code == 404


@pytest.mark.sanitizers
def test_pictures_have_a_room(run, state, blur):
    """Those that have ended leave it first; what waits keeps its own, and there is no job without one."""
    room = 16 * 16 * 3
    daemon = run("--keep-sources", str(2 * room), "--response-cache", "0", models=BOTH)
    old = wait_for(daemon, begin(daemon, blur), "completed")
    waits = [begin(daemon, blur | {"nfe": 9000, "n": 60}) for _ in range(2)]
    assert look(daemon, old)["status"] == "completed"
    for answer in (image(daemon, old, 0), daemon.get(old["archive"])):
        assert answer.status_code == 404 and "not kept any more" in answer.json()["detail"]
    answer = daemon.post(blur, path="/v1/restorations", Prefer="respond-async")
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    assert daemon.post({"nfe": 1}, path="/v1/jobs").status_code == 202  # it needs none
    for job in waits:
        assert cancel(daemon, job).status_code == 200
    wait_for(daemon, begin(daemon, blur), "completed")
    daemon.stop()
    with contextlib.closing(sqlite3.connect(state / "jobs.sqlite")) as db:
        assert db.execute("SELECT sum(length(bytes)) FROM sources").fetchone() == (2 * room,)
    daemon = run("--keep-sources", "0", models=BOTH)
    answer = daemon.post(blur, path="/v1/restorations", Prefer="respond-async")
    assert answer.status_code == 200 and "Preference-Applied" not in answer.headers


def test_who_goes_before_the_image_is_drawn_again(run, blur):
    daemon = run("--response-cache", "0", models=BOTH)
    job = wait_for(daemon, begin(daemon, blur | {"nfe": 1000}), "completed")
    with daemon.connect() as gone:
        gone.sendall(f"GET /v1/jobs/{job['id']}/images/0.png HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        daemon.wait_for_queue(lambda queue: queue["requests"] or select.select([gone], [], [], 0)[0], "its drawing")
    daemon.wait_for_queue(lambda queue: not queue["requests"], "free lanes")
    with daemon.connect() as gone:  # before it begins
        gone.sendall(f"GET /v1/jobs/{job['id']}/images/0.png HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    daemon.wait_for_queue(lambda queue: not queue["requests"], "free lanes")
