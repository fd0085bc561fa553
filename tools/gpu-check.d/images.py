"""PNGs as softdiff writes them, with Python alone."""

import struct
import zlib


def decode(png):
    """The bytes of an 8-bit PNG without a palette, row by row."""
    at, data, header = 8, b"", None
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", png[at + 8 : at + 8 + size])
        elif kind == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, depth, colours, _, _, interlaced = header
    n = {0: 1, 2: 3}[colours]
    if depth != 8 or interlaced:
        raise ValueError("this is no PNG of softdiff's")
    stride, rows = width * n, zlib.decompress(data)
    image, above = bytearray(), bytes(stride)
    for y in range(height):
        begin = y * (stride + 1)
        row = bytearray(rows[begin + 1 : begin + 1 + stride])
        undo_filter(rows[begin], row, above, n)
        image += row
        above = row
    return bytes(image)


def undo_filter(kind, row, above, n):
    for i, value in enumerate(row):
        left = row[i - n] if i >= n else 0
        corner = above[i - n] if i >= n else 0
        if kind == 1:
            value += left
        elif kind == 2:
            value += above[i]
        elif kind == 3:
            value += (left + above[i]) // 2
        elif kind == 4:
            value += nearest(left, above[i], corner)
        row[i] = value & 255


def nearest(left, above, corner):
    """Paeth's predictor."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda x: abs(guess - x))


def difference(a, b):
    """The mean and the largest difference of two images, in steps of 255."""
    if len(a) != len(b):
        raise ValueError("the images have other sizes")
    steps = [abs(x - y) for x, y in zip(a, b)]
    return sum(steps) / len(steps), max(steps)
