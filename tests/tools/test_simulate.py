"""softdiff-simulate: the same rows for a seed, tables, charts, and tick times of its own."""
import csv
import subprocess
import xml.etree.ElementTree

import pytest

TICKS = "1:3.1,2:3.0,16:22.4"
MIXED = ("--nfe", "10:0.5,20:0.3,100:0.15,1000:0.05", "--requests", "2000", "--slots", "4,16")


@pytest.fixture
def simulate(program):
    def run(*flags, status=0):
        command = [program("softdiff-simulate"), *flags]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == status, result.stderr
        return result.stderr if status else result.stdout

    return run


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_reproducible(simulate, tmp_path):
    tables = []
    for i, seed in enumerate(("1", "1", "2")):
        flags = ("--ticks", TICKS, *MIXED, "--seed", seed, "--csv", tmp_path / f"{i}.csv")
        tables.append((simulate(*flags), (tmp_path / f"{i}.csv").read_text()))
    assert tables[0] == tables[1]
    assert tables[0][1] != tables[2][1]


def test_policies_get_the_same_stream(simulate, tmp_path):
    """And where whole requests are batched, short ones wait for long ones."""
    path, chart = tmp_path / "rows.csv", tmp_path / "chart.svg"
    flags = ("--load", "0.05,0.3,0.6", "--max-queue", "1000000", "--csv", path, "--svg", chart)
    out = simulate("--ticks", TICKS, *MIXED, *flags)
    rows = read(path)
    assert len(rows) == 3 * 2 * 2 and len(out.splitlines()) == 4 + len(rows)
    for continuous, batch in zip(rows[::2], rows[1::2]):
        assert (continuous["policy"], batch["policy"]) == ("continuous", "batch")
        for key in ("requests_per_s", "slots", "completed", "images", "evaluations", "refused"):
            assert continuous[key] == batch[key], key
        assert float(continuous["p50_s"]) < float(batch["p50_s"])
        assert float(continuous["images_per_s"]) >= float(batch["images_per_s"])
    xml.etree.ElementTree.parse(chart)
    assert chart.read_text().count("16 slots") == 2


def test_stream(simulate, tmp_path):
    path = tmp_path / "stream.csv"
    simulate("--ticks", TICKS, "--rate", "5,10", *MIXED, "--stream", path)
    rows = read(path)
    arrivals = [float(row["arrival_s"]) for row in rows]
    assert len(rows) == 2000 and arrivals == sorted(arrivals)
    assert 0.9 < arrivals[-1] / (2000 / 5) < 1.1
    assert {row["nfe"] for row in rows} == {"10", "20", "100", "1000"}


def test_overload(simulate, tmp_path):
    """Twice what the lanes can serve: they are all busy, and what does not fit is refused."""
    path = tmp_path / "rows.csv"
    simulate("--ticks", TICKS, "--load", "2", "--requests", "5000", "--csv", path)
    continuous, batch = read(path)
    for row in (continuous, batch):
        assert float(row["utilisation"]) > 0.95
        assert int(row["completed"]) + int(row["refused"]) == 5000 and int(row["refused"]) > 2000
    assert float(continuous["images_per_s"]) == pytest.approx(16 / 22.4e-3 / 20, rel=0.02)


@pytest.mark.sanitizers
def test_measures_a_model(simulate, build_dir, tmp_path):
    model = tmp_path / "small.safetensors"
    maker = build_dir / "tests/api/make_checkpoint"
    subprocess.run([maker, model, "noise", "8", "4", "1"], check=True)
    out = simulate(model, "--slots", "3", "--requests", "100", "--nfe", "5", "--threads", "1")
    assert out.startswith("ticks (lanes: ms): 1: ") and " 3: " in out.splitlines()[0]


def test_reads_a_bench(simulate, program, build_dir, tmp_path):
    model, bench = tmp_path / "small.safetensors", tmp_path / "bench.json"
    maker = build_dir / "tests/api/make_checkpoint"
    subprocess.run([maker, model, "noise", "8", "4", "1"], check=True)
    command = [program("softdiff-bench"), model, "--batch", "1,2,4", "--rounds", "5", "--json"]
    bench.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    out = simulate(bench, "--slots", "4", "--requests", "100")
    assert " 2: " in out.splitlines()[0]


def test_reads_ticks_of_a_bench(simulate, program, build_dir, tmp_path):
    model, bench = tmp_path / "small.safetensors", tmp_path / "bench.json"
    maker = build_dir / "tests/api/make_checkpoint"
    subprocess.run([maker, model, "noise", "8", "4", "1"], check=True)
    command = [program("softdiff-bench"), model, "--ticks", "1,4", "--rounds", "5", "--json"]
    bench.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    out = simulate(bench, "--slots", "4", "--requests", "100")
    assert out.startswith("ticks (lanes: ms): 1: ") and " 4: " in out.splitlines()[0]


def test_mistakes(simulate, tmp_path):
    for flags, text in [
        ((), "is needed"),
        (("--ticks", "1:2", "x.safetensors"), "is needed"),
        (("--ticks", "2:2"), "one lane"),
        (("--ticks", TICKS, "--slots", "17"), "17 slots"),
        (("--ticks", TICKS, "--nfe", "0"), "VALUE:WEIGHT"),
        (("--ticks", TICKS, "--images", "65"), "1 to 64"),
        (("--ticks", TICKS, "--rate", "0"), "above 0"),
        (("--ticks", TICKS, "--slots", "1,2,3,4,5,6,7,8,9"), "more than 8"),
    ]:
        assert text in simulate(*flags, status=2)
    assert "x.safetensors" in simulate("x.safetensors", status=1)
    flags = ("--ticks", TICKS, "--requests", "10", "--csv", tmp_path / "none" / "rows.csv")
    assert "rows.csv" in simulate(*flags, status=1)
