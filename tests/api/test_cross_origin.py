"""CORS: off unless asked for, a list that is kept to, and never a word about credentials."""
import pytest
import requests

pytestmark = pytest.mark.sanitizers
ALLOW = "Access-Control-Allow-Origin"


def preflight(daemon, origin, path="/v1/samples", method="POST"):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type",
    }
    return requests.options(daemon.url + path, headers=headers)


def ask(daemon, origin, path="/v1/models"):
    return requests.get(daemon.url + path, headers={"Origin": origin} if origin else {})


def test_off_by_default(daemon):
    answer = ask(daemon, "https://a.example")
    assert answer.status_code == 200 and ALLOW not in answer.headers and "Vary" not in answer.headers
    assert preflight(daemon, "https://a.example").status_code == 405


def test_a_list(start):
    daemon = start("--cors-origin", "https://a.example,http://localhost:8000")
    for origin in ("https://a.example", "http://localhost:8000"):
        for path in ("/v1/models", "/version", "/nothing", "/v1/models/faces/samples/1.png?nfe=1"):
            answer = ask(daemon, origin, path)
            assert answer.headers[ALLOW] == origin and "Origin" in answer.headers["Vary"]
            assert "X-Seed" in answer.headers["Access-Control-Expose-Headers"]
        answer = daemon.post({"nfe": 0}, Origin=origin)  # problems can be read, too
        assert answer.status_code == 422 and answer.headers[ALLOW] == origin
        for path, method in [("/v1/samples", "POST"), ("/v1/models", "GET"),
                             ("/v1/models/faces/samples/1.png", "GET")]:  # fmt: skip
            answer = preflight(daemon, origin, path, method)
            assert answer.status_code == 204 and answer.content == b""
            assert answer.headers[ALLOW] == origin and "Origin" in answer.headers["Vary"]
            assert method in answer.headers["Access-Control-Allow-Methods"]
            assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
            assert int(answer.headers["Access-Control-Max-Age"]) > 0
            assert "Access-Control-Allow-Credentials" not in answer.headers
    for origin in ("https://a.example.evil", "http://a.example", "https://A.example", "null",
                   "https://a.example,http://localhost:8000", "https://a.exampl", ""):  # fmt: skip
        answer = ask(daemon, origin)
        assert answer.status_code == 200 and ALLOW not in answer.headers
        assert "Origin" in answer.headers["Vary"]  # for caches: another page may be answered otherwise
        if origin:
            assert preflight(daemon, origin).status_code == 403
    assert preflight(daemon, "https://a.example", "/nothing").status_code == 404
    assert requests.options(daemon.url + "/v1/models").status_code == 405
    # The admin's side is for no page.
    assert ALLOW not in requests.get(daemon.admin + "/version", headers={"Origin": "https://a.example"}).headers


def test_all_pages(start):
    daemon = start("--cors-origin", "*")
    assert ask(daemon, "https://anything.example").headers[ALLOW] == "*"
    assert preflight(daemon, "null").headers[ALLOW] == "*"
