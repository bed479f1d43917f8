"""What becomes of labels in the pass over records, and how a rule of it is called by address."""

from __future__ import annotations

from numba import types

__all__ = ["BOXES", "REFUSED", "TAKEN", "WRONG"]

REFUSED, TAKEN, WRONG = range(3)  # WRONG: taken, and boxes in it are wrong

_int = types.int64
BOXES = _int(_int, _int, _int, _int, types.float32[::1])
