"""Each allocation of a request fails in turn, on every thread: the request is answered as if nothing had
been, with 503, or not at all; whoever asks next is answered as ever; what was acknowledged is done; and
nothing is left behind. tests/api/failing_allocations.c tells which allocations there are."""
import base64
import io
import json
import os
import re
import struct
import time
import zlib

import numpy
import pytest
import requests
from failing_allocations import EVERYTHING, Allocations, named
from PIL import Image, ImageCms
from softdiffd import wait_until

FLAGS = ("--slots", "2", "--max-queue", "32", "--keep-results", "1MiB", "--max-jobs", "5000",
         "--cors-origin", "https://a.example")  # fmt: skip
# Of answers, what is another every time.
VOLATILE = {"created", "created_at", "request_id", "id", "images", "archive", "eta_ms", "evaluations",
            "evaluations_per_s", "retry_after_s"}  # fmt: skip
ANSWER_S = 20
DRAWN = {"seed": 1, "nfe": 2}


class Request:
    """What is sent, and what of the answer is always the same."""

    def __init__(self, method, path, body=None, same=None, admin=False, **headers):
        self.method, self.path, self.admin = method, path, admin
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.body = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if self.body is not None:
            self.headers.setdefault("Content-Type", "application/json")
        self.same = same or (lambda answer: answer.content)

    def send(self, daemon, more_headers=()):
        """None: the connection was closed."""
        address = (daemon.admin if self.admin else daemon.url) + self.path
        headers = dict(more_headers) | self.headers
        try:
            return requests.request(self.method, address, data=self.body, headers=headers, timeout=ANSWER_S,
                                    allow_redirects=False)  # fmt: skip
        except requests.Timeout:
            raise
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return None


def lasting(value):
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in VOLATILE}
    return [lasting(item) for item in value] if isinstance(value, list) else value


def document(answer):
    return lasting(answer.json())


def names(answer):
    return set(re.findall(r"^softdiff_\w+", answer.text, re.MULTILINE))


def last_event(answer):
    """Others may be left out where there is no memory for them."""
    kind, data = re.findall(r"event: (\S+)\n(?:id: .*\n)?data: (.*)\n\n", answer.text)[-1]
    return kind, lasting(json.loads(data))


def png(size=(20, 16), **options):
    y, x = numpy.mgrid[: size[1], : size[0]]
    pixels = numpy.stack([x * 9, y * 9, (x ^ y) * 5], -1) % 256
    out = io.BytesIO()
    Image.fromarray(pixels.astype(numpy.uint8)).save(out, options.pop("format", "PNG"), **options)
    return out.getvalue()


def restoration(image, **more):
    headers = {key: more.pop(key) for key in ("Prefer", "Idempotency_Key") if key in more}
    return Request("POST", "/v1/restorations", {"image": base64.b64encode(image).decode()} | DRAWN | more, **headers)


def form(**fields):
    parts = [f'--line\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
             for name, value in fields.items()]  # fmt: skip
    body = b"".join(parts) + b"--line--\r\n"
    return Request("POST", "/v1/restorations", body, Content_Type="multipart/form-data; boundary=line")


def kserve(binary):
    nfe = {"name": "NFE", "datatype": "INT32", "shape": [1], "data": [2]}
    seed = {"name": "SEED", "datatype": "UINT64", "shape": [2]}
    seed |= {"parameters": {"binary_data_size": 16}} if binary else {"data": [1, 2]}
    outputs = [{"name": name, "parameters": {"binary_data": binary}} for name in ("PNG", "IMAGE")]
    head = json.dumps({"id": "x", "inputs": [seed, nfe], "outputs": outputs}).encode()
    more = {"Inference_Header_Content_Length": str(len(head))} if binary else {}
    return Request("POST", "/v2/models/faces/infer", head + (struct.pack("<QQ", 1, 2) if binary else b""), **more)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EVENTS = {"Accept": "text/event-stream"}
