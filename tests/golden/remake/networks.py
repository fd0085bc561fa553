"""Networks and their modules, forward and backward, in float64."""

import functools
import json

import jax
import jax.numpy as jnp
import network as net
import numpy as np
from vectors import DATA, golden, read, recipe, uniforms

# Differences of float32 that the committed numbers have from exact ones, with a margin.
PHI, GRADIENT, GRADIENT_FLOOR = 1e-4, 5e-4, 1e-4


def doubles(tensors):
    return {key: jnp.asarray(value, jnp.float64) for key, value in tensors.items()}


def weights(name):
    """They are made by the recipe, in the order of the file."""
    file = golden(f"{name}.weights")
    names = [key for key in file if key != "sigmas"]
    return {key: recipe(key, file[key].shape, k) for k, key in enumerate(names)}


def formula_weights(io):
    """Of a file without any: by the names of its gradients."""
    names = [key.removeprefix("grad.") for key in io if key.startswith("grad.") and key != "grad.x"]
    return {key: recipe(key, io[f"grad.{key}"].shape, k) for k, key in enumerate(names)}


def with_tolerance(gradients):
    """Each relative to its largest value, with a floor for those that are next to nothing."""
    largest = {key: float(np.abs(value).max()) for key, value in gradients.items()}
    floor = GRADIENT_FLOOR * max(largest.values())
    return {key: (value, GRADIENT * max(largest[key], floor)) for key, value in gradients.items()}


def whole(name, config):
    """The files NAME.io and NAME.acts."""
    io = golden(f"{name}.io")
    p = doubles(golden(f"{name}.weights") if "score" in io else formula_weights(io))
    sigmas = p.pop("sigmas", None)
    x, time_cond, cotangent = (jnp.asarray(io[key], jnp.float64)
                               for key in ("x", "time_cond", "cotangent"))

    def run(p, x):
        return net.ncsnpp(p, config, x, time_cond)

    phi, backward, acts = jax.vjp(run, p, x, has_aux=True)
    of_p, of_x = backward(cotangent)
    of_p.pop("all_modules.0.W", None)  # is not trained
    gradients = with_tolerance({f"grad.{key}": value for key, value in of_p.items()})
    made = {"phi": (phi, PHI), "loss": ([(phi * cotangent).sum()], 1e-2),
            **gradients, "grad.x": with_tolerance({"grad.x": of_x})["grad.x"]}  # fmt: skip
    if sigmas is not None:
        scale = time_cond if config["fourier"] else sigmas[time_cond.astype(int)]
        made["score"] = phi / scale[:, None, None, None], float(PHI / scale.min())
    if config["fourier"]:
        made["phi_f64"] = (phi, 1e-12)
    return made, {f"act.{i:02}": (value, PHI) for i, value in enumerate(acts)}


def full(name, config, k, biased=True):
    """Weights, their sums and the statistics of every module; k: of the formula for x; biased: whether the
    deviations are."""
    file = golden(f"{name}.io")
    rows = json.loads((DATA / f"{name}.manifest.json").read_text())["tensors"]
    p, faults = {}, 0
    for row in rows:
        values = recipe(row["name"], row["shape"], row["k"])
        faults += not np.allclose(values.reshape(-1)[:3], row["first"])
        faults += abs(values.sum(dtype=np.float64) - row["sum"]) > 1e-6 * max(1, abs(row["sum"]))
        p[row["name"]] = jnp.asarray(values, jnp.float64)
    assert faults == 0, f"{faults} lines of the manifest differ"
    x = (uniforms(file["x"].size, k).reshape(file["x"].shape) + 1) / 2
    run = jax.jit(functools.partial(net.ncsnpp, config=config))
    phi, acts = run(p, x=jnp.asarray(x.astype(np.float32), jnp.float64),
                    time_cond=jnp.asarray(file["time_cond"], jnp.float64))
    stats = []
    for i, value in enumerate(np.asarray(act).reshape(-1) for act in acts):
        stats.append([i, value.mean(), value.std(ddof=not biased), np.abs(value).max(), *value[:4]])
    # The file's float64 began with an embedding of the time in float32.
    return {"x": x, "phi": (phi, PHI), "phi_f64": (phi, 1e-5), "module_stats": (stats, 1e-3)}


