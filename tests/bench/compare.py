#!/usr/bin/env python3
"""Times one evaluation of NCSN++ with softdiff and with other engines, in turns.

Every engine runs in a process of its own with the same weights, the same images and the same number
of threads: ours is `softdiff-inspect run --paced`, the others are peer.py. Such a process warms up,
writes its output to a file, and then waits without using a processor until it gets a line; it
answers with the milliseconds that one evaluation took, by its own clock.

For each network, batch and number of threads:
1. All outputs are compared with plain torch in float32. One that is too far off is an error.
2. Rounds: every process gets one turn, so that a machine that slows down hurts all of them alike. A
   turn is one evaluation; if it took less than a second it is repeated and the second one counts,
   because the first one finds the caches full of another engine's weights.
3. The share of the machine that anything else used, the waiting processes included, is taken from
   /proc/stat and the processor time of whoever had its turn. Rounds above --foreign are dropped;
   where fewer than five are left all count, and the row says so.

Prints a table in Markdown for each of them as soon as it is measured, and a summary at the end.

With --baseline two builds of ours are compared instead: see baseline.py. That needs no package but
numpy.
"""

import argparse
import importlib.metadata
import itertools
import pathlib
import statistics
import sys
import tempfile
import time

import baseline
from engines import (ERROR_LIMIT, FOLDER, ROOT, Engine, describe_machine, make_files, measure_round,
                     read_phi, relative_error, softdiff_command)

OURS = ("softdiff-fp32", "softdiff-bf16")
PEERS = (
    "torch-fp32",
    "torch-fp32-nhwc",
    "torch-autocast",
    "torch-bf16",
    "torch-compile-fp32",
    "torch-compile-autocast",
    "torch-compile-bf16",
    "torch-freeze-fp32",
    "torch-freeze-bf16",
    "onnxruntime-fp32",
    "openvino-fp32",
    "openvino-bf16",
    "openvino-bf16-streams",
)
REFERENCE = "torch-fp32"
PACKAGES = ("torch", "onnxruntime", "openvino", "onnx", "numpy")
CLEAN_ROUNDS_MIN = 5
ROUNDS = 40
STARTING_MAX = 3  # engines that start and compile at the same time


def precision(name):
    return "fp32" if "fp32" in name else "bf16"


def check(engines):
    """Relative L2 errors by name; ends the program where one is too large."""
    phis = {engine.name: read_phi(engine) for engine in engines}
    errors = {}
    for name, phi in phis.items():
        error = errors[name] = relative_error(phi, phis[REFERENCE])
        limit = ERROR_LIMIT[precision(name)]
        if not error < limit:
            sys.exit(f"the output of {name} is off by {error:.2g}, more than {limit:g}")
    return errors


def command(name, options, files):
    if name in OURS:
        return softdiff_command(options.build, precision(name), files)
    return [sys.executable, FOLDER / "peer.py", name, *files]


def quantile(times, q):
    return sorted(times)[round(q * (len(times) - 1))]


def engine_names(batch, n_threads, options):
    names = [*OURS, *options.peers]
    if REFERENCE not in names:
        names.append(REFERENCE)
    if min(batch, n_threads) == 1:  # nothing to overlap: the same as without streams
        names = [name for name in names if not name.endswith("-streams")]
    return names


