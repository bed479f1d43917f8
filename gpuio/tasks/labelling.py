"""Which labels are asked for, and how many a record has, where the options leave that to the files.

Invariant: what is decided here holds for every part and rank: all of the set is asked, not a part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, RecordError
from gpuio.options.image_record import ImageRecordOptions
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import Contents
from gpuio.recordio.lists import read_label_list
from gpuio.recordio.parts import check_few
from gpuio.recordio.sniff import Sniffed, sniff, spread
from gpuio.storage.files import open_stored
from gpuio.tasks.labels import LabelList, RecordLabels, number_of_labels

__all__ = ["open_labels"]

_SAMPLED = 64  # records, spread over the set, that label_width="auto" looks at
_CHECKED = 1000  # records that are opened, at most, to name the ids that a list lacks
_NAMED = 20  # ids that an error names


def open_labels(options: ImageRecordOptions, contents: Contents) -> RecordLabels:
    """Decide how labels are made, by the options and, where these leave it open, the files.

    Parameters
    ----------
    options : ImageRecordOptions    label_width, label_column, label_type, path_imglist, on_error,
                                    num_classes
    contents : Contents

    Raises
    ------
    OptionError                     options that conflict
    StorageError, FormatError       the list or a file cannot be read
    RecordError                     the records looked at have different numbers of labels; or, with
                                    on_error="raise", the list lacks ids of the records
    """
    asked, column = options.label_width, options.label_column
    if column is not None:
        _check_column(options, contents)
    listed = _listed(options, contents) if options.path_imglist else None
    if listed is None and column is None and asked == 1 and contents.insightface:
        column = 0  # arrays of several numbers, the first of them the class
    width, guess = 0, ""
    if isinstance(asked, int):
        width = asked
    elif asked == "ragged":
        check_few(contents.table, "label_width='ragged'")
        width = max(labels for labels, _ in _numbers(contents, listed, every=True))
    else:
        width, guess = _agreed(contents, listed)
    if options.num_classes is not None and (width != 1 or asked == "ragged"):
        raise OptionError(
            f"num_classes: needs one label per record, but label_width={asked!r}, {width} at most"
        )
    return RecordLabels(
        width,
        listed,
        ragged=asked == "ragged",
        column=column,
        classes=options.label_type == "class",
        guess=guess,
        name=options.label_name,
        batch_size=options.batch_size,
        num_classes=options.num_classes,
    )


def _check_column(options: ImageRecordOptions, contents: Contents) -> None:
    """Refuse label_column where there is no column to take."""
    trouble = ""
    if options.label_width != 1:
        trouble = f"label_width={options.label_width!r}"
    elif options.path_imglist:
        trouble = "path_imglist is given"
    elif contents.payload == "raw":
        trouble = "the files hold bare images, without labels"
    if trouble:
        raise OptionError(f"label_column: takes one of the records' own labels, but {trouble}")


def _listed(options: ImageRecordOptions, contents: Contents) -> LabelList:
    """Read path_imglist."""
    width = options.label_width if isinstance(options.label_width, int) else None
    listed = read_label_list(options.path_imglist, width)
    if not listed:
        raise FormatError("list file holds no line", path=options.path_imglist)
    if options.on_error == "raise":
        _check_ids(listed, contents)
    return listed


def _agreed(contents: Contents, listed: LabelList | None) -> tuple[int, str]:
    """Return the one number of labels that all that is looked at has, and whose it is."""
    found = dict(reversed(list(_numbers(contents, listed, every=False))))
    if len(found) > 1:
        one, other = sorted(found)[:2]
        raise RecordError(
            f"label_width='auto': {found[one]} has {number_of_labels(one)}, {found[other]} has "
            f"{other}: give label_width='ragged', or the number that is right",
            path=contents.table.paths[0],
        )
    ((width, name),) = found.items()
    return width, f"{name} has"


def _numbers(
    contents: Contents, listed: LabelList | None, *, every: bool
) -> Iterator[tuple[int, str]]:
    """Yield numbers of labels and whose they are, of all lines of a list, or of records."""
    if listed is not None:
        for identity, labels in listed.items():
            yield len(labels), f"id {identity} of path_imglist"
        return
    table, whole = contents.table, False
    if contents.payload == "image_record":
        count = len(table)
        rows = np.arange(count)
        if not every:
            rows = np.unique(spread(0, count, _SAMPLED))
        for row, seen in _glances(table, rows):
            if seen.kind in ("image", "empty", "unknown"):
                whole = True
                where = f" of {table.paths[table.file[row]]}" if len(table.paths) > 1 else ""
                yield max(seen.flag, 1), f"key {table.key[row]}{where}"
    if not whole:
        yield 1, "a bare image"


def _glances(table: RecordTable, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, Sniffed]]:
    """Look at some rows, in ascending order."""
    for number in np.unique(table.file[rows]).tolist():
        mine = rows[table.file[rows] == number]
        with open_stored(table.paths[number]) as file:
            for row in mine.tolist():
                yield row, sniff(file, int(table.offset[row]), int(table.length[row]))


def _check_ids(listed: LabelList, contents: Contents) -> None:
    """Refuse a list that lacks records' ids, and name them.

    Keys are ids where im2rec made the files; so only a record whose key the list lacks is opened to
    learn its id. An id that is missed here is an error at its record.
    """
    table = contents.table
    if not table.few:
        return  # a record that the list lacks is an error when it is read
    known = np.array([identity for identity in listed if identity < 1 << 63], np.int64)
    ids = np.asarray(contents.ids())
    odd = np.flatnonzero(~np.isin(ids, known))
    if len(odd) == 0:
        return
    missing: list[tuple[int, int]] = []
    looked = ""
    if contents.payload == "raw":
        missing = list(zip(odd.tolist(), ids[odd].tolist(), strict=True))
    else:
        looked = f" (of the first {_CHECKED:,} doubtful ones)" if len(odd) > _CHECKED else ""
        for row, seen in _glances(table, odd[:_CHECKED]):
            if seen.kind in ("image", "empty", "unknown") and seen.identity not in listed:
                missing.append((row, seen.identity))
    if not missing:
        return
    row, first = missing[0]
    others = [identity for _, identity in missing[1:]]
    more = f" and {len(others)} more: {', '.join(map(str, others[:_NAMED]))}" if others else ""
    more += ", ..." if len(others) > _NAMED else ""
    raise RecordError(
        f"path_imglist has no label for id {first}{more}{looked}: add a line for each, or leave "
        "path_imglist out to use the labels in the records",
        path=table.paths[table.file[row]],
        key=int(table.key[row]),
        offset=int(table.offset[row]),
    )
