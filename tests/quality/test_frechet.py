"""The distance itself against numbers from scipy, and the images' way to the network."""

import pathlib

import numpy
import pytest
from PIL import Image

import frechet

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "data" / "metrics.safetensors"


def test_distance_agrees_with_golden():
    golden = frechet.read_safetensors(GOLDEN)
    expected = float(golden["fid"].item())
    assert frechet.distance(golden["real"], golden["fake"]) == pytest.approx(expected, rel=1e-5)


def test_kernel_distance_agrees_with_golden():
    golden = frechet.read_safetensors(GOLDEN)
    expected = float(golden["kid_unbiased_cubic"].item())
    assert frechet.kernel_distance(golden["real"], golden["fake"]) == pytest.approx(
        expected, rel=1e-5
    )


def test_precision_and_recall_agree_with_golden():
    golden = frechet.read_safetensors(GOLDEN)
    real, fake = golden["real"], golden["fake"]
    assert frechet.coverage(fake, real) == pytest.approx(float(golden["precision_k3"].item()))
    assert frechet.coverage(real, fake) == pytest.approx(float(golden["recall_k3"].item()))


def test_distance_to_itself_is_zero():
    golden = frechet.read_safetensors(GOLDEN)
    assert abs(frechet.distance(golden["real"], golden["real"])) < 1e-4


def test_images_are_cropped_and_enlarged(tmp_path):
    pixels = numpy.zeros((40, 60, 3), numpy.uint8)
    pixels[:, 10:50] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    loaded = frechet.load(tmp_path / "wide.png", 32)
    assert loaded.shape == (128, 128, 3)
    assert (loaded == (200, 100, 50)).all()
