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


def rewrite(source, path, change, without=(), key="softdiff", extra=None):
    """A copy whose JSON document went through change(); bytes of the tensors stay, or go. extra: tensors
    more, name to (shape, array of floats)."""
    data = source.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    old, header, kept = json.loads(data[8 : 8 + length]), {}, b""
    metadata = old.pop("__metadata__")
    document = json.loads(metadata[key])
    change(document)
    header["__metadata__"] = metadata | {key: json.dumps(document)}
    for name, entry in sorted(old.items(), key=lambda item: item[1]["data_offsets"]):
        if name not in without:
            first, last = entry["data_offsets"]
            raw = data[8 + length + first : 8 + length + last]
            header[name] = entry | {"data_offsets": [len(kept), len(kept) + len(raw)]}
            kept += raw
    for name, (shape, values) in (extra or {}).items():
        raw = values.tobytes()
        offsets = [len(kept), len(kept) + len(raw)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        kept += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + kept)


def raw(path):
    """A dictionary from names to dtype, shape and bytes, and the JSON document of a checkpoint."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    return plain(path), json.loads(header["__metadata__"]["softdiff"])


def plain(path, without=()):
    """A dictionary from names to dtype, shape and bytes."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if name not in without:
            first, last = entry["data_offsets"]
            content = data[8 + length + first : 8 + length + last]
            tensors[name] = (entry["dtype"], entry["shape"], content)
    return tensors


def join(path, tensors, metadata):
    """A file of what plain() returns."""
    header, body = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        body += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
