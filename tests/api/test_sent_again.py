"""A request that is sent again with its Idempotency-Key while it is drawn waits for the same images."""
import concurrent.futures
import contextlib
import hashlib
import json

import pytest
import requests
from softdiffd import Daemon, read_all
from test_jobs import cancel, image, wait_for
from test_restorations import blurred, picture, png, text  # noqa: F401

SLOW = ("faces", "blurred", "slow", "minutes")


@pytest.fixture(scope="module")
def slow(program, checkpoints):
    """One lane: what minutes draws with 10000 evaluations is not there before the test has ended."""
    models = [word for name in SLOW for word in ("--model", f"{name}={checkpoints[name]}")]
    daemon = Daemon(program("softdiffd"), *models, "--slots", "1", "--max-nfe", "10000", "--request-timeout", "60m")
    yield daemon
    daemon.stop()


@pytest.fixture
def blur(picture):
    return {"image": text(png(blurred(picture, 1))), "degradation": "blur", "model": "blurred"}


def send(daemon, path="/v1/samples", body=None, **headers):
    data = json.dumps({"model": "minutes", "nfe": 10000} | (body or {})).encode()
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(data)}", "Connection: close",
             *(f"{name}: {value}" for name, value in headers.items() if value)]  # fmt: skip
    connection = daemon.connect()
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    return connection


def wait_for_clients(daemon, *clients):
    """Of each request that is drawn and not cancelled."""
    daemon.wait_for_queue(lambda queue: sorted(r["clients"] for r in queue["requests"] if not r["cancelled"])
                          == sorted(clients), f"{clients} clients")  # fmt: skip


@pytest.mark.sanitizers
def test_in_every_dialect(slow):
    """Whoever goes takes nothing from the others, also who came first; the last one frees the lane."""
    first = send(slow)
    wait_for_clients(slow, 1)
    others = [send(slow, Accept="text/event-stream"), send(slow, Accept="image/png"),
              send(slow, "/v1/images/generations"),
              send(slow, "/v1/images/generations", {"stream": True, "partial_images": 1}),
              send(slow, body={"preview_every": 1}, Accept="text/event-stream")]  # fmt: skip
    wait_for_clients(slow, 1 + len(others))
    events = b""
    while b"event: preview" not in events:
        events += others[-1].recv(65536)
    assert b"event: progress" in events
    for n, connection in enumerate([first, *others], 1):
        connection.close()
        left = 1 + len(others) - n
        wait_for_clients(slow, *([left] if left else []))
    slow.wait_for_queue(lambda queue: not queue["requests"], "free lanes")


def test_another_one_does_not_join(slow):
    others = ({"deadline_ms": 3600000, "on_deadline": "best"}, {"n": 2}, {"seed": 1}, {"nfe": 9999},
              {"sampler": "momentum"}, {"priority": "background"}, {"model": "slow"})  # fmt: skip
    with contextlib.ExitStack() as stack:
        for n, body in enumerate(({}, *others), 1):
            stack.enter_context(send(slow, body=body))
            wait_for_clients(slow, *[1] * n)


def test_other_keys_do_not_join(slow):
    with send(slow, body={"seed": 1}), send(slow, body={"seed": 1}, Idempotency_Key="other"):
        wait_for_clients(slow, 1, 1)
        with send(slow, body={"seed": 1}, Idempotency_Key=None):
            wait_for_clients(slow, 1, 1, 1)


def test_each_has_its_deadline(slow):
    with send(slow, body={"seed": 1}):
        wait_for_clients(slow, 1)
        answer = slow.post({"model": "minutes", "nfe": 10000, "seed": 1, "timeout_ms": 50}, Idempotency_Key="k")
        assert answer.status_code == 504 and "deadline of 50 ms" in answer.json()["detail"]
        wait_for_clients(slow, 1)
    assert send_and_read(slow, {"seed": 1, "timeout_ms": 50}).startswith(b"HTTP/1.1 504")


def send_and_read(daemon, body):
    with send(daemon, body=body) as connection:
        return read_all(connection)


def at_once(n, call):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return [future.result() for future in [pool.submit(call, i) for i in range(n)]]


@pytest.mark.sanitizers
def test_one_drawing(start, blur):
    """Who comes while it is drawn, and who comes later: all have the same bytes, of one drawing."""
    daemon = start("--slots", "2", "--max-nfe", "10000", models=("faces", "blurred"))
    merged = 0
    for body, path in (({"nfe": 500, "n": 2}, "/v1/samples"), (blur | {"nfe": 300}, "/v1/restorations")):
        before = daemon.queue()["evaluations"]
        answers = at_once(4, lambda i: daemon.post(body, path=path, Idempotency_Key="one"))  # noqa: B023
        assert all(answer.status_code == 200 for answer in answers), [answer.text for answer in answers]
        assert len({answer.content for answer in answers}) == 1
        assert daemon.queue()["evaluations"] - before == body["nfe"] * body.get("n", 1)
        timings = [answer.headers["Server-Timing"] for answer in answers]
        assert sum("cache;" not in timing for timing in timings) == 1, timings
        merged += sum("merged" in timing for timing in timings)
    types = ("application/json", "image/png")
    before = daemon.queue()["evaluations"]
    answers = at_once(6, lambda i: daemon.post({"nfe": 500}, accept=types[i % 2], Idempotency_Key="two"))
    assert daemon.queue()["evaluations"] - before == 500
    assert len({answer.content for answer in answers}) == 2
    merged += sum("merged" in answer.headers["Server-Timing"] for answer in answers)
    metrics = requests.get(daemon.admin + "/metrics", timeout=60).text
    assert f"\nsoftdiff_response_cache_merged_total {merged}\n" in metrics


