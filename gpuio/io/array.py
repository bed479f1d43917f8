"""NDArrayIter: batches from arrays that are already in memory.

Invariant: the sources are never reordered or cached. An epoch is an order of row numbers, and a
batch is the rows at its positions in that order, so a state is a few numbers.
"""

from __future__ import annotations

import binascii
import math
import operator
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import GpuioError, OptionError, StateError
from gpuio.forking import lock, working
from gpuio.io.base import DataBatch, DataDesc, DataIter, check_worker
from gpuio.nd import Context, NDArray, host_array
from gpuio.nd.context import on_host
from gpuio.nd.sparse import CSRNDArray
from gpuio.order.state import check_state, flag, items, whole
from gpuio.recordio.fingerprint import sampled_array

__all__ = ["NDArrayIter"]

_STATE_VERSION = 2
_SINCE = {"digest": 2}  # fields of `source` that the first version lacks
Rows = npt.NDArray[np.int64]


class NDArrayIter(DataIter):
    """Iterate over arrays in memory, in batches.

    Parameters
    ----------
    data : array, list of arrays, or dict of name to array
        Sources; rows along the batch axis. A list of n > 1 sources names them ``_0_data``,
        ``_1_data``, ...; sources are emitted sorted by name. A NumPy array of any dtype becomes
        float32 and is copied; a `gpuio.nd.NDArray` keeps its dtype and, without `shuffle`, is read
        by reference; an h5py dataset is read batch by batch; a CSR matrix (`CSRNDArray` or
        scipy's) keeps its dtype and gives CSR batches.
    label : the same, or None       without labels ``batch.label`` is empty
    batch_size : int                >= 1
    shuffle : bool                  a new order each epoch; see Notes
    last_batch_handle : str
        What happens to the last rows if they do not fill a batch. ``"pad"``: the batch is filled
        with the epoch's first rows, repeated if necessary. ``"roll_over"``: they become the first
        rows of the next epoch, if the epoch was run to its end. ``"discard"``, and any other word:
        they are left out.
    data_name, label_name : str     names of single sources
    layout : str                    of `provide_data`; its N is the batch axis
    seed : int or numpy.random.Generator, optional
        Ours: makes the order of each epoch a function of this number and the epoch only; of a
        generator one number is drawn. Without it, shuffling uses ``numpy.random``'s global
        generator, as MXNet does.
    ctx : {"cpu", "gpu"} or Context
        Ours: the device of the batches.

    Raises
    ------
    TypeError, AssertionError, IndexError       unusable `data` or `label`, as in MXNet
    NotImplementedError             a CSR source without ``last_batch_handle="discard"``
    OptionError                     batch_size below 1, a layout without N, CSR with ctx "gpu"
    GpuioError                      from ``next()``, where a source is shorter than the first one

    Notes
    -----
    ``batch.pad`` counts padding rows at the end or, in a batch that begins with rolled-over rows,
    those rows. The number of rows is the first source's; longer sources are cut to it.

    Without `seed` the order of an epoch is the last epoch's order shuffled again, as in MXNet, so
    `idx` is the true order in the first epoch only. For the same state of ``numpy.random`` epochs
    are shuffled as MXNet shuffles them. The state then holds the whole order; with `seed`, a
    number.

    Unlike MXNet, roll_over with a batch larger than the source gathers rows over several epochs
    (MXNet fails) and keeps the rolled-over rows when ``next()`` is called again at the end (MXNet
    forgets them), CSR batches are CSR (MXNet 1.9.1 makes them dense), and if a label is longer than
    the data, its last batch is cut like every other one.
    """

    def __init__(
        self,
        data: Any,
        label: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        last_batch_handle: str = "pad",
        data_name: str = "data",
        label_name: str = "softmax_label",
        layout: str = "NCHW",
        *,
        seed: int | np.random.Generator | None = None,
        ctx: str | Context = "cpu",
    ) -> None:
        super().__init__(_batch_size(batch_size))
        self._turn = lock()  # several threads may share an iterator: one batch each
        self.layout = layout
        self.shuffle = shuffle
        self.last_batch_handle = last_batch_handle
        self._axis = DataDesc.get_batch_axis(layout)
        if self._axis < 0:
            raise OptionError(f"layout={layout!r}: expected an N, the batch's axis")
        self.data = _named(data, data_name, allow_empty=False)
        self.label = _named(label, label_name, allow_empty=True)
        self.ctx = Context(ctx)
        self._check_sparse()
        if shuffle:  # as in MXNet: a shuffled source is a copy, later changes are not seen
            self.data, self.label = ([(k, _copy(v)) for k, v in s] for s in (self.data, self.label))
        self.data_list = [v for _, v in self.data + self.label]
        self.num_source = len(self.data_list)
        first = self.data[0][1]
        self.num_data: int = first.shape[self._axis_of(first)]
        self.idx = np.arange(self.num_data)
        self.seed = _seed_number(seed)
        self._sampled: list[int] | None = None
        self._seed_drawn = isinstance(seed, np.random.Generator)
        self._order: Rows = np.arange(self.num_data)
        self._epoch = -1
        self._begin(np.empty(0, np.int64))

    def _check_sparse(self) -> None:
        if not any(isinstance(v, CSRNDArray) for _, v in self.data + self.label):
            return
        if self.last_batch_handle != "discard":
            raise NotImplementedError(
                "NDArrayIter: CSR sources need last_batch_handle='discard', "
                f"got {self.last_batch_handle!r}"
            )
        on_host(self.ctx, "CSR batches")

    def _axis_of(self, source: Any) -> int:
        """Return a source's batch axis; 0 if the source has fewer axes than the layout."""
        return self._axis if self._axis < len(source.shape) else 0

    def _describe(self, sources: list[tuple[str, Any]]) -> list[DataDesc]:
        found = []
        for name, source in sources:
            shape = list(source.shape)
            shape[self._axis_of(source)] = self.batch_size
            dtype = np.float32 if _is_h5py(source) else np.dtype(source.dtype).type
            found.append(DataDesc(name, tuple(shape), dtype, self.layout))
        return found

    @property
    def provide_data(self) -> list[DataDesc]:
        """Name, shape, dtype and layout of each array of ``batch.data``."""
        return self._describe(self.data)

    @property
    def provide_label(self) -> list[DataDesc]:
        """Name, shape, dtype and layout of each array of ``batch.label``."""
        return self._describe(self.label)

    def __len__(self) -> int:
        """Return the exact number of batches of the current epoch."""
        if self.last_batch_handle == "pad":
            return math.ceil(self.num_data / self.batch_size)
        return (self.num_data + len(self._front)) // self.batch_size

    def _begin(self, front: Rows) -> None:
        """Start the next epoch with some rows of the last one at its beginning."""
        self._epoch += 1
        if self.shuffle and self.seed is not None:
            self._order = self.idx = _permutation(self.seed, self._epoch, self.num_data)
        elif self.shuffle:
            np.random.shuffle(self.idx)  # noqa: NPY002 -- MXNet's generator is the global one
            self._order = self._order[self.idx]
            self._written = [_written(self._order), _written(self.idx)]
        self._front = front
        self._rest: Rows = np.empty(0, np.int64)
        self._ended = False
        self.cursor = -self.batch_size - len(front)

    def reset(self) -> None:
        """Start the next epoch; with roll_over, after a finished epoch, with its last rows."""
        with self._turn:
            self._begin(self._rest)

    def hard_reset(self) -> None:
        """Start the next epoch and drop the rows that roll_over would have carried over."""
        with self._turn:
            self._begin(np.empty(0, np.int64))

    def iter_next(self) -> bool:
        """Move to the next batch; false at the end of the epoch."""
        check_worker(self)
        if not self._ended:
            self.cursor += self.batch_size
            self._ended = self.cursor >= self.num_data
        return not self._ended

    def next(self) -> DataBatch:
        """Return the next batch; StopIteration at the end of the epoch."""
        with self._turn, working:
            before = self.cursor, self._ended
            try:
                return self._next()
            except KeyboardInterrupt:
                self.cursor, self._ended = before  # the batch is not lost
                raise

    def _next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        if self.last_batch_handle != "pad" and self.cursor + self.batch_size > self.num_data:
            if self.last_batch_handle == "roll_over":
                self._rest = self._rows()
            self._ended = True
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def _rows(self) -> Rows:
        """Return the row numbers of the batch at the cursor; fewer at the end of the rows."""
        stop = self.cursor + self.batch_size
        if self.last_batch_handle != "pad":
            stop = min(stop, self.num_data)
        places = np.arange(max(self.cursor, 0), stop)
        rows = self._order[places % self.num_data]
        if self.cursor < 0:
            rows = np.concatenate(
                [self._front[len(self._front) + self.cursor :][: self.batch_size], rows]
            )
        return rows

    def _fetch(self, sources: list[tuple[str, Any]]) -> list[Any]:
        if self._ended:
            raise AssertionError("DataIter needs reset.")
        if self.cursor < -len(self._front):
            raise GpuioError("there is no batch yet: call next() or iter_next() first")
        rows = self._rows()
        return [self._put(self._take(name, source, rows)) for name, source in sources]

    def _take(self, name: str, source: Any, rows: Rows) -> Any:
        """Return the rows of one source, copied."""
        axis = self._axis_of(source)
        if rows.size and (last := int(rows.max())) >= source.shape[axis]:
            raise GpuioError(
                f"source {name!r} has {source.shape[axis]} rows, row {last} was asked for: every "
                f"source needs the {self.num_data} rows of {self.data[0][0]!r}"
            )
        if isinstance(source, CSRNDArray):
            return source.take(rows)
        if not self.shuffle and rows.size and rows[-1] - rows[0] == rows.size - 1:
            where = (slice(None),) * axis + (slice(int(rows[0]), int(rows[-1]) + 1),)
            return host_array(np.array(source[where], _dtype_of(source), copy=True, subok=False))
        if _is_h5py(source):  # accepts increasing row numbers only
            unique, back = np.unique(rows, return_inverse=True)
            read = source[(slice(None),) * axis + (unique,)]
            return host_array(np.asarray(read, np.float32).take(back, axis))
        return host_array(np.asarray(source).take(rows, axis))

    def _put(self, array: Any) -> Any:
        """Move a batch's array to the device that the user asked for."""
        return array.as_in_context(self.ctx)

    def getdata(self) -> list[Any]:
        """Return the current batch's data, one array per source."""
        return self._fetch(self.data)

    def getlabel(self) -> list[Any]:
        """Return the current batch's labels, one array per source."""
        return self._fetch(self.label)

    def getpad(self) -> int:
        """Return how many rows are padding (pad) or were carried over (roll_over)."""
        stop = self.cursor + self.batch_size
        if self.last_batch_handle == "pad" and stop > self.num_data:
            return stop - self.num_data
        if self.last_batch_handle == "roll_over" and -self.batch_size < self.cursor < 0:
            return -self.cursor
        return 0

    def _source(self) -> dict[str, Any]:
        """Return what a state must agree with."""
        return {
            "batch_size": self.batch_size,
            "last_batch_handle": self.last_batch_handle,
            "shuffle": bool(self.shuffle),
            "seeded": self.seed is not None,
            "sources": [[k, list(v.shape), str(v.dtype)] for k, v in self.data + self.label],
            "digest": self._digest(),
        }

    def _digest(self) -> list[int]:
        """Return what a state knows the sources again by: some of their rows as they were first."""
        if self._sampled is None:
            self._sampled = []
            for _, source in self.data + self.label:
                if isinstance(source, CSRNDArray):
                    made = sampled_array(np.asarray(source.indptr))
                    self._sampled.append(sampled_array(np.asarray(source.data), made))
                else:
                    self._sampled.append(sampled_array(source))
        return self._sampled

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator stands, as JSON types; see the class about its size.

        If it shuffles without `seed`, later epochs draw from ``numpy.random``; its state is not
        saved.
        """
        drawn = self.shuffle and self.seed is None
        return {
            "version": _STATE_VERSION,
            "epoch": self._epoch,
            "cursor": self.cursor,
            "ended": self._ended,
            "seed": self.seed,
            "carry": self._front.tolist(),
            "rest": self._rest.tolist(),
            "order": list(self._written) if drawn else None,
            "source": self._source(),
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._turn = lock()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a saved state stood.

        Raises
        ------
        StateError          the state is damaged, has another version, or belongs to other sources
                            or options; names the fields. The iterator stays where it was

        Notes
        -----
        A `seed` that a generator drew is the state's from now on.
        """
        check_state(state, _STATE_VERSION, self._source(), since=_SINCE, oldest=1)
        epoch, ended = whole(state, "epoch"), flag(state, "ended")
        seed = None if self.seed is None else whole(state, "seed", None)
        if self.shuffle and seed != self.seed and not self._seed_drawn:
            raise StateError(
                f"state belongs to another iterator: seed: saved {seed}, here {self.seed}"
            )
        front, rest = self._some_rows(state, "carry"), self._some_rows(state, "rest")
        size = self.batch_size
        least, most = -size - len(front), self.num_data + size - 1
        cursor = whole(state, "cursor", most, least=least, step=size)
        drawn = self.shuffle and seed is None
        for name, used in (("seed", seed is not None), ("order", drawn)):
            if not used and state.get(name, "") is not None:
                found = reprlib.repr(state.get(name, "nothing"))
                raise StateError(f"state: {name}: expected None, found {found}")
        if drawn:
            order, idx = self._loaded_order(state)
            self._order, self.idx = order, idx
            self._written = [_written(order), _written(idx)]
        elif self.shuffle and seed is not None:
            self._order = self.idx = _permutation(seed, epoch, self.num_data)
        self._epoch, self.cursor, self._ended, self.seed = epoch, cursor, ended, seed
        self._front, self._rest = front, rest

    def _some_rows(self, state: dict[str, Any], name: str) -> Rows:
        """Return a field of row numbers that roll_over carries, fewer than a batch."""
        found = items(state, name, self.batch_size - 1)
        last = self.num_data - 1
        return np.array(
            [whole({"row": row}, "row", last, inside=f"{name}: ") for row in found], np.int64
        )

    def _loaded_order(self, state: dict[str, Any]) -> tuple[Rows, Rows]:
        """Return the order and `idx` of a state, each of them every row once."""
        both = items(state, "order", 2)
        if len(both) == 2:
            try:
                order, idx = (_read(rows) for rows in both)
                count = np.arange(self.num_data)
                if all(np.array_equal(np.sort(one), count) for one in (order, idx)):
                    return order, idx
            except (TypeError, ValueError, OverflowError):
                pass
        raise StateError(
            f"state: order: expected two orders of {self.num_data} rows, each row once: the state "
            "is damaged"
        )


