"""The documents at /openapi.json: they describe every route and nothing else, and no answer is another."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import requests
from softdiffd import PATIENCE_S, wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance", "response_headers_conformance", "unsupported_method")  # fmt: skip
DOCUMENTS = [("public", "openapi.json"), ("admin", "openapi-admin.json")]


def table(listener):
    """The rows of server/routes.c: {(path, method): the rest of the row}."""
    text = (ROOT / "server/routes.c").read_text()
    rows = re.search(rf"{listener}_routes\[\] = {{(.*?)\n}};", text, re.DOTALL)[1]
    return {(path, method.lower()): rest for method, path, rest in
            re.findall(r'{"([A-Z]+)",\s*"(/[^"]*)",([^}]*)}', rows)}  # fmt: skip


def document(name):
    return json.loads((ROOT / "api" / name).read_text())


def operations(name):
    return {(path, method): operation for path, item in document(name)["paths"].items()
            for method, operation in item.items()}  # fmt: skip


@pytest.mark.parametrize("listener, name", DOCUMENTS)
def test_the_routes_and_no_others(listener, name):
    assert table(listener).keys() == operations(name).keys()
    assert len(table(listener)) >= 10


@pytest.mark.parametrize("listener, name", DOCUMENTS)
def test_the_statuses_that_follow_from_a_row(listener, name):
    rows = table(listener)
    for (path, method), operation in operations(name).items():
        said, where = set(operation["responses"]), f"{method} {path}"
        takes_body = listener == "public" and method == "post"
        assert "400" in said, where
        assert any(status < "400" for status in said), where
        assert ("503" in said) == ("ENGINE" in rows[path, method] or path.endswith(("/livez", "/readyz", "/health/live", "/health/ready"))), where
        for status in ("411", "413", "415"):
            assert (status in said) == takes_body, f"{where}: {status}"
        assert ("401" in said) == (listener == "public" and "OPEN" not in rows[path, method]), where
        assert ("429" in said) == ("DRAWS" in rows[path, method]), where
        if "{" in path:
            assert "404" in said, where
        assert ("requestBody" in operation) == takes_body, where
        parameters = {parameter.get("name") or parameter["$ref"].rsplit("/", 1)[1].lower()
                      for parameter in operation.get("parameters", [])}  # fmt: skip
        assert set(re.findall(r"{(\w+)}", path)) <= parameters, where


@pytest.mark.parametrize("_, name", DOCUMENTS)
def test_the_documents_are_openapi(_, name):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document(name))
    ids = [operation["operationId"] for operation in operations(name).values()]
    assert len(ids) == len(set(ids))


OWN = {"date", "x-request-id", "content-length"}  # another one for each answer, or of what it says now


def headers(method, url):
    """Of an answer, but for how long making it took; of its own ones only that they are there."""
    answer = requests.request(method, url, timeout=PATIENCE_S)
    assert answer.status_code == 200, f"{method} {url}: {answer.status_code} {answer.text[:200]}"
    return {name.lower(): None if name.lower() in OWN else value for name, value in answer.headers.items()
            if name != "Server-Timing"}  # fmt: skip


def test_what_head_says_is_what_get_says(start):
    """Of every address that answers GET."""
    daemon = start(*FLAGS)
    job = requests.post(daemon.url + "/v1/jobs", json={"n": 1, "nfe": 2}, timeout=PATIENCE_S).json()["id"]
    wait_until(lambda: daemon.get(f"/v1/jobs/{job}").json()["status"] == "completed", "the job")
    version = daemon.get("/v2/models/faces").json()["versions"][0]
    names = {"model": "faces", "job": job, "seed": "5", "index": "0", "version": version}
    n = 0
    for listener, url in (("public", daemon.url), ("admin", daemon.admin)):
        for path in (path for path, method in table(listener) if method == "get"):
            address = url + path.format(**names)
            get = headers("GET", address)
            assert headers("HEAD", address) == get, path
            n += 1
    assert n >= 30


def explore(url, n, tmp_path, phases="examples,fuzzing"):
    """Runs schemathesis with n examples an operation; returns how many cases it made."""
    pytest.importorskip("schemathesis")
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("st"), "run", url + "/openapi.json", "--max-examples", str(n),
         "--phases", phases, "--checks", ",".join(CHECKS), "--request-timeout", "60",
         "--generation-deterministic", "--no-color", "--warnings", "off"],
        env=environment, cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return int(re.search(r"(\d+) generated, \d+ passed", done.stdout)[1])


FLAGS = ["--max-nfe", "4", "--max-queue", "1024"]


@pytest.mark.timeout(1800)
def test_no_answer_is_another(start, tmp_path):
    daemon = start(*FLAGS, models=("faces", "blurred"))
    assert explore(daemon.url, 20, tmp_path) + explore(daemon.admin, 20, tmp_path) >= 500


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_answer_is_another_in_many(start, tmp_path):
    daemon = start(*FLAGS, models=("faces", "blurred"))
    phases = "examples,coverage,fuzzing"
    assert explore(daemon.url, 450, tmp_path, phases) + explore(daemon.admin, 200, tmp_path, phases) >= 5000
