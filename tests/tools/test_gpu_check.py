"""tools/gpu-check and tools/gpu-pack: an archive that was unpacked elsewhere is checked on the simulated GPU,
and what programs that fail, hang or find no GPU come to."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
H200 = "NVIDIA H200, compute capability 9.0, cuDNN 9.19.0, CUDA 13.0"


def run(*words, **options):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="session")
def kit(build_dir, tmp_path_factory):
    """An archive with a small model, unpacked into an empty folder, from where nothing of the checkout is
    seen."""
    if not (build_dir / "engine/cuda/softdiff-cuda.so").exists():
        pytest.skip("built without CUDA")
    if "libasan" in run("ldd", build_dir / "tests/conformance/conformance").stdout:
        pytest.skip("a build with sanitizers is not packed")
    folder = tmp_path_factory.mktemp("gpu")
    model, archive = folder / "model.safetensors", folder / "kit.txz"
    subprocess.run([build_dir / "tests/api/make_checkpoint", model, "blur", "16", "8", "1"], check=True)
    done = run(ROOT / "tools/gpu-pack", "--build-dir", build_dir, "--model", model, "--out", archive,
               "--fast")
    assert done.returncode == 0, done.stderr
    sizes = done.stdout.splitlines()
    assert sizes[-1].endswith(f"MiB  {archive}") and any("MiB  lib, " in line for line in sizes)
    subprocess.run(["tar", "-xJf", archive, "-C", folder], check=True)
    return folder / "softdiff-gpu"


def gpu_check(kit, *flags, **options):
    return run(kit / "gpu-check", *flags, **options)


@pytest.fixture
def simulated(build_dir):
    """The environment in which programs of the archive find the simulated GPU."""
    return os.environ | {"SOFTDIFF_MODULE_DIR": str(build_dir / "tests/cudasim")}


def results(done):
    """How each check ended, by its name."""
    words = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    return {name: outcome for outcome, name in words[:-2]}


def test_an_unpacked_archive_is_checked(kit, simulated, tmp_path):
    report = tmp_path / "report.tar.xz"
    done = gpu_check(kit, "--device", "cudasim", "--only", "words,network,repeats,peers", "--report",
                     report, env=simulated, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(done) == {"device": "passed", "words": "skipped", "network": "passed",
                             "repeats": "passed", "peers": "skipped"}
    assert done.stdout.splitlines()[-2:] == ["2 skipped, 0 not run", "3 passed, 0 failed"]
    with tarfile.open(report) as archive:
        names = archive.getnames()
        summary = archive.extractfile("gpu-check/summary.txt").read().decode()
    assert summary == done.stdout and "gpu-check/repeats/momentum-again-sample.out" in names
    assert not list(kit.rglob("__pycache__"))


def test_without_a_gpu_one_line_says_so(kit, tmp_path):
    listed = run(kit / "bin/softdiff-bench", "--list-devices",
                 env=os.environ | {"LD_LIBRARY_PATH": str(kit / "lib")}).stdout
    if "cannot be used" not in listed.splitlines()[0]:
        pytest.skip("this machine has a GPU")
    done = gpu_check(kit, "--report", tmp_path / "report.tar.xz")
    assert done.returncode == 77 and done.stdout == ""
    assert done.stderr.startswith('gpu-check: nothing was checked: device "cuda": ')
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_everything_on_the_simulated_gpu(kit, simulated):
    done = gpu_check(kit, "--device", "cudasim", "--minutes", 50, env=simulated)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = results(done)
    skipped = {name for name, outcome in outcomes.items() if outcome == "skipped"}
    assert skipped - {"amx"} == {"words", "sanitizer", "peers"}
    assert "not run" not in outcomes.values() and len(outcomes) == 17
    for line in done.stdout.splitlines():
        assert "images/s" not in line and " ms" not in line, "a simulated device has no times"


def test_an_archive_that_is_too_large_is_not_written(kit, build_dir, tmp_path):
    done = run(ROOT / "tools/gpu-pack", "--build-dir", build_dir, "--model", kit / "model.safetensors",
               "--out", tmp_path / "kit.txz", "--fast", "--max", 1)
    assert done.returncode == 1
    assert "more than --max 1; nothing was written" in done.stderr
    assert not list(tmp_path.iterdir())


def test_symbols_that_ubuntu_lacks_are_refused(build_dir, kit, tmp_path):
    """As a program has them that was linked with a newer C library: an objdump that says so."""
    objdump = tmp_path / "objdump"
    objdump.write_text(f"""#!/bin/sh