def _batch_size(value: int) -> int:
    """Return a batch size that is a whole number, at least 1."""
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if size < 1:
        raise OptionError(f"batch_size={value!r}: expected a whole number, at least 1")
    return size


def _written(rows: Rows) -> str:
    """Return row numbers as text, 4 bytes each in base64: states are JSON, and taken often."""
    return binascii.b2a_base64(rows.astype("<u4").tobytes(), newline=False).decode()


def _read(rows: Any) -> Rows:
    """Return what `_written` wrote; or a list of row numbers, as the first version has it.

    Raises
    ------
    ValueError, TypeError, OverflowError    it is neither
    """
    if isinstance(rows, str):
        return np.frombuffer(binascii.a2b_base64(rows, strict_mode=True), "<u4").astype(np.int64)
    return np.array(rows, np.int64)


def _seed_number(seed: int | np.random.Generator | None) -> int | None:
    """Return the number that a seed means."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if seed is not None and operator.index(seed) < 0:
        raise OptionError(f"seed={seed}: expected at least 0")
    return None if seed is None else operator.index(seed)


def _permutation(seed: int, epoch: int, count: int) -> Rows:
    """Return an epoch's order; `RandomState` because NumPy promises never to change its streams."""
    words = np.random.MT19937(np.random.SeedSequence([seed, epoch]))
    order: Rows = np.random.RandomState(words).permutation(count).astype(np.int64)
    return order


