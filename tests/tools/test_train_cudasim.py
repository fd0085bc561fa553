"""softdiff-train on the simulated GPU: the same training as on a processor."""
import json
import subprocess

import mpi
import numpy
import pytest
import safetensors_file
from PIL import Image

pytestmark = pytest.mark.usefixtures("cudasim")


def lines(trainer, name):
    return [json.loads(line) for line in (trainer.folder / name / "log.jsonl").read_text().splitlines()]


def test_a_training_is_that_of_a_processor(trainer):
    for name, device in (("host", "cpu"), ("gpu", "cudasim")):
        done = trainer(name, "--device", device, "--precision", "fp32", "--steps", 3)
        assert done.returncode == 0, done.stderr
    for host, gpu in zip(lines(trainer, "host"), lines(trainer, "gpu"), strict=True):
        assert gpu["loss"] == pytest.approx(host["loss"], rel=1e-4)
        assert gpu["grad_norm"] == pytest.approx(host["grad_norm"], rel=1e-4)


def draw(program, model, folder, device, *arguments):
    done = subprocess.run(
        [program("softdiff-sample"), model, "--device", device, "--precision", "fp32", "--nfe", "2",
         "-n", "2", "--out", folder, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return numpy.array([Image.open(path) for path in sorted(folder.glob("*.png"))], dtype=int)


def test_labels_and_objectives_are_those_of_a_processor(trainer, program, tmp_path):
    """Labels, some of them withheld, and all that may be added to the loss; then images of a label, guided."""
    trainer.recipe["architecture"]["n_labels"] = 3
    trainer.recipe["training"] |= {"label_dropout": 0.4, "lr": 0.02}
    trainer.recipe["objective"] = {"look_ahead": 0.1, "residual": 0.2, "perturbation": 0.1, "colors": "alike"}
    for i, name in enumerate(["cat", "dog", "ox"] * 4):
        (trainer.data / name).mkdir(exist_ok=True)
        (trainer.data / f"{i}.png").rename(trainer.data / name / f"{i}.png")
    test_a_training_is_that_of_a_processor(trainer)
    model = trainer.folder / "gpu" / "model.safetensors"
    flags = {"dog": ("--label", "dog"), "guided": ("--label", "dog", "--guidance", "20")}
    drawn = {}
    for name, arguments in flags.items():
        gpu, host = (draw(program, model, tmp_path / f"{name}-{device}", device, *arguments)
                     for device in ("cudasim", "cpu"))
        assert gpu.shape == (2, 16, 16, 3) and abs(gpu - host).max() <= 1
        drawn[name] = gpu
    assert (drawn["dog"] != drawn["guided"]).any()


def test_a_training_resumes_exactly_in_bf16(trainer):
    """Which is also what it takes by itself: fp16 would lose gradients, and is refused."""
    done = trainer("through", "--device", "cudasim", "--steps", 4)
    assert done.returncode == 0 and "precision=bf16" in done.stderr, done.stderr
    for steps in (2, 4):
        done = trainer("parts", "--device", "cudasim", "--steps", steps)
        assert done.returncode == 0, done.stderr
    through, _ = safetensors_file.read(trainer.folder / "through" / "state.safetensors")
    parts, _ = safetensors_file.read(trainer.folder / "parts" / "state.safetensors")
    for name, values in through.items():
        assert values.tobytes() == parts[name].tobytes(), name
    done = trainer("half", "--device", "cudasim", "--precision", "fp16")
    assert done.returncode == 1 and "training in fp16 loses gradients" in done.stderr


def test_two_gpus_are_two_processors(trainer, build_dir):
    """Their gradients are summed by NCCL where they lie, and all go on with the same weights."""
    if not (build_dir / "engine/communicator/softdiff-mpi.so").exists():
        pytest.skip("built without MPI")
    for name, device in (("host", "cpu"), ("gpus", "cudasim")):
        program = trainer.command(name, "--device", device, "--precision", "fp32", "--steps", 3)
        done = mpi.run(2, program)
        assert done.returncode == 0 and " ranks=2 " in done.stderr, done.stderr
    done = trainer("gpu", "--device", "cudasim", "--precision", "fp32", "--steps", 3)
    assert done.returncode == 0, done.stderr
    for host, gpus, gpu in zip(*(lines(trainer, name) for name in ("host", "gpus", "gpu")), strict=True):
        for name in ("loss", "grad_norm"):
            assert gpus[name] == pytest.approx(host[name], rel=1e-4)
            assert gpus[name] == pytest.approx(gpu[name], rel=1e-5)


@pytest.mark.slow
def test_two_gpus_resume_exactly(trainer, build_dir):
    if not (build_dir / "engine/communicator/softdiff-mpi.so").exists():
        pytest.skip("built without MPI")
    for name, steps in (("through", 3), ("parts", 2), ("parts", 3)):
        done = mpi.run(2, trainer.command(name, "--device", "cudasim", "--steps", steps))
        assert done.returncode == 0, done.stderr
    through, parts = (
        safetensors_file.read(trainer.folder / name / "state.safetensors")[0]
        for name in ("through", "parts")
    )
    for name, values in through.items():
        assert values.tobytes() == parts[name].tobytes(), name
