"""Random weights for Inception-V3 by a recipe that every language computes alike, bit for bit.

Element i of the tensor of a name: z = i + hash(name), as tests/golden/data/README.md describes it from
there on, with the hash FNV-1a in 64 bits over the bytes of the name; u in [-1,1). Then
    conv.weight      u sqrt(6 / (in kh kw))
    bn.weight        1 + u / 5
    bn.running_var   1 + u / 2
    others           u / 5
in float64, rounded to float32.
"""

import numpy as np


def fnv(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def random_numbers(name, count):
    """u, float64 [count]."""
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64(fnv(name)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def random_weights(shapes):
    """shapes: name to shape, of a state of PyTorch. Of the convolutions and their batch norms; float32."""
    out = {}
    for name, shape in shapes.items():
        if ".conv." not in name and ".bn." not in name or name.endswith("num_batches_tracked"):
            continue
        u = random_numbers(name, int(np.prod(shape)))
        if name.endswith(".conv.weight"):
            u *= np.sqrt(6 / np.prod(shape[1:]))
        elif name.endswith(".bn.weight"):
            u = 1 + u / 5
        elif name.endswith(".running_var"):
            u = 1 + u / 2
        else:
            u = u / 5
        out[name] = u.astype(np.float32).reshape(shape)
    return out
