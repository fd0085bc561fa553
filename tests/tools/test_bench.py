"""softdiff-bench: measurements, and tables of choices made from them."""

import json
import subprocess

import pytest

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


def test_measurement(bench):
    case = measure(bench, "--batch", "2")
    assert case["n"] == 5 and case["batch"] == 2 and case["precision"] == "fp32"
    assert 0 < case["wall_ms_p10"] <= case["wall_ms"]
    text = bench("--rounds", "5", "--precision", "fp32").stdout
    assert case["determinism_id"] in text


def test_plan(bench):
    assert "convolution_add" in bench("--plan", "--rounds", "2").stdout


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


def test_mistakes(bench, tmp_path):
    table = tmp_path / "table"
    table.write_text("abc")
    done = bench("--tune", table, "--rounds", "3", code=1)
    assert f'choices "{table}", line 1' in done.stderr
    assert table.read_text() == "abc"
    done = bench("--tune", tmp_path / "none" / "table", "--rounds", "1", code=1)
    assert "none/table" in done.stderr
