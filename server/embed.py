"""Writes files as C arrays: embed.py OUT.c FILE... gives asset_<name with _ for .> and its size.

An HTML file takes in the style sheet and the scripts that it names, so that it is one document whatever
else is updated meanwhile. It has two texts beside its bytes: asset_<name>_policy, the Content-Security-
Policy under which only these run, and asset_<name>_tag, its entity tag.
"""
import base64
import hashlib
import pathlib
import re
import sys

STYLE = re.compile(r'<link rel="stylesheet" href="([\w.]+)">\n')
SCRIPT = re.compile(r'(?:<script src="[\w.]+"></script>\n)+')
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data: blob:; script-src {scripts}; style-src {styles}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def source(text):
    """What a policy calls an inline style or script."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def bundle(path):
    """The document with all that it names, and its policy."""
    document = path.read_text()
    [sheet], [scripts] = STYLE.findall(document), SCRIPT.findall(document)
    style = (path.parent / sheet).read_text()
    names = re.findall(r'src="([^"]+)"', scripts)
    script = "".join((path.parent / name).read_text() for name in names)
    assert "</" + "script" not in script and "</" + "style" not in style
    document = document.replace(f'<link rel="stylesheet" href="{sheet}">', f"<style>{style}</style>")
    document = document.replace(scripts, f'<script type="module">{script}</script>\n')
    return document.encode(), POLICY.format(scripts=source(script), styles=source(style))


def array(name, data):
    rows = [", ".join(map(str, data[i : i + 24])) for i in range(0, len(data), 24)]
    return [f"const unsigned char {name}[] = {{\n    " + ",\n    ".join(rows) + "};",
            f"const size_t {name}_size = sizeof({name});\n"]


def main():
    out, *paths = map(pathlib.Path, sys.argv[1:])
    parts = ['#include "server/assets.h"\n']
    for path in paths:
        name = "asset_" + re.sub(r"\W", "_", path.name)
        if path.suffix == ".html":
            data, policy = bundle(path)
            tag = hashlib.sha256(data + policy.encode()).hexdigest()[:32]
            parts.append(f'const char {name}_policy[] = "{policy}";')
            parts.append(f'const char {name}_tag[] = "\\"{tag}\\"";\n')
        else:
            data = path.read_bytes()
        parts += array(name, data)
    out.write_text("\n".join(parts))


main()
