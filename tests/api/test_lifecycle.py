"""From the command line to the end: loading, draining, signals, probes, settings."""
import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import timeit

import pytest
import requests
from softdiffd import PATIENCE_S, Daemon, read_all, wait_until

# Of the model "slow" it takes half a minute or so, and nobody waits for its end.
LONG = {"seed": 1, "nfe": 10000}
PATIENT = ("--max-nfe", "10000", "--request-timeout", "1440m")
# The first images of the model "minutes" take minutes on this device: a daemon that loads for as long as one likes.
ENDLESS = ("--device", "reference", "--threads", "1")
PATIENCE = f"{PATIENCE_S}s"


@pytest.fixture
def run(program):
    def run_to_its_end(*flags, env=None):
        command = [program("softdiffd"), *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)

    return run_to_its_end


@pytest.fixture
def healthcheck(run):
    def ask(daemon):
        return run("--healthcheck", "--admin-listen", daemon.admin.removeprefix("http://"))

    return ask


def processor_s(daemon):
    """What its threads have computed so far."""
    fields = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_loading(start, healthcheck):
    """The ports answer before the model is there."""
    daemon = start(*ENDLESS, models=("minutes",), wait=False)
    assert requests.get(daemon.admin + "/livez").status_code == 200
    probe = requests.get(daemon.admin + "/readyz")
    assert probe.status_code == 503
    assert probe.json() == {"state": "loading", "models_loaded": 0, "models": 1, "unhealthy": [], "devices_failed": []}
    assert daemon.get("/readyz").status_code == 503
    for answer in (daemon.post({}), daemon.get("/v1/models"), daemon.get("/v1/capabilities")):
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
        assert "loading" in answer.json()["detail"]
    assert daemon.get("/version").status_code == 200
    check = healthcheck(daemon)
    assert check.returncode == 1 and "loading" in check.stdout
    daemon.stop()
    daemon = start(wait=False)
    daemon.wait_for_log("event=ready")
    assert requests.get(daemon.admin + "/readyz").json()["state"] == "ready"
    assert daemon.get("/v1/capabilities").json()["device"]


def test_healthcheck(start, healthcheck):
    daemon = start()
    check = healthcheck(daemon)
    assert check.returncode == 0 and json.loads(check.stdout)["state"] == "ready"
    daemon.stop()
    check = healthcheck(daemon)
    assert check.returncode == 1 and "could not connect" in check.stderr


