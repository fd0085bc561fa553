"""softdiff-convert: new files with the same weights, and what the other programs make of them."""

import hashlib
import json
import pathlib
import re
import struct
import subprocess
import urllib.error
import urllib.request

import pytest
import safetensors_file

ZOO = pathlib.Path(__file__).resolve().parents[2] / "model" / "zoo" / "faces32.safetensors"

SOLVERS = [
    {"nfe": 2, "t": [1, 0.3, 0], "trend": [0, 0.2], "noise": [0.5, 0]},
    {"nfe": 4, "t": [1, 0.7, 0.4, 0.1, 0], "trend": [0, 0.3, 0.3, 0], "noise": [0, 0.5, 0.5, 0]},
]


OLD = "OLD"  # in the arguments of mistakes, what the fixture makes


@pytest.fixture(scope="session")
def old(tmp_path_factory):
    """The zoo's model as one of format 1, which says nothing of how it is sampled."""

    def forget(document):
        document["format"] = 1
        for member in ("defaults", "solvers", "evidence"):
            document.pop(member, None)

    path = tmp_path_factory.mktemp("zoo") / "old"
    safetensors_file.rewrite(ZOO, path, forget)
    return path


@pytest.fixture
def convert(program):
    def run(*arguments):
        return subprocess.run(
            [program("softdiff-convert"), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def upgraded(convert, old, tmp_path):
    done = convert("upgrade", old, tmp_path / "upgraded")
    assert done.returncode == 0, done.stderr
    return tmp_path / "upgraded"


@pytest.fixture
def stated(convert, old, tmp_path):
    """The zoo's model with tables and evidence, drawn with tuned at 2 evaluations by default."""
    (tmp_path / "solvers.json").write_text(json.dumps(SOLVERS))
    (tmp_path / "evidence.json").write_text('{"kid": [1.5, 2.5]}')
    done = convert(
        *["defaults", old, tmp_path / "stated", "--sampler", "tuned", "--nfe", 2],
        *["--solvers", tmp_path / "solvers.json", "--evidence", tmp_path / "evidence.json"],
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "stated"


@pytest.fixture
def sample(program, tmp_path):
    """Draws one image: the bytes of the PNG and what the program says."""

    def run(model, *arguments):
        path = tmp_path / "sample.png"
        done = subprocess.run(
            [program("softdiff-sample"), model, "--grid", path, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        return (path.read_bytes(), done.stdout) if done.returncode == 0 else (None, done.stderr)

    return run


def inspect(program, model):
    done = subprocess.run(
        [program("softdiff-inspect"), model, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_upgrade_keeps_all_but_the_format(convert, old, upgraded, tmp_path):
    before, document = safetensors_file.raw(old)
    after, new = safetensors_file.raw(upgraded)
    assert after == before  # a blur's prior has modes, which know the mean already
    assert document.pop("format") == 1 and new.pop("format") == 2
    assert new == document
    # The program tells the digest, which is that of the file; the same again gives the same bytes.
    done = convert("upgrade", old, tmp_path / "again")
    digest = hashlib.sha256(upgraded.read_bytes()).hexdigest()
    assert done.stdout == f"{digest}  {tmp_path / 'again'}\n"
    assert (tmp_path / "again").read_bytes() == upgraded.read_bytes()


def test_an_upgraded_model_starts_at_the_mean_image(trainer, convert, sample, tmp_path):
    trainer.recipe["corruption"] = {"name": "noise"}
    trainer.recipe["schedule"] = {"sigma_max": 20}
    assert trainer("run", "--steps", 1).returncode == 0
    trained = trainer.folder / "run" / "model.safetensors"
    tensors, document = safetensors_file.raw(trained)
    assert document["format"] == 2 and "prior.start" in tensors
    old, new = tmp_path / "old", tmp_path / "new"
    safetensors_file.rewrite(trained, old, lambda d: d.update(format=1), without=["prior.start"])
    assert convert("upgrade", old, new).returncode == 0
    raw, document = safetensors_file.raw(new)
    assert document["format"] == 2
    assert raw.pop("prior.start")[1] == [16, 16, 3]
    assert raw == safetensors_file.raw(old)[0]
    # C_1 is the identity: the start is the mean.
    found = [safetensors_file.read(new)[0]["prior.start"], tensors["prior.start"][2]]
    mean = safetensors_file.read(new)[0]["wiener.mean"]
    assert found[0] == mean
    assert max(abs(a - b) for (a,), b in zip(struct.iter_unpack("<f", found[1]), mean)) < 1e-6
    # Untrained, it returns about what it starts from: the mean image is far from 0.
    images = [sample(path, "--sampler", "pf-sigma", "--nfe", 4)[0] for path in (old, new)]
    assert images[0] and images[1] and images[0] != images[1]


@pytest.mark.sanitizers
def test_upgraded_models_load_everywhere(program, old, upgraded, sample):
    told = inspect(program, upgraded)
    assert told["format"] == 2 and "defaults" not in told
    png, text = sample(upgraded, "--sampler", "pf-2m", "--nfe", 2)
    assert png == sample(old, "--sampler", "pf-2m", "--nfe", 2)[0]  # the same grid in both formats
    assert sample(upgraded, "--nfe", 40)[0] != sample(old, "--nfe", 40)[0]  # not that of sde-2m
    assert "sde-2m at 40 evaluations" in sample(upgraded, "--nfe", 40)[1]
    assert "pf-2m at 2 evaluations" in text


def test_stated_defaults_are_what_is_meant(program, old, stated, sample):
    told = inspect(program, stated)
    assert told["format"] == 2
    assert told["defaults"] == {"sampler": "tuned", "nfe": 2, "excess": 0}
    assert [table["nfe"] for table in told["solvers"]] == [2, 4]
    assert told["evidence"] == {"kid": [1.5, 2.5]}
    text = subprocess.run(
        [program("softdiff-inspect"), stated], capture_output=True, text=True, check=True
    ).stdout
    assert re.search('^defaults .*"tuned"', text, re.M)
    assert re.search("^tuned  *2, 4 evaluations$", text, re.M)

    default, text = sample(stated)
    assert "tuned at 2 evaluations" in text
    assert default == sample(stated, "--sampler", "tuned", "--nfe", 2)[0]
    assert "tuned at 4 evaluations" in sample(stated, "--nfe", 4)[1]
    assert "momentum at 2 evaluations" in sample(stated, "--sampler", "momentum")[1]
    assert "sde-2m at 3 evaluations" in sample(stated, "--nfe", 3)[1]
    nothing, text = sample(stated, "--sampler", "tuned", "--nfe", 3)
    assert nothing is None and "tuned has no table of 3 evaluations; it has: 2, 4" in text
    nothing, text = sample(old, "--sampler", "tuned")
    assert nothing is None and "no tables of the sampler tuned" in text
    assert "sde-2m at 20 evaluations" in sample(old)[1]


def test_excess_belongs_to_its_sampler(convert, stated, sample, tmp_path):
    plain, loud = tmp_path / "plain", tmp_path / "loud"
    done = convert("defaults", stated, plain, "--sampler", "sde-2m", "--nfe", 3)
    assert done.returncode == 0, done.stderr
    assert convert("defaults", plain, loud, "--excess", 0.2).returncode == 0
    document = safetensors_file.raw(loud)[1]
    assert document["defaults"] == {"sampler": "sde-2m", "nfe": 3, "excess": 0.2}
    assert [table["nfe"] for table in document["solvers"]] == [2, 4]  # they stayed
    assert sample(loud)[0] == sample(loud, "--sampler", "sde-2m", "--nfe", 3)[0]
    assert sample(loud)[0] != sample(plain)[0]
    other = ["--sampler", "momentum", "--nfe", 3]
    assert sample(loud, *other)[0] == sample(plain, *other)[0]


def post(url, **body):
    request = urllib.request.Request(
        url + "/v1/samples",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_daemon_serves_them(serve, upgraded, stated):
    url = serve("--model", f"stated={stated}", "--model", f"upgraded={upgraded}", "--max-nfe", "30")
    with urllib.request.urlopen(url + "/v1/capabilities", timeout=60) as answer:
        capabilities = json.load(answer)
    assert capabilities["samplers"][-1] == "tuned"
    assert capabilities["defaults"]["model"] == "stated"
    assert capabilities["defaults"]["sampler"] == "tuned"
    assert capabilities["defaults"]["nfe"] == 2
    told, other = capabilities["models"]
    assert told["defaults"] == {"sampler": "tuned", "nfe": 2, "excess": 0}
    assert told["tuned_nfe"] == [2, 4]
    assert other["defaults"] == {"sampler": "sde-2m", "nfe": 20, "excess": 0}
    assert "tuned_nfe" not in other and "labels" not in other

    status, default = post(url, seed=1)
    assert status == 200 and (default["sampler"], default["nfe"]) == ("tuned", 2)
    assert post(url, seed=1, sampler="tuned", nfe=2)[1] == default
    assert post(url, seed=1, sampler="momentum")[1]["nfe"] == 2
    assert post(url, seed=1, nfe=4)[1]["sampler"] == "tuned"
    answer = post(url, seed=1, model="upgraded")[1]
    assert (answer["sampler"], answer["nfe"]) == ("sde-2m", 20)

    assert post(url, seed=1, nfe=3)[1]["sampler"] == "sde-2m"
    status, problem = post(url, sampler="tuned", nfe=3, n=0)
    assert status == 422
    errors = {error["field"]: error["detail"] for error in problem["errors"]}
    assert errors.keys() == {"n", "nfe"}
    assert errors["nfe"] == "tuned has no table of 3 evaluations; it has: 2, 4"
    status, problem = post(url, model="upgraded", sampler="tuned")
    assert status == 422
    assert problem["errors"] == [
        {"field": "sampler", "detail": "this model has no tables of the sampler tuned"}
    ]


def test_a_file_that_is_there_stays(convert, old, upgraded):
    before = upgraded.read_bytes()
    for command in (["upgrade"], ["defaults", "--nfe", 3]):
        done = convert(*command, old, upgraded)
        assert done.returncode == 1
        assert "is there already; --force replaces it" in done.stderr
        assert upgraded.read_bytes() == before
    done = convert("defaults", "--sampler", "pf-2m", "--nfe", 3, upgraded, upgraded, "--force")
    assert done.returncode == 0, done.stderr
    assert safetensors_file.raw(upgraded)[1]["defaults"]["nfe"] == 3
    assert sorted(path.name for path in upgraded.parent.iterdir()) == ["upgraded"]


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        ([], 2, "missing"),
        (["shrink", "in", "out"], 2, 'no command "shrink"'),
        (["upgrade", OLD], 2, "missing"),
        (["upgrade", "none", "out"], 1, "none"),
        (["defaults", OLD, "out"], 2, "nothing is to be stated"),
        (["defaults", OLD, "out", "--sampler", "euler", "--nfe", 3], 2, "euler"),
        (["defaults", OLD, "out", "--sampler", "pf-2m"], 1, "no defaults yet: both --sampler and --nfe"),
        (["defaults", OLD, "out", "--nfe", 3], 1, "no defaults yet: both --sampler and --nfe"),
        (["defaults", OLD, "out", "--sampler", "tuned", "--nfe", 3], 1, "no solver of 3"),
        (["defaults", OLD, "out", "--sampler", "pf-2m", "--nfe", 3, "--excess", 0.1], 1, "excess"),
        (["defaults", OLD, "out", "--solvers", "none.json"], 1, "none.json"),
    ],
)
def test_mistakes(convert, old, tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    done = convert(*[old if word == OLD else word for word in arguments])
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


def test_upgrading_twice_is_refused(convert, upgraded, tmp_path):
    done = convert("upgrade", upgraded, tmp_path / "twice")
    assert done.returncode == 1
    assert "format 2 already" in done.stderr


def test_what_a_checkpoint_says_cannot_drive_a_terminal(program, upgraded, tmp_path):
    path, dirty = tmp_path / "dirty", "free\x1b[2J\x9b31m\u202e\nlicence free"

    def spoil(document):
        document["licence"] = document["provenance"]["recipe"] = dirty
        document["evidence"] = {dirty: dirty}

    safetensors_file.rewrite(upgraded, path, spoil)
    text = subprocess.run(
        [program("softdiff-inspect"), path], capture_output=True, check=True
    ).stdout.decode()
    assert not any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 or c == "\u202e" for c in text)
    assert len(re.findall("^licence", text, re.M)) == 1
    assert r"free\x1b[2J" in text
    assert inspect(program, path)["licence"] == dirty

    safetensors_file.rewrite(upgraded, path, lambda d: d.update({dirty: 1}))
    done = subprocess.run([program("softdiff-inspect"), path], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr and rb"free\x1b[2J" in done.stderr
