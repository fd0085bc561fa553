"""Golden files as NumPy arrays, the formula of weights, and the comparison of what was remade with what is committed."""

import json
import pathlib
import struct

import numpy as np

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "u1"}


def read(path):
    """A dictionary from names to arrays."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            stored = data[8 + length + first : 8 + length + last]
            if entry["dtype"] == "BF16":
                values = (np.frombuffer(stored, "<u2").astype("<u4") << 16).view("<f4")
            else:
                values = np.frombuffer(stored, DTYPES[entry["dtype"]])
            tensors[name] = values.reshape(entry["shape"])
    return tensors


def write(path, tensors):
    header, body = {}, b""
    for name, values in tensors.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": {"uint8": "U8", "float32": "F32"}[values.dtype.name],
                        "shape": list(values.shape),
                        "data_offsets": [len(body), len(body) + len(raw)]}  # fmt: skip
        body += raw
    text = str(header).replace("'", '"').encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def golden(name):
    return read(DATA / f"{name}.safetensors")


def uniforms(n, k):
    """In [-1,1), by a formula that is exact in every language: tests/golden/data/README.md, 8."""
    i = np.arange(n, dtype=np.uint64)
    z = i + np.uint64((0x50F7D1FF + k) << 32) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1


def recipe(name, shape, k):
    """A weight."""
    u = uniforms(int(np.prod(shape)), k)
    leaf = name.rsplit(".", 1)[-1]
    if len(shape) == 1:
        scale, shift = (16 * np.sqrt(3), 0) if leaf == "W" else (0.2, leaf == "weight")
    else:
        scale, shift = np.sqrt(3 / (shape[0] if leaf == "W" else np.prod(shape[1:]))), 0
    return (shift + scale * u).astype(np.float32).reshape(shape)


class Comparison:
    """Counts. given: tensors of a file that are drawn, not computed, or are covered elsewhere."""

    def __init__(self):
        self.passed = self.failed = 0

    def file(self, name, made, given=(), tolerance=1e-5):
        """made: name to an array, or to (array, tolerance); each tensor of the file that is not given
        must be there. The tolerance is that of the largest difference."""
        committed = golden(name)
        worst = 0.0
        missing = set(committed) - set(made) - set(given)
        unknown = set(made) - set(committed)
        faults = [f"{key} was not made" for key in sorted(missing)]
        faults += [f"{key} is in no file" for key in sorted(unknown)]
        for key in sorted(set(made) & set(committed)):
            values, limit = made[key] if isinstance(made[key], tuple) else (made[key], tolerance)
            values, want = np.asarray(values, np.float64), committed[key].astype(np.float64)
            if values.shape != want.shape:
                faults.append(f"{key} has the shape {values.shape}, not {want.shape}")
                continue
            error = float(np.max(np.abs(values - want), initial=0.0))
            worst = max(worst, error / limit)
            if not error <= limit:
                faults.append(f"{key} differs by {error:.3g}, more than {limit:.3g}")
            else:
                self.passed += 1
        self.failed += len(faults)
        print(f"{name}: {len(made)} tensors made, {len(given)} given, the worst difference is "
              f"{worst:.2g} of what is allowed")
        for fault in faults:
            print(f"    {fault}")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return self.failed > 0
