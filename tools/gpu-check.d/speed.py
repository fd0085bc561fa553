"""Checks of how fast it is. A simulated device has no times: there they are made without being told."""

import json
import re
import signal
import sys

import load
from session import Done, Failed, Skipped

# Milliseconds of an evaluation in fp16 that an H200 must not exceed, by network and images.
STEP_BARS = {("celeba64", 1): 1.9, ("celeba64", 16): 4.2, ("celeba64", 64): 12.5,
             ("cifar10", 256): 13}
TRAINING_BAR = 800  # images a second of celeba64, 64 at a time
PEER_BAR = 1.5  # times as fast as torch.compile with a graph, at
PEER_BATCHES = (16, 64)
HOST_BAR = 0.02  # share of a tick with 64 lanes

NO_TIMES = "done, but a simulated device has no times"


def has_bars(kit):
    return kit.gpu() == "H200"


def bench(check, kit, label, network, *flags):
    """The rows of softdiff-bench."""
    done = check.run([kit.program("softdiff-bench"), network, "--device", kit.device, "--json",
                      *flags], label, env=kit.environment)
    return json.loads(done.out)["cases"]


def steps(check, kit):
    if kit.simulated:
        bench(check, kit, "model", kit.model(), "--batch", "1,2", "--rounds", 1)
        return NO_TIMES
    slow, told = [], []
    for label, name, batches in (("first", "celeba64", "1,16,64"), ("cifar10", "cifar10", "256"),
                                 ("rest", "celeba64", "2,4,8,32,128,256"),
                                 ("model", None, "1,16,64,256")):
        path = kit.network(name) if name else kit.model()
        for row in bench(check, kit, label, path, "--batch", batches, "--precision", "fp16",
                         "--seconds", 4):
            n, ms = row["batch"], row["wall_ms"]
            bar = STEP_BARS.get((name, n)) if has_bars(kit) else None
            text = f"{name or 'model'} B{n} {ms:.2f} ms"
            check.tell(text + (f", at most {bar} wanted" if bar else ""))
            told += [text] if label != "rest" else []
            slow += [text] if bar and ms > bar else []
    if slow:
        raise Failed(f"slower than wanted: {', '.join(slow)}")
    return ", ".join(told)


def roofline(check, kit):
    gpu = kit.gpu() or ("H100" if kit.simulated else None)
    if not gpu:
        raise Skipped(f"softdiff-bench does not know the roofline of {kit.text.split(',')[0]}")
    for n in (1,) if kit.simulated else (64, 16, 1):
        network = kit.model() if kit.simulated else kit.network("celeba64")
        done = check.run([kit.program("softdiff-bench"), network, "--device", kit.device, "--batch",
                          n, "--precision", "fp16", "--plan", "--roofline", gpu, "--rounds",
                          1 if kit.simulated else 20], f"B{n}", env=kit.environment)
        last = done.out.strip().splitlines()[-1]
        if not kit.simulated:
            check.tell(f"B{n}: {last}")
    return NO_TIMES if kit.simulated else "a table of every kernel is in the report"


def ticks(check, kit):
    lanes = 4 if kit.simulated else 64
    network = kit.model() if kit.simulated else kit.network("celeba64")
    rows = bench(check, kit, "ticks", network, "--ticks", lanes, "--rounds",
                 1 if kit.simulated else 100, "--seconds", 5)
    if kit.simulated:
        return NO_TIMES
    row = next(row for row in rows if row["images"] == "plain")
    share = row["host_us"] / (1e3 * row["tick_ms"])
    text = f"the host works {100 * share:.2f} % of a tick of {row['tick_ms']:.2f} ms with {lanes} lanes"
    if has_bars(kit) and share > HOST_BAR:
        raise Failed(f"{text}; {100 * HOST_BAR:g} % is wanted")
    return text


def write_table(check, path, left_s, *words, **options):
    """softdiff-bench --tune, until the check has but left_s; how many lines there are then. What it has timed
    by then is a table, too."""
    child = check.start([*words, "--tune", path], "tune", **options)
    if not check.wait(child, check.left_s() - left_s):
        child.send_signal(signal.SIGTERM)
        if not check.wait(child, 10):
            check.fail("softdiff-bench --tune does not stop")
        check.tell("not all was timed")
    n = sum("=" in line for line in path.read_text().splitlines()) if path.exists() else 0
    if n == 0:
        check.fail(f"nothing was timed: {Done(child.returncode, '', check.read('tune', 'log')).reason()}")
    return n


def tune(check, kit):
    table = check.folder() / "tuned.choices"
    network = kit.model() if kit.simulated else kit.network("celeba64")
    n = 2 if kit.simulated else 16
    flags = ("--batch", n, "--precision", "fp16")
    n_lines = write_table(check, table, 0.4 * check.left_s(), kit.program("softdiff-bench"), network,
                          "--device", kit.device, "--rounds", 1 if kit.simulated else 30, *flags,
                          env=kit.environment)
    rows = {label: bench(check, kit, label, network, *flags, "--seconds", 3, "--rounds",
                         1 if kit.simulated else 100, *more)[0]
            for label, more in (("before", ()), ("after", ("--choices", table)))}
    if kit.simulated:
        return NO_TIMES
    return (f"{n_lines} choices, in the report; B{n} {rows['before']['wall_ms']:.2f} ms before, "
            f"{rows['after']['wall_ms']:.2f} after")


