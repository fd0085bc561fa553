"""What is refused, how it is told, and that the daemon goes on as if nothing had been."""
import json
import socket
import struct
import threading

import pytest
import requests
from softdiffd import PATIENCE_S, read_all, wait_until

pytestmark = pytest.mark.sanitizers


@pytest.fixture(autouse=True)
def still_serves(daemon):
    yield
    assert daemon.post({"seed": 1, "nfe": 2}).status_code == 200
    daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 0, "free lanes")


def assert_problem(answer, status, *fields):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status and body["type"] == "about:blank" and body["title"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["detail"]
    assert [error["field"] for error in body.get("errors", [])] == list(fields)
    return body["detail"] + " ".join(error["detail"] for error in body.get("errors", []))


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"x", b"{} {}", b'{"n":1,"n":2}', b'{"n":01}', b"\xff\xfe", b'{"model":"a\\u0000b"}',
        b"[" * 60000, b'{"a":' * 10000, b"\0", b'{"seed":1',
    ],
)  # fmt: skip
def test_malformed(daemon, body):
    assert_problem(daemon.post(body), 400)


@pytest.mark.parametrize(
    "body, fields",
    [
        (b"[]", []),
        (b"[1]", []),
        (b'{"n":18446744073709551615}', []),
        (b'{"seed":18446744073709551616}', ["seed"]),
        ({"seed": -1, "n": 0, "nfe": 0}, ["seed", "n", "nfe"]),
        ({"n": 65}, ["n"]),
        ({"nfe": 201}, ["nfe"]),
        ({"n": True}, ["n"]),
        ({"sampler": "euler"}, ["sampler"]),
        ({"n": 1.5}, ["n"]),
        ({"timeout_ms": 10**12}, ["timeout_ms"]),
        ({"corruption": "mask"}, ["corruption"]),
        ({"corruption": "blur", "model": "faces"}, ["corruption"]),
        ({"prompt": "a cat"}, ["prompt"]),
        ({"nfe": 0, "model": "nobody"}, ["nfe", "model"]),
    ],
)
def test_invalid(daemon, body, fields):
    assert_problem(daemon.post(body), 422, *fields)


def test_choices_are_listed(daemon):
    text = assert_problem(daemon.post({"corruption": "mask"}), 422, "corruption")
    assert '"noise"' in text and '"blur"' in text
    assert '"momentum"' in assert_problem(daemon.post({"sampler": "euler"}), 422, "sampler")
    assert '"faces"' in assert_problem(daemon.post({"model": "nobody"}), 404)


