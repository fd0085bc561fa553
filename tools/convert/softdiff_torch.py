"""A softdiff checkpoint in PyTorch: this file alone, the .safetensors as it is, and torch (1.13 or newer).

    model = Softdiff("model.safetensors").eval()
    h = model(x, t)              # the clean image expected of x_t [n,c,h,w] at t [n], both float32
    images = model.sample(16)    # [16,c,h,w], about 0 .. 1
    images = model.sample(16, label="cat", guidance=2)    # of a model with labels

What softdiff computes is in model/README.md; masks in random order are left out. Noise is torch's: other
images than those that softdiff draws, of the same law.
"""

import json
import math
import struct

import torch
from torch.nn import functional as F

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
KNOWN = {"corruption": "noise vp subvp fade mask blur blur-dct pixelate matrices product".split(),
         "order of a mask": "spiral rows list".split(),
         "network": "ncsnpp ddpmpp ddpm ddpm_original".split(),
         "output": "residual wiener scaled sigma noise velocity clean".split(),
         "time_embed": "fourier_t fourier_log_sigma positional_999t positional_reversed".split()}  # fmt: skip


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


def refuse_unknown(document):
    corruption = document["corruption"]
    parts = [corruption] + [corruption[key]["corruption"] for key in ("first", "second") if key in corruption]
    for what, name in [("network", document["architecture"].get("network", "ncsnpp")),
                       ("output", document["output"]), ("time_embed", document["time_embed"]),
                       *(("corruption", c["name"]) for c in parts),
                       *(("order of a mask", c["order"]) for c in parts if "order" in c)]:  # fmt: skip
        if name not in KNOWN[what]:
            raise ValueError(f'{what} "{name}" is not known here, but {", ".join(KNOWN[what])}')


def wide(values):
    """Numbers of images [n] as float32 for them."""
    return values.float()[:, None, None, None]


def between(rows, place):
    """Lines between the rows of a table, at places [n] counted from 0."""
    i = place.floor().clamp(0, len(rows) - 2).long()
    f = (place - i).to(rows.dtype).reshape(-1, *[1] * (rows.dim() - 1))
    return (1 - f) * rows[i] + f * rows[i + 1]


def knots(times, values, t):
    """Numbers at t [n], of which values are known at times."""
    times, values = (torch.tensor(v, dtype=torch.float64, device=t.device) for v in (times, values))
    i = (torch.searchsorted(times, t, right=True) - 1).clamp(0, len(times) - 2)
    return between(values, i + (t - times[i]) / (times[i + 1] - times[i]))


# The corruption, by its JSON (model/corruption.h).


def cosines(n, device):
    """The orthonormal DCT-II matrix, a wave per row."""
    i = torch.arange(n, device=device).double()
    waves = torch.cos(math.pi * i[:, None] * (2 * i + 1) / (2 * n))
    return waves * torch.where(i == 0, 1 / n, 2 / n).sqrt()[:, None]


def axis(c, n, level):
    """The symmetric matrices [n images,n,n] of both axes."""
    i = torch.arange(n, device=level.device).double()
    if c["name"] == "matrices":
        return between(torch.tensor(c["matrices"], device=level.device).double(), level)
    if c["name"] == "pixelate":
        sides = [2.0**k for k in range((n & -n).bit_length())]  # those that divide n
        blocks = [((i[:, None] / s).floor() == (i / s).floor()).double() / s for s in sides]
        return between(torch.stack(blocks), level)
    std = level.clamp(min=1e-6)[:, None, None]
    if c["name"] == "blur-dct":
        kept = torch.exp(-0.5 * (std * math.pi * i / n) ** 2).transpose(1, 2)
        return cosines(n, i.device).T @ (kept * cosines(n, i.device))
    taps = torch.arange(-c["half_size"], c["half_size"] + 1, device=i.device)
    distance = (i[:, None] - i).abs()
    weights = torch.exp(-0.5 * (distance / std) ** 2) * (distance <= c["half_size"])
    return weights / torch.exp(-0.5 * (taps / std) ** 2).sum(2, keepdim=True)


