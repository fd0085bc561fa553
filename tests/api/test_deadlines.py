"""A deadline that gives the best picture so far, or an error, as the client likes."""
import base64
import contextlib
import io
import json
import time

import pytest
import requests
from PIL import Image
from softdiffd import png_text

pytestmark = pytest.mark.sanitizers
FLAGS = ("--slots", "2", "--max-nfe", "10000", "--request-timeout", "60m")
BEST = {"nfe": 10000, "deadline_ms": 30000, "on_deadline": "best"}


@pytest.fixture
def small(start):
    return start(*FLAGS)


def idle(queue):
    return queue["slots_busy"] == 0 and not queue["requests"]


def test_the_best_so_far(small):
    began = time.monotonic()
    answer, deadline_ms = small.best(seed=5, nfe=10000)
    assert time.monotonic() - began >= 1e-3 * deadline_ms
    body = answer.json()
    (image,) = body["images"]
    assert body["nfe"] == 10000 and 1 <= image["nfe_done"] < 10000 and "url" not in image
    png = base64.b64decode(image["png"])
    params = json.loads(png_text(png)["softdiff:params"])
    assert params["nfe_done"] == image["nfe_done"] and params["seed"] == 5
    picture = Image.open(io.BytesIO(png))
    assert picture.size == (16, 16) and len(picture.getcolors(256)) > 10
    small.wait_for_queue(idle, "free lanes")
    # Nobody takes it for the whole image.
    assert png != small.png(seed=5, nfe=10000)


def test_bare(small):
    answer, _ = small.best(nfe=10000, accept="image/png")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/png"
    assert 1 <= int(answer.headers["X-NFE-Done"]) < 10000
    done = small.post(BEST | {"nfe": 2}, accept="image/png")
    assert "X-NFE-Done" not in done.headers


def test_in_time_it_is_as_without(small):
    plain = {"seed": 3, "n": 4, "nfe": 5}
    assert small.post(BEST | plain | {"deadline_ms": 30000}).json() == small.post(plain).json()


def test_some_are_done_and_some_have_not_begun(small):
    images = small.best(nfe=10000, n=6)[0].json()["images"]
    begun = [image for image in images if image["nfe_done"] > 0]
    assert len(begun) == 2 and all(image["png"] for image in begun)
    assert [image["png"] for image in images if image["nfe_done"] == 0] == [None] * 4
    small.wait_for_queue(idle, "free lanes")


def test_no_picture_yet(start):
    """Behind others that hold all lanes there is nothing to give, for as long as a tick."""
    small = start(*FLAGS, models=("minutes",))
    held = [small.connect_and_send({"nfe": 10000, "n": 20}) for _ in range(4)]
    small.wait_for_queue(lambda q: q["slots_busy"] == 2 and len(q["requests"]) == 4, "full lanes")
    answers = [small.post(BEST | {"deadline_ms": 1}) for _ in range(3)]
    assert {answer.status_code for answer in answers} <= {503, 504}
    assert all("the first evaluation" in a.text or "a first picture" in a.text for a in answers)
    for connection in held:
        connection.close()
    small.wait_for_queue(idle, "free lanes")


def test_what_cannot_be_in_time_is_refused_at_once(small):
    """Once the speed is known. With all lanes for itself: 504, as it would have been later."""
    small.png(seed=1, nfe=100)
    for body in ({"deadline_ms": 500}, {"timeout_ms": 500}):
        answer = small.post({"nfe": 10000, "n": 64} | body)
        assert answer.status_code == 504 and "Retry-After" not in answer.headers
        problem = answer.json()
        assert problem["expected_ms"] > 500 and "500 ms" in problem["detail"]
        assert f"a longer {next(iter(body))} " in problem["detail"]
    assert not small.queue()["requests"]
    for connection in (small.connect_and_send({"nfe": 10000, "n": 64, "deadline_ms": 500}),):
        assert b"504" in connection.recv(100)
        connection.close()
    # In events, and in the other dialects.
    body = {"nfe": 10000, "n": 64, "timeout_ms": 500}
    assert small.post(body, accept="text/event-stream").status_code == 504
    answer = small.post(body, path="/v1/images/generations")
    assert answer.status_code == 504 and "500 ms" in answer.json()["error"]["message"]