def test_addresses_and_methods(daemon):
    for path in ("/v1/sample", "/v1/samples/", "//v1/samples", "/V1/samples", "/a" * 900):
        assert_problem(requests.post(daemon.url + path), 404)
    for path in (b"/v1/%6dodels", b"/v1/models%00", b"/v1/../v1/models", b"/%", b"/\xff"):
        answer = daemon.raw(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 "), path
    for method, path, allow in [
        ("GET", "/v1/samples", "POST"),
        ("DELETE", "/v1/samples", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
        ("OPTIONS", "/v1/models", "GET, HEAD"),
    ]:
        answer = requests.request(method, daemon.url + path)
        assert_problem(answer, 405)
        assert answer.headers["Allow"] == allow
    # The admin's view is not public.
    assert_problem(daemon.get("/v1/queue"), 404)


def test_media_types(daemon):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        assert_problem(daemon.post(b"{}", Content_Type=kind), 415)
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert daemon.post(b'{"nfe":1}', Content_Type=kind).status_code == 200


def test_large_bodies(daemon):
    limit = daemon.get("/v1/capabilities").json()["limits"]["body_bytes"]
    padded = b'{"nfe":1' + b" " * (limit - 9) + b"}"
    assert len(padded) == limit and daemon.post(padded).status_code == 200
    assert_problem(daemon.post(padded + b" "), 413)
    # In chunks nobody announces the size.
    chunks = requests.post(
        daemon.url + "/v1/samples", data=(b" " * 1000 for _ in range(100)),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert_problem(chunks, 413)


def test_expectation_of_a_large_body(daemon):
    """The answer comes without asking for the body."""
    head = b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    answer = daemon.raw(head + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ") and b"100 Continue" not in answer


def test_request_ids(daemon):
    for given in ("a", "A.b_c-9", "x" * 128):
        answer = daemon.post({"nfe": 1}, X_Request_ID=given)
        assert answer.headers["X-Request-ID"] == given
        daemon.wait_for_log(f"id={given} ")
    made = set()
    for given in ("", "a b", "x" * 129, "a\tb", 'a"b', "a=b\u00e4".encode().decode("latin-1")):
        made.add(daemon.post({"nfe": 1}, X_Request_ID=given).headers["X-Request-ID"])
    assert len(made) == 6 and all(len(id) == 16 for id in made)


def test_contracts(daemon):
    """Each listener describes itself: every address of its contract answers where it was asked for."""
    for base in (daemon.url, daemon.admin):
        contract = requests.get(base + "/openapi.json").json()
        assert contract["openapi"].startswith("3.1")
        assert [server["url"] for server in contract["servers"]] == ["/"]
        assert "127.0.0.1" not in json.dumps(contract) and "localhost" not in json.dumps(contract)
        for path, item in contract["paths"].items():
            assert "servers" not in item
            if "{job}" in path or "{version}" in path:  # in test_jobs.py, test_kserve.py
                continue
            for method in item:
                for parameter in item[method].get("parameters", []):
                    if "$ref" in parameter:
                        parameter = contract["components"]["parameters"][parameter["$ref"].split("/")[-1]]
                    path = path.replace("{%s}" % parameter["name"], str(parameter.get("example")))
                asked = item[method].get("requestBody", {})
                kinds = asked.get("content", {})
                if asked.get("required") and "image/png" not in kinds:  # in test_restorations.py, test_kserve.py
                    continue
                body = daemon.png(seed=1, nfe=1) if "image/png" in kinds else b""
                headers = {"Content-Type": "image/png"} if body else {}
                answer = requests.request(method, base + path, data=body, headers=headers)
                assert answer.status_code == (202 if (method, path) == ("post", "/v1/jobs") else 200), path
                kind = answer.headers["Content-Type"].split(";")[0]
                assert kind in item[method]["responses"][str(answer.status_code)]["content"]
                head = requests.head(base + path)
                assert head.text == "" and head.status_code == (200 if "get" in item else 405)
        assert requests.get(base + "/version").json()["version"] == contract["info"]["version"]


def test_pages(daemon):
    page = daemon.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert daemon.get("/v1/models?x=y").status_code == 200


HEAD = b"Host: a\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


# libmicrohttpd 1.0 refuses some of them itself, an unknown transfer coding with 400.
BAD_HTTP = [
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nContent-Length: 7\r\n\r\n{}", [400]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", [400, 501]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [501]),
    (b"POST /v1/samples HTTP/1.0\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\n\r\n", [400]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", [400]),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", [501]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", [417]),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: +2\r\n\r\n{}", [400]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: 18446744073709551616\r\n\r\n{}", [400, 413]),
    (b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\n{}\r\n", [400, 413]),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", [431]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70000 + b"\r\n\r\n", [431]),
    (b"GET /" + b"y" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", [414]),
]  # fmt: skip


@pytest.mark.parametrize("request_bytes, statuses", BAD_HTTP)
def test_bad_http(daemon, request_bytes, statuses):
    """One answer, and the connection closes: nothing behind a bad request is served."""
    answer = daemon.raw(request_bytes + SMUGGLED)
    assert any(answer.startswith(b"HTTP/1.1 %d " % status) for status in statuses), answer[:200]
    assert b"HTTP/1.1 200" not in answer


def test_pipelining(daemon):
    """Two good requests on one connection get two answers, in their order."""
    with daemon.connect() as connection:
        body = b'{"seed":1,"nfe":2}'
        one = b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
        last = b"GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(one + body + last)
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"X-Seed: 1") < answer.index(b"libmicrohttpd")


def test_bytes_that_are_not_http(daemon):
    for data in (b"\0" * 1000, b"\x16\x03\x01\x02\x00" * 50, b"\r\n" * 1000, b"GET /\r\n\r\n"):
        with daemon.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert b"HTTP/1.1 200" not in read_all(connection)


def test_connections_that_break_off(daemon):
    """At every byte of a request, politely and by reset."""
    body = b'{"nfe":1}'
    request = b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for i in range(0, len(request), 3):
        connection = daemon.connect()
        connection.sendall(request[:i])
        if i % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def test_deadlines_of_head_and_body(start):
    """A drip of bytes does not keep a connection open, and probes do not wait for it."""
    daemon = start("--header-timeout", "300ms", "--idle-timeout", "600ms")
    stopped = threading.Event()

    def drip(connection):
        try:
            while not stopped.wait(0.02):
                connection.sendall(b"a")
        except OSError:
            pass

    head = b"POST /v1/samples HTTP/1.1\r\n" + HEAD
    for data in (b"", b"GET / HTTP/1.1\r\nX: ", head + b"Content-Length: 60000\r\n\r\n"):
        connection = daemon.connect()
        connection.sendall(data)
        dripping = threading.Thread(target=drip, args=(connection,))
        dripping.start()
        assert read_all(connection) == b""
        stopped.set()
        dripping.join()
        stopped.clear()
    daemon = start("--idle-timeout", "600ms")
    with daemon.connect() as connection:  # between two requests
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1") == 1


def test_too_many_connections(start):
    """The public listener is full; the probes answer all the same, and it recovers."""
    daemon = start("--max-connections", "4")
    held = [daemon.connect() for _ in range(6)]
    assert requests.get(daemon.admin + "/readyz", timeout=PATIENCE_S).status_code == 200
    for connection in held:
        connection.close()
    wait_until(lambda: daemon.get("/version").status_code == 200, "room for a client")
    assert daemon.png(seed=1, nfe=2)
