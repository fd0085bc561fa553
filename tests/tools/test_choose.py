"""softdiff-eval choose: defaults with evidence."""

import subprocess

import pictures
import pytest
import safetensors_file


@pytest.fixture
def choose(program, model, tmp_path):
    real = tmp_path / "real"
    real.mkdir()
    for i in range(9):
        pictures.write(real / f"{i}.png", 20, i)

    def run(*arguments, source=model):
        return subprocess.run(
            [program("softdiff-eval"), "choose", source, tmp_path / "out", "--reference", real]
            + list(map(str, arguments)),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_choice_has_evidence(choose, program, model, tmp_path):
    tuned = tmp_path / "tuned"
    done = subprocess.run(
        [program("softdiff-schedule"), "solver", model, tuned, "--nfe", "3"], check=False
    )
    assert done.returncode == 0
    done = choose("--nfe", "2,3", "--excess", "0,0.2", "-n", 6, "--seed", 5, source=tuned)
    assert done.returncode == 0, done.stderr
    document = safetensors_file.raw(tmp_path / "out")[1]
    evidence = document["evidence"]["choose"]
    assert evidence["pictures"] == 6 and evidence["real"] == 9
    tried = [(row["sampler"], row["nfe"], row["excess"]) for row in evidence["rows"]]
    assert tried == [
        *[("sde-2m", nfe, excess) for nfe in (2, 3) for excess in (0, 0.2)],
        *[("pf-2m", 2, 0), ("pf-2m", 3, 0), ("tuned", 3, 0)],
    ]
    measures = ["kid_squeezenet11", "kid_gist", "power", "clipped"]
    for row in evidence["rows"]:
        assert row["rank"] == sum(
            other[measure] < row[measure] for other in evidence["rows"] for measure in measures
        )
    best = min(evidence["rows"], key=lambda row: (row["rank"], row["nfe"]))
    assert document["defaults"] == {key: best[key] for key in ("sampler", "nfe", "excess")}
    assert "solvers" in document["evidence"]  # what was known before stays
    assert f"best by the sum of ranks: {best['sampler']} at {best['nfe']}" in done.stdout

    # The numbers are those of what the model now draws by default.
    drawn = subprocess.run(
        [program("softdiff-sample"), tmp_path / "out", "-n", "2", "--grid", tmp_path / "grid"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{best['sampler']} at {best['nfe']} evaluations" in drawn.stdout
    again = choose("--nfe", "2,3", "--excess", "0,0.2", "-n", 6, "--seed", 5, "-f", source=tuned)
    assert safetensors_file.raw(tmp_path / "out")[1] == document and again.returncode == 0


@pytest.mark.sanitizers
def test_what_is_known_of_real_pictures_can_be_kept(choose, tmp_path):
    asked = ["--samplers", "pf-2m", "--nfe", "2,3", "-n", 4, "-f"]
    kept = tmp_path / "kept.safetensors"
    assert choose(*asked, "--keep", kept).returncode == 0
    evidence = safetensors_file.raw(tmp_path / "out")[1]["evidence"]["choose"]
    done = choose(*asked, "--reference", kept)
    assert done.returncode == 0, done.stderr
    assert safetensors_file.raw(tmp_path / "out")[1]["evidence"]["choose"] == evidence
    done = choose(*asked, "--reference", kept, "--second", "face-dlib")
    assert done.returncode == 1 and 'of "gist", not "face-dlib"' in done.stderr
    done = choose(*asked, "--reference", tmp_path / "out")
    assert done.returncode == 1 and "not what --keep writes" in done.stderr


def test_a_second_network_can_be_asked(choose, tmp_path):
    """It takes the place of the features without one."""
    done = choose("--samplers", "pf-2m", "--nfe", "2,3", "-n", 4, "--second", "face-dlib")
    assert done.returncode == 0, done.stderr
    assert "second: face-dlib" in done.stdout
    rows = safetensors_file.raw(tmp_path / "out")[1]["evidence"]["choose"]["rows"]
    assert all(row["kid_face-dlib"] > 0 and "kid_gist" not in row for row in rows)
    assert rows[0]["kid_face-dlib"] != rows[1]["kid_face-dlib"]


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["--excess", "0,2"], 2, "--excess"),
        (["--excess", ""], 2, "--excess"),
        (["--second", "magic"], 2, '"magic"'),
        (["--samplers", "euler"], 2, "euler"),
        (["--samplers", "tuned"], 1, "no table of tuned"),
        (["--nfe", "0"], 2, "0"),
        (["-n", "1"], 2, "number"),
        (["--reference", "none"], 1, "none"),
        (["--keep", "none/kept", "--reference", "nothing"], 1, "none/kept"),
        (["--nfe", "2", "--number", "2", "--network", "none"], 1, "none"),
    ],
)
def test_mistakes(choose, tmp_path, arguments, code, text):
    done = choose(*arguments)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