def _is_h5py(value: Any) -> bool:
    """Return whether a value is an h5py dataset, without importing h5py."""
    return type(value).__module__.partition(".")[0] == "h5py"


def _dtype_of(source: Any) -> Any:
    return np.float32 if _is_h5py(source) else source.dtype


def _named(data: Any, default: str, *, allow_empty: bool) -> list[tuple[str, Any]]:
    """Return (name, source) pairs, sorted by name."""
    if data is None:
        data = []
    if hasattr(data, "shape") and hasattr(data, "dtype") and not isinstance(data, np.generic):
        data = [data]
    if isinstance(data, list):
        assert allow_empty or data, "data holds no array"
        several = len(data) > 1
        data = {f"_{i}_{default}" if several else default: one for i, one in enumerate(data)}
    if not isinstance(data, Mapping):
        raise TypeError(
            "Input must be NDArray, numpy.ndarray, h5py.Dataset a list of them "
            "or dict with them as values"
        )
    if not data and not allow_empty:
        raise IndexError("data holds no array")
    return [(name, _to_source(name, data[name])) for name in sorted(data)]


def _to_source(name: str, value: Any) -> Any:
    """Return an array from which batches can be taken."""
    if isinstance(value, (NDArray, CSRNDArray)) or _is_h5py(value):
        return value
    if getattr(value, "format", None) == "csr" and hasattr(value, "indptr"):
        return CSRNDArray(value.data, value.indices, value.indptr, value.shape)
    if hasattr(value, "asnumpy"):  # an array on another device keeps its dtype as well
        return host_array(value.asnumpy())
    try:
        return np.array(value, dtype=np.float32, subok=False).view(NDArray)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Invalid type '{type(value)}' for {name}, should be NDArray, numpy.ndarray or "
            "h5py.Dataset"
        ) from error


def _copy(source: Any) -> Any:
    return source if _is_h5py(source) else source.copy()
