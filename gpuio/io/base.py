"""DataDesc, DataBatch and DataIter: what every iterator hands out, as MXNet 1.9.1 has them.

Invariant: these are plain holders. They own no thread, file or device memory.

States
------
Every iterator of this package can save its position (a checkpoint) and continue there:
``state = it.state_dict()`` is a dict of JSON types, and after ``other.load_state_dict(state)``
another iterator over the same sources, with the same options, hands out what `it` would have handed
out next. A state holds its ``version``, the ``epoch``, and a description of its ``source`` (row
counts, sizes, options); `gpuio.order.state` compares these and names what differs.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from gpuio import hooks
from gpuio.errors import GpuioError
from gpuio.options.unknown import parameters, refuse_unknown

__all__ = ["DataBatch", "DataDesc", "DataIter", "check_worker", "refuse_subscript"]

_log = logging.getLogger("gpuio")

_NameShape = namedtuple("_NameShape", ["name", "shape"])  # noqa: PYI024 -- MXNet's is untyped


class DataDesc(_NameShape):
    """Name, shape, dtype and layout of one array of a batch.

    A tuple of exactly two fields, ``(name, shape)``, so that ``n, s = desc`` works and only
    these two take part in equality; `dtype` and `layout` are further attributes.

    Parameters
    ----------
    name : str
    shape : tuple of int            batch size included
    dtype : dtype, default numpy.float32
    layout : str or None, default "NCHW"
    """

    dtype: Any
    layout: str | None

    def __new__(
        cls,
        name: str,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike = np.float32,
        layout: str | None = "NCHW",
    ) -> Self:
        """Make the tuple and hang dtype and layout on it."""
        made = super().__new__(cls, name, shape)
        made.dtype = dtype
        made.layout = layout
        return made

    def __repr__(self) -> str:
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.name, self.shape, self.dtype, self.layout))

    @staticmethod
    def get_batch_axis(layout: str | None) -> int:
        """Return the batch axis: 0 without a layout, -1 if the layout has no N."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(
        shapes: Iterable[tuple[str, tuple[int, ...]]],
        types: Iterable[tuple[str, Any]] | None = None,
    ) -> list[DataDesc]:
        """Return one DataDesc for each (name, shape), with the dtype that `types` names."""
        if types is None:
            return [DataDesc(name, shape) for name, shape in shapes]
        by_name = dict(types)
        return [DataDesc(name, shape, by_name[name]) for name, shape in shapes]


class DataBatch:
    """One batch: lists of arrays, and how many of its rows are padding.

    Parameters
    ----------
    data, label : list or tuple of arrays, or None
    pad : int, optional             rows at the end that do not belong to this epoch
    index : array, optional         uint64[batch], ids of the records
    bucket_key, provide_data, provide_label : optional, as in MXNet

    Attributes
    ----------
    plan : PLAN[batch], optional    what an image iterator did to each row; host
    mix : Mix, optional             how it mixed the rows: `gpuio.plan.mix`
    label_count : int32[batch], optional    with label_width="ragged": labels of each row; host

    Raises
    ------
    AssertionError                  if data or label is neither None, list nor tuple
    """

    plan: Any = None
    mix: Any = None
    label_count: Any = None

    def __init__(
        self,
        data: Sequence[Any] | None,
        label: Sequence[Any] | None = None,
        pad: int | None = None,
        index: Any = None,
        bucket_key: Any = None,
        provide_data: Any = None,
        provide_label: Any = None,
    ) -> None:
        if data is not None:
            assert isinstance(data, (list, tuple)), "Data must be list of NDArrays"
        if label is not None:
            assert isinstance(label, (list, tuple)), "Label must be list of NDArrays"
        self.data: Any = data
        self.label: Any = label
        self.pad = pad
        self.index = index
        self.bucket_key = bucket_key
        self.provide_data = provide_data
        self.provide_label = provide_label

    def __repr__(self) -> str:
        parts = [
            f"{name}=[{', '.join(map(_shown, arrays or ()))}]"
            for name, arrays in (("data", self.data), ("label", self.label))
        ]
        return f"{type(self).__name__}({', '.join(parts)}, pad={self.pad})"

    def _repr_html_(self) -> str:
        text: str = hooks.call("batch_html", self)
        return text

    def __str__(self) -> str:
        data_shapes = [d.shape for d in self.data]
        label_shapes = [label.shape for label in self.label] if self.label else None
        return f"{type(self).__name__}: data shapes: {data_shapes} label shapes: {label_shapes}"


def _shown(array: Any) -> str:
    """Return what an array is, without its values: "(32, 3, 224, 224) float32"."""
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or dtype is None:
        return type(array).__name__
    return f"{tuple(shape)} {getattr(dtype, 'name', None) or getattr(dtype, '__name__', dtype)}"


