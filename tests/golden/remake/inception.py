#!/usr/bin/env python3
"""The Inception-V3 of published FIDs with random weights: PyTorch and pytorch-fid against softdiff.

usage: inception.py BUILD_FOLDER [--write]     with Debian's python3-torchvision, and pytorch-fid in
                                               PYTHONPATH

Makes the numbers of ../data/inception.safetensors again and compares them; --write writes them instead.
Then tools/convert/inception.py reads the same weights from a .pth, of today's format and of the one
before torch 1.6, and softdiff-eval computes the features of the pictures as PNG files with them.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import resizes
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from pytorch_fid import inception

from inception_weights import random_numbers, random_weights
from vectors import golden, read, write

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIDE = 40
RESIZES = [(7, 11), (11, 7), (40, 29), (5, 5), (1, 4)]
TOLERANCE = 1e-4  # of the largest feature
SAME = 1e-6


def pictures():
    """Two [SIDE,SIDE,3] u8: waves, and noise."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(5 * y - 7 * x), np.sin(20 * x * y)], -1)
    noise = random_numbers("picture", SIDE * SIDE * 3).reshape(SIDE, SIDE, 3)
    return np.stack([np.round(127.5 + 120 * waves), np.floor(128 + 128 * noise)]).astype(np.uint8)


def network():
    """pytorch-fid's network, with random weights in the place of a download; and these."""
    state = {}

    def fill(self, _):
        shapes = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        state.update({name: torch.from_numpy(value) for name, value in random_weights(shapes).items()})
        for name, value in self.state_dict().items():
            value.copy_(state.get(name, value))

    original = torchvision.models.Inception3.load_state_dict
    inception.load_state_dict_from_url = lambda *_, **__: None
    torchvision.models.Inception3.load_state_dict = fill
    try:
        return inception.InceptionV3().eval(), state
    finally:
        torchvision.models.Inception3.load_state_dict = original


def computed(net, x):
    """The numbers of the golden file."""
    out = {"input": x}
    with torch.no_grad():
        out["features.bilinear"] = net(torch.from_numpy(x).permute(0, 3, 1, 2) / 255)[0][:, :, 0, 0].numpy()
        net.resize_input = net.normalize_input = False
        for name, resized in (
            ("tensorflow", [resizes.by_tensorflow(picture, 299) for picture in x]),
            ("bicubic", [resizes.by_pillow(picture, 299, Image.Resampling.BICUBIC) for picture in x]),
        ):
            planes = (torch.from_numpy(np.stack(resized)).float().permute(0, 3, 1, 2) - 128) / 128
            out[f"features.{name}"] = net(planes)[0][:, :, 0, 0].numpy()
    for side, to in RESIZES:
        picture = np.floor(128 + 128 * random_numbers(f"resize.{side}.{to}", side * side * 3))
        picture = picture.astype(np.uint8).reshape(side, side, 3)
        planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        resized = F.interpolate(planes, size=(to, to), mode="bilinear", align_corners=False)
        out[f"resize.{side}.{to}.x"] = picture
        out[f"resize.{side}.{to}.y"] = resized[0].permute(1, 2, 0).numpy()
    return out


class Results:
    passed = failed = 0

    def add(self, name, got, want, limit):
        error = np.abs(got.astype(float) - want.astype(float)).max() / max(1, np.abs(want).max())
        self.passed += bool(error <= limit)
        self.failed += not error <= limit
        print(f"{'' if error <= limit else 'FAILED '}{name}: {error:.3g}, at most {limit:g}")


def check_programs(build, results, state, committed):
    """From a .pth to the features of PNG files."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "pictures").mkdir()
        for i, picture in enumerate(committed["input"]):
            Image.fromarray(picture).save(folder / "pictures" / f"{i}.png")
        for new in (True, False):
            pth, weights, kept = (folder / name for name in ("w.pth", "w.safetensors", "kept"))
            torch.save(state, pth, _use_new_zipfile_serialization=new)
            subprocess.run([sys.executable, ROOT / "tools/convert/inception.py", pth, weights], check=True)
            subprocess.run([build / "tools/eval/softdiff-eval", "stats", folder / "pictures", "-o", kept,
                            "--features", "inception", "--network", weights, "--side", str(SIDE)],
                           check=True)  # fmt: skip
            features = read(kept)["features"]
            results.add(f"features of PNG files, weights from a .pth {'of today' if new else 'before torch 1.6'}",
                        features, committed["features.bilinear"], TOLERANCE)  # fmt: skip


def main():
    build = (ROOT / sys.argv[1]).resolve()
    net, state = network()
    made = computed(net, pictures())
    if "--write" in sys.argv:
        write(ROOT / "tests/golden/data/inception.safetensors", made)
    committed, results = golden("inception"), Results()
    for name, values in made.items():
        results.add(name, values, committed[name], 0 if values.dtype == np.uint8 else SAME)
    check_programs(build, results, state, committed)
    print(f"{results.passed} passed, {results.failed} failed")
    sys.exit(results.failed > 0)


if __name__ == "__main__":
    main()
