#!/usr/bin/env python3
"""Weights of yang-song/score_sde_pytorch, for softdiff-convert import.

usage: score_sde.py CHECKPOINT.pth OUT.safetensors --image-size N [--centered] [--raw]
       softdiff-convert import OUT.safetensors MODEL.safetensors

CHECKPOINT.pth: of an NCSN++ trained with a VE SDE (configs/ve), as torch 1.6 and newer write it. Nothing in
it is executed, and torch is not needed: of what a pickle can name, tensors and plain containers are made and
all else is refused, as torch.load(weights_only=True) does. Written are the averaged weights, which serve
(--raw: the last ones), under the names that they have there. The averages are a list without names, in the
order of the parameters that are trained: the frequencies of a Fourier embedding are not among them and are
taken from the model.

The architecture is found from the shapes, but for the side of the images and whether their range is
[-1,1] (--centered), which no weight tells. Needs NumPy.
"""

import argparse
import collections
import json
import pickle
import re
import struct
import zipfile

import numpy as np

PREFIX = "module."  # of DataParallel
STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2",
            "LongStorage": "<i8", "IntStorage": "<i4", "ByteStorage": "u1", "BoolStorage": "?"}  # fmt: skip


def rebuild_tensor(storage, offset, size, stride, *_):
    if not size:
        return storage[offset]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if min(size) > 0 and not 0 <= offset <= last < len(storage):
        raise SystemExit("a tensor reaches beyond what is stored of it")
    steps = [step * storage.itemsize for step in stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(storage[offset:], size, steps))


class Unpickler(pickle.Unpickler):
    """Of data.pkl in a .pth, whose storages are files of their own beside it."""

    def __init__(self, archive, name):
        super().__init__(archive.open(name))
        self.archive, self.folder = archive, name.rsplit("/", 1)[0]

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise SystemExit(f"the file names {module}.{name}, which is not read")

    def persistent_load(self, pid):
        _, dtype, key, *_ = pid
        return np.frombuffer(self.archive.read(f"{self.folder}/data/{key}"), dtype)


def load(path):
    if not zipfile.is_zipfile(path):
        raise SystemExit(f'"{path}" is not what torch 1.6 and newer write')
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise SystemExit(f'"{path}" is no checkpoint of PyTorch')
        return Unpickler(archive, names[0]).load()


def weights(path, raw):
    """Names to arrays, in the order of the network's parameters; sigmas among them."""
    state = load(path)
    if not isinstance(state, dict) or not {"model", "ema"} <= state.keys():
        raise SystemExit(f'"{path}" is no checkpoint of score_sde_pytorch')
    model = {name[len(PREFIX):] if name.startswith(PREFIX) else name: value
             for name, value in state["model"].items()}  # fmt: skip
    if raw:
        return model
    average = list(state["ema"]["shadow_params"])
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
        return "block"
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
    if not {"convolution", "block", "pyramid"} <= set(kinds):
        raise SystemExit("this is no NCSN++ with a residual input pyramid")
    at = kinds.index("convolution")
    nf, channels = modules[at]["weight"].shape[:2]
    at += 1
    # The last block before a pyramid brings the level to half the size.
    n_blocks = kinds[at : kinds.index("pyramid")].count("block") - 1
    widths, attention = [], []
    for level in range(kinds.count("pyramid") + 1):
        widths.append(modules[at]["Conv_0.weight"].shape[0])
        attends = kinds[at + 1] == "attention"
        attention += [image_size >> level] * attends
        at += n_blocks * (1 + attends) + 2
    return {
        "image_size": image_size, "num_channels": channels, "nf": nf,
        "ch_mult": [width // nf for width in widths], "num_res_blocks": n_blocks,
        "attn_resolutions": attention, "centered": centered,
        "embedding_type": "fourier" if kinds[0] == "fourier" else "positional",
    }  # fmt: skip


def write(path, tensors, metadata):
    header, body = {"__metadata__": metadata}, []
    at = 0
    for name, value in tensors.items():
        raw = value.tobytes()
        header[name] = {"dtype": {"<f4": "F32", "<f8": "F64"}[value.dtype.str],
                        "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}  # fmt: skip
        at += len(raw)
        body.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(body))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--centered", action="store_true")
    parser.add_argument("--raw", action="store_true")
    options = parser.parse_args()
    tensors = weights(options.checkpoint, options.raw)
    found = architecture(tensors, options.image_size, options.centered)
    write(options.out, tensors, {"architecture": json.dumps(found)})
    print(f"{options.out}: {json.dumps(found)}")


if __name__ == "__main__":
    main()
