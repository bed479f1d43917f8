"""Draw pictures side by side into a PNG; shared by the examples."""

from __future__ import annotations

import math

import numpy as np


def draw(path, pictures, titles, columns=4, size=2.0):
    """Draw uint8 pictures, [H, W, 3] R G B or [H, W], with a title over each."""
    import matplotlib as mpl

    mpl.use("Agg")  # into files: no window is needed
    from matplotlib import pyplot as plt

    rows = math.ceil(len(pictures) / columns)
    figure, places = plt.subplots(
        rows, columns, figsize=(size * columns, (size + 0.3) * rows), squeeze=False
    )
    for place in places.flat:
        place.axis("off")
    for place, picture, title in zip(places.flat, pictures, titles, strict=False):
        place.imshow(picture, cmap="gray", vmin=0, vmax=255)
        place.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    print("drawn:", path)


def as_pictures(data):
    """Return a batch's [B, C, H, W] array as uint8[B, H, W, C], or [B, H, W] if it is gray."""
    pictures = data.asnumpy().clip(0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return pictures[..., 0] if pictures.shape[3] == 1 else pictures
