"""Several devices in one daemon: two teams of threads stand for two GPUs."""
import concurrent.futures
import contextlib
import os
import subprocess

import pytest
import requests
from softdiffd import PATIENCE_S, wait_until

TWO = ("--device", "cpu,cpu", "--threads", "1", "--slots", "2")
NAMES = ["cpu/0", "cpu/1"]


def admin(daemon, method, path):
    return requests.request(method, daemon.admin + path, timeout=PATIENCE_S)


def metric(daemon, name):
    """By device, or one number."""
    found = {}
    for line in admin(daemon, "GET", "/metrics").text.splitlines():
        if line.startswith((name + "{", name + " ")):
            series, value = line.rsplit(" ", 1)
            found[series.partition('device="')[2].rstrip('"}')] = float(value)
    return found[""] if list(found) == [""] else found


@pytest.mark.sanitizers
def test_what_is_told_and_drawn(start):
    daemon, alone = start(*TWO), start("--device", "cpu", "--threads", "1")
    told = daemon.get("/v1/capabilities").json()
    assert [(row["name"], row["state"]) for row in told["devices"]] == [(name, "ready") for name in NAMES]
    assert told["device"] == told["devices"][0]["device"] and told["models"][0]["limits"]["places"] == 2 * 2 + 256
    assert daemon.get("/version").json()["devices"] == told["devices"]
    assert told["determinism"] == alone.get("/v1/capabilities").json()["determinism"]
    assert admin(daemon, "GET", "/readyz").json()["devices_failed"] == []
    # The images of a request are shared out, and are those of one device.
    images = daemon.pngs(seed=7, n=9, nfe=40)
    assert images == alone.pngs(seed=7, n=9, nfe=40)
    assert metric(daemon, "softdiff_device_evaluations_total") == {"cpu/0": 5 * 40, "cpu/1": 4 * 40}
    assert metric(daemon, "softdiff_network_evaluations_total") == 9 * 40
    assert metric(daemon, "softdiff_device_up") == {"cpu/0": 1, "cpu/1": 1}
    assert metric(daemon, "softdiff_device_slots") == {"cpu/0": 2, "cpu/1": 2} and daemon.queue()["slots"] == 4
    # Pinned addresses are the same wherever there is this id.
    pinned = f"/v1/models/faces@{told['models'][0]['checkpoint']}/samples/9.png?nfe=40&sampler={told['defaults']['sampler']}&determinism={told['determinism']['id']}"
    tags = [answerer.get(pinned) for answerer in (daemon, alone)]
    assert tags[0].status_code == 200, tags[0].text
    assert tags[0].headers["ETag"] == tags[1].headers["ETag"]
    assert tags[0].content == tags[1].content == images[2]
    assert daemon.post(images[4], path="/v1/verify", Content_Type="image/png").json()["match"] == "exact"


def test_the_least_loaded_device(start):
    daemon = start(*TWO, "--max-nfe", "10000", models=("slow",))
    with contextlib.ExitStack() as clients:
        for nfe, n, where in [(10000, 1, NAMES[:1]), (4000, 1, NAMES[1:]), (3000, 1, NAMES[1:]), (9000, 60, NAMES)]:
            before = len(daemon.queue()["requests"])
            clients.enter_context(daemon.connect_and_send({"nfe": nfe, "n": n}))
            queue = daemon.wait_for_queue(lambda q: len(q["requests"]) > before and q, "an arrival")
            assert [row["devices"] for row in queue["requests"] if row["nfe"] == nfe] == [where]
        left = [row["backlog_evaluations"] for row in queue["devices"]]
        assert 60 * 9000 < sum(left) <= 60 * 9000 + 17000 and abs(left[0] - left[1]) <= 9000
        daemon.wait_for_queue(lambda q: all(row["backlog_evaluations"] < was for row, was in zip(q["devices"], left)),
                              "work that is done")  # fmt: skip
    # All of them went: the lanes are free on both.
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "an end")
    assert [row["backlog_evaluations"] for row in daemon.queue()["devices"]] == [0, 0]


def test_models_come_and_go_on_both(start):
    daemon = start(*TWO, models=("faces", "blurred"))
    want = daemon.pngs(model="blurred", seed=1, n=4, nfe=300)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(daemon.pngs, model="blurred", seed=1, n=4, nfe=300)
        daemon.wait_for_queue(lambda q: [row["slots_busy"] for row in q["devices"]] == [2, 2] or long.done(), "work")
        assert admin(daemon, "POST", "/v1/models/blurred/unload").status_code == 200
        assert long.result() == want
    for name in NAMES:
        daemon.wait_for_log(f"event=model_unloaded name=blurred .* device={name}")
    wait_until(lambda: daemon.queue()["slots"] == 4, "lanes of one model")
    assert admin(daemon, "POST", "/v1/models/blurred/load").status_code == 200
    assert admin(daemon, "POST", "/-/reload").status_code == 200
    daemon.wait_for_queue(lambda q: q["slots"] == 8, "lanes of two models")
    assert daemon.pngs(model="blurred", seed=1, n=4, nfe=300) == want


def test_a_drain_waits_for_both(start):
    daemon = start(*TWO, "--max-nfe", "10000", models=("slow",))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(daemon.pngs, seed=1, n=4, nfe=80)
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 4 or asked.done(), "work")
        daemon.stop()
        assert len(asked.result()) == 4


def test_devices_that_do_not_go_together(program, checkpoints):
    flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--model", f"faces={checkpoints['faces']}"]
    for devices, more, code, words in [
        ("cpu,auto", [], 2, '"auto" chooses one'),
        ("cuda:1,cuda:1", [], 2, '"cuda:1" is given twice'),
        ("cpu,gpu", [], 2, 'unknown device "gpu": known are auto, cuda:0 to cuda:63, cpu, reference'),
        ("cpu:0", [], 2, 'unknown device "cpu:0"'),
        ("cpu,reference", ["--precision", "fp32"], 1, "draw different bytes from one seed"),
        ("cpu,reference", ["--precision", "fp32", "--check"], 1, "draw different bytes from one seed"),
    ]:
        done = subprocess.run([program("softdiffd"), *flags, "--device", devices, *more], capture_output=True, text=True,
                              timeout=PATIENCE_S, env=os.environ)  # fmt: skip
        assert done.returncode == code and words in done.stderr, done.stderr
    done = subprocess.run([program("softdiffd"), *flags, *TWO, "--check"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and done.stdout.count("device cpu: ") == 2 and done.stdout.count("model faces: ") == 2
