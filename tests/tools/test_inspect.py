"""softdiff-inspect: what a checkpoint holds, and networks against the reference's outputs."""

import array
import json
import pathlib
import re
import subprocess

import pytest
import safetensors_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "data"

NETWORKS = {
    "net_a": {
        "image_size": 16,
        "nf": 16,
        "ch_mult": [1, 2, 2],
        "num_res_blocks": 2,
        "attn_resolutions": [8],
        "embedding_type": "fourier",
    },
    "net_c": {
        "image_size": 24,
        "nf": 16,
        "ch_mult": [1, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [12],
        "embedding_type": "positional",
        "centered": True,
    },
}


@pytest.fixture
def evaluate(program, tmp_path):
    def run(network, *arguments, **files):
        architecture = tmp_path / "architecture.json"
        architecture.write_text(json.dumps(NETWORKS[network]))
        weights = files.get("weights", GOLDEN / f"{network}.weights.safetensors")
        data = files.get("input", GOLDEN / f"{network}.io.safetensors")
        out = tmp_path / "out.safetensors"
        done = subprocess.run(
            [program("softdiff-inspect"), "run", "--architecture", architecture]
            + ["--weights", weights, "--input", data, "--out", out, *arguments],
            capture_output=True,
            input=files.get("lines", ""),
            text=True,
            check=False,
        )
        return done, safetensors_file.read(out)[0] if out.exists() else None

    return run


def largest(values):
    return max(map(abs, values))


def difference(a, b):
    assert len(a) == len(b)
    return largest(x - y for x, y in zip(a, b))


@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize("network", NETWORKS)
def test_golden(evaluate, network, device):
    done, out = evaluate(network, "--gradients", "--device", device, "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    want, _ = safetensors_file.read(GOLDEN / f"{network}.io.safetensors")
    assert difference(out["phi"], want["phi"]) < 1e-4
    names = [name for name in want if name.startswith("grad.")]
    assert sorted(out) == sorted(names + ["phi", "loss"])
    floor = 1e-4 * max(largest(want[name]) for name in names)
    for name in names:
        assert difference(out[name], want[name]) < 5e-4 * largest(want[name]) + floor, name
    assert abs(out["loss"][0] - want["loss"][0]) < 1e-4 * abs(want["loss"][0]) + 1e-2


def test_paced(evaluate):
    done, out = evaluate("net_a", "--paced", lines="\n\n")
    assert done.returncode == 0, done.stderr
    times_ms = [float(line) for line in done.stdout.splitlines()]
    assert len(times_ms) == 3  # the first one unasked
    assert all(time > 0 for time in times_ms)
    assert list(out) == ["phi"]


def test_missing_weight(evaluate, tmp_path):
    weights = tmp_path / "weights.safetensors"
    safetensors_file.write(weights, {"all_modules.0.W": ([16], array.array("f", [1] * 16))})
    done, out = evaluate("net_a", weights=weights)
    assert done.returncode == 1
    assert "all_modules.1.weight" in done.stderr
    assert out is None


def test_wrong_input(evaluate):
    done, _ = evaluate("net_a", input=GOLDEN / "net_c.io.safetensors")
    assert done.returncode == 1
    assert '"x"' in done.stderr


def test_checkpoint(program, model):
    done = subprocess.run(
        [program("softdiff-inspect"), model, "--json"], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["architecture"]["nf"] == 16
    assert told["corruption"] == {"name": "blur", "half_size": 16}
    assert told["output"] == "wiener"
    assert told["provenance"]["recipe"] == "tiny"
    assert told["provenance"]["steps"] == 4
    assert told["provenance"]["dataset_images"] == 12
    assert len(told["digest"]) == 64
    levels = told["schedule"]["level"]["value"]
    assert levels[0] == 0.01 and levels == sorted(levels)
    done = subprocess.run(
        [program("softdiff-inspect"), model], capture_output=True, text=True, check=True
    )
    assert told["digest"] in done.stdout


@pytest.fixture
def determinism(program, model):
    """Of softdiff-inspect --json, with options."""

    def tell(*options, env=None):
        command = [program("softdiff-inspect"), model, "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        return json.loads(done.stdout)["determinism"]

    return tell


def test_determinism_id(determinism, tmp_path):
    """It is that of the table of choices, whichever way it is given, if it is for this machine."""
    table = tmp_path / "table"
    table.write_text("softdiff choices 1\n")
    plain = determinism("--choices", table)
    assert re.fullmatch("[0-9a-f]{16}", plain["fp32"])
    assert plain["machine"].startswith("cpu oneDNN-")
    assert plain["fp32"] != plain.get("bf16")
    line = "silu 4x4x3 -> 4x4x3 = quick"
    table.write_text(f"softdiff choices 1\nmachine abacus\n{line}\n")
    assert determinism("--choices", table) == plain
    table.write_text(f"softdiff choices 1\nmachine {plain['machine']}\n{line}\n")
    told = determinism("--choices", table)
    assert told["machine"] == plain["machine"]
    assert told["fp32"] != plain["fp32"]
    assert determinism(env={"SOFTDIFF_CHOICES": str(table)}) == told
    assert determinism(env={"SOFTDIFF_CHOICES": ""}) == determinism()


def test_choices_that_are_none(program, model, tmp_path):
    table = tmp_path / "table"
    table.write_text("softdiff choices 1\nmachine abacus\nsilu = quick\n")
    command = [program("softdiff-inspect"), model, "--choices", table]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'choices "{table}", line 3: expected inputs' in done.stderr


def test_mistakes(program, tmp_path):
    for arguments, code in [([], 2), (["run"], 2), ([tmp_path / "none"], 1), (["--help"], 0)]:
        done = subprocess.run(
            [program("softdiff-inspect"), *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
