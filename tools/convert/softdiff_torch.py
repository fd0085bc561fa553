"""A softdiff checkpoint in PyTorch: this file, its network (softdiff_network.py beside it), the .safetensors as it
is, and torch (1.13 or newer).

    model = Softdiff("model.safetensors").eval()
    h = model(x, t)              # the clean image expected of x_t [n,c,h,w] at t [n], both float32
    images = model.sample(16)    # [16,c,h,w], about 0 .. 1
    images = model.sample(16, label="cat", guidance=2)    # of a model with labels

What softdiff computes is in model/README.md; masks in random order are left out. Noise is torch's: other
images than those that softdiff draws, of the same law.
"""

import math

import torch
from softdiff_network import Network, read

KNOWN = {"corruption": "noise vp subvp fade mask blur blur-dct pixelate matrices product".split(),
         "order of a mask": "spiral rows list".split(),
         "network": "ncsnpp ddpmpp ddpm ddpm_original".split(),
         "output": "residual wiener scaled sigma noise velocity clean".split(),
         "time_embed": "fourier_t fourier_log_sigma positional_999t positional_reversed".split()}  # fmt: skip


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
