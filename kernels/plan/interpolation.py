"""INTERPOLATIONS: all that the drawing, the kernels and the options know of each interpolation.

Invariant: a code is its place in the table. The first five are OpenCV's and MXNet's; the kernels
know them by name. Each of the others is a filter with tables of taps: an option asks for it in
place of one of the five, and what makes it is named here, imported and so compiled when a plan
first has it.
"""

# ruff: noqa: PLC0415 -- a filter is compiled when a plan first has it
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpuio.kernels.plan.layout import BILINEAR, LANCZOS4

__all__ = [
    "CODES",
    "FILTERS",
    "INTERPOLATIONS",
    "OPENCV_COUNT",
    "Interpolation",
    "cuda_cases",
    "known",
]


class Interpolation(NamedTuple):
    """One interpolation.

    Attributes
    ----------
    name : str          of its code in the CUDA source
    meaning : str       as messages call it
    option : str        the option that asks for it; "" of OpenCV's, as of all that follow
    replaces : int      the code whose resizes it then makes; an affine warp keeps that code
    file : str          in kernels/cuda, which defines `cuda`
    cuda : str          device template of (view, y, x) for the channels
    functions : callable
                        returns the CPU's two: the taps of one axis, of (dst, src), int32[dst, 2 +
                        k], first source pixel, count and weights; and the resize that takes two
                        such tables, see `antialias.resize_triangle`
    """

    name: str
    meaning: str
    option: str = ""
    replaces: int = -1
    file: str = ""
    cuda: str = ""
    functions: Callable[[], tuple[Any, Any]] = lambda: (None, None)


def _triangle() -> tuple[Any, Any]:
    from gpuio.kernels.cpu.antialias import resize_triangle, triangle_table

    return triangle_table, resize_triangle


INTERPOLATIONS = (
    Interpolation("NEAREST", "nearest"),
    Interpolation("BILINEAR", "bilinear"),
    Interpolation("CUBIC", "bicubic"),
    Interpolation("AREA", "area"),
    Interpolation("LANCZOS4", "Lanczos"),
    Interpolation(
        "TRIANGLE",  # Pillow's bilinear, whose filter is as wide as the image shrinks
        "Pillow's bilinear",
        option="antialias",
        replaces=BILINEAR,
        file="antialias.cu",
        cuda="triangle",
        functions=_triangle,
    ),
)
CODES = {found.name: code for code, found in enumerate(INTERPOLATIONS)}
OPENCV_COUNT = LANCZOS4 + 1  # how many are OpenCV's
FILTERS = dict(enumerate(INTERPOLATIONS[OPENCV_COUNT:], OPENCV_COUNT))  # by code


def known(inter: Any, *, warp: bool = False) -> npt.NDArray[np.bool_]:
    """Say which numbers are codes, of those that a warp may have if `warp`."""
    count = OPENCV_COUNT if warp else len(INTERPOLATIONS)
    found: npt.NDArray[np.bool_] = (inter >= 0) & (inter < count)
    return found


def cuda_cases() -> str:
    """Return the definition of FILTER_CASES, the cases of a switch that makes a pixel."""
    cases = (f"case {i.name}: return {i.cuda}<C>(v, row, column);" for i in FILTERS.values())
    return f"#define FILTER_CASES {' '.join(cases)}\n"
