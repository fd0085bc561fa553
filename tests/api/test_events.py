"""The answer as events: what comes in which order, previews, slow readers, clients that go."""
import base64
import io
import json
import signal
import socket
import threading

import pytest
import requests
from PIL import Image
from softdiffd import read_all, wait_until

pytestmark = pytest.mark.sanitizers


def parse(lines):
    """The events of a stream: (name, id, data)."""
    event = {}
    for line in lines:
        if line == "":
            if event:
                yield event["event"], int(event.get("id", -1)), json.loads(event["data"])
            event = {}
        elif not line.startswith(":"):
            name, value = line.split(": ", 1)
            event[name] = value


def open_stream(daemon, body, **headers):
    headers = {"Accept": "text/event-stream"} | headers
    return requests.post(daemon.url + "/v1/samples", json=body, headers=headers, stream=True, timeout=60)


def events(daemon, body):
    answer = open_stream(daemon, body)
    assert answer.status_code == 200, answer.text
    return list(parse(answer.iter_lines(decode_unicode=True)))


@pytest.fixture
def small(start):
    return start("--slots", "2", "--max-nfe", "10000", "--idle-timeout", "60m")


def idle(queue):
    return queue["slots_busy"] == 0 and not queue["requests"]


def test_from_acceptance_to_completion(daemon):
    body = {"seed": 7, "n": 16, "nfe": 200}
    answer = open_stream(daemon, body)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    stream = list(parse(answer.iter_lines(decode_unicode=True)))
    names = [name for name, _, _ in stream]
    assert names[0] == "accepted" and names[-1] == "completed"
    assert set(names[1:-1]) == {"progress"}
    accepted = stream[0][2]
    assert accepted["seed"] == 7 and accepted["n"] == 16 and accepted["steps"] == 3200
    steps = [data["step"] for name, _, data in stream if name == "progress"]
    assert steps == sorted(set(steps)) and 1 <= steps[0] and steps[-1] <= 3200
    assert [id for name, id, _ in stream if name == "progress"] == steps
    assert all(data["steps"] == 3200 and data["eta_ms"] >= 0 for name, _, data in stream[1:-1])
    # The last event is the answer that others get.
    assert stream[-1][1] == 3200
    assert stream[-1][2] == daemon.post(body).json()


