"""softdiff-bench: measurements, and tables of choices made from them."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
import trace_file

ARCHITECTURE = {
    "image_size": 32,
    "nf": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [16],
}


@pytest.fixture
def bench(program, tmp_path):
    architecture = tmp_path / "architecture.json"
    architecture.write_text(json.dumps(ARCHITECTURE))

    def run(*options, code=0):
        command = [program("softdiff-bench"), architecture, "--device", "cpu", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done

    return run


def measure(bench, *options):
    done = bench("--rounds", "5", "--precision", "fp32", "--json", *options)
    (case,) = json.loads(done.stdout)["cases"]
    return case


@pytest.mark.sanitizers
def test_measurement(bench):
    case = measure(bench, "--batch", "2")
    assert case["n"] == 5 and case["batch"] == 2 and case["precision"] == "fp32"
    assert 0 < case["wall_ms_p10"] <= case["wall_ms"]
    text = bench("--rounds", "5", "--precision", "fp32").stdout
    assert case["determinism_id"] in text


def test_ticks(bench):
    """Every number of lanes by what they do; restoring sends a row more, and a tick its parts."""
    flags = ("--ticks", "1,3", "--threads", "2", "--precision", "fp32,bf16", "--rounds", "5")
    report = json.loads(bench(*flags, "--json").stdout)
    assert report["what"] == "ticks"
    cases = report["cases"]
    assert [(case["precision"], case["lanes"], case["images"]) for case in cases] == [
        (precision, lanes, images)
        for precision in ("fp32", "bf16")
        for lanes in (1, 3)
        for images in ("plain", "previews", "restoration")
    ]
    side = ARCHITECTURE["image_size"]
    for case in cases:
        assert case["n"] == 20 and case["threads"] == 2
        assert 0 < case["tick_ms_p10"] <= case["tick_ms"]
        assert 0 < case["beside_us"] < case["host_us"] <= case["host_us_p90"]
        assert case["host_us"] < 1e3 * case["tick_ms"]
        restores = case["images"] == "restoration"
        assert case["inbox_bytes_per_lane"] >= 4 * side * (4 if restores else 3)
        assert case["inbox_bytes_per_lane"] < 2048
    text = bench(*flags).stdout.splitlines()
    assert len(text) == 2 + len(cases)
    assert cases[0]["determinism_id"] in text[2]


def test_trace(bench, tmp_path):
    """Three images on two threads: one each, and the third by both together, part by part."""
    path = tmp_path / "trace.json"
    bench("--rounds", "6", "--batch", "3", "--threads", "2", "--trace", path)
    tracks = trace_file.read(path)
    assert sorted(tracks) == ["cpu thread 0", "cpu thread 1", "runs"]
    runs = tracks["runs"]
    assert [run.numbers["images"] for run in runs] == [3] * 6
    steps = tracks["cpu thread 0"] + tracks["cpu thread 1"]
    for run in runs:
        inside = [step for step in steps if run.begin <= step.begin and step.end <= run.end]
        assert {step.numbers["image"] for step in inside} == {0, 1, 2}
        for step in inside:
            assert step.numbers["images"] == 1
            assert ("part" in step.numbers) == (step.numbers["image"] == 2)
        for image in range(3):
            names = {step.name for step in inside if step.numbers["image"] == image}
            assert {"convolution", "group_norm", "attention", "linear", "concat"} <= names
        last = [step for step in inside if step.numbers["what"].endswith("to 32x32x3 f32")]
        assert {step.numbers["image"] for step in last} == {0, 1, 2}
    assert all(tracks[f"cpu thread {i}"] for i in range(2))


def test_trace_of_ticks(bench, tmp_path):
    path = tmp_path / "trace.json"
    bench("--ticks", "1,2", "--rounds", "5", "--trace", path)
    tracks = trace_file.read(path)
    assert sorted(tracks) == ["cpu thread 0", "ticks"]
    trace_file.check_ticks(tracks["ticks"])
    assert len(tracks["ticks"]) == 5 * 2 * 3 * 5  # rounds, lanes, kinds, ticks of a turn
    for tick in tracks["ticks"]:
        device = tick.inside[1]
        assert any(device.begin <= step.begin and step.end <= device.end
                   for step in tracks["cpu thread 0"])


def test_plan(bench, tmp_path):
    """With the algorithms that were chosen, here by a table as --tune writes it."""
    lines = bench("--plan", "--rounds", "2", "--precision", "fp32").stdout.splitlines()
    steps = [line.split() for line in lines[1 : lines.index("")]]
    assert any(step[1] == "convolution_add" and step[-1] == "direct" for step in steps)
    assert not any(step[-1] == "whole" for step in steps)
    table = tmp_path / "table"
    bench("--tune", table, "--rounds", "1", "--precision", "fp32")
    chosen = re.sub(r"(convolution 32x32x32 32x32x3x3 .*) = \w+", r"\1 = whole", table.read_text())
    table.write_text(chosen)
    lines = bench("--plan", "--rounds", "2", "--precision", "fp32", "--choices", table).stdout.splitlines()
    assert any(line.split()[1:2] == ["convolution"] and line.endswith("  whole") for line in lines)


@pytest.mark.parametrize("train", [False, True])
def test_tune(bench, tmp_path, train):
    """The table has every convolution that is computed, and keeps what it had."""
    table = tmp_path / "table"
    old = "silu 4x4x3 -> 4x4x3 = quick"
    table.write_text(f"softdiff choices 1\nmachine abacus\n{old}\n")
    flags = ["--train"] if train else []
    done = bench("--tune", table, "--rounds", "3", "--precision", "fp32", *flags)
    lines = table.read_text().splitlines()
    assert lines[:4] == ["softdiff choices 1", "", "machine abacus", old]
    assert lines[5].startswith("machine cpu oneDNN-")
    tuned = lines[6:]
    assert any(line.startswith("convolution 32x32x32 32x32x3x3 32 -> 32x32x32") for line in tuned)
    told = [line.split("  #")[0] for line in done.stdout.splitlines()]
    assert sorted(told) == sorted(tuned)
    assert all(line.split(" = ")[1] in ("direct", "whole") for line in tuned)

    plain, told = measure(bench), measure(bench, "--choices", table)
    assert plain["determinism_id"] != told["determinism_id"]


def test_roofline(bench):
    """Counted by hand for one operation; what is slower by its data sheet takes longer."""
    lines = bench("--roofline", "H200", "--batch", "16,32", "--precision", "fp16,bf16"
                  ).stdout.splitlines()
    assert lines[0].startswith("H200") and lines[0].endswith("nothing was measured")
    key = "convolution 32x32x32:f16 32x32x3x3 32 -> 32x32x32:f16 stride 1 pad 1"
    (row,) = [line for line in lines if line.endswith(key)]
    us, _, times, gflop, megabytes, bound = row.split()[:6]
    assert float(gflop) == pytest.approx(
        int(times) * 16 * 2 * 32**2 * 32 * 32 * 9 * 1e-9, abs=0.006)
    assert float(megabytes) == pytest.approx(
        int(times) * (2 * 16 * 32**2 * 32 * 2 + 9 * 32 * 32 * 2 + 32 * 4) * 1e-6, abs=0.006)
    assert float(us) == pytest.approx(int(times) * 2, abs=0.1) and bound == "launch"

    sums = [line.split() for line in lines[-4:]]
    assert [line[:2] for line in sums] == [
        ["fp16", "16"], ["fp16", "32"], ["bf16", "16"], ["bf16", "32"]]
    assert float(sums[1][4]) == pytest.approx(2 * float(sums[0][4]), rel=0.01)
    slow = bench("--roofline", "T4", "--batch", "32").stdout.splitlines()[-1].split()
    assert slow[2:6] == sums[1][2:6] and float(slow[6]) > 2 * float(sums[1][6])
    train = bench("--roofline", "H200", "--batch", "32", "--train").stdout.splitlines()[-1].split()
    assert train[0] == "bf16" and 2.8 < float(train[4]) / float(sums[1][4]) < 3.1


def test_roofline_of_joined_launches(bench):
    """A norm of two sources reads them and writes both results; the time of all linear ones is one launch's."""
    lines = bench("--roofline", "H200", "--batch", "16", "--precision", "fp16").stdout.splitlines()
    rows = [re.match(r" *(\S+) +\S+% +(\d+) +(\S+) +(\S+) +(\w+) +(.*)", line) for line in lines]
    joined = {row[6]: row for row in rows if row and " + " in row[6]}
    norm = joined.pop("concat 32x32x32:f16 32x32x32:f16 -> 32x32x64:f16 + group_norm")
    image = 32**2 * 64 * 2
    assert float(norm[4]) == pytest.approx(
        int(norm[2]) * (16 * (3 * image + 2 * 16 * 4) + 2 * 64 * 4) * 1e-6, abs=0.006)
    (linear,) = [row for key, row in joined.items() if key.startswith("linear ")]
    n_linear = 1 + int(re.search(r" \+ (\d+) linear$", linear[6])[1])
    assert linear[2] == "1" and n_linear > 5
    n_steps, n_launches = map(int, lines[-1].split()[2:4])
    assert n_launches == sum(int(row[2]) for row in rows if row)
    n_norms = sum(int(row[2]) for key, row in joined.items() if key.startswith("concat "))
    assert n_steps - n_launches == n_linear - 1 + int(norm[2]) + n_norms


