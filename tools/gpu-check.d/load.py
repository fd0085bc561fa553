"""A daemon and many clients of it."""

import base64
import json
import re
import signal
import threading
import time
import urllib.error
import urllib.request

import images
from session import Failed

# Whoever asks this machine needs no proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Daemon:
    def __init__(self, check, kit, lanes):
        self.check = check
        self.child = check.start(
            [kit.program("softdiffd"), "--model", f"m={kit.model()}", "--device", kit.device,
             "--slots", lanes, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
             "--max-queue", 64 * lanes], "softdiffd", env=kit.environment)
        while "event=ready" not in self.log():
            if self.child.poll() is not None or check.left_s() < 0:
                check.fail(f"the daemon is not ready: {self.log().strip().splitlines()[-1:]}")
            time.sleep(0.05)
        self.url = "http://" + re.search(r"listener=public address=(\S+)", self.log())[1]

    def log(self):
        return self.check.read("softdiffd", "log")

    def draw(self, seed, nfe):
        body = json.dumps({"seed": seed, "nfe": nfe}).encode()
        request = urllib.request.Request(f"{self.url}/v1/samples", body,
                                         {"Content-Type": "application/json"})
        with opener.open(request, timeout=max(1, self.check.left_s())) as answer:
            return base64.b64decode(json.load(answer)["images"][0]["png"])

    def load(self, n_clients, seconds, nfe):
        """Every client asks for one image after the other. The rate, and PNGs by seed."""
        drawn, wrong, lock = {}, [], threading.Lock()
        seeds = iter(range(1 << 30))
        begin = time.monotonic()

        def ask():
            while time.monotonic() < begin + seconds and self.check.left_s() > 0:
                with lock:
                    seed = next(seeds)
                try:
                    png = self.draw(seed, nfe)
                except (OSError, ValueError) as error:
                    wrong.append(f"seed {seed}: {error}")
                    return
                with lock:
                    drawn[seed] = png

        clients = [threading.Thread(target=ask) for _ in range(n_clients)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        if wrong:
            self.check.fail(f"{len(wrong)} requests failed; {wrong[0]}")
        return len(drawn) / (time.monotonic() - begin), drawn

    def stop_under_load(self, nfe):
        """What was accepted is answered before the end."""
        answers = []

        def ask(seed):
            try:
                answers.append(len(self.draw(seed, nfe)) > 0)
            except urllib.error.HTTPError as error:
                answers.append(error.code == 503)
            except OSError:
                answers.append(True)  # the listener was closed before it asked

        clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
        for client in clients:
            client.start()
        self.child.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
        if not self.check.wait(self.child, 30):
            self.check.fail("the daemon does not stop")
        if not all(answers):
            raise Failed("a request was lost when the daemon was stopped")


def compare(drawn, folder):
    """PNGs of the daemon by seed with those in the files of a folder; they have other texts."""
    for path in folder.glob("*.png"):
        if images.decode(drawn[int(path.stem)]) != images.decode(path.read_bytes()):
            raise Failed(f"seed {path.stem} is another image than alone")
