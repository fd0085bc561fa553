#!/usr/bin/env python3
"""Frechet distance between sets of images, with the features of an ImageNet SqueezeNet 1.1.

    frechet.py --features squeezenet11.safetensors --check squeezenet11.golden.safetensors
    frechet.py --features squeezenet11.safetensors --side 32 SAMPLES REFERENCE...

Prints the distance of SAMPLES to every REFERENCE folder beside the kernel distance (KID) and, for
the same number of images of it, precision and recall; then the floor: as many images of the first
REFERENCE as there are samples against the rest of it. Images are cropped to a centred square,
brought to `side` by the triangle filter (as the trainer does), and enlarged to 128 by bilinear
interpolation if they are smaller. Not comparable with a published FID, which uses Inception-V3, and
only with other distances of the same number of images.

Needs numpy and Pillow. The network is small enough for plain matrix products.
"""
import argparse
import json
import pathlib
import struct

import numpy
from PIL import Image

BGR_MEAN = numpy.array([103.939, 116.779, 123.68], numpy.float32)
BATCH = 64
ENLARGED = 128


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    dtypes = {"F32": numpy.float32, "F64": numpy.float64, "U8": numpy.uint8}
    return {
        name: numpy.frombuffer(
            data[8 + length + t["data_offsets"][0] : 8 + length + t["data_offsets"][1]],
            dtypes[t["dtype"]],
        ).reshape(t["shape"])
        for name, t in header.items()
        if name != "__metadata__"
    }


def convolution(x, weights, name, stride=1, pad=0):
    """x [n,h,w,c], kernel [o,i,k,k]."""
    w, b = weights[name + ".weight"], weights[name + ".bias"]
    o, i, k, _ = w.shape
    x = numpy.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = numpy.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))
    windows = windows[:, ::stride, ::stride]
    n, h, wide = windows.shape[:3]
    columns = numpy.ascontiguousarray(windows).reshape(n * h * wide, i * k * k)
    return numpy.maximum(columns @ w.reshape(o, -1).T + b, 0).reshape(n, h, wide, o)


def pool(x):
    windows = numpy.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    return windows[:, ::2, ::2].max((-1, -2))


def features(weights, images):
    """images [n,h,w,3] RGB 0..255 to [n,512]."""
    x = images[..., ::-1].astype(numpy.float32) - BGR_MEAN
    x = pool(convolution(x, weights, "conv1", stride=2))
    for i in range(2, 10):
        squeezed = convolution(x, weights, f"fire{i}.squeeze1x1")
        x = numpy.concatenate(
            [
                convolution(squeezed, weights, f"fire{i}.expand1x1"),
                convolution(squeezed, weights, f"fire{i}.expand3x3", pad=1),
            ],
            axis=-1,
        )
        if i in (3, 5):
            x = pool(x)
    return x.mean((1, 2))


def load(path, side):
    image = Image.open(path).convert("RGB")
    square = min(image.size)
    left, top = (image.width - square) // 2, (image.height - square) // 2
    image = image.crop((left, top, left + square, top + square))
    image = image.resize((side, side), Image.Resampling.BILINEAR)
    if side < ENLARGED:
        image = image.resize((ENLARGED, ENLARGED), Image.Resampling.BILINEAR)
    return numpy.asarray(image)


def folder_features(weights, folder, side):
    paths = sorted(
        p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg")
    )
    if len(paths) < 2:
        raise SystemExit(f'no images in "{folder}"')
    return numpy.concatenate(
        [
            features(weights, numpy.stack([load(p, side) for p in paths[i : i + BATCH]]))
            for i in range(0, len(paths), BATCH)
        ]
    ).astype(numpy.float64)


def distance(a, b):
    """|mu_a - mu_b|^2 + tr(A + B - 2 (A B)^1/2), with covariances over n - 1 (Heusel et al. 2017).
    The trace of the root is the sum of the roots of the eigenvalues of A B."""
    cov_a, cov_b = numpy.cov(a, rowvar=False), numpy.cov(b, rowvar=False)
    values, vectors = numpy.linalg.eigh(cov_a)
    root = vectors * numpy.sqrt(numpy.maximum(values, 0)) @ vectors.T
    roots = numpy.sqrt(numpy.maximum(numpy.linalg.eigvalsh(root @ cov_b @ root), 0))
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + numpy.trace(cov_a) + numpy.trace(cov_b) - 2 * roots.sum()


def kernel_distance(a, b):
    """KID: the unbiased squared maximum mean discrepancy of all images under the kernel
    (x.y / d + 1)^3 (Binkowski et al. 2018, arXiv:1801.01401)."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):
        k = kernel(x, x)
        return (k.sum() - numpy.trace(k)) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()


def coverage(points, by, k=3):
    """The part of the points that lie within the distance of some point of `by` to its k-th
    neighbour (Kynkaanniemi et al. 2019, arXiv:1904.06991): precision of samples by real images,
    recall of real images by samples."""

    def distances(x, y):
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        return numpy.sqrt(numpy.maximum(squares, 0))

    own = distances(by, by)
    numpy.fill_diagonal(own, numpy.inf)
    radius = numpy.partition(own, k - 1, axis=1)[:, k - 1]
    return (distances(points, by) <= radius).any(1).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", required=True)
    parser.add_argument("--check", help="golden features: compare and stop")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("folders", nargs="*", metavar="FOLDER")
    arguments = parser.parse_args()
    weights = read_safetensors(arguments.features)
    if arguments.check:
        golden = read_safetensors(arguments.check)
        error = numpy.abs(features(weights, golden["input"]) - golden["fire9_mean"]).max()
        print(f"largest difference {error:.2g} of {numpy.abs(golden['fire9_mean']).max():.3g}")
        raise SystemExit(1 if error > 1e-3 else 0)
    if len(arguments.folders) < 2:
        parser.error("needs a folder of samples and one of references")
    samples, *references = [
        folder_features(weights, folder, arguments.side) for folder in arguments.folders
    ]
    n = len(samples)
    for folder, reference in zip(arguments.folders[1:], references):
        some = reference[numpy.random.default_rng(0).permutation(len(reference))[:n]]
        print(
            f"{folder}: {distance(samples, reference):.1f}  (n = {n} against {len(reference)})"
            f"  KID {kernel_distance(samples, reference):.4f}"
            f"  precision {coverage(samples, some):.3f}  recall {coverage(some, samples):.3f}"
        )
    first = references[0]
    shuffled = first[numpy.random.default_rng(0).permutation(len(first))]
    held_out, rest = shuffled[:n], shuffled[n:]
    if len(rest) >= n:
        print(f"floor: {distance(held_out, rest):.1f}  (n = {n} real against {len(rest)} real)")
    for folder, reference in zip(arguments.folders[2:], references[1:]):
        print(f"{folder} against {arguments.folders[1]}: {distance(reference, first):.1f}")


if __name__ == "__main__":
    main()
