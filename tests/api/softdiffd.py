"""The real daemon on free ports, and what its clients do to it."""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import zlib

import requests

PATIENCE_S = 60 * int(os.environ.get("PATIENCE", "1"))  # more with sanitizers


def wait_until(condition, what, patience_s=PATIENCE_S):
    """Polls: for what only another process can tell."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {patience_s} s for {what}"
        time.sleep(0.005)
    return value


class Daemon:
    """One softdiffd. Its log is kept; sanitizers' reports fail the test that stops it."""

    def __init__(self, program, *flags, wait=True, **options):
        command = [program, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *flags]
        if "--request-timeout" not in flags:  # a daemon has no less patience than its tests
            command += ["--request-timeout", f"{PATIENCE_S}s"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
        )
        self.log = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        try:
            self.url = "http://" + self.wait_for_log(r"listener=public address=(\S+)")[1]
            self.admin = "http://" + self.wait_for_log(r"listener=admin address=(\S+)")[1]
            if wait:
                self.wait_for_log("event=ready")
        except BaseException:  # nobody else knows of it, and who reads its log would do so for ever
            self.process.kill()
            raise

    def _read(self):
        for line in self.process.stderr:
            with self.news:
                self.log.append(line.rstrip())
                self.news.notify_all()
        with self.news:
            self.log.append("")  # the end
            self.news.notify_all()

    def wait_for_log(self, pattern):
        def find():
            matches = (re.search(pattern, line) for line in self.log)
            return next(filter(None, matches), None) or (self.log and self.log[-1] == "" and "end")

        with self.news:
            found = self.news.wait_for(find, PATIENCE_S)
        assert found and found != "end", f"no {pattern} in the log:\n" + "\n".join(self.log)
        return found

    def post(self, body=None, accept=None, path="/v1/samples", timeout=PATIENCE_S, **headers):
        """body: a dict, or bytes as they are."""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if accept:
            headers["Accept"] = accept
        headers.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return requests.post(self.url + path, data=data, headers=headers, timeout=timeout)

    def png(self, **body):
        answer = self.post(body, accept="image/png")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "image/png"
        return answer.content

    def pngs(self, **body):
        answer = self.post(body)
        assert answer.status_code == 200, answer.text
        return [base64.b64decode(image["png"], validate=True) for image in answer.json()["images"]]

    def best(self, accept=None, **body):
        """The best so far of what takes long: the answer, and the deadline that it took for a first evaluation."""
        for deadline_ms in (5, 20, 80, 320, 1280, 5120, 20480):
            answer = self.post(body | {"deadline_ms": deadline_ms, "on_deadline": "best"}, accept=accept)
            if answer.status_code == 200:
                return answer, deadline_ms
        raise AssertionError(answer.text)

    def get(self, path):
        return requests.get(self.url + path, timeout=PATIENCE_S)

    def queue(self):
        return requests.get(self.admin + "/v1/queue", timeout=PATIENCE_S).json()

    def wait_for_queue(self, condition, what):
        return wait_until(lambda: condition(self.queue()), what)

    def connect(self):
        address = urllib.parse.urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S)

    def connect_and_send(self, body, **headers):
        """A request for samples on a raw connection; the caller reads or goes."""
        data = json.dumps(body).encode()
        head = f"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection = self.connect()
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        return connection

    def raw(self, data):
        """Sends bytes and returns all that comes back until the daemon closes; it may do so before it has all."""
        with self.connect() as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            return read_all(connection)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait_for_exit(self):
        status = self.process.wait(PATIENCE_S)
        self.reader.join()
        text = "\n".join(self.log)
        assert "ERROR: " not in text and "runtime error" not in text, text
        return status

    def stop(self):
        self.signal()
        assert self.wait_for_exit() == 0, "\n".join(self.log)


def read_all(connection):
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def png_text(png):
    """The tEXt chunks of a PNG, whose checksums are verified on the way."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    position, texts, kinds = 8, {}, []
    while position < len(png):
        size = int.from_bytes(png[position : position + 4], "big")
        kind, data = png[position + 4 : position + 8], png[position + 8 : position + 8 + size]
        checksum = int.from_bytes(png[position + 8 + size : position + 12 + size], "big")
        assert zlib.crc32(kind + data) == checksum
        kinds.append(kind.decode())
        if kind == b"tEXt":
            key, text = data.split(b"\0", 1)
            texts[key.decode()] = text.decode()
        position += 12 + size
    assert kinds[0] == "IHDR" and kinds[-1] == "IEND" and "tIME" not in kinds
    return texts
