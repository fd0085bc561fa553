"""What NumPy and SciPy compute from the paper's formulas alone."""

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.sparse.csgraph
from vectors import golden


def gaussian(std, half_size):
    taps = np.exp(-np.arange(-half_size, half_size + 1) ** 2 / (2 * std**2))
    return taps / taps.sum()


def blur_matrix(std, half_size, side):
    """[side,side]: B X B^T is the convolution with the Gaussian, zeros around."""
    taps = gaussian(std, half_size) if std > 0 else np.eye(2 * half_size + 1)[half_size]
    distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    return np.where(distance <= half_size, taps[np.minimum(half_size + distance, 2 * half_size)], 0)


def blurred(images, std, half_size):
    rows = blur_matrix(std, half_size, images.shape[2])
    columns = blur_matrix(std, half_size, images.shape[3])
    return np.einsum("ij,ncjk,lk->ncil", rows, images, columns)


def blur():
    """With all taps of the dense kernel, where the engine multiplies with matrices."""
    file, made = golden("blur"), {}
    for name in file:
        part, kind, *rest = name.split(".", 2)
        if kind in ("y", "kernel1d_center"):
            taps = gaussian(float(rest[0].removeprefix("std")), int(file[f"{part}.half_size"][0]))
            if kind == "y":
                kernel = np.outer(taps, taps)
                made[name] = np.array([[scipy.signal.convolve2d(plane, kernel, mode="same")
                                        for plane in image]
                                       for image in file[f"{part}.x0"].astype(np.float64)])
            else:
                made[name] = taps
    return made


def step_scales(sampler, s, s_next, last):
    """How much of x - y a step keeps, and the noise that it adds."""
    ratio = s_next / s
    return {
        "naive": (0, s_next),
        "momentum": (ratio**2, 0 if last else np.sqrt(s**2 - s_next**2)),
        "ancestral": (ratio**2, s_next * np.sqrt(s**2 - s_next**2) / s),
        "pf44_plain": ((1 + ratio**2) / 2, 0),
        "pf44_denoise_last": (0 if last else (1 + ratio**2) / 2, 0),
        "pf_sigma": (ratio, 0),
        "pf_2m": (ratio, 0),
        "pf_heun": (ratio, 0),
    }[sampler]


def gauss_modes():
    """The variance of modes that an exact denoiser leads through all steps."""
    file = golden("gauss_modes")
    power, t, sigma = file["lambda"], file["t_grid"], file["sigma_grid"]
    c = np.exp(-(file["blur_std_grid"][:, None] ** 2) * file["freq2"] / 2)
    gain = c * power / (c**2 * power + sigma[:, None] ** 2)
    gain[-1] = 0  # has no use
    made = {"c_grid": c, "gain_grid": gain, "var_init": c[0] ** 2 * power + sigma[0] ** 2}
    steps = len(t) - 1
    for name in (key for key in file if key.startswith("var_final.")):
        sampler = name.removeprefix("var_final.")
        x, variance, before = np.ones_like(power), made["var_init"], None
        for i in range(steps):
            last = i == steps - 1
            keep, eta = step_scales(sampler, sigma[i], sigma[i + 1], last)
            kept = c[i + 1] * gain[i] + keep * (1 - c[i] * gain[i])  # of x, by one step
            if sampler == "pf_2m":
                h = gain[i] * x
                trend = (h - before) / 2 if before is not None and not last else 0
                x = kept * x + (c[i + 1] - keep * c[i]) * trend
                before = h
            elif sampler == "pf_heun" and not last:
                shrink = (sigma[i + 1] - sigma[i]) / sigma[i + np.arange(2)]
                first = (c[i + 1] - c[i]) * gain[i] + shrink[0] * (1 - c[i] * gain[i])
                second = ((c[i + 1] - c[i]) * gain[i + 1] + shrink[1] * (1 - c[i + 1] * gain[i + 1]))
                x = x * (1 + (first + second * (1 + first)) / 2)
            else:
                x = kept * x
                variance = kept**2 * variance + eta**2
        deterministic = sampler.startswith("pf")
        made[name] = x**2 * made["var_init"] if deterministic else variance
    return made


