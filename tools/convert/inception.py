#!/usr/bin/env python3
"""Weights of the Inception-V3 that published FIDs are measured with, for softdiff-eval.

usage: inception.py pt_inception-2015-12-05-6726825d.pth OUT.safetensors
       softdiff-eval stats PICTURES --features inception --network OUT.safetensors -o FILE

The .pth is the one that pytorch-fid (Apache-2.0) downloads when it is first run, into
~/.cache/torch/hub/checkpoints. Nothing in it is executed, and torch is not needed (tensor_files.py). The
factors, terms and moments of every batch norm go into the convolution before it, in float64; the
classifier is left out. A file whose SHA-256 is the one in its name is marked as that of the published
figures; others serve, but what is measured with them is not called FID. Needs NumPy.
"""

import argparse
import hashlib

import numpy as np
import tensor_files

EPSILON = 1e-3  # of the batch norms
PUBLISHED, PUBLISHED_SHA256 = "pt_inception-2015-12-05", "6726825d"
LAYERS = 94


def folded(state, path):
    """The weights and biases of the convolutions, batch norms and all."""
    if any(name.startswith("AuxLogits.") for name in state):
        raise SystemExit(f'"{path}" is torchvision\'s own Inception-V3, not that of the FID')
    out = {}
    for name, value in state.items():
        if not name.endswith(".conv.weight"):
            continue
        layer = name.removesuffix(".conv.weight")
        parts = [state.get(f"{layer}.bn.{part}")
                 for part in ("weight", "bias", "running_mean", "running_var")]  # fmt: skip
        if any(part is None or np.shape(part) != value.shape[:1] for part in parts):
            raise SystemExit(f'"{path}" has no batch norm after {name}')
        gamma, beta, mean, variance = (part.astype(np.float64) for part in parts)
        factor = gamma / np.sqrt(variance + EPSILON)
        out[f"{layer}.weight"] = (value * factor[:, None, None, None]).astype("<f4")
        out[f"{layer}.bias"] = (beta - mean * factor).astype("<f4")
    if len(out) != 2 * LAYERS:
        raise SystemExit(f'"{path}" has {len(out) // 2} convolutions, not the {LAYERS} of Inception-V3')
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("weights")
    parser.add_argument("out")
    options = parser.parse_args()
    state = tensor_files.load(options.weights)
    if not isinstance(state, dict):
        raise SystemExit(f'"{options.weights}" has no weights by name')
    tensors = folded(state, options.weights)
    with open(options.weights, "rb") as file:
        known = hashlib.sha256(file.read()).hexdigest().startswith(PUBLISHED_SHA256)
    tensor_files.write(options.out, tensors, {"published": PUBLISHED} if known else {})
    print(f"{options.out}: {'the published weights' if known else 'weights that are not the published ones'}")


if __name__ == "__main__":
    main()
