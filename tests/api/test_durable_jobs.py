"""Jobs on disk: what was taken on is done once, whatever happens to the daemon."""
import contextlib
import io
import os
import random
import signal
import sqlite3
import subprocess
import time
import zipfile

import pytest
import requests
from softdiffd import wait_until
from test_jobs import begin, cancel, image, look, wait_for, watch

FLAGS = ("--slots", "2", "--max-nfe", "10000")
# That the first version had not.
ADDED_COLUMNS = ("owner", "holder", "picture_bytes", "lease_ms", "restoration", "seed_b", "mix", "source_bytes",
                 "webhook", "webhook_ms", "webhook_tries", "webhook_status", "label", "guidance")


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def run(start, state):
    def start_with_state(*flags, **options):
        return start(*FLAGS, "--state-dir", state, *flags, **options)

    return start_with_state


def kill(daemon):
    daemon.signal(signal.SIGKILL)
    daemon.process.wait(60)


def rows(state):
    with sqlite3.connect(f"file:{state}/jobs.sqlite?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT id, state FROM jobs"))


@pytest.mark.sanitizers
def test_a_restart(run):
    """SIGTERM in the middle: the job goes on, and its images are those of one that was not stopped."""
    daemon = run("--drain-timeout", "60s")
    want = daemon.pngs(seed=3, n=40, nfe=200)
    done = begin(daemon, {"seed": 5, "n": 2, "nfe": 3})
    assert done["durable"] is True
    wait_for(daemon, done, "completed")
    gone = begin(daemon, {"seed": 6, "n": 1000, "nfe": 3000})
    assert cancel(daemon, gone).json()["status"] == "cancelled"
    job = begin(daemon, {"seed": 3, "n": 40, "nfe": 200})
    wait_until(lambda: look(daemon, job)["images_done"] > 0, "a piece")
    daemon.stop()
    daemon = run()
    assert look(daemon, done)["status"] == "completed"
    assert look(daemon, gone)["status"] == "cancelled"
    assert watch(daemon, job)[-1][0] == "completed"
    ended = look(daemon, job)
    assert ended["images_done"] == 40 and ended["created"] == job["created"]
    assert [image(daemon, job, i).content for i in range(40)] == want
    assert image(daemon, done, 1).content == daemon.png(seed=6, nfe=3)


