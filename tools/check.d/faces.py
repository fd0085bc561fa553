#!/usr/bin/env python3
"""Checks that answers of the daemon hold pictures, with Python alone.

usage: faces.py PNG JSON      JSON: an answer with four pictures
"""

import base64
import json
import pathlib
import struct
import sys
import zlib


def chunks(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n", "this is no PNG"
    at, kind = 8, b""
    while kind != b"IEND":
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", png[at + 8 + size : at + 12 + size])
        assert zlib.crc32(kind + data) == checksum, f"the checksum of {kind} is wrong"
        yield kind, data
        at += 12 + size
    assert at == len(png), "something follows the end"


def check(png):
    """An 8-bit RGB PNG that decodes into more than one colour."""
    parts = list(chunks(png))
    kind, header = parts[0]
    assert kind == b"IHDR"
    width, height, *format_ = struct.unpack(">IIBBBBB", header)
    assert format_ == [8, 2, 0, 0, 0], f"the format is {format_}"
    rows = zlib.decompress(b"".join(data for kind, data in parts if kind == b"IDAT"))
    assert len(rows) == height * (1 + 3 * width), "rows are missing"
    filters = rows[:: 1 + 3 * width]
    assert max(filters) <= 4, "there is no such filter"
    assert len(set(rows)) > 16, "the picture is empty"
    return f"{width} x {height} px, {len(png)} bytes"


def main():
    print("a face:", check(pathlib.Path(sys.argv[1]).read_bytes()))
    images = json.loads(pathlib.Path(sys.argv[2]).read_text())["images"]
    assert len(images) == 4, f"{len(images)} faces came, not 4"
    for image in images:
        print("a face:", check(base64.b64decode(image["png"], validate=True)))


main()
