"""Small PNG files to train on, and their sizes."""

import random
import struct
import zlib


def chunk(kind, data):
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )


def write(path, side, seed, grey=False):
    """A smooth picture: one colour at the left that becomes another at the right."""
    source = random.Random(seed)
    left, right = ([source.randrange(256) for _ in range(3)] for _ in range(2))
    if grey:
        left, right = [left[0]] * 3, [right[0]] * 3
    row = b"\0"
    for x in range(side):
        part = x / (side - 1)
        row += bytes(int(a + (b - a) * part) for a, b in zip(left, right))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def size(path):
    """Width and height of a PNG file."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])
