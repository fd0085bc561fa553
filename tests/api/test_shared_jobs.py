"""Jobs that several daemons share in one PostgreSQL server: any of them answers for all, and each is drawn once."""
import concurrent.futures
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import time

import postgres
import pytest
import requests
from softdiffd import wait_until
from test_durable_jobs import ADDED_COLUMNS, kill
from test_jobs import begin, cancel, held, image, look, wait_for, watch
from test_restorations import picture, png, text  # noqa: F401
from test_webhooks import receiver, secrets, tell, verified, wait_for_state  # noqa: F401

FLAGS = ("--slots", "2", "--max-nfe", "10000", "--keep-results", "16MiB")
SOON = ("--job-lease", "2s")


@pytest.fixture(scope="module")
def server(program):
    if b"built without PostgreSQL" in pathlib.Path(program("softdiffd")).read_bytes():
        pytest.skip("built without PostgreSQL")
    server = postgres.Server()
    yield server
    server.close()


@pytest.fixture
def run(start, server):
    """Starts daemons, the first with empty tables."""
    server.query("DROP SCHEMA IF EXISTS softdiff CASCADE")

    def start_with_server(*flags, **options):
        return start(*FLAGS, "--job-store", server.url, *flags, **options)

    return start_with_server


def metric(daemon, name):
    text = requests.get(daemon.admin + "/metrics", timeout=60).text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def test_any_of_them_answers(run):
    """What one took on another tells, shows, watches and cancels; images are those of one that is asked alone."""
    first, second = run(), run()
    want = first.pngs(seed=3, n=20, nfe=20)
    job = begin(first, {"seed": 3, "n": 20, "nfe": 20}, Idempotency_Key="k")
    assert job["durable"] is True
    assert begin(second, {"seed": 3, "n": 20, "nfe": 20}, Idempotency_Key="k")["id"] == job["id"]
    assert second.post({"n": 1}, path="/v1/jobs", Idempotency_Key="k").status_code == 422
    assert watch(second, job)[-1][0] == "completed"
    for daemon in (first, second):  # the news may come to one before the store's answer to the other
        wait_for(daemon, job, "completed")
        assert look(daemon, job)["images_done"] == 20 and look(daemon, job)["created"] == job["created"]
        answers = [image(daemon, job, i) for i in range(20)]
        assert [answer.content for answer in answers] == want and not answers[0].history
        assert image(daemon, job, 20).status_code == 404
    assert cancel(second, job).status_code == 409
    # One that is drawn by the first ends as the second is told.
    job = begin(first, {"n": 1000, "nfe": 1000})
    first.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    wait_for(second, job, "in_progress")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stream = pool.submit(watch, first, job)
        assert cancel(second, job).json()["status"] == "cancelled"
        assert stream.result()[-1][0] == "cancelled"
    first.wait_for_queue(lambda q: q["slots_busy"] == 0 and not q["requests"], "free lanes")
    assert look(first, job)["status"] == "cancelled"


def test_tables_of_an_earlier_version(run, server):
    first = run()
    job = wait_for(first, begin(first, {"n": 1, "nfe": 2}), "completed")
    first.stop()
    server.query("DROP TABLE softdiff.sources")
    for name in set(ADDED_COLUMNS) - {"owner"}:
        server.query(f"ALTER TABLE softdiff.jobs DROP COLUMN {name}")
    second = run()
    assert look(second, job)["seed"] == job["seed"]
    wait_for(second, begin(second, {"n": 1, "nfe": 2, "seed_b": 3}), "completed")


@pytest.mark.slow
def test_what_one_restores_another_goes_on_with(run, picture):
    flags = {"models": ("faces", "blurred")}
    first = run(*SOON, **flags)
    body = {"image": text(png(picture)), "degradation": "blur", "std": 1, "model": "blurred", "seed": 1, "nfe": 60, "n": 40}
    job = first.post(body, path="/v1/restorations", Prefer="respond-async").json()
    wait_until(lambda: look(first, job)["images_done"] > 0, "a piece")
    second = run(*SOON, "--response-cache", "0", **flags)
    kill(first)
    assert wait_for(second, job, "completed")["restoration"] == job["restoration"]
    for i in (0, 39):
        alone = second.post(body | {"seed": 1 + i, "n": 1}, path="/v1/restorations", accept="image/png")
        assert image(second, job, i).content == alone.content


