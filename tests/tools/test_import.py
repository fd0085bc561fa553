"""softdiff-convert import: weights of yang-song/score_sde_pytorch predict what that code does.

That score_sde.py reads what torch writes is shown by tools/check --golden; here is what it writes itself."""

import json
import math
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy
import pytest
import safetensors_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "golden" / "data"
sys.path.insert(0, str(ROOT / "tests" / "golden" / "remake"))

import vectors  # noqa: E402  pylint: disable=wrong-import-position
FOURIER = {
    "image_size": 16,
    "nf": 16,
    "ch_mult": [1, 2, 2],
    "num_res_blocks": 2,
    "attn_resolutions": [8],
}
POSITIONAL = {
    "image_size": 24,
    "nf": 16,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [12],
    "embedding_type": "positional",
    "centered": True,
}


def images(tensors, name, side):
    return numpy.array(tensors[name]).reshape(-1, 3, side, side).transpose(0, 2, 3, 1)


@pytest.fixture
def imported(program, tmp_path):
    """Imports weights of tests/golden under what is said of them."""

    def run(name, metadata, without=()):
        weights, model = tmp_path / "weights.safetensors", tmp_path / "model.safetensors"
        tensors = safetensors_file.read(DATA / f"{name}.weights.safetensors")[0]
        source = safetensors_file.plain(DATA / f"{name}.weights.safetensors", without)
        safetensors_file.join(weights, source, metadata)
        done = subprocess.run(
            [program("softdiff-convert"), "import", weights, model, "--licence", "mine"],
            capture_output=True,
            text=True,
            check=False,
        )
        return model, tensors, done

    return run


