#!/usr/bin/env python3
"""What leaves softdiff for PyTorch, and what comes from there, against what softdiff computes.

usage: pytorch.py BUILD_FOLDER      with Debian's python3-torch

softdiff_torch.py predicts what softdiff does, for every kind of output, and draws what softdiff draws
from the same x_1, with every corruption, with labels and guided;
score_sde.py finds averaged weights and architecture in a .pth laid out as score_sde_pytorch lays it
out, and the model that softdiff-convert makes of them predicts what the reference does.
"""

import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
import vectors

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tools" / "convert"), str(ROOT / "tests" / "tools")]

import small_models  # noqa: E402  pylint: disable=wrong-import-position
import softdiff_torch  # noqa: E402  pylint: disable=wrong-import-position
import unets  # noqa: E402  pylint: disable=wrong-import-position

DATA = ROOT / "tests" / "golden" / "data"
TYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}
TIMES = [0.02, 0.31, 0.75, 1.0]
PREDICTION = 1e-4  # of float32, of the largest number or of 1


class Results:
    passed = failed = 0

    def add(self, name, error, limit):
        good = error <= limit
        self.passed += good
        self.failed += not good
        print(f"{'' if good else 'FAILED '}{name}: {error:.3g}, at most {limit:g}")


def golden(name):
    data = (DATA / f"{name}.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + length :])
    return {name: torch.frombuffer(body[slice(*entry["data_offsets"])], dtype=TYPES[entry["dtype"]])
            .reshape(entry["shape"]) for name, entry in header.items()}  # fmt: skip


def bytes_of(x):
    """Images [n,c,h,w] as float32 [n,h,w,c]."""
    return x.permute(0, 2, 3, 1).float().contiguous().numpy().tobytes()


def predicted(build, model, x, times):
    """What softdiff predicts from x [n,c,h,w]."""
    done = subprocess.run([build / "tests/tools/denoise_numbers", model, *map(repr, times)],
                          input=bytes_of(x), check=True, capture_output=True)  # fmt: skip
    n, c, h, w = x.shape
    flat = torch.frombuffer(bytearray(done.stdout), dtype=torch.float32)
    return flat.reshape(n, h, w, c).permute(0, 3, 1, 2)


def drawn(build, model, sampler, nfe, led=()):
    """What softdiff draws with three seeds, [n,c,h,w]; of 0 evaluations x_1."""
    done = subprocess.run([build / "tests/tools/draw_numbers", model, sampler, str(nfe), "5", "3", *led],
                          check=True, capture_output=True)  # fmt: skip
    side = small_models.SIDE
    flat = torch.frombuffer(bytearray(done.stdout), dtype=torch.float32)
    return flat.reshape(3, side, side, 3).permute(0, 3, 1, 2)


def check_drawing(build, results, name, path, sampler="pf-2m", **led):
    """From where softdiff begins to where it comes."""
    model = softdiff_torch.Softdiff(path).eval()
    x = model.draw(drawn(build, path, sampler, 0), 5, **led)
    want = drawn(build, path, sampler, 5, map(str, led.values()))
    results.add(f"images of {name}", (x - want).abs().max().item(), PREDICTION * max(1, want.abs().max().item()))


def check_model(build, results, name, path):
    model = softdiff_torch.Softdiff(path).eval()
    side, channels = model.a["image_size"], model.a["num_channels"]
    generator = torch.Generator().manual_seed(5)
    x = 0.5 + 0.4 * torch.randn(len(TIMES), channels, side, side, generator=generator)
    with torch.no_grad():
        h = model(x, torch.tensor(TIMES))
    want = predicted(build, path, x, TIMES)
    results.add(f"predictions of {name}", (h - want).abs().max().item(),
                PREDICTION * max(1, want.abs().max().item()))  # fmt: skip


def check_models(build, results, folder):
    check_model(build, results, "the zoo's faces32", ROOT / "model/zoo/faces32.safetensors")
    for corruption in small_models.CORRUPTIONS:
        path = small_models.write(build, folder / f"{corruption}.safetensors", corruption)
        if corruption == "mask-random":
            refused(results, path, 'order of a mask "random" is not known here')
        else:
            check_drawing(build, results, f"a small model, {corruption}", path)
    for output in small_models.OUTPUTS:
        path = small_models.write(build, folder / "output.safetensors", "vp", output, labels=True)
        check_model(build, results, f"a small model, output {output}", path)
        check_drawing(build, results, f"the same, of a label, guided, output {output}", path, label=2, guidance=1.5)
    path = small_models.write(build, folder / "noiseless.safetensors", "blur", noise=False)
    check_drawing(build, results, "a small model without noise", path, "probability-flow")


def refused(results, path, text):
    try:
        softdiff_torch.Softdiff(path)
        said = "nothing"
    except ValueError as error:
        said = str(error)
    results.add(f"refusals that do not say {text}", float(text not in said), 0)


def write_pth(path, weights):
    """Laid out as score_sde_pytorch does: the averages without names, and without what is frozen."""
    generator = torch.Generator().manual_seed(1)
    model = {f"module.{name}": torch.randn(value.shape, generator=generator).to(value.dtype)
             for name, value in weights.items()}  # fmt: skip
    for frozen in ("all_modules.0.W", "sigmas"):
        if frozen in weights:
            model[f"module.{frozen}"] = weights[frozen]
    shadow = [value for name, value in weights.items() if name not in ("all_modules.0.W", "sigmas")]
    average = {"decay": 0.999, "num_updates": 5, "shadow_params": shadow}
    torch.save({"optimizer": {"state": {}, "param_groups": []}, "model": model, "ema": average,
                "step": 5}, path)  # fmt: skip


def in_order(weights):
    """By module, and in the order that the reference registers its leaves in."""
    leaves = ["W", "GroupNorm_0", "Conv_0", "Dense_0", "GroupNorm_1", "Conv_1", "Conv_2", "NIN_0",
              "NIN_1", "NIN_2", "NIN_3", "Conv2d_0", "weight", "bias", "b"]  # fmt: skip

    def key(name):
        words = name.split(".")
        numbers = [leaves.index(word) for word in words[2:]]
        return (1, 0, []) if name == "sigmas" else (0, int(words[1]), numbers)

    return {name: weights[name] for name in sorted(weights, key=key)}


def check_import(build, results, folder, name, options):
    weights, vectors = in_order(golden(f"{name}.weights")), golden(f"{name}.io")
    pth, tensors, model = (folder / f"{name}.{end}" for end in ("pth", "tensors", "safetensors"))
    write_pth(pth, weights)
    side = vectors["x"].shape[2]
    subprocess.run([sys.executable, ROOT / "tools/convert/score_sde.py", pth, tensors, "--image-size",
                    str(side), *options], check=True)  # fmt: skip
    subprocess.run([build / "tools/convert/softdiff-convert", "import", tensors, model], check=True)
    most, least = weights["sigmas"][0].item(), weights["sigmas"][-1].item()
    if "all_modules.0.W" in weights:
        times = [math.log(s / least) / math.log(most / least) for s in vectors["time_cond"].tolist()]
    else:
        times = [1 - place / 999 for place in vectors["time_cond"].tolist()]
    sigmas = torch.tensor([least * (most / least) ** t for t in times]).reshape(-1, 1, 1, 1)
    x = vectors["x"]
    for which, h in (("softdiff", predicted(build, model, x, times)),
                     ("softdiff_torch.py", softdiff_torch.Softdiff(model)(x, torch.tensor(times).double()).detach())):  # fmt: skip
        error = ((h - x) / sigmas - vectors["phi"]).abs().max().item()
        results.add(f"{name} from a .pth, by {which}", error, PREDICTION)


def check_diffusion(build, results, folder, name):
    """The same of a network that finds the noise, trained with the thousand steps of Ho et al. 2020."""
    io = golden(f"{name}.io")
    names = [key[5:] for key in io if key.startswith("grad.") and key != "grad.x"]
    weights = {key: torch.from_numpy(vectors.recipe(key, tuple(io[f"grad.{key}"].shape), k))
               for k, key in enumerate(names)}  # fmt: skip
    pth, tensors, model = (folder / f"{name}.{end}" for end in ("pth", "tensors", "safetensors"))
    write_pth(pth, weights)
    subprocess.run([sys.executable, ROOT / "tools/convert/score_sde.py", pth, tensors, "--image-size",
                    str(io["x"].shape[2]), "--centered", "--sde", "vp", "--discrete"], check=True)  # fmt: skip
    subprocess.run([build / "tools/convert/softdiff-convert", "import", tensors, model], check=True)
    kept = np.cumprod(1 - np.linspace(0.1, 20, 1000) / 1000)[[0, 999]]
    x, phi, times = io["x"][[0, 2]], io["phi"][[0, 2]], [0.0, 1.0]
    a, sigma = (torch.from_numpy(v).reshape(-1, 1, 1, 1) for v in (kept**0.5, (1 - kept) ** 0.5 / 2))
    x_t = ((2 * x - 1 + a) / 2).float()
    for which, h in (("softdiff", predicted(build, model, x_t, times)),
                     ("softdiff_torch.py", softdiff_torch.Softdiff(model)(x_t, torch.tensor(times).double()).detach())):  # fmt: skip
        error = ((x_t - a * h) / sigma - phi).abs().max().item()
        results.add(f"{name} from a .pth, by {which}", error, PREDICTION)


def check_unet(build, results, folder):
    """A UNet2DModel of diffusers, stored by torch, as Ho et al. have DDPM."""
    side, config = folder / "unet", unets.UNET
    side.mkdir()
    weights = unets.weights()
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()},
               side / "diffusion_pytorch_model.bin")  # fmt: skip
    (side / "config.json").write_text(json.dumps(config))
    tensors, model = side / "weights.safetensors", side / "model.safetensors"
    subprocess.run([sys.executable, ROOT / "tools/convert/diffusers_unet.py", side, tensors], check=True)
    subprocess.run([build / "tools/convert/softdiff-convert", "import", tensors, model], check=True)
    io, kept = golden("ddpm_original.io"), np.cumprod(1 - unets.BETAS)[437]
    a, sigma = kept**0.5, (1 - kept) ** 0.5 / 2
    x_t = ((2 * io["x"] - 1 + a) / 2).float()
    for which, h in (("softdiff", predicted(build, model, x_t, [437 / 999])),
                     ("softdiff_torch.py", softdiff_torch.Softdiff(model)(x_t, torch.tensor([437 / 999]).double()).detach())):  # fmt: skip
        results.add(f"a UNet2DModel from a .bin, by {which}",
                    ((x_t - a * h) / sigma - io["phi"]).abs().max().item(), PREDICTION)  # fmt: skip


def main():
    build, results = (ROOT / sys.argv[1]).resolve(), Results()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_models(build, results, folder)
        check_import(build, results, folder, "net_a", [])
        check_import(build, results, folder, "net_c", ["--centered"])
        check_diffusion(build, results, folder, "net_d")
        check_diffusion(build, results, folder, "net_e")
        check_unet(build, results, folder)
    print(f"{results.passed} passed, {results.failed} failed")
    sys.exit(results.failed > 0)


if __name__ == "__main__":
    main()
