"""A DataIter as the loader that a training loop expects, for any framework."""

from __future__ import annotations

import logging
import operator
import weakref
from collections.abc import Callable
from typing import Any, NoReturn, Self

import numpy as np

from gpuio.errors import GpuioError, OptionError, RecordError
from gpuio.io.base import DataIter, check_worker, refuse_subscript
from gpuio.nd import host_array
from gpuio.order.even import ShardPlan

__all__ = ["EpochSampler", "Loader", "check_dense", "check_whole"]

_log = logging.getLogger("gpuio")

_Arrays = tuple[Any, ...]


def check_dense(array: Any) -> None:
    """Raise TypeError for a CSR batch: it has no memory that a dense array could share."""
    if getattr(array, "stype", "default") != "default":
        raise TypeError(
            f"a batch of storage type {array.stype!r} cannot be handed over as it is: hand over "
            "its dense copy, array.asnumpy(), or build a sparse tensor from its data, indices and "
            "indptr"
        )


def check_whole(label: Any, bits: int) -> None:
    """Raise RecordError unless the labels of a host array are whole numbers of so many bits.

    Parameters
    ----------
    label : NumPy array or any device array     a device array is not looked at: that would make
                                                the host wait for it
    bits : int                                  32 or 64
    """
    if not isinstance(label, np.ndarray) or label.dtype.kind not in "fiu":
        return
    limit = 2.0 ** (bits - 1)
    good = (label == np.trunc(label)) & (label >= -limit) & (label < limit)
    if not good.all():
        row = int(np.argmin(good))
        raise RecordError(
            f"row {row} of the batch has the label {label[row]}, which is not a whole number of "
            f"{bits} bits: leave integer_labels out, or mend the record"
        )


class EpochSampler:
    """What frameworks look for as ``loader.sampler``, to tell it the epoch."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next loop: `Loader.set_epoch`."""
        self._loader.set_epoch(epoch)


