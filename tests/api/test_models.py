"""Models that come, change and go while requests are served."""
import concurrent.futures
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest
import requests
from softdiffd import Daemon, read_all, wait_until

pytestmark = pytest.mark.sanitizers


def admin(daemon, method, path):
    return requests.request(method, daemon.admin + path, timeout=60)


def outcomes(answer):
    assert answer.status_code == 200, answer.text
    return {row["name"]: row["outcome"] for row in answer.json()["models"]}


def served(daemon):
    return [model["name"] for model in daemon.get("/v1/models").json()["models"]]


@pytest.fixture
def make(build_dir):
    """Writes a checkpoint as trainers do: whole, or not at all."""

    def write(path, seed, corruption="noise"):
        maker = build_dir / "tests/api/make_checkpoint"
        fresh = path.with_name("." + path.name)
        subprocess.run([maker, fresh, corruption, "16", "8", str(seed)], check=True)
        fresh.rename(path)

    return write


@pytest.fixture
def folder(tmp_path, make):
    path = tmp_path / "models"
    path.mkdir()
    make(path / "b.safetensors", 1)
    make(path / "a.safetensors", 2, "blur")
    (path / "notes.txt").write_text("not a model")
    return path


@pytest.fixture
def begin(program, folder):
    """Starts daemons on the folder."""
    daemons = []

    def start(*flags, **options):
        daemons.append(Daemon(program("softdiffd"), "--model-dir", folder, *flags, **options))
        return daemons[-1]

    yield start
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.stop()


def test_a_folder(begin, folder, checkpoints):
    daemon = begin()
    assert served(daemon) == ["a", "b"]
    assert daemon.post({"corruption": "noise", "nfe": 1}).json()["model"] == "b"
    answer = daemon.post({"corruption": "mask"})
    assert answer.status_code == 422 and '"blur", "noise"' in answer.json()["errors"][0]["detail"]
    daemon.stop()
    # Those that are named come first, and win over a file of their name.
    daemon = begin("--model", f"c={checkpoints['faces']}", "--model", f"a={checkpoints['minutes']}")
    assert served(daemon) == ["c", "a", "b"]
    assert [model["side_px"] for model in daemon.get("/v1/models").json()["models"]] == [16, 64, 16]
    # Each corruption is told once, however many models undo it.
    assert daemon.post({"corruption": "mask"}).json()["errors"][0]["detail"].endswith('there are: "noise"')


