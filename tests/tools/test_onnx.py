"""softdiff-convert onnx: what onnxruntime draws with the file is what softdiff draws."""

import json
import pathlib
import subprocess

import numpy
import onnxruntime
import pytest
import safetensors_file
import small_models
import test_recipes
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZOO = ROOT / "model" / "zoo" / "faces32.safetensors"
RECIPES = ROOT / "config" / "recipes"
TOLERANCE = 1e-5  # of the largest number, or of 1


@pytest.fixture
def exported(program, tmp_path):
    """A session of onnxruntime with a model, drawn with a sampler."""

    def run(model, *arguments):
        path = tmp_path / "model.onnx"
        done = subprocess.run(
            [program("softdiff-convert"), "onnx", model, path, "--force", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    return run


@pytest.fixture
def same(exported, build_dir):
    """Holds three images of a model to what softdiff computes."""

    def run(model, sampler, nfe, seed=7, led=(), differ=True, **inputs):
        session = exported(model, "--sampler", sampler, "--nfe", nfe)
        seeds = numpy.arange(seed, seed + 3, dtype=numpy.uint64).view(numpy.int64)
        images, x = session.run(None, {"seed": seeds, **inputs})
        done = subprocess.run(
            [build_dir / "tests/tools/draw_numbers", model, sampler, nfe, str(seed), "3", *led],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        n, side, _, channels = images.shape
        numbers = numpy.frombuffer(done.stdout, "<f4").reshape(n, side, side, channels)
        scale = max(1, numpy.abs(numbers).max())
        assert numpy.abs(x.transpose(0, 2, 3, 1) - numbers).max() <= TOLERANCE * scale
        assert (numpy.abs(numbers - numbers[:1]).max() > 0.01) == differ  # by their seeds
        assert (numpy.round(numpy.clip(x, 0, 1) * 255).transpose(0, 2, 3, 1) == images).all()
        return x

    return run


def small(build_dir, tmp_path, corruption):
    path = tmp_path / "small.safetensors"
    command = [build_dir / "tests/api/make_checkpoint", path, corruption, "16", "16", "3"]
    subprocess.run(command, check=True)
    return path


SAMPLERS = {
    "blur": "sde-2m", "blur-dct": "pf-2m", "pixelate": "momentum", "fade": "probability-flow",
    "noise": "pf-literal", "vp": "pf-sigma", "subvp": "ancestral", "mask-spiral": "pf-heun",
    "mask-rows": "tuned", "mask-list": "naive", "mask-random": "tuned", "matrices": "ancestral",
    "product": "sde-2m",
}  # fmt: skip
OUTPUTS = {"vp": "velocity", "subvp": "clean", "noise": "sigma", "fade": "scaled"}
SOLVER = {"nfe": 4, "t": [1, 0.6, 0.4, 0.1, 0], "trend": [0, 0.2, 0.3, 0.1], "noise": [0.5, 0.2, 0.9, 0]}


@pytest.mark.parametrize("corruption", small_models.CORRUPTIONS)
def test_every_corruption_sampler_and_output(same, build_dir, tmp_path, corruption):
    def state(document):
        document["solvers"] = [SOLVER]
        document["defaults"] = {"sampler": "ancestral", "nfe": 4, "excess": 0.5}

    model = tmp_path / "small.safetensors"
    small_models.write(build_dir, model, corruption, OUTPUTS.get(corruption, "residual"))
    safetensors_file.rewrite(model, model, state)
    same(model, SAMPLERS[corruption], "4")


def test_without_noise(same, build_dir, tmp_path):
    model = small_models.write(build_dir, tmp_path / "small.safetensors", "blur", noise=False)
    same(model, "probability-flow", "3", differ=False)  # nor do seeds draw anything


@pytest.mark.sanitizers
def test_seeds_have_64_bits(same, build_dir, tmp_path):
    same(small(build_dir, tmp_path, "blur"), "momentum", "2", seed=2**64 - 3)


@pytest.mark.parametrize("corruption", ["blur", "noise", "mask"])
def test_models_that_were_trained(same, trainer, corruption):
    """With tables of output wiener, the prior of a blur and the start of the others."""
    if corruption != "blur":
        trainer.recipe["corruption"] = {"name": corruption}
    if corruption == "noise":
        trainer.recipe["schedule"] = {"sigma_max": 20}
    if corruption == "mask":
        trainer.recipe["corruption"]["order"] = "spiral"
        for level in ("level_min", "level_max"):
            del trainer.recipe["schedule"][level]
    done = trainer("run", "--steps", 2)
    assert done.returncode == 0, done.stderr
    same(trainer.folder / "run" / "model.safetensors", "ancestral", "3")


@pytest.mark.parametrize("name", ["cifar10-ddpm-ho", "cifar10-ddpmpp"])
def test_models_of_recipes(same, trainer, name):
    path = RECIPES / f"{name}.json"
    trainer.recipe = test_recipes.shrink(json.loads(path.read_text()))
    done = trainer("run", "--steps", 1)
    assert done.returncode == 0, done.stderr
    same(trainer.folder / "run" / "model.safetensors", "pf-2m", "3")


def test_labels_and_guidance(same, exported, build_dir, tmp_path):
    labelled = small_models.write(build_dir, tmp_path / "labelled.safetensors", "blur", labels=True)
    drawn = []
    for number, weight in ((2, 1), (3, 1.5)):
        led = [str(number), str(weight)]
        labels = numpy.full(3, number)
        weights = numpy.full(3, weight, numpy.float32)
        drawn.append(same(labelled, "pf-2m", "3", led=led, label=labels, guidance=weights))
    assert numpy.abs(drawn[0] - drawn[1]).max() > 1e-3
    session = exported(labelled, "--sampler", "pf-2m", "--nfe", 3)
    assert json.loads(session.get_modelmeta().custom_metadata_map["softdiff.labels"]) == small_models.LABELS
    mixed = {"label": numpy.array([2, 3]), "guidance": numpy.array([1, 1.5], numpy.float32)}
    (x,) = session.run(["x"], {"seed": numpy.array([7, 8]), **mixed})
    for i, alone in enumerate(drawn):  # a batch of different ones
        assert numpy.abs(x[i] - alone[i]).max() <= TOLERANCE * max(1, numpy.abs(alone).max())


def test_the_zoo_draws_its_faces(exported, program, tmp_path):
    """It draws what softdiff-sample does, byte by byte but for what rounding decides."""
    session = exported(ZOO, "--nfe", 3)
    (images,) = session.run(["images"], {"seed": numpy.array([7, 8])})
    subprocess.run(
        [program("softdiff-sample"), ZOO, "--out", tmp_path, "--seed", "7", "--number", "2"]
        + ["--precision", "fp32", "--nfe", "3"],
        check=True,
        capture_output=True,
    )
    for image, seed in zip(images, (7, 8)):
        drawn = numpy.array(Image.open(tmp_path / f"{seed}.png"), numpy.int16)
        difference = numpy.abs(drawn - image)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.001
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["softdiff.sampler"] == "sde-2m" and properties["softdiff.nfe"] == "3"
    assert "licence" in properties


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--sampler", "tuned"], "no tables of the sampler tuned"),
        (["--sampler", "euler"], "euler"),
    ],
)
def test_mistakes(program, build_dir, tmp_path, arguments, text):
    model, out = small(build_dir, tmp_path, "blur"), tmp_path / "out.onnx"
    done = subprocess.run(
        [program("softdiff-convert"), "onnx", model, out, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and text in done.stderr
    assert not out.exists()


def test_a_file_that_is_there_stays(program, build_dir, tmp_path):
    model, out = small(build_dir, tmp_path, "blur"), tmp_path / "out.onnx"
    out.write_bytes(b"mine")
    done = subprocess.run(
        [program("softdiff-convert"), "onnx", model, out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "--force replaces it" in done.stderr
    assert out.read_bytes() == b"mine"
