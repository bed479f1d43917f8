"""From arrays with MXNet's methods to those of the array library, and back.

An array that knows both ways has two methods. ``unwrapped()`` returns an array of the library's own
type over the same memory, complete; ``wrapped(values)`` returns what the library has made, one
array, one number or a list of them, with MXNet's methods. `gpuio.nd.arrays.NDArray` has them, and
so has a device's array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuio.hooks import call

__all__ = ["bare", "compute"]


def bare(value: Any) -> Any:
    """Return an array as its library knows it; anything else as it is."""
    unwrap = getattr(value, "unwrapped", None)
    return value if unwrap is None else unwrap()


def compute(function: Callable[..., Any], *operands: Any) -> Any:
    """Compute where the operands lie; the result has MXNet's methods.

    Parameters
    ----------
    function : callable             of arrays of the library, and numbers
    operands : arrays or numbers    a list becomes a host array
    """
    home = next((one for one in operands if hasattr(one, "unwrapped")), None)
    values = function(
        *(np.asarray(one) if isinstance(one, (list, tuple)) else bare(one) for one in operands)
    )
    return call("host_results", values) if home is None else home.wrapped(values)
