"""softdiff-convert card: the fields that Hugging Face's hub reads, and a page for people."""

import pathlib
import re
import subprocess

import pytest
import safetensors_file
import yaml

ZOO = pathlib.Path(__file__).resolve().parents[2] / "model" / "zoo"


@pytest.fixture
def card(program, tmp_path):
    def run(model, *arguments):
        path = tmp_path / "README.md"
        done = subprocess.run(
            [program("softdiff-convert"), "card", model, path, "--force", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return path.read_text()

    return run


def fields(text):
    return re.match(r"---\n(.*?\n)---\n\n", text, re.S)[1]


@pytest.mark.parametrize(
    ("name", "corruption", "words"),
    [
        ("faces32", "blur", ["--dataset", "celeba"]),
        ("noise-faces32", "noise", ["--dataset", "celeba"]),
        ("mask-faces32", "mask", ["--dataset", "celeba"]),
        ("cartoon64", "blur", ["--dataset", "cartoon64", "--license", "apache-2.0"]),
        ("heroes32", "blur", ["--dataset", "heroes32", "--license", "cc0-1.0"]),
        ("digits32", "blur", ["--dataset", "mnist", "--license", "cc-by-sa-3.0"]),
    ],
)
def test_the_zoo_has_it(card, name, corruption, words):
    """Its fields are in the card of each model, and so are the numbers of its checkpoint."""
    kept = (ZOO / f"{name}.md").read_text()
    text = card(ZOO / f"{name}.safetensors", *words)
    assert fields(text) == fields(kept)
    told = yaml.safe_load(fields(text))
    assert told["library_name"] == "softdiff" and corruption in told["tags"]
    for number in (r"(\d+) parameters", r"images seen \| (\d+)"):
        assert f"{int(re.search(number, text)[1]):,} " in kept
    assert f"![64 samples, seeds 0 to 63, not selected]({name}.png)" in kept and (ZOO / f"{name}.png").exists()


def test_the_fields(card):
    text = card(ZOO / "faces32.safetensors", "--dataset", "celeba")
    told = yaml.safe_load(fields(text))
    assert told["license"] == "other"
    assert re.fullmatch("[a-z0-9-]+", told["license_name"])
    assert told["pipeline_tag"] == "unconditional-image-generation"
    assert told["datasets"] == ["celeba"] and told["metrics"] == ["kid"]
    assert "soft-diffusion" in told["tags"] and "blur" in told["tags"]
    (result,) = told["model-index"][0]["results"]
    assert result["task"] == {"type": "unconditional-image-generation"}
    assert [metric["type"] for metric in result["metrics"]] == ["kid", "kid"]
    chosen = re.search(r"^\| `tuned` \| 10 \| (\S+)", text, re.M)[1]
    assert result["metrics"][0]["value"] == float(chosen)


@pytest.mark.sanitizers
def test_what_others_wrote_stays_text(card, model, tmp_path):
    path, dirty = tmp_path / "dirty", 'a: "b"\n---\n| c |'

    def spoil(document):
        document["licence"] = dirty
        document["provenance"]["dataset"] = dirty

    safetensors_file.rewrite(model, path, spoil)
    text = card(path, "--license", "cc0-1.0", "--dataset", dirty, "--name", "mine")
    told = yaml.safe_load(fields(text))
    assert told["datasets"] == [dirty] and told["license"] == "cc0-1.0"
    assert "model-index" not in told  # nothing was measured
    assert "# mine" in text and "| data | a:" in text
    (row,) = re.findall(r"^\| licence \|.*", text, re.M)
    assert row.count("|") == 3
