"""What the benchmarks work on: their common options, and record files of photos or cuts of them."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Packed", "cut", "enlarged", "main_job", "packed", "parser"]

_KINDS = {".jpg", ".jpeg", ".png"}
_CUTS = 20  # different cuts of a photo
_LARGE = 90  # quality of an enlarged photo's JPEG file
_QUALITY = 95  # of a cut's JPEG file; 95 = OpenCV's default


class Packed(NamedTuple):
    """A record file and its index, warm in the page cache."""

    rec: str
    idx: str
    images: int
    about: dict[str, Any]  # for the report


def parser(question: str, *, rounds: int = 7) -> argparse.ArgumentParser:
    """Return the options that all benchmarks have."""
    made = argparse.ArgumentParser(description=question.splitlines()[0])
    made.add_argument("--images", metavar="DIR", help="photos to work on; made ones without it")
    made.add_argument("--toy", action="store_true", help="seconds, to see that it runs")
    made.add_argument(
        "--out", metavar="DIR", default=str(Path(__file__).with_name("results")), help="for JSON"
    )
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    made.add_argument("--threads", type=int, default=allowed, help="default: cores allowed")
    made.add_argument("--rounds", type=int, default=rounds, help="measured rounds")
    return made


@contextmanager
def packed(
    images: str | None,
    count: int,
    seed: int = 0,
    *,
    side: int | None = None,
    megapixels: float | None = None,
    grain: float = 0,
) -> Iterator[Packed]:
    """Pack photos into a temporary record file; a folder is a class.

    Parameters
    ----------
    images : str or None        a folder with folders of photos; None: photos are made
    count : int                 records; the photos are repeated until there are so many
    side : int, optional        pixels; each record is a square cut of a photo, see `cut`, instead
                                of the photo as it is
    megapixels : float, optional
                            each record is a photo enlarged to so many, see `enlarged`
    grain : float           of the enlarged photos
    """
    from gpuio import recordio
    from gpuio.tools.photos import make_photos

    with tempfile.TemporaryDirectory(prefix="gpuio-bench-") as folder:
        if images is None:
            made = min(count, 200) if side is None else max(1, min(count // _CUTS, 200))
            files = make_photos(Path(folder) / "photos", made, 20, seed)
        else:
            files = sorted(p for p in Path(images).rglob("*") if p.suffix.lower() in _KINDS)
            if not files:
                raise SystemExit(f"--images {images}: no .jpg, .jpeg or .png file below it")
        classes = sorted({file.parent.name for file in files})
        rec, idx = str(Path(folder) / "photos.rec"), str(Path(folder) / "photos.idx")
        with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
            for number in range(count):
                file, turn = files[number % len(files)], number // len(files)
                blob = file.read_bytes()
                if side is not None:
                    blob = cut(blob, side, turn)
                if megapixels is not None:
                    blob = enlarged(blob, megapixels, grain)
                header = recordio.IRHeader(0, float(classes.index(file.parent.name)), number, 0)
                writer.write_idx(number, recordio.pack(header, blob))
        with open(rec, "rb") as file:  # just written, so in the page cache; read to be sure
            while file.read(1 << 24):
                pass
        about = {
            "photos": "made" if images is None else "given",
            "files": len(files),
            "records": count,
            "mean_bytes": round(os.path.getsize(rec) / count),
        }
        if side is not None:
            about["cut to"] = f"{side}x{side}, JPEG quality {_QUALITY}"
        if megapixels is not None:
            about["enlarged to"] = f"{megapixels} megapixels, grain {grain}, JPEG quality {_LARGE}"
        yield Packed(rec, idx, count, about)


def cut(blob: bytes, side: int, turn: int) -> bytes:
    """Return a JPEG file of a photo's centre, `side` pixels wide and high.

    The cut of turn 0 is as wide as the photo's shorter edge; those of later turns are smaller, down
    to half of it.
    """
    import cv2

    photo = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
    height, width = photo.shape[:2]
    edge = round(min(height, width) * (1 - turn % _CUTS / (2 * _CUTS)))
    y, x = (height - edge) // 2, (width - edge) // 2
    centre = photo[y : y + edge, x : x + edge]
    small = cv2.resize(centre, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def enlarged(blob: bytes, megapixels: float, grain: float = 0) -> bytes:
    """Return a JPEG file of a photo, enlarged to so many megapixels.

    Its sides are multiples of 16 pixels, as a camera's are; what is beyond is cut off. `grain` is
    the standard deviation of gray noise that is added, levels of 255.
    """
    import cv2

    photo = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
    by = (megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
    large = cv2.resize(photo, None, fx=by, fy=by, interpolation=cv2.INTER_CUBIC)
    large = large[: large.shape[0] // 16 * 16, : large.shape[1] // 16 * 16]
    if grain:
        noise = np.random.default_rng(len(blob)).normal(0, grain, (*large.shape[:2], 1))
        large = np.clip(large + noise, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, _LARGE])[1].tobytes()


def main_job(threads: int, batch_size: int) -> dict[str, Any]:
    """Return the options of ImageNet's evaluation: shorter edge 256, centre crop 224, floats."""
    return {
        "data_shape": [3, 224, 224],
        "batch_size": batch_size,
        "resize": 256,
        "preprocess_threads": threads,
        "mean_r": 123.68,
        "mean_g": 116.779,
        "mean_b": 103.939,
        "std_r": 58.393,
        "std_g": 57.12,
        "std_b": 57.375,
        "verbose": False,
    }
