#!/usr/bin/env python3
"""Weights of a UNet2DModel of diffusers, for softdiff-convert import.

usage: diffusers_unet.py FOLDER OUT.safetensors [--variant NAME]
       softdiff-convert import OUT.safetensors MODEL.safetensors

FOLDER: of a pipeline as DDPMPipeline.save_pretrained() writes it, e.g. google/ddpm-cifar10-32: the network
with its config.json there or in unet/, and scheduler/scheduler_config.json, for its betas; where none is there
they are Ho et al.'s. Weights are diffusion_pytorch_model as .safetensors or .bin, whole or in parts, and in
float32 afterwards; of a variant (diffusion_pytorch_model.fp16.safetensors) where it is named or all there is.
Nothing in it is executed, and neither diffusers nor torch is needed.

Read are networks of Ho et al. 2020 (2006.11239), which find the noise in a thousand steps, or the velocity or
the clean picture (prediction_type): whatever a configuration has else is refused by its name. How its scheduler draws is not read: softdiff has samplers of
its own. Needs NumPy.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import tensor_files

BLOCK = {"norm1": "GroupNorm_0", "conv1": "Conv_0", "time_emb_proj": "Dense_0",
         "norm2": "GroupNorm_1", "conv2": "Conv_1", "conv_shortcut": "NIN_0"}  # fmt: skip
ATTENTION = {"group_norm": "GroupNorm_0", "to_q": "NIN_0", "to_k": "NIN_1", "to_v": "NIN_2",
             "to_out.0": "NIN_3", "query": "NIN_0", "key": "NIN_1", "value": "NIN_2",
             "proj_attn": "NIN_3"}  # fmt: skip
RESAMPLING = {"conv": "Conv_0"}
STEM = "diffusion_pytorch_model"
STEPS = 1000

# What all of these networks have, and what a configuration that does not say it means.
FIXED = {
    "_class_name": ("UNet2DModel", "UNet2DModel"), "mid_block_type": ("UNetMidBlock2D", "UNetMidBlock2D"),
    "center_input_sample": (False, False), "time_embedding_type": ("positional", "positional"),
    "freq_shift": (1, 0), "flip_sin_to_cos": (False, True), "mid_block_scale_factor": (1, 1),
    "downsample_padding": (0, 1), "downsample_type": ("conv", "conv"), "upsample_type": ("conv", "conv"),
    "act_fn": ("silu", "silu"), "norm_eps": (1e-6, 1e-5), "resnet_time_scale_shift": ("default", "default"),
    "add_attention": (True, True), "class_embed_type": (None, None), "num_class_embeds": (None, None),
    "attn_norm_num_groups": (None, None),
}  # fmt: skip

# Those that give noise to an image by the same betas.
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler",
              "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler",
              "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler")  # fmt: skip

PREDICTED = {"epsilon": "noise", "v_prediction": "velocity", "sample": "clean"}


def refuse(what):
    raise SystemExit(f"what is here is no network of DDPM: {what}")


def variants(folder):
    """Of the weights that are there."""
    found = set()
    for path in folder.glob(f"{STEM}.*"):
        words = path.name.split(".")
        if len(words) == 3 and words[2] in ("safetensors", "bin"):
            found.add(words[1].split("-")[0])  # a part has its number behind
        if len(words) == 5 and words[2::2] == ["index", "json"]:
            found.add(words[3])
    return sorted(found)


def files(folder, variant):
    """Where the weights are: in a file, or in the parts that an index lists; [] for nowhere."""
    infix = f".{variant}" if variant else ""
    for end in ("safetensors", "bin"):
        whole, index = folder / f"{STEM}{infix}.{end}", folder / f"{STEM}.{end}.index{infix}.json"
        if whole.exists():
            return [whole]
        if index.exists():
            parts = tensor_files.read_json(index).get("weight_map")
            if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
                raise SystemExit(f'"{index}" lists no parts')
            if any(pathlib.Path(name).name != name for name in parts.values()):
                raise SystemExit(f'"{index}" lists files that are not beside it')
            return [folder / name for name in sorted(set(parts.values()))]
    return []


def read(folder, variant):
    """Names to arrays of float32."""
    paths, there = files(folder, variant), variants(folder)
    if not paths and not variant and len(there) == 1:
        paths = files(folder, there[0])
    if not paths:
        hint = f": there are the variants {', '.join(there)} (--variant)" if there else ""
        raise SystemExit(f'there is no "{STEM}{"." + variant if variant else ""}" in "{folder}"{hint}')
    tensors = {}
    for path in paths:
        found = (tensor_files.load if path.suffix == ".bin" else tensor_files.read)(path)
        if not isinstance(found, dict) or not all(isinstance(value, np.ndarray) for value in found.values()):
            raise SystemExit(f'"{path}" has no weights by name')
        tensors |= {name: value.astype("<f4") for name, value in found.items()}
    return tensors


def architecture(config):
    """The numbers of model/architecture.h."""
    for key, (needed, unsaid) in FIXED.items():
        if config.get(key, unsaid) != needed:
            refuse(f'"{key}" is {config.get(key, unsaid)!r}, not {needed!r}')
    widths, downs = list(config["block_out_channels"]), list(config["down_block_types"])
    ups, side = list(config["up_block_types"]), config["sample_size"]
    for kind in downs + ups:
        if kind not in ("DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"):
            refuse(f'"{kind}" is not read')
    attends = ["Attn" in kind for kind in downs]
    if attends != ["Attn" in kind for kind in reversed(ups)]:
        refuse("down_block_types and up_block_types do not mirror each other")
    if not isinstance(side, int):
        refuse(f'"sample_size" is {side!r}, not the side of a square')
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        refuse("its output has other channels than its input")
    heads = config.get("attention_head_dim", 8)
    for width in [w for w, a in zip(widths, attends) if a] + widths[-1:]:
        if heads not in (None, width):
            refuse(f'"attention_head_dim" is {heads}: an attention of {width} channels has several heads')
    groups = config.get("norm_num_groups", 32)
    for width in widths:
        if groups != min(width // 4, 32):
            refuse(f'"norm_num_groups" is {groups}, not {min(width // 4, 32)}, for {width} channels')
    if any(width % widths[0] for width in widths):
        refuse('"block_out_channels" are no multiples of the first')
    return {
        "network": "ddpm_original", "image_size": side, "num_channels": config.get("in_channels", 3),
        "nf": widths[0], "ch_mult": [width // widths[0] for width in widths],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [side >> level for level, attend in enumerate(attends) if attend],
        "embedding_type": "positional", "centered": False, "dropout": config.get("dropout", 0.0),
    }  # fmt: skip


def modules(config):
    """The names of the modules there, in the order of all_modules, and those of their leaves."""
    yield from (("time_embedding.linear_1", None), ("time_embedding.linear_2", None), ("conv_in", None))
    n, last = config["layers_per_block"], len(config["block_out_channels"]) - 1
    for side, blocks, count in (("down", config["down_block_types"], n), ("up", config["up_block_types"], n + 1)):
        for i, kind in enumerate(blocks):
            for j in range(count):
                yield f"{side}_blocks.{i}.resnets.{j}", BLOCK
                if "Attn" in kind:
                    yield f"{side}_blocks.{i}.attentions.{j}", ATTENTION
            if i < last:
                yield f"{side}_blocks.{i}.{side}samplers.0", RESAMPLING
        if side == "down":
            yield from (("mid_block.resnets.0", BLOCK), ("mid_block.attentions.0", ATTENTION),
                        ("mid_block.resnets.1", BLOCK))  # fmt: skip
    yield from (("conv_norm_out", None), ("conv_out", None))


def pairs(config, there):
    """What a weight is called there and here, of the leaves that are there; there: their names."""
    for i, (name, leaves) in enumerate(modules(config)):
        found = False
        for leaf, ours in leaves.items() if leaves else [("", "")]:
            source, target = (f"{a}.{b}" if b else a for a, b in ((name, leaf), (f"all_modules.{i}", ours)))
            if f"{source}.weight" in there and f"{source}.bias" in there:
                found = True
                products = ours.startswith("NIN")
                yield f"{source}.weight", f"{target}.{'W' if products else 'weight'}", products
                yield f"{source}.bias", f"{target}.{'b' if products else 'bias'}", False
        if not found:
            refuse(f"there is no {name}")


def rename(tensors, config):
    """The same under the names of yang-song/score_sde_pytorch, and products as it lays them out."""
    left, renamed = dict(tensors), {}
    for source, target, product in pairs(config, tensors):
        value = left.pop(source)
        if product:  # a linear layer, or a convolution with windows of 1x1
            value = np.ascontiguousarray(value.reshape(value.shape[:2]).T)
        renamed[target] = value
    if left:
        refuse(f"{sorted(left)[0]} has no place in it")
    return renamed


def of_nothing_but_noise(steps):
    """The same steps, with nothing left of a picture after the last: Lin et al. 2023 (2305.08891), algorithm 1."""
    kept = np.sqrt(np.cumprod(1 - np.array(steps, np.float64)))
    kept = ((kept - kept[-1]) * (kept[0] / (kept[0] - kept[-1]))) ** 2
    return list(1 - np.concatenate([kept[:1], kept[1:] / kept[:-1]]))


def process(config):
    """How images become noise there, and what of it the network finds."""
    kind, steps = config.get("prediction_type", "epsilon"), betas(config)
    if kind not in PREDICTED:
        refuse(f'it predicts "{kind}", not {", ".join(PREDICTED)}')
    if config.get("rescale_betas_zero_snr"):
        if kind == "epsilon":
            refuse("its last step is nothing but noise, of which no picture is found")
        steps = of_nothing_but_noise(steps)
    return {"name": "vp", "betas": steps, "predicts": PREDICTED[kind]}


def betas(config):
    """Of the noise of every step."""
    name, kind = config.get("_class_name", SCHEDULERS[0]), config.get("beta_schedule", "linear")
    if name not in SCHEDULERS:
        refuse(f'its scheduler is "{name}"')
    trained = config.get("trained_betas")
    n = config.get("num_train_timesteps", STEPS) if trained is None else len(trained)
    if n != STEPS:
        refuse(f"it has {n} steps, not {STEPS}")
    if trained is not None:
        return [float(beta) for beta in trained]
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if kind == "linear":
        return list(np.linspace(first, last, n))
    if kind == "scaled_linear":
        return list(np.linspace(first**0.5, last**0.5, n) ** 2)
    if kind == "squaredcos_cap_v2":
        kept = [math.cos((i / n + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(n + 1)]
        return [min(1 - b / a, 0.999) for a, b in zip(kept, kept[1:])]
    return refuse(f'"beta_schedule" is "{kind}"')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out")
    parser.add_argument("--variant", metavar="NAME", help="of the weights, e.g. fp16")
    options = parser.parse_args()
    unet, scheduler = options.folder / "unet", options.folder / "scheduler" / "scheduler_config.json"
    unet = unet if unet.is_dir() else options.folder
    if not scheduler.exists():
        scheduler = options.folder / "scheduler_config.json"
    config, steps = tensor_files.read_json(unet / "config.json"), {}
    if scheduler.exists():
        steps = tensor_files.read_json(scheduler)
    else:
        print("there is no scheduler_config.json: the betas are those of Ho et al. 2020")
    try:
        found, diffusion = architecture(config), process(steps)
    except (KeyError, TypeError, ValueError) as error:
        refuse(f"its configuration has no, or no such, {error}")
    tensors = rename(read(unet, options.variant), config)
    metadata = {"architecture": json.dumps(found), "process": json.dumps(diffusion)}
    tensor_files.write(options.out, tensors, metadata | {"source": "UNet2DModel of diffusers"})
    print(f"{options.out}: {json.dumps(found)}")


if __name__ == "__main__":
    main()
