"""The Inception-V3 of published FIDs: its weights from a .pth, and what is said without them.

That inception.py reads what torch writes, and that softdiff-eval then computes what pytorch-fid does, is
shown by tools/check --golden."""

import array
import collections
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy
import pictures
import pytest
import safetensors_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "convert"))

import inception  # noqa: E402  pylint: disable=wrong-import-position
import tensor_files  # noqa: E402  pylint: disable=wrong-import-position


def convert(path, out):
    script = ROOT / "tools" / "convert" / "inception.py"
    return subprocess.run(
        [sys.executable, script, path, out], capture_output=True, text=True, check=False, cwd=path.parent
    )


class Runs:
    """What runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch harm",)


def old(*values):
    return b"".join(pickle.dumps(value, 2) for value in values)


@pytest.mark.parametrize(
    "content, text",
    [
        (b"\x80\x02old", "is not what torch writes"),
        (b"<!DOCTYPE html>", "is not what torch writes"),
        (old(tensor_files.MAGIC, 1001, {}, Runs()), "system, which is not read"),
        (old(tensor_files.MAGIC, 1001, {}, [1], []), "has no weights by name"),
        (old(tensor_files.MAGIC, 1001, {}, {}, ["0"]) + bytes(8), "a storage that no tensor is in"),
        ({"a": 1}, "has 0 convolutions, not the 94 of Inception-V3"),
        ({"AuxLogits.fc.bias": 1}, "is torchvision's own Inception-V3"),
        ({"a.conv.weight": 1}, "no batch norm after a.conv.weight"),
        (Runs(), "system, which is not read"),
    ],
)
def test_what_is_not_these_weights_is_refused(tmp_path, content, text):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights/data.pkl", pickle.dumps(content))
    done = convert(path, tmp_path / "out")
    assert done.returncode == 1 and text in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()


def test_a_batch_norm_goes_into_its_convolution(monkeypatch):
    random = numpy.random.default_rng(1)
    state = collections.OrderedDict()
    state["a.conv.weight"] = random.normal(size=(3, 2, 1, 5)).astype("<f4")
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"a.bn.{part}"] = random.uniform(0.5, 2, 3).astype("<f4")
    state["a.bn.num_batches_tracked"] = numpy.int64(7)
    state["fc.weight"] = random.normal(size=(4, 3)).astype("<f4")
    monkeypatch.setattr(inception, "LAYERS", 1)
    out = inception.folded(state, "x.pth")
    assert sorted(out) == ["a.bias", "a.weight"]
    x = random.normal(size=(2, 1, 5))
    y = (state["a.conv.weight"] * x).sum((1, 2, 3))
    want = (y - state["a.bn.running_mean"]) / numpy.sqrt(state["a.bn.running_var"] + 1e-3)
    want = want * state["a.bn.weight"] + state["a.bn.bias"]
    assert (out["a.weight"] * x).sum((1, 2, 3)) + out["a.bias"] == pytest.approx(want, rel=1e-6)


def test_the_weights_are_the_users(program, tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(2):
        pictures.write(tmp_path / "a" / f"{i}.png", 16, i)
    safetensors_file.write(tmp_path / "other", {"x": ([1], array.array("f", [1]))})
    for more, text in (
        ([], 'the weights of "inception" do not come with softdiff: tools/convert/inception.py makes them'),
        (["--network", "other"], 'weights "other": tensor "Conv2d_1a_3x3.weight" is missing'),
    ):
        done = subprocess.run(
            [program("softdiff-eval"), "stats", "a", "-o", "x", "--features", "inception", *more],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 1 and text in done.stderr
        assert not (tmp_path / "x").exists()
