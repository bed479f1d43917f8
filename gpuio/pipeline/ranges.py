"""NVTX ranges, which NVIDIA's profilers draw beside the GPU's work, where the package is there."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping
from typing import Any

__all__ = ["RANGES", "open_ranges"]

RANGES = ("read", "make", "next")  # reading a batch, making a share, handing a batch out
_NONE = contextlib.nullcontext()


def open_ranges(*, wanted: bool = True) -> Mapping[str, contextlib.AbstractContextManager[Any]]:
    """Return the ranges by name, each to be entered by any thread, any number of times.

    They do nothing where the package `nvtx` (``pip install 'gpuio[nvtx]'``) is not there, or where
    they are not wanted.
    """
    if not wanted or importlib.util.find_spec("nvtx") is None:
        return dict.fromkeys(RANGES, _NONE)
    import nvtx

    return {name: nvtx.annotate(name, domain="gpuio") for name in RANGES}