def test_healthcheck_of_a_silent_daemon(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = run("--healthcheck", "--admin-listen", "127.0.0.1:%d" % server.getsockname()[1])
    assert check.returncode == 1 and "timed out" in check.stderr


def test_healthcheck_that_halts(program):
    """It is stopped while it waits, as by a debugger or a shell, and waits on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "127.0.0.1:%d" % server.getsockname()[1]
        asking = subprocess.Popen([program("softdiffd"), "--healthcheck", "--admin-listen", address])
        state = lambda: open(f"/proc/{asking.pid}/stat").read().rsplit(")", 1)[1].split()[0]
        with server.accept()[0] as connection:
            assert connection.recv(1000).startswith(b"GET /readyz ")
            wait_until(lambda: state() == "S", "its waiting")
            asking.send_signal(signal.SIGSTOP)
            wait_until(lambda: state() == "T", "its halt")
            asking.send_signal(signal.SIGCONT)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n{}")
        assert asking.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.sanitizers
@pytest.mark.threads
def test_drain_under_load(start, number):
    """Every request that was accepted is answered; then the daemon ends with 0."""
    daemon = start("--slots", "2", "--drain-timeout", PATIENCE, "--request-timeout", PATIENCE, models=("slow",))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        work = [pool.submit(daemon.post, {"seed": i, "nfe": 20, "n": 1 + i % 2}) for i in range(8)]
        wait_until(lambda: sum(one.done() for one in work) + len(daemon.queue()["requests"]) == 8, "all requests")
        daemon.signal(number)
        daemon.wait_for_log("event=drain ")
        assert [future.result().status_code for future in work] == [200] * 8
    assert daemon.wait_for_exit() == 0


def test_new_requests_while_draining(start):
    daemon = start("--slots", "2", "--drain-timeout", "60m", *PATIENT, models=("slow",))
    with daemon.connect() as kept:
        kept.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200")
        working = daemon.connect_and_send(LONG)
        daemon.wait_for_queue(lambda q: q["slots_busy"] == 1, "work")
        daemon.signal()
        daemon.wait_for_log("event=drain ")
        probe = requests.get(daemon.admin + "/readyz")
        assert probe.status_code == 503 and probe.json()["state"] == "draining"
        assert requests.get(daemon.admin + "/livez").status_code == 200
        kept.sendall(b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        refused = read_all(kept)
    assert refused.startswith(b"HTTP/1.1 503 ") and b"Connection: close" in refused
    assert b"Retry-After: " in refused and b"draining" in refused
    with pytest.raises(OSError):
        daemon.connect()
    working.close()
    assert daemon.wait_for_exit() == 0


def test_drain_delay(start):
    daemon = start("--drain-delay", "1s")
    signalled = time.monotonic()
    daemon.signal()
    assert daemon.wait_for_exit() == 0 and time.monotonic() - signalled >= 1


def test_second_signal_ends_the_delay(start):
    """Until it is over the probes say so, and clients are served."""
    daemon = start("--drain-delay", "60m")
    daemon.signal()
    daemon.wait_for_log("event=drain ")
    probe = requests.get(daemon.admin + "/readyz")
    assert probe.status_code == 503 and probe.json()["state"] == "draining"
    assert requests.get(daemon.admin + "/livez").status_code == 200
    answer = daemon.post({"nfe": 2})
    assert answer.status_code == 200 and answer.headers["Connection"] == "close"
    daemon.signal()
    assert daemon.wait_for_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_does_not_wait_for_loading(start, number):
    daemon = start(*ENDLESS, models=("minutes",), wait=False)
    wait_until(lambda: processor_s(daemon) > 0.5, "the checkpoint to be read")
    assert requests.get(daemon.admin + "/readyz").json()["state"] == "loading"
    daemon.signal(number)
    assert daemon.wait_for_exit() == 0
    assert any("event=stop status=0" in line for line in daemon.log)
    assert not any("event=model " in line or "event=loading_left" in line for line in daemon.log)


def test_the_end_does_not_wait_for_a_model_that_is_added(start, checkpoints, tmp_path):
    """Likewise, in a daemon that serves another one meanwhile."""
    daemon = start(*ENDLESS, "--model-dir", tmp_path)
    shutil.copy(checkpoints["minutes"], tmp_path / "minutes.safetensors")
    before = processor_s(daemon)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(requests.post, daemon.admin + "/-/reload", timeout=PATIENCE_S)
        wait_until(lambda: processor_s(daemon) > before + 0.5, "the checkpoint to be read")
        assert not asked.done()
        daemon.signal()
        assert daemon.wait_for_exit() == 0
    assert any("event=stop status=0" in line for line in daemon.log)
    assert not any("event=model name=minutes" in line or "event=loading_left" in line for line in daemon.log)


@pytest.mark.slow
def test_an_engine_that_hangs(start):
    """One evaluation, of very many images, takes a minute: the daemon gives up after ten seconds and says so."""
    daemon = start("--device", "reference", "--threads", "1", "--slots", "4096", "--max-nfe", "1",
                   "--drain-timeout", "100ms", models=("slow",))  # fmt: skip
    one_s = min(timeit.repeat(lambda: daemon.png(nfe=1), number=1, repeat=3))
    n = min(60, math.ceil(60 / (64 * one_s)))
    first = daemon.connect_and_send({"nfe": 1, "n": 64})
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 64, "the first evaluation, in which the others come")
    work = [daemon.connect_and_send({"nfe": 1, "n": 64}) for _ in range(n)]
    assert first.recv(4096).startswith(b"HTTP/1.1 200 ")
    first.close()
    daemon.wait_for_queue(lambda q: q["slots_busy"] == 64 * n, "work")
    daemon.signal()
    for connection in work:
        assert read_all(connection).startswith(b"HTTP/1.1 503 ")
        connection.close()
    assert daemon.wait_for_exit() == 75
    assert any("event=stuck" in line for line in daemon.log)


def test_drain_timeout(start):
    """What is not done in time is told so, and the end is clean."""
    daemon = start("--slots", "1", *PATIENT, "--drain-timeout", "100ms", models=("slow",))
    work = [daemon.connect_and_send(LONG) for _ in range(10)]
    daemon.wait_for_queue(lambda q: len(q["requests"]) == 10, "work")
    daemon.signal()
    answers = [read_all(connection) for connection in work]
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert b"shutting down" in answers[0]
    assert daemon.wait_for_exit() == 0


@pytest.mark.sanitizers
def test_second_signal(start):
    daemon = start("--slots", "1", *PATIENT, "--drain-timeout", "60m", models=("slow",))
    work = [daemon.connect_and_send(LONG) for _ in range(10)]
    daemon.wait_for_queue(lambda q: len(q["requests"]) == 10, "work")
    daemon.signal()
    daemon.wait_for_log("event=drain ")
    daemon.signal()
    assert all(read_all(connection).startswith(b"HTTP/1.1 503 ") for connection in work)
    assert daemon.wait_for_exit() == 0


@pytest.mark.sanitizers
@pytest.mark.threads
def test_signal_while_loading(start):
    daemon = start(*ENDLESS, models=("minutes",), wait=False)
    daemon.signal()
    assert daemon.wait_for_exit() == 0
    assert not any("event=ready" in line or "event=loading_left" in line for line in daemon.log)


def test_idle_connections_do_not_delay_the_end(start):
    daemon = start("--drain-timeout", "60m", "--header-timeout", "60m", "--idle-timeout", "60m")
    held = [daemon.connect() for _ in range(3)]
    held[0].sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
    assert held[0].recv(1000)
    daemon.stop()
    for connection in held:
        connection.close()


def test_help_and_version(run):
    assert "--max-queue N" in run("--help").stdout
    assert run("--version").stdout.startswith("softdiffd ")


def test_no_model(run):
    result = run()
    assert result.returncode == 2 and "--model NAME=PATH" in result.stderr


def test_bad_settings(tmp_path, run):
    bad = tmp_path / "bad.json"
    bad.write_text('{"slotz": 3}')
    check = [*ANYWHERE, "--model", "a=b", "--check"]
    for flags, code, text in [
        (["--slotz", "3"], 2, "unknown flag --slotz"),
        (["--config", str(bad)], 2, '"slotz" is not a setting'),
        (["--device", "gpu", *check], 2, 'unknown device "gpu"'),
        (["--precision", "fp64"], 2, "auto|fp32|bf16|fp16"),
        (["--device", "reference", "--precision", "bf16", *check], 1, "reference"),
    ]:
        result = run(*flags)
        assert result.returncode == code and text in result.stderr, result.stderr


@pytest.mark.sanitizers
def test_print_config_starts_the_same(start, checkpoints, tmp_path, run):
    flags = ["--slots", "3", "--model", f"faces={checkpoints['faces']}", "--drain-timeout", "1500ms"]
    printed = run(*flags, "--print-config").stdout
    config = json.loads(printed)
    assert config["slots"] == 3 and config["drain_timeout"] == "1500ms"
    path = tmp_path / "config.json"
    path.write_text(printed)
    assert run("--config", str(path), "--print-config").stdout == printed
    daemon = start("--config", str(path), models=())
    assert daemon.get("/v1/capabilities").json()["limits"]["slots"] == 3


def test_paths_of_a_config_file(checkpoints, tmp_path, program):
    """They are relative to the file, wherever the daemon is started; what is printed is so, too."""
    (tmp_path / "models").mkdir()
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(checkpoints["faces"], tmp_path / "models" / "faces.safetensors")
    config = tmp_path / "models" / "config.json"
    config.write_text(json.dumps({"model": {"faces": "faces.safetensors"}, "listen": "127.0.0.1:0",
                                  "admin_listen": "127.0.0.1:0"}))  # fmt: skip

    def run_in(folder, *flags):
        command = [program("softdiffd"), *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)

    for path in (config, "../models/config.json"):
        done = run_in(tmp_path / "elsewhere", "--config", path, "--check")
        assert done.returncode == 0, done.stderr
    printed = run_in(tmp_path / "models", "--config", "config.json", "--print-config").stdout
    (tmp_path / "elsewhere" / "printed.json").write_text(printed)
    done = run_in("/", "--config", tmp_path / "elsewhere" / "printed.json", "--check")
    assert done.returncode == 0, done.stderr


def test_environment(checkpoints, run):
    env = {"SOFTDIFF_MODEL": f"faces={checkpoints['faces']}", "SOFTDIFF_SLOTS": "3"}
    assert json.loads(run("--print-config", env=env).stdout)["slots"] == 3
    assert run("--check", *ANYWHERE, env=env).returncode == 0
    result = run("--check", *ANYWHERE, env=env | {"SOFTDIFF_SLOTS": "x"})
    assert result.returncode == 2 and "SOFTDIFF_SLOTS" in result.stderr


ANYWHERE = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")


def test_check(checkpoints, tmp_path, run):
    good = run("--check", *ANYWHERE, "--model", f"faces={checkpoints['faces']}")
    assert good.returncode == 0 and "model faces: noise, 16 x 16 px" in good.stdout
    assert "images generated" in good.stdout and "addresses: 127.0.0.1:" in good.stdout
    content = open(checkpoints["faces"], "rb").read()
    damaged = tmp_path / "damaged.safetensors"
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        damaged.write_bytes(content[:size])
        result = run("--check", *ANYWHERE, "--model", f"faces={damaged}")
        assert result.returncode == 1, size
        assert 'model "faces": ' in result.stderr and str(damaged) in result.stderr


def test_check_starts_as_the_daemon_does(start, checkpoints, run):
    """What would fail at a start fails here: a taken port, nothing to serve."""
    daemon = start()
    model = ("--model", f"faces={checkpoints['faces']}")
    for flag, address in [("--listen", daemon.url), ("--admin-listen", daemon.admin)]:
        result = run("--check", *model, *ANYWHERE, flag, address.removeprefix("http://"))
        assert result.returncode == 1 and "Address already in use" in result.stderr
        assert flag in result.stderr
    result = run("--check", *ANYWHERE)
    assert result.returncode == 2 and "no model" in result.stderr


def test_checkpoint_that_does_not_load(start, checkpoints, tmp_path):
    """The daemon ends with 1 and says why."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(open(checkpoints["faces"], "rb").read()[:-1])
    daemon = start("--model", f"bad={damaged}", wait=False)
    assert daemon.wait_for_exit() == 1
    assert any("event=load_failed" in line and r'"model \"bad\": ' in line for line in daemon.log)


def test_determinism_id(start, checkpoints, run):
    """What --check says is what the daemon computes with."""
    daemon = start()
    identity = daemon.get("/v1/capabilities").json()["determinism"]["id"]
    check = run("--check", "--model", f"faces={checkpoints['faces']}")
    assert f"determinism id {identity}\n" in check.stdout


def test_choices(start, checkpoints, tmp_path, run):
    table = tmp_path / "table.choices"
    table.write_text("softdiff choices 1\nmachine abacus\nconvolution = bead\n")
    for flags, env in [(("--choices", table), None), ((), {"SOFTDIFF_CHOICES": str(table)})]:
        result = run("--check", *ANYWHERE, "--model", f"faces={checkpoints['faces']}", *flags, env=env)
        assert result.returncode == 1
        assert f'choices "{table}", line 3: expected inputs' in result.stderr
    daemon = start("--choices", str(table), wait=False)
    assert daemon.wait_for_exit() == 1
    assert any("event=load_failed" in line and "line 3" in line for line in daemon.log)


def test_port_in_use(start, run):
    daemon = start()
    address = daemon.url.removeprefix("http://")
    result = run("--listen", address, "--model", "a=b")
    assert result.returncode == 1
    assert f"could not listen on {address}: Address already in use" in result.stderr


def test_ipv6(program, checkpoints):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    daemon = Daemon(program("softdiffd"), "--model", f"faces={checkpoints['faces']}", "--listen", "[::1]:0")
    assert daemon.url.startswith("http://[::1]:")
    assert daemon.get("/readyz").status_code == 200
    daemon.stop()


def test_work_is_counted(start):
    daemon = start()
    before = daemon.queue()["evaluations"]
    daemon.pngs(seed=1, n=3, nfe=7)
    wait_until(lambda: daemon.queue()["evaluations"] == before + 21, "21 evaluations")


def test_shipped_examples_are_settings(run):
    examples = sorted((pathlib.Path(__file__).parents[2] / "config/examples").glob("*.json"))
    assert examples
    for example in examples:
        result = run("--config", str(example), "--print-config")
        assert result.returncode == 0, result.stderr
        for path in json.loads(example.read_text()).get("model", {}).values():
            assert path.startswith("/") or (example.parent / path).is_file(), path


def test_a_gpu_that_is_passed_over_is_told(start, program, build_dir):
    """Where the module is there and nobody asked for another device."""
    if not (build_dir / "engine/cuda/softdiff-cuda.so").exists():
        pytest.skip("built without CUDA")
    listed = subprocess.run([program("softdiffd"), "--list-devices"], capture_output=True, text=True,
                            check=True).stdout
    if "cannot be used" not in listed.splitlines()[0]:
        pytest.skip("this machine has a GPU")
    auto, named = start(), start("--device", "cpu")
    auto.wait_for_log(r'event=device_passed_over error=.*device .*cuda')
    assert not any("passed_over" in line for line in named.log)


def test_signals_until_it_is_gone(start):
    """Who asks again, at the very end, too, does not make an orderly end a killing."""
    for _ in range(3):
        daemon = start()
        while daemon.process.poll() is None:
            daemon.signal()
            time.sleep(0.0002)
        assert daemon.wait_for_exit() == 0
