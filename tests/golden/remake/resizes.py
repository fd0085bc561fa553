#!/usr/bin/env python3
"""How pictures are brought to the size of a feature network, by Pillow and by the formula of TensorFlow 1.

Run, it writes ../data/resize.safetensors; remake.py makes the numbers again and compares.
"""

import numpy as np
from PIL import Image

from vectors import DATA, uniforms, write

# Side of a picture and what it is brought to: up, down, down beyond the support, the same, from a pixel.
SIZES = ((7, 11), (11, 7), (32, 41), (40, 9), (5, 5), (1, 4))


def picture(side, seed):
    """[side,side,3] u8: noise, with many bytes at the ends, where a bicubic filter overshoots."""
    values = 128 + 220 * uniforms(side * side * 3, 9100 + seed)
    return np.clip(np.floor(values), 0, 255).astype(np.uint8).reshape(side, side, 3)


def by_pillow(x, to, how):
    """Channel by channel, not rounded, cut off as clean-fid does."""
    planes = [Image.fromarray(x[:, :, c].astype(np.float32)).resize((to, to), how) for c in range(3)]
    return np.stack([np.asarray(plane) for plane in planes], -1).clip(0, 255)


def by_tensorflow(x, to):
    """resize_bilinear() without align_corners and half_pixel_centers: pixel i lies at i * from / to."""
    side = len(x)
    low = np.arange(to) * side // to
    high, part = np.minimum(low + 1, side - 1), np.arange(to) * side / to - low
    x = x.astype(np.float64)
    rows = x[low] * (1 - part)[:, None, None] + x[high] * part[:, None, None]
    return rows[:, low] * (1 - part)[:, None] + rows[:, high] * part[:, None]


def resizes():
    made = {}
    for seed, (side, to) in enumerate(SIZES):
        x = picture(side, seed)
        made |= {f"{side}.{to}.x": x,
                 f"{side}.{to}.bytes": by_pillow(x, to, Image.Resampling.BILINEAR),
                 f"{side}.{to}.bicubic": by_pillow(x, to, Image.Resampling.BICUBIC),
                 f"{side}.{to}.tensorflow": by_tensorflow(x, to).astype(np.float32)}  # fmt: skip
    return made


if __name__ == "__main__":
    write(DATA / "resize.safetensors", resizes())
