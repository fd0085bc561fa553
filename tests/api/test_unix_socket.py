"""A socket in the file system instead of a port."""
import http.client
import io
import json
import os
import signal
import socket
import stat
import subprocess
import time
import zipfile

import pytest
import requests
from softdiffd import wait_until

pytestmark = pytest.mark.sanitizers


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def get(path, address="/version"):
    connection = Connection(path)
    connection.request("GET", address)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "http"


@pytest.fixture
def local(start, path):
    return start("--listen", f"unix:{path}", "--max-nfe", "10000")


def test_images_through_a_file(local, path):
    connection = Connection(path)
    for seed in (1, 2):  # one connection for both
        connection.request("POST", "/v1/samples", json.dumps({"nfe": 2, "seed": seed}),
                           {"Content-Type": "application/json", "Accept": "image/png"})  # fmt: skip
        answer = connection.getresponse()
        assert answer.status == 200 and answer.getheader("X-Seed") == str(seed)
        assert answer.read().startswith(b"\x89PNG")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    done = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://localhost/readyz"],
                          capture_output=True, timeout=60, check=True)  # fmt: skip
    assert json.loads(done.stdout)["state"] == "ready"


def test_who_may_connect_and_how_often(start, path):
    start("--listen", f"unix:{path}", "--socket-mode", "600", "--max-connections-per-ip", "1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = Connection(path), Connection(path)
    first.connect()  # clients of a file have no address to count by
    second.request("GET", "/version")
    assert second.getresponse().status == 200
    first.close()


def test_whoever_goes_frees_the_device(local, path):
    body = b'{"nfe": 10000, "n": 64}'
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.sendall(b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
    local.wait_for_queue(lambda queue: queue["requests"], "the request")
    client.close()
    local.wait_for_queue(lambda queue: not queue["requests"], "its end")


def test_whoever_takes_nothing_holds_no_more_than_an_image(start, path):
    """A reader of many images that stops, here where the system keeps little for it: nothing is drawn
    for it, and when it goes others are served."""
    daemon = start("--listen", f"unix:{path}", "--response-cache", "0", "--slots", "4",
                   "--drain-timeout", "0s")  # fmt: skip
    connection = Connection(path)
    connection.request("POST", "/v1/jobs", '{"n": 800, "nfe": 1}', {"Content-Type": "application/json"})
    job = json.load(connection.getresponse())
    wait_until(lambda: json.loads(get(path, f"/v1/jobs/{job['id']}")[1])["status"] == "completed", "the job")

    def settled():
        before = daemon.queue()["evaluations"]
        time.sleep(0.5)
        return daemon.queue()["evaluations"] == before > 800 and before

    stopped = Connection(path)
    stopped.request("GET", job["archive"])
    assert wait_until(settled, "the stop") < 1300
    stopped.close()
    status, file = get(path, job["archive"])
    assert status == 200 and len(zipfile.ZipFile(io.BytesIO(file)).namelist()) == 800
    stopped = Connection(path)
    stopped.request("GET", job["archive"])
    wait_until(settled, "the stop")
    daemon.stop()  # it does not wait for ever


def test_the_file_goes_with_the_daemon(local, path):
    local.stop()
    assert not path.exists()


def test_what_a_killed_daemon_left_is_replaced(start, path):
    first = start("--listen", f"unix:{path}")
    first.signal(signal.SIGKILL)
    first.process.wait(60)
    assert path.exists()
    with pytest.raises(ConnectionRefusedError):
        get(path)
    start("--listen", f"unix:{path}")
    assert get(path)[0] == 200


def begin(program, checkpoints, path, *extra):
    return subprocess.run(
        [program("softdiffd"), "--listen", f"unix:{path}", "--admin-listen", "127.0.0.1:0",
         "--model", f"faces={checkpoints['faces']}", *extra],
        capture_output=True, text=True, timeout=60)  # fmt: skip


def test_one_that_is_used_stays(program, checkpoints, local, path):
    for extra in ([], ["--check"]):
        done = begin(program, checkpoints, path, *extra)
        assert done.returncode == 1 and "Address already in use" in done.stderr
        assert str(path) in done.stderr and "port" not in done.stderr
    assert get(path)[0] == 200


def test_files_of_other_kinds_stay(program, checkpoints, path):
    path.write_text("precious")
    assert begin(program, checkpoints, path).returncode == 1
    assert path.read_text() == "precious"
    path.unlink()
    os.symlink("/nowhere", path)
    assert begin(program, checkpoints, path).returncode == 1
    assert path.is_symlink()
    path.unlink()
    assert "No such file" in begin(program, checkpoints, path / "http").stderr


def test_a_check_leaves_nothing(program, checkpoints, path):
    done = begin(program, checkpoints, path, "--check")
    assert done.returncode == 0, done.stderr
    assert f"unix:{path}" in done.stdout and not path.exists()


def test_another_ones_file_stays(local, path):
    """Somebody took the name while the daemon ran: it is theirs."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        local.stop()
        assert path.exists()


def test_the_probes_too(program, checkpoints, start, tmp_path):
    probes = tmp_path / "probes"
    start("--admin-listen", f"unix:{probes}")
    assert get(probes, "/readyz")[0] == 200
    done = subprocess.run([program("softdiffd"), "--healthcheck", "--admin-listen", f"unix:{probes}"],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0 and "ready" in done.stdout
