"""Clients that mean no good, alone and through proxies: what they get, and what the others notice of it."""
import concurrent.futures
import contextlib
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import threading
import time

import pytest
import requests
import servers
from softdiffd import PATIENCE_S, read_all, wait_until
from test_proxies import CONFIGURATION, answers, free_port, port_of
from test_refusals import BAD_HTTP, HEAD, SMUGGLED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def milliseconds(client, daemon, n):
    """How long a good client's requests take, the median of n: an image, and a probe of life."""
    times = []
    for i in range(n):
        begun = time.monotonic()
        image = client.post(daemon.url + "/v1/samples", json={"seed": i, "nfe": 8}, timeout=PATIENCE_S)
        assert image.status_code == 200 and client.get(daemon.url + "/livez", timeout=PATIENCE_S).status_code == 200
        times.append(1e3 * (time.monotonic() - begun))
    return statistics.median(times)


@contextlib.contextmanager
def nobody_else_notices(daemon):
    """What is done inside makes nobody slower than twice, or than the machine's own whims of 5 ms."""
    found, stop = [], threading.Event()
    with requests.Session() as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        alone = milliseconds(client, daemon, 60)

        def measure():
            while not stop.is_set():
                found.append(milliseconds(client, daemon, 20))

        measuring = pool.submit(measure)
        try:
            yield
        finally:
            stop.set()
        measuring.result()
    beside = statistics.median(found)
    print(f"median {alone:.1f} ms alone, {beside:.1f} ms beside it")
    assert beside < max(2 * alone, alone + 5)


@pytest.mark.parametrize("how", [["-H"], ["-B"], ["-R"], ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"]],
                         ids=["heads", "bodies", "ranges", "reading"])  # fmt: skip
def test_slow_clients(start, how):
    """slowhttptest: 200 connections of one client for 20 seconds."""
    program, env = servers.program("slowhttptest")
    daemon = start("--header-timeout", "3s", "--idle-timeout", "3s")
    path = "/v1/samples" if how[0] == "-B" else "/openapi.json"
    with nobody_else_notices(daemon):
        done = subprocess.run(
            [program, *how, "-c", "200", "-r", "100", "-i", "1", "-l", "20", "-p", "5", "-u", daemon.url + path],
            capture_output=True, text=True, env=env, timeout=120)  # fmt: skip
        assert "slow HTTP test status" in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), done.stdout[-500:]
    # None of them is left.
    wait_until(lambda: requests.get(daemon.admin + "/metrics").text.count(
        'softdiff_http_connections{listener="public"} 0'), "their ends")  # fmt: skip


def test_a_thousand_that_do_nothing(start):
    daemon = start("--max-connections", "1100", "--max-connections-per-ip", "0", "--idle-timeout", "60s",
                   "--header-timeout", "60s")  # fmt: skip
    with contextlib.ExitStack() as idle:
        with nobody_else_notices(daemon):
            for _ in range(1000):
                idle.enter_context(daemon.connect())
            assert requests.get(daemon.admin + "/readyz", timeout=5).status_code == 200
            time.sleep(10)
        assert 'softdiff_http_connections{listener="public"} 100' in requests.get(daemon.admin + "/metrics").text
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_for_exit() == 0


def test_more_than_there_is_room_for(start):
    """Those who are in are served as before, those who are not learn it at once."""
    daemon = start("--max-connections", "100", "--max-connections-per-ip", "0", "--idle-timeout", "60s",
                   "--header-timeout", "60s")  # fmt: skip
    with contextlib.ExitStack() as held:
        with nobody_else_notices(daemon):
            for _ in range(99):
                held.enter_context(daemon.connect())
            end = time.monotonic() + 10
            while time.monotonic() < end:
                begun = time.monotonic()
                with daemon.connect() as newcomer:
                    newcomer.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    answer = read_all(newcomer)
                assert time.monotonic() - begun < 5
                assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer
                time.sleep(0.005)


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; large_client_header_buffers 4 8k;
    upstream daemon {{ server 127.0.0.1:{to}; keepalive 8; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://daemon; proxy_http_version 1.1;
        proxy_set_header Connection ""; proxy_request_buffering off; }} }}
}}
"""


def begin_nginx(daemon, folder, port):
    program, env = servers.program("nginx")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, to=port_of(daemon.url)))
    return subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def begin_haproxy(daemon, folder, port):
    program, env = servers.program("haproxy")
    text = pathlib.Path(CONFIGURATION).read_text().replace("bind :8080", f"bind 127.0.0.1:{port}")
    text = text.replace(" init-addr last,libc,none resolvers docker", "")
    text = re.sub(r"resolvers docker\n.*\n|    server softdiff[23] .*\n", "", text).replace("check port 9090", "check")
    text = text.replace(" softdiff1:8080", f" 127.0.0.1:{port_of(daemon.url)} port {port_of(daemon.admin)}")
    (folder / "haproxy.cfg").write_text(text)
    return subprocess.Popen([program, "-db", "-f", folder / "haproxy.cfg"], env=env,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


FOLDED = [b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"X: a\r\n Content-Length: 2\r\n\r\n{}",
          b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Content-Length:\r\n 2\r\n\r\n{}",
          b"POST /v1/samples HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
          b"POST /v1/samples HTTP/1.1\n" + HEAD.replace(b"\r", b"") + b"Content-Length: 2\n\n{}",
          b"GET /version HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"]  # fmt: skip


@pytest.mark.parametrize("begin", [begin_nginx, begin_haproxy], ids=["nginx", "haproxy"])
def test_no_proxy_is_led_astray(start, begin, tmp_path):
    """What the two disagree about is how requests are smuggled: each that the daemon runs is answered through
    the proxy to who sent it, none is run twice, and another client never gets its answer."""
    daemon = start("--max-connections-per-ip", "0")
    port = free_port()
    process = begin(daemon, tmp_path, port)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), "the proxy")
        for i, probe in enumerate([row[0] for row in BAD_HTTP] + FOLDED):
            marker = f"probe-{i}"
            smuggled = SMUGGLED.replace(b"Host: a", b"Host: a\r\nX-Request-ID: %s" % marker.encode())
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(probe + smuggled)
                got = b""
                with contextlib.suppress(TimeoutError, ConnectionError):
                    while part := connection.recv(65536):
                        got += part
            others = [requests.get(url + "/version", timeout=PATIENCE_S) for _ in range(3)]
            assert all(other.status_code == 200 and "version" in other.json() for other in others), probe
            run = sum(f"id={marker} " in line for line in daemon.log)
            told = got.count(b"X-Request-ID: " + marker.encode()) + got.count(b"x-request-id: " + marker.encode())
            assert run == told <= 1, (probe[:80], run, got[:300])
    finally:
        process.terminate()
        process.wait(60)
