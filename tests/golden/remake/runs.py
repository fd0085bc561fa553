"""Sampling and training with the network net_a, step by step, in float64."""

import jax
import jax.numpy as jnp
import network as net
import numpy as np
from formulas import blur_matrix, step_scales
from networks import doubles, with_tolerance
from vectors import golden

BLUR_HALF_SIZE = 32
IMAGE = 2e-4  # of float32, after six steps
FEATURES = "all_modules.0.W"  # of times; they are not trained


def corrupt(x, std):
    matrix = jnp.asarray(blur_matrix(std, BLUR_HALF_SIZE, x.shape[-1]))
    return jnp.einsum("ij,ncjk,lk->ncil", matrix, x, matrix)


def samplers():
    file, p = golden("samplers"), doubles(golden("net_a.weights"))
    t, sigma = file["t_grid"], file["sigma_grid"]
    std = [*file["std_grid"][:-1], 0.0]  # no corruption at the end
    run = jax.jit(lambda x, time_cond: net.ncsnpp(p, net.NET_A, x, time_cond)[0])
    names = {"pf": "pf44_plain"} | {name: name for name in (
        "naive", "momentum", "ancestral", "pf_sigma", "pf_heun", "pf_2m")}  # fmt: skip
    noise, made = jnp.asarray(file["noise"], jnp.float64), {}

    def denoised(x, i):
        return file["phi_scale"][0] * run(x, jnp.full(len(x), np.exp(t[i]))) + x

    for name, rule in names.items():
        x, before = jnp.asarray(file["x1"], jnp.float64), None
        for i in range(len(t) - 1):
            s, s_next, last = sigma[i], sigma[i + 1], i == len(t) - 2
            keep, eta = step_scales(rule, s, s_next, last)
            prediction = h = denoised(x, i)
            if name == "pf_2m" and before is not None and not last:
                h = h + (h - before) / 2
            before = prediction
            y, y_next = corrupt(h, std[i]), corrupt(h, std[i + 1])
            next_x = y_next + keep * (x - y) + eta * noise[i]
            if name == "pf_heun" and not last:
                slope = y_next - y + (s_next - s) / s * (x - y)
                end = x + slope
                h_end = denoised(end, i + 1)
                y, y_next = corrupt(h_end, std[i]), corrupt(h_end, std[i + 1])
                slope += y_next - y + (s_next - s) / s_next * (end - y_next)
                next_x = x + slope / 2
            x = next_x
            made[f"{name}.x_after_{i + 1}"] = (x, IMAGE)
            if f"{name}.x0hat_{i}" in file:
                made[f"{name}.x0hat_{i}"] = (prediction, IMAGE)
    return made


def corrupt_each(x, matrices):
    return jnp.einsum("nij,ncjk,nlk->ncil", matrices, x, matrices)


def losses(p, fixed, x0, x_t, t, sigma, matrices):
    phi, _ = net.ncsnpp(p | fixed, net.NET_A, x_t, jnp.exp(t))
    error = corrupt_each(phi - (x0 - x_t), matrices)
    each = 0.5 * (error**2).sum(axis=(1, 2, 3)) / sigma**2
    return each.mean(), (phi, each)


def update(step, rate, clip, gradient, p, mean, square, average):
    """One of Adam, and of the moving average."""
    decay = min(0.999, (1 + step + 1) / (10 + step + 1))
    for key, g in gradient.items():
        mean[key] = 0.9 * mean[key] + 0.1 * clip * g
        square[key] = 0.999 * square[key] + 0.001 * (clip * g) ** 2
        corrected = np.sqrt(square[key] / (1 - 0.999 ** (step + 1))) + 1e-8
        p[key] = p[key] - rate * mean[key] / (1 - 0.9 ** (step + 1)) / corrected
        average[key] = decay * average[key] + (1 - decay) * p[key]


def training():
    """Soft score matching, clipping, Adam with warm-up, moving average: three steps."""
    file, weights = golden("train_soft"), golden("net_a.weights")
    p = {key: value.astype(np.float64) for key, value in weights.items() if key != "sigmas"}
    fixed = doubles({FEATURES: p.pop(FEATURES)})
    mean, square = ({key: np.zeros_like(value) for key, value in p.items()} for _ in range(2))
    average, made = dict(p), {f"after3.param.{FEATURES}": fixed[FEATURES]}
    for step in range(3):
        x0, t, eta = (jnp.asarray(file[f"step{step}.{key}"], jnp.float64) for key in ("x0", "t", "eta"))
        sigma, stds = (file[f"step{step}.{key}"].astype(np.float64) for key in ("sigma", "blur_std"))
        matrices = jnp.asarray([blur_matrix(std, BLUR_HALF_SIZE, x0.shape[-1]) for std in stds])
        x_t = corrupt_each(x0, matrices) + sigma[:, None, None, None] * eta
        (loss, (phi, each)), of_p = jax.value_and_grad(losses, has_aux=True)(
            doubles(p), fixed, x0, x_t, t, sigma, matrices)  # fmt: skip
        gradient = {key: np.asarray(value) for key, value in of_p.items()}
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        rate = 2e-4 * min(step / 5, 1)
        made |= {f"step{step}.x_t": (x_t, 1e-5), f"step{step}.time_cond": (np.exp(t), 1e-5),
                 f"step{step}.phi": (phi, 1e-4), f"step{step}.lr": [rate],
                 f"step{step}.loss_per_sample": (each, 1e-4 * float(each.max())),
                 f"step{step}.loss": ([loss], 1e-4 * float(loss)),
                 f"step{step}.grad_norm": ([norm], 1e-4 * norm)}  # fmt: skip
        if step == 0:
            made |= with_tolerance({f"step0.grad.{key}": g for key, g in gradient.items()})
        update(step, rate, min(1, 1 / (norm + 1e-6)), gradient, p, mean, square, average)
    for key, value in p.items():
        limit = 2e-5 if key.endswith("NIN_1.b") else 2e-6
        made[f"after3.param.{key}"] = (value, limit)
        made[f"after3.ema.{key}"] = (average[key], limit)
        for name, moment in (("m", mean), ("v", square)):
            if f"after3.adam_{name}.{key}" in file:
                made[f"after3.adam_{name}.{key}"] = (moment[key], 1e-3 * np.abs(moment[key]).max())
    return made
