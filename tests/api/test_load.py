"""What must hold under load, as ratios within one run. The daemon has one processor and the client another,
where there are two."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

import pytest
import requests

pytestmark = pytest.mark.slow
PROCESSORS = sorted(os.sched_getaffinity(0))
OVERLOAD_S = 60
ROUNDS, LOOK_S = 5, 3


def keep_to(processor):
    return lambda: os.sched_setaffinity(0, {processor})


def start_load(daemon, what, *arguments):
    """Runs load.py on the client's processor."""
    address = (daemon.admin if what == "look" else daemon.url).removeprefix("http://")
    script = pathlib.Path(__file__).with_name("load.py")
    return subprocess.Popen([sys.executable, script, what, address, *map(str, arguments)], stdout=subprocess.PIPE,
                            preexec_fn=keep_to(PROCESSORS[-1]))  # fmt: skip


def end_load(process):
    out, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(out)


def load(daemon, what, *arguments):
    return end_load(start_load(daemon, what, *arguments))


@pytest.fixture
def pinned(start):
    def start_pinned(*flags, **options):
        return start("--threads", "1", "--max-connections-per-ip", "0", *flags,
                     preexec_fn=keep_to(PROCESSORS[0]), **options)  # fmt: skip

    return start_pinned


def metric(daemon, name):
    text = requests.get(daemon.admin + "/metrics", timeout=60).text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def p99(times):
    return sorted(times)[int(0.99 * len(times))]


def resident_mib(daemon):
    text = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def processor_s(daemon):
    """That all threads of the daemon have had."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return 1e-9 * sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def engine_ms(answer):
    return float(re.search(r"engine;dur=(\S+),", answer.headers["Server-Timing"])[1])


def test_overload(pinned, capsys):
    """Ten times more than it can do, for a minute: it does what it can, keeps its memory, and tells everybody
    else when to come back."""
    daemon = pinned("--slots", "16", "--max-queue", "64", models=("blurred",))
    daemon.png(nfe=200)
    nfe = max(2, min(1000, round(daemon.queue()["evaluations_per_s"] / 25)))
    body = json.dumps({"nfe": nfe})
    began_s = processor_s(daemon)
    peak = load(daemon, "samples", 15, 0, body)
    peak_s = processor_s(daemon) - began_s
    peak_rate = sum(2 < s < 15 and code == 200 for s, code, _ in peak["answers"]) / 13
    resident, ended = [], threading.Event()

    def watch():
        while not ended.wait(1):
            resident.append(resident_mib(daemon))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began_s = processor_s(daemon)
    over = load(daemon, "samples", OVERLOAD_S, 10 * peak_rate, body)
    over_s = processor_s(daemon) - began_s
    ended.set()
    watcher.join()
    codes = [code for _, code, _ in over["answers"]]
    rate = sum(10 < s < OVERLOAD_S and code == 200 for s, code, _ in over["answers"]) / (OVERLOAD_S - 10)
    half = resident[len(resident) // 2 :]
    figures = {
        "nfe": nfe, "peak_per_s": peak_rate, "offered_per_s": len(codes) / OVERLOAD_S,
        "goodput": rate / peak_rate,
        "goodput_per_processor_s": codes.count(200) / over_s / (sum(c == 200 for _, c, _ in peak["answers"]) / peak_s),
        "refused": codes.count(503), "lost": len(over["lost"]),
        "rss_mib": [min(half), max(half)],
    }  # fmt: skip
    with capsys.disabled():
        print(figures)
    assert set(codes) == {200, 503} and not over["lost"], over["lost"][:3]
    assert all(retry_after for _, code, retry_after in over["answers"] if code == 503)
    assert codes.count(503) > 5 * codes.count(200)
    assert rate >= 0.9 * peak_rate
    assert max(half) - min(half) < 4


@pytest.mark.timeout(600)
def test_probes_do_not_wait_for_others(start, capsys):
    """Beside ten times more than it can do with the one thread that it computes with; the clients have a processor.
    By turns, so that what else the machine does is the same for both. On the processor of that thread alone the
    loop would have to wait for the system's next tick (4 ms), whenever it has just had a turn."""
    daemon = start("--threads", "1", "--max-connections-per-ip", "0", "--slots", "16", "--max-queue", "64",
                   models=("blurred",))  # fmt: skip
    daemon.png(nfe=200)
    nfe = max(2, min(1000, round(daemon.queue()["evaluations_per_s"] / 25)))
    body, rows = json.dumps({"nfe": nfe}), []
    for _ in range(ROUNDS):
        idle_s = load(daemon, "look", LOOK_S)
        others = start_load(daemon, "samples", LOOK_S + 2, 250, body)
        daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 16, "all lanes at work")
        beside_s = load(daemon, "look", LOOK_S)
        assert sum(code == 503 for _, code, _ in end_load(others)["answers"]) > 100
        daemon.wait_for_queue(lambda queue: queue["slots_busy"] == 0, "the end of the others")
        rows.append((p99(idle_s), p99(beside_s)))
    with capsys.disabled():
        print("p99, ms, alone and beside others:", [(round(1e3 * a, 2), round(1e3 * b, 2)) for a, b in rows])
    assert statistics.median(beside / idle for idle, beside in rows) <= 5


def test_cached_answers_cost_little(pinned, capsys):
    """At least half as many of them as of the shortest answers that there are."""
    daemon = pinned("--slots", "2", models=("slow",))
    path = "/v1/models/slow/samples/1.png?nfe=2"
    assert daemon.get(path).status_code == 200
    rates = [(load(daemon, "pump", path, 3), load(daemon, "pump", "/livez", 3)) for _ in range(3)]
    with capsys.disabled():
        print([(round(cached), round(livez)) for cached, livez in rates])
    assert statistics.median(cached / livez for cached, livez in rates) >= 0.5


def test_scheduling_costs_little(pinned, capsys):
    """Of the time in which lanes are full, what is not in ticks."""
    daemon = pinned("--slots", "16", models=("blurred",))
    daemon.pngs(n=16, nfe=2)
    shares = []
    for _ in range(3):
        before = metric(daemon, "softdiff_step_seconds_sum")
        answer = daemon.post({"n": 16, "nfe": 500})
        ticks_s = metric(daemon, "softdiff_step_seconds_sum") - before
        shares.append(1e-3 * engine_ms(answer) / ticks_s - 1)
    with capsys.disabled():
        print([f"{100 * share:.2f} %" for share in shares])
    assert statistics.median(shares) <= 0.02


def test_the_first_request_is_as_good_as_any(pinned, capsys):
    """Whoever is told that it is ready need not warm it up. Counted in time of the processor, which others
    do not make longer."""
    ratios = []
    for _ in range(5):
        daemon = pinned("--slots", "4", models=("slow",))
        took = []
        for _ in range(21):
            before = processor_s(daemon)
            daemon.png(nfe=20)
            took.append(processor_s(daemon) - before)
        ratios.append(took[0] / statistics.median(took[1:]))
        daemon.stop()
    with capsys.disabled():
        print([round(ratio, 2) for ratio in ratios])
    assert statistics.median(ratios) <= 1.2
