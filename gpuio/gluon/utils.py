"""mx.gluon.utils: a batch in parts, each on its device."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from gpuio.errors import OptionError
from gpuio.hooks import missing
from gpuio.nd import Context, array, slice_axis

__all__ = ["split_and_load", "split_data"]


def split_data(
    data: Any, num_slice: int, batch_axis: int = 0, even_split: bool = True
) -> list[Any]:
    """Cut an array into parts along an axis.

    Parameters
    ----------
    data : array
    num_slice : int             number of parts, >= 1
    batch_axis : int            views along axis 0, copies along the others, as in MXNet
    even_split : bool           False: the first parts may be longer by one

    Raises
    ------
    OptionError                 with `even_split`, if the axis cannot be divided (a ValueError, as
                                in MXNet), or more parts than rows
    """
    size = data.shape[batch_axis]
    if even_split and size % num_slice:
        raise OptionError(
            f"data with shape {tuple(data.shape)} cannot be evenly split into {num_slice} slices "
            f"along axis {batch_axis}. Use a batch size that's multiple of {num_slice} or set "
            "even_split=False to allow uneven partitioning of data."
        )
    if not 1 <= num_slice <= size:
        raise OptionError(f"{num_slice} slices of {size} rows: expected 1 to {size}")
    each, extra = divmod(size, num_slice)
    edges = [each * number + min(number, extra) for number in range(num_slice + 1)]
    parts = itertools.pairwise(edges)
    if batch_axis == 0:
        return [data[begin:end] for begin, end in parts]
    return [slice_axis(data, batch_axis, begin, end) for begin, end in parts]


def split_and_load(
    data: Any, ctx_list: Sequence[Context], batch_axis: int = 0, even_split: bool = True
) -> list[Any]:
    """Cut a batch into one part per context, and put each there.

    Parameters
    ----------
    data : array                an array that is not ours becomes float32, as in `gpuio.nd.array`
    ctx_list : list of Context
    batch_axis, even_split      of `split_data`

    Returns
    -------
    list of arrays              one per context; of a single context the whole array

    Raises
    ------
    OptionError                 as `split_data`
    """
    if not hasattr(data, "unwrapped"):
        data = array(data, ctx=ctx_list[0])
    if len(ctx_list) == 1:
        return [data.as_in_context(ctx_list[0])]
    parts = split_data(data, len(ctx_list), batch_axis, even_split)
    return [one.as_in_context(ctx) for one, ctx in zip(parts, ctx_list, strict=True)]


def __getattr__(name: str) -> None:
    raise missing("gpuio.gluon.utils", name)
