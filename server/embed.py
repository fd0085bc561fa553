"""Writes files as C arrays: embed.py OUT.c FILE... gives asset_<name with _ for .> and its size."""
import pathlib
import re
import sys

out, *paths = map(pathlib.Path, sys.argv[1:])
parts = ['#include "server/assets.h"\n']
for path in paths:
    name = "asset_" + re.sub(r"\W", "_", path.name)
    data = path.read_bytes()
    rows = [", ".join(map(str, data[i : i + 24])) for i in range(0, len(data), 24)]
    parts.append(f"const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "};")
    parts.append(f"const size_t {name}_size = sizeof({name});\n")
out.write_text("\n".join(parts))