def test_what_draws_nothing_is_passed_over(program, begin, folder, make):
    """Feature networks lie in the zoo, too. What is broken is told all the same."""
    names = ("squeezenet11", "efficientnet-lite0", "face-dlib")
    networks = [pathlib.Path(__file__).parents[2] / "model/zoo" / f"{name}.safetensors" for name in names]
    for network in networks:
        (folder / network.name).symlink_to(network)
    daemon = begin()
    assert served(daemon) == ["a", "b"]
    assert sum("event=model_passed_over" in line for line in daemon.log) == 3
    known = {"a": "unchanged", "b": "unchanged"} | dict.fromkeys(names, "passed_over")
    assert outcomes(admin(daemon, "POST", "/-/reload")) == known
    assert [row["name"] for row in admin(daemon, "GET", "/v1/models").json()["models"]] == ["a", "b"]
    # A model whose file becomes something else is gone; asked for by name, it is told why.
    shutil.copy(networks[0], folder / "b.safetensors")
    answer = admin(daemon, "POST", "/v1/models/b/load")
    assert answer.status_code == 422 and "something else" in answer.json()["errors"][0]["detail"]
    answer = admin(daemon, "POST", "/-/reload").json()["models"]
    assert [row["outcome"] for row in answer if row["name"] == "b"] == ["passed_over", "unloaded"]
    # The last one stays, whatever its file has become.
    shutil.copy(networks[0], folder / "a.safetensors")
    assert outcomes(admin(daemon, "POST", "/-/reload"))["a"] == "passed_over"
    assert served(daemon) == ["a"] and daemon.post({"nfe": 1}).status_code == 200
    make(folder / "b.safetensors", 4)
    assert outcomes(admin(daemon, "POST", "/-/reload"))["b"] == "loaded" and served(daemon) == ["b"]
    daemon.stop()
    command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    for flags, words in [
        (["--model-dir", folder, "--check"], "a.safetensors: passed over"),
        (["--model", f"b={folder}/a.safetensors", "--check"], "something else"),
    ]:
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60)
        assert words in done.stdout + done.stderr and done.returncode == ("--model" in flags)
    (folder / "b.safetensors").unlink()
    for flags in (["--check"], []):
        done = subprocess.run([*command, "--model-dir", folder, *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "is a model that draws" in done.stderr


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: shutil.rmtree(folder), "could not read the models"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "no model to serve"),
        (lambda folder: (folder / "b.safetensors").rename(folder / "b c.safetensors"), "named like a model"),
        (lambda folder: [(folder / f"{i}.safetensors").touch() for i in range(127)], "more than 128 models and files"),
    ],
)  # fmt: skip
def test_folders_that_are_wrong(program, folder, spoil, words):
    spoil(folder)
    for flags in (["--check"], []):
        command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        done = subprocess.run([*command, "--model-dir", folder, *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and words in done.stderr


def test_only_what_is_served_is_counted(program, begin, folder, make):
    """16 models and any other networks; a 17th is refused with its name, and leaves those that there are."""
    others = pathlib.Path(__file__).resolve().parents[2] / "model/zoo/squeezenet11.safetensors"
    for i in range(14):
        make(folder / f"m{i:02}.safetensors", 10 + i)
        (folder / f"a{i:02}.safetensors").symlink_to(others)
    daemon = begin()
    names = served(daemon)
    assert len(names) == 16
    make(folder / "z.safetensors", 99)
    answer = admin(daemon, "POST", "/-/reload")
    assert answer.status_code == 422 and "at most 16 models are served" in answer.json()["errors"][0]["detail"]
    assert answer.json()["errors"][0]["field"] == "z" and served(daemon) == names
    # One that goes makes room for it, by its file or by being unloaded.
    (folder / "a.safetensors").unlink()
    assert outcomes(admin(daemon, "POST", "/-/reload"))["z"] == "loaded" and len(served(daemon)) == 16
    make(folder / "y.safetensors", 98)
    assert admin(daemon, "POST", "/-/reload").status_code == 422
    assert admin(daemon, "POST", "/v1/models/z/unload").status_code == 200
    assert admin(daemon, "POST", "/v1/models/y/load").status_code == 200
    daemon.stop()
    command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--model-dir", folder]
    for flags in (["--check"], []):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "at most 16 models are served" in done.stderr and "z.safetensors" in done.stderr


def test_reload_under_load(begin, folder, make):
    """A file is replaced ten times: no request fails, each is drawn by one of the two."""
    daemon = begin("--slots", "4")
    want = {daemon.png(model="b", seed=1, nfe=3)}
    over, seen, failed = threading.Event(), set(), []

    def ask():
        while not over.is_set():
            answer = daemon.post({"model": "b", "seed": 1, "nfe": 3}, accept="image/png")
            if answer.status_code != 200:
                failed.append(answer.text)
            seen.add(answer.content)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask) for _ in range(4)]
        for i in range(10):
            make(folder / "b.safetensors", 3 if i % 2 == 0 else 1)
            assert outcomes(admin(daemon, "POST", "/-/reload")) == {"a": "unchanged", "b": "replaced"}
            want.add(daemon.png(model="b", seed=1, nfe=3))
        over.set()
        for client in clients:
            client.result()
    assert not failed and len(want) == 2 and seen == want
    # All that were replaced are gone from memory.
    unloaded = lambda: sum("event=model_unloaded" in line for line in daemon.log)
    wait_until(lambda: unloaded() == 10, "the last to be dropped")
    daemon.wait_for_queue(lambda q: q["slots"] == 2 * 4, "lanes of two models")