def pictures():
    """What schedulers of diffusers take from the outputs of ddpm_original, whatever these are said to be."""
    file, made = golden("ddpm_original.io"), {}
    rows = json.loads((DATA / "ddpm_original.manifest.json").read_text())["tensors"]
    p = {row["name"]: jnp.asarray(recipe(row["name"], row["shape"], row["k"]), jnp.float64) for row in rows}
    z = 2 * jnp.asarray(file["x"], jnp.float64) - 1
    run = jax.jit(functools.partial(net.ncsnpp, config=net.DDPM_ORIGINAL))
    kept = np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    rescaled = (kept - kept[-1]) * kept[0] / (kept[0] - kept[-1])
    for t in (437, 999):
        phi = run(p, x=(z + 1) / 2, time_cond=jnp.array([float(t)]))[0]
        a, sigma = kept[t], np.sqrt(1 - kept[t] ** 2)
        made |= {f"epsilon.{t}": (z - sigma * phi) / a, f"v_prediction.{t}": a * z - sigma * phi,
                 f"sample.{t}": phi,
                 f"v_prediction.zero_snr.{t}": rescaled[t] * z - np.sqrt(1 - rescaled[t] ** 2) * phi}  # fmt: skip
    # A thousand betas in float32 there, and what is divided by a; the outputs are up to 3.
    return {key: (value, 1e-2 if key == "epsilon.999" else 1e-4) for key, value in made.items()}


def squeezenet():
    """The mean of what the last fire module gives; from RGB bytes."""
    p = doubles(read(DATA.parent.parent.parent / "model/zoo/squeezenet11.safetensors"))
    x = jnp.asarray(golden("squeezenet11")["input"], jnp.float64)[..., ::-1]
    x = jnp.transpose(x - jnp.array([103.939, 116.779, 123.68]), (0, 3, 1, 2))

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), "VALID")

    def relu_conv(name, x, **options):
        return jax.nn.relu(net.conv(p, name, x, **options))

    x = pool(relu_conv("conv1", x, stride=2, pad=(0, 0)))
    for fire in range(2, 10):
        squeezed = relu_conv(f"fire{fire}.squeeze1x1", x)
        x = jnp.concatenate([relu_conv(f"fire{fire}.expand{k}x{k}", squeezed) for k in (1, 3)], 1)
        if fire in (3, 5):
            x = pool(x)
    return {"fire9_mean": (x.mean(axis=(2, 3)), 6e-5)}


def face_network():
    """The descriptor of dlib's network of faces, whose batch norms are in the weights; from RGB bytes."""
    p = doubles(read(DATA.parent.parent.parent / "model/zoo/face-dlib.safetensors"))
    x = jnp.asarray(golden("face-dlib")["input"], jnp.float64)
    x = jnp.transpose((x - jnp.array([122.782, 117.001, 104.298])) / 256, (0, 3, 1, 2))

    def pool(x, side, start, combine):
        return jax.lax.reduce_window(x, start, combine, (1, 1, side, side), (1, 1, 2, 2), "VALID")

    def enlarge(x, shape):
        return jnp.pad(x, [(0, want - have) for want, have in zip(shape, x.shape)])

    x = jax.nn.relu(net.conv(p, "first", x, stride=2, pad=(0, 0)))
    x = pool(x, 3, -jnp.inf, jax.lax.max)
    for i, channels in enumerate([32] * 3 + [64] * 4 + [128] * 3 + [256] * 4, 1):
        down = i in (4, 8, 11, 14)
        y = net.conv(p, f"block{i}.conv1", x, stride=1 + down, pad=(0, 0) if down else None)
        y = net.conv(p, f"block{i}.conv2", jax.nn.relu(y))
        x = pool(x, 2, 0.0, jax.lax.add) / 4 if down else x
        shape = [max(sizes) for sizes in zip(x.shape, y.shape)]
        assert shape[1] == channels
        x = jax.nn.relu(enlarge(x, shape) + enlarge(y, shape))
    return {"descriptor": (x.mean(axis=(2, 3)) @ p["fc.weight"], 1e-6)}


def efficientnet():
    """The mean of what the head of EfficientNet-Lite0 gives; from RGB bytes. Padding is XLA's "SAME"."""
    p = doubles(read(DATA.parent.parent.parent / "model/zoo/efficientnet-lite0.safetensors"))
    x = jnp.asarray(golden("efficientnet-lite0")["input"], jnp.float64)
    x = jnp.transpose((x - 127) / 128, (0, 3, 1, 2))

    def convolution(name, x, stride=1):
        w = p[f"{name}.weight"]
        y = jax.lax.conv_general_dilated(x, w, (stride, stride), "SAME",
                                         dimension_numbers=("NCHW", "OIHW", "NCHW"),
                                         feature_group_count=x.shape[1] // w.shape[1])
        return y + p[f"{name}.bias"][:, None, None]

    x = jax.nn.relu6(convolution("stem", x, 2))
    for i in range(16):
        y = jax.nn.relu6(convolution(f"block{i}.expand", x)) if i else x
        y = jax.nn.relu6(convolution(f"block{i}.depth", y, 2 if i in (1, 3, 5, 11) else 1))
        y = convolution(f"block{i}.project", y)
        x = x + y if x.shape == y.shape else y
    return {"features": (jax.nn.relu6(convolution("head", x)).mean(axis=(2, 3)), 2e-6)}
