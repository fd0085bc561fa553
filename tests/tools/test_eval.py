"""softdiff-eval: distances between sets of pictures, and curves of a model's samplers."""

import csv
import hashlib
import re
import shutil
import signal
import struct
import subprocess

import numpy
import pictures
import pytest
import safetensors_file
from PIL import Image


FIGURES = ("FD", "KID", "sliced", "MIND", "precision", "recall", "floor")


@pytest.fixture
def folders(tmp_path):
    """Two folders of different pictures of several sizes."""
    for name, seed, n in (("a", 0, 10), ("b", 100, 24)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for i in range(n):
            place = tmp_path / name / ("deep" if i % 2 else ".") / f"{i}.png"
            pictures.write(place, 16 + 5 * (i % 3), seed + i)
    return tmp_path


def numbers(done):
    """The numbers of `distance`, by their names; of the last reference."""
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    return {w[0]: float(w[1]) for w in words if w[0] in FIGURES}


def test_a_set_is_no_distance_from_itself(evaluate, folders):
    got = numbers(evaluate("distance", "a", "a"))
    assert abs(got["FD"]) < 0.01 and got["sliced"] == got["MIND"] == 0
    assert got["precision"] == got["recall"] == 1


@pytest.mark.sanitizers
def test_different_sets(evaluate, folders):
    done = evaluate("distance", "a", "b", "--floor")
    got = numbers(done)
    assert got["FD"] > 10
    assert 0 < got["floor"] < 10 * got["FD"]
    value, low, high = map(
        float, re.search(r"^KID +(\S+)  \(95 %: (\S+) \.\. (\S+)\)$", done.stdout, re.M).groups()
    )
    assert got["sliced"] > 0 and low < value < high and low + high == pytest.approx(2 * value, rel=1e-2)
    assert got["MIND"] == pytest.approx(3 * 512 * got["sliced"] ** 2, rel=1e-4)
    assert re.search(r"^floor .* KID \S+ .*\)  sliced \S+  MIND \S+  precision \S+  recall \S+  \(10 of the latter", done.stdout, re.M)
    assert "10 pictures of a against 24 of b at 32 px" in done.stdout
    assert "10 of the latter against the other 14" in done.stdout
    assert '"a" has 10 pictures for 512 features' in done.stderr
    back = numbers(evaluate("distance", "b", "a"))
    assert back["FD"] == pytest.approx(got["FD"], abs=0.02)
    assert back["KID"] == pytest.approx(got["KID"], rel=1e-5, abs=1e-3)


def test_statistics_stand_for_their_folder(evaluate, folders):
    done = evaluate("stats", "b", "--out", "b.safetensors", "--side", 20)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("24 pictures at 20 px\n")
    direct = evaluate("distance", "a", "b", "--side", 20, "--floor")
    cached = evaluate("distance", "a", "b.safetensors", "--floor")
    assert numbers(cached) == numbers(direct)
    assert "at 20 px" in cached.stdout

    assert evaluate("stats", "b", "-o", "small", "--side", 20, "--small").returncode == 0
    assert numbers(evaluate("distance", "a", "small")) == {"FD": numbers(direct)["FD"]}
    assert (folders / "small").stat().st_size < 2_200_000


def test_folders_are_joined(evaluate, folders):
    (folders / "whole").mkdir()
    (folders / "a").rename(folders / "whole" / "a")
    (folders / "b").rename(folders / "whole" / "b")
    done = evaluate("stats", "whole/a", "whole/b", "-o", "joined")
    assert done.stdout.startswith("34 pictures at 32 px\n"), done.stderr
    assert abs(numbers(evaluate("distance", "joined", "whole"))["FD"]) < 0.01


@pytest.mark.parametrize("command", ["distance", "stats"])
def test_pictures_may_be_what_a_training_reads(evaluate, tmp_path, command):
    """A folder, the same in an archive, and as MNIST's file: one set."""
    grey = numpy.random.default_rng(1).integers(0, 256, (9, 28, 28), numpy.uint8)
    (tmp_path / "digits").mkdir()
    for i, picture in enumerate(grey):
        Image.fromarray(picture).save(tmp_path / "digits" / f"{i}.png")
    shutil.make_archive(str(tmp_path / "digits"), "zip", tmp_path / "digits")
    head = struct.pack(">HBB3I", 0, 8, 3, *grey.shape)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(head + grey.tobytes())
    for other in ("digits.zip", "t10k-images-idx3-ubyte"):
        if command == "stats":
            done = evaluate("stats", other, "-o", "kept")
            assert done.returncode == 0 and done.stdout.startswith("9 pictures at 32 px\n"), done.stderr
            other = "kept"
        got = numbers(evaluate("distance", "digits", other))
        assert abs(got["FD"]) < 0.01 and got["sliced"] == 0


def test_what_is_neither_pictures_nor_statistics(evaluate, folders):
    (folders / "text").write_text("once upon a time")
    done = evaluate("distance", "a", "text")
    assert done.returncode == 1 and '"text"' in done.stderr.splitlines()[-1], done.stderr


def test_bad_pictures_are_left_out_where_asked(evaluate, folders):
    (folders / "b" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folders / "b" / "deep" / "link.png").symlink_to("nowhere")
    Image.new("RGB", (8, 8)).save(folders / "b" / "x.webp")
    for arguments in (["stats", "b", "-o", "s"], ["distance", "a", "b"],
                      ["curve", "--samples", ".", "--reference", "b", "--csv", "c.csv"]):
        done = evaluate(*arguments)
        assert done.returncode == 1 and '"b/' in done.stderr.splitlines()[-1], done.stderr
        done = evaluate(*arguments, "--skip-bad")
        assert done.returncode == 0, done.stderr
        assert "bad.png" in done.stderr and "link.png" in done.stderr
        assert 'event=not_read pictures=1 formats="1 WebP"' in done.stderr
    assert evaluate("stats", "b", "-o", "s", "--skip-bad").stdout.startswith("24 pictures at 32 px\n")


def test_pictures_are_cropped_to_a_square(evaluate, tmp_path):
    for name in ("wide", "square"):
        (tmp_path / name).mkdir()
    for i, color in enumerate([(200, 100, 50), (10, 20, 250), (0, 255, 0), (90, 90, 90)]):
        pixels = numpy.zeros((40, 60, 3), numpy.uint8)
        pixels[:, 10:50] = color
        Image.fromarray(pixels).save(tmp_path / "wide" / f"{i}.png")
        Image.fromarray(pixels[:32, 12:44]).save(tmp_path / "square" / f"{i}.png")
    assert abs(numbers(evaluate("distance", "wide", "square"))["FD"]) < 0.01


def test_channels_are_told_apart(evaluate, tmp_path):
    for name, order in (("rgb", (0, 1, 2)), ("bgr", (2, 1, 0))):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels = numpy.full((32, 32, 3), (20 * i, 100, 255 - 20 * i), numpy.uint8)
            Image.fromarray(pixels[..., order]).save(tmp_path / name / f"{i}.png")
    assert numbers(evaluate("distance", "rgb", "bgr"))["FD"] > 10


@pytest.fixture
def curve(evaluate, folders, model):
    def run(*arguments, with_model=True):
        return evaluate(
            "curve",
            *([model] if with_model else []),
            *("--reference", "b", "--side", 16, "--csv", "c.csv", "--svg", "c.svg"),
            *("-n", 6, "--seed", 5, *arguments),
        )

    return run


def rows(path):
    with path.open(encoding="ascii") as file:
        return list(csv.DictReader(file))


@pytest.mark.sanitizers
def test_curve(curve, tmp_path):
    done = curve("--samplers", "pf-2m,naive", "--nfe", "2,3")
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "c.csv").read_bytes()
    got = rows(tmp_path / "c.csv")
    assert [(row["sampler"], row["nfe"]) for row in got] == [
        ("pf-2m", "2"),
        ("naive", "2"),
        ("pf-2m", "3"),
        ("naive", "3"),
    ]
    assert all(row["n"] == "6" and row["seed"] == "5" for row in got)
    assert all(float(row["fd"]) > 0 and float(row["seconds"]) > 0 for row in got)
    chart = (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert ">pf-2m<" in chart and ">naive<" in chart and ">real pictures<" in chart

    # Again: nothing to do. Extended: the new rows only.
    done = curve("--samplers", "pf-2m,naive", "--nfe", "2,3")
    assert done.returncode == 0, done.stderr
    assert "pf-2m" not in done.stdout
    assert (tmp_path / "c.csv").read_bytes() == first
    done = curve("--samplers", "pf-2m", "--nfe", "1,2,3")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c.csv").read_bytes().startswith(first)
    assert len(rows(tmp_path / "c.csv")) == 5


def test_curve_of_files(curve, program, model, tmp_path):
    for n, folder in ((6, "pf-2m-2"), (5, "naive-2")):
        subprocess.run(
            [program("softdiff-sample"), model, "-n", str(n), "--seed", "5"]
            + ["--sampler", folder[:-2], "--nfe", "2", "--out", tmp_path / folder],
            check=True,
        )
    arguments = ("--samplers", "pf-2m,naive", "--nfe", 2)
    done = curve(*arguments, "--samples", ".", with_model=False)
    assert done.returncode == 0, done.stderr
    (read,) = rows(tmp_path / "c.csv")
    assert read["sampler"] == "pf-2m" and read["seconds"] == "nan"
    assert "left out" in done.stdout and "naive" in done.stdout

    # The same pictures, generated; and what is missing.
    (tmp_path / "c.csv").unlink()
    assert curve(*arguments).returncode == 0
    made = rows(tmp_path / "c.csv")
    assert [row["sampler"] for row in made] == ["pf-2m", "naive"]
    same = [{k: v for k, v in row.items() if k not in ("seconds", "source")} for row in made + [read]]
    assert same[0] == same[2]
    assert read["source"].endswith("-read") and not made[0]["source"].endswith("-read")

    # Other pictures under the same names are another row.
    assert curve("--samplers", "pf-2m", "--nfe", 2, "--samples", ".", with_model=False).returncode == 0
    assert curve("--samplers", "pf-2m", "--nfe", 2, "--samples", ".", with_model=False).returncode == 0
    assert len(rows(tmp_path / "c.csv")) == 3
    (tmp_path / "pf-2m-2" / "5.png").write_bytes((tmp_path / "pf-2m-2" / "6.png").read_bytes())
    assert curve("--samplers", "pf-2m", "--nfe", 2, "--samples", ".", with_model=False).returncode == 0
    *_, old, new = rows(tmp_path / "c.csv")
    assert old["source"] == read["source"] != new["source"] and old["fd"] != new["fd"]


def test_bad_samples_are_left_out_where_asked(curve, program, model, tmp_path):
    subprocess.run(
        [program("softdiff-sample"), model, "-n", "6", "--seed", "5", "--sampler", "pf-2m"]
        + ["--nfe", "2", "--out", tmp_path / "pf-2m-2"],
        check=True,
    )
    arguments = ("--samplers", "pf-2m", "--nfe", 2, "--samples", ".")
    (tmp_path / "pf-2m-2" / "6.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "pf-2m-2" / "8.png").unlink()
    (tmp_path / "pf-2m-2" / "8.png").symlink_to("nowhere")
    for with_model in (False, True):
        done = curve(*arguments, with_model=with_model)
        assert done.returncode == 1 and "6.png" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "c.csv").exists()
        done = curve(*arguments, "--skip-bad", with_model=with_model)
        assert done.returncode == 0, done.stderr
        assert "6.png" in done.stderr and "8.png" in done.stderr
        (row,) = rows(tmp_path / "c.csv")
        assert row["n"] == "4" and row["source"].endswith("-read")
        assert "pf-2m" in (tmp_path / "c.svg").read_text()
        assert curve(*arguments, "--skip-bad").returncode == 0
        assert len(rows(tmp_path / "c.csv")) == 1
        (tmp_path / "c.csv").unlink()


def test_rows_of_another_model_or_reference_are_not_taken(curve, program, model, tmp_path):
    arguments = ("--samplers", "pf-2m", "--nfe", 2)
    assert curve(*arguments).returncode == 0
    other = tmp_path / "other.safetensors"
    convert = [program("softdiff-convert"), "defaults", model, other]
    subprocess.run(convert + ["--sampler", "naive", "--nfe", "2"], check=True)
    assert curve(*arguments, other, with_model=False).returncode == 0
    first, second = rows(tmp_path / "c.csv")
    # The weights are the same, but the program need not know that.
    assert first["source"] != second["source"] and first["reference"] == second["reference"]
    assert hashlib.sha256(model.read_bytes()).hexdigest()[:16] == first["source"].split("-")[0]
    assert first["fd"] == second["fd"]

    pictures.write(tmp_path / "b" / "0.png", 16, 1234)
    assert curve(*arguments).returncode == 0
    third = rows(tmp_path / "c.csv")[2]
    assert third["source"] == first["source"] and third["reference"] != first["reference"]
    assert third["fd"] != first["fd"]
    assert curve(*arguments, "--precision", "fp32").returncode == 0
    assert len(rows(tmp_path / "c.csv")) in (3, 4)  # 3 where auto is fp32
    assert (tmp_path / "c.svg").read_text(encoding="utf-8").count("<circle") <= 3


def test_the_models_own_sampler_comes_first(curve, program, model, tmp_path):
    (tmp_path / "solvers").write_text(
        '[{"nfe": 2, "t": [1, 0.3, 0], "trend": [0, 0], "noise": [0, 0]}]', encoding="ascii"
    )
    tuned = tmp_path / "tuned.safetensors"
    convert = [program("softdiff-convert"), "defaults", model, tuned, "--sampler", "tuned"]
    subprocess.run(convert + ["--nfe", "2", "--solvers", tmp_path / "solvers"], check=True)
    done = curve("--nfe", "2,3", tuned, with_model=False)
    assert done.returncode == 0, done.stderr
    assert [(row["sampler"], row["nfe"]) for row in rows(tmp_path / "c.csv")] == [
        ("tuned", "2"),
        ("momentum", "2"),
        ("momentum", "3"),
    ]
    assert re.search("^tuned +3 +left out: the model has no table", done.stdout, re.M)
    (tmp_path / "c.csv").unlink()
    assert curve("--nfe", "2").returncode == 0
    assert [row["sampler"] for row in rows(tmp_path / "c.csv")] == ["sde-2m", "momentum"]


def test_a_curve_of_nothing_has_a_table(curve, tmp_path):
    done = curve("--samplers", "pf-2m", "--nfe", 2, "--samples", ".", with_model=False)
    assert done.returncode == 0 and "left out: its samples are not there" in done.stdout, done.stderr
    assert (tmp_path / "c.csv").read_text().startswith("sampler,nfe,") and rows(tmp_path / "c.csv") == []


def test_a_torn_file_is_repaired(curve, tmp_path):
    """What kill -9 and full disks leave: half a row, a row twice, half a header."""
    arguments = ("--samplers", "pf-2m", "--nfe", "1,2")
    assert curve(*arguments).returncode == 0
    path = tmp_path / "c.csv"
    whole = path.read_text(encoding="ascii")
    header, first, second = whole.splitlines(keepends=True)
    without = [row | {"seconds": ""} for row in rows(path)]
    for torn in (header + first + second[:30], header + first + first, header[:20], header[:-1]):
        path.write_text(torn, encoding="ascii")
        done = curve(*arguments)
        assert done.returncode == 0, done.stderr
        assert [row | {"seconds": ""} for row in rows(path)] == without
    path.write_text(header + first + first + second, encoding="ascii")
    assert curve(*arguments).returncode == 0
    assert path.read_text(encoding="ascii") == whole


def test_curve_keeps_rows_when_stopped(program, model, folders):
    command = [program("softdiff-eval"), "curve", model, "--reference", "b", "--side", "16"]
    command += ["--csv", "c.csv", "--svg", "c.svg", "-n", "64", "--threads", "1"]
    command += ["--samplers", "pf-2m", "--nfe", "1,10000"]
    with subprocess.Popen(
        command, cwd=folders, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("pf-2m"):
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped" in errors.splitlines()[-1]
    assert [row["nfe"] for row in rows(folders / "c.csv")] == ["1"]
    assert (folders / "c.svg").stat().st_size > 0


@pytest.mark.slow
def test_intervals(evaluate, folders):
    for i in range(60):
        for name, seed in (("many", 1000), ("more", 2000)):
            (folders / name).mkdir(exist_ok=True)
            pictures.write(folders / name / f"{i}.png", 16, seed + i)
    done = evaluate("distance", "many", "more")
    got = numbers(done)
    for name in ("FD", "sliced", "MIND", "precision", "recall"):
        low, high = map(
            float, re.search(rf"^{name} .*\(95 %: (\S+) \.\. (\S+)\)$", done.stdout, re.M).groups()
        )
        assert low < got[name] < high or low == got[name] == high == 1
    assert "no floor: the latter are not twice as many" in done.stdout
    quick = evaluate("distance", "many", "more", "--quick").stdout
    assert quick.count("95 %") == 1 and "floor" not in quick  # of KID, which costs nothing
    assert "no intervals but KID's: too few pictures" in evaluate("distance", "a", "b").stdout
    done = evaluate("distance", "a", "b", "--intervals")
    assert done.returncode == 1 and "too few for intervals" in done.stderr


@pytest.mark.sanitizers
def test_neighbours(evaluate, folders):
    """A sample that was copied stands beside its original, and is told."""
    (folders / "drawn").mkdir()
    pictures.write(folders / "drawn" / "0.png", 32, 500)
    (folders / "drawn" / "1.png").write_bytes((folders / "b" / "deep" / "3.png").read_bytes())
    done = evaluate("neighbours", "drawn", "b", "--grid", "grid.png", "-k", 3)
    assert done.returncode == 0, done.stderr
    assert "2 pictures of drawn beside 24 of b" in done.stdout
    assert re.search("^likely copies +1:", done.stdout, re.M)
    sheet = numpy.array(Image.open(folders / "grid.png"))
    assert sheet.shape == (2 * 34 - 2, 4 * 34 - 2, 3)
    assert (sheet[34:, :32] == sheet[34:, 34:66]).all()
    assert (sheet[:32, :32] != sheet[:32, 34:66]).any()
    assert evaluate("neighbours", "drawn", "b").returncode == 2
    done = evaluate("neighbours", "b", "drawn", "--grid", "none.png", "-k", 3)
    assert done.returncode == 1 and "no 3 neighbours" in done.stderr


MISTAKES = [
    # arguments, code, what is said
    (["distance", "a", "none"], 1, '"none"'),
    (["distance", "a", "empty"], 1, 'no PNG or JPEG pictures below "empty"'),
    (["distance", "a", "single"], 1, '"single": 1 picture has no covariance'),
    (["distance", "a", "broken"], 1, "broken/x.png"),
    (["distance", "a", "text"], 1, '"text"'),
    (["distance", "a", "model"], 1, "not the statistics of pictures"),
    (["distance", "b", "b", "--floor"], 1, "24 pictures cannot be split into 24"),
    (["stats", "a", "-o", "none/x"], 1, "none/x"),
    (["stats", "a", "-o", "x", "--network", "model"], 1, "conv1.weight"),
    (["stats", "a", "-o", "x", "--features", "face-dlib", "--network", "model"], 1, "first.weight"),
    (["stats", "a", "-o", "x", "--features", "magic"], 2, '"magic", but squeezenet11, face-dlib, efficientnet-lite0 and inception'),
    (["distance", "a", "a", "--features", "magic"], 2, '"magic"'),
    (["curve", "model", "--reference", "b", "--csv", "c", "--features", "magic"], 2, '"magic"'),
    (["stats", "a"], 2, "--out"),
    (["stats"], 2, ""),
    (["distance", "a"], 2, ""),
    (["magic"], 2, '"magic"'),
    (["--", "magic"], 2, ""),
    ([], 2, ""),
    (["curve", "--reference", "b", "--csv", "c.csv"], 2, "--samples"),
    (["curve", "model", "--csv", "c.csv"], 2, "--reference"),
    (["curve", "model", "--reference", "b", "--csv", "c", "--samplers", "magic"], 2, "magic"),
    (["curve", "model", "--reference", "b", "--csv", "c", "--nfe", "0"], 2, "0"),
    (["curve", "model", "--reference", "b", "--csv", "text"], 1, '"text", line 1'),
    (["curve", "model", "--reference", "b", "--csv", "torn"], 1, '"torn", line 1'),
    (["curve", "model", "--reference", "b", "--csv", "cut"], 1, '"cut", line 2'),
    (["curve", "model", "--reference", "b", "--csv", "old"], 1, "of an older version"),
]


@pytest.mark.parametrize("arguments, code, text", MISTAKES)
def test_mistakes(evaluate, folders, model, arguments, code, text):
    for name in ("empty", "single", "broken"):
        (folders / name).mkdir()
    pictures.write(folders / "single" / "x.png", 16, 0)
    (folders / "broken" / "x.png").write_bytes(b"\x89PNG")
    (folders / "text").write_text("not a picture\n", encoding="ascii")
    header = "sampler,nfe,n,seed,fd,kid,precision,recall,seconds"
    (folders / "old").write_text(header + "\n", encoding="ascii")
    header += ",source,reference\n"
    (folders / "cut").write_text(header + "pf-2m,5,2000,0,12\n", encoding="ascii")
    (folders / "torn").write_text("not a table, without an end", encoding="ascii")
    (folders / "model").symlink_to(model)
    done = evaluate(*arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr.splitlines()[-1]
    assert (folders / "torn").read_text(encoding="ascii") == "not a table, without an end"


def test_sides_must_agree(evaluate, folders):
    assert evaluate("stats", "a", "-o", "a16", "--side", 16).returncode == 0
    assert evaluate("stats", "b", "-o", "b20", "--side", 20).returncode == 0
    for arguments in (["a16", "b20"], ["a", "b20", "--side", 16]):
        done = evaluate("distance", *arguments)
        assert done.returncode == 1
        assert '"b20": of pictures of 20 px, not 16' in done.stderr


def test_features_must_agree(evaluate, folders):
    """A file of statistics tells whose features they are; nothing else is compared with them."""
    assert evaluate("stats", "a", "-o", "face", "--features", "face-dlib").returncode == 0
    assert evaluate("stats", "a", "-o", "object").returncode == 0
    assert evaluate("stats", "a", "-o", "lite", "--features", "efficientnet-lite0").returncode == 0
    assert numpy.size(safetensors_file.read(folders / "lite")[0]["features"]) == 10 * 1280
    got = numbers(evaluate("distance", "a", "face"))
    assert abs(got["FD"]) < 1e-4 and abs(got["KID"]) < 1
    assert numbers(evaluate("distance", "b", "face"))["FD"] > 0.01
    for arguments in (["object", "face"], ["a", "face", "--features", "squeezenet11"]):
        done = evaluate("distance", *arguments)
        assert done.returncode == 1
        assert '"face": of features of "face-dlib", not "squeezenet11"' in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cudasim")
def test_features_on_a_gpu_are_those_of_a_processor(evaluate, folders):
    for device in ("cpu", "cudasim"):
        done = evaluate("stats", "a", "-o", device, "--features", "face-dlib", "--device", device)
        assert done.returncode == 0, done.stderr
    got, _ = safetensors_file.read(folders / "cudasim")
    for name, wanted in safetensors_file.read(folders / "cpu")[0].items():
        assert numpy.allclose(got[name], wanted, rtol=1e-4, atol=1e-6), name
