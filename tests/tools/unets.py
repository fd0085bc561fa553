"""A UNet2DModel of diffusers, whose weights are of the formula of the golden files (ddpm_original)."""

import json
import pathlib
import sys

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "golden" / "remake"), str(ROOT / "tools" / "convert")]

import diffusers_unet  # noqa: E402  pylint: disable=wrong-import-position
import vectors  # noqa: E402  pylint: disable=wrong-import-position

BETAS = numpy.linspace(1e-4, 0.02, 1000)  # of Ho et al. 2020
UNET = {
    "sample_size": 8, "block_out_channels": [128, 128], "layers_per_block": 1, "norm_eps": 1e-6,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "attention_head_dim": None,
    "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_num_groups": 32,
}  # fmt: skip


class Everything:
    """All names are there, but those that old versions of diffusers had."""

    def __contains__(self, name):
        return not any(f".{old}." in name for old in ("query", "key", "value", "proj_attn"))


def weights():
    """Arrays by the names of diffusers, of the formula of the golden files."""
    manifest = json.loads((ROOT / "tests/golden/data/ddpm_original.manifest.json").read_text())["tensors"]
    here = {row["name"]: vectors.recipe(row["name"], row["shape"], row["k"]) for row in manifest}
    there = {}
    for source, target, product in diffusers_unet.pairs(UNET, Everything()):
        if target in here and source not in there:
            there[source] = numpy.ascontiguousarray(here[target].T if product else here[target])
    return there
