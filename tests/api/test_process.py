"""The daemon as a process among others: its log, its signals, its descriptors, its ports."""
import contextlib
import ctypes
import os
import resource
import signal
import struct
import subprocess

import pytest
import requests
from softdiffd import PATIENCE_S, wait_until
from test_unix_socket import get

SYS_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


@pytest.fixture
def unread(program, checkpoints):
    """A daemon whose log nobody reads from the moment it is ready; its addresses."""
    command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    command += ["--model", f"faces={checkpoints['faces']}", "--log-level", "debug"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    addresses, line = [], b""
    while b"event=ready" not in line:
        line = process.stderr.readline()
        assert line, "the daemon did not start"
        if b"event=listen" in line:
            addresses.append("http://" + line.split(b"address=")[1].strip().decode())
    yield process, *addresses
    process.kill()
    process.wait()
    process.stderr.close()


def turn_ns(thread):
    """How long its turns on the processor are; 0 where Linux does not tell."""
    attributes = ctypes.create_string_buffer(struct.pack("I", 48), 48)
    assert ctypes.CDLL(None, use_errno=True).syscall(SYS_SCHED_GETATTR[os.uname().machine], thread, attributes, 48, 0) == 0
    return struct.unpack_from("Q", attributes, 24)[0]


def test_the_loop_has_short_turns(start):
    """And none of the threads that compute; test_load tells what it is for."""
    if os.uname().machine not in SYS_SCHED_GETATTR or turn_ns(0) == 0:
        pytest.skip("this Linux has no turns of a length of one's own (6.12 has)")
    loop = start().process.pid
    threads = [int(name) for name in os.listdir(f"/proc/{loop}/task")]
    assert len(threads) > 4 and turn_ns(loop) == 100000
    assert all(turn_ns(thread) > 100000 for thread in threads if thread != loop)


@pytest.mark.timeout(1800)  # thousands of requests
def test_an_unread_log_stops_nothing(unread):
    """More lines than a pipe and the ring behind it hold: requests, probes and the end go on."""
    process, url, admin = unread
    with requests.Session() as session:
        for _ in range(8000):
            assert session.get(url + "/version", timeout=PATIENCE_S).status_code == 200
    answer = requests.post(url + "/v1/samples", json={"nfe": 2}, timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert requests.get(admin + "/readyz", timeout=PATIENCE_S).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.timeout(1800)
def test_lines_of_a_blocked_log_are_counted(unread):
    process, url, admin = unread
    with requests.Session() as session:
        for _ in range(12000):
            assert session.get(url + "/version", timeout=PATIENCE_S).status_code == 200
    lines = requests.get(admin + "/metrics", timeout=PATIENCE_S).text.splitlines()
    dropped = next(line for line in lines if line.startswith("softdiff_log_dropped_total "))
    assert int(dropped.split()[1]) > 0
    text = b""
    while b"event=log_dropped lines=" not in text:
        requests.get(url + "/version", timeout=PATIENCE_S)
        text = text[-100:] + os.read(process.stderr.fileno(), 65536)


@pytest.mark.sanitizers
def test_sighup_is_survived(start):
    daemon = start()
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("event=sighup")
    assert daemon.png(seed=1, nfe=2)
    assert requests.get(daemon.admin + "/readyz").status_code == 200
    daemon.stop()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_files(program, checkpoints, closed, tmp_path):
    """No socket and no file gets the number that the log or an answer is written to."""
    path = tmp_path / "http"  # where no log tells a port
    command = [program("softdiffd"), "--listen", f"unix:{path}", "--admin-listen", "127.0.0.1:0"]
    command += ["--model", f"faces={checkpoints['faces']}"]
    process = subprocess.Popen(command, preexec_fn=lambda: [os.close(fd) for fd in closed])
    try:
        def ready():
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                return get(path, "/readyz")[0] == 200

        wait_until(ready, "the daemon")
        for fd in (0, 1, 2):
            target = os.readlink(f"/proc/{process.pid}/fd/{fd}")
            assert not target.startswith(("socket:", "anon_inode:")), target
            assert fd not in closed or target == "/dev/null"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def limited(files):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def test_descriptors_are_kept_for_probes(start):
    """Clients hold as many connections as they can get; the probes answer all the same."""
    daemon = start("--max-connections-per-ip", "0", preexec_fn=limited(256))
    told = daemon.wait_for_log(r"event=connections_limited connections=(\d+) wanted=1024 files=256")
    assert 16 <= int(told[1]) < 256
    held = [daemon.connect() for _ in range(300)]
    for _ in range(20):
        assert requests.get(daemon.admin + "/readyz", timeout=PATIENCE_S).status_code == 200
    for connection in held:
        connection.close()
    wait_until(lambda: daemon.get("/readyz").status_code == 200, "room for a client")
    assert daemon.png(seed=1, nfe=2)


@pytest.mark.sanitizers
def test_too_few_descriptors(program, checkpoints):
    command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    command += ["--model", f"faces={checkpoints['faces']}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S,
                          preexec_fn=limited(64))  # fmt: skip
    assert done.returncode == 1
    assert "64 open files" in done.stderr and "ulimit -n" in done.stderr


def test_a_taken_port_tells_what_to_do(start, program):
    daemon = start()
    for address, flags, flag, variable in [
        (daemon.url, ("--listen",), "--listen", "SOFTDIFF_LISTEN"),
        (daemon.admin, ("--listen", "127.0.0.1:0", "--admin-listen"), "--admin-listen", "SOFTDIFF_ADMIN_LISTEN"),
    ]:  # fmt: skip
        address = address.removeprefix("http://")
        command = [program("softdiffd"), *flags, address, "--model", "a=b"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 1
        assert f"could not listen on {address}: Address already in use" in done.stderr
        assert f"{flag} " in done.stderr and variable in done.stderr


def test_the_end_does_not_wait_for_unfinished_heads(start):
    """Heads that were begun and given up are nobody's request."""
    daemon = start("--drain-timeout", "60m", "--header-timeout", "60m", "--idle-timeout", "60m")
    for _ in range(50):
        with daemon.connect() as connection:
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\nX")
    for _ in range(50):
        answer = daemon.raw(b"GET /version HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    daemon.stop()