@pytest.mark.parametrize("times", [20, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_kill(run, state, times):
    """kill -9 as soon as a job is taken on, and at random moments later: none is lost, none ends twice."""
    chance = random.Random(1)
    jobs, ends = {}, {}

    def check(daemon, ids):
        for id in ids:
            status = look(daemon, {"id": id})["status"]
            assert id not in ends or ends[id] == status, "an end that was told has changed"
            if status in ("completed", "cancelled", "failed"):
                ends[id] = status

    def open_ones():
        return [id for id in jobs if id not in ends]

    for i in range(times):
        daemon = run("--keep-jobs", "60m", "--max-jobs", "1000")  # room for all, if it draws none
        check(daemon, chance.sample(list(jobs), min(len(jobs), 8)) + open_ones()[:8])
        for _ in range(2):
            job = begin(daemon, {"seed": len(jobs), "n": chance.randint(1, 40), "nfe": 10})
            jobs[job["id"]] = job
        if i == 0:  # one at least that does not end before it is cancelled
            job = begin(daemon, {"seed": 0, "n": 10000, "nfe": 10000})
            jobs[job["id"]] = job
            assert cancel(daemon, job).status_code == 200
        victim = chance.choice(list(jobs))
        answer = cancel(daemon, {"id": victim})
        assert answer.status_code in (200, 409)
        time.sleep(chance.random() * 0.2)
        check(daemon, open_ones()[:8])
        kill(daemon)
    daemon = run("--keep-jobs", "60m")
    for job in jobs.values():
        wait_for(daemon, job, "completed", "cancelled")
    check(daemon, jobs)
    for id, job in chance.sample(list(jobs.items()), 20):
        last = job["n"] - 1
        if ends[id] == "completed":
            assert image(daemon, job, last).content == daemon.png(seed=job["seed"] + last, nfe=10)
    daemon.stop()
    assert set(rows(state)) == set(jobs) and set(rows(state).values()) <= {2, 4}
    assert len(set(ends.values())) == 2


@pytest.mark.sanitizers
def test_keys_are_kept(run):
    daemon = run()
    job = begin(daemon, {"n": 1, "nfe": 2}, Idempotency_Key="k")
    kill(daemon)
    daemon = run()
    assert begin(daemon, {"n": 1, "nfe": 2}, Idempotency_Key="k")["id"] == job["id"]
    answer = daemon.post({"n": 2, "nfe": 2}, path="/v1/jobs", Idempotency_Key="k")
    assert answer.status_code == 422


def test_a_file_of_an_earlier_version(run, state):
    daemon = run()
    job = wait_for(daemon, begin(daemon, {"n": 1, "nfe": 2}), "completed")
    daemon.stop()
    with contextlib.closing(sqlite3.connect(state / "jobs.sqlite")) as db:
        db.execute("DROP INDEX jobs_key")
        db.execute("DROP INDEX jobs_webhook")
        db.execute("DROP TABLE sources")
        for name in ADDED_COLUMNS:
            db.execute(f"ALTER TABLE jobs DROP COLUMN {name}")
    daemon = run()
    assert look(daemon, job) == job
    wait_for(daemon, begin(daemon, {"n": 1, "nfe": 2}), "completed")


@pytest.mark.sanitizers
def test_a_model_that_is_gone(start, state):
    daemon = start(*FLAGS, "--state-dir", state, models=("faces", "blurred"))
    job = begin(daemon, {"n": 1000, "nfe": 2000, "model": "blurred"})
    kill(daemon)
    daemon = start(*FLAGS, "--state-dir", state, models=("faces",))
    ended = wait_for(daemon, job, "failed")
    assert "not served" in ended["error"]["detail"]
    daemon.stop()
    daemon = start(*FLAGS, "--state-dir", state, models=("faces", "blurred"))
    assert look(daemon, job)["status"] == "failed"


@pytest.mark.sanitizers
def test_other_arithmetic_begins_anew(run):
    """One set of bytes: a job that was half drawn by another device is drawn whole by this one."""
    daemon = run("--precision", "fp32")
    job = begin(daemon, {"seed": 1, "n": 10000, "nfe": 100})
    wait_until(lambda: look(daemon, job)["images_done"] > 0, "a piece")
    kill(daemon)
    daemon = run("--precision", "bf16")
    wait_until(lambda: look(daemon, job)["determinism"] != job["determinism"], "a new beginning")
    wait_until(lambda: look(daemon, job)["images_done"] > 20, "two pieces")
    assert [image(daemon, job, i).content for i in (0, 20)] == [
        daemon.png(seed=1, nfe=100), daemon.png(seed=21, nfe=100)
    ]  # fmt: skip
    assert cancel(daemon, job).status_code == 200


def test_ended_jobs_are_known_for_a_time(run):
    """Then they are told to be gone, and their key is free, also after a restart."""
    daemon = run("--keep-jobs", "1s", "--keep-results", "1MiB")
    body = {"n": 2, "nfe": 2}
    job = begin(daemon, body, Idempotency_Key="k")
    goes_on = begin(daemon, {"n": 10000, "nfe": 3000})
    path = f"/v1/jobs/{job['id']}"
    wait_until(lambda: daemon.get(path).status_code == 410, "its end")
    for _ in range(2):
        for address in (path, path + "/images/0.png", path + "/events", path + "/images.zip"):
            assert daemon.get(address).status_code == 410
        assert look(daemon, goes_on)["status"] in ("queued", "in_progress")
        kill(daemon)
        daemon = run("--keep-jobs", "60s")
    again = begin(daemon, body, Idempotency_Key="k")
    assert again["id"] != job["id"]
    wait_for(daemon, again, "completed")
    assert cancel(daemon, goes_on).status_code == 200


@pytest.mark.sanitizers
def test_kept_images(run, state):
    """They are those that were drawn, whatever draws now; where there is no room, those of the oldest job go."""
    flags = ("--precision", "fp32", "--response-cache", "0")
    daemon = run(*flags, "--keep-results", "1MiB")
    body = {"seed": 1, "n": 40, "nfe": 3}
    job = wait_for(daemon, begin(daemon, body), "completed")
    want = daemon.pngs(**body)
    answer = image(daemon, job, 39)
    assert answer.content == want[39] and not answer.history and answer.headers["Content-Type"] == "image/png"
    before = daemon.queue()["evaluations"]
    assert [image(daemon, job, i).content for i in range(40)] == want
    assert daemon.queue()["evaluations"] == before
    daemon.stop()
    daemon = run("--precision", "bf16", "--response-cache", "0", "--keep-results", "1MiB")
    assert daemon.pngs(**body) != want
    assert [image(daemon, job, i).content for i in range(40)] == want
    with zipfile.ZipFile(io.BytesIO(daemon.get(job["archive"]).content)) as file:
        assert [file.read(name) for name in file.namelist()] == want
    daemon.stop()
    room = sum(map(len, want)) + 1000  # for one of them
    daemon = run(*flags, "--keep-results", str(room))
    second = wait_for(daemon, begin(daemon, body | {"seed": 100}), "completed")
    assert not image(daemon, second, 39).history
    answer = image(daemon, job, 39)
    assert answer.history[0].status_code == 303 and answer.content == want[39]
    large = wait_for(daemon, begin(daemon, body | {"n": 100}), "completed")
    assert image(daemon, large, 50).content == daemon.png(seed=51, nfe=3)
    daemon.stop()
    with sqlite3.connect(state / "jobs.sqlite") as db:
        assert db.execute("SELECT coalesce(sum(length(png)), 0) FROM pictures").fetchone()[0] <= room


@pytest.mark.sanitizers
@pytest.mark.parametrize("lost", [0, 2])
def test_an_archive_without_one_of_its_images(run, state, lost):
    """The store lost it and nobody can draw it again: the file is cut, so that none takes it for whole."""
    flags = ("--response-cache", "0", "--keep-results", "1MiB")
    daemon = run(*flags)
    body = {"seed": 1, "n": 4, "nfe": 3}
    job, want = wait_for(daemon, begin(daemon, body), "completed"), daemon.pngs(**body)
    daemon.stop()
    with contextlib.closing(sqlite3.connect(state / "jobs.sqlite")) as db:
        assert db.execute("DELETE FROM pictures WHERE job = ? AND i = ?", (job["id"], lost)).rowcount == 1
        db.commit()
    daemon = run(*flags, models=("blurred",))
    for _ in range(2):
        with requests.get(daemon.url + job["archive"], stream=True, timeout=60) as answer:
            assert answer.status_code == 200
            got = b""
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                for piece in answer.iter_content(None):
                    got += piece
        assert [png in got for png in want] == [i < lost for i in range(4)]
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(got))
    assert [image(daemon, job, i).status_code for i in range(4)] == [404 if i == lost else 200 for i in range(4)]
    daemon.wait_for_queue(lambda q: not q["requests"], "nothing is drawn")
    daemon.stop()
    daemon = run(*flags)  # whose model draws it
    with zipfile.ZipFile(io.BytesIO(daemon.get(job["archive"]).content)) as file:
        assert [file.read(name) for name in file.namelist()] == want


def test_folders_that_cannot_be(run, start, state, tmp_path):
    """Another daemon's, one that is not there, and one with something else in it: said at the start."""
    first = run()

    def refused(folder):
        command = [*first.process.args[:1], "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                   "--model", first.process.args[first.process.args.index("--model") + 1],
                   "--state-dir", folder]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        return done.stderr

    assert "another daemon uses" in refused(state)
    assert "could not open" in refused(tmp_path / "nothing")
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 1000)
    assert "not a database" in refused(tmp_path)
    begin(first, {"n": 1, "nfe": 1})