class _Loop:
    """One loop over a loader; it begins, and moves the iterator, at its first step."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.begun = self.over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Arrays:
        if self.over:
            raise StopIteration
        return self._loader._step(self)  # noqa: SLF001 -- of this file


class Loader:
    """Loop over the epochs of an iterator, each batch converted.

    The first ``for`` starts at the iterator's position (also after `load_state_dict`). Every later
    one starts a new epoch, also if the loop before it was left early.

    Parameters
    ----------
    iterator : DataIter     closed by the caller
    convert : callable      turns one array of a batch into the framework's
    cut_pad : bool          leave out the rows that pad the last batch, but for one where a batch
                            has no others: no array has 0 rows. Leave it False for training with
                            last_batch='borrow': then those rows are records of the next epoch,
                            which starts after them.
    weights : bool          hand out, behind the labels, float32 (rows,): 1 for the epoch's rows, 0
                            for those that pad a batch
    convert_label : callable, optional
                            the same for labels of one number per row that are classes: not for
                            soft labels or boxes

    Attributes
    ----------
    batch_size : int
    sampler : EpochSampler  its `set_epoch` is the loader's

    Raises
    ------
    OptionError             at construction, on every part alike: cut_pad without weights where a
                            part's last batch may hold no record; weights with
                            last_batch='borrow' but without cut_pad: those rows are records
    GpuioError              from a step of a loop: another loop has begun since, or a state was
                            loaded; or in a worker process of a DataLoader, where every worker would
                            hand out the same records

    Notes
    -----
    A batch is a tuple: the data arrays, then the label arrays, then the weights.

    Where parts have different numbers of batches, so that ranks that wait for each other in every
    step would wait for ever, the log (logger gpuio, WARNING) says so at construction.

    ``iter(loader)`` alone changes nothing; a loop begins at its first step. Of two loops that
    have begun, the older one raises at its next step.
    """

    def __init__(
        self,
        iterator: DataIter,
        convert: Callable[[Any], Any],
        *,
        cut_pad: bool = False,
        convert_label: Callable[[Any], Any] | None = None,
        weights: bool = False,
    ) -> None:
        self.iterator = iterator
        self._weights, self._said_empty = weights, False
        plan: ShardPlan | None = getattr(iterator, "_plan", _nothing)()
        if plan is not None:
            _check_plan(plan, cut_pad=cut_pad, weights=weights)
        self.batch_size = iterator.batch_size
        self.sampler = EpochSampler(self)
        self._convert, self._cut_pad = convert, cut_pad
        self._convert_label = convert_label or convert
        self._begun = self._loaded = False  # has a loop begun; is the place a loaded state's
        self._loop: Callable[[], _Loop | None] = _nothing  # the loop that began last
        self._ready = False  # the iterator stands where the next loop begins
        self._peeked: _Arrays | None = None
        self._before: dict[str, Any] | None = None  # the state before the batch that was peeked at
        self._wanted: int | None = None  # the epoch that set_epoch chose for the next loop
        self._told: int | None = None  # the same for the loop of a loaded state, which is that one
        self._resumed = False  # a state was loaded, and no loop has begun since
        self._first = self._state()
        self._offset = _epoch_of(self._first) or 0  # the iterator's number of epoch 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.iterator!r})"

    def __len__(self) -> int:
        """Return the exact number of batches of the current epoch; TypeError if it is unknown."""
        count: int = len(self.iterator)  # type: ignore[arg-type]
        return count

    def __iter__(self) -> _Loop:
        return _Loop(self)

    def __getitem__(self, index: Any) -> NoReturn:
        refuse_subscript(self)

    @property
    def dataset(self) -> NoReturn:
        """There is none: AttributeError, in words for those who look for it."""
        raise AttributeError(
            "a Loader has no dataset and no batch sampler: it takes the place of a DataLoader. To "
            "go on in the middle of an epoch save loader.state_dict() and call "
            "loader.load_state_dict(state), in place of accelerate's skip_first_batches"
        )

    def peek(self) -> _Arrays:
        """Return the batch that comes next, which stays the next one.

        That of the loop in progress; where there is none, the first one of the next loop. The state
        stays the one before that batch.

        Raises
        ------
        StopIteration       the loop in progress is at its end, or the epoch has no batch
        """
        if self._peeked is None:
            loop = self._loop()
            if loop is None or loop.over:
                self._make_ready()
            before = self._state()
            self._peeked, self._before = self._fetch(), before
        return self._peeked

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next loop, counted from 0, as frameworks tell samplers.

        Where the next loop would be that epoch anyway, nothing changes. Else it is the whole epoch,
        at the start of its pass. Epoch 0 is the one in which the iterator stood when the loader was
        made. After `load_state_dict` the state decides, and later epochs are counted from it. An
        iterator that saves no state cannot be moved: its next loop is its next epoch.

        Raises
        ------
        OptionError         `epoch` is not a whole number from 0 on
        """
        try:
            wanted = operator.index(epoch)
        except TypeError:
            wanted = -1
        if wanted < 0:
            raise OptionError(f"epoch={epoch!r}: expected a whole number, at least 0")
        self._wanted = wanted

    def state_dict(self) -> dict[str, Any]:
        """Return the iterator's state; the next batch of a loop continues there."""
        if self._before is not None:
            return self._before
        state: dict[str, Any] = self.iterator.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved state, with the next loop, however often ``iter`` is called before.

        After a state that was saved after an epoch's last batch, the next loop is the next epoch.

        Raises
        ------
        StateError          from the iterator, if the state belongs to another one
        """
        self.iterator.load_state_dict(state)
        self._begun, self._loaded, self._resumed, self._loop = False, True, True, _nothing
        self._wanted = self._told = None
        self._forget()

    def _forget(self) -> None:
        """Drop what was made ready for the next loop."""
        self._ready, self._peeked, self._before = False, None, None

    def _state(self) -> dict[str, Any] | None:
        """Return the iterator's state; None if it saves none."""
        save: Callable[[], dict[str, Any]] | None = getattr(self.iterator, "state_dict", None)
        try:
            return None if save is None else save()
        except NotImplementedError:
            return None

    def _make_ready(self) -> None:
        """Go to where the next loop begins."""
        check_worker(self.iterator)
        if not self._ready:
            self._forget()
            if self._told is not None:
                self._offset = (_epoch_of(self._state()) or 0) - self._told
                self._told = None
            if self._begun:
                self.iterator.reset()
            self._begun, self._loop, self._ready = False, _nothing, True
        wanted, self._wanted = self._wanted, None
        if wanted is not None and self._resumed:
            self._told = wanted
        elif wanted is not None:
            self._go_to(wanted + self._offset)

    def _go_to(self, wanted: int) -> None:
        """Go to an epoch, unless the iterator stands in it."""
        epoch, first = _epoch_of(self._state()), _epoch_of(self._first)
        if epoch is None or first is None or epoch == wanted:
            return
        if epoch > wanted:
            if first > wanted:
                raise OptionError(
                    f"epoch {wanted} of the iterator: it stood in epoch {first} when the loader "
                    "was made and does not go back behind that"
                )
            assert self._first is not None
            self.iterator.load_state_dict(self._first)
            epoch = first
        for _ in range(wanted - epoch):
            self.iterator.reset()
        self._forget()
        self._ready, self._loaded = True, False

    def _step(self, loop: _Loop) -> _Arrays:
        """Return the next batch of a loop."""
        if not loop.begun:
            self._make_ready()
            loop.begun = self._begun = True
            self._resumed = False
            self._loop, self._ready = weakref.ref(loop), False
        elif self._loop() is not loop:
            raise GpuioError(
                "this loop is over: another one over the same loader has begun since, or a state "
                "was loaded. A loader has one place in its data; for two loops at once make two "
                "iterators, with a loader each"
            )
        try:
            if self._peeked is None:
                return self._fetch()
            arrays = self._peeked
        except StopIteration:
            loop.over = True
            raise
        self._forget()
        return arrays

    def _fetch(self) -> _Arrays:
        """Return the iterator's next batch; the next epoch's if a loaded state leaves no rest."""
        loaded, self._loaded = self._loaded, False
        try:
            batch = next(self.iterator)
        except StopIteration:
            if not loaded:
                raise
            self.iterator.reset()
            batch = next(self.iterator)
        except BaseException:
            self._loaded = loaded
            raise
        data, label = list(batch.data), list(batch.label or ())
        rows = len(data[0]) if data else 0
        own = rows - (batch.pad or 0)
        if self._cut_pad and batch.pad and data:
            rows = max(own, 1)
            data, label = ([array[:rows] for array in arrays] for arrays in (data, label))
            if own < 1 and not self._weights and not self._said_empty:
                self._said_empty = True
                _log.warning(
                    "a batch without a record: one row of padding is kept, since no tensor may "
                    "have 0 rows. Loader(weights=True) hands out its weight, 0, as well"
                )
        made = (*map(self._convert, data), *map(self._convert_label, label))
        if not self._weights:
            return made
        weight = np.zeros(rows, np.float32)
        weight[: max(own, 0)] = 1
        beside = getattr((label or data or [None])[0], "context", None)  # where the loss is
        handed = host_array(weight)
        return (*made, self._convert(handed if beside is None else handed.as_in_context(beside)))


