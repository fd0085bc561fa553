"""Checks of what comes out: that a GPU computes what is right, and the same every time."""

import glob
import pathlib
import re
import shutil

import images
from session import Failed, NothingToCheck, Skipped

GOLDEN = ("modules", "network", "samplers", "blur", "train", "full_network")

# How far images may be from those that a processor drew in fp32: the mean over an image's numbers and the
# largest, in steps of 255. On the simulated device faces32's are off by 0.0003 and 1, 0.023 and 1, 0.18 and 2.
IMAGE_LIMITS = {"fp32": (0.002, 1), "fp16": (0.06, 2), "bf16": (0.5, 4)}

BUCKETS = (256, 128, 64, 32, 16, 8, 4, 2, 1)


def device(check, kit):
    """Tells the kit what it is, as soon as it was opened: others may pass where an operation fails."""
    done = check.run([kit.program("conformance"), "--device", kit.device, "--op", "silu"], "open",
                     fails=False, env=kit.environment)
    found = re.search(r"^# device \S+: (.*)$", done.out, re.MULTILINE)
    if not found:
        refused = re.search(r"# SKIP (.*)$", done.out, re.MULTILINE)
        if refused:
            raise NothingToCheck(refused[1])
        raise Failed(done.reason())
    missing = re.findall(r" (fp32|bf16|fp16) # SKIP ", done.out)
    kit.describe(found[1], [p for p in ("fp16", "bf16", "fp32") if p not in missing])
    count_results("open", done)
    return f"{kit.text}; {', '.join(kit.precisions)}"


def count_results(label, done):
    """How many tests passed; Failed with the first that did not."""
    lines = done.out.splitlines()
    bad = [line for line in lines if line.startswith("not ok ")]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise Failed(f"{label}: {bad[0]}{more}")
    if done.status != 0 or not any(re.match(r"1\.\.\d+", line) for line in lines):
        raise Failed(f"{label}: {done.reason()}")
    n = sum(line.startswith("ok ") and " # SKIP" not in line for line in lines)
    if n == 0:
        raise Failed(f"{label}: no test was run")
    return n


