"""Options about decoded images that are kept from epoch to epoch."""

from __future__ import annotations

import math
import numbers
import re
from typing import Any

import attrs
import numpy as np

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["CacheOptions", "cache_size"]

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:([kmgt]i?)?(b)?|(%))", re.IGNORECASE)


def cache_size(value: Any) -> int | float:
    """Return bytes (int), or a share of what is free (float, above 0 to 1).

    Whole numbers are bytes, "40GiB", "40 GB" and "500m" too; 0.5, "0.5" and "50%" are shares.
    """
    expected = "expected bytes, a text such as '40GiB', or a share of what is free such as 0.5"
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{expected}, got {value!r}")  # noqa: TRY004
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{expected}, got {value!r}")
        number, unit, byte, percent = found.groups()
        if percent:
            value = float(number) / 100
        elif unit or byte or "." not in number:
            value = math.floor(float(number) * _UNITS[(unit or "").lower()])
        else:
            value = float(number)
    if isinstance(value, numbers.Integral):
        if value < 1:
            raise ValueError(f"{expected}, got {value!r}")
        return int(value)
    if not isinstance(value, numbers.Real) or not 0 < float(value) <= 1:
        raise ValueError(f"{expected}, got {value!r}")
    return float(value)


@attrs.frozen(kw_only=True, slots=False)
class CacheOptions:
    """Options of our own, of all record iterators, about a cache of decoded images."""

    cache: str = option(
        "off",
        convert.choice("off", "host", "disk", "device"),
        "Keep decoded images from the first epoch on, so that later ones neither read nor decode "
        "them: 'host' in memory, 'disk' in a file that outlives the iterator, 'device' in the "
        "memory of the GPU that makes batches. Pixels stay the same to the bit, and random crops "
        "stay random.",
        ours=True,
    )
    cache_size: int | float = option(
        0.5,
        cache_size,
        "Room for the cache: bytes, a text such as '40GiB', or a share of what is free when the "
        "iterator is made. Of a set that does not fit, a fixed part is kept.",
        unit="bytes",
        ours=True,
    )
    cache_dir: str = option(
        "",
        convert.path,
        "The folder of the cache's file. With cache='host' it should lie in memory, as /dev/shm "
        "does: the processes of a machine then share one cache. cache='disk' needs it.",
        ours=True,
    )
    cache_resize: int = option(
        0,
        convert.integer(0),
        "Resize an image whose shorter edge is longer than this to it, once, before anything else, "
        "so that more images fit. That changes pixels, of random crops above all: they are cut "
        "from the smaller image. 0 keeps images as they are.",
        unit="pixels",
        ours=True,
    )