@pytest.fixture
def disk(tmp_path):
    """A folder in which there is little room, and that can be filled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk]).returncode != 0:
        pytest.skip("may not mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk])


def fill(disk, left=8192):
    stat = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(0, stat.f_bavail * stat.f_bsize - left)))


def test_a_full_disk(start, disk):
    """What cannot be written is not taken on; what can be again is."""
    daemon = start(*FLAGS, "--state-dir", disk)
    fill(disk)
    statuses = [daemon.post({"n": 1, "nfe": 1}, path="/v1/jobs").status_code for _ in range(40)]
    assert 503 in statuses and set(statuses) <= {202, 503}
    assert daemon.post({"n": 1, "nfe": 1}).status_code == 200
    (disk / "filler").unlink()
    wait_for(daemon, begin(daemon, {"n": 1, "nfe": 1}), "completed")
    assert requests.get(daemon.admin + "/livez").status_code == 200
    daemon.stop()


def test_a_disk_that_is_full_at_the_start(start, disk):
    """Jobs that were taken on wait for room, and are drawn when there is some."""
    daemon = start(*FLAGS, "--state-dir", disk, "--drain-timeout", "0s")
    job = begin(daemon, {"n": 1000, "nfe": 1000})
    wait_for(daemon, job, "in_progress")
    daemon.stop()  # its file is as short as can be
    fill(disk, left=0)
    daemon = start(*FLAGS, "--state-dir", disk)
    wait_until(lambda: sum("event=job_store error=" in line for line in daemon.log) > 2, "some tries")
    assert daemon.queue()["evaluations"] == 0 and look(daemon, job)["status"] == "in_progress"
    (disk / "filler").unlink()
    daemon.wait_for_queue(lambda queue: queue["evaluations"] > 0, "its images")
    assert cancel(daemon, job).json()["status"] == "cancelled"
    assert not any("event=job_lost" in line for line in daemon.log)
