"""Keys: who is let in, how much, and what is told to the others."""
import hashlib
import re
import signal

import openai
import pytest
import requests
from softdiffd import wait_until

pytestmark = pytest.mark.sanitizers

OPEN = {"/", "/openapi.json", "/version", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}


def line(name, key, *limits):
    return " ".join([name, hashlib.sha256(key.encode()).hexdigest(), *limits]) + "\n"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path):
    """The file of keys; alice may do what she wants."""
    file = tmp_path / "keys"
    file.write_text("# who may\n" + line("alice", "secret-of-alice"))
    return file


@pytest.fixture
def guarded(start, keys):
    return start("--api-key-file", str(keys), "--max-nfe", "10000")


def test_every_address_needs_a_key_but_those_that_say_so(guarded):
    contract = requests.get(guarded.url + "/openapi.json").json()
    for path, methods in contract["paths"].items():
        address = guarded.url + re.sub(r"\{[^}]*\}", "x", path)
        for method in methods:
            answer = requests.request(method, address, data=b"{}" if method == "post" else None)
            assert (answer.status_code == 401) == (path not in OPEN), (method, path)
            if answer.status_code == 401:
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.headers["X-Request-ID"]
    # Nor is told what there is.
    for path in ("/v1", "/metrics", "/v1/queue", "/-/reload", "/invocations", "//livez", "/livez/x"):
        assert requests.get(guarded.url + path).status_code == 401
        assert requests.get(guarded.url + path, headers=bearer("secret-of-alice")).status_code == 404
    assert requests.put(guarded.url + "/v1/samples", data=b"").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("secret-of-alic"), bearer("secret-of-alice1"), bearer(""), {"Authorization": "Bearer"},
     {"Authorization": "Basic secret-of-alice"}, {"X-API-Key": "secret-of-alice"}],
)  # fmt: skip
def test_without_a_key(guarded, headers):
    answer = guarded.post({"nfe": 1}, **headers)
    assert answer.status_code == 401
    assert answer.json()["title"] == "Unauthorized"


def test_with_a_key(guarded):
    answer = guarded.post({"nfe": 1, "seed": 1}, **bearer("secret-of-alice"))
    assert answer.status_code == 200
    address = answer.json()["images"][0]["url"]
    assert requests.get(guarded.url + address).status_code == 401
    image = requests.get(guarded.url + address, headers=bearer("secret-of-alice"))
    assert image.status_code == 200
    # No proxy may give it to those without a key.
    assert image.headers["Cache-Control"].startswith("private,")
    guarded.wait_for_log(r"event=request .* key=alice .* route=/v1/samples status=200")
    assert "secret" not in "\n".join(guarded.log)
    metrics = requests.get(guarded.admin + "/metrics").text
    assert 'softdiff_key_requests_total{key="alice",outcome="admitted"} 2' in metrics
    assert "softdiff_unauthorized_requests_total 1" in metrics