def words(check, kit):
    if kit.simulated:
        raise Skipped("of a GPU alone")
    done = check.run([kit.program("cuda_words")], fails=False,
                     env=kit.environment | {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
    return f"{count_results('words', done)} words of kernels mean what the simulated device takes them for"


def conformance(check, kit):
    def work(label, precision):
        done = check.run([kit.program("conformance"), "--device", kit.device, "--precision",
                          precision], label, fails=False, env=kit.environment)
        return count_results(label, done)

    counts = check.each({p: p for p in kit.precisions}, work, kit.n_workers())
    return f"{sum(counts)} tests of operations"


def golden(check, kit):
    def work(label, program):
        done = check.run([kit.program(f"golden_{program}")], label, fails=False,
                         cwd=kit.top / "golden", env=kit.environment |
                         {"TEST_DEVICE": kit.device, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        return count_results(label, done)

    names = [name for name in GOLDEN if not (kit.simulated and name == "full_network")]
    counts = check.each({name: name for name in names}, work, kit.n_workers())
    return f"{sum(counts)} tests against the reference implementation, {', '.join(names)}"


def draw(check, kit, label, *flags):
    """A folder with images of seeds 1, 2, ..., as {seed: bytes of the PNG}."""
    out = check.scratch(label)
    check.run([kit.program("softdiff-sample"), kit.model(), "--device", kit.device, "--out", out,
               "--seed", 1, *flags], f"{label}-sample", env=kit.environment)
    return {int(path.stem): path.read_bytes() for path in out.glob("*.png")}


def network(check, kit):
    """Against stored images of a processor's."""
    folders = sorted(path for path in (kit.top / "stored").iterdir() if path.is_dir())

    def work(label, precision):
        mean, largest = 0, 0
        for folder in folders:
            sampler, nfe = folder.name.rsplit("-", 1)
            stored = {int(path.stem): path.read_bytes() for path in folder.glob("*.png")}
            drawn = draw(check, kit, f"{precision}-{folder.name}", "--precision", precision,
                         "--sampler", sampler, "--nfe", nfe, "--number", len(stored))
            for seed, png in stored.items():
                one, worst = images.difference(images.decode(png), images.decode(drawn[seed]))
                mean, largest = max(mean, one), max(largest, worst)
        limits = IMAGE_LIMITS[precision]
        text = (f"off by {mean:.3g} steps of 255 in the mean of an image, {largest} at most; "
                f"{limits[0]} and {limits[1]} are allowed")
        if mean > limits[0] or largest > limits[1]:
            raise Failed(f"{precision}: {text}")
        return text

    check.each({p: p for p in kit.precisions}, work, kit.n_workers())
    return f"images by {', '.join(folder.name for folder in folders)} evaluations are a processor's"


def operations(check, kit):
    """The first operation of the network whose result is not the processor's."""
    def work(label, precision):
        done = check.run([kit.program("softdiff-inspect"), "compare", kit.model(), "cpu:fp32",
                          f"{kit.device}:{precision}"], label, env=kit.environment)
        return done.out.strip().splitlines()[-1]

    check.each({p: p for p in kit.precisions}, work, kit.n_workers())
    return "every operation of the network within rounding of a processor's"


def repeats(check, kit):
    n, nfe = (4, 2) if kit.simulated else (16, 10)
    for sampler in ("sde-2m", "momentum"):
        flags = ("--number", n, "--nfe", nfe, "--sampler", sampler)
        first = draw(check, kit, f"{sampler}-first", *flags)
        again = draw(check, kit, f"{sampler}-again", *flags)
        same(check, f"{sampler} again", first, again)
    return f"{2 * n} images have the same bytes in another process"


def buckets(check, kit):
    """Image i is the same image in a graph of any number of images."""
    sizes = BUCKETS[-3:] if kit.simulated else BUCKETS
    nfe = 2 if kit.simulated else 4

    def work(label, precision):
        wanted = None
        for n in sizes:
            drawn = draw(check, kit, f"{precision}-{n}", "--precision", precision, "--number", n,
                         "--lanes", n, "--nfe", nfe)
            wanted = wanted or drawn
            same(check, f"{precision}, {n} at a time", wanted, drawn)
        return f"{len(wanted)} images"

    precisions = kit.precisions[:1] if kit.simulated else kit.precisions
    check.each({p: p for p in precisions}, work, kit.n_workers())
    return f"an image has the same bytes among {', '.join(map(str, reversed(sizes)))}"


def same(check, what, wanted, drawn):
    for seed, png in sorted(drawn.items()):
        if png != wanted[seed]:
            (check.folder() / f"{seed}-wanted.png").write_bytes(wanted[seed])
            (check.folder() / f"{seed}-drawn.png").write_bytes(png)
            mean, largest = images.difference(images.decode(png), images.decode(wanted[seed]))
            raise Failed(f"{what}: seed {seed} is another image, off by {mean:.3g} steps of 255, "
                         f"{largest} at most")
    if not drawn:
        raise Failed(f"{what}: nothing was drawn")


def find_sanitizer():
    found = shutil.which("compute-sanitizer") or next(
        iter(sorted(glob.glob("/usr/local/cuda*/bin/compute-sanitizer"), reverse=True)), None)
    if not found:
        raise Skipped("compute-sanitizer is not installed")
    return pathlib.Path(found)


def sanitizer(check, kit):
    if kit.simulated:
        raise Skipped("of a GPU alone")
    program = find_sanitizer()
    tried = check.run([program, kit.program("cuda_words")], "try", limit_s=60, fails=False,
                      env=kit.environment)
    if "ERROR SUMMARY: " not in tried.out + tried.log:
        raise Skipped(f"compute-sanitizer does not work here: {tried.reason()}")
    jobs = {
        "sample": [kit.program("softdiff-sample"), kit.model(), "--device", kit.device, "--nfe", 2,
                   "--number", 3, "--grid", check.folder() / "grid.png"],
        "conformance": [kit.program("conformance"), "--device", kit.device, "--precision", "fp16"],
    }
    for label, words_ in jobs.items():
        for tool in ("memcheck", "racecheck", "synccheck", "initcheck"):
            done = check.run([program, "--tool", tool, "--error-exitcode", 86, *words_],
                             f"{tool}-{label}", env=kit.environment)
            check.tell(f"{tool}, {label}: {done.out.strip().splitlines()[-1]}")
    return "memcheck, racecheck, synccheck and initcheck report nothing"