def train(check, kit):
    """A minute, with pictures that the model draws."""
    pictures, out = check.scratch("pictures"), check.scratch("out")
    n = 12 if kit.simulated else 256
    check.run([kit.program("softdiff-sample"), kit.model(), "--device", kit.device, "--out",
               pictures, "--number", n, "--nfe", 2 if kit.simulated else 10], "pictures",
              env=kit.environment)
    recipe = json.loads((kit.top / "recipes/celeba64.json").read_text())
    recipe["data"]["crop"] = 0
    # The schedule is fitted by processors, which takes minutes, and is not what is asked here.
    recipe["schedule"].update(images=12, candidates=32, n_levels=6)
    recipe["training"].update(batch=4 if kit.simulated else 64, warmup=50, stratified=True)
    recipe["progress"].update(log_every=1 if kit.simulated else 10, grid_every=0)
    if kit.simulated:
        recipe["architecture"].update(image_size=16, nf=8, ch_mult=[1, 2], num_res_blocks=1,
                                      attn_resolutions=[8])
    path = check.folder() / "recipe.json"
    path.write_text(json.dumps(recipe))
    limit = ("--steps", 4) if kit.simulated else ("--minutes", 1)
    check.run([kit.program("softdiff-train"), "--recipe", path, "--data", pictures, "--out", out,
               "--device", kit.device, *limit], env=kit.environment)
    log = (out / "log.jsonl").read_text()
    (check.folder() / "log.jsonl").write_text(log)
    return judge_training(kit, [json.loads(line) for line in log.splitlines()])


def judge_training(kit, lines):
    losses = [line["loss"] for line in lines]
    if len(losses) < 2 or not all(loss == loss and abs(loss) < 1e30 for loss in losses):
        raise Failed(f"losses: {losses[:8]}")
    if kit.simulated:
        return NO_TIMES
    rate = sorted(line["images_per_s"] for line in lines)[len(lines) // 2]
    quarter = max(1, len(losses) // 4)
    first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
    text = (f"{rate:.0f} images/s of celeba64, 64 at a time; loss {first:.0f} to {last:.0f} in "
            f"{lines[-1]['step']} steps")
    if last >= first:
        raise Failed(f"the loss does not fall: {text}")
    if has_bars(kit) and rate < TRAINING_BAR:
        raise Failed(f"{text}; {TRAINING_BAR} are wanted")
    return text


def daemon(check, kit):
    """Many clients at a time: every answer right, the stop clean, the speed that of the generator."""
    lanes, seconds, nfe = (4, 2, 2) if kit.simulated else (64, 20, 20)
    served = load.Daemon(check, kit, lanes)
    rate, images = served.load(2 * lanes, seconds, nfe)
    served.stop_under_load(nfe)
    check.session.children.discard(served.child)
    n = min(len(images), 4 * lanes)
    out = check.scratch("alone")
    done = check.run([kit.program("softdiff-sample"), kit.model(), "--device", kit.device, "--seed",
                      0, "--out", out, "--number", n, "--nfe", nfe, "--lanes", lanes], "alone",
                     env=kit.environment)
    load.compare(images, out)
    if served.child.returncode != 0:
        raise Failed(f"the daemon ended with exit code {served.child.returncode}")
    if kit.simulated:
        return f"{n} images are those of softdiff-sample; {NO_TIMES}"
    bare = float(re.search(r"([0-9.]+) images/s", done.out)[1])
    return (f"{rate:.1f} images/s at {nfe} evaluations for {2 * lanes} clients, alone {bare:.1f}; "
            f"{n} images are those of softdiff-sample")


def peers(check, kit):
    if kit.simulated:
        raise Skipped("of a GPU alone")
    try:
        import torch
    except ImportError:
        raise Skipped("torch is not installed for this python3") from None
    if not torch.cuda.is_available():
        raise Skipped(f"torch {torch.__version__} finds no GPU")
    slow, told = [], []
    network = kit.network("celeba64")
    for n in kit.peers:
        ours = bench(check, kit, f"ours-{n}", network, "--batch", n, "--precision", "fp16",
                     "--seconds", 4)[0]["wall_ms"]
        done = check.run([sys.executable, kit.top / "gpu-check.d/peer.py", network, n], f"torch-{n}")
        theirs = json.loads(done.out)["ms"]
        text = f"B{n} {ours:.2f} ms, torch.compile with a graph {theirs:.2f}: {theirs / ours:.2f}x"
        check.tell(text)
        told.append(text)
        if has_bars(kit) and n in PEER_BATCHES and theirs < PEER_BAR * ours:
            slow.append(text)
    if slow:
        raise Failed(f"less than {PEER_BAR}x: {'; '.join(slow)}")
    return "; ".join(told)


def amx(check, kit):
    """For the table of the CPU engine, which has none of such processors yet."""
    with open("/proc/cpuinfo") as cpuinfo:
        if " amx_tile" not in cpuinfo.read():
            raise Skipped("this processor has no AMX")
    table = check.folder() / "amx.choices"
    n = write_table(check, table, 10, kit.program("softdiff-bench"), kit.network("celeba64"), "--device", "cpu",
                    "--batch", 1, "--precision", "bf16", "--rounds", 10, env=kit.environment)
    return f"{n} choices of the CPU engine, in the report"
