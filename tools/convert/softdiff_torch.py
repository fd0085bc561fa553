"""A softdiff checkpoint in PyTorch: this file alone, the .safetensors as it is, and torch (1.13 or newer).

    model = Softdiff("model.safetensors").eval()
    h = model(x, t)              # the clean image expected of x_t [n,c,h,w] at t [n], both float32
    images = model.sample(16)    # [16,c,h,w], about 0 .. 1

What softdiff computes is in model/README.md; corruptions are
blur, blur-dct, noise, vp, subvp and fade, and labels are left out. Noise is torch's: other images than
those that softdiff draws, of the same law.
"""

import json
import math
import struct

import torch
from torch.nn import functional as F

CORRUPTIONS = ("blur", "blur-dct", "noise", "vp", "subvp", "fade")
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def read(path):
    """The document and the tensors of a checkpoint."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    document = json.loads(header.pop("__metadata__")["softdiff"])
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        flat = torch.frombuffer(data[first:last], dtype=TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).float()
    return document, tensors


def interpolated(knots, t):
    """Numbers between knots (t, value), at t [n]."""
    times, values = (torch.tensor(knots[key], dtype=torch.float64, device=t.device)
                     for key in ("t", "value"))  # fmt: skip
    i = (torch.searchsorted(times, t, right=True) - 1).clamp(0, len(times) - 2)
    f = (t - times[i]) / (times[i + 1] - times[i])
    return (1 - f) * values[i] + f * values[i + 1]


def between(table, t):
    """Rows of a table over equally spaced t."""
    i = (t * (len(table) - 1)).floor().clamp(0, len(table) - 2).long()
    f = (t * (len(table) - 1) - i).float().reshape(-1, *[1] * (table.dim() - 1))
    return (1 - f) * table[i] + f * table[i + 1]


def cosines(n, device):
    """The orthonormal DCT-II matrix, a wave per row."""
    i = torch.arange(n, device=device).double()
    waves = torch.cos(math.pi * i[:, None] * (2 * i + 1) / (2 * n))
    return waves * torch.where(i == 0, 1 / n, 2 / n).sqrt()[:, None]


def resampled(network, x, up=False, down=False):
    """To twice or half the size."""
    if network == "ncsnpp":
        return fir(x, up, down)
    return F.interpolate(x, scale_factor=2) if up else F.avg_pool2d(x, 2)


def fir(x, up=False, down=False):
    """[1,3,3,1] in both directions: to twice or half the size, or one row and column more."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device) / 8
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    if up:
        return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=x.shape[1])
    return F.conv2d(x, kernel, stride=1 + down, padding=2 - down, groups=x.shape[1])


