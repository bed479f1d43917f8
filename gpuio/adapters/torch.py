"""Batches as PyTorch tensors, without a copy: device arrays by DLPack, host arrays as views.

A tensor holds its batch's memory: the memory is used again only after the last tensor over it is
gone. A device tensor is ordered after the batch's kernels on the stream that was PyTorch's current
stream when the tensor was made; the caller must order work on another stream, as for any tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio.adapters.loader import Loader, check_dense
from gpuio.io.base import DataIter

__all__ = ["loader", "to_torch"]


def to_torch(array: Any) -> Any:
    """Return an array as a tensor over the same memory.

    Parameters
    ----------
    array : NDArray or any NumPy or CuPy array      host or device

    Returns
    -------
    torch.Tensor        on the array's device; bfloat16 stays bfloat16

    Raises
    ------
    TypeError           from PyTorch, for a dtype it does not have; for a CSR batch
    ImportError         without PyTorch: pip install 'gpuio[torch]'
    """
    import torch

    check_dense(array)
    if not isinstance(array, np.ndarray):
        return torch.from_dlpack(array)
    host = np.asarray(array)
    if host.dtype.name == "bfloat16":
        return torch.from_numpy(host.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(host)


def loader(iterator: DataIter, *, cut_pad: bool = False) -> Loader:
    """Return a loader of tensors, for loops written for `torch.utils.data.DataLoader`.

    Parameters
    ----------
    iterator : DataIter
    cut_pad : bool              see `gpuio.adapters.loader.Loader`

    Returns
    -------
    Loader                      yields (data, label) tensors; has `__len__`, `state_dict` and
                                `load_state_dict`
    """
    return Loader(iterator, to_torch, cut_pad=cut_pad)
