"""A task: what the record iterators ask of classification and detection alike.

Invariant: nothing above or below asks which task it is; a third one is a third file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.options.record import RecordOptions
from gpuio.order.epochs import Order
from gpuio.plan.mix import Mixer
from gpuio.plan.request import Look, PlanMaker
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import Contents
from gpuio.storage.stored import StoredFile

__all__ = ["Draws", "LabelDesc", "Labels", "Task", "WrongLabel"]


class LabelDesc(NamedTuple):
    """One array of labels of a batch."""

    name: str
    shape: tuple[int, ...]
    dtype: type[Any]


class WrongLabel(Protocol):
    """What is wrong with a label that is used all the same; `str` says it."""

    @property
    def count(self) -> int:
        """How many things are wrong: boxes."""
        ...


class Labels(Protocol):
    """How the label rows of a set are made, and handed out.

    Attributes
    ----------
    no_label : float32[columns]     the row of a batch's row without a record
    """

    no_label: npt.NDArray[np.float32]

    def take(
        self,
        out: npt.NDArray[np.float32],
        flag: int,
        label: float | npt.NDArray[np.float32] | None,
        identity: int,
    ) -> WrongLabel | None:
        """Write a record's row.

        Parameters
        ----------
        out : float32[columns]          `no_label` before
        flag, label, identity           as `parse_image_record` returns them; a label of None means
                                        that the record can hold none

        Returns
        -------
        WrongLabel or None              what is wrong with a label that the options accept

        Raises
        ------
        RecordError         the label is not what the options ask for
        """
        ...

    def num_classes(self, contents: Contents) -> int | None:
        """Return the number of classes of a set, as `Contents.num_classes` does."""
        ...

    def rule(self) -> npt.NDArray[np.int64]:
        """Return int64[5], how `kernels.records.read_records` makes the rows that `take` makes.

        BY_CALLER where only `take` can, by a record's id: then `take_listed` is called.
        """
        ...

    def take_listed(self, out: npt.NDArray[np.float32], ids: list[int]) -> list[int]:
        """Write the rows of some ids, from a list of labels.

        Parameters
        ----------
        out : float32[n, columns]       `no_label` before
        ids : list of int               n of them

        Returns
        -------
        list of int                     numbers of the rows that `take` refuses, or finds wrong
        """
        ...

    def wrong_in(self, row: npt.NDArray[np.float32]) -> WrongLabel:
        """Return what is wrong in a row, float32[columns], that was made with wrong boxes.

        It is found out when it is asked for; the row is copied.
        """
        ...

    def described(self) -> list[LabelDesc]:
        """Return the arrays of labels that a batch has."""
        ...

    def handed_out(
        self, rows: npt.NDArray[np.float32]
    ) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int32] | None]:
        """Return a finished batch's arrays of labels, host, and its `label_count`.

        That is int32[B], the number of each row's labels, where rows differ in it; else None.
        """
        ...


@attrs.frozen
class Draws:
    """What is drawn for each batch.

    Attributes
    ----------
    planner : PlanMaker
    mixer : Mixer or None           makes soft labels and mixes images
    follow : callable or None       to be called with the order and a way to look at records, where
                                    a record's draws depend on other records
    """

    planner: PlanMaker
    mixer: Mixer | None = None
    follow: Callable[[Order, Look], None] | None = None


class Task(Protocol):
    """What differs between tasks; each names the class of its options, `declared`, as well."""

    @property
    def options(self) -> RecordOptions:
        """The options, of the task's own class."""
        ...

    @property
    def classes(self) -> int | None:
        """Number of classes that the options state; None if they do not."""
        ...

    def draws(self) -> Draws:
        """Return what draws the batches; OptionError where options conflict."""
        ...

    def contents(self, table: RecordTable) -> Contents:
        """Return what the records of some files are."""
        ...

    def open_labels(self, contents: Contents, files: Sequence[StoredFile], order: Order) -> Labels:
        """Decide how labels are made, by the options and, where these leave it open, the files.

        Raises
        ------
        OptionError                     options that conflict, or that the files contradict
        StorageError, FormatError       the list or a file cannot be read
        RecordError                     labels of the records or the list contradict each other
        """
        ...

    def subtracted(
        self, mean: npt.NDArray[np.float32], mean_image: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32] | None:
        """Return the mean image if it is subtracted, beside the means of the options."""
        ...

    def unmixed(self, **changes: Any) -> Self:
        """Return the task with some options changed, and without mixtures of images."""
        ...
