"""Jobs: many images that nobody waits for, their states, events, and what they leave to others."""
import base64
import concurrent.futures
import contextlib
import io
import statistics
import subprocess
import zipfile

import pytest
import requests
from softdiffd import wait_until
from test_events import parse

pytestmark = pytest.mark.sanitizers
# However fast the machine is, it goes on until it is cancelled.
ENDLESS = {"n": 10000, "nfe": 10000}


@pytest.fixture
def small(start):
    return start("--slots", "2", "--max-nfe", "10000", "--max-queue", "30")


@contextlib.contextmanager
def held(daemon):
    """Others, who wait for their images, have all lanes: no job is drawn until they go."""
    with daemon.connect_and_send({"nfe": 10000, "n": 12}):
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 2, "their work")
        yield


def begin(daemon, body, **headers):
    answer = daemon.post(body, path="/v1/jobs", **headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def look(daemon, job):
    answer = daemon.get(f"/v1/jobs/{job['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait_for(daemon, job, *states):
    return wait_until(lambda: (now := look(daemon, job))["status"] in states and now, states)


def cancel(daemon, job):
    return requests.delete(f"{daemon.url}/v1/jobs/{job['id']}", timeout=60)


def image(daemon, job, i):
    return daemon.get(job["images"].replace("{index}", str(i)))


def listen(daemon, job, query="", **headers):
    """Returns when the daemon has begun to answer."""
    answer = requests.get(
        f"{daemon.url}/v1/jobs/{job['id']}/events{query}", headers=headers, stream=True, timeout=60
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    return answer.iter_lines(decode_unicode=True)


def watch(daemon, job, query="", **headers):
    return list(parse(listen(daemon, job, query, **headers)))


def idle(queue):
    return queue["slots_busy"] == 0 and not queue["requests"]


def test_from_acceptance_to_images(daemon):
    answer = daemon.post({"seed": 7, "n": 50, "nfe": 4, "model": "blurred"}, path="/v1/jobs")
    assert answer.status_code == 202 and int(answer.headers["Retry-After"]) >= 1
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert job["status"] in ("queued", "in_progress") and job["durable"] is False
    assert job["n"] == 50 and job["steps"] == 200 and job["seed"] == 7 and job["nfe"] == 4
    ended = wait_for(daemon, job, "completed")
    assert ended["images_done"] == 50 and ended["step"] == 200 and "error" not in ended
    # The same bytes as one by one, from the cache.
    before = daemon.queue()["evaluations"]
    got = [image(daemon, job, i) for i in range(50)]
    assert daemon.queue()["evaluations"] == before
    assert [answer.status_code for answer in got] == [200] * 50
    assert got[0].history[0].status_code == 303 and "immutable" in got[0].headers["Cache-Control"]
    want = daemon.pngs(seed=7, n=50, nfe=4, model="blurred")
    assert [answer.content for answer in got] == want
    assert image(daemon, job, 50).status_code == 404


def test_images_while_it_goes_on(small):
    job = begin(small, {"seed": 1, "n": 10000, "nfe": 50})
    now = wait_until(lambda: (now := look(small, job))["images_done"] > 0 and now, "a piece")
    assert now["status"] == "in_progress" and 0 < now["step"] < 500000 and now["eta_ms"] >= 0
    late = image(small, job, 9999)
    assert late.status_code == 503 and int(late.headers["Retry-After"]) >= 1
    assert image(small, job, 0).content == small.png(seed=1, nfe=50)
    assert cancel(small, job).json()["status"] == "cancelled"
    assert image(small, job, 9999).status_code == 404


def test_a_seed_for_all(daemon):
    job = begin(daemon, {"n": 3, "nfe": 2})
    wait_for(daemon, job, "completed")
    assert image(daemon, job, 2).content == daemon.png(seed=job["seed"] + 2, nfe=2)
    last = begin(daemon, {"seed": str(2**64 - 1), "n": 20, "nfe": 2})
    wait_for(daemon, last, "completed")
    assert image(daemon, last, 19).content == daemon.png(seed=18, nfe=2)


def test_cancel(small):
    """Its lanes are free at once, others go on, and it stays what it is."""
    jobs = [begin(small, ENDLESS | {"seed": i}) for i in range(3)]
    small.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    answer = cancel(small, jobs[0])
    assert answer.status_code == 200 and answer.json()["status"] == "cancelled"
    assert cancel(small, jobs[0]).status_code == 200  # once more changes nothing
    assert look(small, jobs[1])["status"] in ("queued", "in_progress")
    for job in jobs[1:]:
        assert cancel(small, job).status_code == 200
    small.wait_for_queue(idle, "free lanes")
    done = begin(small, {"n": 1, "nfe": 1})
    wait_for(small, done, "completed")
    answer = cancel(small, done)
    assert answer.status_code == 409 and "completed" in answer.json()["detail"]


def test_events(small):
    with held(small):
        job = begin(small, {"seed": 3, "n": 40, "nfe": 60})
        listeners = [listen(small, job) for _ in range(3)]
    streams = [list(parse(lines)) for lines in listeners]
    for stream in streams:
        names = [name for name, _, _ in stream]
        assert names[-1] == "completed" and set(names[:-1]) == {"progress"}
        steps = [data["step"] for _, _, data in stream]
        assert steps == sorted(steps) and steps[-1] == 2400
        assert [id for _, id, _ in stream] == steps
        assert stream[-1][2] == look(small, job)
    # Who comes late, or comes again, gets what is left to know.
    assert [name for name, _, _ in watch(small, job)] == ["completed"]
    assert [name for name, _, _ in watch(small, job, **{"Last-Event-ID": "5"})] == ["completed"]


def test_previews(small):
    """Who watches says whether, and how often; two who watch do not mind each other."""
    with held(small):
        job = begin(small, {"seed": 3, "n": 20, "nfe": 200})
        listeners = [listen(small, job, query) for query in ("?preview_every=10", "?preview_every=90", "")]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        often, seldom, never = pool.map(lambda lines: list(parse(lines)), listeners)
    assert {name for name, _, _ in never} == {"progress", "completed"}
    counts = []
    for stream, every in ((often, 10), (seldom, 90)):
        previews = [data for name, _, data in stream if name == "preview"]
        counts.append(len(previews))
        assert stream[-1][0] == "completed"
        last = {}
        for data in previews:
            assert 0 <= data["image"] < 20 and data["seed"] == 3 + data["image"]
            assert last.get(data["image"], 0) // every < data["nfe_done"] // every and data["nfe_done"] < 200
            last[data["image"]] = data["nfe_done"]
            for picture in ("png", "x"):
                assert base64.b64decode(data[picture]).startswith(b"\x89PNG")
        assert {n > 15 for n in last} == {True, False}  # of both pieces
    assert counts[0] > counts[1] > 0
    for query, status in (("?preview_every=0", 422), ("?preview_every=x", 422), ("?rain=1", 422)):
        assert small.get(f"/v1/jobs/{job['id']}/events{query}").status_code == status


def test_who_goes_amid_previews(start):
    """The pool writes nothing to a stream that has gone, nor to one of a job that has ended or a daemon that ends."""
    daemon = start("--slots", "4", "--max-nfe", "2000")
    job = begin(daemon, {"n": 10000, "nfe": 400})
    for _ in range(5):
        gone = daemon.connect()
        gone.sendall(f"GET /v1/jobs/{job['id']}/events?preview_every=1 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        while b"event: preview" not in gone.recv(65536):
            pass
        gone.close()
    lines = listen(daemon, job, "?preview_every=1")
    cancel(daemon, job)
    assert list(parse(lines))[-1][0] == "cancelled"


def test_events_of_a_cancelled_job(small):
    job = begin(small, ENDLESS)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stream = pool.submit(watch, small, job)
        small.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
        gone = small.connect()  # one who watches and goes ends nothing
        gone.sendall(f"GET /v1/jobs/{job['id']}/events HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert gone.recv(100).startswith(b"HTTP/1.1 200 ")
        gone.close()
        assert look(small, job)["status"] == "in_progress"
        cancel(small, job)
        assert stream.result()[-1][0] == "cancelled"


def test_idempotency_keys(daemon):
    body = {"n": 2, "nfe": 2}
    first = begin(daemon, body, Idempotency_Key="a b")
    assert begin(daemon, body, Idempotency_Key="a b")["id"] == first["id"]
    assert begin(daemon, body, Idempotency_Key="other")["id"] != first["id"]
    assert begin(daemon, body)["id"] != first["id"]
    answer = daemon.post(body | {"n": 3}, path="/v1/jobs", Idempotency_Key="a b")
    assert answer.status_code == 422 and "another body" in answer.json()["detail"]
    assert daemon.post(body, path="/v1/jobs", Idempotency_Key="x" * 129).status_code == 422
    wait_for(daemon, first, "completed")
    assert begin(daemon, body, Idempotency_Key="a b")["status"] == "completed"


def test_a_single_image_beside_a_large_job(start):
    """It joins at the next tick: with 16 lanes it costs 20 ticks, not the job's 200."""
    daemon = start("--slots", "16", "--max-nfe", "10000")
    job = begin(daemon, {"n": 10000, "nfe": 200})
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 16, "work")
    took = []
    for seed in range(10):
        before = daemon.queue()["evaluations"]
        daemon.png(seed=seed, nfe=20)
        took.append(daemon.queue()["evaluations"] - before)
    assert statistics.median(took) < 20000, took  # where a look halts there are more
    assert look(daemon, job)["status"] == "in_progress"
    cancel(daemon, job)


def test_jobs_leave_room(small):
    """Half of the queue stays for those who wait, however many jobs there are."""
    jobs = [begin(small, ENDLESS) for _ in range(10)]
    small.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    assert sum(row["n"] for row in small.queue()["requests"]) <= 16
    assert small.post({"n": 16, "nfe": 1}).status_code == 200
    assert {look(small, job)["status"] for job in jobs} == {"queued", "in_progress"}
    for job in jobs:
        cancel(small, job)


def test_all_of_many(small):
    jobs = [begin(small, {"seed": 100 * i, "n": 30, "nfe": 3}) for i in range(12)]
    for i, job in enumerate(jobs):
        wait_for(small, job, "completed")
        assert image(small, job, 29).content == small.png(seed=100 * i + 29, nfe=3)
    for count in ('softdiff_jobs{state="waiting"} 0', 'softdiff_jobs{state="ended"} 12', "softdiff_jobs_held 0"):
        wait_until(lambda: count in requests.get(small.admin + "/metrics").text.splitlines(), count)


def test_when_to_come_back(small):
    """By the speed so far, for what is not there yet."""
    job = begin(small, {"n": 10000, "nfe": 5000})
    wait_until(lambda: "eta_ms" in look(small, job), "the speed")
    last, archive = image(small, job, 9999), small.get(job["archive"])
    assert (last.status_code, archive.status_code) == (503, 503)
    assert 40 <= int(last.headers["Retry-After"]) <= 60 and 40 <= int(archive.headers["Retry-After"]) <= 60
    assert cancel(small, job).status_code == 200
    job = begin(small, {"n": 10000, "nfe": 40})
    wait_until(lambda: "eta_ms" in look(small, job), "the speed")
    soon = image(small, job, look(small, job)["images_done"] + 20)
    assert soon.status_code == 200 or int(soon.headers["Retry-After"]) < 40
    assert cancel(small, job).status_code == 200


def test_too_many(small):
    jobs = [begin(small, ENDLESS) for _ in range(64)]
    answer = small.post({"n": 1, "nfe": 1}, path="/v1/jobs")
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    for job in jobs:
        assert cancel(small, job).status_code == 200
    wait_for(small, begin(small, {"n": 1, "nfe": 1}), "completed")


@pytest.mark.parametrize(
    "body, status",
    [
        (b"{", 400),
        ({"n": 10001}, 422),
        ({"n": 0}, 422),
        ({"timeout_ms": 5}, 422),
        ({"model": "nobody"}, 404),
        ({"corruption": "mask"}, 422),
        ({"nfe": 201}, 422),
    ],
)
def test_bad_jobs(daemon, body, status):
    answer = daemon.post(body, path="/v1/jobs")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_what_is_not_there(daemon):
    for path in ("/v1/jobs/x", "/v1/jobs/" + "0" * 32, "/v1/jobs/x/events", "/v1/jobs/x/images/0.png"):
        assert daemon.get(path).status_code == 404
    assert requests.delete(daemon.url + "/v1/jobs/x").status_code == 404
    answer = requests.delete(daemon.url + "/v1/jobs")
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD, POST"
    job = begin(daemon, {"n": 1, "nfe": 1})
    answer = requests.put(f"{daemon.url}/v1/jobs/{job['id']}", data=b"")
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD, DELETE"
    assert daemon.post({}, path="/v1/jobs", Content_Type="text/plain").status_code == 415
    assert requests.head(f"{daemon.url}/v1/jobs/{job['id']}/events").status_code == 200


def test_the_end(start):
    """SIGTERM: what is drawn is drawn, the job says why it ended, and the daemon ends in time."""
    daemon = start("--slots", "2", "--max-nfe", "10000", "--drain-timeout", "60s")
    job = begin(daemon, {"n": 10000, "nfe": 300})
    lines = listen(daemon, job)
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 2, "work")
    daemon.signal()
    name, _, data = list(parse(lines))[-1]
    assert name == "failed" and data["error"]["status"] == 503
    assert "shutting down" in data["error"]["detail"]
    assert daemon.wait_for_exit() == 0


def test_a_list(start):
    daemon = start("--max-nfe", "10000")
    assert daemon.get("/v1/jobs").json() == {"jobs": [], "has_more": False}
    made = [begin(daemon, {"n": 1, "nfe": 1})["id"] for _ in range(25)][::-1]

    def page(query):
        answer = daemon.get("/v1/jobs" + query)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return [job["id"] for job in found["jobs"]], found["has_more"]

    assert page("") == (made[:20], True)
    assert page(f"?after={made[19]}") == (made[20:], False)
    assert page(f"?limit=3&after={made[0]}") == (made[1:4], True)
    assert page("?limit=100") == (made, False)
    assert page(f"?after={made[-1]}") == ([], False)
    last = wait_for(daemon, {"id": made[0]}, "completed")
    assert daemon.get("/v1/jobs?limit=1").json()["jobs"] == [last]
    for query, status in [("limit=0", 422), ("limit=101", 422), ("limit=x", 422), ("after=x", 422),
                          (f"after={'0' * 32}", 422), ("status=queued", 422), ("limit=%80", 400)]:  # fmt: skip
        assert daemon.get("/v1/jobs?" + query).status_code == status, query


def test_samples_that_are_not_waited_for_long(start):
    """Prefer: wait. The images where they are there in time, else a job that draws the same."""
    small = start("--slots", "2", "--max-nfe", "10000", "--max-queue", "30", models=("slow",))
    for prefer in ("wait=60", "respond-async, wait=60"):
        answer = small.post({"nfe": 2, "seed": 1}, Prefer=prefer)
        assert answer.status_code == 200 and answer.headers["Preference-Applied"] == "wait=60"
    body = {"n": 30, "nfe": 9000}
    answer = small.post(body, Prefer="wait=1", Idempotency_Key="later")
    assert answer.status_code == 202 and answer.headers["Preference-Applied"] == "wait=1"
    assert answer.elapsed.total_seconds() > 0.9
    job = answer.json()
    assert job["n"] == 30 and job["nfe"] == 9000 and answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert cancel(small, job).status_code == 200
    small.wait_for_queue(idle, "nothing else is drawn")
    # Who goes before has neither images nor a job.
    with small.connect_and_send(body, Prefer="wait=50"):
        small.wait_for_queue(lambda queue: queue["requests"], "its images")
    small.wait_for_queue(idle, "none")
    assert len(small.get("/v1/jobs").json()["jobs"]) == 1
    for prefer in ("wait=0", "respond-async, wait=0"):
        assert small.post(body, Prefer=prefer, Idempotency_Key="later").json()["id"] == job["id"]
    assert small.post({"nfe": 2}, Prefer="wait=soon").status_code == 200


def test_samples_that_nobody_waits_for(daemon):
    body = {"seed": 3, "n": 3, "nfe": 4}
    headers = {"Prefer": "respond-async", "Idempotency-Key": "for-samples"}
    answer = daemon.post(body, **headers)
    assert answer.status_code == 202 and answer.headers["Preference-Applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" and job["n"] == 3
    assert daemon.post(body, **headers).json()["id"] == job["id"]
    wait_for(daemon, job, "completed")
    assert [image(daemon, job, i).content for i in range(3)] == daemon.pngs(**body)


@pytest.mark.parametrize("body, accept", [
    ({"deadline_ms": 60000}, None), ({}, "image/png"), ({}, "text/event-stream"),
    ({"preview_every": 1}, "text/event-stream")])  # fmt: skip
def test_what_no_job_can_is_waited_for(daemon, body, accept):
    answer = daemon.post({"nfe": 2, **body}, accept=accept, Prefer="respond-async, wait=0")
    assert answer.status_code == 200 and "Preference-Applied" not in answer.headers


def test_a_refusal_applies_no_preference(daemon):
    key = {"Idempotency-Key": "for-another", "Prefer": "respond-async"}
    assert daemon.post({"nfe": 2}, **key).status_code == 202
    for body in ({"nfe": 3}, {"nfe": 0}):
        answer = daemon.post(body, **key)
        assert answer.status_code == 422 and "Preference-Applied" not in answer.headers


def archive(daemon, job):
    return requests.get(daemon.url + job["archive"], timeout=60)


def test_all_images_as_a_file(daemon, tmp_path):
    body = {"seed": 11, "n": 37, "nfe": 3, "model": "blurred"}
    job = wait_for(daemon, begin(daemon, body), "completed")
    answer = archive(daemon, job)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/zip"
    assert job["id"] in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert file.testzip() is None
        assert file.namelist() == [f"{i:05}.png" for i in range(37)]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in file.infolist())
        assert [file.read(name) for name in file.namelist()] == daemon.pngs(**body)
    (tmp_path / "all.zip").write_bytes(answer.content)
    subprocess.run(["unzip", "-tq", tmp_path / "all.zip"], check=True, timeout=60)
    head = requests.head(daemon.url + job["archive"], timeout=60)
    assert head.status_code == 200 and head.headers["Content-Type"] == "application/zip"


def test_a_file_of_images_that_are_drawn_again(start):
    """The cache has none: the same bytes all the same, and others are served meanwhile."""
    daemon = start("--response-cache", "0", "--slots", "4", "--max-queue", "20", "--max-images", "4")
    body = {"seed": 2**64 - 3, "n": 50, "nfe": 3}
    job = wait_for(daemon, begin(daemon, body), "completed")
    first, second = archive(daemon, job).content, archive(daemon, job).content
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as file:
        assert file.read("00049.png") == daemon.png(seed=46, nfe=3)
        assert file.read("00001.png") == daemon.png(seed=2**64 - 2, nfe=3)
        assert len(file.namelist()) == 50


def test_what_is_there_of_a_job_that_was_cancelled(small):
    job = begin(small, {"n": 10000, "nfe": 300})
    answer = archive(small, job)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    wait_until(lambda: look(small, job)["images_done"] > 0, "a piece")
    assert cancel(small, job).status_code == 200
    done = look(small, job)["images_done"]
    with zipfile.ZipFile(io.BytesIO(archive(small, job).content)) as file:
        assert len(file.namelist()) == done
    nothing = begin(small, ENDLESS)
    cancel(small, nothing)
    assert archive(small, nothing).status_code == 404
    assert small.get("/v1/jobs/" + 32 * "0" + "/images.zip").status_code == 404


def test_a_file_is_cut_where_the_daemon_ends(start):
    daemon = start("--slots", "2", "--response-cache", "0", "--max-nfe", "10000", "--drain-timeout", "0s")
    job = wait_for(daemon, begin(daemon, {"n": 4, "nfe": 3}), "completed")
    with held(daemon):
        answer = requests.get(daemon.url + job["archive"], stream=True, timeout=60)
        daemon.wait_for_queue(lambda queue: len(queue["requests"]) == 2, "its drawing")
        daemon.signal()
        daemon.wait_for_log("event=drain ")
    with pytest.raises(requests.exceptions.RequestException):
        assert answer.content  # never a part of it as if it were all
    assert daemon.wait_for_exit() == 0