def ranks(c, n):
    """Of the pixels of a mask, whose last is hidden first."""
    out = list(c.get("ranks", range(n * n)))
    if c["order"] == "spiral":  # from the centre outwards; steps outside of the image are walked, too
        y = x = (n - 1) // 2
        out[y * n + x], rank = 0, 1
        for leg in range(2 * n):
            for _ in range(leg // 2 + 1):
                y, x = y + (0, 1, 0, -1)[leg % 4], x + (1, 0, -1, 0)[leg % 4]
                if 0 <= y < n and 0 <= x < n:
                    out[y * n + x], rank = rank, rank + 1
    return torch.tensor(out).double().reshape(n, n)


def corrupt(c, x, level):
    """C x for levels [n] (float64)."""
    if c["name"] == "noise":
        return x
    if c["name"] in ("vp", "subvp", "fade"):
        return wide(level) * x
    if c["name"] == "mask":
        return x * (level[:, None, None] - ranks(c, x.shape[3]).to(x.device)).clamp(0, 1).float()[:, None]
    if c["name"] == "product":
        for factor in (c["first"], c["second"]):
            levels = torch.tensor(factor["levels"], device=x.device).double()
            x = corrupt(factor["corruption"], x, between(levels, (1 - level) * (len(levels) - 1)))
        return x
    m = axis(c, x.shape[3], level).float()[:, None]
    return m @ x @ m


# The network: NCSN++, DDPM++ or DDPM, by the names and in the order of yang-song/score_sde_pytorch.


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


class Softdiff(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.document, tensors = read(path)
        refuse_unknown(self.document)
        self.a = self.document["architecture"]
        self.network = Network(self.a, tensors)
        for name, value in tensors.items():
            if not name.startswith("net."):
                self.register_buffer(name.replace(".", "_"), value)

    def corrupt(self, x, t):
        """C_t x at t [n] (float64)."""
        return corrupt(self.document["corruption"], x, self.level(t))

    def level(self, t):
        level = self.document["schedule"]["level"]
        return knots(level["t"], level["value"], t)

    def sigma(self, t):
        sigma = self.document["schedule"]["sigma"]
        if not any(sigma["value"]):
            return torch.zeros_like(t)
        return knots(sigma["t"], [math.log(value) for value in sigma["value"]], t).exp()

    def forward(self, x, t, label=0):
        """label: 0 for none, 1 .. for those of self.document["labels"]; one for all, or [n]."""
        t, output = t.double(), self.document["output"]
        sigma, centered = self.sigma(t), self.a["centered"]
        time_cond = {"fourier_t": t.exp(), "positional_999t": 999 * t, "fourier_log_sigma": sigma,
                     "positional_reversed": 999 * (1 - t)}[self.document["time_embed"]].float()  # fmt: skip
        a = wide(self.level(t)) if output in ("noise", "velocity", "clean") else 1
        inner = x if centered else 2 * x - a
        if output == "wiener":
            return self.wiener(x, t, time_cond, label)
        if output == "scaled":
            kept, taken = between(self.scaling_moments, t * (len(self.scaling_moments) - 1)).double().T
            c_in = (kept + ((1 if centered else 2) * sigma) ** 2).rsqrt()
            return x + wide((taken + sigma**2).sqrt()) * self.network(wide(c_in) * inner, time_cond, label)
        phi = self.network(inner, time_cond, label)
        if output == "noise":
            return (x - wide(sigma) * phi) / a
        if output == "velocity":
            return a * x - wide(sigma) * phi + (0 if centered else (1 - a**2) / 2)
        if output == "clean":
            return phi if centered else (1 + phi) / 2
        return x + (wide(sigma) * phi if output == "sigma" else phi)

    def wiener(self, x, t, time_cond, label):
        """The best linear estimate, and what the network adds to it."""
        mean, place = self.wiener_mean.permute(2, 0, 1)[None], t * (len(self.wiener_gain) - 1)
        rest = x - self.corrupt(mean.expand(len(x), -1, -1, -1), t)
        c_in, c_out = between(self.wiener_scale, place).T[:, :, None, None, None]
        d = cosines(self.a["image_size"], x.device).float()
        waves = d @ torch.einsum("dc,nchw->ndhw", self.wiener_colors, rest) @ d.T
        waves = d.T @ (between(self.wiener_gain, place).permute(0, 3, 1, 2) * waves) @ d
        linear = torch.einsum("dc,ndhw->nchw", self.wiener_colors, waves)
        return mean + linear + c_out * self.network(c_in * rest, time_cond, label)

    def start(self, n, generator=None):
        """x_1."""
        side, channels = self.a["image_size"], self.a["num_channels"]
        one = torch.ones(1, dtype=torch.float64)
        x = self.sigma(one).item() * torch.randn(n, channels, side, side, generator=generator)
        if hasattr(self, "prior_start"):
            x = x + self.prior_start.cpu().permute(2, 0, 1)
        if hasattr(self, "prior_chol"):
            basis, chol = self.prior_basis.cpu(), self.prior_chol.cpu().tril()
            z = torch.randn(n, len(chol), generator=generator)
            c = (self.prior_mean.cpu() + z @ chol.T).reshape(n, channels, -1)
            modes, k = basis.shape[1], torch.zeros(n, channels, basis.shape[1], basis.shape[1])
            i, j = zip(*((i, j) for i in range(modes) for j in range(modes - i)))
            k[:, :, i, j] = c
            x = x + basis @ k @ basis.T
        return x

    @torch.no_grad()
    def draw(self, x, nfe=35, label=0, guidance=1):
        """Images from x_1, by the two-step integrator pf-2m; without noise, by probability-flow."""
        before, noisy = None, any(self.document["schedule"]["sigma"]["value"])
        for i in range(nfe):
            t, to = (torch.full((len(x),), 1 - k / nfe, dtype=torch.float64, device=x.device)
                     for k in (i, i + 1))  # fmt: skip
            h = self(x, t, label)
            if guidance != 1:
                h = guidance * h + (1 - guidance) * self(x, t)
            if i == nfe - 1:
                return h
            led = h + (h - before) / 2 if i and noisy else h
            ratio = wide(self.sigma(to) / self.sigma(t)) if noisy else 1
            x = self.corrupt(led, to) + ratio * (x - self.corrupt(led, t))
            before = h

    def sample(self, n, nfe=35, label=None, guidance=1, generator=None):
        """Images [n,c,h,w]; label: a name, or a number as above."""
        if isinstance(label, str):
            label = self.document["labels"].index(label) + 1
        device = next(self.parameters()).device
        return self.draw(self.start(n, generator).to(device), nfe, label or 0, guidance)
