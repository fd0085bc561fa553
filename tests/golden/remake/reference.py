#!/usr/bin/env python3
"""Makes the golden numbers of DDPM and DDPM++ with the reference's code.

usage: reference.py SCORE_SDE [FOLDER]     with Debian's python3-torch

SCORE_SDE: a checkout of yang-song/score_sde_pytorch, whose classes run as they are; its CUDA kernels are not
needed, since these networks have no FIR. FOLDER: where the files go, tests/golden/data if none is named.
Weights are drawn by the formula of ../data/README.md, section 8, and are not written.
"""

import json
import pathlib
import struct
import sys
import types

import numpy as np
import torch
from vectors import DATA, recipe, uniforms

SHARED = {
    "scale_by_sigma": False, "nonlinearity": "swish", "normalization": "GroupNorm", "dropout": 0.1,
    "resamp_with_conv": True, "conditional": True, "fir": False, "fir_kernel": [1, 3, 3, 1],
    "progressive": "none", "progressive_input": "none", "progressive_combine": "sum",
    "init_scale": 0.0, "embedding_type": "positional", "fourier_scale": 16,
    "sigma_min": 0.01, "sigma_max": 50, "num_scales": 1000,
}  # fmt: skip
SMALL = {"nf": 16, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (6,)}
# What sets the networks apart in models/ncsnpp.py.
DDPM = {"resblock_type": "ddpm", "skip_rescale": False}
DDPMPP = {"resblock_type": "biggan", "skip_rescale": True}
CIFAR10 = {"nf": 128, "ch_mult": (1, 2, 2, 2), "num_res_blocks": 2, "attn_resolutions": (16,)}
# The order of models/ncsnpp.py, which models/ddpm.py registers otherwise.
LEAVES = ("GroupNorm_0", "Conv_0", "Dense_0", "GroupNorm_1", "Conv_1", "Conv_2", "NIN_0", "NIN_1",
          "NIN_2", "NIN_3", "weight", "W", "bias", "b")  # fmt: skip


def in_order(parameters):
    def key(item):
        words = item[0].split(".")
        return int(words[1]), [LEAVES.index(word) for word in words[2:]]

    return sorted(parameters, key=key)


def network(kind, image_size, model):
    """In evaluation mode, with the weights of the formula; and those by name."""
    # pylint: disable=import-outside-toplevel
    import models.ddpm  # noqa: F401
    import models.ncsnpp  # noqa: F401
    import models.utils

    data = types.SimpleNamespace(image_size=image_size, num_channels=3, centered=False)
    config = types.SimpleNamespace(data=data, model=types.SimpleNamespace(**SHARED, **model))
    made = models.utils.get_model(kind)(config).eval()
    for k, (name, value) in enumerate(in_order(made.named_parameters())):
        value.data = torch.from_numpy(recipe(name, tuple(value.shape), k))
    return made, in_order(made.named_parameters())


def write(path, tensors):
    header, body, at = {}, [], 0
    for name, value in tensors.items():
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": {"f4": "F32", "f8": "F64"}[array.dtype.str[1:]],
                        "shape": list(array.shape), "data_offsets": [at, at + len(raw)]}  # fmt: skip
        body.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(body))
    print(f"{path.name}: {len(tensors)} tensors")


def small(folder, name, model, k):
    """Output and every gradient."""
    net, parameters = network("ncsnpp", 12, SMALL | model)
    shape = (3, 3, 12, 12)
    x, cot = (torch.from_numpy(uniforms(3 * 3 * 12 * 12, j).astype(np.float32)).reshape(shape)
              for j in (k, k + 1))  # fmt: skip
    x = ((x + 1) / 2).requires_grad_()
    time_cond = torch.tensor([0, 499.5, 999])
    phi = net(x, time_cond)
    loss = (phi * cot).sum()
    loss.backward()
    gradients = {f"grad.{key}": value.grad for key, value in parameters}
    write(folder / f"{name}.io.safetensors", {
        "x": x, "time_cond": time_cond, "phi": phi, "cotangent": cot, "loss": loss.reshape(1),
        "grad.x": x.grad, **gradients})  # fmt: skip


def statistics(net, modules, x, time_cond):
    """phi, and of the modules' outputs what ../data/README.md says."""
    rows = {}

    def keep(i):
        def hook(_, __, y):
            v = y.detach().reshape(-1)
            rows[i] = [i, v.mean(), v.std(unbiased=False), v.abs().max(), *v[:4]]

        return hook

    hooks = [m.register_forward_hook(keep(i)) for i, m in enumerate(modules)]
    with torch.no_grad():
        phi = net(x, time_cond)
    for hook in hooks:
        hook.remove()
    return phi, np.array([rows[i] for i in sorted(rows)], np.float64)


def describe(folder, name, parameters):
    """The manifest of weights."""
    lines = [{"k": i, "name": key, "shape": list(value.shape),
              "first": value.detach().reshape(-1)[:3].tolist(), "sum": value.double().sum().item()}
             for i, (key, value) in enumerate(parameters)]  # fmt: skip
    count = sum(value.numel() for _, value in parameters)
    manifest = {"seed": 0x50F7D1FF, "param_count": count, "trainable": count, "tensors": lines}
    (folder / f"{name}.manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))


def full(folder, name, k):
    net, parameters = network("ddpm", 32, CIFAR10)
    x = torch.from_numpy(((uniforms(3 * 32 * 32, k) + 1) / 2).astype(np.float32))
    x, time_cond = x.reshape(1, 3, 32, 32), torch.tensor([437.0])
    phi, rows = statistics(net, net.all_modules, x, time_cond)
    describe(folder, name, parameters)
    # The embedding is float32 whatever it is asked for.
    net.double().all_modules[0].register_forward_pre_hook(lambda _, given: (given[0].double(),))
    exact = statistics(net, net.all_modules, x.double(), time_cond.double())[0]
    write(folder / f"{name}.io.safetensors", {
        "x": x, "time_cond": time_cond, "phi": phi, "phi_f64": exact, "module_stats": rows,
    })  # fmt: skip


def main():
    sys.path.insert(0, sys.argv[1])
    sys.modules["op"] = types.SimpleNamespace(upfirdn2d=None)
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else DATA
    small(folder, "net_d", DDPM, 9005)
    small(folder, "net_e", DDPMPP, 9007)
    full(folder, "full_cifar10_ddpm", 9004)


if __name__ == "__main__":
    main()
