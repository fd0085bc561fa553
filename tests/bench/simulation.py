"""Holds softdiff-simulate to a real daemon: the same requests, at the same times.

For each load: measures tick times, simulates, sends the simulated stream of requests (Poisson
arrivals, mixed NFE) to softdiffd over loopback, and compares percentiles of the latency. Each
request counts from the moment when it was due, not when it was sent.

A machine that others use is not the one that was measured a minute before. So the speed that the
daemon itself reports during the replay is compared with the measured one, and the simulation is
repeated for a machine that is slower by that factor: what then still differs is the simulation's own.

usage: simulation.py [MODEL] [--load L,...] [--seconds S] [--nfe VALUE:WEIGHT,...]
"""

import argparse
import asyncio
import csv
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/api"))
from softdiffd import Daemon  # noqa: E402


def simulate(o, folder, *flags):
    nfe = ",".join(f"{value}:{weight}" for value, weight in o.nfe)
    command = [o.build_dir / "tools/simulate/softdiff-simulate", *flags, "--nfe", nfe]
    command += ["--csv", f"{folder}/rows.csv", "--stream", f"{folder}/stream.csv"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return out, *(list(csv.DictReader(open(f"{folder}/{name}.csv"))) for name in ("rows", "stream"))


async def ask(connections, address, seed, nfe):
    """One PNG, over a connection that is free or new."""
    reader, writer = connections.pop() if connections else await asyncio.open_connection(*address)
    body = b'{"seed":%d,"nfe":%d}' % (seed, nfe)
    writer.write(
        b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nAccept: image/png\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    await reader.readexactly(int(re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)[1]))
    connections.append((reader, writer))


async def watch(admin, ticks, factors):
    """Ten times a second: the present tick time as a multiple of the measured one."""
    address = urllib.parse.urlsplit(admin)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    while True:
        writer.write(b"GET /v1/queue HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)[1])
        queue = json.loads(await reader.readexactly(size))
        # The speed is smoothed over some ticks: with many lanes it depends little on their number.
        if queue["slots_busy"] in ticks and queue["slots_busy"] >= 4:
            tick_ms = 1e3 * queue["slots_busy"] / queue["evaluations_per_s"]
            factors.append(tick_ms / ticks[queue["slots_busy"]])
        await asyncio.sleep(0.1)


async def replay(daemon, stream, ticks):
    """Latencies in seconds, and how many times longer than measured a tick took."""
    address = urllib.parse.urlsplit(daemon.url)
    connections, latencies, factors = [], [], []
    watching = asyncio.create_task(watch(daemon.admin, ticks, factors))
    start = time.monotonic() + 0.1

    async def one(seed, due, nfe):
        await ask(connections, (address.hostname, address.port), seed, nfe)
        latencies.append(time.monotonic() - due)

    async with asyncio.TaskGroup() as group:
        for seed, request in enumerate(stream):
            due = start + float(request["arrival_s"])
            await asyncio.sleep(due - time.monotonic())
            group.create_task(one(seed, due, int(request["nfe"])))
    watching.cancel()
    return latencies, statistics.mean(factors) if factors else 1


def measure_ticks(o):
    """Milliseconds by lanes."""
    with tempfile.TemporaryDirectory() as folder:
        out, _, _ = simulate(o, folder, o.model, "--requests", "1")
    found = re.findall(r"([0-9]+): ([0-9.]+)", re.search(r"ms\): (.*)", out)[1])
    return {int(lanes): float(ms) for lanes, ms in found}


def processor_s(daemon):
    """Of the machine and of ourselves, the daemon included."""
    machine = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    own = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(") ")[-1].split()
    tick = os.sysconf("SC_CLK_TCK")
    busy = sum(int(machine[i]) for i in (0, 1, 2, 5, 6, 7)) / tick
    return busy, (int(own[11]) + int(own[12])) / tick + sum(os.times()[:2])


def quantile(numbers, q):
    return sorted(numbers)[max(0, -int(-q * len(numbers) // 1) - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", default=ROOT / "model/zoo/faces32.safetensors")
    parser.add_argument("--build-dir", default=ROOT / "build", type=pathlib.Path)
    parser.add_argument("--load", default="0.4,0.8")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--nfe", default="10:0.5,20:0.3,100:0.2")
    o = parser.parse_args()
    o.nfe = [(int(v), float(w)) for v, w in (pair.split(":") for pair in o.nfe.split(","))]

    daemon = Daemon(
        o.build_dir / "server/softdiffd", "--model", f"m={o.model}", "--slots", "16",
        "--max-connections-per-ip", "0",
    )  # fmt: skip
    try:
        print(f"{'load':>5} {'requests':>8} {'':9} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9}")
        for load in map(float, o.load.split(",")):
            ticks = measure_ticks(o)
            lanes = max(ticks)
            mean_nfe = sum(n * w for n, w in o.nfe) / sum(w for _, w in o.nfe)
            rate = load * lanes / (1e-3 * ticks[lanes]) / mean_nfe
            flags = ("--rate", f"{rate:.6f}", "--requests", str(int(o.seconds * rate)))
            with tempfile.TemporaryDirectory() as folder:
                _, _, stream = simulate(o, folder, "--ticks", "1:1,16:1", *flags)
                begun, before = time.monotonic(), processor_s(daemon)
                latencies, factor = asyncio.run(replay(daemon, stream, ticks))
                elapsed, after = time.monotonic() - begun, processor_s(daemon)
                wants = []
                for f in (1, factor):
                    text = ",".join(f"{i}:{ms * f:.4f}" for i, ms in ticks.items())
                    _, rows, _ = simulate(o, folder, "--ticks", text, *flags)
                    wants.append([1e3 * float(rows[0][key]) for key in ("p50_s", "p95_s", "p99_s")])
            got = [1e3 * quantile(latencies, q) for q in (0.5, 0.95, 0.99)]
            others = (after[0] - before[0] - after[1] + before[1]) / elapsed / os.cpu_count()
            lines = [("measured", got), ("simulated", wants[0]), (f"x {factor:.2f}", wants[1])]
            for name, row in lines:
                print(f"{load:5} {len(stream):8} {name:9} " + " ".join(f"{x:9.1f}" for x in row))
            for name, want in (("deviation", wants[0]), (f"x {factor:.2f}", wants[1])):
                off = " ".join(f"{100 * (g / w - 1):+8.1f}%" for g, w in zip(got, want))
                print(f"{'':14} {name:9} {off}")
            print(f"{'':14} others used {100 * others:.0f} % of the machine")
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
