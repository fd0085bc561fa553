"""softdiff-eval: statistics say how they were made, and what does not go together is refused."""

import itertools
import json
import pathlib
import re
import struct

import numpy
import pictures
import pytest
import safetensors_file
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
D = 2048


def fill(folder, sides, kind="png", seed=0):
    folder.mkdir()
    for i, side in enumerate(sides):
        pictures.write(folder / f"{i}.png", side, seed + i)
        if kind == "jpg":
            Image.open(folder / f"{i}.png").convert("RGB").save(folder / f"{i}.jpg")
            (folder / f"{i}.png").unlink()


def about(path):
    return json.loads(safetensors_file.read(path)[1]["softdiff_statistics"])


@pytest.mark.sanitizers
def test_what_the_pictures_were_is_kept(evaluate, tmp_path):
    fill(tmp_path / "some", [16, 20, 24, 16])
    fill(tmp_path / "more", [16, 30], "jpg", 50)
    done = evaluate("stats", "some", "more", "-o", "s", "--side", 16, "--small")
    assert done.returncode == 0, done.stderr
    kept = about(tmp_path / "s")
    assert kept | {"weights": ""} == {
        "format": 2, "network": "squeezenet11", "side": 16, "n": 6, "weights": "", "published": False,
        "resize": "bytes", "png": 4, "jpeg": 2, "raw": 0, "resized": 3,
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{16}", kept["weights"])
    first, second = done.stdout.splitlines()
    assert first == "6 pictures at 16 px"
    name = re.fullmatch(
        rf"statistics ([0-9a-f]{{16}}): squeezenet11 \(weights {kept['weights']}\), resize bytes, "
        "4 PNG, 2 JPEG, 0 others, 3 resized", second
    )[1]  # fmt: skip

    # The same pixels, as other files.
    (tmp_path / "same").mkdir()
    for i, path in enumerate(sorted((tmp_path / "some").iterdir()) + sorted((tmp_path / "more").iterdir())):
        Image.open(path).convert("RGB").save(tmp_path / "same" / f"{i}.png")
    done = evaluate("stats", "same", "-o", "t", "--side", 16, "--small")
    assert safetensors_file.read(tmp_path / "s")[0] == safetensors_file.read(tmp_path / "t")[0]
    assert about(tmp_path / "t")["jpeg"] == 0 and name not in done.stdout


def test_jpegs_beside_none_are_told(evaluate, tmp_path):
    fill(tmp_path / "a", [16] * 4)
    fill(tmp_path / "b", [16] * 4, "jpg", 50)
    fill(tmp_path / "large", [40] * 4, "jpg", 90)
    done = evaluate("distance", "a", "b", "--side", 16)
    assert '0 of 4 pictures of "a" are JPEG, and 4 of 4 of "b": what compression does' in done.stderr
    done = evaluate("distance", "a", "large", "--side", 16)  # made smaller, which leaves little of it
    assert done.returncode == 0 and "JPEG" not in done.stderr


@pytest.mark.sanitizers
def test_other_weights_are_refused(evaluate, tmp_path):
    fill(tmp_path / "a", [16] * 3)
    tensors = safetensors_file.plain(ROOT / "model" / "zoo" / "squeezenet11.safetensors")
    dtype, shape, content = tensors["conv1.bias"]
    tensors["conv1.bias"] = (dtype, shape, content[2:4] + content[2:])
    safetensors_file.join(tmp_path / "other", tensors, {"published": "pt_inception-2015-12-05"})
    assert evaluate("stats", "a", "-o", "ours").returncode == 0
    assert evaluate("stats", "a", "-o", "theirs", "--network", "other").returncode == 0
    weights = [about(tmp_path / name)["weights"] for name in ("ours", "theirs")]
    assert weights[0] != weights[1] and not about(tmp_path / "theirs")["published"]
    for arguments in (["ours", "theirs"], ["a", "theirs"]):
        done = evaluate("distance", *arguments)
        assert done.returncode == 1 and not done.stdout
        assert "features by different weights of the network" in done.stderr
        assert all(digest in done.stderr for digest in weights) and '"theirs"' in done.stderr
    assert evaluate("distance", "a", "theirs", "--network", "other").returncode == 0


def test_files_of_the_first_format_are_read(evaluate, tmp_path):
    fill(tmp_path / "a", [16] * 3)
    fill(tmp_path / "b", [16] * 3, seed=9)
    assert evaluate("stats", "b", "-o", "new", "--side", 16).returncode == 0

    def change(document, form):
        for key in ("weights", "published", "resize", "png", "jpeg", "raw", "resized"):
            del document[key]
        document["format"] = form

    for form in (1, 2, 3):
        safetensors_file.rewrite(tmp_path / "new", tmp_path / str(form), lambda d, f=form: change(d, f), key="softdiff_statistics")  # fmt: skip
    assert evaluate("distance", "a", "1").stdout == evaluate("distance", "a", "new").stdout.replace(" new ", " 1 ")
    for form, text in ((2, '"2": they do not say how they were made'), (3, '"3": of format 3, and this')):
        done = evaluate("distance", "a", form)
        assert done.returncode == 1 and text in done.stderr


def write_moments(path, mean, **about_it):
    """Statistics of Inception-V3 of pictures that are all the same."""
    document = {
        "format": 2, "network": "inception", "side": 32, "n": 10000, "weights": "0123456789abcdef",
        "published": True, "resize": "bilinear", "png": 0, "jpeg": 0, "raw": 10000, "resized": 0,
    } | about_it  # fmt: skip
    body = numpy.full(D, mean).tobytes() + bytes(8 * D * D)
    header = {
        "__metadata__": {"softdiff_statistics": json.dumps(document)},
        "mean": {"dtype": "F64", "shape": [D], "data_offsets": [0, 8 * D]},
        "covariance": {"dtype": "F64", "shape": [D, D], "data_offsets": [8 * D, len(body)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize(
    "reference, samples, name, said",
    [
        ({}, {}, "FID", "FID: as published ones are measured, of fewer pictures than their 50000"),
        ({"n": 50000}, {"n": 50000}, "FID", "FID: as published ones are measured\n"),
        ({"n": 9999}, {}, "FD", "FD: Frechet distance (inception, 10000 pictures), no FID: fewer than 10000"),
        ({}, {"n": 9999}, "FD", "FD: Frechet distance (inception, 9999 pictures), no FID: fewer than 10000"),
        ({"published": False}, {"published": False}, "FD", "no FID: other weights"),
        ({"resize": "tensorflow"}, {"resize": "tensorflow"}, "FID", "FID: as published ones are measured"),
        ({"resize": "bytes"}, {"resize": "bytes"}, "FD", "no FID: pictures resized by bytes\n"),
        ({"resize": "bicubic"}, {"resize": "bicubic"}, "FD", "no FID: pictures resized by bicubic, as clean-fid does"),
    ],
)
def test_what_is_called_fid(evaluate, tmp_path, reference, samples, name, said):
    write_moments(tmp_path / "real", 0.5, **reference)
    write_moments(tmp_path / "drawn", 0.25, **samples)
    done = evaluate("distance", "drawn", "real")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{name} +128$", done.stdout, re.M) and said in done.stdout
    assert "no floor: statistics without features" in done.stdout


def test_other_resizes_are_refused(evaluate, tmp_path):
    write_moments(tmp_path / "real", 0.5)
    write_moments(tmp_path / "drawn", 0.5, resize="bytes")
    done = evaluate("distance", "drawn", "real")
    assert done.returncode == 1
    assert "resized for the network in different ways (bytes and bilinear) cannot" in done.stderr


def test_the_resize_is_chosen(evaluate, tmp_path):
    """Other ways, other features; folders follow a file; what is asked for otherwise is refused."""
    fill(tmp_path / "a", [16] * 3)
    fill(tmp_path / "b", [16] * 3, seed=9)
    kept = {}
    for how in (None, "bytes", "bilinear", "tensorflow", "bicubic"):
        more = ["--resize", how] if how else []
        done = evaluate("stats", "b", "-o", str(how), "--side", 16, *more)
        assert done.returncode == 0 and f"resize {how or 'bytes'}, " in done.stdout
        assert about(tmp_path / str(how))["resize"] == (how or "bytes")
        kept[how] = safetensors_file.read(tmp_path / str(how))[0]
    assert kept[None] == kept["bytes"]
    assert all(kept[a] != kept[b] for a, b in itertools.combinations(list(kept)[1:], 2))
    both = evaluate("distance", "a", "b", "--side", 16, "--resize", "bicubic").stdout
    assert evaluate("distance", "a", "bicubic").stdout == both.replace(" b ", " bicubic ")
    done = evaluate("distance", "a", "bicubic", "--resize", "bytes")
    assert done.returncode == 1 and "in different ways (bicubic and bytes) cannot" in done.stderr
    done = evaluate("stats", "a", "-o", "x", "--resize", "lanczos")
    assert done.returncode == 2 and 'cannot be resized by "lanczos", but by bytes, bilinear' in done.stderr
