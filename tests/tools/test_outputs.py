"""What a program was to write is as it was before where the program fails: not there, or the older file."""

import json
import resource
import subprocess

import pictures
import pytest
import safetensors_file

OLDER = {"csv": "sampler,nfe,n,seed,fd,kid,precision,recall,seconds,source,reference\n"}


def run(program, words, **options):
    return subprocess.run([program(f"softdiff-{words[0]}"), *map(str, words[1:])], capture_output=True,
                          text=True, check=False, timeout=100, **options)  # fmt: skip


def everything(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def commands(out, model, wrong, data, recipe):
    """Each that writes files, with an input that is wrong; all else is as it should be."""
    curve = ["eval", "curve", wrong, "--csv", out / "csv", "--svg", out / "svg", "--side", 16, "-n", 2]
    return [
        ["sample", wrong, "--grid", out / "x"],
        ["sample", wrong, "--out", out / "folder"],
        ["sample", wrong, "--forward", data / "0.png", "--grid", out / "x"],
        ["sample", model, "--forward", wrong, "--grid", out / "x"],
        ["eval", "stats", wrong, "--out", out / "x"],
        [*curve, "--reference", data],
        [*curve, "--reference", wrong],
        ["eval", "choose", wrong, out / "x", "--force", "--reference", data, "--keep", out / "kept"],
        ["eval", "choose", model, out / "x", "--force", "--reference", wrong, "--keep", out / "kept"],
        ["eval", "neighbours", wrong, data, "--grid", out / "x", "--side", 16],
        ["eval", "neighbours", data, wrong, "--grid", out / "x", "--side", 16],
        ["simulate", wrong, "--csv", out / "csv", "--svg", out / "svg", "--stream", out / "x"],
        ["convert", "upgrade", wrong, out / "x", "--force"],
        ["convert", "defaults", wrong, out / "x", "--force", "--nfe", 7],
        ["convert", "defaults", model, out / "x", "--force", "--solvers", wrong],
        ["convert", "average", wrong, out / "x", "--force", "--length", 0.1],
        ["convert", "card", wrong, out / "x", "--force"],
        ["convert", "onnx", wrong, out / "x", "--force"],
        ["convert", "import", wrong, out / "x", "--force"],
        ["convert", "dataset", wrong, out / "x", "--force", "--side", 16],
        ["schedule", "fit", wrong, out / "x", "--force", "--data", data, "--plot", out / "svg"],
        ["schedule", "fit", recipe, out / "x", "--force", "--data", wrong, "--plot", out / "svg"],
        ["schedule", "solver", wrong, out / "x", "--force"],
        ["bench", wrong, "--tune", out / "x"],
        ["bench", wrong, "--trace", out / "x"],
        ["inspect", "run", "-a", wrong, "-w", model, "-i", model, "-o", out / "x"],
        ["train", "--recipe", wrong, "--data", data, "--out", out / "folder"],
        ["train", "--recipe", recipe, "--data", wrong, "--out", out / "folder"],
        ["train", "--recipe", recipe, "--data", data, "--out", out / "folder", "--from", wrong],
    ]


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("wrong, there", [("missing", False), ("cut", True)])
def test_inputs_that_are_wrong(program, trainer, model, tmp_path, out, wrong, there):
    (tmp_path / "cut").write_bytes(model.read_bytes()[:-1000])
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(trainer.recipe))
    for name in ("x", "csv", "svg", "kept") if there else ():
        (out / name).write_text(OLDER.get(name, "older"))
    before = everything(out)
    for words in commands(out, model, tmp_path / wrong, trainer.data, recipe):
        done = run(program, words)
        assert done.returncode == 1 and done.stderr, (words, done)
        assert everything(out) == before, words


def test_files_that_may_not_grow(program, trainer, model, tmp_path, out):
    """Whatever of them comes first: no part of it stays."""
    (tmp_path / "recipe.json").write_text(json.dumps(trainer.recipe))
    few = tmp_path / "few"
    few.mkdir()
    for i in range(2):
        pictures.write(few / f"{i}.png", 16, i)
    for words in (
        ["sample", model, "--grid", out / "x", "--nfe", 1],
        ["sample", model, "--out", out / "folder", "--nfe", 1],
        ["sample", model, "--forward", few / "0.png", "--grid", out / "x"],
        ["eval", "stats", few, "--out", out / "x"],
        ["eval", "curve", model, "--csv", out / "csv", "--reference", few, "--side", 16, "-n", 2,
         "--nfe", 1, "--samplers", "pf-2m"],
        ["eval", "neighbours", few, few, "--grid", out / "x", "--side", 16, "--nearest", 1],
        ["simulate", "--ticks", "1:2", "--slots", 1, "--requests", 9, "--csv", out / "csv"],
        ["simulate", "--ticks", "1:2", "--slots", 1, "--requests", 9, "--svg", out / "svg"],
        ["simulate", "--ticks", "1:2", "--slots", 1, "--requests", 9, "--stream", out / "x"],
        ["convert", "card", model, out / "x"],
        ["convert", "upgrade", older_format(model, tmp_path), out / "x"],
        ["schedule", "fit", tmp_path / "recipe.json", out / "x", "--data", trainer.data],
        ["bench", model, "--rounds", 1, "--trace", out / "x"],
    ):  # fmt: skip
        done = run(program, words,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
        assert done.returncode == 1 and "File too large" in done.stderr, (words, done)
        assert not everything(out), words


def older_format(model, folder):
    def forget(document):
        document["format"] = 1
        for key in ("defaults", "solvers", "evidence"):
            document.pop(key, None)

    safetensors_file.rewrite(model, folder / "older", forget)
    return folder / "older"
