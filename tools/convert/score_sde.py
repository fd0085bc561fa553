#!/usr/bin/env python3
"""Weights of yang-song/score_sde_pytorch, for softdiff-convert import.

usage: score_sde.py CHECKPOINT.pth OUT.safetensors --image-size N [--centered] [--raw]
                    [--sde ve|vp|subvp] [--beta-min B] [--beta-max B] [--discrete]
       softdiff-convert import OUT.safetensors MODEL.safetensors

CHECKPOINT.pth: of an NCSN++, DDPM++ or DDPM, as torch writes it. Nothing in it is executed, and torch is not
needed (tensor_files.py). Written are the averaged weights, which serve (--raw: the last ones), in float32
under the names that they have there. The averages are a list without names, in the order of the parameters
that are trained: the frequencies of a Fourier embedding are not among them and are taken from the model.

The architecture is found from the shapes. What no weight tells is said: the side of the images, whether
their range is [-1,1] (--centered, needed with vp and subvp), and the process it was trained with, as in its
configuration: ve (=), vp or subvp, for these two with model.beta_min and beta_max (= 0.1, 20), and whether
training.continuous is False (--discrete: the thousand times of Ho et al. 2020). Needs NumPy.
"""

import argparse
import json
import re

import numpy as np
import tensor_files

PREFIX = "module."  # of DataParallel
UNKNOWN = "this is no NCSN++ with a residual input pyramid, no DDPM++ and no DDPM"


def weights(path, raw):
    """Names to arrays, in the order of the network's parameters; sigmas among them."""
    state = tensor_files.load(path)
    try:
        model = {name[len(PREFIX):] if name.startswith(PREFIX) else name: tensor_files.floats(value)
                 for name, value in state["model"].items()}  # fmt: skip
        average = [tensor_files.floats(value) for value in state["ema"]["shadow_params"]]
    except (AttributeError, KeyError, TypeError):
        raise SystemExit(f'"{path}" is no checkpoint of score_sde_pytorch') from None
    if raw:
        return model
    trained = [name for name in model if name not in ("sigmas", "all_modules.0.W")]
    if len(average) != len(trained):
        raise SystemExit(f"there are {len(average)} averages for {len(trained)} weights")
    for name, value in zip(trained, average):
        if value.shape != model[name].shape:
            raise SystemExit(f"the average that would be {name} has another shape: {value.shape}")
    return model | dict(zip(trained, average))


def kind_of(module):
    """What all_modules[i] is, by the names of its leaves."""
    if "NIN_0.W" in module:
        return "attention"
    if "Conv2d_0.weight" in module:
        return "pyramid"
    if "Conv_0.weight" in module and "Dense_0.weight" in module:
        # Between two channel counts Conv_2 is the shortcut, else it is of what is resampled.
        width, inputs = module["Conv_0.weight"].shape[:2]
        return "resampling block" if "Conv_2.weight" in module and width == inputs else "block"
    if "Conv_0.weight" in module:
        return "resampling"
    if "W" in module:
        return "fourier"
    return {4: "convolution", 2: "linear", 1: "norm"}.get(np.ndim(module.get("weight", 0)))


def architecture(tensors, image_size, centered):
    """The numbers of model/architecture.h."""
    modules = {}
    for name, value in tensors.items():
        if match := re.fullmatch(r"all_modules\.(\d+)\.(.*)", name):
            modules.setdefault(int(match[1]), {})[match[2]] = value
    kinds = [kind_of(modules[i]) for i in sorted(modules)]
    networks = {"pyramid": "ncsnpp", "resampling": "ddpm", "resampling block": "ddpmpp"}
    network = next((networks[kind] for kind in networks if kind in kinds), None)
    if not network or "convolution" not in kinds or "block" not in kinds:
        raise SystemExit(UNKNOWN)
    at = kinds.index("convolution")
    nf, channels = modules[at]["weight"].shape[:2]
    at += 1
    step = "resampling" if network == "ddpm" else "resampling block"
    n_levels = kinds.count(step) // 2 + 1
    n_blocks = kinds[at : kinds.index(step)].count("block")
    widths, attention = [], []
    for level in range(n_levels):
        widths.append(modules[at]["Conv_0.weight"].shape[0])
        attends = kinds[at + 1] == "attention"
        attention += [image_size >> level] * attends
        at += n_blocks * (1 + attends) + 1 + (network == "ncsnpp")
    named = {} if network == "ncsnpp" else {"network": network}
    return named | {
        "image_size": image_size, "num_channels": channels, "nf": nf,
        "ch_mult": [width // nf for width in widths], "num_res_blocks": n_blocks,
        "attn_resolutions": attention, "centered": centered,
        "embedding_type": "fourier" if kinds[0] == "fourier" else "positional",
    }  # fmt: skip


def process(options, found):
    """What softdiff-convert import is told of a diffusion; None of VE, whose sigmas are a tensor."""
    if options.sde == "ve":
        if options.discrete:
            raise SystemExit("--discrete is of vp: the sigmas of ve are in the checkpoint")
        return None
    if not options.centered:
        raise SystemExit(f"{options.sde} is read for pictures of [-1,1] only: --centered")
    if found["embedding_type"] != "positional":
        raise SystemExit(f"{options.sde} is read with a positional embedding only")
    if options.discrete and options.sde != "vp":
        raise SystemExit("--discrete is of vp")
    if options.discrete:
        return {"name": options.sde, "betas": list(np.linspace(options.beta_min, options.beta_max, 1000) / 1000)}
    return {"name": options.sde, "beta_min": options.beta_min, "beta_max": options.beta_max}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--centered", action="store_true")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--sde", choices=("ve", "vp", "subvp"), default="ve")
    parser.add_argument("--beta-min", type=float, default=0.1)
    parser.add_argument("--beta-max", type=float, default=20)
    parser.add_argument("--discrete", action="store_true")
    options = parser.parse_args()
    tensors = weights(options.checkpoint, options.raw)
    try:
        found = architecture(tensors, options.image_size, options.centered)
    except (AttributeError, IndexError, KeyError, ValueError):  # modules of another order or shape
        raise SystemExit(UNKNOWN) from None
    metadata = {}
    if diffusion := process(options, found):
        # The network sees the range that its pictures had.
        found["centered"] = False
        metadata["process"] = json.dumps(diffusion)
    tensor_files.write(options.out, tensors, metadata | {"architecture": json.dumps(found)})
    print(f"{options.out}: {json.dumps(found)}")


if __name__ == "__main__":
    main()
