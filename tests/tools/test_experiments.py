"""tools/experiments: a queue that is stopped, killed and taken up again measures what one in a single go
does; only whole rows count; the page of the zoo is what its rows say."""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pictures
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "experiments"
ZOO = ROOT / "model" / "zoo"

sys.path.insert(0, str(ROOT / "tools" / "experiments.d"))
import definition  # noqa: E402
import results  # noqa: E402
import table  # noqa: E402

sys.path.pop(0)

DEFINITION = {
    "pictures": {"what": "16 stripes", "folder": "stripes/train", "side": 8},
    "samples": 5, "sample_seed": 100, "seeds": [1], "features": ["squeezenet11"],
    "recipe": {
        "architecture": {"image_size": 8, "nf": 16, "ch_mult": [1, 2], "num_res_blocks": 1,
                         "attn_resolutions": [4], "dropout": 0.0},
        "corruption": {"name": "blur", "half_size": 8},
        "schedule": {"levels": [0.01, 0.5, 1, 2, 4]},
        "output": "residual", "time_embed": "fourier_t",
        "training": {"batch": 4, "steps": 4, "lr": 1e-3},
        "progress": {"log_every": 1, "grid_every": 0, "checkpoint_minutes": 1000},
    },
    "arms": {
        "plain": {"what": "as it is"},
        "wiener": {"what": "helped", "change": {"output": "wiener"}},
        "tuned": {"what": "with tables", "of": "wiener", "solver": ["--nfe", "2"]},
    },
    "orderings": [
        {"name": "Steps", "claim": "More is better.", "source": "Nobody says so.",
         "rows": [{"arm": "plain", "sampler": "momentum", "nfe": 4, "paper": "1.5"},
                  {"arm": "plain", "sampler": "momentum", "nfe": 2}], "better": [[0, 1]]},
        {"name": "Tables", "claim": "They help.", "source": "",
         "rows": [{"arm": "tuned", "sampler": "tuned", "nfe": 2}], "better": []},
    ],
}  # fmt: skip


class Place:
    """A definition, pictures, and room for the results and the state of a queue."""

    def __init__(self, folder, build_dir):
        self.folder = folder
        self.build_dir = build_dir
        self.definition = json.loads(json.dumps(DEFINITION))
        (folder / "stripes" / "train").mkdir(parents=True)
        for i in range(16):
            pictures.write(folder / "stripes" / "train" / f"{i}.png", 8, i)
        pack = folder / "own.pack"
        subprocess.run([build_dir / "tools/convert/softdiff-convert", "dataset", folder / "stripes/train",
                        pack, "--side", "8"], check=True, capture_output=True)
        digest = hashlib.sha256(pack.read_bytes()).hexdigest()
        self.definition["pictures"]["digest"] = digest[:16]

    def words(self, command, *more, name="one"):
        path = self.folder / "definition.json"
        path.write_text(json.dumps(self.definition))
        words = [TOOL, command, "--definition", path, "--results", self.folder / f"{name}.csv"]
        if command in ("run", "status"):
            words += ["--state", self.folder / name]
        if command == "run":
            words += ["--build", self.build_dir, "--data", self.folder]
        return list(map(str, (*words, *more)))

    def __call__(self, command, *more, **options):
        return subprocess.run(self.words(command, *more, **options), capture_output=True, text=True,
                              check=False)

    def rows(self, name="one"):
        with (self.folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def begin(self, *more, **options):
        return subprocess.Popen(self.words("run", *more, **options), stderr=subprocess.PIPE, text=True)


@pytest.fixture
def place(build_dir, tmp_path):
    return Place(tmp_path, build_dir)


def until(condition):
    for _ in range(6000):
        if found := condition():
            return found
        time.sleep(0.01)
    raise TimeoutError("it did not happen")


def trains(place, name):
    """Whether the first training has taken a step."""
    return any(log.stat().st_size for log in (place.folder / name).glob("plain-1-*/log.jsonl"))


def holder(process, lock):
    """A program that it runs, once that holds the lock, too."""
    text = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    for pid in map(int, text.split()):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            if lock in {link.resolve() for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}:
                return pid
    return None


MEASURED = ("arm", "seed", "sampler", "nfe", "made_of", "fd_squeezenet11", "kid_squeezenet11",
            "floor_fd_squeezenet11", "commands")


def measured(rows):
    return [{key: row[key] for key in MEASURED} for row in rows]


def test_a_queue_goes_on_after_anything(place):
    """Time that is up, a signal, a kill of the queue alone, and of all: the rows are the same."""
    place.definition["recipe"]["training"]["steps"] = 1000000
    queue = place.begin(name="endless")
    until(lambda: trains(place, "endless"))
    queue.send_signal(signal.SIGTERM)
    _, said = queue.communicate()
    assert queue.returncode == 3 and "SIGTERM; the same command goes on" in said
    status = place("status", name="endless")
    assert "all                0 of 3 cells" in status.stdout
    assert "next: plain momentum 4 (seed 1), whose model has seen" in status.stdout

    place.definition["recipe"]["training"]["steps"] = 400
    done = place("run", "--minutes", "0.00001", name="parts")
    assert done.returncode == 3 and "the time is up; the same command goes on" in done.stderr
    queue = place.begin(name="parts")
    until(lambda: trains(place, "parts"))
    queue.send_signal(signal.SIGTERM)
    queue.communicate()
    assert queue.returncode in (0, 3)  # where it was over before the signal came

    queue = place.begin(name="parts")
    lock = place.folder / "parts" / "lock"
    program = until(lambda: holder(queue, lock) or queue.poll() is not None)
    queue.kill()
    queue.communicate()
    if program is not True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, signal.SIGKILL)
    with lock.open() as held:  # as by a program whose queue was killed
        fcntl.flock(held, fcntl.LOCK_EX)
        done = place("run", name="parts")
        assert done.returncode == 1 and "somebody works in" in done.stderr

    done = place("run", name="parts")
    assert done.returncode == 0, done.stderr
    assert place("run", name="through").returncode == 0
    rows = place.rows("parts")
    assert [(row["arm"], row["sampler"], row["nfe"]) for row in rows] == [
        ("plain", "momentum", "4"), ("plain", "momentum", "2"), ("tuned", "tuned", "2")]
    assert measured(rows) == measured(place.rows("through"))
    # What a killed program spent is lost, here perhaps a part of the first row.
    assert all(float(row["measuring_s"]) > 0 for row in rows[1:])
    assert rows[0]["training_s"] == rows[1]["training_s"]
    assert len(list((place.folder / "parts" / "grids").glob("*.png"))) == 3
    status = place("status", name="parts")
    assert "all                3 of 3 cells" in status.stdout and "left" not in status.stdout
    repeat_by_hand(place, rows[2])

    place.definition["orderings"][0]["rows"].insert(0, {"arm": "plain", "sampler": "momentum", "nfe": 3})
    done = place("run", name="parts")
    assert "plain momentum 3 (seed 1): done, 4 of 4" in done.stdout + done.stderr