def ask_in_half(daemon):
    """Behind eight others, in half of the time that is told, which is more than twice of what it takes alone."""
    daemon.png(seed=1, nfe=1000)  # the pace of one who is alone
    with contextlib.ExitStack() as held:
        for _ in range(8):
            held.enter_context(daemon.connect_and_send({"nfe": 1000, "n": 30}))
        daemon.wait_for_queue(lambda q: len(q["requests"]) == 8, "eight before it")
        late = daemon.post({"nfe": 1000, "deadline_ms": 1})
        assert late.status_code == 504
        half_ms = late.json()["expected_ms"] // 2
        late = daemon.post({"nfe": 1000, "deadline_ms": half_ms})
        best = daemon.post({"nfe": 10000, "deadline_ms": 1, "on_deadline": "best"})
        assert best.status_code == 503 and int(best.headers["Retry-After"]) >= 1
        assert len(daemon.queue()["requests"]) == 8
    daemon.wait_for_queue(idle, "free lanes")
    return late, half_ms


def test_what_others_make_late_may_come_back(small):
    """What could be in time alone is told when to try again, and is let in when they are gone."""
    for _ in range(5):  # a machine that halts changes the pace
        late, half_ms = ask_in_half(small)
        if late.status_code == 503 and late.json()["expected_ms"] > half_ms:
            break
    assert late.status_code == 503 and late.json()["expected_ms"] > half_ms
    assert 1 <= int(late.headers["Retry-After"]) <= 60
    assert small.post({"nfe": 50, "deadline_ms": 60000}).status_code == 200


def test_no_image_is_there_before_its_first_evaluation(start):
    """Behind five that wait for the one lane, each with an image to its end, its own ten evaluations are nothing."""
    daemon = start("--slots", "1", *FLAGS[2:], models=("slow",))
    daemon.png(seed=1, nfe=10)
    with contextlib.ExitStack() as held:
        for _ in range(6):
            held.enter_context(daemon.connect_and_send({"nfe": 10000, "n": 2}))
        daemon.wait_for_queue(lambda q: len(q["requests"]) == 6 and q["slots_busy"] == 1, "six before it")
        first = daemon.post({"nfe": 10, "deadline_ms": 1, "on_deadline": "best"})
        done = daemon.post({"nfe": 10, "deadline_ms": 1})
    assert "the first evaluation" in first.json()["detail"] and first.status_code == 503
    assert done.status_code in (503, 504)
    assert done.json()["expected_ms"] > 0.1 * first.json()["expected_ms"]  # the pace changes from one to the next


def test_jobs_make_nobody_late(small):
    """They give way, and are no reason to refuse."""
    small.png(seed=1, nfe=1000)
    job = small.post({"n": 1000, "nfe": 10000}, path="/v1/jobs").headers["Location"]
    small.wait_for_queue(lambda q: q["slots_busy"] == 2, "the job")
    assert small.post({"nfe": 50, "deadline_ms": 60000}).status_code == 200
    assert requests.delete(small.url + job, timeout=60).status_code == 200


def test_an_error_by_default(small):
    for more in ({}, {"on_deadline": "fail"}, {"on_deadline": None}):
        answer = small.post({"nfe": 10000, "n": 64, "deadline_ms": 100} | more)
        assert answer.status_code == 504 and "100 ms" in answer.json()["detail"]
    small.wait_for_queue(idle, "free lanes")


@pytest.mark.parametrize(
    "body, field",
    [
        ({"on_deadline": "best"}, "on_deadline"),
        ({"on_deadline": "later", "deadline_ms": 5}, "on_deadline"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": 10**9}, "deadline_ms"),
    ],
)
def test_bad_values(small, body, field):
    answer = small.post(body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
