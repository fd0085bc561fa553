"""Three daemons that share their jobs in one PostgreSQL server, behind the HAProxy of config/deploy: what is killed is
not missed by those who ask again where they are told to, or where asking twice is the same."""
import concurrent.futures
import contextlib
import random
import threading
import time

import pytest
import requests
from softdiffd import Daemon, wait_until
from test_durable_jobs import kill
from test_events import parse
from test_proxies import free_port, proxy  # noqa: F401: a fixture
from test_shared_jobs import server  # noqa: F401: a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = 45
FLAGS = ("--max-connections-per-ip", "0", "--slots", "4", "--max-nfe", "1000", "--job-lease", "2s",
         "--keep-results", "256MiB", "--keep-jobs", "60m")  # fmt: skip


@pytest.fixture
def begin_one(program, checkpoints, server):  # noqa: F811
    """Starts daemons on ports of one's own."""
    started = []

    def begin(ports):
        listen = [f"127.0.0.1:{port}" for port in ports]
        daemon = Daemon(program("softdiffd"), "--listen", listen[0], "--admin-listen", listen[1], *FLAGS,
                        "--model", f"faces={checkpoints['faces']}", "--job-store", server.url)  # fmt: skip
        started.append(daemon)
        return daemon

    server.query("DROP SCHEMA IF EXISTS softdiff CASCADE")
    begin.all = started
    yield begin
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.stop()
        else:
            daemon.wait_for_exit()


@pytest.fixture
def ports():
    return [(free_port(), free_port()) for _ in range(3)]


@pytest.fixture
def replicas(begin_one, ports):
    return [begin_one(pair) for pair in ports]


class Clients:
    """Threads that ask for images and jobs until they are told to stop, and note what they were told."""

    def __init__(self, url, want, patient):
        self.url, self.want, self.patient = url, want, patient
        self.end, self.failures, self.jobs, self.refused = threading.Event(), [], {}, 0
        self.images, self.watched = 0, 0
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        kinds = [self.ask_for_images, self.ask_by_address, self.ask_for_jobs, self.ask_for_jobs, self.watch_jobs]
        self.threads = [self.pool.submit(kind, i) for i, kind in enumerate(kinds)]

    def call(self, method, path, ok, patient=False, **options):
        """The answer, asked for once; None where it is no good one."""
        try:
            answer = requests.request(method, self.url + path, timeout=120, **options)
        except requests.RequestException as error:
            self.failures.append((method + path, 0, repr(error)))
            return None
        if answer.status_code == ok:
            return answer
        if patient and answer.status_code == 503 and "Retry-After" in answer.headers:
            self.refused += 1
            time.sleep(0.2)
        else:
            self.failures.append((method + path, answer.status_code, answer.text[:200]))
        return None

    def check_image(self, seed, answer):
        if answer is not None:
            self.images += 1
            if answer.content != self.want[seed]:
                self.failures.append(("bytes", seed, ""))

    def ask_for_images(self, number):
        chance = random.Random(number)
        while not self.end.is_set():
            seed = chance.randrange(len(self.want))
            body = {"seed": seed, "nfe": 20}
            self.check_image(seed, self.call("POST", "/v1/samples", 200, json=body, headers={"Accept": "image/png"}))

    def ask_by_address(self, number):
        chance = random.Random(number)
        while not self.end.is_set():
            seed = chance.randrange(len(self.want))
            self.check_image(seed, self.call("GET", f"/v1/models/faces/samples/{seed}.png?nfe=20", 200))

    def ask_for_jobs(self, number):
        chance = random.Random(number)
        i = 0
        while not self.end.is_set():
            i += 1
            n = chance.randint(1, len(self.want))
            key = {"Idempotency-Key": f"{number}-{i}"}
            answer = None
            while answer is None and not self.end.is_set():
                answer = self.call("POST", "/v1/jobs", 202, self.patient, json={"seed": 0, "n": n, "nfe": 20}, headers=key)
            if answer is not None:
                self.jobs[answer.json()["id"]] = n
                self.follow(answer.json()["id"], n, chance)

    def follow(self, id, n, chance):
        status, before = None, 0
        while status != "completed" and not self.end.is_set():
            answer = self.call("GET", f"/v1/jobs/{id}", 200, self.patient)
            if answer is None:
                continue
            status = answer.json()["status"]
            if status not in ("queued", "in_progress", "completed") or answer.json()["images_done"] < before:
                self.failures.append((id, status, f"{answer.json()['images_done']} after {before}"))
            before = answer.json()["images_done"]
            time.sleep(0.05)
        if status == "completed":
            seed = chance.randrange(n)
            path = f"/v1/jobs/{id}/images/{seed}.png"
            self.check_image(seed, self.call("GET", path, 200, self.patient))

    def watch_jobs(self, number):
        """A stream that is cut is taken up again."""
        chance = random.Random(number)
        while not self.end.is_set():
            id = chance.choice([*self.jobs, None])
            if id is None:
                time.sleep(0.1)
                continue
            last, headers = "progress", {}
            while last == "progress" and not self.end.is_set():
                with contextlib.suppress(requests.RequestException):
                    answer = requests.get(f"{self.url}/v1/jobs/{id}/events", headers=headers, stream=True, timeout=30)
                    if answer.status_code != 200:
                        time.sleep(0.2)
                        continue
                    for last, step, _ in parse(answer.iter_lines(decode_unicode=True)):
                        headers = {"Last-Event-ID": str(step)}
            self.watched += last == "completed"
            if last not in ("completed", "progress"):
                self.failures.append((id, last, "events"))

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.result()
        self.pool.shutdown()