def test_in_the_dialect_of_others(guarded):
    client = openai.OpenAI(base_url=guarded.url + "/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as error:
        client.images.generate(prompt="a face", model="faces")
    assert error.value.code == "invalid_api_key"
    client = openai.OpenAI(base_url=guarded.url + "/v1", api_key="secret-of-alice")
    assert client.images.generate(prompt="a face", model="faces", extra_body={"nfe": 1}).data


def test_rate(guarded, keys):
    keys.write_text(line("alice", "a", "rate=2/h") + line("bob", "b"))
    assert requests.post(guarded.admin + "/-/reload").status_code == 200
    # One is left: a request for four may begin, and is paid back.
    for status, n in ((422, 0), (200, 1), (200, 4), (429, 1)):
        answer = guarded.post({"nfe": 1, "n": n}, **bearer("a"))
        assert answer.status_code == status
    assert 7000 <= int(answer.headers["Retry-After"]) <= 7200
    assert "2 images in 3600 s" in answer.json()["detail"]
    for path, extra in (("/v1/jobs", {}), ("/v1/images/generations", {"prompt": "a face"})):
        answer = requests.post(guarded.url + path, json={"nfe": 1, **extra}, headers=bearer("a"))
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 100
    answer = requests.get(guarded.url + "/v1/models/faces/samples/1.png?nfe=1", headers=bearer("a"))
    assert answer.status_code == 429 and "ETag" not in answer.headers
    assert guarded.post({"nfe": 1}, **bearer("b")).status_code == 200
    assert requests.get(guarded.url + "/v1/models", headers=bearer("a")).status_code == 200


def test_concurrency(guarded, keys):
    keys.write_text(line("alice", "a", "concurrent=1") + line("bob", "b"))
    assert requests.post(guarded.admin + "/-/reload").status_code == 200
    stream = requests.post(
        guarded.url + "/v1/samples", json={"nfe": 10000, "n": 64}, stream=True,
        headers={**bearer("a"), "Accept": "text/event-stream"})  # fmt: skip
    assert stream.status_code == 200
    answer = guarded.post({"nfe": 1}, **bearer("a"))
    assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 60
    assert guarded.post({"nfe": 1}, **bearer("b")).status_code == 200
    stream.close()
    wait_until(lambda: guarded.post({"nfe": 1}, **bearer("a")).status_code == 200, "her turn")
    job = requests.post(guarded.url + "/v1/jobs", json={"nfe": 10000, "n": 10000}, headers=bearer("a"))
    assert job.status_code == 202
    assert guarded.post({"nfe": 1}, **bearer("a")).status_code == 429
    job = requests.delete(guarded.url + job.headers["Location"], headers=bearer("a"))
    assert job.status_code == 200
    wait_until(lambda: guarded.post({"nfe": 1}, **bearer("a")).status_code == 200, "her turn")


def test_whose_job_it_is(start, keys, tmp_path):
    """Others can neither see it nor learn that it is there, also after a restart and after its end."""
    state = tmp_path / "state"
    state.mkdir()
    flags = ("--api-key-file", keys, "--max-nfe", "10000", "--state-dir", state)

    def call(method, path, key, **options):
        return requests.request(method, daemon.url + path, headers={**bearer(key), **options.pop("headers", {})},
                                timeout=60, **options)  # fmt: skip

    def listed(key):
        return [job["id"] for job in call("GET", "/v1/jobs", key).json()["jobs"]]

    def begin(key, **body):
        answer = call("POST", "/v1/jobs", key, json=body, headers={"Idempotency-Key": "same"})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    keys.write_text(line("alice", "a", "concurrent=1") + line("bob", "b"))
    daemon = start(*flags)
    hers = begin("a", n=1000, nfe=9000)
    his = begin("b", n=1, nfe=1)
    assert hers != his, "a key of idempotency is its owner's"
    for _ in range(2):
        assert listed("a") == [hers] and listed("b") == [his]
        assert call("GET", f"/v1/jobs?after={hers}", "b").status_code == 422
        for path in ("", "/events", "/images.zip", "/images/0.png"):
            answer = call("GET", f"/v1/jobs/{hers}{path}", "b")
            assert answer.status_code == 404
            nobodys = call("GET", f"/v1/jobs/{'0' * 32}{path}", "b")
            assert {**answer.json(), "request_id": 0} == {**nobodys.json(), "request_id": 0}
        assert call("DELETE", f"/v1/jobs/{hers}", "b").status_code == 404
        assert call("GET", f"/v1/jobs/{hers}", "a").json()["status"] in ("queued", "in_progress")
        # It counts for her, also when it was taken up again.
        wait_until(lambda: call("POST", "/v1/samples", "a", json={"nfe": 1}).status_code == 429, "her count")
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(60)
        daemon = start(*flags)
    assert call("DELETE", f"/v1/jobs/{hers}", "a").status_code == 200
    assert call("POST", "/v1/samples", "a", json={"nfe": 1}).status_code == 200
    # Without keys there is nobody to hide it from.
    daemon.stop()
    daemon = start("--state-dir", state)
    assert sorted(job["id"] for job in daemon.get("/v1/jobs").json()["jobs"]) == sorted([hers, his])


def test_who_waits_pays_once(start, keys):
    """What becomes a job after a while was charged already."""
    guarded = start("--api-key-file", str(keys), "--max-nfe", "10000", models=("slow",))
    keys.write_text(line("alice", "a", "rate=10/h"))
    assert requests.post(guarded.admin + "/-/reload").status_code == 200
    answer = guarded.post({"n": 9, "nfe": 9000}, Prefer="wait=1", **bearer("a"))
    assert answer.status_code == 202
    requests.delete(guarded.url + answer.headers["Location"], headers=bearer("a"))
    assert guarded.post({"nfe": 1}, **bearer("a")).status_code == 200
    assert guarded.post({"nfe": 1}, **bearer("a")).status_code == 429


@pytest.mark.parametrize("how", ["signal", "admin"])
def test_another_file(guarded, keys, how):
    def reload(good):
        if how == "signal":
            guarded.signal(signal.SIGHUP)
        else:
            answer = requests.post(guarded.admin + "/-/reload")
            assert answer.status_code == (200 if good else 422), answer.text
            assert good or "line 2" in answer.json()["detail"]

    keys.write_text(line("alice", "secret-of-alice") + "bob 123\n")
    reload(good=False)
    guarded.wait_for_log("event=access_change ok=0 .*line 2")
    assert guarded.post({"nfe": 1}, **bearer("secret-of-alice")).status_code == 200
    keys.write_text(line("bob", "b"))
    reload(good=True)
    wait_until(lambda: guarded.post({"nfe": 1}, **bearer("b")).status_code == 200, "bob's key")
    assert guarded.post({"nfe": 1}, **bearer("secret-of-alice")).status_code == 401


def test_a_bad_file_is_told_at_the_start(program, checkpoints, tmp_path):
    import subprocess

    bad = tmp_path / "keys"
    bad.write_text("alice\n")
    for extra in ([], ["--check"]):
        done = subprocess.run(
            [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--model", f"faces={checkpoints['faces']}", "--api-key-file", bad, *extra],
            capture_output=True, text=True, timeout=60)  # fmt: skip
        assert done.returncode == 1
        assert f'"{bad}"' in done.stderr and "line 1" in done.stderr
