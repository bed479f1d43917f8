"""Make small record files of images with boxes: each box is a rectangle of one plain colour."""

import numpy as np

from support import making

COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0))  # B, G, R, of the objects 0, 1, 2


def label(objects, header=(), width=5):
    """Return a packed label: [A, B, header, objects], float32."""
    rows = [list(one) + [0.5] * (width - 5) for one in objects]
    return np.float32([2 + len(header), width, *header, *np.ravel(rows)])


def scene(height, width, objects):
    """Return uint8[height, width, 3], B, G, R: black, and a rectangle for each object."""
    image = np.zeros((height, width, 3), np.uint8)
    for identity, left, top, right, bottom in objects:
        rows = slice(round(top * height), round(bottom * height))
        image[rows, round(left * width) : round(right * width)] = COLOURS[int(identity)]
    return image


def objects_of(number):
    """Return one to three objects that do not touch, of the number of a record."""
    rng = np.random.default_rng(number)
    made = []
    for identity in range(1 + number % 3):
        left = identity / 3 + rng.uniform(0, 0.1)
        top = rng.uniform(0, 0.5)
        made.append(
            (identity, left, top, left + rng.uniform(0.1, 0.2), top + rng.uniform(0.2, 0.5))
        )
    return made


def write(folder, count=10, size=(60, 80), name="boxes", **form):
    """Write `count` scenes into folder/name.rec and .idx; record i has id 100 + i."""
    scenes = [objects_of(i) for i in range(count)]
    return making.write_rec(
        folder,
        [making.png(scene(*size, one)) for one in scenes],
        [label(one, **form) for one in scenes],
        name=name,
        ids=[100 + i for i in range(count)],
    )
