"""Sets of samples that are asked for by number, over record files with an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from gpuio.recordio import MXIndexedRecordIO
from gpuio.storage.urls import beside

__all__ = ["Dataset", "RecordFileDataset"]


class Dataset:
    """A set of samples; a subclass gives `__len__` and `__getitem__`."""

    def __getitem__(self, idx: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def transform(self, fn: Callable[..., Any], lazy: bool = True) -> Dataset:
        """Return a set of what `fn` makes of each sample; of a tuple's parts as its arguments.

        Parameters
        ----------
        fn : callable
        lazy : bool         False: call `fn` for every sample now, and keep what it returns
        """
        made = _Transformed(self, fn)
        return made if lazy else _Listed([made[number] for number in range(len(made))])

    def transform_first(self, fn: Callable[[Any], Any], lazy: bool = True) -> Dataset:
        """Return a set in which `fn` has changed the first part of each sample."""
        return self.transform(_First(fn), lazy)


class _Transformed(Dataset):
    """Samples that a function changes when they are asked for."""

    def __init__(self, data: Dataset, fn: Callable[..., Any]) -> None:
        self._data, self._fn = data, fn

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, idx: int) -> Any:
        sample = self._data[idx]
        return self._fn(*sample) if isinstance(sample, tuple) else self._fn(sample)


class _Listed(Dataset):
    """Samples in memory."""

    def __init__(self, samples: Sequence[Any]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, idx: int) -> Any:
        return self._samples[idx]


class _First:
    """A function of a sample's first part; a class, so that it can be pickled."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self._fn = fn

    def __call__(self, first: Any, *others: Any) -> Any:
        return (self._fn(first), *others) if others else self._fn(first)


class RecordFileDataset(Dataset):
    """The records of a file, as bytes, in the order of its index.

    Parameters
    ----------
    filename : path             FILE.rec; the index is FILE.idx beside it

    Raises
    ------
    StorageError, FormatError   a file is missing, or the index is damaged

    Notes
    -----
    ``set[-1]`` is the last record. The set can be pickled, and used in the worker processes of a
    DataLoader: each opens the files again.
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self.filename = os.fspath(filename)
        self.idx_file = beside(self.filename, suffix=".idx")
        self._record = MXIndexedRecordIO(self.idx_file, self.filename, "r")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.filename!r}, {len(self)} records)"

    def __len__(self) -> int:
        return len(self._record.keys)

    def __getitem__(self, idx: int) -> Any:
        return self._record.read_idx(self._record.keys[idx])

    def close(self) -> None:
        """Close the files."""
        self._record.close()
