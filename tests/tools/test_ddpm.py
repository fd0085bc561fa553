"""Imported networks of DDPM and DDPM++ are models like any other: measured, shown, exported, served, trained on."""

import json
import pathlib
import subprocess
import sys
import urllib.request

import numpy
import onnxruntime
import pytest
import safetensors_file
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = ROOT / "config" / "recipes"
sys.path.insert(0, str(ROOT / "tests" / "golden" / "remake"))

import vectors  # noqa: E402  pylint: disable=wrong-import-position

SMALL = {
    "image_size": 12, "nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [6],
    "embedding_type": "positional",
}  # fmt: skip
NETWORKS = {"ddpm": "net_d", "ddpmpp": "net_e"}
RECIPE = {"ddpm": "ddpm-song", "ddpmpp": "ddpmpp"}


@pytest.fixture
def run(program):
    """Runs a program, for what it prints."""

    def run(name, *arguments):
        done = subprocess.run(
            [program(f"softdiff-{name}"), *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(params=NETWORKS)
def network(request):
    return request.param


@pytest.fixture
def imported(run, network, tmp_path):
    """A checkpoint of it, by the weights of the golden files."""
    golden = vectors.golden(f"{NETWORKS[network]}.io")
    names = [key[5:] for key in golden if key.startswith("grad.") and key != "grad.x"]
    tensors = {}
    for k, key in enumerate(names):
        shape = golden[f"grad.{key}"].shape
        tensors[key] = "F32", list(shape), vectors.recipe(key, shape, k).tobytes()
    weights, path = tmp_path / "weights.safetensors", tmp_path / "imported.safetensors"
    process = {"name": "vp", "beta_min": 0.1, "beta_max": 20}
    metadata = {"architecture": json.dumps(SMALL | {"network": network}), "process": json.dumps(process)}
    safetensors_file.join(weights, tensors, metadata)
    run("convert", "import", weights, path)
    return path


def image(path):
    return numpy.array(Image.open(path)).astype(int)


def test_it_is_shown_measured_and_described(run, network, imported, tmp_path):
    shown = run("inspect", imported)
    assert f'"network":"{network}"' in shown
    parameters = shown.split("parameters")[1].split()[0]
    for arguments in ((), ("--train",), ("--roofline", "H100"), ("--ticks", "2")):
        assert run("bench", imported, "--rounds", 1, *arguments)
    measured = json.loads(run("bench", imported, "--rounds", 1, "--json"))
    assert measured
    run("convert", "card", imported, tmp_path / "card.md")
    card = (tmp_path / "card.md").read_text()
    title = {"ddpm": "DDPM as Song et al. have it", "ddpmpp": "DDPM++"}[network]
    assert f"| network | {title}, nf 16" in card and f"{parameters} parameters" in card
    assert "| imported from | yang-song/score_sde_pytorch |" in card
    assert "[Soft Diffusion](https://arxiv.org/abs/2209.05442) model" not in card


def test_what_a_daemon_and_onnxruntime_draw_is_what_the_program_draws(run, imported, serve, tmp_path):
    run("sample", imported, "--out", tmp_path, "--seed", 3, "-n", 1, "--nfe", 3, "--precision", "fp32")
    url = serve("--model", f"it={imported}", "--precision", "fp32")
    with urllib.request.urlopen(f"{url}/v1/models/it/samples/3.png?nfe=3", timeout=60) as answer:
        (tmp_path / "served.png").write_bytes(answer.read())
    run("convert", "onnx", imported, tmp_path / "it.onnx", "--nfe", 3)
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx", providers=["CPUExecutionProvider"])
    (drawn,) = session.run(["images"], {"seed": numpy.array([3])})
    wanted = image(tmp_path / "3.png")
    assert wanted.std() > 10
    assert (image(tmp_path / "served.png") == wanted).all()
    assert numpy.abs(drawn[0].astype(int) - wanted).max() <= 1


def begin(trainer, network, imported):
    recipe = json.loads((RECIPES / f"cifar10-{RECIPE[network]}.json").read_text())
    recipe["architecture"] = safetensors_file.raw(imported)[1]["architecture"]
    recipe["training"] |= {"batch": 4, "steps": 3}
    recipe["progress"] = {"log_every": 1, "grid_every": 0, "checkpoint_minutes": 1000}
    trainer.recipe = recipe


def losses(trainer, name):
    log = (trainer.folder / name / "log.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, log) if "loss" in line]


def test_a_training_goes_on_from_it(trainer, network, imported):
    begin(trainer, network, imported)
    done = trainer("dry", "--dry-run", "--from", imported)
    assert done.returncode == 0 and "GFLOP an image" in done.stdout, done.stderr
    assert not (trainer.folder / "dry").exists()
    done = trainer("run", "--from", imported, "--steps", 1)  # whose learning rate is 0
    assert done.returncode == 0, done.stderr
    before, after = (
        {name: value for name, value in safetensors_file.read(path)[0].items() if name.startswith("net.")}
        for path in (imported, trainer.folder / "run" / "model.safetensors")
    )
    assert before == after
    assert trainer("run", "--steps", 3).returncode == 0
    assert safetensors_file.read(trainer.folder / "run" / "model.safetensors")[0] != after


@pytest.mark.usefixtures("cudasim")
def test_a_gpu_draws_the_same(run, imported, tmp_path):
    for device in ("cpu", "cudasim"):
        run("sample", imported, "--grid", tmp_path / f"{device}.png", "-n", 1, "--nfe", 1,
            "--device", device, "--precision", "fp32")  # fmt: skip
    assert numpy.abs(image(tmp_path / "cpu.png") - image(tmp_path / "cudasim.png")).max() <= 1


@pytest.mark.slow
@pytest.mark.usefixtures("cudasim")
def test_a_gpu_trains_and_measures_the_same(run, trainer, network, imported):
    begin(trainer, network, imported)
    for device in ("cpu", "cudasim"):
        fp32 = ("--device", device, "--precision", "fp32")
        done = trainer(device, "--from", imported, "--steps", 2, *fp32)
        assert done.returncode == 0, done.stderr
        assert run("bench", imported, "--rounds", 1, "--device", device)
    assert losses(trainer, "cudasim") == pytest.approx(losses(trainer, "cpu"), rel=1e-4)
