"""The networks of softdiff in PyTorch: NCSN++, DDPM++ and DDPM, by the names and in the order of
yang-song/score_sde_pytorch. This file alone, the .safetensors as it is, and torch (1.13 or newer).

    document, tensors = read("model.safetensors")
    net = Network(document["architecture"], tensors)
    phi = net(x, time_cond)    # what model/formulation.h makes of x_t, t and phi is in softdiff_torch.py
"""

import json
import math
import struct

import torch
from torch.nn import functional as F

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read(path):
    """The document and the tensors of a checkpoint."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    document = json.loads(header.pop("__metadata__")["softdiff"])
    tensors = {}
    for name, entry in header.items():
        flat = torch.frombuffer(data[slice(*entry["data_offsets"])], dtype=TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).float()
    return document, tensors


def fir(x, up=False, down=False):
    """[1,3,3,1] in both directions: to twice or half the size, or one row and column more."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device) / 8
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    if up:
        return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=x.shape[1])
    return F.conv2d(x, kernel, stride=1 + down, padding=2 - down, groups=x.shape[1])


class Network(torch.nn.Module):
    def __init__(self, architecture, tensors):
        super().__init__()
        self.a, self.kind = architecture, architecture.get("network", "ncsnpp")
        self.ddpm = self.kind in ("ddpm", "ddpm_original")
        self.root = 1 if self.ddpm else math.sqrt(2)  # sums are divided by it
        self.weights = torch.nn.ParameterDict(
            {name[4:].replace(".", "/"): torch.nn.Parameter(value)
             for name, value in tensors.items() if name.startswith("net.")})  # fmt: skip

    def has(self, name):
        return name.replace(".", "/") in self.weights

    def w(self, name):
        return self.weights[name.replace(".", "/")]

    def next(self):
        return f"all_modules.{next(self.numbers)}."

    def conv(self, name, x, **options):
        return F.conv2d(x, self.w(f"{name}weight"), self.w(f"{name}bias"), **options)

    def linear(self, name, x):
        return F.linear(x, self.w(f"{name}weight"), self.w(f"{name}bias"))

    def norm(self, name, x):
        groups = min(x.shape[1] // 4, 32)
        return F.group_norm(x, groups, self.w(f"{name}weight"), self.w(f"{name}bias"), 1e-6)

    def nin(self, name, x):
        return torch.einsum("nchw,cd->ndhw", x, self.w(f"{name}W")) + self.w(f"{name}b")[:, None, None]

    def resampled(self, x, up=False, down=False):
        if self.kind == "ncsnpp":
            return fir(x, up, down)
        return F.interpolate(x, scale_factor=2) if up else F.avg_pool2d(x, 2)

    def res_block(self, x, temb, **resample):
        name = self.next()
        h = F.silu(self.norm(f"{name}GroupNorm_0.", x))
        if resample:
            h, x = self.resampled(h, **resample), self.resampled(x, **resample)
        h = self.conv(f"{name}Conv_0.", h, padding=1)
        h = h + self.linear(f"{name}Dense_0.", temb)[:, :, None, None]
        h = self.conv(f"{name}Conv_1.", F.silu(self.norm(f"{name}GroupNorm_1.", h)), padding=1)
        if self.has(f"{name}Conv_2.weight"):
            x = self.conv(f"{name}Conv_2.", x)
        if self.has(f"{name}NIN_0.W"):
            x = self.nin(f"{name}NIN_0.", x)
        return (x + h) / self.root

    def down(self, x, temb):
        if not self.ddpm:
            return self.res_block(x, temb, down=True)
        return self.conv(f"{self.next()}Conv_0.", F.pad(x, (0, 1, 0, 1)), stride=2)

    def up(self, x, temb):
        if not self.ddpm:
            return self.res_block(x, temb, up=True)
        return self.conv(f"{self.next()}Conv_0.", self.resampled(x, up=True), padding=1)

    def attention(self, x):
        name = self.next()
        h = self.norm(f"{name}GroupNorm_0.", x)
        q, k, v = (self.nin(f"{name}NIN_{i}.", h).flatten(2) for i in range(3))
        p = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(x.shape[1]), dim=-1)
        h = (v @ p.transpose(1, 2)).reshape(x.shape)
        return (x + self.nin(f"{name}NIN_3.", h)) / self.root

    def embedding(self, time_cond, label):
        if self.a["embedding_type"] == "fourier":
            angles = torch.log(time_cond)[:, None] * self.w(f"{self.next()}W") * 2 * math.pi
        else:
            half = self.a["nf"] // 2
            j = torch.arange(half, device=time_cond.device)
            angles = time_cond[:, None] * torch.exp(j * (-math.log(10000) / (half - 1)))
        temb = self.linear(self.next(), torch.cat([torch.sin(angles), torch.cos(angles)], dim=1))
        temb = self.linear(self.next(), F.silu(temb))
        if self.has("labels.weight"):
            temb = temb + self.w("labels.weight")[label]
        return F.silu(temb)

    def forward(self, x, time_cond, label=0):
        """phi: x [n,c,h,w] in the network's own unit, time_cond [n], label a number or [n]."""
        self.numbers = iter(range(1000))
        temb, levels = self.embedding(time_cond, label), len(self.a["ch_mult"])
        pyramid, h = x, self.conv(self.next(), x, padding=1)
        skips = [h]
        for level in range(levels):
            for _ in range(self.a["num_res_blocks"]):
                h = self.res_block(h, temb)
                if h.shape[2] in self.a["attn_resolutions"]:
                    h = self.attention(h)
                skips.append(h)
            if level < levels - 1:
                h = self.down(h, temb)
                if self.kind == "ncsnpp":
                    part = self.conv(f"{self.next()}Conv2d_0.", fir(pyramid), stride=2)
                    h = pyramid = (part + h) / math.sqrt(2)
                skips.append(h)
        h = self.res_block(self.attention(self.res_block(h, temb)), temb)
        for level in reversed(range(levels)):
            for block in reversed(range(self.a["num_res_blocks"] + 1)):
                h = self.res_block(torch.cat([h, skips.pop()], dim=1), temb)
                if h.shape[2] in self.a["attn_resolutions"] and (
                        block == 0 or self.kind == "ddpm_original"):  # fmt: skip
                    h = self.attention(h)
            if level:
                h = self.up(h, temb)
        h = F.silu(self.norm(self.next(), h))
        return self.conv(self.next(), h, padding=1)
