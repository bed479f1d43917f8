"""RECORDS: what a batch's records say of themselves, read in one pass without the GIL.

The pass goes over framed records in memory and fills one row for each: where label and image lie,
and the facts of a JPEG's header. It follows, byte for byte, the Python that defines them:
`recordio.framing.unframe`, `recordio.header.parse_image_record`, the label rules of
`tasks.labels` and `tasks.box_labels`, and what `jpeg` names.

Invariants: a row is OK only if that Python raises nothing for the record, and its fields are then
what Python finds. Any doubt is a mark, and a marked record is read in Python, where every error and
its wording lives. Nothing is read outside a record.

A record goes through the stages framing, header, label, image, and a mark names the first that it
did not pass; what the stages before it found is in the row, all else is zero:

========  ==========================================================================================
OK        every field is there
ABSENT    no record: a negative length
FRAMING   no bytes of one whole part: damage, several parts, cut short
HEADER    shorter than an image record's header, or than the labels that it announces
LABEL     another number of labels than the rule takes, no class, no boxes or a wrong one, a
          header's label of NaN
FORMAT    bytes that do not start as a JPEG's do, or none
DAMAGE    a JPEG whose header is damaged or of a kind that is not decoded, or has a sampling factor
          that is not 1 to 4
LIMIT     no pixels, more than max_pixels, too many scans
========  ==========================================================================================
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from gpuio.kernels.addresses import read_byte, read_f32, read_u32, read_u64
from gpuio.kernels.image_header import HEADER as IMAGE_HEADER
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.jpeg import DAMAGE, FORMAT, JPEG, LIMIT, OK, has_end, read_jpeg
from gpuio.kernels.pointers import caller, view
from gpuio.kernels.record_labels import BOXES, REFUSED, TAKEN, WRONG

__all__ = [
    "ABSENT",
    "BY_CALLER",
    "COLUMN",
    "DAMAGE",
    "DETECTION",
    "FIXED",
    "FORMAT",
    "FRAMING",
    "HEADER",
    "JPEG",
    "LABEL",
    "LIMIT",
    "OK",
    "RAGGED",
    "RECORDS",
    "read_records",
]

ABSENT, FRAMING, HEADER, LABEL = range(1, 5)

# label rules: the first number of `rule`
BY_CALLER = 0  # rows are left as they are
FIXED = 1  # as many labels as a row has
RAGGED = 2  # their number, then the labels: at most as many as a row has behind it
COLUMN = 3  # one of them
DETECTION = 4  # three zeros, their number, then a header and objects

RECORDS = np.dtype(
    [
        ("labels", np.int64),  # address of the float32[flag], at any alignment; 0 where flag is 0
        ("payload", np.int64),  # address of the image's first byte
        ("size", np.int64),  # bytes of the image
        ("id", np.uint64),
        ("id2", np.uint64),
        ("flag", np.uint32),  # labels behind the header
        ("label", np.float32),  # the header's own
        *((name, IMAGE_HEADER[name]) for name in IMAGE_HEADER.names or ()),  # as they lie there
        ("status", np.int32),  # OK or a mark
        ("wrong", np.int32),  # 1 where DETECTION took a label in which boxes are wrong; else 0
    ],
    align=True,
)

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_HEADER_BYTES = 24
_FACTS = len(IMAGE_HEADER.names or ())

_boxes = caller(BOXES)
_words_at = view(types.int32)


@inner
def _take_label(row, raw, rule, out):
    """Write a record's label row; return REFUSED, TAKEN or WRONG."""
    mode, width, column, classes = rule[0], rule[1], rule[2], rule[3]
    if mode == BY_CALLER:
        return TAKEN
    labels, count = row.labels, np.int64(row.flag)
    if mode == DETECTION:
        if raw or rule[4] == 0:
            return np.int64(REFUSED)
        return _boxes(rule[4], (labels, count, width, classes, out))
    first = 1 if mode == RAGGED else 0
    if raw:  # no label at all is a 0
        if first and out.size < 2:
            return REFUSED
        for k in range(2 if first else out.size):
            out[k] = first if k == 0 else 0
        return TAKEN
    if count == 0:
        single = row.label
        if single != single:  # Python's float has its own idea of a NaN's bits
            return REFUSED
        labels, count = row.payload - _HEADER_BYTES + 4, 1  # the header's own
    if mode == COLUMN:
        if column < 0 or column >= count or out.size != 1:
            return REFUSED
        labels, count = labels + 4 * column, 1
    elif mode == FIXED:
        if count != out.size:
            return REFUSED
    elif count + 1 > out.size:
        return REFUSED
    if classes:
        for k in range(count):
            value = read_f32(labels, 4 * k)
            # from 2^23 on every float32 is a whole number
            if not (0 <= value < np.inf and (value >= 1 << 23 or value == np.int64(value))):
                return REFUSED
    if first:
        out[0] = count
    for k in range(count):
        out[first + k] = read_f32(labels, 4 * k)
    return TAKEN


