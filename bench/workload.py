"""What the benchmarks work on: their common options, and record files of photos."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Packed", "main_job", "packed", "parser"]

_KINDS = {".jpg", ".jpeg", ".png"}


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
def packed(images: str | None, count: int, seed: int = 0) -> Iterator[Packed]:
    """Pack photos as they are into a temporary record file; a folder is a class.

    Parameters
    ----------
    images : str or None        a folder with folders of photos; None: photos are made
    count : int                 records; the photos are repeated until there are so many
    """
    from gpuio import recordio
    from gpuio.tools.photos import make_photos

    with tempfile.TemporaryDirectory(prefix="gpuio-bench-") as folder:
        if images is None:
            files = make_photos(Path(folder) / "photos", min(count, 200), 20, seed)
        else:
            files = sorted(p for p in Path(images).rglob("*") if p.suffix.lower() in _KINDS)
            if not files:
                raise SystemExit(f"--images {images}: no .jpg, .jpeg or .png file below it")
        classes = sorted({file.parent.name for file in files})
        rec, idx = str(Path(folder) / "photos.rec"), str(Path(folder) / "photos.idx")
        with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
            for number in range(count):
                file = files[number % len(files)]
                header = recordio.IRHeader(0, float(classes.index(file.parent.name)), number, 0)
                writer.write_idx(number, recordio.pack(header, file.read_bytes()))
        with open(rec, "rb") as file:  # just written, so in the page cache; read to be sure
            while file.read(1 << 24):
                pass
        about = {
            "photos": "made" if images is None else "given",
            "files": len(files),
            "records": count,
            "mean_bytes": round(os.path.getsize(rec) / count),
        }
        yield Packed(rec, idx, count, about)


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
