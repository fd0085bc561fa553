"""Three daemons behind the HAProxy of config/deploy: the bytes of one, and no failure while one is replaced."""
import collections
import concurrent.futures
import contextlib
import http.server
import pathlib
import re
import socket
import subprocess
import threading
import time

import pytest
import requests
import servers
from softdiffd import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CONFIGURATION = pathlib.Path(__file__).resolve().parent.parent.parent / "config/deploy/proxy/haproxy.cfg"


def port_of(url):
    return url.rsplit(":", 1)[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers(url):
    try:
        return requests.get(url + "/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture
def replicas(start):
    flags = ("--max-connections-per-ip", "0", "--drain-delay", "3s", "--slots", "4")
    return [start(*flags) for _ in range(3)]


@contextlib.contextmanager
def run_proxy(ports, folder):
    """The configuration as it is shipped, with the addresses of this machine: ports are pairs, of daemons and their probes."""
    haproxy, env = servers.program("haproxy")
    text, port = CONFIGURATION.read_text(), free_port()
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace("check port 9090", "check")
    text = text.replace(" init-addr last,libc,none resolvers docker", "")
    text = re.sub(r"resolvers docker\n.*\n", "", text)
    for i, (public, admin) in enumerate(ports, 1):
        text = text.replace(f" softdiff{i}:8080", f" 127.0.0.1:{public} port {admin}")
    path = folder / "haproxy.cfg"
    path.write_text(text)
    done = subprocess.run([haproxy, "-c", "-f", path], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([haproxy, "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), "the proxy")
        yield url
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def proxy(replicas, tmp_path):
    with run_proxy([(port_of(daemon.url), port_of(daemon.admin)) for daemon in replicas], tmp_path) as url:
        yield url


def draw(url, i):
    body = {"seed": i % 20, "nfe": 3 + i % 4, "sampler": ("sde-2m", "momentum")[i % 2]}
    return requests.post(url + "/v1/samples", json=body, headers={"Accept": "image/png"}, timeout=60)


def test_the_bytes_of_one(replicas, proxy):
    expected = [draw(replicas[0].url, i).content for i in range(20)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: draw(proxy, i), range(200)))
    assert all(answer.status_code == 200 for answer in found)
    assert all(answer.content == expected[i % 20] for i, answer in enumerate(found))
    # All have had their part of it.
    for daemon in replicas:
        assert sum("event=samples" in line for line in daemon.log) > 20


def test_nobody_notices_that_one_is_replaced(replicas, proxy):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        begun = time.monotonic()

        def work(worker):
            statuses = []
            while time.monotonic() < begun + 8:
                statuses.append(draw(proxy, worker).status_code)
            return statuses

        working = [pool.submit(work, worker) for worker in range(8)]
        time.sleep(1)
        replicas[1].stop()
        statuses = [status for one in working for status in one.result()]
    assert len(statuses) > 50 and set(statuses) == {200}


def test_jobs_are_found_again(replicas, proxy):
    """Each at the daemon that took it on."""
    made = [requests.post(proxy + "/v1/jobs", json={"seed": 10 * i, "n": 3, "nfe": 2}, timeout=60) for i in range(9)]
    assert all(answer.status_code == 202 for answer in made)
    for answer in made:
        job = proxy + answer.headers["Location"]
        wait_until(lambda: requests.get(job, timeout=60).json()["status"] == "completed", "a job")
        assert requests.get(job + "/images/2.png", timeout=60).content.startswith(b"\x89PNG")


def test_events_come_as_they_happen(replicas, proxy):
    """Nothing on the way keeps them back."""
    answer = requests.post(proxy + "/v1/samples", json={"seed": 1, "nfe": 1000, "n": 4}, stream=True, timeout=60,
                           headers={"Accept": "text/event-stream"})  # fmt: skip
    begun, times = time.monotonic(), []
    for line in answer.iter_lines():
        if line.startswith(b"event: progress"):
            times.append(time.monotonic() - begun)
    assert len(times) > 5 and times[0] < 0.5 * times[-1]


class Silent(http.server.ThreadingHTTPServer):
    """A daemon that is well and takes every request, and then goes without a word, or has no room."""

    daemon_threads = True

    def __init__(self, seen, status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                self.answer(200)

            def do_POST(self):
                seen[self.headers["X-Request-ID"]] += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                if status:
                    self.answer(status)
                self.close_connection = True

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


KEY, LATER = {"Idempotency-Key": "k"}, {"Prefer": "respond-async"}
REPEATED = {  # whether another daemon is asked where one gave no answer, or had no room
    "samples": ("/v1/samples", {}, True),
    "samples later": ("/v1/samples", LATER, False),
    "samples some seconds later": ("/v1/samples", {"prefer": "wait=5"}, False),
    "samples later with a key": ("/v1/samples", LATER | KEY, True),
    "a restoration later": ("/v1/restorations", LATER, False),
    "a job": ("/v1/jobs", {}, False),
    "a job with a key": ("/v1/jobs", KEY, True),
}


@pytest.mark.parametrize("status", [None, 503])
def test_what_is_asked_twice_is_begun_once(tmp_path, status):
    seen = collections.Counter()
    with contextlib.ExitStack() as stack:
        ports = [2 * (stack.enter_context(Silent(seen, status)).server_port,) for _ in range(3)]
        url = stack.enter_context(run_proxy(ports, tmp_path))
        for what, (path, headers, repeated) in REPEATED.items():
            answer = requests.post(url + path, json={}, headers=headers | {"X-Request-ID": what}, timeout=60)
            assert answer.status_code == (status or 502), what
            assert (seen[what] > 1) == repeated, f"{what}: {seen[what]} times"


def test_who_is_not_reached_has_begun_nothing(tmp_path):
    """The probe is well and nobody listens: the request goes to the one that does, with or without a key."""
    seen = collections.Counter()
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(Silent(seen, 202))
        ports = [(free_port(), there.server_port), (there.server_port,) * 2, (free_port(), there.server_port)]
        url = stack.enter_context(run_proxy(ports, tmp_path))
        for i in range(6):
            answer = requests.post(url + "/v1/jobs", json={}, headers={"X-Request-ID": str(i)}, timeout=60)
            assert answer.status_code == 202 and seen[str(i)] == 1
