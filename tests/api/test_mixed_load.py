"""The same bytes as alone: hundreds of requests of all kinds at a time, many of whose clients go."""
import base64
import concurrent.futures
import json
import random

import pytest
from softdiffd import PATIENCE_S, Daemon
from test_proxies import proxy  # noqa: F401: a fixture

SAMPLERS = ["sde-2m", "pf-2m", "momentum", "ancestral", "pf-heun"]
N_KINDS = 30


def kinds(daemon):
    """Settings, each with its images as it draws them alone."""
    draw, made = random.Random(1), []
    for _ in range(N_KINDS):
        body = {"model": draw.choice(["faces", "blurred"]), "seed": draw.randrange(2**64),
                "n": draw.choice([1, 1, 1, 2, 5]), "nfe": draw.randint(1, 60),
                "sampler": draw.choice(SAMPLERS)}  # fmt: skip
        if draw.random() < 0.3:
            body |= {"seed_b": draw.randrange(2**64), "mix": draw.choice([0, 0.25, 0.5, 1])}
        made.append((body, daemon.pngs(**body)))
    return made


def draw_as_job(daemon, body):
    job = daemon.post({key: body[key] for key in ("model", "seed", "n", "nfe", "sampler")}, path="/v1/jobs")
    assert job.status_code == 202, job.text
    images = job.json()["images"]
    end = daemon.get(f"{job.headers['Location']}/events").text  # until it has ended
    assert "event: completed" in end, end
    return [daemon.get(images.replace("{index}", str(i))).content for i in range(body["n"])]


def draw_as_stream(daemon, body):
    answer = daemon.post(body | {"preview_every": 7}, accept="text/event-stream")
    last = answer.text.rstrip().split("\n\n")[-1]
    data = next(line for line in last.splitlines() if line.startswith("data: "))
    return [base64.b64decode(image["png"]) for image in json.loads(data[6:])["images"]]


def run(daemon, n, made=None):
    made = made or kinds(daemon)
    rolls = [random.Random(i) for i in range(n)]

    def one(roll):
        body, want = roll.choice(made)
        what = roll.random()
        if what < 0.3:  # the client goes, at any time
            connection = daemon.connect_and_send(body | {"nfe": 60})
            connection.settimeout(roll.choice([0.001, 0.01, 0.1]))
            try:
                connection.recv(1)
            except TimeoutError:
                pass
            connection.close()
            return None
        if what < 0.4 and "seed_b" not in body:
            return draw_as_job(daemon, body) == want
        if what < 0.5:
            return draw_as_stream(daemon, body) == want
        if what < 0.6:
            return daemon.pngs(**body, priority="background") == want
        return daemon.pngs(**body) == want

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(one, rolls, timeout=10 * PATIENCE_S))
    assert False not in outcomes
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "an empty queue")
    return outcomes


@pytest.fixture
def busy(start):
    return start("--slots", "6", "--response-cache", "0", models=("faces", "blurred"))


def test_sixty_requests(busy):
    assert run(busy, 60).count(True) > 30


def test_forty_requests_on_two_devices(busy, start):
    """Each of which draws what one draws alone."""
    made = kinds(busy)
    two = start("--device", "cpu,cpu", "--threads", "1", "--slots", "3", "--response-cache", "0",
                models=("faces", "blurred"))  # fmt: skip
    assert run(two, 40, made).count(True) > 20
    drawn = [device["evaluations"] for device in two.queue()["devices"]]
    assert min(drawn) > 0.1 * sum(drawn)  # a half, but for what the machine gives each


@pytest.mark.slow
def test_five_hundred_requests(busy):
    assert run(busy, 500).count(True) > 300


class Together(Daemon):
    """Several, behind the one address of a proxy."""

    def __init__(self, url, daemons):
        self.url, self.daemons = url, daemons

    def wait_for_queue(self, condition, what):
        for daemon in self.daemons:
            daemon.wait_for_queue(condition, what)


@pytest.fixture
def replicas(start):
    flags = ("--max-connections-per-ip", "0", "--slots", "3", "--response-cache", "0")
    return [start(*flags, models=("faces", "blurred")) for _ in range(3)]


@pytest.mark.slow
def test_five_hundred_requests_through_three_replicas(busy, replicas, proxy):  # noqa: F811
    """Whichever draws an image, its bytes are those of one that draws it alone."""
    assert run(Together(proxy, replicas), 500, kinds(busy)).count(True) > 300
    assert all(daemon.queue()["evaluations"] > 1000 for daemon in replicas)
