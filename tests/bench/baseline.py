"""Two builds of ours against each other: `compare.py --baseline BUILD`.

For every row of README.md, in float32 and bfloat16, and for training: pairs of processes, one of each
build, take turns; each pair is started anew, because where a process happens to have its memory
makes some percent of difference. In a turn an evaluation warms the caches up and the next ones, up to
a fifth of a second of them, count with their median. Training is softdiff-bench, a process per turn.
The order of the two changes from round to round.

A round gives the logarithm of new over old. Of each pair the median counts, and the interval is
Student's for these medians: it holds what differs from process to process. The outputs of both builds must
agree, too.
"""

import json
import math
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time
from typing import NamedTuple

from engines import (ERROR_LIMIT, FOLDER, PAUSE_S, REPEAT_BELOW_MS, Engine, describe_machine,
                     find_program, machine_s, make_files, read_phi, relative_error,
                     softdiff_command)

ROUNDS = 30
PAIRS = 6
TURN_MS = 200
EVALUATIONS_MAX = 15
TRAINING_STEPS = 3  # of a process, after one that warms up
# The quantiles of Student's distribution at 0.975, from one degree of freedom on.
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Row(NamedTuple):
    network: str
    batch: int
    n_threads: int
    precision: str
    train: bool = False

    @property
    def name(self):
        return (f"{self.network}-{self.batch}-{self.n_threads}-{self.precision}" +
                "-train" * self.train)


ROWS = [
    Row(network, batch, n_threads, precision)
    for network, batch, n_threads in (
        ("nf64", 1, 1), ("nf64", 1, 2), ("nf64", 16, 2), ("nf128", 1, 2), ("nf128", 16, 2))
    for precision in ("bf16", "fp32")
] + [Row("train64", 16, 2, "bf16", train=True)]


class Evaluating:
    """A process of a build that evaluates a row's network."""

    def __init__(self, build, side, row, files, folder):
        self.engine = Engine(side, softdiff_command(build, row.precision, files), row.n_threads,
                             folder)
        self.engine.answer()  # it is ready, and warm

    def turn(self):
        time_ms = self.engine.evaluate()
        if time_ms >= REPEAT_BELOW_MS:
            return time_ms
        n = min(EVALUATIONS_MAX, max(1, round(TURN_MS / time_ms)))
        return statistics.median(self.engine.evaluate() for _ in range(n))

    def processor_s(self):
        return self.engine.processor_s()

    def stop(self):
        self.engine.stop()


class Training:
    """The same for training; what softdiff-bench does in between is not timed."""

    def __init__(self, build, row):
        self.command = [
            find_program(build, "softdiff-bench"), FOLDER / f"{row.network}.json", "--train",
            "--device", "cpu", "--batch", str(row.batch), "--threads", str(row.n_threads),
            "--precision", row.precision, "--rounds", str(TRAINING_STEPS), "--json"]

    def turn(self):
        done = subprocess.run(self.command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["cases"][0]["wall_ms"]

    def processor_s(self):
        """Of all processes that ended: both sides' together, so that each has half of it."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (usage.ru_utime + usage.ru_stime) / 2

    def stop(self):
        pass


def start_pair(row, builds, folder):
    """Processes of the old and the new build; the relative difference of their outputs."""
    if row.train:
        return [Training(build, row) for build in builds], 0
    files = make_files(row.network, row.batch, folder)
    pair = [Evaluating(build, side, row, files, folder)
            for build, side in zip(builds, ("baseline", "new"))]
    difference = relative_error(read_phi(pair[1].engine), read_phi(pair[0].engine))
    if not difference < ERROR_LIMIT[row.precision]:
        raise SystemExit(f"{row.name}: the outputs of the builds differ by {difference:.2g}")
    return pair, difference


def measure_pair(pair, n_rounds):
    """The milliseconds of both sides, and the share of the machine that others used meanwhile."""
    times = ([], [])
    busy, total = machine_s()
    own = sum(process.processor_s() for process in pair)
    for i in range(n_rounds):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            times[side].append(pair[side].turn())
            time.sleep(PAUSE_S)
    busy_after, total_after = machine_s()
    own = sum(process.processor_s() for process in pair) - own
    return times, max(0, busy_after - busy - own) / (total_after - total)


def interval(values):
    """Mean and half the width of its interval."""
    if len(values) < 2:
        return values[0], math.inf
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), STUDENT[min(len(values) - 1, len(STUDENT)) - 1] * error


def measure(row, builds, n_rounds, folder):
    """Prints the line of a row."""
    begun, n_pairs = time.monotonic(), min(PAIRS, n_rounds)
    old, new, logarithms, foreign = [], [], [], []
    for i in range(n_pairs):
        pair, difference = start_pair(row, builds, folder)
        times, share = measure_pair(pair, n_rounds // n_pairs + (i < n_rounds % n_pairs))
        for process in pair:
            process.stop()
        old += times[0]
        new += times[1]
        logarithms.append(statistics.median(math.log(b / a) for a, b in zip(*times)))
        foreign.append(share)
    mean, half = interval(logarithms)
    low, high = math.exp(mean - half), math.exp(mean + half)
    verdict = "faster" if high < 1 else "**slower**" if low > 1 else ""
    print(f"| {row.name} | {statistics.median(old):.2f} | {statistics.median(new):.2f} "
          f"| {math.exp(mean):.4f} | {low:.4f} .. {high:.4f} | {verdict} | {n_rounds} "
          f"| {100 * statistics.median(foreign):.1f} | {difference:.1e} "
          f"| {time.monotonic() - begun:.0f} |", flush=True)


def run(options):
    rows = [row for row in ROWS
            if not options.rows or any(text in row.name for text in options.rows)]
    if not rows:
        raise SystemExit(f"no row has one of {', '.join(options.rows)} in its name")
    builds = (options.baseline, options.build)
    for build in builds:
        for program in ("softdiff-inspect", "softdiff-bench"):
            find_program(build, program)
    print(f"{describe_machine()}; {pathlib.Path(options.build).resolve()} (new) against "
          f"{pathlib.Path(options.baseline).resolve()}\n")
    print("| network-batch-threads-precision | old ms | new ms | new / old | 95 % | | rounds "
          "| others, % of the machine | outputs differ by | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            measure(row, builds, options.rounds or ROUNDS, pathlib.Path(folder))
