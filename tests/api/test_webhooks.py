"""Webhooks: who began a job is told of its end, signed, once at least, and only where the operator lets it."""
import base64
import collections
import contextlib
import hashlib
import http.server
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import threading
import time

import certificates
import numpy
import pytest
import requests
from failing_allocations import Allocations
from softdiffd import wait_until
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from test_durable_jobs import kill, state  # noqa: F401
from test_jobs import begin, cancel, look, wait_for
from test_restorations import png, text

SECRETS = ["whsec_" + base64.b64encode(hashlib.sha256(bytes([i])).digest()).decode() for i in range(4)]


class Receiver(http.server.ThreadingHTTPServer):
    """What came, in its order; a path says how it is answered."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.came = []
        self.statuses = collections.defaultdict(list)  # that come first, by path
        self.released = threading.Event()  # those that hang
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def of(self, path):
        return [request for request in self.came if request.path == path]

    def close(self):
        self.released.set()
        self.shutdown()
        self.server_close()


Request = collections.namedtuple("Request", "path headers body")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path.startswith("/hook/hang"):
            self.server.released.wait(60)
        statuses = self.server.statuses[self.path]
        self.send_response(statuses.pop(0) if statuses else 204)
        if self.path == "/hook/redirect":
            self.send_header("Location", self.server.url + "/hook/stolen")
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000 if self.path == "/hook/long" else 0):
                self.wfile.write(bytes(10000))

    def do_GET(self):
        self.server.came.append(Request(self.path, {}, b""))
        self.send_error(404)

    def log_message(self, *words):
        pass


@pytest.fixture
def receiver():
    with contextlib.closing(Receiver()) as made:
        yield made


@pytest.fixture
def secrets(tmp_path):
    path = tmp_path / "secrets"
    path.write_text(f"# of all\n{SECRETS[0]}\n")
    return path


@pytest.fixture
def run(start, receiver, secrets):
    def start_with_webhooks(*flags, **options):
        return start("--slots", "2", "--max-nfe", "10000", "--webhook-secrets", secrets, "--webhook-allow",
                     f"https://localhost:1/,{receiver.url}/hook/", *flags, **options)  # fmt: skip

    return start_with_webhooks


def tell(daemon, receiver, path, body=None, **headers):
    return begin(daemon, {"n": 1, "nfe": 2, "webhook": f"{receiver.url}/hook/{path}"} | (body or {}), **headers)


def verified(request, *secrets):
    """By the package of those who made the standard."""
    for secret in secrets or SECRETS[:1]:
        body = Webhook(secret).verify(request.body, request.headers)
    return body


def wait_for_state(daemon, job, state):
    return wait_until(lambda: (now := look(daemon, job))["webhook"]["status"] == state and now, state)


@pytest.mark.threads
@pytest.mark.sanitizers
def test_an_end_is_told(run, receiver):
    """Of each kind, with the job as it is, whatever made it."""
    daemon = run()
    done = tell(daemon, receiver, "done", {"n": 3})
    assert done["webhook"] == {"url": receiver.url + "/hook/done", "status": "waiting", "tries": 0}
    long = tell(daemon, receiver, "cancelled", {"n": 10000, "nfe": 10000})
    assert cancel(daemon, long).status_code == 200
    asked = daemon.post({"nfe": 2, "webhook": receiver.url + "/hook/samples"}, Prefer="respond-async")
    assert asked.status_code == 202
    picture = {"image": text(png(numpy.full((16, 16, 3), 0.5))), "degradation": "noise", "std": 0.1, "nfe": 2}
    picture["webhook"] = receiver.url + "/hook/restored"
    answer = daemon.post(picture, path="/v1/restorations")
    assert answer.status_code == 422 and "respond-async" in answer.json()["errors"][0]["detail"]
    restored = daemon.post(picture, path="/v1/restorations", Prefer="respond-async")
    assert restored.status_code == 202, restored.text
    for job, path, kind in ((done, "done", "completed"), (long, "cancelled", "cancelled"),
                            (asked.json(), "samples", "completed"), (restored.json(), "restored", "completed")):  # fmt: skip
        now = wait_for_state(daemon, job, "delivered")
        assert now["webhook"]["tries"] == 1 and now["webhook"]["last_status"] == 204
        (request,) = receiver.of("/hook/" + path)
        assert request.headers["webhook-id"] == f"msg_{job['id']}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("softdiffd/")
        body = verified(request)
        del now["webhook"]
        assert body["type"] == "job." + kind and body["data"] == now
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
        with pytest.raises(WebhookVerificationError):
            verified(request._replace(body=request.body.replace(b"job.", b"jab.")))
        with pytest.raises(WebhookVerificationError):
            verified(request, SECRETS[1])
    assert "webhook" not in begin(daemon, {"nfe": 1})
    daemon.wait_for_log(f"event=webhook id={done['id']} try=1 status=204")
    metrics = requests.get(daemon.admin + "/metrics", timeout=60).text
    assert 'softdiff_webhooks_total{outcome="delivered"} 4' in metrics.splitlines()


def test_what_fails_is_tried_again(run, receiver):
    """The same message with another time; redirects are not followed, answers are read to a bound."""
    daemon = run()
    receiver.statuses["/hook/flaky"] = [500]
    receiver.statuses["/hook/redirect"] = [302] * 99
    receiver.statuses["/hook/gone"] = [410]
    receiver.statuses["/hook/long"] = [200]
    jobs = {path: tell(daemon, receiver, path) for path in ("flaky", "redirect", "gone", "long")}
    assert wait_for_state(daemon, jobs["gone"], "given_up")["webhook"]["tries"] == 1
    assert wait_for_state(daemon, jobs["long"], "delivered")["webhook"]["tries"] == 1
    assert wait_for_state(daemon, jobs["flaky"], "delivered")["webhook"]["tries"] == 2
    tries = receiver.of("/hook/flaky")
    assert len({(request.headers["webhook-id"], request.body) for request in tries}) == 1
    times = [int(request.headers["webhook-timestamp"]) for request in tries]
    assert times == sorted(set(times)) and all(verified(request) for request in tries)
    told = wait_until(lambda: (now := look(daemon, jobs["redirect"])["webhook"])["tries"] >= 2 and now, "another try")
    assert told["status"] == "waiting" and told["last_status"] == 302
    assert not receiver.of("/hook/stolen") and len(receiver.of("/hook/gone")) == 1


@pytest.mark.slow
def test_certificates_are_looked_at(start, secrets, tmp_path):
    """Nothing is told to one whose certificate nobody has signed that is trusted."""
    files = certificates.Files(tmp_path, certificates.Authority(tmp_path).issue())
    with contextlib.closing(Receiver()) as receiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
        receiver.url = receiver.url.replace("http://", "https://").replace("127.0.0.1", "localhost")
        daemon = start("--webhook-secrets", secrets, "--webhook-allow", receiver.url)
        job = tell(daemon, receiver, "secret")
        daemon.wait_for_log(rf"event=webhook id={job['id']} try=1 status=0 .*certificate")
        assert not receiver.came


@pytest.mark.threads
@pytest.mark.sanitizers
def test_one_that_hangs_delays_nobody(run, receiver):
    daemon = run("--drain-timeout", "0s")
    hangs = [tell(daemon, receiver, f"hang{i}") for i in range(3)]
    wait_until(lambda: all(receiver.of(f"/hook/hang{i}") for i in range(3)), "them to come")
    wait_for_state(daemon, tell(daemon, receiver, "done"), "delivered")
    assert daemon.get("/livez").status_code == 200
    assert look(daemon, hangs[0])["webhook"]["status"] == "waiting"
    ended = lambda: sum(f"event=webhook id={job['id']}" in line for job in hangs for line in daemon.log)
    before = ended()  # none, unless the machine halted for ten seconds
    daemon.signal()
    assert daemon.wait_for_exit() == 0 and ended() == before  # none was waited for


@pytest.mark.slow
def test_one_that_hangs_for_ever_is_left_and_tried_again(run, receiver):
    daemon = run()
    job = tell(daemon, receiver, "hang")
    again = wait_until(lambda: (now := look(daemon, job)["webhook"])["tries"] == 2 and now, "another try")
    assert again["status"] == "waiting" and again["last_status"] == 0
    assert any("status=0" in line and "error=" in line and "imed out" in line for line in daemon.log)
    receiver.released.set()
    wait_for_state(daemon, job, "delivered")


@pytest.mark.threads
@pytest.mark.sanitizers
def test_kill(run, start, receiver, state):
    """kill -9 while it is told, and while it is drawn: it is told after the next start, of the same message."""
    flags = ("--state-dir", state)
    daemon = run(*flags, models=("faces", "blurred"))
    told = tell(daemon, receiver, "hang")
    drawn = tell(daemon, receiver, "drawn", {"n": 20, "nfe": 30})
    fails = tell(daemon, receiver, "fails", {"n": 1000, "nfe": 5000, "model": "blurred"})
    wait_until(lambda: receiver.of("/hook/hang"), "the first try")
    kill(daemon)
    receiver.released.set()
    daemon = run(*flags)
    assert wait_for_state(daemon, told, "delivered")["webhook"]["tries"] == 2
    wait_for_state(daemon, drawn, "delivered")
    wait_for_state(daemon, fails, "delivered")
    first, second = receiver.of("/hook/hang")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    body = verified(receiver.of("/hook/fails")[0])
    assert body["type"] == "job.failed" and "not served" in body["data"]["error"]["detail"]
    assert len({request.headers["webhook-id"] for request in receiver.came}) == 3
    kill(daemon)
    came = len(receiver.came)  # 4, or 5 where the first kill came between the telling of `drawn` and its record
    daemon = run(*flags)
    time.sleep(1.2)  # more than a look
    assert len(receiver.came) == came  # what was told is not told again


def test_where_it_may_go(run, start, receiver):
    """Only to what the operator has named, in one spelling."""
    daemon = run()
    port = receiver.server_port
    for url in (f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/hooks", f"http://localhost:{port}/hook/",
                f"https://127.0.0.1:{port}/hook/", f"http://127.0.0.1:{port + 1}/hook/", "http://127.0.0.1/hook/",
                f"http://127.0.0.1:{port}/hook/../a", f"http://127.0.0.1:{port}/hook/%2E%2e/a", f"http://2130706433:{port}/hook/",
                f"http://127.0.0.1:{port}@a.example/hook/", f"http://a@127.0.0.1:{port}/hook/", "https://localhost.evil:1/",
                "https://localhost:1\\@evil/", "https://localhost:1#@evil/", "file:///etc/passwd", "gopher://localhost:1/",
                "http://localhost:1/", "//localhost:1/", "localhost:1", "", "https://localhost:1/\r\nA: b",
                "https://localhost:1/" + "a" * 500):  # fmt: skip
        answer = daemon.post({"webhook": url}, path="/v1/jobs")
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "webhook", url
    assert daemon.post({"webhook": 7}, path="/v1/jobs").status_code == 422
    for good in ("https://LOCALHOST:1/a?b=c", "https://localhost:1"):
        assert daemon.post({"n": 1, "nfe": 1, "webhook": good}, path="/v1/jobs").status_code == 202
    answer = daemon.post({"nfe": 1, "webhook": receiver.url + "/hook/"})
    assert answer.status_code == 422 and "respond-async" in answer.json()["errors"][0]["detail"]
    assert daemon.get("/v1/capabilities").json()["webhooks"] is True
    none = start()
    answer = none.post({"webhook": receiver.url + "/hook/"}, path="/v1/jobs")
    assert answer.status_code == 422 and "sends none" in answer.json()["errors"][0]["detail"]
    assert none.get("/v1/capabilities").json()["webhooks"] is False
    assert not receiver.came


@pytest.mark.slow
def test_secrets_of_keys_and_new_ones(run, receiver, secrets, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{name} {hashlib.sha256(name.encode()).hexdigest()}\n" for name in "ab"))
    secrets.write_text(f"a {SECRETS[1]}\n")
    daemon = run("--api-key-file", keys)

    def post(key, path):
        return requests.post(daemon.url + "/v1/jobs", json={"nfe": 1, "webhook": f"{receiver.url}/hook/{path}"},
                             headers={"Authorization": f"Bearer {key}"}, timeout=60)  # fmt: skip

    def request_at(path):
        return wait_until(lambda: receiver.of("/hook/" + path), path)[0]

    assert post("a", "own").status_code == 202
    refused = post("b", "none")
    assert refused.status_code == 422 and "no secret" in refused.json()["errors"][0]["detail"]
    verified(request_at("own"), SECRETS[1])
    secrets.write_text(f"a {SECRETS[1]}\na {SECRETS[2]} # from today on\n{SECRETS[0]}\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: post("b", "all").status_code == 202, "the file to be read")
    assert post("a", "both").status_code == 202
    verified(request_at("all"), SECRETS[0])
    verified(request_at("both"), SECRETS[1], SECRETS[2])
    with pytest.raises(WebhookVerificationError):
        verified(request_at("both"), SECRETS[0])
    secrets.write_text("nonsense\n")
    answer = requests.post(daemon.admin + "/-/reload", timeout=60)
    assert answer.status_code == 422 and "line 1" in answer.json()["detail"] and "nonsense" not in answer.text
    assert post("a", "still").status_code == 202
    verified(request_at("still"), SECRETS[1], SECRETS[2])
    assert not any(secret[6:] in line for secret in SECRETS for line in daemon.log)


@pytest.mark.slow
def test_nobody_is_told_for_ever(run, receiver, state):
    """A job is known until it has been told, or given up; other jobs are not kept for it."""
    receiver.statuses["/hook/never"] = [503] * 99
    daemon = run("--webhook-give-up", "6s", "--keep-jobs", "1s", "--state-dir", state)
    job = tell(daemon, receiver, "never")
    other = begin(daemon, {"nfe": 1})
    wait_until(lambda: daemon.get(f"/v1/jobs/{other['id']}").status_code == 410, "the end of another")
    assert look(daemon, job)["webhook"]["status"] == "waiting"
    wait_until(lambda: daemon.get(f"/v1/jobs/{job['id']}").status_code == 410, "its end")
    assert 2 <= len(receiver.came) <= 4
    metrics = requests.get(daemon.admin + "/metrics", timeout=60).text.splitlines()
    assert 'softdiff_webhooks_total{outcome="given_up"} 1' in metrics and "softdiff_webhooks_waiting 0" in metrics
    daemon.stop()
    with contextlib.closing(sqlite3.connect(state / "jobs.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM jobs WHERE webhook <> ''").fetchone() == (0,)


@pytest.mark.slow
def test_a_daemon_without_a_store_tells_what_it_can(run, receiver):
    """What ends because it ends is told before that."""
    daemon = run("--drain-timeout", "60s")
    job = tell(daemon, receiver, "last", {"n": 10000, "nfe": 100})
    wait_for(daemon, job, "in_progress")
    daemon.stop()
    body = verified(receiver.of("/hook/last")[0])
    assert body["type"] == "job.failed" and body["data"]["error"]["status"] == 503


def test_settings_that_cannot_be(program, checkpoints, secrets):
    def refused(*flags):
        done = subprocess.run([program("softdiffd"), "--model", f"faces={checkpoints['faces']}", "--check",
                               "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *flags],
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        assert done.returncode in (1, 2)
        return done.stderr

    assert "go together" in refused("--webhook-allow", "https://a.example/")
    assert "how addresses of webhooks begin" in refused("--webhook-allow", "https://*.example/", "--webhook-secrets", secrets)
    allow = ("--webhook-allow", "https://a.example/", "--webhook-secrets", secrets)
    secrets.write_text(f"{SECRETS[0]}\nwhsec_c2hvcnQ=\n")
    assert "line 2: a secret is" in refused(*allow)
    secrets.unlink()
    assert "No such file" in refused(*allow)


def test_a_body_is_as_the_document_says(run, receiver, daemon):
    import jsonschema_rs

    document = daemon.get("/openapi.json").json()
    schema = document["webhooks"]["jobEnded"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    sender = run()
    wait_for_state(sender, tell(sender, receiver, "done"), "delivered")
    validator = jsonschema_rs.validator_for({"components": document["components"], **schema})
    validator.validate(json.loads(receiver.came[0].body))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_lacks_memory_is_told_later(run, receiver, build_dir, tmp_path):
    """Each allocation from a job's end to the answer of its receiver fails in turn: it is told all the same."""
    allocations = Allocations(build_dir, tmp_path)
    daemon = run(env=os.environ | allocations.environment)

    def tell_failing(at):
        job = tell(daemon, receiver, str(at))
        wait_for(daemon, job, "completed")  # it is told with the next look, 0 to 250 ms later
        with allocations.failing(at):
            wait_until(lambda: receiver.of(f"/hook/{at}") or allocations.n_failed, "the try")
            time.sleep(0.1)
        wait_for_state(daemon, job, "delivered")
        return allocations.n_calls

    most = max(tell_failing(1 << 40 | i) for i in range(3))
    for at in range(1, most, max(1, most // 60)):
        tell_failing(at)
    daemon.stop()


def test_an_address_that_is_allowed_no_more(run, start, receiver, secrets, state):
    """The operator has the last word, also on what was taken on."""
    receiver.statuses["/hook/late"] = [503] * 9
    daemon = run("--state-dir", state)
    job = tell(daemon, receiver, "late")
    wait_until(lambda: receiver.came, "the first try")
    kill(daemon)
    came = len(receiver.came)
    daemon = start("--state-dir", state, "--webhook-secrets", secrets, "--webhook-allow", "https://localhost:1/")
    assert wait_for_state(daemon, job, "given_up")["webhook"]["last_status"] == 0
    assert len(receiver.came) == came
