"""What /metrics tells, read by a strict parser."""
import concurrent.futures

import prometheus
import pytest
import requests


def scrape(daemon):
    answer = requests.get(daemon.admin + "/metrics", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def metrics(daemon):
    return prometheus.read(scrape(daemon))


HISTOGRAMS = ("softdiff_http_request_duration_seconds", "softdiff_request_queue_seconds", "softdiff_request_engine_seconds",
              "softdiff_request_encode_seconds", "softdiff_step_seconds", "softdiff_batch_size")  # fmt: skip


@pytest.mark.sanitizers
def test_histograms_follow_the_work(start):
    daemon = start("--slots", "4")
    before = metrics(daemon)
    for name in HISTOGRAMS:
        assert before[name].kind == "histogram"
        assert not before[name].histograms().get((), {"count": 0})["count"]
    for _ in range(3):
        daemon.pngs(seed=1, n=6, nfe=5)
    after = metrics(daemon)

    def one(name, **labels):
        return after[name].histograms()[tuple(sorted(labels.items()))]

    for name in ("queue", "engine", "encode"):
        assert one(f"softdiff_request_{name}_seconds")["count"] == 3
    sizes, steps = one("softdiff_batch_size"), one("softdiff_step_seconds")
    # Six images of five evaluations in four slots: every evaluation of an image is counted.
    assert sizes["sum"] == 3 * 6 * 5 == after["softdiff_network_evaluations_total"].value()
    assert sizes["count"] == steps["count"] and max(b for b, n in sizes["buckets"] if n < sizes["count"]) <= 2
    engine = one("softdiff_request_engine_seconds")["sum"]
    assert steps["sum"] <= 1.1 * engine
    http = one("softdiff_http_request_duration_seconds", listener="public", route="/v1/samples")
    assert http["count"] == 3 and http["sum"] >= engine
    probes = one("softdiff_http_request_duration_seconds", listener="admin", route="/metrics")
    assert probes["count"] == 1  # this one has not ended


def test_ticks_are_most_of_the_work(start):
    """What they take, and what the engine takes for a request: the machine may halt between two of them, not always."""
    daemon, shares = start("--slots", "4", models=("slow",)), []
    while max(shares, default=0) < 0.5:
        assert len(shares) < 5, shares
        before = metrics(daemon)
        daemon.pngs(n=4, nfe=20)
        after = metrics(daemon)
        steps, engine = (after[name].histograms()[()]["sum"] - before[name].histograms().get((), {"sum": 0})["sum"]
                         for name in ("softdiff_step_seconds", "softdiff_request_engine_seconds"))  # fmt: skip
        shares.append(steps / engine)


def waited(daemon):
    """How many requests of which it is known how long they waited."""
    daemon.wait_for_queue(lambda queue: not queue["requests"], "the end")
    return metrics(daemon)["softdiff_request_queue_seconds"].histograms()[()]["count"]


def test_waiting_is_seen_before_it_ends(start):
    """A queue that is too long shows, also where its clients go or miss their deadlines."""
    long = {"nfe": 1000, "n": 64}
    daemon = start("--slots", "1", models=("slow",))
    with daemon.connect_and_send(long), daemon.connect_and_send(long):
        daemon.wait_for_queue(lambda queue: queue["slots_busy"] and len(queue["requests"]) == 2, "a queue")
    assert waited(daemon) == 2
    daemon = start("--slots", "1", "--request-timeout", "300ms", models=("slow",))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert [answer.status_code for answer in pool.map(daemon.post, 3 * [long])] == 3 * [504]
    assert waited(daemon) == 3


def test_series_are_bounded(start):
    """Whatever clients invent: methods, paths, models, seeds."""
    daemon = start()
    daemon.png(seed=1, nfe=1)
    metrics(daemon)
    for i in range(300):
        daemon.raw(f"M{i} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        if i < 30:
            daemon.get(f"/nothing/{i}")
            daemon.get(f"/v1/models/none{i}/samples/{i}.png")
            daemon.post({"model": f"m{i}"})
            requests.request("DELETE", daemon.url + f"/{i}", timeout=60)
    daemon.png(seed=2, nfe=1)
    found = metrics(daemon)
    n = sum(len(family.samples) for family in found.values())
    assert n < 700
    requests_total = found["softdiff_http_requests_total"].samples
    assert len(requests_total) < 40
    ok = {"listener": "public", "route": "/v1/samples", "method": "POST", "code": "200"}
    assert found["softdiff_http_requests_total"].value(**ok) == 2
    methods = {dict(labels)["method"] for _, labels in requests_total}
    assert methods <= {"GET", "POST", "DELETE", "other"}
