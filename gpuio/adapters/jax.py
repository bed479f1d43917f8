"""Batches as JAX arrays: device arrays by DLPack, host arrays put on JAX's default device.

JAX arrays never change. Neither does the memory of a batch, as long as it is referenced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio.adapters.loader import Loader, check_dense, check_whole
from gpuio.io.base import DataIter

__all__ = ["loader", "to_classes", "to_jax"]


def _import_jax() -> Any:
    """Return JAX; ImportError names the extra."""
    try:
        import jax
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'gpuio[jax]'", name="jax") from error
    return jax


def to_jax(array: Any, sharding: Any = None) -> Any:
    """Return an array as a `jax.Array`.

    Parameters
    ----------
    array : NDArray or any NumPy or CuPy array      host or device
    sharding : jax.sharding.Sharding, optional      the result is a global array, of which this
                                                    process's array is a part

    Returns
    -------
    jax.Array           on the array's GPU without a copy; a host array goes to JAX's default
                        device. 64-bit types become 32-bit unless JAX was told to keep them

    Raises
    ------
    TypeError           a CSR batch
    ImportError         without JAX: pip install 'gpuio[jax]'
    """
    jax = _import_jax()

    check_dense(array)
    if sharding is not None:
        local = (
            np.asarray(array) if isinstance(array, np.ndarray) else jax.dlpack.from_dlpack(array)
        )
        return jax.make_array_from_process_local_data(sharding, local)
    if isinstance(array, np.ndarray):
        return jax.numpy.asarray(np.asarray(array))
    return jax.dlpack.from_dlpack(array)


def to_classes(label: Any, sharding: Any = None) -> Any:
    """Return labels as int32 where they are one number per row; else as `to_jax`.

    Parameters
    ----------
    label : NDArray or any NumPy or CuPy array      (batch,) of whole numbers; soft labels, several
                                                    labels per row and boxes have more axes and stay
                                                    as they are
    sharding : jax.sharding.Sharding, optional      see `to_jax`

    Raises
    ------
    RecordError         a label on the host that is not a whole number of 32 bits. On a device they
                        are cut unseen: label_type='class' of `ImageRecordIter` looks at them before
    """
    if len(label.shape) != 1:
        return to_jax(label, sharding)
    check_whole(label, 32)
    if isinstance(label, np.ndarray):
        return to_jax(np.asarray(label).astype(np.int32), sharding)
    return to_jax(label, sharding).astype(np.int32)


def loader(
    iterator: DataIter,
    *,
    sharding: Any = None,
    cut_pad: bool = False,
    integer_labels: bool = False,
    weights: bool = False,
) -> Loader:
    """Return a loader of JAX arrays.

    Parameters
    ----------
    iterator : DataIter
    sharding : jax.sharding.Sharding, optional      of every array of a batch
    cut_pad, weights : bool                         see `gpuio.adapters.loader.Loader`
    integer_labels : bool                           labels of one number per row become int32: see
                                                    `to_classes`

    Returns
    -------
    Loader                      yields (data, label) arrays, with weights (data, label,
                                weight); has `__len__`, `peek`, `set_epoch`,
                                `state_dict` and `load_state_dict`
    """
    to_label = (lambda label: to_classes(label, sharding)) if integer_labels else None
    return Loader(
        iterator,
        lambda array: to_jax(array, sharding),
        cut_pad=cut_pad,
        convert_label=to_label,
        weights=weights,
    )