class Softdiff(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.document, tensors = read(path)
        self.a = self.document["architecture"]
        self.kind = self.a.get("network", "ncsnpp")
        self.ddpm = self.kind in ("ddpm", "ddpm_original")
        self.scale = 1 if self.ddpm else math.sqrt(2)
        self.weights = torch.nn.ParameterDict(
            {name[4:].replace(".", "/"): torch.nn.Parameter(value, requires_grad=value.dim() > 0)
             for name, value in tensors.items() if name.startswith("net.")})  # fmt: skip
        for name, value in tensors.items():
            if not name.startswith("net."):
                self.register_buffer(name.replace(".", "_"), value)
        if self.document["corruption"]["name"] not in CORRUPTIONS or self.a.get("n_labels"):
            raise ValueError(f"this file has no labels, and of corruptions only {CORRUPTIONS}")

    # The network: NCSN++, DDPM++ or DDPM by the names and in the order of yang-song/score_sde_pytorch.

    def w(self, name):
        return self.weights[name.replace(".", "/")]

    def conv(self, name, x, **options):
        return F.conv2d(x, self.w(f"{name}weight"), self.w(f"{name}bias"), **options)

    def linear(self, name, x):
        return F.linear(x, self.w(f"{name}weight"), self.w(f"{name}bias"))

    def norm(self, name, x):
        groups = min(x.shape[1] // 4, 32)
        return F.group_norm(x, groups, self.w(f"{name}weight"), self.w(f"{name}bias"), 1e-6)

    def nin(self, name, x):
        return torch.einsum("nchw,cd->ndhw", x, self.w(f"{name}W")) + self.w(f"{name}b")[:, None, None]

    def res_block(self, x, temb, **resample):
        name = f"all_modules.{next(self.numbers)}."
        h = F.silu(self.norm(f"{name}GroupNorm_0.", x))
        if resample:
            h, x = resampled(self.kind, h, **resample), resampled(self.kind, x, **resample)
        h = self.conv(f"{name}Conv_0.", h, padding=1)
        h = h + self.linear(f"{name}Dense_0.", temb)[:, :, None, None]
        h = self.conv(f"{name}Conv_1.", F.silu(self.norm(f"{name}GroupNorm_1.", h)), padding=1)
        if f"{name}Conv_2.weight".replace(".", "/") in self.weights:
            x = self.conv(f"{name}Conv_2.", x)
        if f"{name}NIN_0.W".replace(".", "/") in self.weights:
            x = self.nin(f"{name}NIN_0.", x)
        return (x + h) / self.scale

    def down(self, x, temb):
        if not self.ddpm:
            return self.res_block(x, temb, down=True)
        return self.conv(f"all_modules.{next(self.numbers)}.Conv_0.", F.pad(x, (0, 1, 0, 1)), stride=2)

    def up(self, x, temb):
        if not self.ddpm:
            return self.res_block(x, temb, up=True)
        x = resampled(self.kind, x, up=True)
        return self.conv(f"all_modules.{next(self.numbers)}.Conv_0.", x, padding=1)

    def attention(self, x):
        name = f"all_modules.{next(self.numbers)}."
        h = self.norm(f"{name}GroupNorm_0.", x)
        q, k, v = (self.nin(f"{name}NIN_{i}.", h).flatten(2) for i in range(3))
        p = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(x.shape[1]), dim=-1)
        h = (v @ p.transpose(1, 2)).reshape(x.shape)
        return (x + self.nin(f"{name}NIN_3.", h)) / self.scale

    def embedding(self, time_cond):
        if self.a["embedding_type"] == "fourier":
            u = torch.log(time_cond)[:, None] * self.w(f"all_modules.{next(self.numbers)}.W")
            angles = u * 2 * math.pi
        else:
            half = self.a["nf"] // 2
            j = torch.arange(half, device=time_cond.device)
            angles = time_cond[:, None] * torch.exp(j * (-math.log(10000) / (half - 1)))
        temb = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
        temb = self.linear(f"all_modules.{next(self.numbers)}.", temb)
        return F.silu(self.linear(f"all_modules.{next(self.numbers)}.", F.silu(temb)))

    def network(self, x, time_cond, centered):
        """phi(x, t): x [n,c,h,w], time_cond [n]."""
        self.numbers = iter(range(1000))
        temb, levels = self.embedding(time_cond), len(self.a["ch_mult"])
        pyramid = x if centered else 2 * x - 1
        h = self.conv(f"all_modules.{next(self.numbers)}.", pyramid, padding=1)
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
                    name = f"all_modules.{next(self.numbers)}.Conv2d_0."
                    h = pyramid = (self.conv(name, fir(pyramid), stride=2) + h) / math.sqrt(2)
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
        h = F.silu(self.norm(f"all_modules.{next(self.numbers)}.", h))
        return self.conv(f"all_modules.{next(self.numbers)}.", h, padding=1)

    # What is around it.

    def corrupt(self, x, level):
        """C x for levels [n] (float64)."""
        corruption, n = self.document["corruption"], self.a["image_size"]
        if corruption["name"] == "noise":
            return x
        if corruption["name"] in ("vp", "subvp", "fade"):
            return x * level.float()[:, None, None, None]
        std, i = level.clamp(min=1e-6)[:, None, None], torch.arange(n, device=x.device).double()
        if corruption["name"] == "blur":
            taps = torch.arange(-corruption["half_size"], corruption["half_size"] + 1, device=x.device)
            distance = (i[:, None] - i).abs()
            m = torch.exp(-0.5 * (distance / std) ** 2) * (distance <= corruption["half_size"])
            m = m / torch.exp(-0.5 * (taps / std) ** 2).sum(2, keepdim=True)
        else:
            waves = cosines(n, x.device)
            kept = torch.exp(-0.5 * (std * math.pi * i / n) ** 2).transpose(1, 2)
            m = waves.T @ (kept * waves)
        m = m.float()[:, None]
        return m @ x @ m

    def level(self, t):
        return interpolated(self.document["schedule"]["level"], t)

    def sigma(self, t):
        knots = self.document["schedule"]["sigma"]
        return interpolated({"t": knots["t"], "value": [math.log(s) for s in knots["value"]]}, t).exp()

    def forward(self, x, t):
        t = t.double()
        embed, output = self.document["time_embed"], self.document["output"]
        time_cond = {"fourier_t": t.exp(), "positional_999t": 999 * t,
                     "positional_reversed": 999 * (1 - t),
                     "fourier_log_sigma": self.sigma(t)}[embed].float()  # fmt: skip
        if output == "residual":
            return x + self.network(x, time_cond, self.a["centered"])
        if output == "sigma":
            sigma = self.sigma(t).float()[:, None, None, None]
            return x + sigma * self.network(x, time_cond, self.a["centered"])
        if output == "noise":
            sigma, a = (v.float()[:, None, None, None] for v in (self.sigma(t), self.level(t)))
            inner = x if self.a["centered"] else 2 * x - a
            return (x - sigma * self.network(inner, time_cond, True)) / a
        if output == "scaled":
            sigma, unit = self.sigma(t), 1 if self.a["centered"] else 2
            kept, taken = between(self.scaling_moments, t).double().T
            c_in = (kept + (unit * sigma) ** 2).rsqrt().float()[:, None, None, None]
            c_out = (taken + sigma**2).sqrt().float()[:, None, None, None]
            inner = x if self.a["centered"] else 2 * x - 1
            return x + c_out * self.network(c_in * inner, time_cond, True)
        mean = self.wiener_mean.permute(2, 0, 1)[None]
        rest = x - self.corrupt(mean.expand(len(x), -1, -1, -1), self.level(t))
        c_in, c_out = between(self.wiener_scale, t).T[:, :, None, None, None]
        d = cosines(self.a["image_size"], x.device).float()
        gain = between(self.wiener_gain, t).permute(0, 3, 1, 2)
        linear = d @ torch.einsum("dc,nchw->ndhw", self.wiener_colors, rest) @ d.T
        linear = torch.einsum("dc,ndhw->nchw", self.wiener_colors, d.T @ (gain * linear) @ d)
        return mean + linear + c_out * self.network(c_in * rest, time_cond, True)

    def start(self, n, generator):
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
    def sample(self, n, nfe=35, generator=None):
        """Images [n,c,h,w], by the two-step integrator pf-2m."""
        device = next(self.parameters()).device
        x, before = self.start(n, generator).to(device), None
        for i in range(nfe):
            t, to = (torch.full((n,), 1 - k / nfe, dtype=torch.float64, device=device)
                     for k in (i, i + 1))  # fmt: skip
            h = self(x, t)
            if i == nfe - 1:
                return h
            led = h if before is None else h + (h - before) / 2
            ratio = (self.sigma(to) / self.sigma(t)).float()[:, None, None, None]
            x = self.corrupt(led, self.level(to)) + ratio * (x - self.corrupt(led, self.level(t)))
            before = h
