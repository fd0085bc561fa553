#!/usr/bin/env python3
"""Makes the golden numbers of Ho et al.'s DDPM with UNet2DModel of diffusers.

usage: unet.py [FOLDER]     with torch and diffusers 0.21; FOLDER: tests/golden/data if none is named

The weights are those of the formula, in the order of all_modules; that tools/convert/diffusers_unet.py gives
them the right names is shown by what comes out.
"""

import pathlib
import sys

import torch
from diffusers import DDIMScheduler, UNet2DModel
from reference import describe, in_order, statistics, write
from vectors import DATA, recipe, uniforms

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "convert"))

import diffusers_unet  # noqa: E402  pylint: disable=wrong-import-position

NAME, SIDE, K = "ddpm_original", 8, 9009
CONFIG = {
    "sample_size": SIDE, "block_out_channels": [128, 128], "layers_per_block": 1, "norm_eps": 1e-6,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "attention_head_dim": None,
    "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_num_groups": 32,
}  # fmt: skip


def weights(net):
    """By the names that they have here, in order; and there, as they are laid out there."""
    there, here, values = net.state_dict(), {}, {}
    for source, target, product in diffusers_unet.pairs(CONFIG, there):
        shape = tuple(there[source].shape[:2])[::-1] if product else tuple(there[source].shape)
        here[target] = source, shape, product
    for k, (name, (source, shape, product)) in enumerate(in_order(here.items())):
        here[name] = value = torch.from_numpy(recipe(name, shape, k))
        values[source] = (value.T if product else value).reshape(there[source].shape)
    return in_order(here.items()), values


def pictures(net, x):
    """What its schedulers take from the network's output, at two of the times and for all kinds of outputs."""
    found = {}
    for t in (437, 999):
        with torch.no_grad():
            phi = net(2 * x - 1, torch.tensor([t])).sample
        for kind, whole in (("epsilon", False), ("v_prediction", False), ("sample", False), ("v_prediction", True)):
            scheduler = DDIMScheduler(prediction_type=kind, rescale_betas_zero_snr=whole, clip_sample=False,
                                      beta_schedule="linear", beta_start=1e-4, beta_end=0.02)  # fmt: skip
            scheduler.set_timesteps(1000)
            clean = scheduler.step(phi, t, 2 * x - 1).pred_original_sample
            found[f"{kind}{'.zero_snr' if whole else ''}.{t}"] = clean
    return found


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    net = UNet2DModel(**CONFIG).eval()
    here, there = weights(net)
    net.load_state_dict(there)
    modules = [net.get_submodule(name) for name, _ in diffusers_unet.modules(CONFIG)]
    x = torch.from_numpy(((uniforms(3 * SIDE * SIDE, K) + 1) / 2).astype("f4")).reshape(1, 3, SIDE, SIDE)
    time_cond = torch.tensor([437.0])

    def run(x, t):
        return net(2 * x - 1, t).sample

    write(folder / "ddpm_pictures.safetensors", pictures(net, x))
    phi, rows = statistics(run, modules, x, time_cond)
    exact = statistics(lambda x, t: net.double()(2 * x - 1, t).sample, modules, x.double(), time_cond)[0]
    describe(folder, NAME, here)
    write(folder / f"{NAME}.io.safetensors", {
        "x": x, "time_cond": time_cond, "phi": phi, "phi_f64": exact, "module_stats": rows,
    })  # fmt: skip


if __name__ == "__main__":
    main()
