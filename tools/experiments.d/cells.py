"""How a cell becomes a row: train, draw, measure. Each part goes on where it was when it was stopped or
killed, and is done once for all cells that need it."""

import json
import re
import shutil

import whole_file
from programs import Stopped
from state import MODEL

GRID = 64
FIGURE = re.compile(r"^(FD|KID|precision|recall) +(\S+)", re.MULTILINE)
FLOOR = re.compile(r"^floor +(\S+) +KID (\S+)", re.MULTILINE)


class Queue:
    """commands: what made the row that is worked on, as one would type it in the folder of the state."""

    def __init__(self, definition, results, state, programs, tell):
        self.definition = definition
        self.results = results
        self.state = state
        self.programs = programs
        self.tell = tell
        self.commands = []

    def run(self, words, folder, what, only_here=(), command=None):
        """Runs a program, whose command line becomes one of the row's."""
        self.commands.append(" ".join(map(str, command or words)))
        return self.programs.run(words, self.state.path / folder / "said.txt",
                                 lambda seconds: self.state.spend(folder, what, seconds), only_here)

    def measure(self, cell):
        """Works until its row is there."""
        folder = self.state.training(cell.arm, cell.seed)
        drawn = f"{folder}/{cell.arm}-{cell.sampler}-{cell.nfe}"
        for name in (folder, drawn):
            (self.state.path / name).mkdir(exist_ok=True)
        self.commands = []
        self.train(cell, folder)
        self.draw(cell, folder, drawn)
        self.results.add(self.row(cell, folder, drawn))
        shutil.rmtree(self.state.path / drawn)

    def train(self, cell, folder):
        recipe = self.definition.recipe(cell.arm, cell.seed)
        steps = recipe["training"]["steps"]
        file = f"{folder}/recipe.json"
        whole_file.put(self.state.path / file, json.dumps(recipe, indent=2) + "\n")
        words = ["softdiff-train", "--recipe", file, "--data", "pictures.pack", "--out", folder,
                 "--threads", 1]
        if self.state.steps(cell.arm, cell.seed) < steps:
            left = self.programs.left_s()
            only_here = [] if left is None else ["--minutes", f"{max(left / 60, 0.001):.3f}"]
            self.tell(f"{cell.arm}, seed {cell.seed}: trains {steps} steps")
            self.run(words, folder, "training", only_here)
            if self.state.steps(cell.arm, cell.seed) < steps:
                raise Stopped(f"the training was stopped: {self.programs.signal or 'the time is up'}")
        else:
            self.commands.append(" ".join(map(str, words)))
        model = self.state.model(cell.arm, cell.seed)
        if "solver" in self.definition.arms[cell.arm]:
            words = ["softdiff-schedule", "solver", f"{folder}/{MODEL}", model,
                     *self.definition.arms[cell.arm]["solver"]]
            if (self.state.path / model).exists():
                self.commands.append(" ".join(words))
            else:
                self.run(words, folder, f"solver of {cell.arm}")

    def draw(self, cell, folder, drawn):
        first, n = self.definition.sample_seed, self.definition.samples
        words = ["softdiff-sample", self.state.model(cell.arm, cell.seed), "--sampler", cell.sampler,
                 "--nfe", cell.nfe, "--threads", 1]
        grid = self.state.path / "grids" / f"{cell.arm}-{cell.sampler}-{cell.nfe}-{cell.seed}.png"
        grid.parent.mkdir(exist_ok=True)
        done = 0
        while done < n and (self.state.path / drawn / f"{first + done}.png").exists():
            done += 1
        self.tell(f"{cell}: draws" + (f", {done} of {n} are there" if done else f" {n} pictures"))
        whole = [*words, "--seed", first, "--number", n, "--out", drawn]
        if done < n:
            self.run([*words, "--seed", first + done, "--number", n - done, "--out", drawn], folder,
                     f"drawing {drawn}", command=whole)
        else:
            self.commands.append(" ".join(map(str, whole)))
        self.programs.run([*words, "--seed", first, "--number", min(GRID, n), "--grid", grid],
                          self.state.path / folder / "said.txt", lambda _: None)

    def row(self, cell, folder, drawn):
        row = {"arm": cell.arm, "seed": cell.seed, "sampler": cell.sampler, "nfe": cell.nfe,
               "made_of": cell.made_of}
        self.tell(f"{cell}: is measured")
        for name in self.definition.features:
            said = self.run(["softdiff-eval", "distance", drawn, f"real-{name}.safetensors",
                             "--features", name, "--quick", "--floor", "--threads", 1], folder, f"measuring {drawn}")
            found = {key.lower(): value for key, value in FIGURE.findall(said)}
            if floor := FLOOR.search(said):
                found["floor_fd"], found["floor_kid"] = floor.groups()
            row |= {f"{measure}_{name}": value for measure, value in found.items()}
        spent = self.state.seconds(folder)
        row["training_s"] = round(spent.get("training", 0), 2)
        row["drawing_s"] = round(spent.get(f"drawing {drawn}", 0), 2)
        row["measuring_s"] = round(spent.get(f"measuring {drawn}", 0), 2)
        row["programs"] = self.programs.commit
        row["commands"] = "; ".join(self.commands)
        return row
