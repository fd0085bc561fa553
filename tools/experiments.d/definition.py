"""What is to be measured: the arms, the orderings between them, and the cells that these need."""

import copy
import dataclasses
import hashlib
import json

PROGRAM = "tools/experiments"


class Refused(Exception):
    """Something that a person has to put right; the text says what."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A model of one arm and seed, drawn from in one way: a row of the results."""

    arm: str
    seed: int
    sampler: str
    nfe: int
    made_of: str  # digits of a digest of all that the definition says about it

    def key(self):
        return self.arm, self.seed, self.sampler, self.nfe

    def __str__(self):
        return f"{self.arm} {self.sampler} {self.nfe} (seed {self.seed})"


def digest(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def merge(base, change):
    """A copy of base with the members of change: objects are merged, null takes a member out."""
    merged = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


class Definition:
    """The file, read and looked through."""

    def __init__(self, path):
        try:
            document = json.loads(path.read_text())
            self.pictures = document["pictures"]  # folder, side, digest, what
            self.samples = document["samples"]
            self.sample_seed = document["sample_seed"]
            self.seeds = document["seeds"]
            self.features = document["features"]
            self.base = document["recipe"]
            self.arms = document["arms"]
            self.orderings = document["orderings"]
            self.look()
        except OSError as reason:
            raise Refused(f'could not read "{path}": {reason.strerror}') from reason
        except (KeyError, TypeError, ValueError) as reason:
            raise Refused(f'"{path}" is no definition: {reason!r}') from reason

    def look(self):
        """Raises what __init__ tells of."""
        for name, arm in self.arms.items():
            if arm.keys() - {"what", "change", "of", "solver"} or "what" not in arm:
                raise ValueError(f'arm "{name}"')
            if "of" in arm and ("of" in self.arms[arm["of"]] or "solver" not in arm):
                raise ValueError(f'arm "{name}": "of" names an arm that is trained, with "solver"')
        for ordering in self.orderings:
            for row in ordering["rows"]:
                if row["arm"] not in self.arms:
                    raise ValueError(f'"{ordering["name"]}": there is no arm "{row["arm"]}"')
            for better, worse in ordering["better"]:
                if not 0 <= min(better, worse) <= max(better, worse) < len(ordering["rows"]):
                    raise ValueError(f'"{ordering["name"]}": "better" names no row')

    def trained(self, arm):
        """The arm whose network it is: itself, but for those that are made of another."""
        return self.arms[arm].get("of", arm)

    def recipe(self, arm, seed):
        """The whole recipe of a training, for softdiff-train."""
        arm = self.trained(arm)
        recipe = merge(self.base, self.arms[arm].get("change", {}))
        recipe["name"] = arm
        recipe["training"]["seed"] = seed
        return recipe

    def training(self, arm, seed):
        """The digest of a training: what is trained, on what."""
        return digest([self.recipe(arm, seed), self.pictures["digest"], self.pictures["side"]])

    def cell(self, row, seed):
        arm, sampler, nfe = row["arm"], row["sampler"], row["nfe"]
        made_of = digest([self.training(arm, seed), self.arms[arm].get("solver"), sampler, nfe,
                          self.samples, self.sample_seed, self.features])
        return Cell(arm, seed, sampler, nfe, made_of)

    def cells(self):
        """All, each once, in the order in which they are wanted: an ordering after the other."""
        found = {}
        for ordering in self.orderings:
            for seed in self.seeds:
                for row in ordering["rows"]:
                    cell = self.cell(row, seed)
                    found.setdefault(cell.key(), cell)
        return list(found.values())
