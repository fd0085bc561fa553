"""softdiff-eval restore: what comes back of pictures that were degraded, against what they were."""
import json
import math
import subprocess

import numpy
import pytest
from PIL import Image

SIDE = 16


@pytest.fixture
def folder(tmp_path):
    """Clouds of colour: 6 to restore, 60 others."""
    random = numpy.random.default_rng(1)
    for name, n in (("real", 6), ("others", 60)):
        (tmp_path / name).mkdir()
        for i in range(n):
            x = random.normal(0.5, 0.3, (SIDE, SIDE, 3)) + random.normal(0, 0.1, 3)
            x = numpy.einsum("ij,jkc,lk->ilc", blur_matrix(0.7), x, blur_matrix(0.7))
            Image.fromarray(numpy.uint8(bytes_of(x))).save(tmp_path / name / f"{i:02}.png")
    return tmp_path


@pytest.fixture
def restore(program, model, folder):
    def run(*arguments, code=0):
        command = [program("softdiff-eval"), "restore", model, "real", *arguments, "--threads", "2"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == code, done.stderr
        return done

    return run


def read(folder):
    return numpy.array([numpy.asarray(Image.open(path).convert("RGB"), float) for path in sorted(folder.iterdir())]) / 255


def bytes_of(x):
    return numpy.floor(255 * numpy.clip(x, 0, 1) + 0.5)


def psnr(a, b):
    errors = ((a - b) ** 2).reshape(len(a), -1).mean(1)
    return (10 * numpy.log10(255**2 / errors)).mean()


def blur_matrix(std):
    weights = numpy.exp(-0.5 * (numpy.subtract.outer(numpy.arange(SIDE), numpy.arange(SIDE)) / std) ** 2)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.sanitizers
def test_measures_are_what_they_say(restore, folder, model):
    """A blur makes no noise: everything but the samples is known from the pictures."""
    done = restore("-d", "blur:1,hole:0.25,noise:0.1", "-k", "3", "--nfe", "3", "--wiener", "others", "--json")
    found = json.loads(done.stdout)
    assert (found["pictures"], found["others"], found["samples"], found["nfe"]) == (6, 60, 3, 3)
    rows = {row["degradation"]: row for row in found["rows"]}
    real, others = read(folder / "real"), read(folder / "others")
    a = blur_matrix(1)
    y = bytes_of(numpy.einsum("ij,njkc,lk->nilc", a, real, a))
    blur = rows["blur:1"]
    assert abs(blur["degraded"]["psnr"] - psnr(y, bytes_of(real))) < 0.02
    # Wiener's estimate, in the plainest way.
    x = numpy.concatenate([others, others[:, :, ::-1]]).reshape(2 * len(others), -1)
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    operator = numpy.kron(numpy.kron(a, a), numpy.eye(3))
    gain = covariance @ operator.T @ numpy.linalg.inv(
        operator @ covariance @ operator.T + numpy.eye(len(mean)) / (12 * 255**2))
    estimate = mean + (y.reshape(len(y), -1) / 255 - operator @ mean) @ gain.T
    wiener = psnr(bytes_of(estimate.reshape(real.shape)), bytes_of(real))
    assert abs(blur["linear"]["psnr"] - wiener) < 0.01
    assert abs(rows["noise:0.1"]["degraded"]["psnr"] - 20) < 1  # of what is cut off there is less
    for row in rows.values():
        assert row["mean"]["psnr"] > row["sample"]["psnr"] - 0.05  # of a convex measure, but for rounding
        assert all(0 < row[kind]["distance"] < 30 for kind in ("degraded", "linear", "sample", "mean"))
    assert all(rows["hole:0.25"][kind]["residual"] == 0 for kind in ("degraded", "linear", "sample", "mean"))
    assert rows["hole:0.25"]["mean"]["psnr"] > rows["hole:0.25"]["sample"]["psnr"]
    assert rows["noise:0.1"]["degraded"]["residual"] == 0 < rows["noise:0.1"]["sample"]["residual"]


def test_the_table_and_the_document_tell_the_same(restore):
    arguments = ("-d", "dots:0.5,blur:1+0.05", "-k", "1", "--nfe", "2", "-n", "2")
    document = json.loads(restore(*arguments, "--json").stdout)
    lines = restore(*arguments).stdout.splitlines()
    assert lines[0].startswith("2 pictures at 16 px") and len(lines) == 2 + 2 * 3  # nothing of Wiener's
    for row, line in zip(document["rows"], (lines[2], lines[5])):
        words = line.split()
        assert words[0] == row["degradation"] and "linear" not in row
        assert math.isclose(float(words[4]), row["degraded"]["psnr"], abs_tol=0.01)
    assert [row["noise"] for row in document["rows"]] == [0, 0.05]


@pytest.mark.parametrize("list", ["", "rain:1", "blur:", "blur:0", "blur:x", "hole:1", "noise:0.1+", "noise:0.1+2", "blur:1,",
                                  ",".join(["blur:1"] * 17)])  # fmt: skip
def test_mistakes(restore, list):
    assert "degradation" in restore("-d", list, code=2).stderr


def test_what_no_model_undoes(restore):
    assert "noise:9: this model undoes a noise with a std of up to" in restore("-d", "noise:9", code=1).stderr
