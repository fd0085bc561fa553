"""Three daemons behind the HAProxy of config/deploy: the bytes of one, and no failure while one is replaced."""
import concurrent.futures
import pathlib
import re
import socket
import subprocess
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


@pytest.fixture
def proxy(replicas, tmp_path):
    """The configuration as it is shipped, with the addresses of this machine."""
    haproxy, env = servers.program("haproxy")
    text, port = CONFIGURATION.read_text(), free_port()
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace("check port 9090", "check")
    text = text.replace(" init-addr last,libc,none resolvers docker", "")
    text = re.sub(r"resolvers docker\n.*\n", "", text)
    for i, daemon in enumerate(replicas, 1):
        text = text.replace(f" softdiff{i}:8080", f" 127.0.0.1:{port_of(daemon.url)} port {port_of(daemon.admin)}")
    path = tmp_path / "haproxy.cfg"
    path.write_text(text)
    done = subprocess.run([haproxy, "-c", "-f", path], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen([haproxy, "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url), "the proxy")
    yield url
    process.terminate()
    process.wait(60)


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
