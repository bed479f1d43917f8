"""From a folder of class folders to batches: im2rec, then ImageRecordIter.

    python examples/image_folder.py --images FOLDER --out FOLDER

Without --images it makes photo-like pictures. Draws a batch as it is, and one with augmentation.
"""

import argparse
from pathlib import Path

from drawing import as_pictures, draw

import gpuio as mx
from gpuio.tools import im2rec
from gpuio.tools.photos import make_photos

SHOWN = 16


def packed(images, out):
    """List the images of each class folder, pack them, and return the two paths to read."""
    prefix = str(out / "photos")
    listing = [prefix, str(images), "--list", "--recursive", "--exts", ".jpg", ".jpeg", ".png"]
    assert im2rec.main(listing) == 0  # prints the class folders and their numbers
    packing = [prefix, str(images), "--resize", "256", "--quality", "95", "--num-thread", "2"]
    assert im2rec.main([*packing, "--progress", "none"]) == 0
    return f"{prefix}.rec", f"{prefix}.idx"


def main(argv=None):
    parser = argparse.ArgumentParser(description="Pack a folder of images and read it.")
    parser.add_argument("--images", help="folder of class folders; made up if not given")
    parser.add_argument("--out", default="examples-out", help="folder for everything written")
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    images = args.images or out / "images"
    if not args.images:
        make_photos(images, 40, 8, size=(192, 256))
    rec, idx = packed(images, out)

    common = {
        "path_imgrec": rec,
        "path_imgidx": idx,
        "data_shape": (3, 224, 224),
        "batch_size": SHOWN,
        "last_batch": "partial",  # a short last batch, where MXNet borrows from the next epoch
    }
    with mx.io.ImageRecordIter(**common, resize=256) as it:
        batch = next(it)
        print("plain:", batch.data[0].shape, batch.label[0].shape, "batches an epoch:", len(it))
        titles = [f"class {label:.0f}" for label in batch.label[0].asnumpy()]
        draw(out / "plain.png", as_pictures(batch.data[0]), titles)

    with mx.io.ImageRecordIter(
        **common,
        shuffle=True,
        seed=1,
        rand_mirror=True,
        random_resized_crop=True,
        min_random_area=0.3,
        max_random_area=1.0,
        min_aspect_ratio=3 / 4,
        max_aspect_ratio=4 / 3,
        max_rotate_angle=10,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
    ) as it:
        batch = next(it)
        print("augmented:", batch.data[0].shape, "labels:", batch.label[0].asnumpy())
        titles = [f"class {label:.0f}" for label in batch.label[0].asnumpy()]
        draw(out / "augmented.png", as_pictures(batch.data[0]), titles)


if __name__ == "__main__":
    main()
