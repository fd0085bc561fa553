#!/usr/bin/env python3
"""Weights of the Inception-V3 that published FIDs are measured with, for softdiff-eval.

usage: inception.py pt_inception-2015-12-05-6726825d.pth OUT.safetensors
       softdiff-eval stats PICTURES --features inception --network OUT.safetensors -o FILE

The .pth is the one that pytorch-fid (Apache-2.0) downloads when it is first run, into
~/.cache/torch/hub/checkpoints. Nothing in it is executed, and torch is not needed (score_sde.py). The
factors, terms and moments of every batch norm go into the convolution before it, in float64; the
classifier is left out. A file whose SHA-256 is the one in its name is marked as that of the published
figures; others serve, but what is measured with them is not called FID. Needs NumPy.
"""

import argparse
import hashlib
import pickle
import struct
import zipfile

import numpy as np
import score_sde

EPSILON = 1e-3  # of the batch norms
PUBLISHED, PUBLISHED_SHA256 = "pt_inception-2015-12-05", "6726825d"
LAYERS = 94
MAGIC = 0x1950A86A20F9469CFC6C  # of files before torch 1.6


class Unpickler(score_sde.Unpickler):
    """Of a file before torch 1.6: pickles one after the other, then the storages. storages: key to array,
    made of zeros where it is missing."""

    def __init__(self, file, storages):
        pickle.Unpickler.__init__(self, file)  # pylint: disable=non-parent-init-called
        self.storages = storages

    def persistent_load(self, pid):
        _, dtype, key, _, count, view = pid
        if view is not None:
            raise SystemExit("a storage is a part of another, which is not read")
        return self.storages.setdefault(key, np.zeros(count, dtype))


def load_old(path):
    storages = {}
    with open(path, "rb") as file:
        try:
            if Unpickler(file, {}).load() != MAGIC:
                raise pickle.UnpicklingError
        except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError):
            raise SystemExit(f'"{path}" is not what torch writes') from None
        Unpickler(file, {}).load()  # a version
        Unpickler(file, {}).load()  # of the machine
        at = file.tell()
        Unpickler(file, storages).load()
        for key in Unpickler(file, {}).load():
            (count,) = struct.unpack("<q", file.read(8))
            if key not in storages or count != len(storages[key]):
                raise SystemExit(f'"{path}" has a storage that no tensor is in')
            data = file.read(storages[key].nbytes)
            if len(data) != storages[key].nbytes:
                raise SystemExit(f'"{path}" ends too early')
            storages[key] = np.frombuffer(data, storages[key].dtype)
        file.seek(at)
        return Unpickler(file, storages).load()


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
    state = (score_sde.load if zipfile.is_zipfile(options.weights) else load_old)(options.weights)
    if not isinstance(state, dict):
        raise SystemExit(f'"{options.weights}" has no weights by name')
    tensors = folded(state, options.weights)
    with open(options.weights, "rb") as file:
        known = hashlib.sha256(file.read()).hexdigest().startswith(PUBLISHED_SHA256)
    score_sde.write(options.out, tensors, {"published": PUBLISHED} if known else {})
    print(f"{options.out}: {'the published weights' if known else 'weights that are not the published ones'}")


if __name__ == "__main__":
    main()
