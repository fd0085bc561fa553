#!/usr/bin/env python3
"""Makes the golden numbers again and compares them with those that are committed.

usage: remake.py [FILE...]      FILE: a name in ../data without its suffix; all of them otherwise

Inputs are those of the files. Formulas are computed by NumPy and SciPy, networks by JAX in float64
from network.py, which shares nothing with the reference's code that made the files. The last line
counts tensors. inception.py makes that of the same name.
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import formulas  # noqa: E402
import modules  # noqa: E402
import network  # noqa: E402
import networks  # noqa: E402
import resizes  # noqa: E402
import runs  # noqa: E402
from vectors import DATA, Comparison, golden  # noqa: E402

EXACT = 1e-9


def net_io(name, config):
    """FILE.io, and what every module gives where that is committed, too."""
    made, acts = networks.whole(name, config)
    yield f"{name}.io", made, {"x", "time_cond", "cotangent"}
    if name == "net_a":
        yield f"{name}.acts", acts, set()


def one(name, made, given=()):
    yield name, made, set(given)


# The key makes a file, or two; what is given is not made.
FILES = {
    "blur": lambda: one("blur", formulas.blur(), (
        key for key in golden("blur") if key.endswith((".x0", ".stds", ".half_size")))),
    "gauss_modes": lambda: one("gauss_modes", formulas.gauss_modes(), (
        "lambda", "freq2", "t_grid", "sigma_grid", "blur_std_grid")),
    "schedule": lambda: one("schedule", formulas.schedule(), (
        "x0", "stds", "half_size", "target_nodes", "alt0.eps", "alt1.eps", "alt2.eps")),
    "metrics": lambda: one("metrics", formulas.metrics(), ("real", "fake")),
    "resize": lambda: one("resize", resizes.resizes()),
    "net_a.weights": lambda: one("net_a.weights", networks.weights("net_a"), ("sigmas",)),
    "net_c.weights": lambda: one("net_c.weights", networks.weights("net_c"), ("sigmas",)),
    "net_a.io": lambda: net_io("net_a", network.NET_A),
    "net_c.io": lambda: net_io("net_c", network.NET_C),
    "net_d.io": lambda: net_io("net_d", network.NET_D),
    "net_e.io": lambda: net_io("net_e", network.NET_E),
    "modules": lambda: one("modules", *modules.modules()),
    "samplers": lambda: one("samplers", runs.samplers(), (
        "x1", "noise", "phi_scale", "t_grid", "sigma_grid", "std_grid")),
    "train_soft": lambda: one("train_soft", runs.training(), (
        f"step{i}.{key}" for i in range(3) for key in ("x0", "t", "sigma", "blur_std", "eta"))),
    "full_celeba64_pos.io": lambda: one(
        "full_celeba64_pos.io", networks.full("full_celeba64_pos", network.CELEBA64, 9002, biased=False),
        ("time_cond",)),
    "full_cifar10_ddpm.io": lambda: one(
        "full_cifar10_ddpm.io", networks.full("full_cifar10_ddpm", network.CIFAR10_DDPM, 9004),
        ("time_cond",)),
    "ddpm_original.io": lambda: one(
        "ddpm_original.io", networks.full("ddpm_original", network.DDPM_ORIGINAL, 9009),
        ("time_cond",)),
    "ddpm_pictures": lambda: one("ddpm_pictures", networks.pictures()),
    "efficientnet-lite0": lambda: one("efficientnet-lite0", networks.efficientnet(), ("input",)),
    "face-dlib": lambda: one("face-dlib", networks.face_network(), ("input",)),
    "squeezenet11": lambda: one("squeezenet11", networks.squeezenet(), ("input",)),
}  # fmt: skip


def main():
    comparison = Comparison()
    wanted = sys.argv[1:] or FILES
    made = {name for key in wanted for name in compare(comparison, key)}
    if not sys.argv[1:]:
        left = {path.stem for path in DATA.glob("*.safetensors")} - made - {"inception"}
        assert not left, f"nothing makes {sorted(left)}"
    return comparison.finish()


def compare(comparison, key):
    for name, made, given in FILES[key]():
        comparison.file(name, made, given, EXACT if key in EXACT_FILES else 1e-5)
        yield name


EXACT_FILES = ("blur", "gauss_modes", "schedule", "metrics", "net_a.weights", "net_c.weights")

sys.exit(main())
