"""A recipe that trains in a second, pictures for it, and a model made with them."""

import copy
import json
import re
import subprocess

import pictures
import pytest

RECIPE = {
    "name": "tiny",
    "architecture": {
        "image_size": 16,
        "nf": 16,
        "ch_mult": [1, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [8],
        "dropout": 0.1,
    },
    "corruption": {"name": "blur", "half_size": 16},
    "schedule": {
        "levels": "fit",
        "n_levels": 6,
        "level_min": 0.01,
        "level_max": 8,
        "candidates": 32,
        "images": 12,
    },
    "output": "wiener",
    "time_embed": "fourier_t",
    "training": {"batch": 4, "steps": 6, "lr": 1e-3, "warmup": 2, "seed": 7, "stratified": True},
    "progress": {"log_every": 1, "grid_every": 0, "checkpoint_minutes": 1000},
}


class Trainer:
    """Runs softdiff-train on the pictures of one folder."""

    def __init__(self, program, folder):
        self.program = program("softdiff-train")
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        for i in range(12):
            pictures.write(self.data / f"{i}.png", 16, i)
        self.recipe = copy.deepcopy(RECIPE)

    def command(self, run, *arguments):
        recipe = self.folder / "recipe.json"
        recipe.write_text(json.dumps(self.recipe))
        return [
            self.program,
            "--recipe",
            recipe,
            "--data",
            self.data,
            "--out",
            self.folder / run,
            "--threads",
            "2",
            *map(str, arguments),
        ]

    def __call__(self, run, *arguments, **options):
        return subprocess.run(
            self.command(run, *arguments), capture_output=True, text=True, check=False, **options
        )


@pytest.fixture
def trainer(program, tmp_path):
    return Trainer(program, tmp_path)


@pytest.fixture(scope="session")
def model(program, tmp_path_factory):
    """A checkpoint after a few steps."""
    folder = tmp_path_factory.mktemp("model")
    done = Trainer(program, folder)("run", "--steps", 4)
    assert done.returncode == 0, done.stderr
    return folder / "run" / "model.safetensors"


@pytest.fixture
def serve(program):
    """Starts a daemon with these flags, for the address of its API; it ends with the test."""
    daemons = []

    def start(*flags):
        command = [program("softdiffd"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *flags]
        daemons.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        log = []
        for line in daemons[-1].stderr:
            log.append(line)
            if "event=ready" in line:
                return "http://" + re.search(r"listener=public address=(\S+)", "".join(log))[1]
        raise AssertionError("the daemon ended:\n" + "".join(log))

    yield start
    for daemon in daemons:
        daemon.terminate()
        daemon.communicate()


@pytest.fixture
def evaluate(program, tmp_path):
    """Runs softdiff-eval in the test's folder."""

    def run(*arguments):
        return subprocess.run(
            [program("softdiff-eval"), *map(str, arguments), "--threads", "2"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return run
