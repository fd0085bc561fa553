"""Processes that evaluate a network when asked, and the machine that they share."""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy
import weights as weights_of

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
PAUSE_S = 0.02  # libgomp's threads spin for some milliseconds after an evaluation
REPEAT_BELOW_MS = 1000  # the first evaluation of a turn finds the caches full of another's weights
ERROR_LIMIT = {"fp32": 1e-4, "bf16": 0.1}  # relative L2


class Engine:
    """A process that evaluates the network when asked."""

    def __init__(self, name, command, n_threads, folder):
        self.name = name
        self.out = folder / f"{name}.safetensors"
        self.log = folder / f"{name}.log"
        self.times_ms = []  # one per round
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_"))
        }
        environment["OMP_NUM_THREADS"] = str(n_threads)
        environment["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no processes that stay
        self.process = subprocess.Popen(
            [*command, "--threads", str(n_threads), "--out", self.out],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"),
            env=environment, text=True, bufsize=1)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended:\n{self.log.read_text()[-2000:]}")
        return float(line)

    def evaluate(self):
        self.process.stdin.write("\n")
        return self.answer()

    def turn(self):
        time_ms = self.evaluate()
        if time_ms < REPEAT_BELOW_MS:
            time_ms = self.evaluate()
        self.times_ms.append(time_ms)

    def processor_s(self):
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def machine_s():
    """Busy and total seconds of all processors since the machine started."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    ticks = [int(field) for field in fields]  # user nice system idle iowait irq softirq steal
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / hertz, sum(ticks) / hertz


def measure_round(engines):
    """One turn each; the share of the machine that was used beside them."""
    own = 0
    busy, total = machine_s()
    for engine in engines:
        before = engine.processor_s()
        engine.turn()
        own += engine.processor_s() - before
        time.sleep(PAUSE_S)
    busy_after, total_after = machine_s()
    return max(0, busy_after - busy - own) / (total_after - total)


def make_files(network, batch, folder):
    """The arguments that name architecture, weights and input."""
    architecture = FOLDER / f"{network}.json"
    weights, images = folder / f"{network}.safetensors", folder / f"images-{batch}.safetensors"
    description = json.loads(architecture.read_text())
    if not weights.exists():
        weights_of.save(weights, weights_of.random_weights(description))
    side, channels = description["image_size"], description.get("num_channels", 3)
    random = numpy.random.default_rng(0)
    weights_of.save(images, {
        "x": random.random((batch, channels, side, side), numpy.float32),
        "time_cond": numpy.exp((numpy.arange(batch) + 0.5) / batch).astype(numpy.float32),
    })
    return ["--architecture", architecture, "--weights", weights, "--input", images]


def find_program(build, name):
    """A program in a folder that meson built in: each has a folder of its own, or, in older builds, all
    have one."""
    for path in (f"tools/{name.removeprefix('softdiff-')}/{name}", f"tools/{name}"):
        if pathlib.Path(build, path).is_file():
            return pathlib.Path(build, path)
    sys.exit(f'"{name}" is not built in "{build}"')


def softdiff_command(build, precision, files):
    return [find_program(build, "softdiff-inspect"), "run", "--paced", "--device", "cpu",
            "--precision", precision, *files]


def read_phi(engine):
    return weights_of.load(engine.out)["phi"].astype(numpy.float64)


def relative_error(phi, reference):
    return float(numpy.linalg.norm(phi - reference) / numpy.linalg.norm(reference))


def describe_machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    field = {line.split(":")[0].strip(): line.split(":", 1)[1].strip()
             for line in cpuinfo.split("\n\n")[0].split("\n") if ":" in line}
    flags = [flag for flag in field.get("flags", "").split()
             if flag in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni") or flag.startswith("amx")]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                            capture_output=True, text=True, check=False).stdout.strip()
    return (f"{time.strftime('%Y-%m-%d')}; {field.get('model name', platform.machine())}, "
            f"family {field.get('cpu family', '?')}, model {field.get('model', '?')}, "
            f"{os.cpu_count()} cores, {' '.join(flags)}; Python {platform.python_version()}; "
            f"softdiff {commit}")