class _OwnSignature:
    """What `DataIter` takes, which its `__new__` hides; subclasses have signatures of their own."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if owner is not DataIter:
            raise AttributeError("__signature__")
        whole = inspect.signature(DataIter.__init__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


class DataIter:
    """Base of every iterator; subclass it to write your own.

    A subclass gives either `next()`, or `iter_next()` with `getdata()`, `getlabel()`, `getpad()`
    and `getindex()`; and `reset()`, `provide_data`, `provide_label`.

    Parameters
    ----------
    batch_size : int, default 0

    Notes
    -----
    ``__iter__`` returns the iterator itself and does not reset it, as in MXNet: a second loop over
    an exhausted iterator yields nothing until `reset()`, which the log says once per iterator
    (logger gpuio, WARNING). `close()` and ``with`` are ours; on
    iterators that own nothing, closing does nothing.

    A keyword that an iterator, or a subclass of yours, does not take is an OptionError that names
    the one that was probably meant.
    """

    __signature__ = _OwnSignature()
    _made_in: int | None = None  # the process that made it; None: a copy of another process's
    # batches handed out to any loop, those handed out to this loop, and whether a loop over a
    # finished iterator was said
    _handed = _handed_here = 0
    _said_finished = False

    def __new__(cls, *args: Any, **keywords: Any) -> Self:  # noqa: ARG004 -- they are __init__'s
        """Refuse unknown keywords, where ``__init__`` says which there are."""
        known = parameters(cls.__init__)
        if keywords and known is not None:
            refuse_unknown(keywords, known)
        return super().__new__(cls)

    def __init__(self, batch_size: int = 0) -> None:
        self.batch_size = batch_size
        self._made_in = os.getpid()

    def __repr__(self) -> str:
        parts = [f"batch_size={getattr(self, 'batch_size', None)}"]
        for name in ("provide_data", "provide_label"):
            try:
                told = [
                    f"{one[0]} {tuple(one[1])} {np.dtype(getattr(one, 'dtype', np.float32)).name}"
                    for one in getattr(self, name) or ()
                ]
            except Exception:  # noqa: BLE001, S112 -- a subclass's may be half made or closed
                continue
            parts.append(f"{name.removeprefix('provide_')}=[{', '.join(told)}]")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        text: str = hooks.call("iterator_html", self)
        return text

    def __iter__(self) -> DataIter:
        check_worker(self)
        self._handed_here = 0
        return self

    def __getitem__(self, index: Any) -> NoReturn:
        refuse_subscript(self)

    def _parts(self) -> int | None:
        """Return `num_parts`; None for an iterator that has no parts."""
        return None

    def _plan(self) -> Any:
        """Return which part gets how much, a `ShardPlan`; None where nobody can tell."""
        return None

    def __next__(self) -> DataBatch:
        check_worker(self)
        try:
            batch = self.next()
        except StopIteration:
            if self._handed and not self._handed_here and not self._said_finished:
                self._said_finished = True
                _log.warning(
                    "%s: this loop gets no batch, because the epoch has ended: call reset() before "
                    "the next epoch, as in MXNet",
                    type(self).__name__,
                )
            raise
        self._handed += 1
        self._handed_here += 1
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def reset(self) -> None:
        """Go back to the beginning."""

    def next(self) -> DataBatch:
        """Return the next batch; StopIteration at the end of the epoch."""
        check_worker(self)
        if not self.iter_next():
            raise StopIteration
        try:
            return DataBatch(
                data=self.getdata(),
                label=self.getlabel(),
                pad=self.getpad(),
                index=self.getindex(),
            )
        except StopIteration as error:  # it would look like the epoch's end
            raise RuntimeError(
                f"a getter of {type(self).__name__} raised StopIteration; iter_next() returns "
                "False at the end of the epoch"
            ) from error

    def iter_next(self) -> Any:
        """Move to the next batch; false at the end of the epoch."""

    def getdata(self) -> Any:
        """Return the current batch's data."""

    def getlabel(self) -> Any:
        """Return the current batch's labels."""

    def getindex(self) -> Any:
        """Return the current batch's record ids, or None."""
        return None

    def getpad(self) -> Any:
        """Return how many rows of the current batch are padding."""

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator stands, as JSON types; NotImplementedError if it cannot."""
        raise NotImplementedError(f"{type(self).__name__} does not save its state")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state; StateError if it belongs to another iterator."""
        raise NotImplementedError(f"{type(self).__name__} does not load a state")

    def close(self) -> None:
        """Release the threads, files and memory that the iterator owns; may be called twice."""


def check_worker(iterator: DataIter) -> None:
    """Refuse an iterator in a worker process of PyTorch's DataLoader, unless it reads a part.

    Every worker has a copy of what the parent made: each would hand out every record, and begin
    again where the parent stands in every epoch. One that was made in the worker may go on if its
    num_parts is a multiple of the number of workers, or if it has no such option.

    Raises
    ------
    GpuioError
    """
    data = sys.modules.get("torch.utils.data")
    worker = None if data is None else data.get_worker_info()
    if worker is None:
        return
    parts = iterator._parts()  # noqa: SLF001 -- of this file
    made_here = getattr(iterator, "_made_in", None) == os.getpid()
    if made_here and (parts is None or parts % worker.num_workers == 0):
        return
    raise GpuioError(
        f"{type(iterator).__name__} in worker {worker.id} of a DataLoader: each of its "
        f"{worker.num_workers} workers would hand out the same records. Use it in place of the "
        "DataLoader, through gpuio.adapters.torch.loader(it): it has threads of its own. Or give "
        "the DataLoader a data set over MXIndexedRecordIO; or make one iterator in each worker, "
        "with num_parts=worker_info.num_workers and part_index=worker_info.id"
    )


def refuse_subscript(value: object) -> NoReturn:
    """Raise TypeError: what `DataLoader(value)` meets, which takes it for a data set."""
    raise TypeError(
        f"{type(value).__name__} hands out batches in its own order and has no items: it is not a "
        "data set for a DataLoader. gpuio.adapters.torch.loader(it) takes the DataLoader's place; "
        "for single records use MXIndexedRecordIO.read_idx(key)"
    )
