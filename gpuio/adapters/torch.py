"""Batches as PyTorch tensors, without a copy: device arrays by DLPack, host arrays as views.

A tensor holds its batch's memory: the memory is used again only after the last tensor over it is
gone. A device tensor is ordered after the batch's kernels on the stream that was PyTorch's current
stream when the tensor was made; the caller must order work on another stream, as for any tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio.adapters.loader import Loader, check_dense, check_whole
from gpuio.io.base import DataIter

__all__ = ["loader", "to_classes", "to_torch"]


def import_torch() -> Any:
    """Return PyTorch; ImportError names the extra."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'gpuio[torch]'", name="torch") from error
    return torch


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
    torch = import_torch()

    check_dense(array)
    if not isinstance(array, np.ndarray):
        return torch.from_dlpack(array)
    host = np.asarray(array)
    if host.dtype.name == "bfloat16":
        return torch.from_numpy(host.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(host)


def to_classes(label: Any) -> Any:
    """Return labels as a tensor of int64 where they are one number per row; else as `to_torch`.

    Parameters
    ----------
    label : NDArray or any NumPy or CuPy array      (batch,) of whole numbers; soft labels, several
                                                    labels per row and boxes have more axes and stay
                                                    as they are

    Raises
    ------
    RecordError         a label on the host that is not a whole number. On a device they are cut
                        unseen: label_type='class' of `ImageRecordIter` looks at them before
    """
    torch = import_torch()

    if len(label.shape) != 1:
        return to_torch(label)
    check_whole(label, 64)
    return to_torch(label).to(torch.int64)


def loader(
    iterator: DataIter,
    *,
    cut_pad: bool = False,
    integer_labels: bool = False,
    weights: bool = False,
) -> Loader:
    """Return a loader of tensors, in place of `torch.utils.data.DataLoader`.

    Parameters
    ----------
    iterator : DataIter
    cut_pad, weights : bool     see `gpuio.adapters.loader.Loader`
    integer_labels : bool       labels of one number per row become int64, as losses of classes take
                                them: see `to_classes`

    Returns
    -------
    Loader                      yields (data, label) tensors, with weights (data, label, weight);
                                has `__len__`, `peek`, `set_epoch`, `state_dict` and
                                `load_state_dict`
    """
    convert_label = to_classes if integer_labels else None
    return Loader(iterator, to_torch, cut_pad=cut_pad, convert_label=convert_label, weights=weights)
