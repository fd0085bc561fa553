"""Tensors of a safetensors file as flat arrays of the standard library."""

import array
import json
import struct

TYPES = {"F32": "f", "F64": "d", "U8": "B", "I32": "i", "I64": "q"}


def read(path):
    """A dictionary from names to arrays, and the metadata."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        if entry["dtype"] in TYPES:
            tensors[name] = array.array(TYPES[entry["dtype"]])
            tensors[name].frombytes(data[8 + length + first : 8 + length + last])
    return tensors, metadata


def write(path, tensors):
    """tensors: name to (shape, array of floats)."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = values.tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