case $2 in
*/bin/softdiffd) printf '  required from libc.so.6:\\n    0x06969194 0x00 02 GLIBC_2.41\\n' ;;
esac
exec {shutil.which("objdump")} "$@"
""")
    objdump.chmod(0o755)
    done = run(ROOT / "tools/gpu-pack", "--build-dir", build_dir, "--folder", tmp_path / "kit",
               env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert done.stderr == ('gpu-pack: "softdiffd" wants GLIBC_2.41 of libc.so.6, and Ubuntu 24.04 has '
                           "2.39: build on an older system, such as Debian 12\n")


def test_what_was_not_built_is_told(tmp_path):
    done = run(ROOT / "tools/gpu-pack", "--build-dir", tmp_path)
    assert done.returncode == 1
    assert f'"{tmp_path}/server/softdiffd" is not built: meson configure' in done.stderr


# Programs that are not ours.

TAP = """echo "# device cuda: {text}"
echo "{ok} 1 - cuda fp16 silu 0"
echo "1..1"
"""


@pytest.fixture
def place(tmp_path):
    """A folder like an unpacked archive, whose programs are doubles: all find what they should."""
    top = tmp_path / "kit"
    shutil.copytree(ROOT / "tools/gpu-check.d", top / "gpu-check.d")
    shutil.copy(ROOT / "tools/gpu-check", top / "gpu-check")
    for folder in ("bin", "golden", "lib"):
        (top / folder).mkdir()
    write(top / "bin/conformance", TAP.format(text=H200, ok="ok"))
    for name in ("blur", "full_network", "modules", "network", "samplers", "train"):
        write(top / f"bin/golden_{name}", 'echo 1..1; echo "ok 1 - on $TEST_DEVICE"')
    write(top / "bin/cuda_words", 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"')
    return top


def write(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_what_passes(place):
    done = gpu_check(place, "--only", "words,conformance,golden")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(results(done).values()) == {"passed"}
    assert done.stdout.splitlines()[0].startswith(f"passed   device       {H200}; fp16, bf16, fp32")
    assert done.stdout.splitlines()[-1] == "4 passed, 0 failed"


def test_what_fails_is_named_and_does_not_cost_the_rest(place, tmp_path):
    write(place / "bin/golden_train", 'echo 1..2; echo "ok 1 - a"; echo "not ok 2 - gradients"; exit 1')
    write(place / "bin/golden_blur", "echo 1..1; kill -SEGV $$")
    write(place / "bin/cuda_words", "echo 1..0")
    report = tmp_path / "report.tar.xz"
    done = gpu_check(place, "--only", "words,conformance,golden", "--report", report)
    assert done.returncode == 1
    assert results(done) == {"device": "passed", "words": "failed", "conformance": "passed",
                             "golden": "failed"}
    assert "golden: train: train: not ok 2 - gradients" in done.stdout
    assert "golden: blur: blur: exit code -11: 1..1" in done.stdout
    assert "golden: modules: 1" in done.stdout
    assert "words: no test was run" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 passed, 2 failed"
    with tarfile.open(report) as archive:
        assert b"gradients" in archive.extractfile("gpu-check/golden/train.out").read()


def test_a_device_that_computes_wrong_is_looked_at_further(place):
    write(place / "bin/conformance", TAP.format(text=H200, ok="not ok"))
    done = gpu_check(place, "--only", "words,golden")
    assert done.returncode == 1
    assert results(done) == {"device": "failed", "words": "passed", "golden": "passed"}
    assert "not ok 1 - cuda fp16 silu 0" in done.stdout


def test_a_device_that_does_not_open_ends_it(place):
    write(place / "bin/conformance", "kill -SEGV $$")
    done = gpu_check(place)
    assert done.returncode == 1
    assert results(done) == {"device": "failed"}
    assert "exit code -11" in done.stdout


def test_who_reads_may_go(place, tmp_path):
    """What is said next is in the report alone, and nothing is left out; nohup is respected."""
    go = tmp_path / "go"
    write(place / "bin/cuda_words", f'until [ -e {go} ]; do sleep 0.05; done; echo 1..1; echo "ok 1 - a"')
    report = tmp_path / "report.tar.xz"
    with subprocess.Popen(["nohup", place / "gpu-check", "--only", "words,golden", "--report", report],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline().startswith(b"passed   device")
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        go.touch()
        assert process.wait(60) == 0
    with tarfile.open(report) as archive:
        summary = archive.extractfile("gpu-check/summary.txt").read().decode()
    assert summary.splitlines()[-1] == "3 passed, 0 failed"


def test_a_report_that_cannot_be_written_costs_no_check(place, tmp_path):
    report = tmp_path / "report.tar.xz"
    report.mkdir()
    done = gpu_check(place, "--only", "words,golden", "--report", report)
    assert done.returncode == 1 and "the report could not be written: " in done.stderr
    assert results(done) == {"device": "passed", "words": "passed", "golden": "passed"}
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("report")] == ["report.tar.xz"]


BENCH = """table=; tune=
for word; do
    [ -z "$tune" ] || table=$word
    tune=
    [ "$word" != --tune ] || tune=1
