"""Where requests end and connections begin: nothing of a body is run as a request, nobody waits for
a connection that is not there, and a client's end is noticed."""
import re
import socket

import pytest
import requests
from softdiffd import PATIENCE_S, read_all, wait_until

pytestmark = pytest.mark.sanitizers

HEAD = b"Host: a\r\nContent-Type: application/json\r\n"
HIDDEN = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"


def answers(text):
    """The statuses of the answers on a connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", text)]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"QUERY", b"DELETE", b"OPTIONS"])
@pytest.mark.parametrize(
    "length",
    [
        b"",
        b"Content-Length:\r\n %d\r\n" % len(HIDDEN),
        b"Content-Length: \r\n\t%d\r\n" % len(HIDDEN),
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"X: y\r\n Content-Length: %d\r\n" % len(HIDDEN),
    ],
    ids=["no length", "folded", "folded with a tab", "folded coding", "folded into another"],
)
def test_a_body_is_not_a_request(daemon, method, length):
    """libmicrohttpd does not see these lengths, and what follows the head may be a body."""
    text = daemon.raw(method + b" /v1/samples HTTP/1.1\r\n" + length + HEAD + b"\r\n" + HIDDEN)
    got = answers(text)
    assert len(got) == 1 and got[0] in (400, 405, 411), text
    assert b"libmicrohttpd" not in text and b"Connection: close" in text
    if method == b"POST" and length == b"":
        assert got == [411] and b"Content-Length" in text


@pytest.mark.parametrize("byte", [b"\x01", b"\x08", b"\x0b", b"\x1b", b"\x7f"])
def test_control_characters_in_fields(daemon, byte):
    """Are refused: by us as everything is, and by libmicrohttpd, which sees them itself since 1.0, with a page."""
    ours = daemon.get("/version").json()["libmicrohttpd"].startswith("0.")
    for field in (b"X-Request-ID: a" + byte + b"[31mb\r\n", b"X" + byte + b"Y: b\r\n"):
        text = daemon.raw(b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + field + b"\r\n")
        assert answers(text) == [400], text
        assert (b"Content-Type: application/problem+json" in text) == ours
        assert byte not in text and not any(byte.decode() in line for line in daemon.log)


def test_length_of_nothing(daemon):
    for framing in (b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        head = b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n"
        text = daemon.raw(head + framing)
        assert answers(text) == [200]


@pytest.mark.parametrize("method, path", [("GET", "/version"), ("HEAD", "/version"), ("GET", "/nothing"), ("GET", "/v1/samples")])
@pytest.mark.parametrize("body", [
    b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    b"Content-Length: 100000000\r\n\r\n" + HIDDEN,
])  # fmt: skip
def test_a_body_of_a_get_is_ignored(daemon, method, path, body):
    """And nothing behind it is read: who does not expect the body may take it for a request."""
    text = daemon.raw(f"{method} {path} HTTP/1.1\r\nHost: a\r\n".encode() + body + HIDDEN)
    assert answers(text) == [{"/version": 200, "/nothing": 404, "/v1/samples": 405}[path]]
    assert b"Connection: close" in text


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "identity, gzip", "x", ""])
def test_content_encodings(daemon, coding):
    """No coding is undone, so none is taken for JSON."""
    answer = daemon.post(b"{}", Content_Encoding=coding)
    assert answer.status_code == 415 and answer.headers["Accept-Encoding"] == "identity"
    assert "Content-Encoding" in answer.json()["detail"]


def test_the_coding_that_is_none(daemon):
    assert daemon.post(b'{"nfe":1}', Content_Encoding="Identity").status_code == 200


def test_newcomers_are_answered_at_once(start):
    """Beyond the limit nobody waits for somebody else to go."""
    daemon = start("--max-connections", "4", "--max-connections-per-ip", "0", "--header-timeout", "60m", "--idle-timeout", "60m")
    held = [daemon.connect() for _ in range(4)]
    for connection in held:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    for _ in range(50):
        answer = daemon.get("/version")
        assert answer.status_code == 503 and 1 <= int(answer.headers["Retry-After"]) <= 3
        assert answer.json()["status"] == 503 and answer.json()["request_id"]
        assert answer.headers["Connection"] == "close"
    assert daemon.post({"nfe": 1}).status_code == 503
    with daemon.connect() as silent:  # the answer does not wait for a request
        assert answers(read_all(silent)) == [503]
    assert requests.get(daemon.admin + "/readyz").status_code == 200
    held.pop().close()
    wait_until(lambda: daemon.get("/version").status_code == 200, "room for one")
    for connection in held:
        connection.close()


def test_a_crowd_of_newcomers(start):
    """Refusals hold descriptors for a moment only, and never more than a few."""
    daemon = start("--max-connections", "1")
    with daemon.connect() as held:
        held.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert held.recv(1000).startswith(b"HTTP/1.1 200")
        crowd = [daemon.connect() for _ in range(400)]
        assert requests.get(daemon.admin + "/readyz", timeout=PATIENCE_S).status_code == 200
        told = sum(answers(read_all(connection)) == [503] for connection in crowd)
        assert told > 390
        for connection in crowd:
            connection.close()
    wait_until(lambda: daemon.get("/version").status_code == 200, "room for one")


def test_connections_per_client(start):
    daemon = start("--max-connections-per-ip", "2")
    held = [daemon.connect() for _ in range(2)]
    for connection in held:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    answer = daemon.get("/version")
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
    assert requests.get(daemon.admin + "/readyz").status_code == 200
    for connection in held:
        connection.close()
    wait_until(lambda: daemon.get("/version").status_code == 200, "room for one")


@pytest.mark.parametrize("begun", [
    b"", b"GET", b"GET /version HTTP/1.1\r\nHost: a\r\nX",
    b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\n{",
])  # fmt: skip
def test_an_end_in_the_middle_frees_the_connection(start, begun):
    """Also when it comes together with the last bytes; nobody waits for the deadline."""
    daemon = start("--max-connections", "4", "--header-timeout", "60m", "--idle-timeout", "60m")
    for _ in range(20):
        with daemon.connect() as connection:
            connection.sendall(begun)
    wait_until(lambda: daemon.get("/version").status_code == 200, "a connection")


def half_close(daemon, body):
    connection = daemon.connect_and_send(body)
    connection.shutdown(socket.SHUT_WR)
    return connection


def test_a_half_closed_client_is_gone(start):
    """It cannot be told from one that closed, and a killed curl must free its lanes."""
    daemon = start("--slots", "2", "--max-nfe", "10000")
    with half_close(daemon, {"seed": 1, "nfe": 10000}) as connection:
        assert read_all(connection) == b""
    daemon.wait_for_queue(lambda q: not q["requests"], "an empty queue")


@pytest.mark.parametrize("nfe", [1, 200])
def test_a_half_closed_client_that_says_so_is_answered(start, nfe):
    daemon = start("--slots", "2", "--max-nfe", "10000")
    want = daemon.png(seed=5, nfe=nfe)
    body = {"seed": 5, "nfe": nfe, "on_disconnect": "finish"}
    with half_close(daemon, body) as connection:
        text = read_all(connection)
    assert answers(text) == [200]
    assert daemon.post(body, accept="image/png").content == want
    # One that is gone for good costs its work and nothing else.
    for _ in range(4):
        daemon.connect_and_send(body).close()
    daemon.wait_for_queue(lambda q: not q["requests"], "an empty queue")
    assert daemon.png(seed=5, nfe=nfe) == want
    assert daemon.post({"on_disconnect": "stay"}).status_code == 422


def test_clients_text_in_the_log(start):
    """What a client calls a method, a header or a model ends no line and opens no quote."""
    daemon = start("--log-level", "debug")
    for method in (b"\x1b[31mGET", b'G"E"T', b"GET\\x", b"\xc3\xa4", b"x=y", b"level=error"):
        daemon.raw(method + b" / HTTP/1.1\r\nHost: a\r\nX-Request-ID: \"a\" b\r\n\r\n")
    daemon.post({"model": 'x"\nlevel=error event=fake'}, X_Request_ID='a" level=error')
    daemon.get("/")
    daemon.stop()
    lines = [line for line in daemon.log if line]
    value = r'(?:"(?:[^"\\]|\\.)*"|[^\s"\\]*)'
    for line in lines:
        assert line.isprintable(), repr(line)
        assert re.fullmatch(rf"\S+Z level=\w+(?: \w+={value})+", line), line
    assert sum("event=request" in line for line in lines) >= 8
    assert not any("fake" in line or "level=error" in line for line in lines)
    assert sum("method=- " in line for line in lines) >= 4


def test_two_requests_and_an_end(start):
    """Sent in one piece: both are answered, and the connection does not wait for a third."""
    daemon = start("--slots", "2", "--max-connections", "4", "--idle-timeout", "60m")
    for _ in range(10):
        body = b'{"seed":5,"nfe":50,"on_disconnect":"finish"}'
        request = b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        with daemon.connect() as connection:
            connection.sendall(request + request)
            connection.shutdown(socket.SHUT_WR)
            assert answers(read_all(connection)) == [200, 200]
        wait_until(lambda: daemon.get("/version").status_code == 200, "a connection")
