"""VIEW: what one step of a plan reads, for one image, and which window of its result is wanted.

Orientation and cropping cost nothing: only the start address and the strides change. What the host
can work out, it does here, for all images at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.plan.interpolation import FILTERS
from gpuio.kernels.plan.layout import AREA, BILINEAR, CUBIC, LANCZOS4, NEAREST
from gpuio.kernels.taps import rounded_values, taps

__all__ = [
    "BORDER",
    "COMMON",
    "COPY",
    "EXPAND",
    "LETTERBOX",
    "OPEN",
    "POST_AFFINE",
    "PRE_COLOUR",
    "VIEW",
    "WARP",
    "Taps",
    "oriented",
    "settle",
]

# kinds of a view beside the interpolations
COPY, HALVE, WARP, BORDER, SHRINK, SHRINK_WHOLE, POST_AFFINE, PRE_COLOUR, EXPAND, LETTERBOX = range(
    10, 20
)

COMMON = (COPY, NEAREST, BILINEAR, HALVE)  # what the last step can make
OPEN = 1 << 63  # marks an offset where an address is to stand

VIEW = np.dtype(
    [
        ("source", np.uint64),  # address of pixel (0, 0); 0 = no image
        ("step_y", np.int64),  # bytes from a pixel to the one below; negative where flipped
        ("step_x", np.int64),
        ("target", np.uint64),  # where a stage writes its packed uint8[h, w, C]
        ("scale_y", np.float64),  # source pixels per destination pixel
        ("scale_x", np.float64),
        ("taps_y", np.uint64),  # Lanczos: const int[dst][9], first source pixel and weights;
        # filters: const int, the length of a row, and rows of first, count, weights
        ("taps_x", np.uint64),  # the same for columns; warp: const short[1024][k * k]
        ("kind", np.int32),
        ("src_h", np.int32),
        ("src_w", np.int32),
        ("dst_h", np.int32),  # size of the whole result, of which the window is made
        ("dst_w", np.int32),
        ("y", np.int32),  # the window in the result
        ("x", np.int32),
        ("h", np.int32),
        ("w", np.int32),
        ("inter", np.int32),  # interpolation of a warp
        ("rounded", np.int32),  # bicubic: values of a result's row that are summed in float32
        ("swap", np.int32),  # what it reads has its channels in R, G, B order
        ("plain", np.int32),  # of the last step: it reads neighbours and only normalises them
    ],
    align=True,
)


def oriented(
    rows: npt.NDArray[Any], addresses: Any, channels: int, swapped: Any
) -> npt.NDArray[Any]:
    """Return views of the decoded images, their EXIF orientation applied by the way of reading."""
    views = np.zeros(len(rows), VIEW)
    views["swap"] = swapped
    height, width = rows["src_h"].astype(np.int64), rows["src_w"].astype(np.int64)
    orient = rows["orient"]
    up = np.isin(orient, (3, 4, 6, 7))
    left = np.isin(orient, (2, 3, 7, 8))
    turned = orient >= 5
    below, right = width * channels, np.full(len(rows), channels, np.int64)
    corner = up * (height - 1) * below + left * (width - 1) * right
    below, right = np.where(up, -below, below), np.where(left, -right, right)
    views["source"] = np.where(addresses != 0, addresses + corner.astype(np.uint64), 0)
    views["step_y"], views["step_x"] = (
        np.where(turned, right, below),
        np.where(turned, below, right),
    )
    views["dst_h"], views["dst_w"] = (
        np.where(turned, width, height),
        np.where(turned, height, width),
    )
    views["kind"] = COPY
    return views


def settle(views: npt.NDArray[Any], fields: Iterable[str], base: int) -> None:
    """Make offsets, whose highest bit is set, addresses from `base` on."""
    for field in fields:
        inside = views[field] >> np.uint64(63) != 0
        views[field][inside] ^= np.uint64(OPEN)
        views[field][inside] += np.uint64(base)


class Taps:
    """Tables that the host works out: weights of Lanczos resizes and warps, each once per batch."""

    def __init__(self) -> None:
        self.parts = [np.zeros(0, np.uint8)]
        self._offsets: dict[Any, int] = {}
        self._size = 0

    def resize(self, views: npt.NDArray[Any], channels: int) -> None:
        """Choose how each view resizes, and give it its tables."""
        _resize(views)
        views["rounded"] = np.where(
            views["kind"] == CUBIC, rounded_values(views["dst_w"], channels, CUBIC), 0
        )
        for k in np.flatnonzero(views["kind"] == LANCZOS4).tolist():
            for axis, size in (("y", "h"), ("x", "w")):
                dst, src = int(views[f"dst_{size}"][k]), int(views[f"src_{size}"][k])
                key = (dst, src, axis)
                if key not in self._offsets:
                    index, weight = taps(dst, src, LANCZOS4, clamp=axis == "x")
                    self._add(key, np.concatenate([index[:, :1], weight], 1, dtype=np.int32))
                views[f"taps_{axis}"][k] = self._offsets[key] | OPEN

        for code, found in FILTERS.items():
            for k in np.flatnonzero(views["kind"] == code).tolist():
                for axis, size in (("y", "h"), ("x", "w")):
                    lengths = (int(views[f"dst_{size}"][k]), int(views[f"src_{size}"][k]))
                    if (code, lengths) not in self._offsets:
                        table = found.functions()[0](*lengths)
                        self._add((code, lengths), np.append(np.int32(table.shape[1]), table))
                    views[f"taps_{axis}"][k] = self._offsets[code, lengths] | OPEN

    def warp(self, views: npt.NDArray[Any]) -> None:
        """Give each view of a warp the weights of its interpolation."""
        for method in np.unique(views["inter"]).tolist():
            if method not in self._offsets:
                from gpuio.kernels.cpu.warp import warp_weights  # noqa: PLC0415 -- compiles kernels

                self._add(method, warp_weights(method))
            views["taps_x"][views["inter"] == method] = self._offsets[method] | OPEN

    def _add(self, key: Any, table: npt.NDArray[Any]) -> None:
        """Keep a table, aligned to 16 bytes."""
        flat = np.zeros(-(-table.nbytes // 16) * 16, np.uint8)
        flat[: table.nbytes] = np.ascontiguousarray(table).reshape(-1).view(np.uint8)
        self._offsets[key] = self._size
        self.parts.append(flat)
        self._size += flat.size


def _resize(views: npt.NDArray[Any]) -> None:
    """Choose how each view resizes, from its sizes and its interpolation."""
    src_h, src_w, dst_h, dst_w = (views[name] for name in ("src_h", "src_w", "dst_h", "dst_w"))
    views["scale_y"] = 1.0 / (dst_h.astype(np.float64) / src_h)
    views["scale_x"] = 1.0 / (dst_w.astype(np.float64) / src_w)
    inter = views["inter"]
    kind = inter.copy()
    shrinks = (inter == AREA) & (src_h >= dst_h) & (src_w >= dst_w)
    kind[shrinks] = SHRINK
    kind[shrinks & (src_h % dst_h == 0) & (src_w % dst_w == 0)] = SHRINK_WHOLE
    halves = (src_h == 2 * dst_h) & (src_w == 2 * dst_w)
    kind[halves & ((inter == AREA) | (inter == BILINEAR))] = HALVE
    kind[(src_h == dst_h) & (src_w == dst_w)] = COPY
    views["kind"] = kind
