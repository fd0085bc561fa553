"""softdiff-sample and softdiff-bench."""

import json
import os
import re
import signal
import subprocess
import time

import numpy
import pictures
import pytest
from PIL import Image


@pytest.fixture
def sample(program, model, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [program("softdiff-sample"), model, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return run


def test_files_depend_on_their_seed_alone(sample, tmp_path):
    done = sample("--out", "many", "-n", 20, "--seed", 5, "--nfe", 4, "--threads", 2)
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == sorted(f"{seed}.png" for seed in range(5, 25))
    done = sample("--out", "one", "-n", 1, "--seed", 17, "--nfe", 4, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one" / "17.png").read_bytes() == (tmp_path / "many/17.png").read_bytes()
    assert (tmp_path / "many/6.png").read_bytes() != (tmp_path / "many/7.png").read_bytes()


def test_lanes_are_no_part_of_an_image(sample, tmp_path):
    for lanes in (1, 3, 40):
        done = sample("--out", f"by{lanes}", "-n", 4, "--lanes", lanes, "--nfe", 2)
        assert done.returncode == 0, done.stderr
        for seed in range(4):
            assert ((tmp_path / f"by{lanes}/{seed}.png").read_bytes()
                    == (tmp_path / f"by1/{seed}.png").read_bytes())
    assert "--lanes takes" in sample("--out", "by0", "--lanes", 0).stderr


@pytest.mark.usefixtures("cudasim")
def test_a_simulated_gpu_has_no_times(sample):
    done = sample("--grid", "grid.png", "--nfe", 1, "--device", "cudasim")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fp16: on a simulated GPU\n") and "images/s" not in done.stdout


@pytest.mark.sanitizers
def test_what_is_expected_of_a_picture_at_every_time(sample, tmp_path):
    pictures.write(tmp_path / "picture.png", 16, 3)
    arguments = ["--forward", "picture.png", "-n", 4, "--columns", 2]
    assert sample(*arguments, "--grid", "way.png").returncode == 0
    done = sample(*arguments, "--grid", "both.png", "--predict", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    way, both = (
        numpy.array(Image.open(tmp_path / name)).astype(int) for name in ("way.png", "both.png")
    )
    assert way.shape == (34, 34, 3) and both.shape == (34, 4 * 18 - 2, 3)
    assert (both[:16, 18:34] == way[:16, 18:]).all() and (both[:16, 36:52] == way[18:, :16]).all()
    picture = numpy.array(Image.open(tmp_path / "picture.png")).astype(int)
    assert numpy.abs(both[18:, :16] - picture).mean() < 6  # there is hardly any noise at 0
    assert numpy.abs(both[18:, 54:] - picture).mean() > 6
    assert sample("--predict", "--grid", "none.png").returncode == 2


def test_grid(sample, tmp_path):
    done = sample("--grid", "grid.png", "-n", 5, "--columns", 3, "--nfe", 2)
    assert done.returncode == 0, done.stderr
    assert pictures.size(tmp_path / "grid.png") == (3 * 18 - 2, 2 * 18 - 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("what", ["--out", "--grid"])
def test_what_is_done_when_it_is_stopped_stays(program, model, sample, tmp_path, what, number):
    """And is named: 16 images at a time, each as if it had been asked for alone."""
    name = {"--out": "many", "--grid": "many.png"}[what]
    command = [program("softdiff-sample"), model, what, name, "-n", "100000", "--seed", "5", "--nfe", "2"]
    n = 0
    for seconds in (0.5, 1, 2, 4, 8, 16):  # until some are done
        with subprocess.Popen(
            [*map(str, command), "--columns", "16"], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        ) as process:
            time.sleep(seconds * int(os.environ.get("PATIENCE", "1")))
            process.send_signal(number)
            _, text = process.communicate(timeout=60)
        if process.returncode == -number:
            continue  # not even begun
        assert process.returncode == 1
        told = re.search(r"stopped with (\d+) of 100000 images done", text)
        n = int(told[1]) if told else 0
        if n > 0:
            break
    assert n > 0
    assert not list(tmp_path.rglob("*.part"))
    if what == "--out":
        assert f'"many" has 5.png to {4 + n}.png' in text
        names = {path.name for path in (tmp_path / "many").iterdir()}
        assert names == {f"{5 + i}.png" for i in range(n)}
        assert sample("--out", "one", "--seed", 4 + n, "--nfe", 2).returncode == 0
        one = (tmp_path / "one" / f"{4 + n}.png").read_bytes()
        assert one == (tmp_path / "many" / f"{4 + n}.png").read_bytes()
    else:
        assert f'"many.png" has those of seeds 5 to {4 + n}' in text
        assert pictures.size(tmp_path / "many.png") == (16 * 18 - 2, -(-n // 16) * 18 - 2)


def test_what_is_done_when_the_disk_is_full_stays(sample, tmp_path):
    """As far as it could be written, and every file whole."""
    (tmp_path / "many" / "9.png").mkdir(parents=True)
    done = sample("--out", "many", "-n", 20, "--seed", 5, "--nfe", 1)
    assert done.returncode == 1
    assert "9.png" in done.stderr and '"many" has 5.png to 8.png' in done.stderr
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == [
        f"{i}.png" for i in range(5, 10)
    ]


@pytest.mark.parametrize(
    "sampler",
    ["momentum", "probability-flow", "naive", "pf-sigma", "ancestral", "pf-heun", "pf-2m", "sde-2m"],
)
def test_samplers(sample, sampler):
    done = sample("--grid", "grid.png", "-n", 2, "--nfe", 3, "--sampler", sampler)
    assert done.returncode == 0, done.stderr
    assert sampler in done.stdout


@pytest.mark.parametrize(
    "arguments, code",
    [
        ([], 2),
        (["--out", "a", "--grid", "b"], 2),
        (["--grid", "b", "--sampler", "magic"], 2),
        (["--grid", "b", "--nfe", "0"], 2),
        (["--grid", "b", "--seed", "-1"], 2),
        (["--grid", "b", "--device", "abacus"], 2),
        (["--grid", "nowhere/b.png", "--nfe", "1"], 1),
    ],
)
@pytest.mark.sanitizers
def test_mistakes(sample, arguments, code):
    done = sample(*arguments)
    assert done.returncode == code
    assert done.stderr.startswith("softdiff-sample: ")


@pytest.mark.parametrize("what", [[], ["--train"]])
def test_bench(program, model, what):
    done = subprocess.run(
        [program("softdiff-bench"), model, "--batch", "2,4", "--threads", "1,2"]
        + ["--precision", "fp32", "--rounds", "2", "--json", *what],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {(case["batch"], case["threads"]) for case in told["cases"]} == {
        (2, 1),
        (4, 1),
        (2, 2),
        (4, 2),
    }
    for case in told["cases"]:
        assert case["n"] == 2 and 0 < case["wall_ms_p10"] <= case["wall_ms"]
    assert 0 <= told["foreign_cpu_share"] <= 1
