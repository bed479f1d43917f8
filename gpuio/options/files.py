"""Options of our own about what files are read and what their labels are."""

from __future__ import annotations

from typing import Any

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["FileOptions", "label_width"]


def label_width(value: Any) -> int | str:
    """Return a number of labels, or 'auto' or 'ragged'."""
    return value if value in ("auto", "ragged") else convert.positive(value)


@attrs.frozen(kw_only=True)
class FileOptions:
    """The part of `ImageRecordIter`'s options that is about the files."""

    record_layout: str = option(
        "auto",
        convert.choice("auto", "plain", "insightface"),
        "How the records of a file are arranged: 'plain', every record an image; 'insightface', a "
        "header record first and identity records at the end, which are left out; 'auto' looks at "
        "a few records of each file and says what it found.",
        ours=True,
    )
    payload: str = option(
        "auto",
        convert.choice("auto", "image_record", "raw"),
        "What a record is: 'image_record', header and image; 'raw', a bare image, whose id is its "
        "key in the index or its place in the files and whose label is path_imglist's or 0; 'auto' "
        "looks at a few records.",
        ours=True,
    )
    label_column: int | None = option(
        None,
        convert.optional(convert.integer(0)),
        "Take this one of a record's labels, from 0, as its only one. None takes all label_width "
        "of them; in InsightFace's layout with label_width=1 it takes the first.",
        ours=True,
    )
    label_type: str = option(
        "float",
        convert.choice("float", "class"),
        "What labels are: 'float', any number; 'class', whole numbers from 0, so that NaN, inf, a "
        "negative or a fractional label is a RecordError.",
        ours=True,
    )
    reindex: bool = option(
        False,
        convert.switch,
        "Index a file in memory, by one scan, where path_imgidx is not given, is missing (with a "
        "warning) or belongs to another file (likewise).",
        ours=True,
    )
