"""Under systemd's protocol: sockets that are handed over, what is told, the watchdog."""
import os
import select
import signal
import socket
import subprocess
import time

import pytest
import requests
from softdiffd import PATIENCE_S, wait_until

pytestmark = pytest.mark.sanitizers


@pytest.fixture
def ear(tmp_path):
    """Where the daemon tells what goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(60)
        yield receiver


def hear(ear, line):
    while line not in ear.recv(4096).decode().splitlines():
        pass


def count(ear, line, seconds):
    end, n = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            n += line in ear.recv(4096).decode().splitlines()
        except TimeoutError:
            break
    return n


def forget(ear):
    """What was told so far."""
    while select.select([ear], [], [], 0)[0]:
        ear.recv(4096)


def under(ear, **more):
    return os.environ | {"NOTIFY_SOCKET": ear.getsockname()} | more


def test_ready_alive_stopping(start, ear):
    begun = time.monotonic()
    daemon = start(wait=False, env=under(ear, WATCHDOG_USEC="400000"))
    hear(ear, "READY=1")
    assert daemon.get("/readyz").status_code == 200
    for _ in range(5):
        hear(ear, "WATCHDOG=1")
    assert time.monotonic() - begun > 0.8  # every 200 ms
    daemon.signal(signal.SIGSTOP)
    wait_until(lambda: open(f"/proc/{daemon.process.pid}/stat").read().split()[2] == "T", "a halt")
    forget(ear)
    assert count(ear, "WATCHDOG=1", 1) == 0
    daemon.signal(signal.SIGCONT)
    hear(ear, "WATCHDOG=1")
    daemon.signal()
    ear.settimeout(60)
    hear(ear, "STOPPING=1")


@pytest.mark.parametrize("patience", [{}, {"WATCHDOG_USEC": "100000"}])
def test_a_supervisor_that_does_not_listen(start, ear, patience):
    """Nothing waits for it, the log says so once, and it learns in the end what it has to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"X=1", ear.getsockname())
    daemon = start(env=under(ear, **patience))
    for _ in range(30):
        assert requests.get(daemon.url + "/livez", timeout=60).status_code == 200
        time.sleep(0.02)
    hear(ear, "READY=1")
    daemon.wait_for_log("event=supervisor_lost")
    assert sum("event=supervisor_lost" in line for line in daemon.log) == 1
    if patience:
        hear(ear, "WATCHDOG=1")
    ear.close()
    daemon.stop()
    assert sum("event=supervisor_lost" in line for line in daemon.log) == 1


def test_a_supervisor_without_a_file(start):
    """Its socket has a name that is in no file system, as systemd's had."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        name = f"softdiff-test-{os.getpid()}"
        ear.bind("\0" + name)
        ear.settimeout(60)
        start(env=os.environ | {"NOTIFY_SOCKET": "@" + name})
        hear(ear, "READY=1")


def test_an_engine_that_hangs_is_not_alive(start, ear):
    """Ticks that take longer than the daemon's patience stand for one that never ends."""
    daemon = start("--stall-timeout", "1ms", "--max-nfe", "10000", models=("minutes",), wait=False,
                   env=under(ear, WATCHDOG_USEC="100000"))  # fmt: skip
    hear(ear, "READY=1")
    begun = time.monotonic()
    for _ in range(20):
        hear(ear, "WATCHDOG=1")
    as_long = time.monotonic() - begun
    with daemon.connect_and_send({"nfe": 10000, "n": 8}):
        wait_until(lambda: daemon.get("/livez").status_code == 503, "a tick that takes too long")
        forget(ear)
        assert count(ear, "WATCHDOG=1", as_long) < 10


def test_sockets_that_are_handed_over(start, program, tmp_path):
    """Clients that come before the daemon wait until it draws, and none is refused while it starts anew."""
    script = tmp_path / "activated"
    script.write_text(f'#!/bin/sh\nexport LISTEN_PID=$$\nexec {program("softdiffd")} "$@"\n')
    script.chmod(0o755)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]

    def hand_over():
        spare = [os.dup(listener.fileno()) for listener in listeners]
        spare = [os.dup2(fd, 100 + i) for i, fd in enumerate(spare)]
        for i, fd in enumerate(spare):
            os.dup2(fd, 3 + i)

    ports = [listener.getsockname()[1] for listener in listeners]

    def come():
        early = socket.create_connection(("127.0.0.1", ports[0]), timeout=PATIENCE_S)
        early.sendall(b"GET /v1/models/faces/samples/1.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return early

    early = come()
    for seed in (1, 2):
        daemon = start(script=script, env=os.environ | {"LISTEN_FDS": "2"}, preexec_fn=hand_over, pass_fds=(3, 4))
        assert [int(url.rsplit(":", 1)[1]) for url in (daemon.url, daemon.admin)] == ports
        with early:
            assert early.recv(100).startswith(b"HTTP/1.1 200")
        assert daemon.png(seed=seed) and daemon.queue()["slots"] == 16
        # Who comes when it is told to end is for the next one.
        daemon.signal(signal.SIGSTOP)
        early = come()
        daemon.signal()
        daemon.signal(signal.SIGCONT)
        assert daemon.wait_for_exit() == 0
    early.close()
    for listener in listeners:
        listener.close()


def test_what_is_handed_over_and_is_none(program, checkpoints, tmp_path):
    script = tmp_path / "activated"
    script.write_text(f'#!/bin/sh\nexport LISTEN_PID=$$\nexec {program("softdiffd")} "$@" 3</dev/null\n')
    script.chmod(0o755)
    done = subprocess.run([script, "--model", f"faces={checkpoints['faces']}"], capture_output=True, text=True,
                          env=os.environ | {"LISTEN_FDS": "1"}, timeout=60)  # fmt: skip
    assert done.returncode == 1 and "descriptor 3, which was handed over, is no TCP socket" in done.stderr
