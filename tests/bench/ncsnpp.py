"""NCSN++ as a torch module, for comparison: the same network, with the same names of weights, as
model/ncsnpp.c and model/layers.c define it.

Facts: Song et al. 2021 (arXiv:2011.13456), appendix H, and the parameter names of
yang-song/score_sde_pytorch (cb1f359). Written so that torch is fast with it: resampling is a
depthwise convolution or an interpolation (whose taps are those of [1,3,3,1]), attention is torch's
own, and nothing forces a memory format or, but for the time embedding, a precision.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

INVERSE_ROOT_2 = math.sqrt(0.5)


def group_norm(channels):
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


class Fir(nn.Module):
    """The taps [1,3,3,1]/8 in both directions, zeros outside; each stride-th position is kept."""

    def __init__(self, channels, stride, padding):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)
        self.channels, self.stride, self.padding = channels, stride, padding

    def forward(self, x):
        return functional.conv2d(x, self.kernel, stride=self.stride, padding=self.padding,
                                 groups=self.channels)


class FirUp(nn.Module):
    """Twice the size: (x[i-1] + 3 x[i])/4 and (3 x[i] + x[i+1])/4, zeros outside.

    These are the weights of bilinear interpolation, which repeats the border instead: a border of
    zeros goes around the image first.
    """

    def forward(self, x):
        x = functional.interpolate(functional.pad(x, (1, 1, 1, 1)), scale_factor=2,
                                   mode="bilinear", align_corners=False)
        return x[:, :, 2:-2, 2:-2]


class ResBlock(nn.Module):
    def __init__(self, channels_in, channels, temb_size, up=False, down=False):
        super().__init__()
        self.GroupNorm_0 = group_norm(channels_in)
        self.Conv_0 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.Dense_0 = nn.Linear(temb_size, channels)
        self.GroupNorm_1 = group_norm(channels)
        self.Conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.Conv_2 = None
        if channels_in != channels or up or down:
            self.Conv_2 = nn.Conv2d(channels_in, channels, 1)
        self.resample = None
        if up:
            self.resample = FirUp()
        elif down:
            self.resample = Fir(channels_in, stride=2, padding=1)

    def forward(self, x, temb):
        h = functional.silu(self.GroupNorm_0(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.Conv_0(h) + self.Dense_0(temb)[:, :, None, None]
        h = self.Conv_1(functional.silu(self.GroupNorm_1(h)))
        if self.Conv_2 is not None:
            x = self.Conv_2(x)
        return (x + h) * INVERSE_ROOT_2


class Nin(nn.Module):
    """A linear map of the last dimension; its weight is stored [in,out]."""

    def __init__(self, channels):
        super().__init__()
        self.W = nn.Parameter(torch.empty(channels, channels))
        self.b = nn.Parameter(torch.empty(channels))

    def forward(self, x):
        return functional.linear(x, self.W.t(), self.b)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.GroupNorm_0 = group_norm(channels)
        self.NIN_0, self.NIN_1, self.NIN_2, self.NIN_3 = (Nin(channels) for _ in range(4))

    def forward(self, x):
        h = self.GroupNorm_0(x).flatten(2).transpose(1, 2)[:, None]  # [n, 1 head, h w, c]
        h = functional.scaled_dot_product_attention(self.NIN_0(h), self.NIN_1(h), self.NIN_2(h))
        h = self.NIN_3(h)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return (x + h) * INVERSE_ROOT_2


class PyramidDown(nn.Module):
    def __init__(self, channels_in, channels):
        super().__init__()
        self.Conv2d_0 = nn.Conv2d(channels_in, channels, 3, stride=2)
        self.smooth = Fir(channels_in, stride=1, padding=2)

    def forward(self, x):
        return self.Conv2d_0(self.smooth(x))


class Fourier(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.W = nn.Parameter(torch.empty(size), requires_grad=False)

    def forward(self, time_cond):
        angles = torch.log(time_cond)[:, None] * self.W[None, :] * 2 * math.pi
        return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


class Positional(nn.Module):
    def __init__(self, size):
        super().__init__()
        half = size // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10000.0) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time_cond):
        angles = time_cond[:, None] * self.frequencies[None, :]
        return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


class Down(NamedTuple):
    blocks: list  # (ResBlock, Attention or None)
    shrink: ResBlock  # None at the last level, like pyramid
    pyramid: PyramidDown


class Up(NamedTuple):
    blocks: list
    attention: Attention  # or None
    grow: ResBlock  # None at the first level


class Ends(NamedTuple):
    """What stands before and after the levels."""

    features: nn.Module
    linear_0: nn.Linear
    linear_1: nn.Linear
    first: nn.Conv2d
    norm: nn.GroupNorm
    last: nn.Conv2d


class Ncsnpp(nn.Module):
    """architecture: the object of an architecture's JSON file; see model/architecture.h."""

    def __init__(self, architecture):
        super().__init__()
        self.all_modules = nn.ModuleList()
        self.centered = architecture.get("centered", False)
        nf = architecture["nf"]
        n_blocks = architecture["num_res_blocks"]
        widths = [nf * m for m in architecture["ch_mult"]]
        channels_image = architecture.get("num_channels", 3)
        attention_sides = architecture.get("attn_resolutions", [16])
        side = architecture["image_size"]

        if architecture.get("embedding_type", "fourier") == "fourier":
            features, n_features = self.add(Fourier(nf)), 2 * nf
        else:
            features, n_features = Positional(nf), nf
        linear_0 = self.add(nn.Linear(n_features, 4 * nf))
        linear_1 = self.add(nn.Linear(4 * nf, 4 * nf))

        def res_block(channels_in, channels, **resample):
            return self.add(ResBlock(channels_in, channels, 4 * nf, **resample))

        def attention(channels):
            return self.add(Attention(channels)) if side in attention_sides else None

        first = self.add(nn.Conv2d(channels_image, nf, 3, padding=1))
        c, c_pyramid, skips = nf, channels_image, [nf]
        self.downs, self.ups = [], []
        for level, width in enumerate(widths):
            blocks = []
            for _ in range(n_blocks):
                block = res_block(c, width)
                c = width
                blocks.append((block, attention(c)))
                skips.append(c)
            if level == len(widths) - 1:
                self.downs.append(Down(blocks, None, None))
                break
            shrink = res_block(c, c, down=True)
            self.downs.append(Down(blocks, shrink, self.add(PyramidDown(c_pyramid, c))))
            c_pyramid = c
            skips.append(c)
            side //= 2
        self.middle = (res_block(c, c), self.add(Attention(c)), res_block(c, c))
        for level, width in reversed(list(enumerate(widths))):
            blocks = []
            for _ in range(n_blocks + 1):
                blocks.append(res_block(c + skips.pop(), width))
                c = width
            at_end = attention(c)
            self.ups.append(Up(blocks, at_end, res_block(c, c, up=True) if level else None))
            side *= 2
        norm = self.add(group_norm(c))
        last = self.add(nn.Conv2d(c, channels_image, 3, padding=1))
        self.ends = Ends(features, linear_0, linear_1, first, norm, last)

    def add(self, module):
        """Numbers a module. torch knows it by this number alone: what else refers to it is a plain
        tuple or list, so that every weight has one name."""
        self.all_modules.append(module)
        return module

    def embed(self, time_cond):
        """SiLU of the time embedding [n, 4 nf], which is what every block reads."""
        temb = self.ends.linear_0(self.ends.features(time_cond))
        return functional.silu(self.ends.linear_1(functional.silu(temb)))

    def to_16_bits(self, dtype):
        """Everything but the time embedding, whose angles are hundreds of radians."""
        embedding = (self.ends.features, self.ends.linear_0, self.ends.linear_1)
        for module in self.all_modules:
            if module not in embedding:
                module.to(dtype)
        return self

    def forward(self, x, time_cond):
        """x [n,c,h,w], time_cond [n], both float32; phi like x, in the precision of the body."""
        dtype = self.ends.last.weight.dtype
        temb = self.embed(time_cond).to(dtype)
        pyramid = (x if self.centered else 2 * x - 1).to(dtype)
        h = self.ends.first(pyramid)
        skips = [h]
        for down in self.downs:
            for block, attention in down.blocks:
                h = block(h, temb)
                if attention is not None:
                    h = attention(h)
                skips.append(h)
            if down.shrink is not None:
                h = down.shrink(h, temb)
                h = pyramid = (down.pyramid(pyramid) + h) * INVERSE_ROOT_2
                skips.append(h)
        h = self.middle[0](h, temb)
        h = self.middle[2](self.middle[1](h), temb)
        for up in self.ups:
            for block in up.blocks:
                h = block(torch.cat([h, skips.pop()], dim=1), temb)
            if up.attention is not None:
                h = up.attention(h)
            if up.grow is not None:
                h = up.grow(h, temb)
        return self.ends.last(functional.silu(self.ends.norm(h)))


def load(architecture, path):
    """The network with the weights of a file, ready to evaluate."""
    import safetensors.torch  # which not everybody has who times a network without weights

    network = Ncsnpp(architecture)
    network.load_state_dict(safetensors.torch.load_file(path))
    return network.eval().requires_grad_(False)
