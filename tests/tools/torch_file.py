"""Files as torch.save() writes them, without torch: dictionaries of arrays, maybe in one another."""

import pickle
import struct
import zipfile

import numpy

STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<u2": "BFloat16Storage"}


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def numbers(values):
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor(value, key):
    """A call of what makes a tensor of a storage."""
    strides = [stride // value.itemsize for stride in value.strides]
    storage = text("storage") + b"ctorch\n" + STORAGES[value.dtype.str].encode() + b"\n" + text(key) + text("cpu")
    storage = b"(" + storage + numbers([value.size])[1:-1] + b"tQ"
    arguments = storage + b"K\x00" + numbers(value.shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def pickled(value, arrays):
    if isinstance(value, dict):
        items = (text(name) + pickled(item, arrays) + b"s" for name, item in value.items())
        return b"}" + b"".join(items)
    if isinstance(value, list):
        return b"(" + b"".join(pickled(item, arrays) for item in value) + b"l"
    if isinstance(value, numpy.ndarray):
        arrays.append(value)
        return tensor(value, str(len(arrays) - 1))
    return pickle.dumps(value, 2)[2:-1]


def write(path, value):
    """value: dictionaries and lists of arrays, of which <u2 are the upper halves of float32, and numbers."""
    arrays = []
    data = b"\x80\x02" + pickled(value, arrays) + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for i, array in enumerate(arrays):
            archive.writestr(f"archive/data/{i}", numpy.ascontiguousarray(array).tobytes())
