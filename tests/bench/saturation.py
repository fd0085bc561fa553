"""What is left of the generator's speed when a daemon stands in front of it.

Runs softdiff-sample (the generator alone) and softdiffd under full load (PNGs over loopback, more
requests open than there are slots) in turns, the same number of images at the same NFE, and prints
both speeds per round, their medians and the ratio of the medians. Exits with 1 if the ratio is
below --least.

Other users of the machine disturb the ratio, but not so the last line: what processor time an image
takes in the threads that compute, in all others of the daemon (HTTP, PNG), and in the client, which
has to share the processors here.

usage: saturation.py [MODEL] [--images N] [--nfe N] [--rounds N] [--connections N] [--least R]
"""

import argparse
import os
import pathlib
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/api"))
from softdiffd import Daemon  # noqa: E402


def bare_rate(build, model, images, nfe):
    """Images per second of the generator alone, its loading not counted."""
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(
            [build / "tools/sample/softdiff-sample", model, "--number", str(images), "--nfe", str(nfe),
             "--grid", f"{folder}/grid.png"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    return images / float(re.search(r"([0-9.]+) s,", out)[1])


def processor_ms(daemon):
    """Processor time of each of the daemon's threads."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e6 for task in tasks}


class Client:
    """One thread and a few sockets: what it costs is taken from the daemon's processors."""

    def __init__(self, url, connections, nfe):
        address = urllib.parse.urlsplit(url)
        self.selector = selectors.DefaultSelector()
        self.nfe = nfe
        for _ in range(connections):
            sock = socket.create_connection((address.hostname, address.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ)
        self.sockets = [key.fileobj for key in self.selector.get_map().values()]
        self.n_sent = 0

    def send(self, sock):
        body = b'{"seed":%d,"nfe":%d}' % (self.n_sent, self.nfe)
        sock.sendall(
            b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nAccept: image/png\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        self.n_sent += 1

    @staticmethod
    def receive(sock):
        """One answer, which is small enough to be there when its beginning is."""
        data = sock.recv(65536)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += sock.recv(65536)
        assert data.startswith(b"HTTP/1.1 200 "), data[:400]
        length = int(re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", data)[1])
        while len(data) < end + 4 + length:
            data += sock.recv(65536)

    def run(self, images):
        """Seconds until that many images are there, with every connection asking all the time."""
        last = self.n_sent + images
        begun = time.monotonic()
        for sock in self.sockets:
            if self.n_sent < last:
                self.send(sock)
        done = 0
        while done < images:
            for key, _ in self.selector.select():
                self.receive(key.fileobj)
                done += 1
                if self.n_sent < last:
                    self.send(key.fileobj)
        return time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", default=ROOT / "model/zoo/faces32.safetensors")
    parser.add_argument("--build-dir", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=256, help="per round; a multiple of 16")
    parser.add_argument("--nfe", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--least", type=float, default=0.95, help="ratio that is good enough")
    o = parser.parse_args()

    daemon = Daemon(
        o.build_dir / "server/softdiffd", "--model", f"m={o.model}", "--slots", "16",
        "--max-connections-per-ip", "0",
    )  # fmt: skip
    try:
        client = Client(daemon.url, o.connections, o.nfe)
        client.run(o.connections)  # warm-up
        bare, served, client_ms = [], [], 0
        before = processor_ms(daemon)
        print(f"{o.images} images at {o.nfe} evaluations, {o.connections} connections")
        print(f"{'round':>5} {'bare images/s':>14} {'served images/s':>16} {'ratio':>6}")
        for i in range(o.rounds):
            bare.append(bare_rate(o.build_dir, o.model, o.images, o.nfe))
            begun = os.times()
            served.append(o.images / client.run(o.images))
            client_ms += 1e3 * (sum(os.times()[:2]) - sum(begun[:2]))
            print(f"{i + 1:5} {bare[-1]:14.2f} {served[-1]:16.2f} {served[-1] / bare[-1]:6.3f}")
        threads = sorted(ms - before.get(name, 0) for name, ms in processor_ms(daemon).items())
    finally:
        daemon.stop()
    middle = statistics.median(bare), statistics.median(served)
    ratio = middle[1] / middle[0]
    print(f"median {middle[0]:13.2f} {middle[1]:16.2f} {ratio:6.3f}")
    n = o.rounds * o.images
    computing = threads[-len(os.sched_getaffinity(0)) :]
    other = (sum(threads) - sum(computing)) / n
    print(
        f"processor ms per image: {sum(computing) / n:.2f} computing, {other:.2f} in the daemon's "
        f"other threads, {client_ms / n:.2f} in the client"
    )
    return 0 if ratio >= o.least else 1


if __name__ == "__main__":
    sys.exit(main())
