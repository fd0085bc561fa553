"""How long requests for one image take beside one for 64 images, whose client keeps asking.

Prints the latencies of requests for one image, one after the other, alone and beside the large one.

usage: fairness.py [MODEL] [--requests N] [--nfe N] [--large-nfe N]
"""

import argparse
import concurrent.futures
import pathlib
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/api"))
from softdiffd import Daemon  # noqa: E402


def latencies_ms(daemon, n, nfe):
    found = []
    for seed in range(n):
        begun = time.monotonic()
        daemon.png(seed=seed, nfe=nfe)
        found.append(1e3 * (time.monotonic() - begun))
    return sorted(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", default=ROOT / "model/zoo/faces32.safetensors")
    parser.add_argument("--build-dir", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--nfe", type=int, default=20)
    parser.add_argument("--large-nfe", type=int, default=100)
    o = parser.parse_args()

    daemon = Daemon(o.build_dir / "server/softdiffd", "--model", f"m={o.model}")
    ended = threading.Event()

    def ask_for_64():
        while not ended.is_set():
            daemon.pngs(n=64, nfe=o.large_nfe)

    print(f"{'one image, ms':24} {'min':>8} {'median':>8} {'max':>8}")
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for name in ("alone", f"beside 64 at nfe {o.large_nfe}"):
                if name != "alone":
                    large = pool.submit(ask_for_64)
                    daemon.wait_for_queue(lambda q: q["slots_busy"] > 1, "the large request")
                found = latencies_ms(daemon, o.requests, o.nfe)
                print(f"{name:24} {found[0]:8.1f} {statistics.median(found):8.1f} {found[-1]:8.1f}")
            ended.set()
            large.result()
    finally:
        ended.set()
        daemon.stop()


if __name__ == "__main__":
    main()
