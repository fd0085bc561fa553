#!/usr/bin/env python3
"""Makes model/zoo/face-dlib.safetensors of dlib_face_recognition_resnet_model_v1.dat.

usage: face_network.py FILE.dat OUT.safetensors [--dat OUT.dat] [--golden VECTORS.safetensors]

FILE.dat: of PyPI's face-recognition-models (CC0). Nothing in it is executed: it is read as the
tensors that dlib 19 has written, each of which has to be where the one before ends. The factor and
the term of every affine layer go into the convolution before it, and the weights are rounded to
bfloat16.

--dat writes them back in dlib's format, with affine layers that do nothing. --golden has dlib
itself (PyPI's dlib-bin) compute the features of four pictures with these very weights:
tests/golden/data/face-dlib.safetensors is made so.
"""

import argparse
import json
import os
import struct
import tempfile

import numpy as np
import tensor_files

CHANNELS = [32] * 3 + [64] * 4 + [128] * 3 + [256] * 3 + [256]
SIDE, FEATURES = 150, 128


def layers():
    """(name, dlib's tag, shape of the weights) in the order of the file."""
    yield "first", b"con_4", (32, 3, 7, 7)
    channels = 32
    for i, out in enumerate(CHANNELS, 1):
        yield f"block{i}.conv1", b"con_4", (out, channels, 3, 3)
        yield f"block{i}.conv2", b"con_4", (out, out, 3, 3)
        channels = out
    yield "fc", b"fc_2", (channels, FEATURES)


def integer(data, at):
    """A number as dlib packs it: how many bytes (the high bit: negative), then these."""
    size = data[at] & 0x0F
    assert 1 <= size <= 8 and not data[at] & 0x80, f"no number at {at}"
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def tensor(data, at):
    """The place and number of the floats of the tensor whose version is at `at`."""
    version, at = integer(data, at)
    sizes = []
    for _ in range(4):
        size, at = integer(data, at)
        sizes.append(size)
    assert version == 2, f"a tensor of version {version}"
    return at, int(np.prod(sizes))


def find(data, tag, at):
    at = data.index(bytes([len(tag)]) + tag, at)
    return at + 1 + len(tag)


def read(data):
    """[(name, shape, (place, count) of the weights, (place, count) of the affine layer)]."""
    found, at = [], 0
    for name, tag, shape in layers():
        at = find(data, tag, at)
        if tag == b"fc_2":
            outputs, at = integer(data, at)
            inputs, at = integer(data, at)
            assert (inputs, outputs) == shape
        weights = tensor(data, at)
        at = weights[0] + 4 * weights[1]
        biases = 0 if tag == b"fc_2" else shape[0]
        assert weights[1] == np.prod(shape) + biases, f"{name} has {weights[1]} numbers"
        affine = None
        if biases:
            place = find(data, b"affine_", at)
            affine = tensor(data, place)
            assert place - at < 200 and affine[1] == 2 * biases, f"{name} has no affine layer"
            at = affine[0] + 4 * affine[1]
        found.append((name, shape, weights, affine))
    return found


def floats(data, place):
    return np.frombuffer(data, "<f4", place[1], place[0]).astype(np.float64)


def rounded(x):
    """To bfloat16, ties to even; as float32."""
    bits = x.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype("<u4").view("<f4")


def fold(data):
    """Names to float32 arrays, and the same file with these weights."""
    out, changed = {}, bytearray(data)

    def put(place, values):
        changed[place[0] : place[0] + 4 * place[1]] = values.astype("<f4").tobytes()

    for name, shape, weights, affine in read(data):
        numbers = floats(data, weights)
        count = int(np.prod(shape))
        weight, bias = numbers[:count].reshape(shape), numbers[count:]
        if affine:
            factor, term = np.split(floats(data, affine), 2)
            weight, bias = weight * factor[:, None, None, None], bias * factor + term
            put(affine, np.concatenate([np.ones_like(factor), np.zeros_like(term)]))
            out[f"{name}.bias"] = rounded(bias)
        out[f"{name}.weight"] = rounded(weight)
        put(weights, np.concatenate([rounded(weight).reshape(-1), rounded(bias)]))
    return out, bytes(changed)


def write(path, tensors):
    """tensors: names to (dtype, array)."""
    header, body = {}, b""
    for name, (dtype, values) in sorted(tensors.items()):
        first = len(body)
        body += values.tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape),
                        "data_offsets": [first, len(body)]}  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    tensor_files.write_bytes(path, [struct.pack("<Q", len(text)), text, body])


def pictures():
    """Four pictures [4,SIDE,SIDE,3] u8: waves and blobs of fixed colours, and some noise."""
    generator = np.random.Generator(np.random.PCG64(7))
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    out = np.zeros((4, SIDE, SIDE, 3))
    for i in range(4):
        for c in range(3):
            a, b, phase = generator.uniform(1, 9, 3)
            centre_x, centre_y = generator.uniform(0.3, 0.7, 2)
            blob = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) * 20)
            out[i, :, :, c] = 90 + 60 * np.sin(a * x + b * y + phase) + 90 * blob
        out[i] += generator.normal(0, 4 * i, out[i].shape)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def golden(dat, path):
    import dlib  # pylint: disable=import-outside-toplevel

    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "weights.dat")
        with open(name, "wb") as file:
            file.write(dat)
        network = dlib.face_recognition_model_v1(name)
        x = pictures()
        y = np.array([network.compute_face_descriptor(picture) for picture in x], "<f4")
    write(path, {"input": ("U8", x), "descriptor": ("F32", y)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("dat")
    parser.add_argument("out")
    parser.add_argument("--dat", dest="dat_out")
    parser.add_argument("--golden")
    options = parser.parse_args()
    try:
        with open(options.dat, "rb") as file:
            data = file.read()
    except OSError as error:
        raise SystemExit(f'could not read "{options.dat}": {error.strerror}') from None
    try:
        weights, changed = fold(data)
    except (IndexError, ValueError, struct.error) as error:
        raise SystemExit(f'"{options.dat}" is not dlib\'s network of faces, or damaged: {error}') from None
    write(options.out, {name: ("BF16", (value.view("<u4") >> 16).astype("<u2"))
                        for name, value in weights.items()})  # fmt: skip
    if options.dat_out:
        tensor_files.write_bytes(options.dat_out, [changed])
    if options.golden:
        golden(changed, options.golden)


if __name__ == "__main__":
    main()