def check_all(url, clients, server):  # noqa: F811
    """Every job that was acknowledged ends once, with all of its images."""
    def statuses():
        answers = [requests.get(f"{url}/v1/jobs/{id}", timeout=60) for id in clients.jobs]
        return all(answer.status_code == 200 and answer.json()["status"] == "completed" for answer in answers)

    wait_until(statuses, "all jobs", 240)
    rows = server.query("SELECT id, state, n, n_done FROM jobs")
    assert {row[0] for row in rows} >= set(clients.jobs) and len({row[0] for row in rows}) == len(rows)
    assert all(row[1] == "2" and row[2] == row[3] for row in rows if row[0] in clients.jobs)
    counts = dict(server.query("SELECT job, count(*) FROM pictures GROUP BY job"))
    assert all(int(counts[id]) == n for id, n in clients.jobs.items())
    return len(rows)


def pngs(url):
    return [requests.post(url + "/v1/samples", json={"seed": seed, "nfe": 20}, headers={"Accept": "image/png"},
                          timeout=60).content for seed in range(40)]  # fmt: skip


def test_one_is_killed_every_few_seconds(begin_one, ports, replicas, proxy, server):  # noqa: F811
    clients = Clients(proxy, pngs(replicas[0].url), patient=False)
    chance, kills, end = random.Random(5), 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(2)
        i = chance.randrange(3)
        kill(replicas[i])
        kills += 1
        time.sleep(0.5)
        replicas[i] = begin_one(ports[i])
        wait_until(lambda: requests.get(replicas[i].admin + "/readyz", timeout=60).status_code == 200, "it")
    clients.stop()
    n = check_all(proxy, clients, server)
    print(f"{kills} kills, {clients.images} images, {len(clients.jobs)} jobs of {n}, {clients.watched} watched")
    assert not clients.failures, f"{len(clients.failures)}: {clients.failures[:5]}"
    assert kills > 5 and clients.images > 100 and len(clients.jobs) > 5 and clients.watched > 2
    # Its end is told by one, unless that was killed between writing and telling.
    told = [line.split(" id=")[1].split()[0] for daemon in begin_one.all for line in daemon.log if "event=job " in line]
    assert len(told) == len(set(told)) and len(told) >= len(clients.jobs) - kills


def test_the_server_is_killed_every_few_seconds(replicas, proxy, server):  # noqa: F811
    """Jobs wait, and are refused with a time to come back; nothing else suffers."""
    clients = Clients(proxy, pngs(replicas[0].url), patient=True)
    kills, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(4)
        server.kill()
        kills += 1
        time.sleep(2)
        server.start()
    time.sleep(5)
    clients.stop()
    n = check_all(proxy, clients, server)
    print(f"{kills} kills, {clients.images} images, {len(clients.jobs)} jobs of {n}, {clients.refused} refused")
    assert not clients.failures, clients.failures[:5]
    assert kills > 2 and clients.images > 100 and len(clients.jobs) > 5 and clients.refused > 0
    assert all(daemon.process.poll() is None for daemon in replicas)