@pytest.mark.usefixtures("cudasim")
def test_roofline_is_of_the_plan_that_a_gpu_has(bench, tmp_path):
    """Without a GPU the same launches are counted as one would run (here simulated)."""
    small = ARCHITECTURE | {"image_size": 8, "nf": 16, "attn_resolutions": [4]}
    (tmp_path / "architecture.json").write_text(json.dumps(small))

    def launches(*flags):
        lines = bench("--roofline", "T4", "--batch", "2", "--precision", "fp16", *flags).stdout.splitlines()
        found = (re.search(r"% +(\d+) +\S+ +\S+ +(?:launch|memory|products) +(.*?)(?: = \S+)?$", line)
                 for line in lines)
        return {row[2]: int(row[1]) for row in found if row}

    told = launches()
    assert any(key.endswith(" + group_norm") for key in told)
    assert told == launches("--plan", "--rounds", "1", "--device", "cudasim")


def test_roofline_beside_what_is_measured(bench):
    lines = bench("--roofline", "T4", "--plan", "--batch", "2", "--rounds", "3", "--device", "cpu",
                  "--precision", "fp32").stdout.splitlines()
    assert lines[0].startswith("T4") and lines[0].endswith("measured step by step, in us")
    rows = [line.split() for line in lines[2:-2]]
    measured, least = (sum(float(row[i]) for row in rows) for i in (0, 1))
    n = sum(int(row[3]) for row in rows)
    told = re.fullmatch(r"(\d+) steps in (\d+) launches, (\S+) us measured, (\S+) at best: "
                        r"(\d+) % of what can be had", lines[-1])
    assert int(told[1]) == int(told[2]) == n > 10
    assert float(told[3]) == pytest.approx(measured, abs=0.1 * n)
    assert float(told[4]) == pytest.approx(least, abs=0.1 * n)
    assert int(told[5]) == pytest.approx(100 * least / measured, abs=1)
    times = [float(row[0]) for row in rows]
    assert times == sorted(times, reverse=True) and times[-1] > 0