def test_each_end_is_told_once(run, receiver, secrets):
    """Whoever finds it due tells it, and no other."""
    flags = ("--webhook-allow", receiver.url, "--webhook-secrets", secrets)
    daemons = [run(*flags) for _ in range(2)]
    jobs = [tell(daemons[i % 2], receiver, str(i)) for i in range(12)]
    for job in jobs:
        wait_for_state(daemons[0], job, "delivered")
    assert sorted(request.path for request in receiver.came) == sorted(f"/hook/{i}" for i in range(12))
    assert {request.headers["webhook-id"] for request in receiver.came} == {f"msg_{job['id']}" for job in jobs}


@pytest.mark.slow
def test_what_a_dead_one_was_telling_another_tells(run, receiver, secrets):
    flags = ("--webhook-allow", receiver.url, "--webhook-secrets", secrets)
    first = run(*flags)
    job = tell(first, receiver, "hang")
    wait_until(lambda: receiver.came, "the first try")
    second = run(*flags)
    kill(first)
    receiver.released.set()
    assert wait_for_state(second, job, "delivered")["webhook"]["tries"] == 2
    before, after = receiver.came
    assert before.body == after.body and verified(after)["data"]["id"] == job["id"]


def test_they_share_the_work(run, server):
    daemons = [run() for _ in range(2)]
    with held(daemons[0]), held(daemons[1]):
        jobs = [begin(daemons[0], {"seed": 100 * i, "n": 100, "nfe": 6}) for i in range(8)]
        for daemon in daemons:
            wait_until(lambda: metric(daemon, "softdiff_jobs_held") > 0, "its part")
    for job in jobs:
        wait_for(daemons[1], job, "completed")
    for daemon in daemons:  # each draws its part of it
        daemon.wait_for_log("event=job ")
    assert server.query("SELECT state, count(*) FROM jobs GROUP BY state") == [["2", "8"]]
    assert server.query("SELECT count(*) FROM pictures") == [["800"]]


def test_what_a_dead_one_drew_is_taken_up(run):
    first = run(*SOON)
    job = begin(first, {"seed": 1, "n": 48, "nfe": 100})
    wait_until(lambda: look(first, job)["images_done"] > 0, "a piece")
    second = run(*SOON)
    kill(first)
    ended = wait_for(second, job, "completed")
    assert ended["images_done"] == 48
    assert [image(second, job, i).content for i in (0, 20, 47)] == [
        second.png(seed=1 + i, nfe=100) for i in (0, 20, 47)
    ]


def test_a_key_counts_where_its_job_is_drawn(run, tmp_path):
    path = tmp_path / "keys"
    path.write_text("".join(f"{name} {hashlib.sha256(name.encode()).hexdigest()} concurrent=1\n" for name in "ab"))
    first, second = run("--api-key-file", path), run("--api-key-file", path)

    def call(method, daemon, path, key, **body):
        headers = {"Authorization": f"Bearer {key}"}
        return requests.request(method, daemon.url + path, json=body or None, headers=headers, timeout=60)

    hers = call("POST", first, "/v1/jobs", "a", n=1000, nfe=3000).json()
    his = call("POST", first, "/v1/jobs", "b", n=1000, nfe=3000).json()  # the first has enough to do
    wait_until(lambda: sum(metric(daemon, "softdiff_jobs_held") for daemon in (first, second)) == 2, "both jobs")
    assert call("POST", first, "/v1/samples", "a", nfe=1).status_code == 429
    for daemon in (first, second):  # most often it is the second
        counts = metric(daemon, "softdiff_jobs_held") == (2 if daemon is first else 1)
        assert call("POST", daemon, "/v1/samples", "b", nfe=1).status_code == (429 if counts else 200)
    assert call("DELETE", second, f"/v1/jobs/{hers['id']}", "b").status_code == 404
    for job, key in ((hers, "a"), (his, "b")):
        assert call("DELETE", first, f"/v1/jobs/{job['id']}", key).status_code == 200
    for daemon in (first, second):
        wait_until(lambda: metric(daemon, "softdiff_jobs_held") == 0, "nothing to draw")
        for key in "ab":
            assert call("POST", daemon, "/v1/samples", key, nfe=1).status_code == 200


@pytest.mark.slow
def test_one_that_ends_leaves_its_jobs_to_others(run):
    first, second = run(), run()
    job = begin(first, {"n": 100, "nfe": 300})
    wait_until(lambda: look(first, job)["images_done"] > 0, "a piece")
    first.stop()
    wait_until(lambda: metric(second, "softdiff_jobs_held") == 1, "the job")
    assert look(second, job)["images_done"] > 0
    cancel(second, job)