def test_requests_end_with_the_model_they_began_with(begin, folder, make):
    daemon = begin("--max-nfe", "10000", "--slots", "1")
    old = daemon.png(model="b", seed=5, nfe=300)
    digest = daemon.get("/v1/models/b").json()["checkpoint"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool, daemon.connect_and_send({"model": "b", "nfe": 10000}) as before:
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "work")
        long = pool.submit(daemon.png, model="b", seed=5, nfe=300)
        daemon.wait_for_queue(lambda q: len(q["requests"]) == 2 or long.done(), "who waits behind it")
        make(folder / "b.safetensors", 3)
        assert outcomes(admin(daemon, "POST", "/v1/models/b/load")) == {"b": "replaced"}
        # What comes from now on is drawn by the new one, also its tag is another.
        new = daemon.get("/v1/models/b").json()["checkpoint"]
        assert new != digest
        answer = daemon.get(f"/v1/models/b@{digest[:12]}/samples/1.png")
        assert answer.status_code == 404 and new[:12] in answer.json()["detail"]
        assert daemon.png(model="b", seed=5, nfe=2)
        before.close()
        assert long.result() == old
    daemon.wait_for_log("event=model_unloaded name=b")


def test_a_bad_file_changes_nothing(begin, folder, make):
    daemon = begin()
    image = daemon.png(model="b", seed=1, nfe=3)
    good = (folder / "b.safetensors").read_bytes()
    for bad in (b"", good[:5000], good[:-1], b"x" * 100, None):
        if bad is None:
            (folder / "b.safetensors").unlink()
            (folder / "b.safetensors").symlink_to(folder / "nothing")
        else:
            (folder / "b.safetensors").write_bytes(bad)
        for path in ("/v1/models/b/load", "/-/reload"):
            answer = admin(daemon, "POST", path)
            assert answer.status_code == 422, answer.text
            assert [error["field"] for error in answer.json()["errors"]] == ["b"]
        assert daemon.png(model="b", seed=1, nfe=3) == image
    known = {row["name"]: row for row in admin(daemon, "GET", "/v1/models").json()["models"]}
    assert known["b"]["state"] == "loaded" and known["b"]["error"] and "error" not in known["a"]
    assert admin(daemon, "GET", "/readyz").status_code == 200
    # Mended, it is as if nothing had been.
    (folder / "b.safetensors").unlink()
    (folder / "b.safetensors").write_bytes(good)
    assert outcomes(admin(daemon, "POST", "/v1/models/b/load")) == {"b": "unchanged"}


def test_unload_and_load(begin):
    daemon = begin("--max-nfe", "10000", "--slots", "1")
    want = daemon.png(model="b", seed=1, nfe=300)
    with concurrent.futures.ThreadPoolExecutor(1) as pool, daemon.connect_and_send({"model": "b", "nfe": 10000}) as before:
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "work")
        long = pool.submit(daemon.png, model="b", seed=1, nfe=300)
        daemon.wait_for_queue(lambda q: len(q["requests"]) == 2 or long.done(), "who waits behind it")
        assert outcomes(admin(daemon, "POST", "/v1/models/b/unload")) == {"b": "unloaded"}
        assert served(daemon) == ["a"]
        assert daemon.post({"model": "b"}).status_code == 404
        assert daemon.post({"corruption": "noise"}).status_code == 422
        assert daemon.get("/v1/models/b/samples/1.png").status_code == 404
        before.close()
        assert long.result() == want
    daemon.wait_for_log("event=model_unloaded name=b")
    daemon.wait_for_queue(lambda q: q["slots"] == 1, "lanes of one model")
    states = {row["name"]: row["state"] for row in admin(daemon, "GET", "/v1/models").json()["models"]}
    assert states == {"a": "loaded", "b": "unloaded"}
    for path, status in [("b/unload", 409), ("a/unload", 409), ("c/unload", 404), ("c/load", 404),
                         ("x" * 200 + "/load", 404)]:  # fmt: skip
        assert admin(daemon, "POST", "/v1/models/" + path).status_code == status
    assert outcomes(admin(daemon, "POST", "/v1/models/b/load")) == {"b": "loaded"}
    assert served(daemon) == ["a", "b"] and daemon.png(model="b", seed=1, nfe=300) == want


