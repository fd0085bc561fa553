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


@pytest.mark.sanitizers
def test_wrong_input(evaluate):
    done, _ = evaluate("net_a", input=GOLDEN / "net_c.io.safetensors")
    assert done.returncode == 1
    assert '"x"' in done.stderr


def scale(source, path, name, factor):
    """A copy of a file of float32 weights with one tensor times a factor."""
    data = bytearray(source.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    first, last = json.loads(data[8:start])[name]["data_offsets"]
    values = array.array("f", bytes(data[start + first : start + last]))
    data[start + first : start + last] = array.array("f", (factor * x for x in values)).tobytes()
    path.write_bytes(data)


@pytest.fixture
def compare(program, tmp_path):
    def run(*arguments, network="net_a", weights=None, code=0):
        architecture = tmp_path / "architecture.json"
        architecture.write_text(json.dumps(NETWORKS[network]))
        weights = weights or GOLDEN / f"{network}.weights.safetensors"
        done = subprocess.run(
            [program("softdiff-inspect"), "compare", architecture, *arguments]
            + ["--weights", weights],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("side", ["cpu:fp32", "cpu:bf16"])
def test_healthy_devices(compare, network, side):
    """All that is computed is within the limits, with the passes and without, alone and together."""
    text = compare("reference", side, network=network, code=0)
    assert "no operation differs" in text and "reference fp32 and " + side.replace(":", " ") in text
    lines = compare("reference", side, "--all", "--images", "3", network=network).splitlines()
    assert len([line for line in lines if " all_modules." in line or "(all_modules." in line]) > 100
    fused, plain = (
        [
            line.split()[1]
            for line in compare("reference", side, "--all", *flags, network=network).splitlines()
        ]
        for flags in ((), ("--unfused",))
    )
    n_up, n_add = map(int, re.search(r"(\d+) upsamplings .* (\d+) sums", text).groups())
    assert n_up > 0 and n_add > 0
    assert fused.count("convolution_add") == n_add and "convolution_add" not in plain
    # The small image that is enlarged behind its convolution has no value in the network as written.
    assert plain.count("convolution") == fused.count("convolution") + n_add + n_up


def test_first_difference(compare, tmp_path):
    """Squares of 1e25 are beyond float32, in which the cpu takes the variance, and not beyond the
    reference's double: a fault of one operation, which others after it inherit."""
    name, weights = "all_modules.5.Conv_0", tmp_path / "weights.safetensors"
    for tensor in ("weight", "bias"):
        source = weights if weights.exists() else GOLDEN / "net_a.weights.safetensors"
        scale(source, weights, f"{name}.{tensor}", 1e25)
    text = compare("reference", "cpu:fp32", "--all", weights=weights, code=1)
    marked = [line.split() for line in text.splitlines() if line.split()[1:2] == ["!"]]
    assert marked[0][2:4] == ["group_norm", "all_modules.5.GroupNorm_1"]
    text = compare("reference", "cpu:fp32", weights=weights, code=1)
    first = next(line.split() for line in text.splitlines() if line.split()[1:2] == ["!"])
    assert first == marked[0]
    assert "worst at [0, " in text and "the two differ" in text


def test_tolerance(compare):
    """Nothing but casts differs by so little: the first of them is the image's."""
    text = compare("cpu:fp32", "cpu:bf16", "--tolerance", "1e-7", code=1)
    first = next(line.split() for line in text.splitlines() if line.split()[1:2] == ["!"])
    assert first[2] == "affine" and first[4:6] == ["16x16x3", "bf16"]


def test_equal_sides(program, model):
    done = subprocess.run(
        [program("softdiff-inspect"), "compare", model, "cpu", "cpu", "--all", "--images", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if "all_modules." in line]
    assert rows and all(row[-3:] == ["0", "0", "0"] for row in rows)


def test_mistakes_of_compare(compare, program, model):
    assert 'unknown device "gpu"' in compare("cpu", "gpu", code=2)
    assert "fp32 only" in compare("reference:bf16", "cpu", code=1)
    assert "is missing" in compare("cpu", code=2)
    done = subprocess.run(
        [program("softdiff-inspect"), "compare", model, "cpu", "cpu", "--weights", model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "has weights of its own" in done.stderr


@pytest.mark.sanitizers
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