@pytest.mark.slow
def test_one_that_hung_finds_its_job_taken(run):
    """It goes on as if nothing had happened, and its word counts no more."""
    first, second = run(*SOON), run(*SOON)
    job = begin(first, {"seed": 5, "n": 60, "nfe": 100})
    first.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    first.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: metric(second, "softdiff_jobs_held") == 1, "the job")
    finally:
        first.signal(signal.SIGCONT)
    assert wait_for(first, job, "completed")["images_done"] == 60
    assert metric(first, "softdiff_job_leases_lost_total") >= 1
    assert sum("event=job " in line for daemon in (first, second) for line in daemon.log) == 1
    assert image(first, job, 59).content == second.png(seed=64, nfe=100)


def test_without_the_server(run, server):
    """Jobs wait, new ones are refused, and all else is as before."""
    daemon = run()
    job = begin(daemon, {"seed": 1, "n": 24, "nfe": 300})
    done = begin(daemon, {"n": 1, "nfe": 1})
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 2 or look(daemon, job)["status"] == "completed", "work")
    server.kill()
    answer = daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs")
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    answer = daemon.get(f"/v1/jobs/{32 * '0'}")
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    assert daemon.png(seed=1, nfe=3) and metric(daemon, "softdiff_job_store_up") == 0
    assert requests.get(daemon.admin + "/readyz", timeout=60).status_code == 200
    server.start()
    assert wait_for(daemon, job, "completed")["images_done"] == 24
    wait_for(daemon, done, "completed")
    assert image(daemon, job, 23).content == daemon.png(seed=24, nfe=300)
    assert metric(daemon, "softdiff_job_store_up") == 1 and metric(daemon, "softdiff_job_store_errors_total") > 0


@pytest.mark.slow
def test_a_server_that_comes_late_or_not_at_all(start, program, checkpoints, server):
    """A daemon starts without it, and ends without it."""
    def check():
        command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                   "--model", f"faces={checkpoints['faces']}", "--job-store", server.url, "--check"]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    server.kill()
    done = check()
    assert done.returncode == 1 and "cannot be reached" in done.stderr
    daemon = start(*FLAGS, "--job-store", server.url)
    assert daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code == 503
    daemon.stop()
    daemon = start(*FLAGS, "--job-store", server.url)
    server.start()
    wait_until(lambda: daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code == 202, "the server")
    done = check()
    assert done.returncode == 0 and f"jobs: {server.url}" in done.stdout


@pytest.mark.slow
def test_a_server_that_hangs(run, server):
    """Nobody waits for it but who asks for jobs, and they not for ever."""
    daemon = run()
    job = begin(daemon, {"n": 1000, "nfe": 1000})
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    server.signal(signal.SIGSTOP)
    try:
        assert daemon.png(seed=1, nfe=3)
        begun = time.monotonic()
        assert daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code == 503
        assert time.monotonic() - begun < 15
        assert requests.get(daemon.admin + "/livez", timeout=5).status_code == 200
    finally:
        server.signal(signal.SIGCONT)
    wait_until(lambda: daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code == 202, "the server")
    assert cancel(daemon, job).json()["status"] == "cancelled"


@pytest.mark.slow
def test_a_password(start, tmp_path):
    """From the environment or a file of its owner's alone, never in the list of processes."""
    server = postgres.Server()
    try:
        server.query("ALTER ROLE softdiff PASSWORD 'secret'")
        (server.data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        server.run("pg_ctl", "-D", server.data, "reload")
        path = tmp_path / "passwords"
        path.write_text("*:*:*:softdiff:secret\n")
        path.chmod(0o600)
        for more, status in (({}, 503), ({"PGPASSWORD": "secret"}, 202), ({"PGPASSFILE": str(path)}, 202)):
            daemon = start(*FLAGS, "--job-store", server.url, env=os.environ | more)
            assert daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code == status
            assert "secret" not in pathlib.Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
            assert not any("secret" in line for line in daemon.log)
            daemon.stop()
    finally:
        server.close()


@pytest.mark.slow
def test_a_job_that_nobody_serves(start, server, run):
    """It fails after forty leases in which no daemon said that it has the model."""
    first = run("--job-lease", "1s", models=("faces", "blurred"))
    job = begin(first, {"n": 1000, "nfe": 2000, "model": "blurred"})
    first.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    kill(first)
    begun = time.monotonic()
    second = run("--job-lease", "1s")
    ended = wait_for(second, job, "failed")
    assert "no daemon serves" in ended["error"]["detail"] and time.monotonic() - begun > 35
