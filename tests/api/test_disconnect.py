"""What becomes of the work of clients that go: nothing, or, where they want it, the answer to those who
ask again."""
import base64
import json
import socket

import pytest
import requests
from softdiffd import read_all, wait_until

FINISH = {"on_disconnect": "finish"}


@pytest.fixture
def small(start):
    return start("--slots", "2", "--max-nfe", "10000", "--request-timeout", "10m")


def idle(queue):
    return queue["slots_busy"] == 0 and not queue["requests"]


def send(daemon, body, *headers):
    data = json.dumps(body).encode()
    head = "".join(f"{line}\r\n" for line in (
        "POST /v1/samples HTTP/1.1", "Host: a", "Content-Type: application/json",
        f"Content-Length: {len(data)}", *headers))  # fmt: skip
    connection = daemon.connect()
    connection.sendall(f"{head}\r\n".encode() + data)
    return connection


def go_early(daemon, body, *headers):
    """Goes while the images are drawn, if they are not drawn by then, and waits until they are."""
    connection = send(daemon, body, *headers)
    daemon.wait_for_queue(lambda q: q["slots_busy"] > 0 or any("event=samples" in line for line in daemon.log), "work")
    connection.close()
    daemon.wait_for_log("event=samples .*status=200 ")
    daemon.wait_for_queue(idle, "the end of the work")


def is_hit(answer):
    return "cache;desc=hit" in answer.headers["Server-Timing"]


@pytest.mark.parametrize("accept", ["application/json", "image/png"])
def test_finish_keeps_the_answer(small, accept):
    body = {"nfe": 1000, "seed": 5} | FINISH
    go_early(small, body, f"Accept: {accept}", "Idempotency-Key: k1")
    before = small.queue()["evaluations"]
    again = small.post(body, accept=accept, Idempotency_Key="k1")
    assert again.status_code == 200 and is_hit(again) and again.headers["X-Seed"] == "5"
    assert small.queue()["evaluations"] == before
    drawn = small.post(body, accept=accept)  # without a key it is drawn
    assert small.queue()["evaluations"] == before + 1000
    assert not is_hit(drawn) and drawn.content == again.content
    assert drawn.headers["Content-Type"] == again.headers["Content-Type"]


def test_finish_keeps_the_images(small):
    """For their addresses."""
    go_early(small, {"nfe": 500, "seed": 5, "n": 3} | FINISH)
    before = small.queue()["evaluations"]
    answers = [small.get(f"/v1/models/faces/samples/{seed}.png?nfe=500") for seed in (5, 6, 7)]
    assert all(is_hit(answer) for answer in answers)
    assert small.queue()["evaluations"] == before
    assert [a.content for a in answers] == small.pngs(nfe=500, seed=5, n=3)


@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.sanitizers
def test_a_stream_whose_client_goes(small, finish):
    body = {"nfe": 1500, "seed": 5} | FINISH if finish else {"nfe": 10000, "seed": 5, "n": 64}
    connection = send(small, body, "Accept: text/event-stream")
    assert b"200 OK" in connection.recv(1000)
    connection.close()
    small.wait_for_log(f"event=samples .*status={200 if finish else 499} ")
    small.wait_for_queue(idle, "the end of the work")
    image = requests.head(small.url + f"/v1/models/faces/samples/5.png?nfe={body['nfe']}", timeout=60)
    assert image.status_code == 200 and ("Content-Length" in image.headers) == finish  # known of what is kept


@pytest.mark.sanitizers
def test_a_key_stands_for_a_seed(small):
    answers = [small.post({"nfe": 2, "n": 2}, Idempotency_Key=key) for key in ("a", "a", "b", "c" * 500)]
    assert [is_hit(answer) for answer in answers] == [False, True, False, False]
    assert answers[0].content == answers[1].content
    seeds = [answer.json()["seed"] for answer in answers]
    assert len(set(seeds)) == 3 and all(0 <= seed < 2**53 for seed in seeds)
    # Of other settings it is another answer, with the same seed; its own seed goes first.
    other = small.post({"nfe": 3, "n": 2}, Idempotency_Key="a")
    assert not is_hit(other) and other.json()["seed"] == seeds[0]
    one = small.post({"nfe": 2}, Idempotency_Key="a")
    assert not is_hit(one) and one.json()["images"][0]["png"] == answers[0].json()["images"][0]["png"]
    assert small.post({"nfe": 2, "seed": 9}, Idempotency_Key="a").json()["seed"] == 9


def test_without_a_cache_it_is_drawn_again(start):
    daemon = start("--response-cache", "0")
    first, again = (daemon.post({"nfe": 4}, Idempotency_Key="a") for _ in range(2))
    assert not is_hit(again) and first.content == again.content


def test_the_best_so_far_is_not_kept(small):
    body = {"nfe": 10000, "deadline_ms": 100, "on_deadline": "best", "seed": 5} | FINISH
    for _ in range(2):
        answer = wait_until(lambda: (got := small.post(body, Idempotency_Key="a")).status_code == 200 and got, "a part")
        assert not is_hit(answer) and answer.json()["images"][0]["nfe_done"] < 10000
    body["deadline_ms"] = 60000
    whole = small.post(body | {"nfe": 2}, Idempotency_Key="a")
    assert is_hit(small.post(body | {"nfe": 2}, Idempotency_Key="a"))
    assert base64.b64decode(whole.json()["images"][0]["png"]) == small.png(nfe=2, seed=5)


def test_half_closed_and_finished(small):
    with send(small, {"nfe": 500, "seed": 5} | FINISH, "Connection: close") as connection:
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" in read_all(connection)
    assert is_hit(small.get("/v1/models/faces/samples/5.png?nfe=500"))
