"""The label row of each record of a detection set: boxes, of a different number each.

How a row lies: `gpuio.kernels.plan.box_label`; what is read has zeros for the first three numbers,
which belong to the augmented image.

Invariant: a label that is taken is a header of A >= 2 numbers, A and B >= 5 first, and whole
objects of B numbers: none of them for an image that shows only background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioError, OptionError, RecordError
from gpuio.kernels.plan.box_label import (
    LEAST_HEADER,
    LEAST_OBJECT,
    ONE_OBJECT,
    ROW_HEAD,
    ROW_SIZE,
    label_of,
    objects_of,
)
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import Contents
from gpuio.recordio.lists import read_label_list
from gpuio.storage.stored import StoredFile
from gpuio.tasks.box_check import LateWrongBoxes, WrongBoxes, check_form, wrong_boxes
from gpuio.tasks.labels import LabelList, listed_label, take_each
from gpuio.tasks.task import LabelDesc

__all__ = ["BoxLabels", "LabelSizes", "measure_labels"]

_LOOKED_AT = 40  # bytes of a record: framing, header and the first two numbers of its label
_AT_ONCE = 1024  # records whose beginnings are read together


@attrs.frozen
class LabelSizes:
    """The largest label of a set: numbers in all, numbers of an object."""

    width: int
    object_width: int


class BoxLabels:
    """Make and hand out label rows of boxes: see `Labels`.

    Parameters
    ----------
    options : ImageDetRecordOptions     label_width, label_pad_width, label_pad_value, label_format,
                                        bad_boxes, label_name, batch_size
    sizes : LabelSizes                  of the set: see `measure_labels`
    listed : dict of id to float32[n], optional
                                        labels of path_imglist, which replace the records' own

    Attributes
    ----------
    label_pad_width : int               numbers to which labels are padded
    object_width : int                  numbers of the widest object
    max_objects : int                   for which a label has room
    """

    def __init__(
        self, options: ImageDetRecordOptions, sizes: LabelSizes, listed: LabelList | None = None
    ) -> None:
        self._options, self._list, self._label_width = options, listed, options.label_width
        self.label_pad_width = max(options.label_pad_width, sizes.width)
        self.object_width = sizes.object_width
        self.max_objects = (self.label_pad_width - LEAST_HEADER) // self.object_width
        self.no_label = np.zeros(ROW_HEAD + self.label_pad_width, np.float32)
        self.no_label[ROW_HEAD:] = options.label_pad_value

    def take(
        self,
        out: npt.NDArray[np.float32],
        flag: int,
        label: float | npt.NDArray[np.float32] | None,
        identity: int,
    ) -> WrongBoxes | None:
        """Check a record's label, or the list's label for its id, and write it: see `Labels`."""
        if self._list is not None:
            listed = listed_label(self._list, identity)
        elif flag == 0 or label is None:
            raise RecordError(
                "record has no packed label: detection needs a header and boxes, as `gpuio im2rec "
                "--pack-label` writes them, or path_imglist"
            )
        else:
            listed = np.asarray(label, np.float32)
        if self._label_width > 0 and len(listed) != self._label_width:
            raise RecordError(
                f"label has {len(listed)} numbers, label_width asks for {self._label_width}"
            )
        check_form(listed)
        wrong = wrong_boxes(listed)
        if wrong is not None:
            if self._options.bad_boxes == "raise":
                raise RecordError(str(wrong))
            if self._options.bad_boxes == "drop":
                listed = np.concatenate([listed[: int(listed[0])], wrong.right.ravel()])
        if len(listed) > self.label_pad_width:
            raise RecordError(
                f"label has {len(listed)} numbers, label_pad_width={self.label_pad_width} holds no "
                "more"
            )
        out[ROW_SIZE] = len(listed)
        out[ROW_HEAD : ROW_HEAD + len(listed)] = listed
        return wrong

    def num_classes(self, contents: Contents) -> int | None:
        """Return the number of classes of a set; boxes' ids are not looked at."""
        return contents.num_classes()

    def rule(self) -> npt.NDArray[np.int64]:
        """Return how compiled code makes the rows: see `Labels`."""
        from gpuio.kernels.pointers import address
        from gpuio.kernels.record_boxes import take_boxes
        from gpuio.kernels.record_labels import BOXES
        from gpuio.kernels.records import BY_CALLER, DETECTION

        if self._list is not None:
            return np.array([BY_CALLER, 0, 0, 0, 0], np.int64)
        accepts = self._options.bad_boxes == "accept"
        boxes = address(take_boxes, BOXES)
        return np.array([DETECTION, self._label_width, 0, accepts, boxes], np.int64)

    def take_listed(self, out: npt.NDArray[np.float32], ids: list[int]) -> list[int]:
        """Write the rows of ids from the list: see `Labels`."""
        return take_each(self.take, out, ids)

    def wrong_in(self, row: npt.NDArray[np.float32]) -> LateWrongBoxes:
        """Return what is wrong in a row, float32[columns], that was made with wrong boxes."""
        return LateWrongBoxes(label_of(row).copy())

    def described(self) -> list[LabelDesc]:
        """Return the rows as they are, or with label_format='boxes' objects and their numbers."""
        name, rows = self._options.label_name, self._options.batch_size
        if self._options.label_format == "mxnet":
            return [LabelDesc(name, (rows, len(self.no_label)), np.float32)]
        return [
            LabelDesc(name, (rows, self.max_objects, self.object_width), np.float32),
            LabelDesc(f"{name}_count", (rows,), np.int32),
        ]

    def handed_out(
        self, rows: npt.NDArray[np.float32]
    ) -> tuple[list[npt.NDArray[Any]], npt.NDArray[np.int32] | None]:
        """Return a finished batch's arrays of labels, host; there is no `label_count`."""
        if self._options.label_format == "mxnet":
            return [rows], None
        shape = len(rows), self.max_objects, self.object_width
        boxes = np.full(shape, self._options.label_pad_value, np.float32)
        count = np.zeros(len(rows), np.int32)
        for number, row in enumerate(rows):
            label = label_of(row)
            objects = objects_of(label) if len(label) > 0 else label
            if len(objects) > 0:
                count[number] = len(objects)
                boxes[number, : len(objects), : objects.shape[1]] = objects
        return [boxes, count], None


