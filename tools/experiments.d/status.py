"""What is left of a queue, and how long it takes by the speed of what is done."""

import collections


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


class Speed:
    """Seconds of a processor by what was measured so far; None where nothing was."""

    def __init__(self, definition, results):
        self.trainings = collections.defaultdict(dict)  # of an arm, by seed: cells share them
        for row in results.rows:
            if row["arm"] in definition.arms and row["training_s"] > 0:  # 0: nobody counted
                self.trainings[definition.trained(row["arm"])][row["seed"]] = row["training_s"]
        self.drawing = mean(row["drawing_s"] / row["nfe"] for row in results.rows)
        self.measuring = mean(row["measuring_s"] for row in results.rows)

    def training(self, arm):
        of_all = [s for seeds in self.trainings.values() for s in seeds.values()]
        return mean(self.trainings[arm].values()) or mean(of_all)


def left_s(definition, results, state, cells):
    """Seconds for these cells, or None."""
    speed = Speed(definition, results)
    if not results.rows or not speed.trainings:
        return None
    begun = {(definition.trained(cell.arm), cell.seed) for cell in definition.cells()
             if results.find(cell)}
    seconds = 0
    for cell in cells:
        seconds += speed.drawing * cell.nfe + speed.measuring
        training = definition.trained(cell.arm), cell.seed
        if training not in begun:
            begun.add(training)
            steps = definition.recipe(*training)["training"]["steps"]
            seconds += speed.training(training[0]) * (1 - state.steps(*training) / steps)
    return seconds


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def lines(definition, results, state):
    cells = definition.cells()
    left = [cell for cell in cells if not results.find(cell)]
    for ordering in definition.orderings:
        own = {definition.cell(row, seed) for row in ordering["rows"] for seed in definition.seeds}
        yield f"{ordering['name']:<16} {sum(cell not in left for cell in own):3} of {len(own)} cells"
    spent = sum(row["drawing_s"] + row["measuring_s"] for row in results.rows)
    spent += sum(s for seeds in Speed(definition, results).trainings.values() for s in seeds.values())
    yield f"{'all':<16} {len(cells) - len(left):3} of {len(cells)} cells, {duration(spent)} of a processor"
    others = results.others(cells)
    if others:
        yield f"{others} rows more are of an earlier definition and count for nothing"
    for cell in left[:1]:
        steps = state.steps(cell.arm, cell.seed)
        yield f"next: {cell}" + (f", whose model has seen {steps} steps" if steps else "")
    seconds = left_s(definition, results, state, left)
    if left:
        yield ("left: nobody knows before the first cell is done" if seconds is None else
               f"left: {duration(seconds)} of one processor that does nothing else")
