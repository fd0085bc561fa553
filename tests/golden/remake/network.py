"""NCSN++, DDPM++ (Song et al. 2021, 2011.13456) and DDPM (Ho et al. 2020, 2006.11239) as plain functions
of a dictionary of parameters, in the precision of its inputs. Written from the paper's description: no code of the reference is here.

Images are [n,c,h,w], convolutions OIHW; parameters have the reference's names.
"""

import jax
import jax.numpy as jnp
import numpy as np

SQRT2 = np.sqrt(2.0)
FIR = np.array([1.0, 3.0, 3.0, 1.0])


def silu(x):
    return x * jax.nn.sigmoid(x)


def conv(p, name, x, stride=1, pad=None):
    w = p[f"{name}.weight"]
    pad = (w.shape[2] // 2,) * 2 if pad is None else pad
    y = jax.lax.conv_general_dilated(x, w, (stride, stride), (pad, pad),
                                     dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y + p[f"{name}.bias"][:, None, None]


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def nin(p, name, x):
    return jnp.einsum("nihw,io->nohw", x, p[f"{name}.W"]) + p[f"{name}.b"][:, None, None]


def group_norm(p, name, x):
    n, c, h, w = x.shape
    groups = x.reshape(n, min(c // 4, 32), -1)
    mean = groups.mean(axis=2, keepdims=True)
    variance = ((groups - mean) ** 2).mean(axis=2, keepdims=True)
    y = ((groups - mean) / jnp.sqrt(variance + 1e-6)).reshape(x.shape)
    return y * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]


def upfirdn(x, kernel, up=1, down=1, pad=(0, 0)):
    """Zeros between the pixels and after the last, zeros around, convolution, every down-th."""
    n, c, h, w = x.shape
    stuffed = jnp.zeros((n, c, h, up, w, up), x.dtype).at[:, :, :, 0, :, 0].set(x)
    stuffed = stuffed.reshape(n * c, 1, h * up, w * up)
    taps = jnp.asarray(kernel[::-1, ::-1].copy(), x.dtype)[None, None]
    y = jax.lax.conv_general_dilated(stuffed, taps, (down, down), (pad, pad),
                                     dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y.reshape(n, c, *y.shape[2:])


KERNEL = np.outer(FIR, FIR) / FIR.sum() ** 2


def fir_up(x):
    return upfirdn(x, 4 * KERNEL, up=2, pad=(2, 1))


def fir_down(x):
    return upfirdn(x, KERNEL, down=2, pad=(1, 1))


def repeated(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


def means(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))


def pyramid_down(p, name, x):
    return conv(p, f"{name}.Conv2d_0", upfirdn(x, KERNEL, pad=(2, 2)), stride=2, pad=(0, 0))


def resnet_block(p, name, x, temb, resample=None, mask=None, scale=SQRT2):
    """mask: 1 where dropout, of probability 0.1, keeps a value."""
    h = silu(group_norm(p, f"{name}.GroupNorm_0", x))
    if resample:
        h, x = resample(h), resample(x)
    h = conv(p, f"{name}.Conv_0", h)
    h = h + linear(p, f"{name}.Dense_0", silu(temb))[:, :, None, None]
    h = silu(group_norm(p, f"{name}.GroupNorm_1", h))
    if mask is not None:
        h = h * mask / 0.9
    h = conv(p, f"{name}.Conv_1", h)
    if f"{name}.Conv_2.weight" in p:
        x = conv(p, f"{name}.Conv_2", x)
    if f"{name}.NIN_0.W" in p:
        x = nin(p, f"{name}.NIN_0", x)
    return (x + h) / scale


def attention_block(p, name, x, scale=SQRT2):
    n, c, h, w = x.shape
    y = group_norm(p, f"{name}.GroupNorm_0", x)
    q, k, v = (nin(p, f"{name}.NIN_{i}", y).reshape(n, c, h * w) for i in range(3))
    weights = jax.nn.softmax(jnp.einsum("nci,ncj->nij", q, k) / np.sqrt(c), axis=2)
    y = jnp.einsum("nij,ncj->nci", weights, v).reshape(x.shape)
    return (x + nin(p, f"{name}.NIN_3", y)) / scale


def fourier(w, u):
    angles = u[:, None] * w[None] * 2 * np.pi
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


def positional(t, dim):
    half = dim // 2
    angles = t[:, None] * jnp.exp(-jnp.arange(half) * (np.log(10000.0) / (half - 1)))[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)


def ncsnpp(p, config, x, time_cond, features=None):
    """phi, and the output of every module. features: instead of those of a Fourier embedding, whose
    arguments are too large for rounding not to matter."""
    kind, acts = config.get("network", "ncsnpp"), []
    ddpm = kind in ("ddpm", "ddpm_original")
    scale = 1 if ddpm else SQRT2
    to_half, to_double = (fir_down, fir_up) if kind == "ncsnpp" else (means, repeated)

    def kept(value):
        acts.append(value)
        return value

    def name():
        return f"all_modules.{len(acts)}"

    def block(x, resample=None):
        return kept(resnet_block(p, name(), x, temb, resample, scale=scale))

    def attention(x):
        return kept(attention_block(p, name(), x, scale))

    def down(x):
        if ddpm:  # the padding that TensorFlow calls SAME
            return kept(conv(p, f"{name()}.Conv_0", x, stride=2, pad=(0, 1)))
        return block(x, to_half)

    def up(x):
        if ddpm:
            return kept(conv(p, f"{name()}.Conv_0", repeated(x)))
        return block(x, to_double)

    if config["fourier"]:
        exact = fourier(p["all_modules.0.W"], jnp.log(time_cond))
        temb = kept(exact if features is None else features)
    else:
        temb = positional(time_cond, config["nf"])
    temb = kept(linear(p, name(), temb))
    temb = kept(linear(p, name(), silu(temb)))

    pyramid = x if config["centered"] else 2 * x - 1
    hs = [kept(conv(p, name(), pyramid))]
    levels = len(config["ch_mult"])
    for level in range(levels):
        for _ in range(config["num_res_blocks"]):
            h = block(hs[-1])
            if h.shape[3] in config["attn_resolutions"]:
                h = attention(h)
            hs.append(h)
        if level != levels - 1:
            h = down(hs[-1])
            if kind == "ncsnpp":
                h = pyramid = (kept(pyramid_down(p, name(), pyramid)) + h) / SQRT2
            hs.append(h)
    h = block(attention(block(hs[-1])))
    for level in reversed(range(levels)):
        for i in reversed(range(config["num_res_blocks"] + 1)):
            h = block(jnp.concatenate([h, hs.pop()], axis=1))
            if h.shape[3] in config["attn_resolutions"] and (i == 0 or kind == "ddpm_original"):
                h = attention(h)
        if level != 0:
            h = up(h)
    h = kept(group_norm(p, name(), h))
    return kept(conv(p, name(), silu(h))), acts


NET_A = {"fourier": True, "nf": 16, "centered": False, "ch_mult": (1, 2, 2), "num_res_blocks": 2,
         "attn_resolutions": (8,)}  # fmt: skip
NET_C = {"fourier": False, "nf": 16, "centered": True, "ch_mult": (1, 2), "num_res_blocks": 1,
         "attn_resolutions": (12,)}  # fmt: skip
NET_D = {"network": "ddpm", "fourier": False, "nf": 16, "centered": False, "ch_mult": (1, 2),
         "num_res_blocks": 1, "attn_resolutions": (6,)}  # fmt: skip
NET_E = NET_D | {"network": "ddpmpp"}
DDPM_ORIGINAL = {"network": "ddpm_original", "fourier": False, "nf": 128, "centered": False,
         "ch_mult": (1, 1), "num_res_blocks": 1, "attn_resolutions": (4,)}  # fmt: skip
CELEBA64 = {"fourier": False, "nf": 128, "centered": False, "ch_mult": (1, 2, 2, 2),
            "num_res_blocks": 4, "attn_resolutions": (16,)}  # fmt: skip
CIFAR10_DDPM = CELEBA64 | {"network": "ddpm", "num_res_blocks": 2}
