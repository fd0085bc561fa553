"""Small ICC profiles (version 2), made here so that no machine has to have any."""

import struct

D50 = (0.9642, 1.0, 0.8249)


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def xyz(*values):
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def text(value):
    data = value.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(78)


def profile(device_class, space, connection, tags):
    tags = {b"desc": text("a test"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(*D50)} | tags
    offset = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(data), len(value))
        data += value
    header = struct.pack(">I4xI4s4s4s", offset + len(data), 0x02400000, device_class, space, connection)
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += b"".join(map(fixed, D50))
    return header + bytes(128 - len(header)) + table + data


def wide_gamut():
    """RGB with the primaries of Adobe RGB (1998) and its gamma."""
    return profile(b"mntr", b"RGB ", b"XYZ ", {
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        b"rTRC": curve(2.2), b"gTRC": curve(2.2), b"bTRC": curve(2.2),
    })


def grey(gamma):
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve(gamma)})


def cmyk():
    """CMYK as a table of the 16 corners in Lab. All are colours of sRGB, paper is white and black
    black: versions of Little CMS differ in how they bring other colours into sRGB."""
    ramp = bytes(range(256))
    table = b""
    for corner in range(16):
        c, m, y, k = (corner >> shift & 1 for shift in (3, 2, 1, 0))
        light = 0 if k else 100 - 20 * c - 25 * m - 10 * y
        a = 0 if k else -15 * c + 20 * m - 2 * y
        b = 0 if k else -15 * c - 2 * m + 25 * y
        table += bytes([round(light * 2.55), round(a + 128), round(b + 128)])
    identity = b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * ramp + table + 3 * ramp
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})