def test_previews(small):
    stream = events(small, {"seed": 7, "n": 2, "nfe": 2000, "preview_every": 10})
    previews = [data for name, _, data in stream if name == "preview"]
    assert {data["image"] for data in previews} == {0, 1}
    for data in previews:
        assert data["seed"] == 7 + data["image"] and 10 <= data["nfe_done"] < 2000
        for key in ("png", "x"):
            picture = Image.open(io.BytesIO(base64.b64decode(data[key], validate=True)))
            assert picture.size == (16, 16) and picture.mode == "RGB"
        assert data["png"] != data["x"]
    for image in (0, 1):
        done = [data["nfe_done"] for data in previews if data["image"] == image]
        assert done == sorted(set(done))
        assert all(b // 10 > a // 10 for a, b in zip(done, done[1:]))
    # They change nothing of the images.
    assert stream[-1][2] == small.post({"seed": 7, "n": 2, "nfe": 2000}).json()


def test_a_preview_is_the_best_so_far(start):
    """What a deadline gives is what a preview shows after as many evaluations."""
    daemon = start("--max-nfe", "10000", "--request-timeout", "60m", models=("slow",))
    body = {"seed": 3, "nfe": 10000}
    best = daemon.best(**body)[0].json()["images"][0]
    answer = open_stream(daemon, body | {"preview_every": 1})
    shown = {}
    for name, _, data in parse(answer.iter_lines(decode_unicode=True)):
        if name == "preview":
            shown[data["nfe_done"]] = Image.open(io.BytesIO(base64.b64decode(data["png"]))).tobytes()
            if len(shown) > 10 and data["nfe_done"] > best["nfe_done"]:
                break
    answer.close()
    if best["nfe_done"] in shown:  # not all are sent
        picture = Image.open(io.BytesIO(base64.b64decode(best["png"])))
        assert picture.tobytes() == shown[best["nfe_done"]]


def test_accept(daemon):
    for accept, kind in [
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.5", "text/event-stream"),
        ("application/json, text/event-stream;q=0.9", "application/json"),
        ("text/*", "text/event-stream"),
        ("*/*", "application/json"),
        ("text/event-stream, */*", "application/json"),
    ]:
        answer = daemon.post({"nfe": 1}, accept=accept)
        assert answer.headers["Content-Type"] == kind, accept


def test_refusals_are_answers(daemon):
    """What is wrong from the start is told as ever."""
    for body, status, field in [
        ({"nfe": 0}, 422, "nfe"),
        ({"preview_every": 0}, 422, "preview_every"),
        ({"preview_every": 201}, 422, "preview_every"),
    ]:
        answer = open_stream(daemon, body)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["errors"][0]["field"] == field
    answer = daemon.post({"preview_every": 5})
    assert answer.status_code == 422 and "event-stream" in answer.text


def test_a_deadline(start):
    daemon = start("--max-nfe", "10000", models=("slow",))
    stream = events(daemon, {"nfe": 10000, "timeout_ms": 200})
    assert stream[0][0] == "accepted" and stream[-1][0] == "failed"
    assert stream[-1][2]["status"] == 504 and stream[-1][2]["request_id"]
    for deadline_ms in (200, 2000, 20000):  # more where its first evaluation is not done
        stream = events(daemon, {"nfe": 10000, "deadline_ms": deadline_ms, "on_deadline": "best"})
        if stream[-1][0] == "completed":
            break
    assert stream[-1][0] == "completed" and 0 < stream[-1][2]["images"][0]["nfe_done"] < 10000
    daemon.wait_for_queue(idle, "free lanes")


@pytest.mark.parametrize("go", ["close", "reset", "half"])
def test_gone_clients_free_their_lanes(start, go):
    small = start("--slots", "2", "--max-nfe", "10000", models=("slow",))
    body = json.dumps({"nfe": 10000, "n": 4, "preview_every": 3}).encode()
    head = b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    connections = [small.connect() for _ in range(3)]
    for connection in connections:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    small.wait_for_queue(lambda q: q["slots_busy"] == 2 and len(q["requests"]) == 3, "work")
    for connection in connections:
        if go == "half":
            connection.shutdown(socket.SHUT_WR)
        elif go == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if go != "half":
            connection.close()
    small.wait_for_queue(idle, "free lanes")
    assert small.queue()["evaluations"] < 120000  # of all
    for connection in connections:
        connection.close()
    assert small.png(seed=1, nfe=2)


def test_a_slow_reader(small):
    """It takes nothing for a while: nothing piles up, nobody waits, and it gets the newest and the end."""
    want = small.post({"seed": 1, "n": 2, "nfe": 3000}).json()
    body = json.dumps({"seed": 1, "n": 2, "nfe": 3000, "preview_every": 1}).encode()
    head = b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = small.url.removeprefix("http://").split(":")
    connection.connect((address[0], int(address[1])))
    connection.settimeout(60)
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    done = lambda: sum("event=samples" in line and "images=2 " in line for line in small.log)
    wait_until(lambda: done() == 2, "the second drawing")
    assert small.png(seed=2, nfe=2)
    data = read_all(connection)
    connection.close()
    text = b"".join(chunk for chunk in unchunk(data.split(b"\r\n\r\n", 1)[1])).decode()
    stream = list(parse(text.split("\n")))
    assert stream[-1][0] == "completed" and stream[-1][2] == want
    # Of 3000 ticks with two previews each it has what the system's buffers took, and the end.
    assert len(stream) < 6000


def unchunk(data):
    while data:
        size, data = data.split(b"\r\n", 1)
        size = int(size, 16)
        if size == 0:
            return
        yield data[:size]
        data = data[size + 2 :]


def test_a_reader_that_never_reads_is_disconnected(start):
    daemon = start("--max-nfe", "10000", "--idle-timeout", "500ms", "--max-queue", "256")
    body = json.dumps({"seed": 1, "n": 64, "nfe": 10000, "preview_every": 1}).encode()
    head = b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = daemon.url.removeprefix("http://").split(":")
    connection.connect((address[0], int(address[1])))
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    daemon.wait_for_queue(lambda q: q["slots_busy"] > 0, "work")
    daemon.wait_for_log("event=samples .*status=499")
    daemon.wait_for_queue(idle, "free lanes")
    connection.close()


def test_the_end(start):
    """SIGTERM: streams in progress are completed; those that take too long are told so."""
    daemon = start("--slots", "2", "--max-nfe", "10000", "--drain-timeout", "60s")
    got = []
    client = threading.Thread(target=lambda: got.extend(events(daemon, {"nfe": 2000})))
    client.start()
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 1 or not client.is_alive(), "work")
    daemon.signal()
    client.join()
    assert got[-1][0] == "completed" and daemon.wait_for_exit() == 0
    daemon = start("--slots", "2", "--max-nfe", "10000", "--drain-timeout", "100ms", models=("slow",))
    got.clear()
    client = threading.Thread(target=lambda: got.extend(events(daemon, {"nfe": 10000, "n": 20})))
    client.start()
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    daemon.signal(signal.SIGTERM)
    client.join()
    assert got[-1][0] == "failed" and got[-1][2]["status"] == 503
    assert daemon.wait_for_exit() == 0


def test_many_streams_at_once(small):
    bodies = [{"seed": i, "nfe": 20 + i, "n": 1 + i % 3, "preview_every": 1 + i % 4} for i in range(16)]
    want = [small.post({k: v for k, v in body.items() if k != "preview_every"}).json() for body in bodies]
    got = [None] * len(bodies)

    def ask(i):
        got[i] = events(small, bodies[i])[-1]

    clients = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert [event[0] for event in got] == ["completed"] * len(bodies)
    assert [event[2] for event in got] == want
    wait_until(lambda: idle(small.queue()), "an idle daemon")


def test_place_in_the_queue(start):
    """Who waits behind others is told how many, as they begin or go; who is next from the start is not."""
    daemon = start("--slots", "1", "--max-nfe", "10000", models=("slow",))
    others = []
    for seed in range(4):  # the first has the only lane
        others.append(daemon.connect_and_send({"seed": seed, "nfe": 10000}))
        daemon.wait_for_queue(lambda queue, n=seed + 1: len(queue["requests"]) == n, "a request")
    daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 1, "a busy lane")
    answer = open_stream(daemon, {"seed": 7, "nfe": 60})
    stream = parse(answer.iter_lines(decode_unicode=True))
    assert next(stream)[0] == "accepted"
    name, number, data = next(stream)
    assert (name, number, data) == ("queued", 0, {"queue_position": 4})
    for connection in reversed(others):
        connection.close()
    rest = list(stream)
    places = [data["queue_position"] for name, _, data in rest if name == "queued"]
    assert places == sorted(set(places), reverse=True) and set(places) <= {1, 2, 3}
    names = [name for name, _, _ in rest]
    assert names[-1] == "completed" and "queued" not in names[names.index("progress"):]
    assert rest[-1][2] == daemon.post({"seed": 7, "nfe": 60}).json()