def _check_plan(plan: ShardPlan, *, cut_pad: bool, weights: bool) -> None:
    """Look at what every part gets, before a rank waits for one that has no batch.

    Raises
    ------
    OptionError
    """
    if plan.all_padding and cut_pad and not weights:
        raise OptionError(
            f"cut_pad: {plan.records:,} records on {len(plan.parts)} parts can leave a part's last "
            "batch without a record, and no tensor may have 0 rows: give weights=True, which keeps "
            "one row and hands out its weight, 0; or leave cut_pad out"
        )
    if weights and plan.last_batch == "borrow" and not cut_pad:
        raise OptionError(
            "weights: with last_batch='borrow' the rows that complete a batch are records of the "
            "next epoch, which does not repeat them: give last_batch='pad', or cut_pad=True"
        )
    if not plan.equal:
        batches = [share.batches for share in plan.parts]
        _log.warning(
            "the %d parts have %s batches per epoch%s: ranks that wait for each other in every "
            "step (DDP, all-reduce) would wait for ever at the end. shard='even' gives every part "
            "the same number",
            len(batches),
            f"{min(batches):,} to {max(batches):,}",
            "" if min(batches) < max(batches) else " now, and different numbers in later epochs",
        )


def _nothing() -> None:
    """Stand for a reference to a loop that is gone."""


def _epoch_of(state: dict[str, Any] | None) -> int | None:
    """Return the epoch that a state names, its own or that of the iterator inside."""
    if state is None:
        return None
    while "epoch" not in state and state.get("inner"):
        inner = state["inner"]
        state = inner if isinstance(inner, dict) else inner[0]
    epoch: int | None = state.get("epoch")
    return epoch
