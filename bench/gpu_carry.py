"""Make the pictures that the GPU's benchmarks take along: 30 photos and 300 faces of 112 x 112.

    python bench/gpu_carry.py DATA [--images FOLDER]

Photos are taken from FOLDER as they are, evenly over its sorted files, or made; faces are always
made, with as many bits per pixel as a photo. About 5 MiB in all, of ImageNet's photos.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

PHOTOS, FACES = 30, 300


def carry(data, images=None, photos=PHOTOS, faces=FACES):
    """Fill DATA/photos and DATA/faces; what is there and complete stays."""
    from gpuio.tools.photos import make_photos

    there = {"photos": photos, "faces": faces}
    for name, count in there.items():
        folder = Path(data) / name
        if folder.is_dir() and len(list(folder.iterdir())) == count:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as half:
            if images and name == "photos":
                files = sorted(p for p in Path(images).rglob("*") if _is_jpeg(p))
                files = [files[k * len(files) // count] for k in range(count)]
            else:
                files = make_photos(half, count, size=(112, 112) if name == "faces" else (375, 500))
            flat = _made(Path(half) / "flat")
            for number, path in enumerate(files):
                shutil.copyfile(path, flat / f"{number:03d}.jpg")
            flat.replace(folder)
    return sum(path.stat().st_size for path in Path(data).rglob("*.jpg"))


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_jpeg(path):
    return path.suffix.lower() in (".jpg", ".jpeg")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder, made if missing")
    parser.add_argument("--images", help="folder of JPEG files, searched recursively")
    args = parser.parse_args(argv)
    size = carry(args.data, args.images)
    print(f"{PHOTOS} photos and {FACES} faces, {size / 2**20:.1f} MiB in {args.data}")


if __name__ == "__main__":
    sys.exit(main())
