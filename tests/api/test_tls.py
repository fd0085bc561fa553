"""TLS: clients that look at certificates, and certificates that change under them."""
import contextlib
import datetime
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.parse

import openai
import pytest
import requests
from certificates import Authority, Files, openssl
from softdiffd import PATIENCE_S, read_all, wait_until
from test_events import parse

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion")

@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def first(authority):
    return authority.issue()


@pytest.fixture
def files(tmp_path, first):
    return Files(tmp_path, first)


@pytest.fixture
def secure(start, files):
    return start(*files.flags, "--max-nfe", "10000")


def address(daemon):
    return daemon.url.replace("http://127.0.0.1", "https://localhost")


def connect(daemon, authority, **options):
    """A connection, and the serial number of the certificate that it was shown."""
    context = ssl.create_default_context(cafile=authority.root)
    place = urllib.parse.urlsplit(daemon.url)
    connection = http.client.HTTPSConnection("localhost", place.port, context=context, timeout=PATIENCE_S)
    connection.connect()
    return connection, connection.sock.getpeercert()["serialNumber"]


def ask(connection, path="/livez"):
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.sanitizers
def test_clients(secure, authority, daemon):
    url, trust = address(secure), str(authority.root)
    body = {"seed": 7, "n": 2, "nfe": 3}
    answer = requests.post(url + "/v1/samples", json=body, verify=trust, timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert answer.json()["images"][1]["png"] == daemon.post(body).json()["images"][1]["png"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in daemon.get("/livez").headers
    for version in ("1.2", "1.3"):
        done = subprocess.run(
            ["curl", "-sS", "--cacert", trust, f"--tlsv{version}", "--tls-max", version, "-w", "%{http_code}",
             "-o", "/dev/null", url + "/v1/models"], capture_output=True, text=True, timeout=60)  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "200"), done.stderr
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0,
                           http_client=openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=trust)))  # fmt: skip
    made = client.images.generate(prompt="a face", response_format="url", extra_body={"nfe": 1})
    assert made.data[0].url.startswith(url + "/v1/models/")
    image = requests.get(made.data[0].url, verify=trust, timeout=PATIENCE_S)
    assert image.status_code == 200 and image.headers["Strict-Transport-Security"]
    # More than one record, in both directions.
    answer = requests.post(url + "/v1/samples", json={"n": 64, "nfe": 1}, verify=trust, timeout=PATIENCE_S)
    assert len(answer.json()["images"]) == 64
    answer = requests.post(url + "/v1/verify", data=os.urandom(1 << 20), verify=trust, timeout=PATIENCE_S,
                           headers={"Content-Type": "image/png"})  # fmt: skip
    assert answer.status_code == 422