done
[ -n "$table" ] || exec echo '{{"cases": [{{"wall_ms": 2}}]}}'
trap 'kill $!; exit 143' TERM
printf 'a = b\\nc = d\\n' >$table.new
mv $table.new $table
{then}"""


@pytest.mark.parametrize("then, told", [
    ("exit 0", "passed   tune         2 choices, in the report; B16 2.00 ms before, 2.00 after"),
    ("rm $table; echo wrong >&2; exit 1", "failed   tune         nothing was timed: exit code 1: wrong"),
])
def test_a_table_is_made_and_followed(place, then, told):
    write(place / "bin/softdiff-bench", BENCH.format(then=then))
    assert gpu_check(place, "--only", "tune").stdout.splitlines()[-3].startswith(told)


IMPATIENT = """
import pathlib, sys, time
sys.path.insert(0, "gpu-check.d")
import session, speed

table = pathlib.Path("table")

class Impatient(session.Check):
    def wait(self, child, limit_s):
        if limit_s > 1000:
            while not table.exists():
                time.sleep(0.01)
            return False
        return super().wait(child, limit_s)

check = Impatient(session.Session(pathlib.Path("out"), 1000, None), "tune", time.monotonic() + 60000)
print(speed.write_table(check, table, 40, "bin/softdiff-bench"))
"""


def test_a_table_is_had_of_what_was_timed_in_time(place):
    write(place / "bin/softdiff-bench", BENCH.format(then="sleep 1000 & wait"))
    done = run(sys.executable, "-B", "-c", IMPATIENT, cwd=place)
    assert done.stdout.splitlines() == ["         tune: not all was timed", "2"], done.stderr


def test_what_cannot_be_started_fails(place):
    (place / "bin/cuda_words").unlink()
    done = gpu_check(place, "--only", "words,golden")
    assert results(done) == {"device": "passed", "words": "failed", "golden": "passed"}
    assert "cuda_words" in done.stdout


def is_running(number):
    """Not so what has ended, though nobody has asked how."""
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["time", "signal"])
def test_what_hangs_is_stopped(place, tmp_path, how):
    """With what it started; what came before it is in the report."""
    numbers = tmp_path / "numbers"
    write(place / "bin/cuda_words", f"sleep 1000 & echo $! >>{numbers}; echo $$ >>{numbers}; wait")
    report = tmp_path / "report.tar.xz"
    flags = ["--only", "words,golden", "--report", report]
    hangs = lambda: numbers.exists() and numbers.read_text().count("\n") >= 2
    for minutes in ("0.03", "0.3", "1") if how == "time" else ("10",):  # more where it is up before
        with subprocess.Popen(
            [place / "gpu-check", *flags, "--minutes", minutes],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            while not hangs() and process.poll() is None:
                time.sleep(0.01)
            if how == "signal":
                process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=110)
        assert process.returncode == 3
        if hangs():
            break
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("not run")] == [
        line for line in lines if "words" in line or "golden" in line]
    assert lines[-2:] == ["0 skipped, 2 not run", "1 passed, 0 failed"]
    assert not any(is_running(int(n)) for n in numbers.read_text().split())
    with tarfile.open(report) as archive:
        assert archive.extractfile("gpu-check/summary.txt").read().decode() == out


@pytest.mark.parametrize("how", ["is not ready", "does not answer"])
def test_a_daemon_that_hangs_is_stopped(place, tmp_path, how):
    """When the time is up, whatever its clients wait for; nothing of it is left."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(256)
        ready = f"listener=public address=127.0.0.1:{silent.getsockname()[1]} event=ready"
        told = ready if how == "does not answer" else "event=starting"
        write(place / "bin/softdiffd", f'echo $$ >{tmp_path}/number; echo "{told}" >&2; exec sleep 1000')
        for minutes in ("0.04", "0.4"):  # more where it is up before
            done = gpu_check(place, "--only", "daemon,golden", "--minutes", minutes)
            if "2 passed" in done.stdout and (tmp_path / "number").exists():
                break
    assert done.returncode == 3, done.stdout + done.stderr
    assert "not run  daemon       the time is up" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["0 skipped, 1 not run", "2 passed, 0 failed"]
    assert not is_running(int((tmp_path / "number").read_text()))


@pytest.mark.parametrize("flags, text", [
    (("--only", "words,speed"), "there is no check speed; there are words, conformance, "),
    (("--peers", "1,x"), "--peers takes numbers"),
    (("--minutes", "nan"), "argument --minutes: invalid minutes value"),
    (("--report", "/none/report.tar.xz"), "--report: nothing can be written in /none"),
])
def test_a_wrong_command_line(place, flags, text):
    done = gpu_check(place, *flags)
    assert done.returncode == 2 and text in done.stderr