def cheapest(distances, eps):
    """The nodes of the cheapest path over hops of at most eps, and its cost."""
    graph = np.where(distances <= eps, distances, 0)
    cost, before = scipy.sparse.csgraph.dijkstra(graph, indices=0, return_predecessors=True)
    path = [len(distances) - 1]
    while path[-1] > 0:
        path.append(before[path[-1]])
    return path[::-1], cost[-1]


def schedule():
    file = golden("schedule")
    stds, images = file["stds"], file["x0"].astype(np.float64)
    n, levels = len(images), len(stds)
    flat = [blurred(images, std, int(file["half_size"][0])).reshape(n, -1) for std in stds]
    identity, transport = np.zeros((levels, levels)), np.zeros((levels, levels))
    for i in range(levels):
        for j in range(i):
            squares = (flat[i] ** 2).sum(1)[:, None] + (flat[j] ** 2).sum(1) - 2 * flat[i] @ flat[j].T
            chosen = scipy.optimize.linear_sum_assignment(squares)
            pairs = flat[i][chosen[0]] - flat[j][chosen[1]]
            identity[i, j] = identity[j, i] = np.sqrt(((flat[i] - flat[j]) ** 2).sum(1).mean())
            transport[i, j] = transport[j, i] = np.sqrt((pairs**2).sum(1).mean())
    made = {"dist_identity": (identity, 1e-9), "dist_ot": (transport, 1e-6)}
    nodes = int(file["target_nodes"][0])
    eps = max(e for e in np.unique(identity[identity > 0])
              if np.isfinite(cheapest(identity, e)[1]) and len(cheapest(identity, e)[0]) == nodes)
    path, cost = cheapest(identity, eps)
    made |= {"eps": [eps], "path": path, "path_cost": [cost], "path_stds": stds[path]}
    for k in range(3):
        path, cost = cheapest(identity, file[f"alt{k}.eps"][0] * (1 + 1e-12))
        made |= {f"alt{k}.path": path, f"alt{k}.cost": [cost]}
    return made


def nearest(features, k):
    """The distance of each to its k-th neighbour, itself not counted."""
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    return np.sort(distances, axis=1)[:, k]


def covered(points, features, k):
    """The share of points within the k-neighbourhood of a feature."""
    distances = np.linalg.norm(points[:, None] - features[None], axis=2)
    return (distances <= nearest(features, k)[None]).any(axis=1).mean()


def metrics():
    file = golden("metrics")
    real, fake = (file[name].astype(np.float64) for name in ("real", "fake"))
    n, m, d = len(real), len(fake), real.shape[1]
    covariances = np.cov(real.T), np.cov(fake.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    fid = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)

    def kernel(a, b):
        return (a @ b.T / d + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
              for k in (kernel(real, real), kernel(fake, fake))]
    kid = sum(within) - 2 * kernel(real, fake).sum() / (n * m)
    mind, spread = monge(real, fake)
    return {"fid": [fid], "kid_unbiased_cubic": [kid], "precision_k3": [covered(fake, real, 3)],
            "recall_k3": [covered(real, fake, 3)], "mind": [mind], "mind_spread": [spread]}


def monge(x, y, directions=100_000):
    """MIND by many directions, and what one of them has on the mean error: Berthet et al. 2026, Eq. 3.1,
    of sets in which every vector stands as often as makes both as large."""
    d, size = x.shape[1], np.lcm(len(x), len(y))
    draws, parts = np.random.default_rng(20260507), []
    for _ in range(directions // 1000):
        u = draws.standard_normal((d, 1000))
        u /= np.linalg.norm(u, axis=0)
        sorts = [np.repeat(np.sort(z @ u, axis=0), size // len(z), axis=0) for z in (x, y)]
        parts.append(3 * d * ((sorts[0] - sorts[1]) ** 2).mean(axis=0))
    each = np.concatenate(parts)
    return each.mean(), each.std()
