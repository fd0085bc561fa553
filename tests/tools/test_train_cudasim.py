"""softdiff-train on the simulated GPU: the same training as on a processor."""
import json

import mpi
import pytest
import safetensors_file

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