def repeat_by_hand(place, row):
    """The commands of a row, typed elsewhere, give its figures; their recipe is printed."""
    folder = place.folder / "by-hand"
    folder.mkdir()
    for path in (place.folder / "through").glob("*"):
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    commands = [command.split() for command in row["commands"].split("; ")]
    assert [words[0] for words in commands] == [
        "softdiff-train", "softdiff-schedule", "softdiff-sample", "softdiff-eval"]
    recipe = folder / commands[0][commands[0].index("--recipe") + 1]
    recipe.parent.mkdir()
    recipe.write_text(place("recipe", "tuned", "1").stdout)
    for name, *words in commands:
        program = place.build_dir / "tools" / name.removeprefix("softdiff-") / name
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=True)
    assert f"FD         {row['fd_squeezenet11']}\n" in done.stdout


def test_rows_of_an_earlier_definition_do_not_count(place):
    del place.definition["orderings"][1]
    assert place("run").returncode == 0
    place.definition["recipe"]["training"]["steps"] = 5
    status = place("status")
    assert "0 of 2 cells" in status.stdout and "2 rows more are of an earlier def" in status.stdout
    assert "left: 0 min of one processor" in status.stdout
    assert place("table").returncode == 0
    assert "0 of 2 cells are measured" in (place.folder / "one.md").read_text()
    assert place("run").returncode == 0
    assert len(place.rows()) == 4 and place("status").stdout.count("2 of 2 cells") == 2
    damage(place)


