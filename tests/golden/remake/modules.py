"""Every module of the network by itself: tests/golden/data/modules.safetensors."""

import jax
import jax.numpy as jnp
import network as net
import numpy as np
from networks import doubles
from vectors import golden


def named(p):
    """So that a module finds its parameters: M.weight for weight."""
    return {f"M.{key}": value for key, value in p.items()}


def combine(p, x, y):
    return net.conv(named(p), "M.Conv_0", x), y


# A function of parameters and inputs per kind of case.
FUNCTIONS = {
    "res_plain": lambda p, x, temb: net.resnet_block(named(p), "M", x, temb),
    "res_chan": lambda p, x, temb: net.resnet_block(named(p), "M", x, temb),
    "res_up": lambda p, x, temb: net.resnet_block(named(p), "M", x, temb, net.fir_up),
    "res_down": lambda p, x, temb: net.resnet_block(named(p), "M", x, temb, net.fir_down),
    "res_up_odd": lambda p, x, temb: net.resnet_block(named(p), "M", x, temb, net.fir_up),
    "attn": lambda p, x: net.attention_block(named(p), "M", x),
    "attn_1x": lambda p, x: net.attention_block(named(p), "M", x),
    "gn_c16": lambda p, x: net.group_norm(named(p), "M", x),
    "gn_c12": lambda p, x: net.group_norm(named(p), "M", x),
    "gn_c384": lambda p, x: net.group_norm(named(p), "M", x),
    "gn_smallvar": lambda p, x: net.group_norm(named(p), "M", x),
    "nin": lambda p, x: net.nin(named(p), "M", x),
    "conv3x3": lambda p, x: net.conv(named(p), "M", x),
    "conv1x1": lambda p, x: net.conv(named(p), "M", x),
    "downsample_conv": lambda p, x: net.pyramid_down(named(p), "M", x),
    "combine_sum": lambda p, x, y: sum(combine(p, x, y)),
    "combine_cat": lambda p, x, y: jnp.concatenate(combine(p, x, y), axis=1),
    "temb_mlp": lambda p, x: net.linear(named(p), "M.l1", net.silu(net.linear(named(p), "M.l0", x))),
    "final": lambda p, x: net.conv(named(p), "M.Conv", net.silu(net.group_norm(named(p), "M.GroupNorm", x))),
}
# Of float32, which loses most where a variance is small beside the mean.
TOLERANCE, GRADIENT, SMALLVAR = 1e-5, 5e-5, 5e-3


def case(file, name, function):
    p = doubles({key.removeprefix(f"{name}.param."): value for key, value in file.items()
                 if key.startswith(f"{name}.param.")})
    inputs = [key for key in ("x", "temb", "y_in") if f"{name}.{key}" in file]
    values = [jnp.asarray(file[f"{name}.{key}"], jnp.float64) for key in inputs]
    y, backward = jax.vjp(function, p, *values)
    of_p, *of_inputs = backward(jnp.asarray(file[f"{name}.cot"], jnp.float64))
    limits = (SMALLVAR, SMALLVAR) if name == "gn_smallvar" else (TOLERANCE, GRADIENT)

    def near(value):
        return value, limits[1] * max(1.0, float(jnp.abs(value).max()))

    made = {f"{name}.y": (y, limits[0]), **{f"{name}.grad.{k}": near(v) for k, v in of_p.items()},
            **{f"{name}.grad_{key}": near(v) for key, v in zip(inputs, of_inputs)}}
    if name == "gn_smallvar":
        made["gn_smallvar.y_f64"] = (y, 1e-9)
        made["gn_smallvar.grad_x"] = (of_inputs[0], SMALLVAR * float(jnp.abs(of_inputs[0]).max()))
    return made


def resampling(file):
    made = {"fir.kernel2d": net.KERNEL}
    for part in ("even", "odd"):
        x = jnp.asarray(file[f"upfirdn.{part}.x"], jnp.float64)
        for name, function in (("up2", net.fir_up), ("down2", net.fir_down)):
            y, backward = jax.vjp(function, x)
            (of_x,) = backward(jnp.asarray(file[f"upfirdn.{part}.{name}.cot"], jnp.float64))
            made |= {f"upfirdn.{part}.{name}.y": y, f"upfirdn.{part}.{name}.grad_x": of_x}
    for part in ("impulse", "ones"):
        x = jnp.asarray(file[f"{part}.x"], jnp.float64)
        made |= {f"{part}.up2": net.fir_up(x), f"{part}.down2": net.fir_down(x)}
    x, kernel = (file[f"upfirdn.asym.{key}"].astype(np.float64) for key in ("x", "kernel"))
    x = jnp.asarray(x)
    return made | {
        "upfirdn.asym.up2_pad2_1.y": net.upfirdn(x, kernel, up=2, pad=(2, 1)),
        "upfirdn.asym.down2_pad1_1.y": net.upfirdn(x, kernel, down=2, pad=(1, 1)),
        "upfirdn.asym.pad3_2.y": net.upfirdn(x, kernel, pad=(3, 2)),
    }


def modules():
    """What was made, and the names of what is given."""
    file = golden("modules")
    made = resampling(file)
    for name, function in FUNCTIONS.items():
        made |= case(file, name, function)
    mask = jnp.asarray(file["res_dropout.mask"], jnp.float64)
    made |= case(file, "res_dropout",
                 lambda p, x, temb: net.resnet_block(named(p), "M", x, temb, mask=mask))
    w, sigma, u = (jnp.asarray(file[f"fourier.{key}"], jnp.float64)
                   for key in ("W", "sigma", "log_sigma"))
    made["fourier.log_sigma"] = (jnp.log(sigma), 1e-6)
    made["fourier.y"] = (net.fourier(w, u), 2e-4)
    t = jnp.asarray(file["positional.t"], jnp.float64)
    made |= {f"positional.y_d{dim}": (net.positional(t, dim), 2e-4) for dim in (32, 128)}
    exact = [net.fourier(w, v) for v in (u, jnp.log(sigma))]
    made["fourier.y_f64"] = (min(exact, key=lambda y: float(jnp.abs(y - file["fourier.y_f64"]).max())),
                             1e-9)
    leaves = ("x", "temb", "y_in", "cot", "mask", "kernel", "W", "sigma", "t")
    return made, [key for key in file if key.rsplit(".", 1)[-1] in leaves and key not in made
                  or ".param." in key]
