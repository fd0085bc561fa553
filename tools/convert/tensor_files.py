"""Files of tensors, for the programs beside it: read as torch and safetensors write them, written as the latter.

Nothing in a file of torch is executed, and torch is not needed: of what a pickle can name, tensors and plain
containers are made and all else is refused, as torch.load(weights_only=True) does. What cannot be read or
written ends the program with a line that says why. Needs NumPy.
"""

import collections
import contextlib
import json
import os
import pickle
import struct
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # of files before torch 1.6
STORAGES = {"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
            "LongStorage": "I64", "IntStorage": "I32", "ByteStorage": "U8", "BoolStorage": "BOOL"}  # fmt: skip
TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1",
         "BOOL": "?"}  # fmt: skip


def numbers(data, kind):
    """An array of what lies in memory; of BF16 float32."""
    values = np.frombuffer(data, TYPES[kind])
    return (values.astype("<u4") << 16).view("<f4") if kind == "BF16" else values


def floats(values):
    """An array as what a network computes with, float32 at least."""
    return values.astype("<f8" if values.dtype == np.float64 else "<f4", copy=False)


def rebuild_tensor(storage, offset, size, stride, *_):
    if not size:
        return storage[offset]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if min(size) > 0 and not 0 <= offset <= last < len(storage):
        raise SystemExit("a tensor reaches beyond what is stored of it")
    steps = [step * storage.itemsize for step in stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(storage[offset:], size, steps))


class Unpickler(pickle.Unpickler):
    """storage(kind, key, count, view): the numbers that a pickle refers to."""

    def __init__(self, file, storage):
        super().__init__(file)
        self.storage = storage

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise SystemExit(f"the file names {module}.{name}, which is not read")

    def persistent_load(self, pid):
        _, kind, key, _, count, *view = pid
        return self.storage(kind, key, count, view[0] if view else None)


def load_archive(path):
    """Of torch 1.6 and newer: a ZIP archive, whose storages are files of their own beside data.pkl."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise SystemExit(f'"{path}" is no checkpoint of PyTorch')
        folder = names[0].rsplit("/", 1)[0]

        def storage(kind, key, *_):
            return numbers(archive.read(f"{folder}/data/{key}"), kind)

        with archive.open(names[0]) as file:
            return Unpickler(file, storage).load()


def load_stream(path):
    """Of before: pickles one after the other, then the storages, so that what they are for is read twice."""
    found, data = {}, {}

    def storage(kind, key, count, view):
        if view is not None:
            raise SystemExit("a storage is a part of another, which is not read")
        size = count * np.dtype(TYPES[kind]).itemsize
        found[key] = count, size
        return numbers(data.get(key, bytes(size)), kind)

    with open(path, "rb") as file:
        if Unpickler(file, storage).load() != MAGIC:
            raise SystemExit(f'"{path}" is not what torch writes')
        Unpickler(file, storage).load()  # a version
        Unpickler(file, storage).load()  # of the machine
        at = file.tell()
        Unpickler(file, storage).load()
        for key in Unpickler(file, storage).load():
            (count,) = struct.unpack("<q", file.read(8))
            if key not in found or count != found[key][0]:
                raise SystemExit(f'"{path}" has a storage that no tensor is in')
            data[key] = file.read(found[key][1])
            if len(data[key]) != found[key][1]:
                raise SystemExit(f'"{path}" ends too early')
        file.seek(at)
        return Unpickler(file, storage).load()


def load(path):
    """What torch.save() wrote."""
    try:
        with open(path, "rb") as file:
            archive = file.read(2) == b"PK"  # whole or not: else its bytes would be taken for a pickle's
        return (load_archive if archive else load_stream)(path)
    except OSError as error:
        raise SystemExit(f'could not read "{path}": {error.strerror or error}') from None
    except Exception as error:  # pylint: disable=broad-exception-caught  # a damaged pickle raises anything
        raise SystemExit(f'"{path}" is not what torch writes, or damaged: {error}') from None


def read(path):
    """Names to arrays of a safetensors file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        (length,) = struct.unpack_from("<Q", data)
        header, tensors = json.loads(data[8 : 8 + length]), {}
        header.pop("__metadata__", None)
        for name, entry in header.items():
            first, last = (8 + length + place for place in entry["data_offsets"])
            if last > len(data):
                raise ValueError(f"{name} is cut off")
            if entry["dtype"] not in TYPES:
                raise ValueError(f"{name} is of the type {entry['dtype']}")
            tensors[name] = numbers(data[first:last], entry["dtype"]).reshape(entry["shape"])
        return tensors
    except OSError as error:
        raise SystemExit(f'could not read "{path}": {error.strerror}') from None
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise SystemExit(f'"{path}" is no file of safetensors, or damaged: {error}') from None


def read_json(path):
    """An object."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except OSError as error:
        raise SystemExit(f'could not read "{path}": {error.strerror}') from None
    except ValueError as error:
        raise SystemExit(f'"{path}" is no JSON: {error}') from None
    if not isinstance(value, dict):
        raise SystemExit(f'"{path}" is no JSON object')
    return value


def write_bytes(path, parts):
    """Whole, or not at all."""
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            file.writelines(parts)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise SystemExit(f'could not write "{path}": {error.strerror}') from None


def write(path, tensors, metadata):
    """tensors: names to arrays of float32 or float64."""
    header, body, at = {"__metadata__": metadata}, [], 0
    for name, value in tensors.items():
        raw = value.tobytes()
        header[name] = {"dtype": {"<f4": "F32", "<f8": "F64"}[value.dtype.str], "shape": list(value.shape),
                        "data_offsets": [at, at + len(raw)]}  # fmt: skip
        at += len(raw)
        body.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, [struct.pack("<Q", len(text)), text, *body])