@inner
def _header(address, length, raw, row):
    """Fill in what framing and an image record's header say; return OK or a mark."""
    if length < 0:
        return ABSENT
    if length < 8:
        return FRAMING
    size = read_u32(address, 4)
    if read_u32(address, 0) != _MAGIC or size >> _LENGTH_BITS != 0 or size > length - 8:
        return FRAMING
    payload = address + 8
    if not raw:
        if size < _HEADER_BYTES:
            return HEADER
        flag = read_u32(payload, 0)
        start = _HEADER_BYTES + 4 * flag
        if start > size:
            return HEADER
        row.flag, row.label = flag, read_f32(payload, 4)
        row.id, row.id2 = read_u64(payload, 8), read_u64(payload, 16)
        row.labels = payload + _HEADER_BYTES if flag else 0
        payload, size = payload + start, size - start
    row.payload, row.size = payload, size
    return OK


@inner
def _copy_facts(place, row):
    """Fill in an image's header from where it is kept."""
    facts = _words_at(place, types.int64(_FACTS))
    row.kind, row.height, row.width, row.channels = facts[0], facts[1], facts[2], facts[3]
    row.bits, row.orientation, row.frame = facts[4], facts[5], facts[6]
    row.sampling, row.frame_at, row.scans = np.uint32(facts[7]), facts[8], facts[9]
    row.one_scan, row.shortens, row.ended = facts[10], facts[11], facts[12]


@inner
def _copy_row(other, row):
    """Fill in an image's header from another row, all but `ended`."""
    row.kind, row.height, row.width = other.kind, other.height, other.width
    row.channels, row.bits, row.orientation = other.channels, other.bits, other.orientation
    row.frame, row.sampling, row.frame_at = other.frame, other.sampling, other.frame_at
    row.scans, row.one_scan, row.shortens = other.scans, other.one_scan, other.shortens


@inner
def _begin_alike(one, other, size):
    """Say whether two pieces of memory begin with as many equal bytes."""
    at = types.int64(0)
    while at + 32 <= size:
        off = (read_u64(one, at) ^ read_u64(other, at)) | (
            read_u64(one, at + 8) ^ read_u64(other, at + 8)
        )
        off |= (read_u64(one, at + 16) ^ read_u64(other, at + 16)) | (
            read_u64(one, at + 24) ^ read_u64(other, at + 24)
        )
        if off != 0:
            return False
        at += 32
    while at < size:
        if read_byte(one, at) != read_byte(other, at):
            return False
        at += 1
    return True


_rows = numba.from_dtype(RECORDS)[::1]
_i64s, _f32s = types.int64[::1], types.float32[:, ::1]
_rows_at, _labels_at = view(numba.from_dtype(RECORDS)), view(types.float32)
_rule_at, _sizes_at = view(types.int64), view(types.int32)


