"""The jobs that peers are compared at: what is on disk, and what becomes of it.

Options are those of ImageRecordIter; each peer translates them into its own terms.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from workload import Packed, main_job, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COLOUR", "GEOMETRY", "JOBS", "STILL", "VARIANTS", "Job"]

# random resized crops with rotation and shear before them
GEOMETRY = {
    "resize": -1,
    "max_rotate_angle": 10,
    "max_shear_ratio": 0.125,
    "random_resized_crop": True,
    "min_random_area": 0.125,
    "min_aspect_ratio": 0.75,
    "max_aspect_ratio": 1.25,
    "rand_mirror": True,
}
COLOUR = {
    "random_h": 36,
    "random_s": 50,
    "random_l": 50,
    "pca_noise": 0.125,
    "brightness": 0.375,
    "contrast": 0.375,
    "saturation": 0.375,
}
# takes chance out of a job whose crops are not random, so that the images of all peers compare
STILL = {"shuffle": False, "rand_mirror": False}


class Job(NamedTuple):
    """One job.

    Attributes
    ----------
    what : str              for the report
    options : dict          of ImageRecordIter; the normalisation of `main_job` unless given here
    side : int or None      records are square cuts of so many pixels; None: photos as they are
    batch, records : int    images per batch, records per file
    epochs : int            per round, on one iterator
    """

    what: str
    options: dict[str, Any]
    side: int | None = None
    batch: int = 64
    records: int = 1600
    epochs: int = 1

    @property
    def random_crops(self) -> bool:
        """Whether images depend on chance even where STILL is added to the options."""
        return bool(self.options.get("random_resized_crop"))

    def all_options(self, threads: int, *, toy: bool = False) -> dict[str, Any]:
        """Return the whole of ImageRecordIter's options, without files."""
        batch = min(self.batch, 8) if toy else self.batch
        return main_job(threads, batch) | self.options

    @contextmanager
    def data(self, images: str | None, *, toy: bool = False) -> Iterator[Packed]:
        """Pack the records the job works on."""
        with packed(images, 32 if toy else self.records, side=self.side) as made:
            yield made


_SMALL = {"resize": -1, "shuffle": True, "rand_mirror": True}
_FACES = {f"{kind}_{c}": 127.5 for kind in ("mean", "std") for c in "rgb"}
_FACES |= _SMALL | {"data_shape": [3, 112, 112]}
_TINY = _SMALL | {
    "data_shape": [3, 32, 32],
    "mean_r": 125.3,  # CIFAR's means and deviations
    "mean_g": 123.0,
    "mean_b": 113.9,
    "std_r": 63.0,
    "std_g": 62.1,
    "std_b": 66.7,
}

JOBS: dict[str, Job] = {
    "photos": Job("shorter edge 256, centre crop 224", {}),
    "rrc": Job(
        "random resized crop 224, mirror",
        {
            "resize": -1,
            "random_resized_crop": True,
            "min_random_area": 0.08,
            "min_aspect_ratio": 0.75,
            "max_aspect_ratio": 4 / 3,
            "rand_mirror": True,
        },
    ),
    "faces": Job("112x112 faces: shuffle, mirror", _FACES, 112, batch=128, records=4096, epochs=2),
    # MXNet has two kinds of epoch here, which take turns: an even number is the mean of both
    "tiny": Job("32x32: shuffle, mirror", _TINY, 32, batch=128, records=8192, epochs=4),
    "tiny3": Job("32x32 in batches of 3: shuffle, mirror", _TINY, 32, 3, records=3000, epochs=2),
}

# of interest beside another version of gpuio only
VARIANTS: dict[str, Job] = {
    "faces-rotated": JOBS["faces"]._replace(
        what="faces, rotated up to 10 degrees", options=_FACES | {"max_rotate_angle": 10}
    ),
    "faces-colour": JOBS["faces"]._replace(
        what="faces with colour jitter", options=_FACES | COLOUR
    ),
    "faces-uint8": JOBS["faces"]._replace(
        what="faces to uint8, as they are",
        options=_SMALL
        | {"data_shape": [3, 112, 112], "dtype": "uint8"}
        | {f"{kind}_{c}": value for kind, value in (("mean", 0.0), ("std", 1.0)) for c in "rgb"},
    ),
    "geometry": Job("rotation, shear, random resized crop 224, mirror", GEOMETRY),
    "colour": Job("the same, and colour jitter", GEOMETRY | COLOUR),
    "bicubic": Job("shorter edge 256 by bicubic, centre crop 224", {"inter_method": 2}),
    "area": Job("shorter edge 256 by area, centre crop 224", {"inter_method": 3}),
}
