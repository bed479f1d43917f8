"""Boxes that move with the pixels: ImageDetIter on pictures of known shapes.

python examples/boxes.py --out FOLDER
"""

import argparse
from pathlib import Path

import numpy as np
from drawing import draw

import gpuio as mx

NAMES = {0: "disc", 1: "square"}


def scene(rng, height=240, width=320):
    """Return a picture, uint8[height, width, 3] R G B, and its objects, (id, x0, y0, x1, y1)."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([90 + y * 0.3, 110 + x * 0.2, 160 - y * 0.2], axis=2)
    objects = []
    for place in range(2):
        kind, reach = int(rng.integers(2)), int(rng.integers(25, 50))
        row = int(rng.integers(reach, height - reach))
        column = int(rng.integers(reach, width // 2 - reach)) + place * width // 2
        far = (
            np.hypot(y - row, x - column)
            if kind == 0
            else np.maximum(abs(y - row), abs(x - column))
        )
        picture[far < reach] = rng.integers(0, 256, 3)
        box = (column - reach, row - reach, column + reach, row + reach)
        objects.append([kind, *np.divide(box, (width, height, width, height))])
    return picture.astype(np.uint8), objects


def main(argv=None):
    parser = argparse.ArgumentParser(description="Augment images with boxes.")
    parser.add_argument("--out", default="examples-out", help="folder for everything written")
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)
    rec, idx = str(out / "boxes.rec"), str(out / "boxes.idx")
    with mx.recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for key in range(12):
            picture, objects = scene(rng)
            # two numbers of header, five numbers an object, then the objects
            label = np.concatenate([[2, 5], *objects])
            header = mx.recordio.IRHeader(0, label, key, 0)
            packed = mx.recordio.pack_img(header, picture[:, :, ::-1], img_fmt=".png")
            writer.write_idx(key, packed)

    it = mx.image.ImageDetIter(
        batch_size=4,
        data_shape=(3, 200, 200),
        path_imgrec=rec,
        path_imgidx=idx,
        rand_crop=0.7,
        rand_pad=0.7,
        rand_mirror=True,
        min_object_covered=0.9,
        aspect_ratio_range=(0.7, 1.4),
        area_range=(0.3, 2.0),
        rng=5,
    )
    with it:
        batch = next(it)
        print("data:", batch.data[0].shape, "label:", batch.label[0].shape)
        print("objects of the first image:", batch.label[0][0])
        it.reset()
        drawn = list(it.draw_next(color=(255, 0, 0), id2labels=NAMES))
    pictures = [picture[:, :, ::-1] for picture in drawn]  # B G R, as OpenCV has it
    draw(out / "boxes.png", pictures, [f"image {n}" for n in range(len(pictures))], size=2.4)


if __name__ == "__main__":
    main()