@kernel(
    types.UniTuple(types.int64, 2)(
        _i64s, _i64s, types.boolean, types.uint64[::1], _i64s, types.int64, types.int64,
        types.boolean, _rows, _f32s, _i64s, types.int64[:, ::1], types.int32[:, ::1],
    ),
    "addresses",
    "pointers",
    "jpeg",
    "record_labels",
)  # fmt: skip
def read_records(
    addresses, lengths, raw, ids, rule, max_pixels, max_scans, upright, out, labels, facts, spots,
    sizes,
):  # fmt: skip
    """Read framed records in memory.

    Parameters
    ----------
    addresses : int64[B]        of each record's first byte, at any alignment
    lengths : int64[B]          bytes there; may go on behind the record; below 0: no record
    raw : bool                  payloads are bare images, not image records
    ids : uint64[B]             of bare images; not looked at otherwise
    rule : int64[5]             FIXED, RAGGED, COLUMN, DETECTION or BY_CALLER; how many numbers
                                DETECTION asks for, 0 for any; the COLUMN; 1 to refuse labels that
                                are not classes, or for DETECTION to take labels whose boxes are
                                wrong; for DETECTION the address of a BOXES, else 0
    max_pixels : int            0 to 2^58, as `check_size` and `check_scans` take it
    max_scans : int             as `check_scans` takes it
    upright : bool              EXIF orientations are to be applied
    out : RECORDS[B]            zeros; gets a row per record
    labels : float32[B, columns]
                                gets the labels of records that passed the stage of the label; other
                                rows, and what a RAGGED or DETECTION row does not need, are left as
                                they are
    facts : int64[B]            addresses of the HEADERs of images that were looked at before: of
                                their records only what stands in front of the image is read; 0
                                for the others
    spots : int64[3, B]         where the images lie: bytes behind `addresses`, bytes, address; 0,
                                -1 and 0 of a row that is not OK
    sizes : int32[3, B]         height and width, and the orientation still to apply: 0, 0 and 1 of
                                a row that is not OK

    Returns
    -------
    int, int                    rows that are neither OK nor ABSENT; those whose `wrong` is 1
    """
    # views count no references: an array that is handed on costs two atomic instructions a call
    rows = _rows_at(types.int64(out.ctypes.data), out.size)
    rule_ = _rule_at(types.int64(rule.ctypes.data), rule.size)
    first_label, columns = types.int64(labels.ctypes.data), labels.shape[1]
    refused = wrong = 0
    alike = front = types.int64(0)  # a JPEG, and how much of it says what it is
    known = types.int64(0)  # its row
    for i in range(rows.size):
        row = rows[i]
        status = _header(addresses[i], lengths[i], raw, row)
        if status == OK:
            if raw:
                row.id = ids[i]
            taken = _take_label(row, raw, rule_, _labels_at(first_label + 4 * i * columns, columns))
            row.wrong = 1 if taken == WRONG else 0
            if taken == REFUSED:
                status = LABEL
            elif facts[i] != 0:
                _copy_facts(facts[i], row)
            else:
                if front > 0 and row.size >= front and _begin_alike(row.payload, alike, front):
                    _copy_row(rows[known], row)
                    row.ended = has_end(row.payload, row.size)
                else:
                    status, front = read_jpeg(row.payload, row.size, row, max_pixels, max_scans)
                    alike, known = row.payload, i
        row.status = status
        wrong += row.wrong
        refused += status > ABSENT
        spots[0, i], spots[1, i], spots[2, i] = 0, -1, 0
        sizes[0, i], sizes[1, i], sizes[2, i] = 0, 0, 1
        if status == OK:
            spots[0, i], spots[1, i] = row.payload - addresses[i], row.size
            spots[2, i] = row.payload
            sizes[0, i], sizes[1, i] = row.height, row.width
            if upright:
                sizes[2, i] = max(row.orientation, 1)
                if row.orientation >= 5:
                    sizes[0, i], sizes[1, i] = row.width, row.height
    return refused, wrong