def measure_labels(
    table: RecordTable,
    files: Sequence[StoredFile],
    rows: npt.NDArray[np.int64],
    options: ImageDetRecordOptions,
) -> tuple[LabelSizes, LabelList | None]:
    """Find the widest label of a part, or of path_imglist; read that list.

    Parameters
    ----------
    table : RecordTable
    files : sequence of StoredFile   one per path of the table
    rows : int64[n]             the part's rows of the table
    options : ImageDetRecordOptions

    Returns
    -------
    LabelSizes
    dict of id to float32[n], or None where there is no path_imglist

    Raises
    ------
    OptionError                 label_pad_width is smaller than the widest label
    FormatError, StorageError   a list that cannot be read or holds no line; a file that cannot be
                                read
    """
    if options.path_imglist:
        width = options.label_width if options.label_width > 0 else None
        labels = read_label_list(options.path_imglist, width)
        if not labels:
            raise FormatError("list file holds no line", path=options.path_imglist)
        found = [(len(label), label[1] if len(label) > 1 else 0) for label in labels.values()]
        widest = f"of path_imglist {options.path_imglist}"
        sizes = _largest(np.array(found, np.float64))
    else:
        labels = None
        measured = _measure(table, files, rows)
        sizes = _largest(measured)
        row = int(rows[measured[:, 0].argmax()])
        widest = (
            f"[path={table.paths[table.file[row]]}, key={int(table.key[row])}, "
            f"offset={int(table.offset[row])}]"
        )
    if 0 < options.label_pad_width < sizes.width:
        raise OptionError(
            f"label_pad_width: {options.label_pad_width} is smaller than {sizes.width}, the widest "
            f"label {widest}; 0 takes the widest"
        )
    return sizes, labels


def _largest(measured: npt.NDArray[np.float64]) -> LabelSizes:
    """Return the largest sizes of float64[n, 2], at least those of a label of one object."""
    numbers, width = measured.T
    usable = width[
        width <= numbers - LEAST_HEADER
    ]  # of no object (background) and damage count not
    widest = usable.max(initial=LEAST_OBJECT)
    return LabelSizes(int(numbers.max(initial=ONE_OBJECT)), int(widest))


def _measure(
    table: RecordTable, files: Sequence[StoredFile], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the numbers of each label and of its objects, float64[n, 2]; 0 for damage."""
    found = np.zeros((len(rows), 2))
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        for number in np.unique(table.file[some]):
            chosen = np.flatnonzero(table.file[some] == number)
            offset, length = table.offset[some[chosen]], table.length[some[chosen]]
            starts = files[number].read_ranges(offset, np.minimum(length, _LOOKED_AT))
            for at, start, where, size in zip(chosen, starts, offset, length, strict=True):
                whole = files[number].read(int(where), int(size)) if _in_parts(start) else start
                found[first + at] = _sizes_of(whole, int(size))
    return found


def _in_parts(start: memoryview) -> bool:
    """Say whether a record is stored in several parts: then its beginning may be too short."""
    return len(start) >= 8 and int.from_bytes(start[4:8], "little") >> 29 != 0


def _sizes_of(framed: bytes | memoryview, size: int) -> tuple[float, float]:
    """Return the numbers of a label and of its objects; zeros where there is no label."""
    try:
        if _in_parts(memoryview(framed)):
            flag, label, *_ = parse_image_record(unframe(framed))
            return (flag, float(np.asarray(label)[1])) if flag > 1 else (flag, 0)
    except GpuioError:
        return 0, 0
    flag = int.from_bytes(framed[8:12], "little")
    if len(framed) < _LOOKED_AT or flag < 2 or 32 + 4 * flag > size:
        return 0, 0
    return flag, float(np.frombuffer(framed, "<f4", 2, 32)[1])