PROMPT = DRAWN | {"prompt": "x"}
REQUESTS = {
    "png": Request("POST", "/v1/samples", DRAWN, Accept="image/png"),
    "json": Request("POST", "/v1/samples", DRAWN | {"n": 2, "seed_b": 2**63, "mix": 0.25}),
    "best": Request("POST", "/v1/samples", DRAWN | {"deadline_ms": 20000, "on_deadline": "best"}),
    "bad": Request("POST", "/v1/samples", {"seed": -1, "nfe": 0, "n": "x"}, same=document),
    "no json": Request("POST", "/v1/samples", b'{"seed": 1', same=document),
    "events": Request("POST", "/v1/samples", DRAWN | {"preview_every": 1}, last_event, **EVENTS),
    "again": Request("POST", "/v1/samples", DRAWN, Idempotency_Key="again"),
    "permalink": Request("GET", "/v1/models/blurred/samples/1.png?nfe=2&sampler=momentum"),
    "head": Request("HEAD", "/v1/models/faces/samples/1.png?nfe=2"),
    "openai": Request("POST", "/v1/images/generations", PROMPT | {"n": 2, "user": "y"}, document),
    "openai url": Request("POST", "/v1/images/generations", PROMPT | {"response_format": "url"}, document),
    "openai events": Request("POST", "/v1/images/generations", PROMPT | {"stream": True, "partial_images": 1},
                             last_event),
    "kserve": kserve(False),
    "kserve binary": kserve(True),
    "kserve model": Request("GET", "/v2/models/faces", same=document),
    "kserve stats": Request("GET", "/v2/models/stats", same=lambda answer: set(answer.json())),
    "kserve index": Request("POST", "/v2/repository/index", {}, document),
    "restoration": restoration(png(), degradation="blur", std=1, model="blurred"),
    "estimate": restoration(png(format="JPEG"), degradation="noise"),
    "mask": restoration(png(), degradation="mask", mask=base64.b64encode(png()).decode()),
    "profile": restoration(png(icc_profile=SRGB), degradation="noise", std=0.1),
    "form": form(image=png(format="JPEG"), degradation=b"blur", std=b"1", seed=b"1", nfe=b"2", model=b"blurred"),
    "capabilities": Request("GET", "/v1/capabilities", same=document),
    "models": Request("GET", "/v1/models", same=document),
    "model": Request("GET", "/v1/models/faces", same=document),
    "page": Request("GET", "/"),
    "nothing": Request("GET", "/v1/nothing", same=document),
    "preflight": Request("OPTIONS", "/v1/samples", Origin="https://a.example", Access_Control_Request_Method="POST"),
    "no job": Request("GET", "/v1/jobs/" + 32 * "0", same=document),
    "metrics": Request("GET", "/metrics", same=names, admin=True),
    "queue": Request("GET", "/v1/queue", same=document, admin=True),
    "ready": Request("GET", "/readyz", same=document, admin=True),
    "reload": Request("POST", "/-/reload", b"", document, admin=True),
    "load": Request("POST", "/v1/models/faces/load", b"", document, admin=True),
    "unload": Request("POST", "/v1/models/nobody/unload", b"", document, admin=True),
}  # fmt: skip
# Of a job that has ended; its id is put in.
ENDED = {
    "job": ("GET", "", document), "list": ("GET", "?limit=1", lambda answer: len(answer.json()["jobs"])),
    "image": ("GET", "/images/1.png", None), "archive": ("GET", "/images.zip", None),
    "watch": ("GET", "/events", last_event), "too late": ("DELETE", "", document),
}  # fmt: skip
NEW = {
    "job": lambda key: Request("POST", "/v1/jobs", DRAWN | {"n": 2}, document, Idempotency_Key=key),
    "restored": lambda key: restoration(png(), degradation="blur", std=1, model="blurred", n=2,
                                        Prefer="respond-async", Idempotency_Key=key),
}  # fmt: skip


@pytest.fixture
def allocations(build_dir, tmp_path):
    return Allocations(build_dir, tmp_path)


@pytest.fixture
def failing(start, allocations, tmp_path):
    def start_failing(*flags):
        (tmp_path / "state").mkdir(exist_ok=True)
        return start(*FLAGS, "--state-dir", tmp_path / "state", *flags, models=("faces", "blurred"),
                     env=dict(os.environ) | allocations.environment)  # fmt: skip

    return start_failing


def fault_of(request, answer, want):
    """None: it is one that there may be."""
    if answer is None or answer.status_code == 303:  # what the store does not give is drawn again
        return None
    if answer.status_code == 503:
        if "Retry-After" not in answer.headers:
            return f"no Retry-After: {answer.text[:200]}"
        dialect = "application/json" if request.path.startswith(("/v1/images", "/v2")) else "application/problem+json"
        return None if answer.headers["Content-Type"] == dialect else f"503 as {answer.headers['Content-Type']}"
    if answer.status_code != want.status_code:
        return f"status {answer.status_code}: {answer.text[:200]}"
    if re.search("^event: (failed|error)$", answer.text, re.MULTILINE):
        return None if '"status":503' in answer.text or "overloaded" in answer.text else answer.text[-300:]
    try:
        same = request.same(answer) == request.same(want)
    except (ValueError, IndexError, KeyError):
        same = False
    return None if same else f"another answer: {answer.text[:300]!r}"


