"""Batches as JAX arrays: device arrays by DLPack, host arrays put on JAX's default device.

JAX arrays never change. Neither does the memory of a batch, as long as it is referenced.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio.adapters.loader import Loader, check_dense
from gpuio.io.base import DataIter

__all__ = ["loader", "to_jax"]


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
    import jax

    check_dense(array)
    if sharding is not None:
        local = (
            np.asarray(array) if isinstance(array, np.ndarray) else jax.dlpack.from_dlpack(array)
        )
        return jax.make_array_from_process_local_data(sharding, local)
    if isinstance(array, np.ndarray):
        return jax.numpy.asarray(np.asarray(array))
    return jax.dlpack.from_dlpack(array)


def loader(iterator: DataIter, *, sharding: Any = None, cut_pad: bool = False) -> Loader:
    """Return a loader of JAX arrays.

    Parameters
    ----------
    iterator : DataIter
    sharding : jax.sharding.Sharding, optional      of every array of a batch
    cut_pad : bool                                  see `gpuio.adapters.loader.Loader`

    Returns
    -------
    Loader                      yields (data, label) arrays
    """
    return Loader(iterator, lambda array: to_jax(array, sharding), cut_pad=cut_pad)