def test_what_is_refused(secure, authority, start, files):
    port = urllib.parse.urlsplit(secure.url).port
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        requests.get(address(secure) + "/livez", timeout=PATIENCE_S)
    # An old version, ciphers without forward secrecy or authentication, and plain HTTP.
    for settle in (lambda c: setattr(c, "maximum_version", ssl.TLSVersion.TLSv1_1),
                   lambda c: c.set_ciphers("AES128-GCM-SHA256"),
                   lambda c: c.set_ciphers("ECDHE-ECDSA-AES128-SHA256")):  # fmt: skip
        context = ssl.create_default_context(cafile=authority.root)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ALL:@SECLEVEL=0")
        settle(context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with socket.create_connection(("localhost", port), timeout=PATIENCE_S) as plain:
                context.wrap_socket(plain, server_hostname="localhost")
    assert b"HTTP" not in secure.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    # Who begins and does not go on is disconnected, as with a head.
    slow = start(*files.flags, "--header-timeout", "2s", "--idle-timeout", "60m")
    with slow.connect() as silent, slow.connect() as begun:
        begun.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert read_all(silent) == b"" and b"HTTP" not in read_all(begun)

    def answers():
        with contextlib.suppress(OSError, http.client.HTTPException):  # who halts for as long is disconnected, too
            return ask(connect(slow, authority)[0]) == 200

    wait_until(answers, "an answer")


def test_an_address_that_is_too_long(secure, authority):
    """Is refused where libmicrohttpd cannot answer yet: in the session, whose others go on."""
    other, _ = connect(secure, authority)
    for _ in range(20):
        connection, _ = connect(secure, authority)
        connection.request("GET", "/v1/jobs?" + "&" * 2000)
        answer = connection.getresponse()
        assert answer.status == 414 and "arguments" in json.loads(answer.read())["detail"]
        connection.close()
    assert ask(other) == 200
    other.close()


def test_who_goes_frees_the_device(secure, authority):
    connection, _ = connect(secure, authority)
    connection.request("POST", "/v1/samples", b'{"nfe": 10000, "n": 64}', {"Content-Type": "application/json"})
    secure.wait_for_queue(lambda queue: queue["slots_busy"] > 0, "its images")
    connection.close()
    secure.wait_for_queue(lambda queue: queue["slots_busy"] == 0, "none")


def test_too_many_learn_it_at_once(start, files, authority):
    daemon = start(*files.flags, "--max-connections", "1", "--hsts-max-age", "0", "--header-timeout", "60m",
                   "--idle-timeout", "60m")  # fmt: skip
    connection, _ = connect(daemon, authority)
    with pytest.raises(ssl.SSLError, match="(?i)alert internal error"):
        connect(daemon, authority)
    connection.request("GET", "/livez")
    assert "Strict-Transport-Security" not in connection.getresponse().headers
    connection.close()
    wait_until(lambda: requests.get(daemon.admin + "/metrics").text.count(
        'softdiff_http_connections{listener="public"} 0'), "its end")  # fmt: skip
    assert ask(connect(daemon, authority)[0]) == 200


@pytest.mark.sanitizers
@pytest.mark.parametrize("how", ["signal", "admin"])
def test_another_certificate(secure, files, authority, first, how):
    def reload(good):
        if how == "signal":
            secure.signal(signal.SIGHUP)
        else:
            answer = requests.post(secure.admin + "/-/reload", timeout=PATIENCE_S)
            assert answer.status_code == (200 if good else 422), answer.text
            assert good or "stays as it was" in answer.json()["detail"]

    kept, old = connect(secure, authority)
    assert ask(kept) == 200
    stream = requests.post(
        address(secure) + "/v1/samples", json={"nfe": 6000}, stream=True, verify=str(authority.root),
        headers={"Accept": "text/event-stream"}, timeout=PATIENCE_S)  # fmt: skip
    assert stream.status_code == 200
    second = authority.issue()
    bad = [(second[0], first[1]), (second[0], "nothing"), ("nothing", second[1]), (second[0][:500], second[1])]
    for n, pair in enumerate(bad):
        files.write(*pair)
        reload(good=False)
        wait_until(lambda: sum("event=certificate_change ok=0" in line for line in secure.log) == n + 1, "the log")
        assert connect(secure, authority)[1] == old
    files.write(*second)
    reload(good=True)
    wait_until(lambda: connect(secure, authority)[1] != old, "the new one")
    files.write(*second)
    reload(good=True)
    # Those that were there are served on.
    assert ask(kept, "/v1/models") == 200
    assert list(parse(stream.iter_lines(decode_unicode=True)))[-1][0] == "completed"
    # The list of old ones does not grow: again and again.
    for n in range(3):
        files.write(*(first, second)[n % 2])
        reload(good=True)
    wait_until(lambda: connect(secure, authority)[1] == old, "the first one")


def test_when_it_ends(secure, authority):
    with connect(secure, authority)[0].sock as shown:
        ends = ssl.cert_time_to_seconds(shown.getpeercert()["notAfter"])
    text = requests.get(secure.admin + "/metrics").text
    assert f"softdiff_certificate_expires_timestamp_seconds {ends}" in text.replace(".0\n", "\n")
    day = datetime.datetime.fromtimestamp(ends, datetime.timezone.utc).date()
    secure.wait_for_log(rf'level=info event=certificate name="localhost" chain=2 .* expires={day}.* valid=1')


def check(program, checkpoints, *flags):
    return subprocess.run(
        [program("softdiffd"), "--check", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
         "--model", f"faces={checkpoints['faces']}", *flags],
        capture_output=True, text=True, timeout=PATIENCE_S)  # fmt: skip


def test_check(program, checkpoints, files, authority, first, tmp_path):
    done = check(program, checkpoints, *files.flags)
    assert done.returncode == 0 and "certificate: localhost until 2" in done.stdout
    files.write(*authority.issue(days=3))
    assert "level=warn event=certificate" in check(program, checkpoints, *files.flags).stderr
    other = authority.issue()
    password = tmp_path / "password"
    openssl("ec", "-aes128", "-passout", "pass:x", "-in", files.key, "-out", password)
    for pair, words in [
        ((other[0], first[1]), f'softdiffd: "{files.key}": it is the key of another certificate'),
        ((other[0], password.read_text()), "needs a password"),
        ((other[1], other[1]), f'"{files.certificate}": there is no chain of certificates in it'),
        ((other[0], other[0]), f'"{files.key}": there is no key in it'),
    ]:
        files.write(*pair)
        done = check(program, checkpoints, *files.flags)
        assert done.returncode == 1 and words in done.stderr
    done = check(program, checkpoints, "--tls-cert", files.certificate)
    assert done.returncode == 2 and "go together" in done.stderr
    done = check(program, checkpoints, "--tls-cert", tmp_path / "nothing", "--tls-key", files.key)
    assert done.returncode == 1 and "No such file" in done.stderr


def test_a_library_without_tls(program, checkpoints, files, build_dir, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(build_dir / "tests/api/libno_tls.so"))
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    done = check(program, checkpoints, *files.flags)
    assert done.returncode == 1
    assert "was built without TLS: put a proxy in front" in done.stderr
    assert check(program, checkpoints).returncode == 0