@pytest.mark.sanitizers
@pytest.mark.parametrize(
    "name, architecture, tolerance", [("net_a", FOURIER, 1e-4), ("net_c", POSITIONAL, 1e-4)]
)
def test_predictions_are_those_of_the_reference(imported, build_dir, name, architecture, tolerance):
    model, weights, done = imported(name, {"architecture": json.dumps(architecture)})
    assert done.returncode == 0, done.stderr
    golden = safetensors_file.read(DATA / f"{name}.io.safetensors")[0]
    side, most, least = architecture["image_size"], weights["sigmas"][0], weights["sigmas"][-1]
    x, phi = (images(golden, key, side) for key in ("x", "phi"))
    if "embedding_type" in architecture:
        times = [1 - place / 999 for place in golden["time_cond"]]
    else:
        times = [math.log(s / least) / math.log(most / least) for s in golden["time_cond"]]
    sigmas = numpy.array([least * (most / least) ** t for t in times])[:, None, None, None]
    done = subprocess.run(
        [build_dir / "tests/tools/denoise_numbers", model, *map(repr, times)],
        input=x.astype("<f4").tobytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    h = numpy.frombuffer(done.stdout, "<f4").reshape(x.shape)
    assert numpy.abs((h - x) / sigmas - phi).max() < tolerance
    document = safetensors_file.raw(model)[1]
    assert document["output"] == "sigma" and document["licence"] == "mine"


SMALL = {
    "image_size": 12,
    "nf": 16,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [6],
    "embedding_type": "positional",
}
BETAS = numpy.linspace(1e-4, 0.02, 1000)  # of Ho et al. 2020


@pytest.fixture
def diffusion(program, tmp_path):
    """Imports a network whose weights are made by the formula of the golden files."""

    def run(name, network, process):
        golden = vectors.golden(f"{name}.io")
        names = [key[5:] for key in golden if key.startswith("grad.") and key != "grad.x"]
        weights, model = tmp_path / "weights.safetensors", tmp_path / "model.safetensors"
        tensors = {}
        for k, key in enumerate(names):
            shape = golden[f"grad.{key}"].shape
            tensors[key] = "F32", list(shape), vectors.recipe(key, shape, k).tobytes()
        metadata = {
            "architecture": json.dumps(SMALL | {"network": network}),
            "process": json.dumps(process),
        }
        safetensors_file.join(weights, tensors, metadata)
        done = subprocess.run(
            [program("softdiff-convert"), "import", weights, model],
            capture_output=True,
            text=True,
            check=False,
        )
        return model, golden, done

    return run


@pytest.mark.sanitizers
@pytest.mark.parametrize("name, network", [("net_d", "ddpm"), ("net_e", "ddpmpp")])
def test_a_diffusion_s_network_finds_the_noise(diffusion, build_dir, name, network):
    """What it is given are pictures of [-1,1] in noise, at the time it is told."""
    model, golden, done = diffusion(name, network, {"name": "vp", "betas": list(BETAS)})
    assert done.returncode == 0, done.stderr
    x, phi = (golden[key].transpose(0, 2, 3, 1) for key in ("x", "phi"))
    times = golden["time_cond"] / 999.0
    kept = numpy.cumprod(1 - BETAS)
    a = numpy.interp(golden["time_cond"], range(1000), numpy.sqrt(kept))[:, None, None, None]
    sigma = numpy.interp(golden["time_cond"], range(1000), numpy.log(1 - kept) / 2)
    sigma = 0.5 * numpy.exp(sigma)[:, None, None, None]
    x_t = ((2 * x - 1 + a) / 2).astype("<f4")
    done = subprocess.run(
        [build_dir / "tests/tools/denoise_numbers", model, *map(repr, map(float, times))],
        input=x_t.tobytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    h = numpy.frombuffer(done.stdout, "<f4").reshape(x.shape).astype(float)
    assert numpy.abs((x_t - a * h) / sigma - phi).max() < 1e-4
    document = safetensors_file.raw(model)[1]
    assert document["output"] == "noise" and document["time_embed"] == "positional_999t"


@pytest.mark.parametrize("sampler", ["pf-sigma", "ancestral"])
def test_a_diffusion_is_drawn_with(diffusion, program, tmp_path, sampler):
    model, _, _ = diffusion("net_d", "ddpm", {"name": "subvp", "beta_min": 0.1, "beta_max": 20})
    done = subprocess.run(
        [program("softdiff-sample"), model, "--grid", tmp_path / "grid.png", "--nfe", "3"]
        + ["--sampler", sampler],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "process, text",
    [
        ({"name": "ve"}, "ve"),
        ({"name": "vp", "betas": [0.1]}, "betas"),
        ({"name": "vp", "betas": [0.1] * 500}, "is not a list of 1000 numbers"),
        ({"name": "vp", "betas": [0.1, 1.5] + [0.1] * 998}, "beta 1 is 1.5"),
        ({"name": "vp", "betas": [0.1] * 999 + [1]}, 'output "noise" does not go with a schedule whose level'),
        ({"name": "vp", "betas": [1] + [0.1] * 999}, "beta 0 is 1"),
        ({"name": "vp", "betas": [0.1] * 1000, "predicts": "score"}, '"score"'),
        ({"name": "subvp", "beta_min": 0.1, "beta_max": 20, "predicts": "velocity"}, 'with "subvp"'),
        ({"name": "vp", "beta_min": 0.1}, "beta_max"),
        ({"name": "vp", "beta_min": 0.1, "beta_max": 20, "N": 1000}, "N"),
    ],
)
def test_other_processes_are_refused(diffusion, process, text):
    model, _, done = diffusion("net_d", "ddpm", process)
    assert done.returncode == 1 and text in done.stderr
    assert not model.exists()


def test_an_imported_model_is_drawn_with(imported, program, tmp_path):
    model, _, _ = imported("net_a", {"architecture": json.dumps(FOURIER)})
    done = subprocess.run(
        [program("softdiff-sample"), model, "--grid", tmp_path / "grid.png", "--nfe", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "metadata, without, text",
    [
        ({}, (), '"architecture" in the metadata'),
        ({"architecture": json.dumps(FOURIER)}, ("sigmas",), '"sigmas"'),
        ({"architecture": json.dumps(FOURIER | {"nf": 32})}, (), "the model needs"),
        ({"architecture": json.dumps(FOURIER)}, ("all_modules.32.bias",), "all_modules.32.bias"),
        ({"architecture": "{"}, (), "weights.safetensors"),
    ],
)
def test_what_does_not_fit_is_refused(imported, metadata, without, text):
    model, _, done = imported("net_a", metadata, without)
    assert done.returncode == 1 and text in done.stderr
    assert not model.exists()


class Runs:
    """What runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch harm",)


@pytest.mark.parametrize(
    "content, text",
    [
        (None, "is not what torch writes"),
        (Runs(), "system, which is not read"),
        ({"model": {}}, "no checkpoint of score_sde_pytorch"),
    ],
)
def test_a_pickle_runs_nothing(tmp_path, content, text):
    path = tmp_path / "checkpoint.pth"
    if content:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("checkpoint/data.pkl", pickle.dumps(content))
    else:
        path.write_bytes(b"\x80\x02old")
    script = ROOT / "tools" / "convert" / "score_sde.py"
    done = subprocess.run(
        [sys.executable, script, path, tmp_path / "out", "--image-size", "32"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1 and text in done.stderr
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()
