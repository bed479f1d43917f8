"""Options about what is read: files, parts, labels."""

from __future__ import annotations

from typing import Any

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["DamageOptions", "FileOptions", "LabelOptions", "LayoutOptions"]


def label_width(value: Any) -> int | str:
    """Return a number of labels, or 'auto' or 'ragged'."""
    return value if value in ("auto", "ragged") else convert.positive(value)


def number_of_parts(value: Any) -> int | str:
    """Return a number of parts, or 'auto'."""
    return value if value == "auto" else convert.positive(value)


@attrs.frozen(kw_only=True, slots=False)
class FileOptions:
    """Options of all record iterators about the files."""

    path_imgrec: str | tuple[str, ...] = option(
        "",
        convert.each_path,
        "The .rec file, or several: a list, 'a.rec;b.rec', a directory, or a regular expression as "
        "the last part of the path; or a manifest of parts, NAME.json.",
        differs="Several files may also come as a list; a directory is read in sorted order, its "
        "other files only where it has no .rec; where no name matches the regular expression, * "
        "and ? stand for any characters. `gpuio manifest` makes a manifest.",
    )
    path_imgidx: str | tuple[str, ...] = option(
        "",
        convert.each_path,
        "The .idx file of each .rec. With it `shuffle` is a full permutation and parts hold equal "
        "numbers of records.",
        differs="MXNet crashes on a missing or foreign index; here it is an error, unless reindex. "
        "A folder, or a pattern with * and ?, means NAME.idx in it for each NAME.rec.",
    )
    path_imglist: str = option(
        "",
        convert.path,
        "A .lst file whose labels replace those in the records; looked up by the record's id.",
        differs="MXNet reads words as 0, ignores further columns and takes the last line of an id; "
        "here these are errors that name the line.",
    )
    data_shape: tuple[int, int, int] = option(
        None,
        convert.optional(convert.shape),
        "Shape of one image in the batch: channels (1 gray, 3 RGB, 4 RGBA), height, width. "
        "Required.",
        unit="pixels",
    )
    batch_size: int = option(
        None,
        convert.optional(convert.positive),
        "Images per batch. Required.",
        differs="MXNet takes 0; here it is an OptionError.",
    )
    num_parts: int = option(
        1,
        number_of_parts,
        "Number of parts (shards) the records are divided into, as `shard` says; 'auto' takes it "
        "and part_index from the launcher of this process: torchrun, SLURM (srun), Open MPI or "
        "PMI; one part where there is none.",
        differs="'auto' is ours.",
    )
    part_index: int = option(
        0, convert.integer(0), "The part this iterator reads, 0 <= part_index < num_parts."
    )


@attrs.frozen(kw_only=True, slots=False)
class DamageOptions:
    """Options of our own, of all record iterators, about damaged files."""

    reindex: bool = option(
        False,
        convert.switch,
        "Index a file in memory, by one scan, where path_imgidx is not given, is missing (with a "
        "warning) or belongs to another file (likewise).",
        ours=True,
    )
    resync: bool = option(
        False,
        convert.switch,
        "Go on behind damaged framing (a bad magic, length or flag, a file that was cut) at the "
        "next record, instead of a FormatError at construction; what is skipped stands in a "
        "warning, in stats() and in error_log. With path_imgidx a damaged record is left to "
        "on_error in any case, and this only admits a file that was cut.",
        ours=True,
    )
    checksum: bool | str | tuple[str, ...] = option(
        "",
        convert.path_or_switch,
        "Check each record as it is read against the checksums that `gpuio checksum` wrote: True "
        "for the files beside the record files, or their paths. What differs is a RecordError, "
        "left to on_error.",
        ours=True,
    )


@attrs.frozen(kw_only=True, slots=False)
class LabelOptions:
    """Which augmenter, and which labels, for classification."""

    aug_seq: str = option(
        "aug_default",
        convert.choice("aug_default", ""),
        "Augmenters to apply, in order: 'aug_default', or '' for none, when every stored image "
        "already has the size of data_shape.",
        differs="With '' an image of another size is a RecordError; MXNet reads stray memory.",
    )
    label_width: int | str = option(
        1,
        label_width,
        "Number of float labels a record has; or 'auto', the number that records looked at when "
        "the files are opened agree on; or 'ragged', any: rows are filled up with -1 to the "
        "largest number, and the batch's label_count holds each row's.",
        differs="'auto' and 'ragged' are ours.",
    )


@attrs.frozen(kw_only=True, slots=False)
class LayoutOptions:
    """Options of our own about what a file's records and labels are, for classification."""

    record_layout: str = option(
        "auto",
        convert.choice("auto", "plain", "insightface"),
        "How the records of a file are arranged: 'plain', every record an image; 'insightface', a "
        "header record of key 0, wherever it lies, and identity records, which are left out; "
        "'auto' looks at a few records of each file and says what it found.",
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
