"""Weights of NCSN++ by the names of yang-song/score_sde_pytorch (cb1f359), as model/ncsnpp.c declares
them, and safetensors files, with numpy alone. That no name or shape is wrong is checked by all who
read such a file: softdiff and ncsnpp.py refuse what does not fit."""

import json
import math
import struct

import numpy


def res_block(name, channels_in, channels, temb_size, resamples=False):
    yield f"{name}.GroupNorm_0", (channels_in,)
    yield f"{name}.Conv_0", (channels, channels_in, 3, 3)
    yield f"{name}.Dense_0", (channels, temb_size)
    yield f"{name}.GroupNorm_1", (channels,)
    yield f"{name}.Conv_1", (channels, channels, 3, 3)
    if channels_in != channels or resamples:
        yield f"{name}.Conv_2", (channels, channels_in, 1, 1)


def attention(name, channels):
    yield f"{name}.GroupNorm_0", (channels,)
    for i in range(4):
        yield f"{name}.NIN_{i}", (channels, channels)


def layers(architecture):
    """Name and shape of the weight of every layer; names are numbered in the order of appearance."""
    nf, n_blocks = architecture["nf"], architecture["num_res_blocks"]
    widths = [nf * multiple for multiple in architecture["ch_mult"]]
    colours = architecture.get("num_channels", 3)
    attention_sides = architecture.get("attn_resolutions", [16])
    side, temb = architecture["image_size"], 4 * nf
    found = []

    def add(layer, *arguments, **options):
        found.extend(layer(f"all_modules.{add.number}", *arguments, **options))
        add.number += 1

    def plain(name, *shape):
        yield name, shape

    def add_attention(channels):
        if side in attention_sides:
            add(attention, channels)

    add.number = 0
    if architecture.get("embedding_type", "fourier") == "fourier":
        add(plain, nf)
        add(plain, temb, 2 * nf)
    else:
        add(plain, temb, nf)
    add(plain, temb, temb)
    add(plain, nf, colours, 3, 3)
    channels, pyramid, skips = nf, colours, [nf]
    for level, width in enumerate(widths):
        for _ in range(n_blocks):
            add(res_block, channels, width, temb)
            channels = width
            add_attention(channels)
            skips.append(channels)
        if level < len(widths) - 1:
            add(res_block, channels, channels, temb, resamples=True)
            add(lambda name, *shape: plain(f"{name}.Conv2d_0", *shape), channels, pyramid, 3, 3)
            pyramid = channels
            skips.append(channels)
            side //= 2
    add(res_block, channels, channels, temb)
    add(attention, channels)
    add(res_block, channels, channels, temb)
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(n_blocks + 1):
            add(res_block, channels + skips.pop(), width, temb)
            channels = width
        add_attention(channels)
        if level:
            add(res_block, channels, channels, temb, resamples=True)
        side *= 2
    add(plain, channels)
    add(plain, colours, channels, 3, 3)
    return found


def random_weights(architecture, seed=0):
    """Weights of a healthy scale, by name. The initial weights of training will not do: their last
    convolution is 1e-10, and so would be every output to be compared."""
    random = numpy.random.default_rng(seed)
    fourier = architecture.get("embedding_type", "fourier") == "fourier"
    weights = {}

    def uniform(shape, scale):
        return (random.random(shape, numpy.float32) * 2 - 1) * numpy.float32(scale)

    for name, shape in layers(architecture):
        if name == "all_modules.0" and fourier:
            weights[f"{name}.W"] = 16 * random.standard_normal(shape, numpy.float32)
        elif len(shape) == 1:
            weights[f"{name}.weight"] = 1 + uniform(shape, 0.2)
            weights[f"{name}.bias"] = uniform(shape, 0.2)
        elif ".NIN_" in name:  # stored [in,out]
            weights[f"{name}.W"] = uniform(shape, math.sqrt(3 / shape[0]))
            weights[f"{name}.b"] = uniform(shape[1:], 0.2)
        else:
            weights[f"{name}.weight"] = uniform(shape, math.sqrt(3 / math.prod(shape[1:])))
            weights[f"{name}.bias"] = uniform(shape[:1], 0.2)
    return weights


def save(path, tensors):
    """Writes float32 arrays, by name."""
    header, size = {}, 0
    for name, values in tensors.items():
        end = size + values.nbytes
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [size, end]}
        size = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # values are aligned
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(numpy.ascontiguousarray(values, "<f4").tobytes())


def load(path):
    """The float32 arrays of a file, by name."""
    data = path.read_bytes()
    start = 8 + struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            values = numpy.frombuffer(data[start + first : start + last], "<f4")
            tensors[name] = values.reshape(entry["shape"])
    return tensors
