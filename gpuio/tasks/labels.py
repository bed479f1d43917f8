"""The label row of each record: its own labels or a list's; all, one of them, or as many as come.

Invariant: a row holds exactly what was asked for, or the record is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError
from gpuio.recordio.layouts import Contents
from gpuio.tasks.task import LabelDesc, WrongLabel

__all__ = ["LabelList", "RecordLabels", "listed_label", "number_of_labels", "take_each"]

LabelList = dict[int, npt.NDArray[np.float32]]
_Label = float | npt.NDArray[np.float32]

_OTHER = ": label_width='auto' takes the number that the files have, 'ragged' any"
_PAD = -1.0  # behind the labels of a ragged row


def listed_label(listed: LabelList, identity: int) -> npt.NDArray[np.float32]:
    """Return the label, float32[n], that a list has for an id; RecordError if it has none."""
    found = listed.get(identity)
    if found is None:
        raise RecordError(
            f"path_imglist has no label for id {identity}: add a line for it, or leave "
            "path_imglist out to use the labels in the records"
        )
    return found


def take_each(
    take: Callable[..., object], out: npt.NDArray[np.float32], ids: list[int]
) -> list[int]:
    """Write rows by their ids alone; return the numbers of those that `take` refuses or remarks."""
    refused = []
    for number, identity in enumerate(ids):
        try:
            if take(out[number], 0, None, identity) is not None:
                refused.append(number)
        except RecordError:
            refused.append(number)
    return refused


class RecordLabels:
    """Make label rows.

    Parameters
    ----------
    width : int                 labels of a row; of a ragged one at most
    listed : dict, optional     id to float32[width], labels of path_imglist, which replace the
                                records' own
    ragged : bool               rows of any number of labels up to `width`
    column : int, optional      take this label alone; `width` is 1
    classes : bool              refuse labels that are not whole numbers from 0
    guess : str                 what led to `width`, where the user did not state it
    name : str                  of the array of labels
    batch_size : int
    num_classes : int, optional labels are handed out as rows of weights, made by `Mixer`

    Attributes
    ----------
    columns : int               of a row while it is being made: a ragged one begins with its count
    no_label : float32[columns] of a row without a record: zeros
    """

    def __init__(
        self,
        width: int,
        listed: LabelList | None = None,
        *,
        ragged: bool = False,
        column: int | None = None,
        classes: bool = False,
        guess: str = "",
        name: str = "label",
        batch_size: int = 1,
        num_classes: int | None = None,
    ) -> None:
        self.width, self.ragged = width, ragged
        self.columns = width + ragged
        self.no_label = np.zeros(self.columns, np.float32)
        self._name, self._batch_size = name, batch_size
        self._handed_out = num_classes or width
        self._wide = self._handed_out > 1 or num_classes is not None or ragged
        self._listed, self._column, self._guess = listed, column, guess
        self._classes = classes
        self._odd = ragged or bool(column)

    @property
    def column(self) -> int:
        """Which of a record's labels comes first."""
        return self._column or 0

    def listed(self) -> npt.NDArray[np.float32] | None:
        """Return the first label of each line of the list, float32[n]; None without a list."""
        if self._listed is None:
            return None
        return np.array([labels[0] for labels in self._listed.values()], np.float32)

    def take(
        self, out: npt.NDArray[np.float32], flag: int, label: _Label | None, identity: int
    ) -> None:
        """Write a record's row.

        Parameters
        ----------
        out : float32[columns]
        flag, label, identity           as `parse_image_record` returns them; a label of None means
                                        that the record can hold none

        Raises
        ------
        RecordError         the record has another number of labels, the list has none for its id,
                            or a label is not a class
        """
        if self._listed is not None:
            label = self._from_list(identity)
        elif label is None:
            label = 0.0
        elif flag or self.width != 1 or self._odd:
            label = self._fitted(label)
        if self.ragged:
            values = np.atleast_1d(label)
            out[0] = len(values)
            out[1 : 1 + len(values)] = values
        else:
            out[:] = label
        if self._classes:
            self._check(np.atleast_1d(label))

    def num_classes(self, contents: Contents) -> int | None:
        """Return the number of classes of a set whose labels these are."""
        return contents.num_classes(self.column, self.listed())

    def rule(self) -> npt.NDArray[np.int64]:
        """Return how compiled code makes the rows: see `Labels`."""
        from gpuio.kernels.records import BY_CALLER, COLUMN, FIXED, RAGGED

        column = 0 if self._column is None else self._column
        mode = RAGGED if self.ragged else FIXED if self._column is None else COLUMN
        if self._listed is not None or (self.ragged and self._column is not None):
            mode = BY_CALLER
        return np.array([mode, 0, column, self._classes, 0], np.int64)

    def take_listed(self, out: npt.NDArray[np.float32], ids: list[int]) -> list[int]:
        """Write the rows of ids from the list: see `Labels`."""
        assert self._listed is not None
        if not (self.ragged or self._classes):
            found = [label for label in map(self._listed.get, ids) if label is not None]
            if len(found) == len(ids) > 0 and all(len(label) == self.width for label in found):
                out[:] = np.concatenate(found).reshape(len(ids), self.width)
                return []
        return take_each(self.take, out, ids)

    def wrong_in(self, row: npt.NDArray[np.float32]) -> WrongLabel:
        """Never asked for: `rule` takes no label that is wrong."""
        raise NotImplementedError

    def _from_list(self, identity: int) -> npt.NDArray[np.float32]:
        """Return the list's labels for an id."""
        assert self._listed is not None
        found = listed_label(self._listed, identity)
        return found if len(found) == self.width else np.atleast_1d(self._fitted(found))

    def _fitted(self, label: _Label) -> _Label:
        """Return what is asked for of a record's labels."""
        width = np.size(label)
        if self._column is not None:
            if self._column < width:
                return np.atleast_1d(label)[self._column]  # type: ignore[no-any-return]
            raise RecordError(
                f"record has {number_of_labels(width)}, label_column asks for number "
                f"{self._column}, counted from 0"
            )
        if width == self.width or (self.ragged and width < self.width):
            return label
        raise RecordError(
            f"record has {number_of_labels(width)}, label_width asks for {self.width}"
            + (f", as {self._guess}: label_width='ragged' takes all" if self._guess else _OTHER)
        )

    def _check(self, values: npt.NDArray[np.float32]) -> None:
        """Refuse labels that are not classes."""
        good = (values >= 0) & (values == np.floor(values)) & np.isfinite(values)
        if not good.all():
            raise RecordError(
                f"label {values[~good][0]:g} is not a class: label_type='class' asks for whole "
                "numbers from 0"
            )

    def described(self) -> list[LabelDesc]:
        """Return the one array of labels, a number per row or several."""
        shape = (self._batch_size, self._handed_out) if self._wide else (self._batch_size,)
        return [LabelDesc(self._name, shape, np.float32)]

    def handed_out(
        self, rows: npt.NDArray[np.float32]
    ) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int32] | None]:
        """Return a finished batch's array of labels, host, and its `label_count`: see `Labels`."""
        labels, count = self.split(rows)
        return [labels if self._wide else labels[:, 0]], count

    def split(
        self, rows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32] | None]:
        """Return finished rows as they are handed out, and how many labels each of them has.

        Parameters
        ----------
        rows : float32[B, columns]

        Returns
        -------
        label : float32[B, width]       ragged rows filled up with -1
        count : int32[B] or None        None unless ragged; 0 for a row without a record
        """
        if not self.ragged:
            return rows, None
        count, made = rows[:, 0].astype(np.int32), rows[:, 1:].copy()
        made[np.arange(self.width) >= count[:, None]] = _PAD
        return made, count


def number_of_labels(width: int) -> str:
    """Say a number of labels."""
    return f"{width} label{'' if width == 1 else 's'}"
