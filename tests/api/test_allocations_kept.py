"""Each allocation fails in turn in what keeps jobs: what was acknowledged is done (test_allocations.py)."""
import os
import time

import pytest
from failing_allocations import Allocations
from softdiffd import wait_until
from test_allocations import Request, Sweep
from test_shared_jobs import metric


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
