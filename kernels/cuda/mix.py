"""Mixing the rows of a batch on a GPU: the table and the launch of `mix.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.kernels.cuda.launch_plan import BLOCK, Launch

__all__ = ["MIX", "Mixing", "cycles"]

MIX = np.dtype(
    [
        ("data", np.uint64),  # T[batch][size]
        ("order", np.uint64),  # const int[rows]: see `cycles`
        ("size", np.int64),  # elements of a row
        ("count", np.int64),  # elements of a row that are mixed
        ("rows", np.int32),
        ("share", np.float32),  # of a row's own values
        ("rest", np.float32),  # of its partner's
        ("channels", np.int32),
        ("height", np.int32),
        ("width", np.int32),
        ("nhwc", np.int32),
        ("box_y", np.int32),
        ("box_x", np.int32),
        ("box_h", np.int32),  # 0: no box, everything is mixed
        ("box_w", np.int32),
    ],
    align=True,
)

_ALIGN = 16  # bytes, of the order behind the table
_BLOCKS = 4096  # at most; a thread takes several elements of a large row


def cycles(partner: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the rows that have another partner, cycle by cycle.

    Parameters
    ----------
    partner : int64[B]      a permutation

    Returns
    -------
    int32[n]                each row stands in front of its partner; the first row r of a cycle,
                            which is the partner of its last, stands as ~r
    """
    left = {row for row, other in enumerate(partner.tolist()) if row != other}
    order = []
    while left:
        row = min(left)
        order.append(~row)
        left.discard(row)
        while (row := int(partner[row])) in left:
            order.append(row)
            left.discard(row)
    return np.array(order, np.int32)


class Mixing:
    """One batch's mix.

    Parameters
    ----------
    shape : (B, C, H, W) or (B, H, W, C)
    dtype : {"float32", "float16", "bfloat16"}
    partner : int64[B]          a permutation; a row that is its own partner stays as it is
    share : float               of a row's own values, 0 to 1
    box : None, or (y, x, height, width, layout)
                                what is taken from the partner instead, whole

    Attributes
    ----------
    table_bytes : int           device memory that `bind` needs
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        dtype: str,
        partner: npt.NDArray[Any],
        share: float,
        box: tuple[int, int, int, int, str] | None,
    ) -> None:
        self._order = cycles(partner)
        mix = self._mix = np.zeros(1, MIX)
        mix["size"] = mix["count"] = int(np.prod(shape[1:], dtype=np.int64))
        mix["rows"], mix["share"] = len(self._order), share
        mix["rest"] = np.float32(1) - np.float32(share)
        self._kernel = f"rows_mix_{dtype}"
        if box is not None:
            mix["nhwc"] = box[4] == "NHWC"
            c, h, w = (3, 1, 2) if box[4] == "NHWC" else (1, 2, 3)
            mix["channels"], mix["height"], mix["width"] = shape[c], shape[h], shape[w]
            mix["box_y"], mix["box_x"], mix["box_h"], mix["box_w"] = box[:4]
            mix["count"] = shape[c] * box[2] * box[3]
            self._kernel = f"rows_paste_{4 if dtype == 'float32' else 2}"
        self._start = -(-MIX.itemsize // _ALIGN) * _ALIGN
        self.table_bytes = self._start + self._order.nbytes

    def bind(self, tables: int, data: int) -> tuple[npt.NDArray[np.uint8], list[Launch]]:
        """Return the table's bytes (uint8[table_bytes], for address `tables`) and the launches.

        Parameters
        ----------
        tables, data : int      device addresses
        """
        mix = self._mix
        mix["data"], mix["order"] = data, tables + self._start
        host = np.zeros(self.table_bytes, np.uint8)
        host[: MIX.itemsize] = np.frombuffer(mix.tobytes(), np.uint8)
        host[self._start :] = np.frombuffer(self._order.tobytes(), np.uint8)
        count = int(mix["count"][0])
        if count == 0 or len(self._order) == 0:
            return host, []
        blocks = min(-(-count // BLOCK), _BLOCKS)
        return host, [Launch(self._kernel, (blocks, 1), (BLOCK,), (np.uint64(tables),))]
