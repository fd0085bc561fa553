"""The page of tables: made of the rows and the definition alone, so that anybody can make it again."""

import math
import statistics

# Two-sided 95 % of Student's law, by degrees of freedom.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
MEASURES = (("fd", "FD"), ("kid", "KID"))


def interval(values):
    """Mean, and half of its 95 % interval: None of a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    quantile = STUDENT[min(len(values) - 1, len(STUDENT)) - 1]
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


def number(value):
    """Three digits, in full where that is short."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def figure(values, signed=False):
    if not values:
        return "-"
    mean, half = interval(values)
    text = ("+" if signed and mean > 0 else "") + number(mean)
    return text if half is None else f"{text} ± {number(half)}"


def line(cells):
    return "| " + " | ".join(cells) + " |"


class Page:
    def __init__(self, definition, results):
        self.definition = definition
        self.results = results
        self.measures = [(f"{key}_{name}", f"{title} {name}") for key, title in MEASURES
                         for name in definition.features]

    def values(self, row):
        """Of each seed that is done: its row of the results."""
        cells = {seed: self.definition.cell(row, seed) for seed in self.definition.seeds}
        found = {seed: self.results.find(cell) for seed, cell in cells.items()}
        return {seed: values for seed, values in found.items() if values}

    def verdict(self, differences):
        """differences: for each measure those of the seeds, below 0 where it is as claimed."""
        distances = [values for key, values in differences.items() if key.startswith("fd_")]
        n = len(distances[0])
        if n == 0:
            return "not measured yet"
        signs = {-1 if statistics.fmean(values) < 0 else 1 for values in distances}
        if n < len(self.definition.seeds):
            side = {(-1,): "as claimed", (1,): "not as claimed"}.get(tuple(signs), "features disagree")
            return f"open ({n} of {len(self.definition.seeds)} seeds: {side})"
        clear = [abs(mean) > half for mean, half in map(interval, distances)]
        if len(signs) > 1:
            return "features disagree"
        if not all(clear):
            return "not decided, " + ("rather yes" if signs == {-1} else "rather no")
        return "**yes**" if signs == {-1} else "**no**"

    def differences(self, ordering, pair):
        better, worse = (self.values(ordering["rows"][i]) for i in pair)
        seeds = [seed for seed in self.definition.seeds if seed in better and seed in worse]
        return {key: [better[seed][key] - worse[seed][key] for seed in seeds]
                for key, _ in self.measures}

    @staticmethod
    def name(ordering, i):
        row = ordering["rows"][i]
        return f"{row['arm']}, `{row['sampler']}` {row['nfe']}"

    def ordering(self, ordering):
        yield f"## {ordering['name']}"
        yield ""
        yield f"{ordering['claim']} {ordering['source']}"
        yield ""
        titles = [title for _, title in self.measures]
        yield line(["", "seeds", *titles, "the paper's FID"])
        yield line(["---"] * (len(titles) + 3))
        floors = {}
        for i, row in enumerate(ordering["rows"]):
            done = self.values(row)
            figures = [figure([values[key] for values in done.values()]) for key, _ in self.measures]
            yield line([self.name(ordering, i), str(len(done)), *figures, row.get("paper", "")])
            floors |= {key: values[f"floor_{key}"] for values in done.values() for key, _ in self.measures}
        floor = [number(floors[key]) if floors else "-" for key, _ in self.measures]
        yield line(["*floor*", "", *(f"*{value}*" for value in floor), ""])
        yield ""
        yield line(["difference", *titles, "holds"])
        yield line(["---"] * (len(titles) + 2))
        for pair in ordering["better"]:
            differences = self.differences(ordering, pair)
            yield line([f"{self.name(ordering, pair[0])} less {self.name(ordering, pair[1])}",
                        *(figure(differences[key], signed=True) for key, _ in self.measures),
                        self.verdict(differences)])
        yield ""
        if "note" in ordering:
            yield ordering["note"]
            yield ""

    def summary(self):
        yield line(["", "claimed to be better", "than", "holds"])
        yield line(["---"] * 4)
        for ordering in self.definition.orderings:
            for pair in ordering["better"]:
                yield line([ordering["name"], *(self.name(ordering, i) for i in pair),
                            self.verdict(self.differences(ordering, pair))])
        yield ""

    def head(self):
        d = self.definition
        training = d.base["training"]
        images = training["batch"] * training["steps"]
        cells = d.cells()
        done = sum(self.results.find(cell) is not None for cell in cells)
        yield "# What holds of the paper at small size"
        yield ""
        yield ("Made by `tools/experiments table` of [results.csv](results.csv) and "
               "[experiments.json](experiments.json): change these, not this page. "
               f"{done} of {len(cells)} cells are measured.")
        yield ""
        yield (f"{d.pictures['what']}. All arms have one network, one budget of {images:,} images, and "
               f"the seeds {', '.join(map(str, d.seeds))}; the first arm is the recipe of the file, each "
               "other one changes what is told of it at the end. The paper (Daras et al., Soft Diffusion, "
               "TMLR 2023, arXiv:2209.05442) has pictures of 64x64 px, hundreds of times as many weights "
               "and hundreds of times as many images: its figures stand beside ours for their order, not "
               "for their size. A name, sampler and number are an arm, how it is drawn from and in how many "
               "evaluations of the network.")
        yield ""
        yield (f"FD is the Frechet distance of {d.samples:,} samples to all the training pictures, KID the "
               f"kernel distance, each with the features of two networks that share nothing: "
               f"{' and '.join(d.features)}. None of the figures is an FID: they compare with nothing but "
               "figures of this page. *Floor* is what as many real pictures have to the others. Figures are "
               "means over the seeds with their 95 % interval, by Student's law. Differences are taken "
               "seed by seed: below 0 is as claimed. A claim holds (**yes**) or not (**no**) where both "
               "Frechet distances say so and both intervals leave 0 out.")
        yield ""

    def arms(self):
        yield "## The arms"
        yield ""
        yield line(["arm", "what it is"])
        yield line(["---"] * 2)
        for name, arm in self.definition.arms.items():
            yield line([name, arm["what"]])
        yield ""
        yield ("`tools/experiments recipe ARM SEED` prints the recipe of an arm, the column `commands` of "
               "results.csv what was done with it.")

    def text(self):
        parts = [self.head(), self.summary()]
        parts += [self.ordering(ordering) for ordering in self.definition.orderings]
        return "\n".join(text for part in (*parts, self.arms()) for text in part) + "\n"