def measure(network, batch, n_threads, options, folder):
    """Prints the table of one combination and returns the medians by name."""
    files = make_files(network, batch, folder)
    engines = []
    for name in engine_names(batch, n_threads, options):
        print(f"{network}, batch {batch}, {n_threads} threads: starting {name}", file=sys.stderr)
        engines.append(Engine(name, command(name, options, files), n_threads, folder))
        if len(engines) >= STARTING_MAX:
            engines[-STARTING_MAX].answer()  # it is ready, and warm
    for engine in engines[-STARTING_MAX + 1 :]:
        engine.answer()
    errors = check(engines)

    foreign = []
    end = time.monotonic() + options.seconds
    while len(foreign) < (options.rounds or ROUNDS) and (len(foreign) < options.rounds_min or
                                             time.monotonic() < end):
        foreign.append(measure_round(engines))
    for engine in engines:
        engine.stop()

    clean = [i for i, share in enumerate(foreign) if share <= options.foreign]
    loaded = len(clean) < CLEAN_ROUNDS_MIN
    counted = range(len(foreign)) if loaded else clean
    print(f"\n### {network}, batch {batch}, {n_threads} thread{'s' * (n_threads > 1)}\n")
    print(f"{len(counted)} of {len(foreign)} rounds; other processes used "
          f"{100 * statistics.median(foreign[i] for i in counted):.1f} % of the machine (median)"
          f"{': **loaded**' if loaded else ''}\n")
    print("| engine | ms, median | ms, p10 | ms per image | times softdiff-bf16 | relative error |")
    print("|---|---|---|---|---|---|")
    times = {engine.name: [engine.times_ms[i] for i in counted] for engine in engines}
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"| {name} | {median:.1f} | {quantile(times[name], 0.1):.1f} | {median / batch:.2f} "
              f"| {median / medians['softdiff-bf16']:.2f} | {errors[name]:.1e} |")
    sys.stdout.flush()
    return medians, loaded


def print_summary(rows):
    print("\n### Summary: median ms of an evaluation\n")
    print("| network | batch | threads | softdiff bf16 | best peer | | ours / best peer "
          "| softdiff fp32 | best fp32 peer | | ours / best fp32 peer |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (network, batch, n_threads), (medians, loaded) in rows.items():
        peers = {name: ms for name, ms in medians.items() if name not in OURS}
        best = min(peers, key=peers.get)
        best_fp32 = min((name for name in peers if precision(name) == "fp32"), key=peers.get)
        print(f"| {network}{' (loaded)' * loaded} | {batch} | {n_threads} ", end="")
        for ours, peer in (("softdiff-bf16", best), ("softdiff-fp32", best_fp32)):
            print(f"| {medians[ours]:.1f} | {peer} | {peers[peer]:.1f} "
                  f"| {medians[ours] / peers[peer]:.2f} ", end="")
        print("|")


def comma_list(kind, allowed=None):
    def parse(text):
        values = [kind(part) for part in text.split(",")]
        if allowed and set(values) - set(allowed):
            raise argparse.ArgumentTypeError(f"not all of {text} are in {', '.join(allowed)}")
        return values

    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build", help="folder that meson built in")
    parser.add_argument("--baseline", metavar="BUILD",
                        help="another folder that meson built in: time its programs against those "
                             "of --build, row by row, instead of other engines")
    parser.add_argument("--rows", type=comma_list(str),
                        help="with --baseline: rows whose names have one of these texts in them; "
                             "all: " + ", ".join(row.name for row in baseline.ROWS))
    parser.add_argument("--networks", type=comma_list(str), default=["nf64", "nf128"],
                        help="names of the JSON files beside this program")
    parser.add_argument("--batches", type=comma_list(int), default=[1, 16])
    parser.add_argument("--threads", type=comma_list(int), default=[1, 2])
    parser.add_argument("--peers", type=comma_list(str, PEERS), default=PEERS,
                        help="of " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, help="at most, default 40; with --baseline: all of "
                                                   f"them, default {baseline.ROUNDS}")
    parser.add_argument("--rounds-min", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=90, help="no new round after that")
    parser.add_argument("--foreign", type=float, default=0.05,
                        help="share of the machine; rounds above it are dropped")
    options = parser.parse_args()

    if options.baseline:
        baseline.run(options)
        return

    rows = {}
    print(describe_machine() + "; " +
          ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        for row in itertools.product(options.networks, options.batches, options.threads):
            rows[row] = measure(*row, options, pathlib.Path(folder))
    print_summary(rows)


main()