class Sweep:
    """Goes through the allocations of a request: all, or some of them. Each fails alone, or with so many more."""

    def __init__(self, daemon, allocations, most, more=0, **headers):
        self.daemon, self.allocations, self.most, self.more = daemon, allocations, most, more
        self.headers = headers  # of every request
        self.faults = []

    def send(self, request):
        return request.send(self.daemon, self.headers)

    def failing(self, n):
        return self.allocations.failing(n, self.more)

    def numbers(self, request, prepare=None):
        for _ in range(2):  # the first one takes more
            if prepare:
                prepare()
            with self.allocations.failing(EVERYTHING):
                want = self.send(request)
        n = self.allocations.n_calls
        assert n > 10
        step = 1 if self.most is None else max(1, n // self.most)
        return want, range(1 + zlib.crc32(request.path.encode()) % step, n + (20 if step == 1 else 0), step)

    def note(self, what, n, fault):
        if self.daemon.process.poll() is not None:
            fault = f"the daemon ended: {self.daemon.log[-3:]}"
        if fault:
            where = named(self.allocations.where()) if len(self.faults) < 10 else ""
            self.faults.append(f"{what}, allocation {n}: {fault}\n{where}")
        assert self.daemon.process.poll() is None, "\n".join(self.faults)

    def run(self, name, request, prepare=None, fault_after=None):
        """fault_after(): what is wrong when nothing fails any more; None: nothing."""
        want, numbers = self.numbers(request, prepare)
        for n in numbers:
            if prepare:
                prepare()
            with self.failing(n):
                fault = fault_of(request, self.send(request), want)
            self.note(name, n, fault or (fault_after and fault_after()))
            if self.allocations.n_failed == 0:
                break

    def run_new_job(self, name, make):
        """What was acknowledged is drawn; what was not is taken on when it is asked for again; both once."""
        want, numbers = self.numbers(make(name))
        for n in [*numbers, *range(numbers[-1] + numbers.step, 2 * numbers[-1], numbers.step)]:  # its drawing
            request = make(f"{name} {n}")
            with self.failing(n):
                answer = self.send(request)
                fault = fault_of(request, answer, want) if answer is None or answer.status_code != 202 else None
                time.sleep(0.03)
            again = self.send(request).json()
            if answer is not None and answer.status_code == 202 and answer.json()["id"] != again["id"]:
                fault = "another job"
            if (ended := self.end_of(again))["status"] != "completed":
                fault = f"it is {ended}"
            self.note(name, n, fault)

    def end_of(self, job):
        def look():
            now = self.send(Request("GET", f"/v1/jobs/{job['id']}")).json()
            return now if now["status"] not in ("queued", "in_progress") else None

        return wait_until(look, "the end of a job")

    def run_watching(self):
        """Events with pictures, of a job that is drawn meanwhile: who lost them asks again."""
        step = 1 if self.most is None else max(1, 300 // self.most)
        for n in range(1, 300, step):
            job = self.daemon.post({"n": 2, "nfe": 30}, path="/v1/jobs", **self.headers).json()
            watch = Request("GET", f"/v1/jobs/{job['id']}/events?preview_every=1", same=last_event, **EVENTS)
            with self.failing(n):
                answer = self.send(watch)
            fault = None
            if answer is not None and answer.status_code != 200:
                fault = fault_of(watch, answer, answer)
            if (kind := last_event(self.send(watch))[0]) != "completed":
                fault = f"its last event is {kind}"
            self.note("watch", n, fault)

    def run_cancelling(self):
        """A job is cancelled, or goes on and can be cancelled."""
        for n in range(1, 80, 1 if self.most is None else 80 // self.most):
            job = self.daemon.post({"n": 1000, "nfe": 1000}, path="/v1/jobs", **self.headers).json()
            cancel = Request("DELETE", f"/v1/jobs/{job['id']}")
            with self.failing(n):
                answer = self.send(cancel)
            fault = None if answer is None or answer.status_code == 200 else fault_of(cancel, answer, answer)
            self.send(cancel)
            if (status := self.end_of(job)["status"]) != "cancelled":
                fault = f"it is {status}"
            self.note("cancel", n, fault)

    def end(self):
        """Nothing is left: no place taken, no upload, nothing that a drain waits for."""
        daemon = self.daemon
        daemon.wait_for_queue(lambda queue: not queue["requests"] and not queue["slots_busy"], "nothing to do")
        assert daemon.post(DRAWN | {"n": 34}, **self.headers).status_code == 200  # all places there are
        for _ in range(3):  # more than there may be uploads
            assert self.send(REQUESTS["restoration"]).status_code == 200
        daemon.stop()
        assert not self.faults, f"{len(self.faults)} faults:\n" + "\n".join(self.faults)


def run_jobs(sweep):
    for name, make in NEW.items():
        sweep.run_new_job(name, make)
        job = sweep.send(make(f"ended {name}")).json()
        sweep.end_of(job)
        for what, (method, path, same) in ENDED.items():
            root = "/v1/jobs" if what == "list" else f"/v1/jobs/{job['id']}"
            sweep.run(f"{what} of {name}", Request(method, root + path, same=same))
    sweep.run_watching()
    sweep.run_cancelling()


@pytest.mark.sanitizers
def test_a_few(failing, allocations):
    sweep = Sweep(failing(), allocations, 2)
    for name in ("json", "events", "profile", "form", "kserve binary", "metrics", "reload"):
        sweep.run(name, REQUESTS[name])
    sweep.end()


def test_some(failing, allocations):
    """A few of each kind of request."""
    sweep = Sweep(failing(), allocations, 4)
    for name, request in REQUESTS.items():
        sweep.run(name, request)
    run_jobs(sweep)
    sweep.end()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", REQUESTS)
def test_all(failing, allocations, name):
    sweep = Sweep(failing("--response-cache", "0"), allocations, None)
    sweep.run(name, REQUESTS[name])
    sweep.end()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_of_jobs(failing, allocations):
    sweep = Sweep(failing("--response-cache", "0"), allocations, None)
    run_jobs(sweep)
    sweep.end()