def damage(place):
    """Whatever is wrong with a row, no command takes it, or the rows about it, for measured."""
    path = place.folder / "one.csv"
    text = path.read_text()
    lines = text.splitlines(keepends=True)
    figure = place.rows()[2]["fd_squeezenet11"]
    for name, command, broken, line in (
        ("half a row", "run", text[: -len(lines[-1]) // 2], 5),
        ("no number", "table", text.replace(figure, "much"), 4),
        ("not finite", "status", text.replace(figure, "nan"), 4),
        ("twice", "table", text + lines[1], 6),
        ("other columns", "run", text.replace("fd_squeezenet11", "fd_inception"), 1),
        ("an open quote", "status", text + '"\n', 6),
    ):
        path.write_text(broken)
        done = place(command)
        assert done.returncode == 1 and f'one.csv", line {line}: ' in done.stderr, (name, done.stderr)
        assert path.read_text() == broken, name
    path.write_text(text)


def test_what_is_missing_is_told(place):
    def refused(*more, text):
        done = place("run", *more)
        assert done.returncode == 1 and text in done.stderr.splitlines()[-1], done.stderr

    def files():
        return {path.name for path in (place.folder / "one").iterdir()}

    refused("--build", place.folder, text='"softdiff-convert" is not built in')
    refused("--state", ROOT / "build-state", text="is in the repository")
    refused("--data", place.folder / "nowhere", text="--data names the folder that has stripes/train")
    assert files() == {"lock"}
    refused("--definition", place.folder / "nowhere", text="No such file")
    place.definition["pictures"]["digest"] = "0" * 16
    refused(text="is of other pictures than those of the definition")
    assert not {"pictures.pack", ".pictures.pack"} & files()
    place.definition["orderings"][0]["rows"][0]["arm"] = "none"
    refused(text='there is no arm "none"')
    place.definition["orderings"] = []
    assert 'there is no arm "nobody"' in place("recipe", "nobody").stderr
    place.definition["orderings"] = 7
    refused(text="is no definition")
    assert place("run", "--minutes", "0").returncode == 2


def test_a_cell_that_fails_does_not_keep_the_others(place):
    place.definition["arms"]["wiener"]["change"] = {"training": {"lr": "fast"}}
    place.definition["orderings"] = place.definition["orderings"][1::-1]
    place.definition["orderings"][1]["rows"].pop()
    place.definition["orderings"][1]["better"] = []
    done = place("run")
    assert done.returncode == 1 and done.stderr.endswith("tools/experiments: 1 of 2 cells failed\n")
    assert "tuned tuned 2 (seed 1): softdiff-train ended with 1: " in done.stderr and '"lr"' in done.stderr
    assert [row["arm"] for row in place.rows()] == ["plain"]


def test_only_whole_rows_are_added(tmp_path):
    rows = results.Results(tmp_path / "rows.csv", ["squeezenet11"])
    row = dict.fromkeys(rows.columns, 1)
    for wrong in ({"fd_squeezenet11": "nan"}, {"precision_squeezenet11": ""}, {"seed": "one"}):
        with pytest.raises(definition.Refused, match="what was measured is no row"):
            rows.add(row | wrong)
    assert not rows.path.exists()
    rows.add(row)
    text = rows.path.read_text()
    assert text.count("\n") == 2
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(text) + 1, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            rows.add(row | {"seed": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert rows.path.read_text() == text and list(tmp_path.iterdir()) == [rows.path]


@pytest.fixture
def page():
    """table.Page of a definition and rows, given as figures of the two arms, a tuple per seed."""

    def make(folder, better, worse):
        path = folder / "definition.json"
        document = json.loads(json.dumps(DEFINITION))
        document["pictures"]["digest"], document["seeds"] = "0" * 16, [1, 2, 3]
        document["features"] += ["face-dlib"]
        path.write_text(json.dumps(document))
        d = definition.Definition(path)
        rows = results.Results(folder / "rows.csv", d.features)
        for ordered, figures in zip(d.orderings[0]["rows"], (better, worse)):
            for seed, fds in enumerate(figures, 1):
                cell = d.cell(ordered, seed)
                row = dict.fromkeys(rows.columns, 1.0) | {
                    "arm": cell.arm, "seed": seed, "sampler": cell.sampler, "nfe": cell.nfe,
                    "made_of": cell.made_of}
                rows.add(row | dict(zip(("fd_squeezenet11", "fd_face-dlib"), fds)))
        return table.Page(d, results.Results(folder / "rows.csv", d.features)).text()

    return make


@pytest.mark.parametrize("better, worse, verdict", [
    ([(1, 10), (2, 20), (3, 30)], [(5, 15), (6.5, 25.5), (7, 35)], "**yes**"),
    ([(5, 15), (6.5, 25.5), (7, 35)], [(1, 10), (2, 20), (3, 30)], "**no**"),
    ([(1, 10), (2, 20), (3, 30)], [(5, 9), (6, 19.5), (7, 29)], "features disagree"),
    ([(1, 10), (2, 20), (9, 30)], [(5, 15), (6, 25), (7, 35)], "not decided, rather yes"),
    ([(5, 15), (6, 25)], [(1, 10), (2, 20), (3, 30)], "open (2 of 3 seeds: not as claimed)"),
    ([], [(1, 10)], "not measured yet"),
])  # fmt: skip
def test_an_ordering_holds_or_not(page, tmp_path, better, worse, verdict):
    text = page(tmp_path, better, worse)
    assert f"| Steps | plain, `momentum` 4 | plain, `momentum` 2 | {verdict} |" in text


def test_intervals_are_students(page, tmp_path):
    text = page(tmp_path, [(1, 10), (2, 20), (3, 30)], [(5, 15), (6.5, 25.5), (7, 35)])
    # Of 1, 2, 3: 2 and 4.303 / sqrt(3). Of -4, -4.5, -4: -4.1667 and 4.303 * 0.28868 / sqrt(3).
    assert "| plain, `momentum` 4 | 3 | 2 ± 2.48 | 20 ± 24.8 | 1 ± 0 | 1 ± 0 | 1.5 |" in text
    assert "less plain, `momentum` 2 | -4.17 ± 0.717 |" in text
    assert "| *floor* |  | *1* | *1* | *1* | *1* |  |" in text


def test_the_zoos_page_is_what_its_rows_say(tmp_path):
    (tmp_path / "results.csv").write_bytes((ZOO / "results.csv").read_bytes())
    done = subprocess.run([TOOL, "table", "--results", tmp_path / "results.csv"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results.md").read_text() == (ZOO / "results.md").read_text()
