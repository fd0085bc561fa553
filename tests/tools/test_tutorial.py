"""The commands of the tutorial: every option is there, and all of them run, one after the other."""

import json
import pathlib
import re
import shlex
import subprocess

import pictures
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "tools" / "train" / "TUTORIAL.md"
ADDRESS = "http://127.0.0.1:8080"
SERVER = "build/server/softdiffd"


def blocks():
    """(the commands of a block, what the page says that they print, or "")."""
    text = TUTORIAL.read_text()
    for block in re.finditer(r"^```sh\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", text, re.MULTILINE | re.DOTALL):
        printed = block[2] or ""
        if not printed:  # after a sentence
            rest = re.match(r"\n[^\n`#][^\n]*\n\n```\n(.*?)^```\n", text[block.end() :], re.MULTILINE | re.DOTALL)
            printed = rest[1] if rest else ""
        yield re.sub(r"\\\n", " ", block[1]).splitlines(), printed


def test_every_option_is_there(program):
    helps, n = {}, 0
    for lines, _ in blocks():
        for line in lines:
            words = shlex.split(line.removesuffix("&"))
            if not words[0].startswith("build/"):
                continue
            name = pathlib.Path(words[0]).name
            assert (program(name).parent.name, name) == tuple(pathlib.Path(words[0]).parts[-2:])
            command = [name, *words[1:2]] if name in ("softdiff-eval", "softdiff-convert") else [name]
            if tuple(command) not in helps:
                done = subprocess.run([program(name), *command[1:], "--help"], capture_output=True, text=True, check=True)  # fmt: skip
                helps[tuple(command)] = done.stdout
            for option in (word for word in words if re.match("--?[a-z]", word)):
                known = rf"^ +(-\w, )?{option}\b" if option.startswith("--") else rf"^ +{option}, "
                assert re.search(known, helps[tuple(command)], re.MULTILINE), f"{command} has no {option}"
                n += 1
    assert n > 20 and ("softdiffd",) in helps


def lay_out(folder, build_dir):
    """What the page starts with, but for a smaller network, and fewer pictures and steps."""
    (folder / "build").symlink_to(build_dir)
    (folder / "config" / "recipes").mkdir(parents=True)
    recipe = json.loads((ROOT / "config" / "recipes" / "small32.json").read_text())
    recipe["architecture"] |= {"nf": 8, "ch_mult": [1, 2]}
    recipe["schedule"] |= {"n_levels": 6, "candidates": 32, "images": 12}
    recipe["training"] |= {"batch": 4, "steps": 6, "warmup": 1}
    recipe["progress"] |= {"log_every": 1, "grid_every": 3}
    (folder / "config" / "recipes" / "small32.json").write_text(json.dumps(recipe))
    for name, n, seed in (("PICTURES", 40, 0), ("HELD-OUT", 600, 1000)):
        (folder / name).mkdir()
        for i in range(n):
            pictures.write(folder / name / f"{i:05}.png", 32, seed + i)


def first_words(text):
    return {line.split()[0] for line in text.splitlines() if line.strip()}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_runs(build_dir, serve, tmp_path, monkeypatch):
    lay_out(tmp_path, build_dir)
    monkeypatch.chdir(tmp_path)
    url, n = None, 0
    for lines, printed in blocks():
        said = ""
        for line in lines:
            n += 1
            if line.startswith(SERVER):
                assert line.endswith("&")
                url = serve(*shlex.split(line.removesuffix("&"))[1:])
                continue
            if ADDRESS in line:
                line = line.replace("curl -s", "curl -sS --fail").replace(ADDRESS, url)
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            said += done.stdout + done.stderr
        assert first_words(printed) <= first_words(said), f"{lines} printed {said}"
    assert n >= 12 and url
    for name in ("samples.png", "way.png", "near.png", "hero.png"):
        assert pictures.size(tmp_path / name) >= (32, 32)
    assert pictures.size(tmp_path / "hero.png") == (32, 32)
    assert len(list((tmp_path / "samples").glob("*.png"))) == 300
    assert list((tmp_path / "RUN").glob("grid-*.png"))
    for name in ("RUN/log.jsonl", "chosen.safetensors", "heroes.md", "heroes.onnx"):
        assert (tmp_path / name).stat().st_size > 0