@pytest.mark.usefixtures("cudasim")
def test_tune_on_a_gpu(bench, tmp_path):
    """A table names configurations of cuDNN or own kernels, and is followed (simulated)."""
    small = ARCHITECTURE | {"image_size": 8, "nf": 16, "attn_resolutions": [4]}
    (tmp_path / "architecture.json").write_text(json.dumps(small))
    table = tmp_path / "table"
    bench("--tune", table, "--rounds", "1", "--device", "cudasim")
    lines = [line for line in table.read_text().splitlines() if " = " in line]
    chosen = {line.split(" = ")[1] for line in lines}
    assert any(":f16" in line for line in lines)
    assert all(name == "direct" or re.fullmatch(r"e\d+(-\d+_-?\d+)*", name) for name in chosen)
    bench("--choices", table, "--rounds", "1", "--plan", "--device", "cudasim")

    wrong = re.sub(r"= \S+$", "= e9999-1_1", table.read_text(), flags=re.M)
    table.write_text(wrong)
    done = bench("--choices", table, "--rounds", "1", "--plan", "--device", "cudasim", code=1)
    assert 'unknown algorithm "e9999-1_1"' in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("what", ["runs", "ticks", "tune"])
def test_what_was_measured_when_it_is_stopped_is_told(program, bench, tmp_path, what, number):
    table = tmp_path / "table"
    flags = {
        "runs": ["--batch", "1,2", "--rounds", "10000", "--seconds", "1000", "--json"],
        "ticks": ["--ticks", "1,2", "--rounds", "10000", "--seconds", "1000", "--json"],
        "tune": ["--tune", table, "--rounds", "1000"],
    }
    command = [program("softdiff-bench"), tmp_path / "architecture.json", "--device", "cpu", *flags[what]]
    n = 0
    for seconds in (0.5, 1, 2, 4, 8, 16):  # until something was measured, which says nothing meanwhile
        table.unlink(missing_ok=True)
        with subprocess.Popen(
            [*map(str, command), "--precision", "fp32"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            time.sleep(seconds * int(os.environ.get("PATIENCE", "1")))
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        if process.returncode == -number:
            continue  # not even begun
        assert process.returncode == 1 and "stopped" in err
        told = re.search(r"stopped after (\d+) rounds? of measuring", err)
        n = len(out.splitlines()) if what == "tune" else int(told[1]) if told else 0
        if n > 0:
            break
    if what == "tune":
        lines = [line.split("  #")[0] for line in out.splitlines()]
        assert lines and sorted(table.read_text().splitlines()[3:]) == sorted(lines)
        return
    cases = json.loads(out)["cases"]
    assert n >= 1 and len(cases) == (2 if what == "runs" else 6)
    per_round = 1 if what == "runs" else 4
    assert all(n * per_round <= case["n"] <= (n + 1) * per_round for case in cases)


def test_mistakes(bench, tmp_path):
    table = tmp_path / "table"
    table.write_text("abc")
    done = bench("--tune", table, "--rounds", "3", code=1)
    assert f'choices "{table}", line 1' in done.stderr
    assert table.read_text() == "abc"
    done = bench("--tune", tmp_path / "none" / "table", "--rounds", "1", code=1)
    assert "none/table" in done.stderr
    for flags in [("--ticks", "1", "--train"), ("--trace", "x", "--plan"),
                  ("--roofline", "H200", "--ticks", "1")]:
        assert "goes with" in bench(*flags, code=2).stderr
    assert "not a list" in bench("--ticks", "0", code=2).stderr
    assert 'unknown GPU "H300"' in bench("--roofline", "H300", code=2).stderr