def test_it_costs_once(start, tmp_path):
    """A key that may draw one image may ask for it as often as it likes, and for no other."""
    file = tmp_path / "keys"
    file.write_text("".join(f"{name} {hashlib.sha256(name.encode()).hexdigest()} rate=1/h\n" for name in ("ann", "bob")))
    daemon = start("--slots", "1", "--max-nfe", "10000", "--api-key-file", str(file), models=SLOW)
    ann, bob = ({"Authorization": f"Bearer {name}"} for name in ("ann", "bob"))
    with send(daemon, **ann), send(daemon, **ann):
        wait_for_clients(daemon, 2)
        answer = daemon.post({"model": "minutes", "nfe": 10000}, Idempotency_Key="other", **ann)
        assert answer.status_code == 429
        with send(daemon, **bob):  # of whom the same key is another
            wait_for_clients(daemon, 1, 2)


@contextlib.contextmanager
def occupied(daemon):
    """Somebody waits, so that nothing is drawn in the background."""
    with send(daemon, body={"seed": 77}, Idempotency_Key=None):
        wait_for_clients(daemon, 1)
        yield


BEHIND = {"priority": "background"}


@pytest.mark.sanitizers
def test_both_become_the_same_job(slow):
    """Whose patience ends: with one key there is one job, and who comes after that has it at once."""
    body = BEHIND | {"model": "faces", "nfe": 3, "seed": 5, "n": 2}
    key = {"Prefer": "wait=1", "Idempotency_Key": "later"}
    with occupied(slow):
        first, second = at_once(2, lambda i: slow.post(body, **key))
        for answer in (first, second, slow.post(body, **key | {"Prefer": "wait=3600"})):
            assert answer.status_code == 202, answer.text
            assert answer.json()["id"] == first.json()["id"]
    job = wait_for(slow, first.json(), "completed")
    assert [image(slow, job, i).content for i in range(2)] == slow.pngs(model="faces", nfe=3, seed=5, n=2)


@pytest.mark.sanitizers
def test_restorations_that_are_not_waited_for_long(slow, blur):
    """Prefer: wait. As samples: the images where they are there in time, else a job that restores the same."""
    body = blur | {"seed": 5, "nfe": 3, "n": 2}
    before = len(slow.get("/v1/jobs").json()["jobs"])
    for prefer in ("wait=3000", "respond-async, wait=3000"):
        want = slow.post(body, path="/v1/restorations", Prefer=prefer)
        assert want.status_code == 200 and want.headers["Preference-Applied"] == "wait=3000"
    with occupied(slow):
        answer = slow.post(body | BEHIND, path="/v1/restorations", Prefer="wait=1")
        assert answer.status_code == 202 and answer.headers["Preference-Applied"] == "wait=1"
        job = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert job["restoration"] == want.json()["restoration"]
        # Who goes before has neither images nor a job.
        with send(slow, "/v1/restorations", body | BEHIND | {"seed": 6}, Prefer="wait=3000"):
            wait_for_clients(slow, 1, 1, 1)  # of the job, too
        wait_for_clients(slow, 1, 1)
        assert len(slow.get("/v1/jobs").json()["jobs"]) == before + 1
        assert slow.post(body, path="/v1/restorations", Prefer="wait=0").status_code == 202
    wait_for(slow, job, "completed")
    assert [text(image(slow, job, i).content) for i in range(2)] == [i["png"] for i in want.json()["images"]]


def test_a_restoration_whose_picture_no_job_may_keep_is_waited_for(start, blur):
    daemon = start("--keep-sources", "0", models=("blurred",))
    answer = daemon.post(blur | {"nfe": 3}, path="/v1/restorations", Prefer="wait=1")
    assert answer.status_code == 200 and "Preference-Applied" not in answer.headers


@pytest.mark.sanitizers
def test_a_restoration_is_sent_again_when_it_is_done(slow, blur):
    body = blur | {"nfe": 3}
    first, again = (slow.post(body, path="/v1/restorations", Idempotency_Key="r") for _ in range(2))
    assert again.content == first.content and "cache;desc=hit" in again.headers["Server-Timing"]
    other = slow.post(body | {"strength": 0.5}, path="/v1/restorations", Idempotency_Key="r")
    assert "cache" not in other.headers["Server-Timing"] and other.json()["seed"] == first.json()["seed"]
