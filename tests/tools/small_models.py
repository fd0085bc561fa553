"""Small models with random weights: of every corruption on all of its way, every output, with labels."""

import array
import random
import subprocess

import safetensors_file

SIDE = 16
TIMES = [0, 0.3, 0.55, 1]  # of the levels below


def low_pass(kept, side=SIDE):
    """Means of pairs of neighbours, so many times over."""
    identity = [[float(i == j) for j in range(side)] for i in range(side)]
    matrices, matrix = [identity], identity
    for _ in range(kept):
        half = [
            [
                0.5 * matrix[i][j] + 0.25 * (matrix[max(i - 1, 0)][j] + matrix[min(i + 1, side - 1)][j])
                for j in range(side)
            ]
            for i in range(side)
        ]
        matrix = [[0.5 * (half[i][j] + half[j][i]) for j in range(side)] for i in range(side)]
        matrices.append(matrix)
    mean = [[1 / side] * side for _ in range(side)]
    return [*matrices, mean]


SHUFFLED = [(i * 37 + 11) % SIDE**2 for i in range(SIDE**2)]
BLUR = {"name": "blur", "half_size": SIDE}
HIDDEN = [SIDE**2, 190.3, 60.8, 0]
CORRUPTIONS = {
    "blur": (BLUR, [0, 0.7, 2.2, 4]),
    "blur-dct": ({"name": "blur-dct"}, [0, 0.7, 2.2, 4]),
    "pixelate": ({"name": "pixelate"}, [0, 0.7, 2.2, 4]),
    "fade": ({"name": "fade"}, [1, 0.7, 0.2, 0]),
    "noise": ({"name": "noise"}, [1, 1, 1, 1]),
    "vp": ({"name": "vp"}, [1, 0.8, 0.4, 0.05]),
    "subvp": ({"name": "subvp"}, [1, 0.8, 0.4, 0.05]),
    "mask-spiral": ({"name": "mask", "order": "spiral"}, HIDDEN),
    "mask-rows": ({"name": "mask", "order": "rows"}, HIDDEN),
    "mask-list": ({"name": "mask", "order": "list", "ranks": SHUFFLED}, HIDDEN),
    "mask-random": ({"name": "mask", "order": "random", "seed": 3}, HIDDEN),
    "matrices": ({"name": "matrices", "matrices": low_pass(4)}, [0, 0.7, 2.2, 5]),
    "product": (
        {
            "name": "product",
            "first": {"corruption": BLUR, "levels": [0, 1, 3]},
            "second": {"corruption": {"name": "mask", "order": "rows"}, "levels": [SIDE**2, 0]},
        },
        [1, 0.8, 0.3, 0],
    ),
}
OUTPUTS = ("residual", "scaled", "sigma", "noise", "velocity", "clean")
LABELS = ["one", "two", "three"]


def floats(n, seed):
    generator = random.Random(seed)
    return array.array("f", [generator.gauss(0, 1) for _ in range(n)])


def write(build, path, corruption, output="residual", labels=False, noise=True):
    """A checkpoint at the path, of the name of a corruption above."""
    subprocess.run([build / "tests/api/make_checkpoint", path, "noise", "16", "16", "3"], check=True)
    named, levels = CORRUPTIONS[corruption]

    def change(document):
        document["format"] = 2
        document["corruption"] = named
        document["schedule"] = {
            "level": {"t": TIMES, "value": levels},
            "sigma": {"t": [0, 0.4, 1], "value": [0.01, 0.3, 0.8] if noise else [0, 0, 0]},
        }
        document["output"] = output
        if labels:
            document["architecture"]["n_labels"] = len(LABELS)
            document["labels"] = LABELS

    extra = {}
    if output == "scaled":
        extra["scaling.moments"] = [129, 2], array.array("f", map(abs, floats(258, 1)))
    if labels:
        extra["net.labels.weight"] = [4, 64], floats(4 * 64, 2)
    safetensors_file.rewrite(path, path, change, extra=extra)
    return path
