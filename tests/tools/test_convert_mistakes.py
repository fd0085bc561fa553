"""What softdiff-convert, and the programs beside it, say of what they cannot read or write: a line, and no file."""

import json
import resource
import struct
import subprocess
import sys
import unittest.mock

import numpy
import pictures
import pytest
import safetensors_file
import small_models
import torch_file
import unets

sys.path.insert(0, str(unets.ROOT / "tools" / "convert"))

import face_network  # noqa: E402  pylint: disable=wrong-import-position
import inception  # noqa: E402  pylint: disable=wrong-import-position
import score_sde  # noqa: E402  pylint: disable=wrong-import-position

COMMANDS = {
    "upgrade": (), "defaults": ("--sampler", "pf-2m", "--nfe", "7"), "average": ("--length", "0.1"),
    "card": (), "onnx": (), "import": (), "dataset": ("--side", "16"),
}  # fmt: skip


@pytest.fixture
def convert(program, tmp_path):
    """What a command says of one file, which leaves nothing."""

    def run(command, given, **options):
        out = tmp_path / "out"
        done = subprocess.run(
            [program("softdiff-convert"), command, given, out, *COMMANDS[command]],
            capture_output=True, text=True, check=False, **options,
        )  # fmt: skip
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        assert not out.exists() and not list(tmp_path.glob(".*.part"))
        return done.stderr

    return run


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    """A folder of diffusers, and in it what diffusers_unet.py makes of it."""
    path = tmp_path_factory.mktemp("unet")
    torch_file.write(path / "diffusion_pytorch_model.bin", unets.weights())
    (path / "config.json").write_text(json.dumps(unets.UNET))
    with unittest.mock.patch.object(sys, "argv", ["x", str(path), str(path / "weights.safetensors")]):
        unets.diffusers_unet.main()
    return path


@pytest.fixture(scope="module")
def given(build_dir, tmp_path_factory):
    """A model, and files that are not what is asked for."""
    tmp_path = tmp_path_factory.mktemp("given")
    whole = small_models.write(build_dir, tmp_path / "whole", "blur").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1000])
    (tmp_path / "text").write_text("neither")
    (tmp_path / "folder").mkdir()
    bad = bytearray(whole)
    bad[-4:] = struct.pack("<f", float("nan"))
    (tmp_path / "nan").write_bytes(bad)
    torch_file.write(tmp_path / "torch.pth", {"model": {}, "ema": {}})
    return tmp_path


@pytest.mark.parametrize(
    "name, text, commands",
    [
        ("cut", "ends after the end of the file", ("upgrade", "defaults", "card", "onnx", "import")),
        ("nan", "is not a finite number", ("upgrade", "defaults", "card", "onnx")),
        ("text", "not a safetensors file", ("card", "import")),
        ("folder", "not a regular file", ("card", "import")),
        ("torch.pth", "a zip archive, such as PyTorch's .pth and .ckpt", ("card", "import")),
        ("missing", "No such file or directory", ("card", "import")),
    ],
)
def test_a_model_that_is_none(convert, given, name, text, commands):
    for command in commands:
        told = convert(command, given / name)
        assert text in told and name in told


def test_other_things_that_are_not_what_is_asked_for(convert, given):
    assert "is no run of softdiff-train" in convert("average", given / "folder")
    assert "is no run of softdiff-train" in convert("average", given / "whole")
    assert "score_sde.py or diffusers_unet.py" in convert("import", given / "torch.pth")
    assert 'no PNG or JPEG pictures below "' in convert("dataset", given / "folder")
    assert "is no folder, ZIP archive" in convert("dataset", given / "cut")


def full():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.parametrize("command", ["defaults", "onnx", "import", "dataset"])
def test_files_that_may_not_grow(convert, given, unet, tmp_path, command):
    source = given / "whole"
    if command == "dataset":
        source = tmp_path / "pictures"
        source.mkdir()
        for i in range(4):
            pictures.write(source / f"{i}.png", 16, i)
    if command == "import":
        source = unet / "weights.safetensors"
    told = convert(command, source, preexec_fn=full)
    assert "File too large" in told and str(tmp_path / "out") in told


def said(main, *words):
    with unittest.mock.patch.object(sys, "argv", ["x", *map(str, words)]), pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, str) and "\n" not in end.value.code
    return end.value.code


@pytest.mark.parametrize(
    "name, text",
    [
        ("missing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("text", "damaged"),
        ("cut", "damaged"),
        ("torch.pth", "no"),
    ],
)
@pytest.mark.parametrize("program", [score_sde, inception, face_network])
def test_weights_that_are_none(given, tmp_path, program, name, text):
    out = tmp_path / "out"
    more = ("--image-size", "12") if program is score_sde else ()
    assert text in said(program.main, given / name, out, *more)
    assert not out.exists()


def test_what_cannot_be_written(unet, tmp_path):
    (tmp_path / "there").write_text("as it was")
    assert "Is a directory" in said(unets.diffusers_unet.main, unet, tmp_path)
    assert "No such file" in said(unets.diffusers_unet.main, unet, tmp_path / "none" / "out")
    script = unets.ROOT / "tools" / "convert" / "diffusers_unet.py"
    done = subprocess.run([sys.executable, script, unet, tmp_path / "there"], preexec_fn=full,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1 and done.stderr == f'could not write "{tmp_path / "there"}": File too large\n'
    assert (tmp_path / "there").read_text() == "as it was" and not list(tmp_path.glob("*.part"))


def test_numbers_of_16_bits_are_taken_and_nan_is_not(program, unet, tmp_path):
    metadata = safetensors_file.read(unet / "weights.safetensors")[1]
    tensors = safetensors_file.plain(unet / "weights.safetensors")
    weights, out = tmp_path / "weights.safetensors", tmp_path / "model.safetensors"
    for spoilt in (False, True):
        half = {}
        for name, (_, shape, data) in tensors.items():
            values = numpy.frombuffer(data, "<f4").astype("<f2")
            if spoilt:
                values[0] = float("nan")
            half[name] = "F16", shape, values.tobytes()
        safetensors_file.join(weights, half, metadata)
        done = subprocess.run([program("softdiff-convert"), "import", "--force", weights, out],
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == spoilt and ("is not a finite number" in done.stderr) == spoilt
