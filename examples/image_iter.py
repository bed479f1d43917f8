"""Functions on single images, and ImageIter with augmenters in Python.

    python examples/image_iter.py --images FOLDER --out FOLDER

Without --images it makes photo-like pictures. Draws one image step by step, and a batch.
"""

import argparse
import random
from pathlib import Path

from drawing import as_pictures, draw

import gpuio as mx
from gpuio.tools.photos import make_photos


def steps(path, out):
    """Decode, resize and crop one image."""
    image = mx.image.imdecode(path.read_bytes())
    resized = mx.image.resize_short(image, 128)
    cropped, where = mx.image.random_crop(resized, (112, 112))
    centre, _ = mx.image.center_crop(resized, (112, 112))
    flipped = mx.image.HorizontalFlipAug(1.0)(centre)
    print("decoded", image.shape, "resized", resized.shape, "cropped at", where)
    stages = {
        "decoded": image,
        "resize_short": resized,
        "random_crop": cropped,
        "center_crop": centre,
        "flipped": flipped,
    }
    titles = [f"{name}, {one.shape[0]} x {one.shape[1]}" for name, one in stages.items()]
    draw(out / "steps.png", [one.asnumpy() for one in stages.values()], titles, columns=5)


class Framed(mx.image.Augmenter):
    """An augmenter of one's own: paint the image's border red."""

    def __call__(self, src):
        src = src.copy()
        for edge in (src[:4], src[-4:], src[:, :4], src[:, -4:]):
            edge[:] = (255, 0, 0)
        return src


def main(argv=None):
    parser = argparse.ArgumentParser(description="Augment images in Python.")
    parser.add_argument("--images", help="folder of class folders; made up if not given")
    parser.add_argument("--out", default="examples-out", help="folder for everything written")
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.images:
        kinds = {".jpg", ".jpeg", ".png"}
        files = sorted(p for p in Path(args.images).rglob("*") if p.suffix.lower() in kinds)
    else:
        files = make_photos(out / "images", 40, 8, size=(192, 256))

    random.seed(7)  # ImageIter draws from Python's generator, unless rng= gives it one
    steps(files[0], out)

    classes = sorted({file.parent.name for file in files})
    shape = (3, 112, 112)
    augmenters = [
        *mx.image.CreateAugmenter(
            shape, resize=128, rand_crop=True, rand_mirror=True, brightness=0.3, hue=0.1
        ),
        Framed(),
    ]
    print("augmenters:", [type(one).__name__ for one in augmenters])
    it = mx.image.ImageIter(
        batch_size=16,
        data_shape=shape,
        imglist=[[classes.index(file.parent.name), str(file)] for file in files],
        path_root="",
        shuffle=True,
        aug_list=augmenters,
        rng=7,  # every epoch is a function of this number
    )
    with it:
        batch = next(it)
        print("batch:", batch.data[0].shape, "labels:", batch.label[0].asnumpy())
        titles = [classes[int(label)] for label in batch.label[0].asnumpy()]
        draw(out / "image_iter.png", as_pictures(batch.data[0]), titles)


if __name__ == "__main__":
    main()