def test_hangup(begin, folder, make):
    """SIGHUP looks at the folder: what is new comes, what is gone goes."""
    daemon = begin()
    make(folder / "0.safetensors", 7)
    (folder / "a.safetensors").unlink()
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log("event=reloaded ok=1")
    assert served(daemon) == ["0", "b"]
    assert daemon.post({"nfe": 1}).json()["model"] == "0"
    # What cannot be loaded does not drive out the last one.
    (folder / "0.safetensors").unlink()
    (folder / "b.safetensors").unlink()
    (folder / "c.safetensors").write_bytes(b"x")
    assert admin(daemon, "POST", "/-/reload").status_code == 422
    assert served(daemon) == ["0", "b"] and daemon.post({"nfe": 1}).status_code == 200
    make(folder / "c.safetensors", 8)
    assert outcomes(admin(daemon, "POST", "/-/reload")) == {"c": "loaded", "0": "unloaded", "b": "unloaded"}
    assert served(daemon) == ["c"]
    shutil.rmtree(folder)
    assert admin(daemon, "POST", "/-/reload").status_code == 422
    assert served(daemon) == ["c"]


def test_a_storm_of_hangups(begin, folder, make):
    """While files change and somebody draws, and in a drain: nobody notices, and the last file is served."""
    daemon, done = begin(), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        drawing = [pool.submit(lambda: [daemon.post({"model": "a", "nfe": 5}).status_code for _ in iter(done.is_set, True)])
                   for _ in range(2)]  # fmt: skip
        for i in range(100):
            if i % 20 == 0:
                make(folder / "b.safetensors", 20 + i)
            daemon.signal(signal.SIGHUP)
        assert set(outcomes(admin(daemon, "POST", "/-/reload"))) == {"a", "b"}  # behind all of them
        assert set(outcomes(admin(daemon, "POST", "/-/reload")).values()) == {"unchanged"}
        done.set()
        statuses = [status for one in drawing for status in one.result()]
    assert set(statuses) == {200} and not any("level=error" in line for line in daemon.log)
    before = daemon.queue()["evaluations"]
    answer = daemon.connect_and_send({"model": "b", "nfe": 200, "n": 4})
    daemon.wait_for_queue(lambda q: q["requests"] or q["evaluations"] >= before + 800, "work")
    daemon.signal()
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
    assert read_all(answer).startswith(b"HTTP/1.1 200 ")
    assert daemon.wait_for_exit() == 0


def test_many_changes_at_once(begin, folder, make):
    """They are made one after the other; those who ask and go change nothing of that."""
    daemon = begin()
    paths = ["/v1/models/b/load", "/v1/models/b/unload", "/-/reload"] * 8
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda path: admin(daemon, "POST", path).status_code, paths))
    assert set(statuses) <= {200, 409}
    assert outcomes(admin(daemon, "POST", "/v1/models/b/load"))["b"] in ("loaded", "unchanged")
    assert served(daemon) == ["a", "b"] and daemon.post({"model": "b", "nfe": 1}).status_code == 200


def test_the_end_in_the_middle(begin, folder, make):
    """SIGTERM while models are loaded: the daemon ends as ever."""
    for delay in range(3):
        daemon = begin()
        make(folder / "b.safetensors", 10 + delay)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            changes = [pool.submit(lambda: admin(daemon, "POST", "/-/reload")) for _ in range(4)]
            wait_until(lambda: any("event=model_change" in line for line in daemon.log), "a change")
            daemon.stop()
            for change in changes:
                try:
                    assert change.result().status_code in (200, 503)
                except requests.ConnectionError:
                    pass


def test_requests_without_a_length(begin):
    """As curl -X POST sends them, on this listener only."""
    daemon = begin()
    request = b"POST /-/reload HTTP/1.1\r\nHost: a\r\n\r\n"
    address = daemon.admin.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=60) as connection:
        connection.sendall(request + b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1") == 1
    assert daemon.raw(request).startswith(b"HTTP/1.1 411 ")
