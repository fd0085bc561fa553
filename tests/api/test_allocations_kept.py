"""Each allocation fails in turn in what keeps jobs: in the whole life of one, with each store, and while a daemon starts.
What was acknowledged is done, once, and nothing else suffers (test_allocations.py)."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest
import requests
from failing_allocations import EVERYTHING, Allocations, named
from softdiffd import PATIENCE_S, wait_until
from test_allocations import FLAGS, Request, Sweep, png, restoration, run_jobs
from test_allocations_guarded import ALICE, Guarded
from test_durable_jobs import kill, rows, state  # noqa: F401
from test_shared_jobs import metric, server  # noqa: F401


@pytest.fixture
def allocations(build_dir, tmp_path):
    return Allocations(build_dir, tmp_path)


HELD_MAX = 64  # jobs that a daemon draws at a time


def sweep_claims(sweep, n):
    """Where one of the jobs ends that are drawn, the next one is taken up."""
    numbers = range(1, 40, 40 // n)
    jobs = [sweep.daemon.post({"n": 1000, "nfe": 1000}, path="/v1/jobs").json()["id"]
            for _ in range(HELD_MAX + len(numbers))]  # fmt: skip

    def all_are_held():
        return metric(sweep.daemon, "softdiff_jobs_held") == HELD_MAX

    assert all_are_held()
    for at, id in zip(numbers, jobs):
        cancel = Request("DELETE", f"/v1/jobs/{id}")
        sweep.send(cancel)
        with sweep.failing(at):
            time.sleep(0.3)  # it looks every 250 ms
        fault = None
        try:
            wait_until(all_are_held, "the next one")
        except AssertionError:
            fault = "the next one is not taken up"
        sweep.note("claim", at, fault)
    for id in jobs:
        sweep.send(Request("DELETE", f"/v1/jobs/{id}"))


@pytest.mark.parametrize("n", [3, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_claims(start, allocations, n):
    daemon = start("--slots", "2", "--max-queue", "4000", "--max-jobs", "1000", models=("faces", "blurred"),
                   env=dict(os.environ) | allocations.environment)  # fmt: skip
    sweep = Sweep(daemon, allocations, n)
    sweep_claims(sweep, n)
    sweep.end()


@pytest.fixture
def shared(start, server, allocations):  # noqa: F811
    """A daemon whose jobs are in a PostgreSQL server."""
    server.query("DROP SCHEMA IF EXISTS softdiff CASCADE")
    return start(*FLAGS, "--job-store", server.url, "--job-lease", "2s", models=("faces", "blurred"),
                 env=dict(os.environ) | allocations.environment)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_with_a_server_of_jobs(shared, allocations):
    sweep = Sweep(shared, allocations, 40)
    run_jobs(sweep)
    sweep.end()


class Starts:
    """Starts of a daemon, of which an allocation fails, with the jobs that one left that was killed."""

    def __init__(self, guarded, allocations, state):  # noqa: F811
        self.guarded, self.allocations, self.state = guarded, allocations, state
        self.template = state.parent / "template"
        daemon = guarded.daemon
        self.command = [str(word) for word in daemon.process.args]
        self.jobs = [guarded.daemon.post(body, path="/v1/jobs", **ALICE).json()["id"]
                     for body in ({"n": 2, "nfe": 3}, {"n": 40, "nfe": 10}, {"n": 3, "nfe": 3, "model": "blurred"})]  # fmt: skip
        again = restoration(png(), degradation="blur", std=1, model="blurred", n=2, Prefer="respond-async")
        self.jobs.append(again.send(daemon, ALICE).json()["id"])
        kill(daemon)
        assert set(rows(state)) == set(self.jobs)
        shutil.copytree(state, self.template)

    def reset(self):
        shutil.rmtree(self.state)
        shutil.copytree(self.template, self.state)

    def run(self, at, more=0):
        """None, or what is wrong: it serves and does its jobs, or says why it does not."""
        log = self.state.parent / "log"
        with log.open("w") as file, self.allocations.failing(at, more):
            process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=file,
                                       env=dict(os.environ) | self.allocations.environment)  # fmt: skip
            wait_until(lambda: "event=ready" in log.read_text() or process.poll() is not None, "a start")
            self.allocations.seen = self.allocations.n_calls
            try:
                fault = self.look(process, log) if process.poll() is None else None
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE_S)
        text = log.read_text()
        said = "event=load_failed" in text or "\nsoftdiffd: " in text
        if "event=ready" not in text and not (status == 1 and said) and not self.is_of_a_library(status):
            fault = fault or f"it ends with {status}"
        if "event=ready" in text and status != 0:
            fault = fault or f"after all it ends with {status}"
        if "ERROR: " in text or "runtime error" in text:
            fault = "a sanitizer's report"
        if set(rows(self.state)) != set(self.jobs):
            fault = "a job is lost"
        return fault and f"{fault}: {text[-2000:]}"

    def is_of_a_library(self, status):
        """oneDNN writes into objects that it has not got, GnuTLS into certificates."""
        first = self.allocations.where().split("\n")[0]
        return status in (-signal.SIGSEGV, -signal.SIGABRT) and ("libdnnl" in first or "libgnutls" in first)

    def look(self, process, log):
        """One that serves draws what was taken on."""
        address = next(line.split("address=")[1].strip() for line in log.read_text().splitlines()
                       if "listener=public" in line)  # fmt: skip
        url = address_of(address)

        def ended():
            if process.poll() is not None:
                return True
            with contextlib.suppress(requests.ConnectionError):
                answers = [requests.get(f"{url}/v1/jobs/{id}", headers=ALICE, timeout=60) for id in self.jobs]
                return all(answer.status_code == 200 and answer.json()["status"] == "completed" for answer in answers)

        try:
            wait_until(ended, "the jobs")
        except AssertionError:
            return "a job is not drawn"


def address_of(address):
    return "https://localhost:" + address.rpartition(":")[2]


@pytest.fixture
def starts(start, allocations, tmp_path, state, monkeypatch):  # noqa: F811
    guarded = Guarded(lambda *flags, **options: start("--state-dir", state, *flags, **options), allocations, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(guarded.root))
    return Starts(guarded, allocations, state)


def sweep_starts(starts, n, more=0):
    starts.reset()
    assert starts.run(EVERYTHING) is None
    total, faults = starts.allocations.seen, []
    for i in range(n):
        starts.reset()
        at = 1 + (2 * i + 1) * total // (2 * n)
        if fault := starts.run(at, more):
            faults.append(f"allocation {at}: {fault}\n{named(starts.allocations.where())}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("more", [0, 3])
def test_starts(starts, allocations, more):
    allocations.spare("/libdnnl." if more else "")  # only the first that fails is known
    sweep_starts(starts, 25, more)
