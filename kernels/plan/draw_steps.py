"""The steps of a plan that few jobs draw: each compiled when one does, and called by its address.

`draw` gets the addresses in SETTINGS. A step reads the settings' row and fills its row of the plan;
sizes go in and out as int64.
"""

from __future__ import annotations

from numba import from_dtype, types

from gpuio.kernels.plan.layout import PLAN
from gpuio.kernels.plan.settings import SETTINGS

__all__ = ["AFFINE", "COLOURS", "CROP"]

_int = types.int64
_row = types.uint32[::1], from_dtype(SETTINGS)[::1], from_dtype(PLAN)[::1], _int
_size = types.UniTuple(_int, 2)

# the signatures of what is called by address
AFFINE = _size(*_row, types.int32[::1], _int, _int)
CROP = _size(*_row, _int, _int)
COLOURS = types.void(*_row, types.float32[:, ::1])
