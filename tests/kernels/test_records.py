"""records: a row is OK only where Python raises nothing, and then says what Python says."""

import ctypes
import itertools
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from fuzz import image_mutants, mutants
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.decode.formats import FORMATS, probe
from gpuio.decode.limits import check_format, check_scans, check_size
from gpuio.errors import GpuioError
from gpuio.kernels import records
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.recordio.framing import encode, unframe
from gpuio.recordio.header import IRHeader, pack, parse_image_record
from gpuio.tasks.box_check import wrong_boxes
from gpuio.tasks.box_labels import BoxLabels, LabelSizes
from gpuio.tasks.labels import RecordLabels
from support import kinds
from support.coding import exif, frame, segment
from support.guarded import needs_pages, said
from support.making import jpeg, photo
from support.payloads import PAYLOADS, RECORDS

MAX_PIXELS, MAX_SCANS = 64_000_000, 100
ONE = RecordLabels(1)
FACE = jpeg(photo(112, 112))


def boxes(room, label_width=-1, **how):
    """Return the label rows of detection, of `room` numbers."""
    how |= {"data_shape": (3, 8, 8), "batch_size": 1, "label_width": label_width}
    options = ImageDetRecordOptions(**how)
    return BoxLabels(options, LabelSizes(room, 5))


def by_kernel(
    framed, labels=ONE, *, raw=False, ids=None, limits=(MAX_PIXELS, MAX_SCANS), upright=True,
    checked=False,
):  # fmt: skip
    """Return RECORDS[n] and label rows of framed records, each given as bytes or as an address."""
    kept = [None if isinstance(one, tuple) else ctypes.create_string_buffer(one, max(len(one), 1))
            for one in framed]  # fmt: skip
    places = [
        one if mine is None else (ctypes.addressof(mine), len(one))
        for one, mine in zip(framed, kept, strict=True)
    ]
    address, length = np.array(places, np.int64).reshape(-1, 2).T.copy()
    rows = np.zeros(len(framed), records.RECORDS)
    out = np.full((len(framed), len(labels.no_label)), 99, np.float32)
    ids = np.zeros(len(framed), np.uint64) if ids is None else ids
    numbers = labels.rule()
    none = np.zeros(len(rows), np.int64)
    spots, sizes = np.empty((3, len(rows)), np.int64), np.empty((3, len(rows)), np.int32)
    told = records.read_records(
        address, length, raw, ids, numbers, *limits, upright, rows, out, none, spots, sizes
    )
    if checked:
        check_told(rows, address, told, spots, sizes, upright=upright)
    for row, (start, _) in zip(rows, places, strict=True):
        row["payload"] -= start if row["payload"] else 0
        row["labels"] -= start if row["labels"] else 0
    return rows, out


def check_told(rows, address, told, spots, sizes, *, upright):
    """See that what is told of the rows, and where images lie, is what the rows say."""
    good = rows["status"] == records.OK
    assert told == ((rows["status"] > records.ABSENT).sum(), (rows["wrong"] != 0).sum())
    assert (spots[0] == np.where(good, rows["payload"] - address, 0)).all()
    assert (spots[1] == np.where(good, rows["size"], -1)).all()
    assert (spots[2] == np.where(good, rows["payload"], 0)).all()
    height, width = np.where(good, rows["height"], 0), np.where(good, rows["width"], 0)
    orientation = np.where(good & upright, np.maximum(rows["orientation"], 1), 1)
    turned = orientation >= 5
    assert (sizes[0] == np.where(turned, width, height)).all()
    assert (sizes[1] == np.where(turned, height, width)).all()
    assert (sizes[2] == orientation).all()


def by_python(framed, labels=ONE, *, raw=False, identity=0, limits=(MAX_PIXELS, MAX_SCANS)):
    """Return what Python finds in a record, None where it refuses it, as (facts, label row)."""
    out = np.full(len(labels.no_label), 99, np.float32)
    try:
        payload = unframe(framed)
        flag, label, id2, blob = 0, None, 0, payload
        if not raw:
            flag, label, identity, id2, blob = parse_image_record(payload)
        with np.errstate(invalid="ignore"):  # NumPy warns of a signalling NaN
            wrong = labels.take(out, flag, label, identity)
        if wrong is not None and not labels.rule()[3]:
            return None  # used without its wrong boxes, which only Python leaves out
        info = probe(blob)
        check_format(info, blob)
        check_size(info, limits[0])
        check_scans(info, limits[1], limits[0])
    except GpuioError:
        return None
    if info.format != "jpeg":
        return None
    facts = {
        "flag": flag,
        "id": identity,
        "id2": id2,
        "labels": 32 if flag else 0,
        "payload": 8 if raw else 32 + 4 * flag,
        "size": len(blob),
        "wrong": wrong is not None,
        **info._asdict(),
    }
    return facts, out


def same(framed, row, out, python):
    """Check a row against Python, and return whether it is OK."""
    if row["status"] != records.OK:
        return False
    assert python is not None, "Python refuses it"
    facts, label = python
    for name, value in facts.items():
        assert row[name] == value, (name, row[name], value)
    assert out.tobytes() == label.tobytes()
    assert row["flag"] > 0 or framed[8:] == b"" or row["label"].tobytes() == header_label(framed)
    return True


def header_label(framed):
    payload = unframe(framed)
    return bytes(4) if payload[:2] == b"\xff\xd8" else bytes(payload[4:8])


def agree(framed, labels=ONE, **how):
    """Check records against Python, and return the marks."""
    rows, out = by_kernel(framed, labels, checked=True, **how)
    by_kernel(framed, labels, checked=True, upright=False, **how)
    how.pop("ids", None)
    for one, row, label in zip(framed, rows, out, strict=True):
        same(one, row, label, by_python(one, labels, **how))
        if row["status"] in (records.FRAMING, records.HEADER, records.LABEL):
            assert (label == 99).all(), "labels of a marked record"
    return rows["status"].tolist()


def record(blob, label=3.0, identity=7, id2=1):
    return encode(pack(IRHeader(0, label, identity, id2), blob))


def has_sound_factors(blob):
    info = probe(blob)
    factors = blob[info.frame_at + 11 :: 3][: info.channels]
    return all(1 <= factor >> 4 <= 4 and 1 <= factor & 15 <= 4 for factor in factors)


def test_every_jpeg_of_the_kinds_is_vouched_for_and_nothing_else():
    known = kinds.decoded()
    blobs = [blob for blob, _, _ in known.values()]
    for raw in (False, True):
        framed = [encode(blob) if raw else record(blob) for blob in blobs]
        marks = agree(framed, raw=raw)
        for name, mark in zip(known, marks, strict=True):
            expected = records.OK if name.startswith("jpeg") and "2000" not in name else None
            assert mark == (records.FORMAT if expected is None else expected), name
    rows, _ = by_kernel([record(blob) for blob in blobs])
    found = {name: row for name, row in zip(known, rows, strict=True) if name.startswith("jpeg")}
    assert [found[f"jpeg exif {turn}"]["orientation"] for turn in range(1, 9)] == [*range(1, 9)]
    assert found["jpeg progressive"]["scans"] > 5
    assert found["jpeg three_scans"]["scans"] == 3
    assert found["jpeg restart markers"]["shortens"] == 0
    assert found["jpeg of several pictures"]["shortens"] == 0
    assert found["jpeg 420"]["shortens"] == 1
    assert found["jpeg cmyk"]["channels"] == 4


def test_the_end_is_looked_for_in_the_last_kibibyte():
    scan, end = b"\xff\xda", FACE[-2:]
    for behind in (0, 1, 2, 1020, 1021, 1022, 1023, 1024):
        for tail in (b"", scan, b"\xff"):
            assert agree([record(FACE + bytes(behind) + tail)]) == [records.OK]
            assert agree([record(FACE[:-2] + scan + end + tail + bytes(behind))]) == [records.OK]
    rows, _ = by_kernel([record(FACE + bytes(1022)), record(FACE + bytes(1023))])
    assert rows["ended"].tolist() == [1, 0]


def test_a_jpeg_that_begins_as_the_one_before_it_is_read_as_if_alone():
    scan = FACE.index(b"\xff\xda") + 12
    other = jpeg(photo(16, 24))
    changed = [FACE[:at] + bytes([FACE[at] ^ 1]) + FACE[at + 1 :] for at in range(scan + 8)]
    cut = [FACE[:size] for size in (*range(scan + 8), len(FACE) - 1)]
    longer = [FACE + bytes(3), FACE + bytes(2000), FACE, other, other, FACE]
    several = [one for blob in (*changed, *cut, *longer) for one in (FACE, blob)]
    marks = agree([record(blob) for blob in several])
    assert marks[::2] == [records.OK] * (len(several) // 2)
    alone = [by_kernel([record(blob)])[0][0] for blob in several[1::2]]
    rows, _ = by_kernel([record(blob) for blob in several])
    for row, single in zip(rows[1::2], alone, strict=True):
        assert all(row[name] == single[name] for name in records.RECORDS.names)


def test_what_is_refused_is_marked():
    framed = [record(blob) for blob, _ in kinds.refused().values()]
    marks = dict(zip(kinds.refused(), agree(framed), strict=True))
    # what is wrong with these is not in their headers: decoding finds it, and `ended` says it
    fine = {"jpeg cut in its scan", "jpeg without its end"}
    assert {name for name, mark in marks.items() if mark == records.OK} == fine
    rows, _ = by_kernel([record(kinds.refused()[name][0]) for name in fine])
    assert rows["ended"].tolist() == [0, 0]


def test_framing_and_headers():
    marks = agree([encode(payload) for payload in PAYLOADS])
    assert set(marks) == {records.FRAMING, records.HEADER}
    framed = [record(FACE, label, identity, id2) for label, identity, id2, _ in RECORDS]
    marks = agree(framed)
    assert set(marks) == {records.OK, records.FRAMING, records.LABEL}
    whole = record(FACE + bytes(1 - len(FACE) % 4))  # and padding
    assert set(agree([whole[:size] for size in range(len(whole))])) == {records.FRAMING, records.OK}
    marks = agree([encode(bytes(23)), encode(bytes(24)), whole + bytes(9), b""])
    assert marks == [records.HEADER, records.FORMAT, records.OK, records.FRAMING]
    for flag in range(8):
        word = struct.pack("<I", len(whole) - 8 | flag << 29)
        status = records.OK if flag == 0 else records.FRAMING
        assert agree([whole[:4] + word + whole[8:]]) == [status]


def test_absent_rows_are_left_alone():
    rows, out = by_kernel([(0, -1), (0, 0)])
    assert rows["status"].tolist() == [records.ABSENT, records.FRAMING]
    assert (out == 99).all()


SIGNALLING = np.array([0x7F800001], np.uint32).view(np.float32)  # a NaN that arithmetic changes
OBJECT = [0, 0.25, 0.25, 0.5, 0.5]
NAN = np.nan
LABELS = [
    *(0.0, -0.0, 3.0, 2.5, -1.0, np.nan, np.inf, 1e-40),
    *([], [4.0], [4.0, 5.5], [4.0, 8388609], [1, 2, 3], [np.nan, 1, np.inf, -3], SIGNALLING),
    *([2, 5, *OBJECT], [2, 5, *OBJECT, 9], [3, 6, 9, *OBJECT, 7], [9, 5, *OBJECT]),
    *([2, 5], [2], [3, 5], [3, 5, 9], [2, 4], [2, 3e38], [2, 5, 0]),
    *([2, 4, 0, 1, 1, 2], [2, np.inf, *OBJECT], [np.nan, 5, *OBJECT], [2, 1e9, *OBJECT]),
    *([2.9, 5.9, *OBJECT], [7, 5, *OBJECT], [2, 3e38, *OBJECT]),
    *(
        [2, 5, *OBJECT, *one]
        for one in (
            [-1] * 5,
            [0, NAN, 0, 1, 1],
            [np.inf, 0, 0, 1, 1],
            [0, 0, 0, np.inf, 1],
            [0, 0, 0, 0, 1],
            [0, 1, 0, 0.5, 1],
            [0, 0, 1, 1, 0.5],
            [0, 1, 1, 2, 2],
            [0, 10, 20, 100, 200],
            [0, -0.01, -0.01, 1.01, 1.01],
            [0, -0.02, 0, 1, 1],
            [0, 0, 0, 1, 1.02],
            [-1, 0, 0, 1, 1],
            [-0.0, 0, 0, 1, 1],
            [0.5, 0, 0, 1, 1],
            [2**24, 0, 0, 1, 1],
            [3e38, 0, 0, 1, 1],
            [0, -3e38, 0, 1, 1],
        )
    ),
    *([2, 5, *OBJECT * 2], [2, 5, *OBJECT * 8]),
]
RULES = [
    *(RecordLabels(width, classes=classes) for width in (1, 2, 3) for classes in (False, True)),
    *(RecordLabels(1, column=column, classes=column > 0) for column in (0, 1, 3)),
    *(RecordLabels(width, ragged=True, classes=width == 3) for width in (1, 2, 3, 12)),
    boxes(12),
    boxes(12, 7),
    boxes(42, 0),
    boxes(12, bad_boxes="raise"),
    boxes(12, bad_boxes="drop"),
]


@pytest.mark.parametrize("number", range(len(RULES)))
@pytest.mark.parametrize("raw", [False, True])
def test_labels_are_python_s(number, raw):
    labels = RULES[number]
    if raw:
        marks = agree([encode(FACE)], labels, raw=True)
        assert marks == [records.LABEL if isinstance(labels, BoxLabels) else records.OK]
        return
    framed = [record(FACE, label) for label in LABELS]
    marks = agree(framed, labels)
    for one, label, mark in zip(framed, LABELS, marks, strict=True):
        # of what Python takes only a NaN in the header is left to it
        takes = by_python(one, labels) is not None
        assert (mark == records.OK) == (takes and not np.isnan(label if np.ndim(label) == 0 else 0))
    assert records.OK in marks
    assert records.LABEL in marks


def test_wrong_boxes_are_taken_and_marked_where_the_options_accept_them():
    right, wrong = [2, 5, *OBJECT], [2, 5, *OBJECT, 0, np.nan, 0, 1, 1]
    framed = [record(FACE, np.array(label, np.float32)) for label in (right, wrong)]
    rows, out = by_kernel(framed, boxes(12))
    assert rows["wrong"].tolist() == [0, 1]
    assert rows["status"].tolist() == [records.OK] * 2
    said = boxes(12).wrong_in(out[1])
    assert (said.count, str(said)) == (1, str(wrong_boxes(np.array(wrong, np.float32))))


def test_a_nan_in_the_header_is_left_to_python():
    framed = bytearray(record(FACE))
    framed[12:16] = SIGNALLING.tobytes()
    assert agree([bytes(framed)]) == [records.LABEL]
    assert agree([bytes(framed)], RecordLabels(3)) == [records.LABEL]


def test_labels_left_to_the_caller_stay_as_they_are():
    labels = RecordLabels(2, {7: np.float32([1, 2])})
    rows, out = by_kernel([record(FACE, [1, 2, 3]), record(b"")], labels)
    assert rows["status"].tolist() == [records.OK, records.FORMAT]
    assert (out == 99).all()


def test_ids_of_bare_images_are_the_caller_s():
    ids = np.array([5, 2**64 - 1, 6], np.uint64)
    rows, _ = by_kernel([encode(FACE), encode(b"no image"), b"damage"], raw=True, ids=ids)
    assert rows["id"].tolist() == [5, 2**64 - 1, 0]


@pytest.mark.parametrize(
    "limits", [(1, 100), (112 * 112, 1), (112 * 112 - 1, 9), (2240, 10), (2240, 9)]
)
def test_limits_are_python_s(limits):
    blobs = [FACE, kinds.made("progressive"), kinds.made("three_scans"), kinds.made("one_scan")]
    framed = [record(blob) for blob in blobs]
    marks = agree(framed, limits=limits)
    for one, mark in zip(framed, marks, strict=True):
        fine = by_python(one, limits=limits) is not None
        assert mark == (records.OK if fine else records.LIMIT)


def jpegs():
    """Every JPEG that there is to damage."""
    found = [blob for blob, *_ in (*kinds.decoded().values(), *kinds.refused().values())
             if blob[:2] == b"\xff\xd8"]  # fmt: skip
    mpo = next(blob for blob in found if b"MPF\0" in blob)
    return [*found, exif(mpo, 6), jpeg(photo(9, 7, channels=1))]


def mutated(seed, count):
    """Yield damaged JPEGs: the same ones whatever ran before."""
    pool = jpegs()
    for number in range(count):
        rng = image_mutants.generator(seed, number)
        yield image_mutants.mutate(rng, pool[int(rng.integers(len(pool)))], pool)


def test_thousands_of_damaged_jpegs():
    seen = np.zeros(8, int)
    odd = 0
    for blob in mutated(23, 12_000):
        framed = encode(blob)
        (mark,) = agree([framed], raw=True)
        seen[mark] += 1
        if mark in (records.DAMAGE, records.LIMIT) and by_python(framed, raw=True) is not None:
            odd += 1
            assert not has_sound_factors(blob)
    assert seen[records.OK] > 6000
    assert min(seen[[records.FORMAT, records.DAMAGE, records.LIMIT]]) > 50
    assert odd < 120  # what is doubted in vain


def test_thousands_of_damaged_record_files():
    rng = random.Random(5)
    blobs = [*jpegs()[:6], FACE[:200], b""]
    labels = [1.0, [1.0, 2.0], [3.0], 4.0]
    sound = [record(blob, labels[k % 4], k) for k, blob in enumerate(blobs)]
    heads = np.cumsum([0, *map(len, sound)]).tolist()
    data = b"".join(sound)
    seen = np.zeros(8, int)
    for rule in (ONE, RecordLabels(3, ragged=True), RecordLabels(1, column=0)):
        for _ in range(700):
            mutant = mutants.mutate(rng, data, heads[:-1]).data.tobytes()
            framed = [mutant[at:end] for at, end in itertools.pairwise(heads)]
            for mark in agree(framed, rule):
                seen[mark] += 1
    assert seen[records.OK] > 3000
    assert min(np.delete(seen, [records.OK, records.ABSENT, records.LIMIT])) > 20


def exif_body(order, entries, first=8, magic=42):
    tiff = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", magic, first)
    body = b"".join(struct.pack(order + "HHIHH", tag, kind, 1, value, 0)
                    for tag, kind, value in entries)  # fmt: skip
    return (
        b"Exif\0\0"
        + tiff
        + bytes(max(first - 8, 0))
        + struct.pack(order + "H", len(entries))
        + body
    )


small = st.sampled_from([0, 1, 2, 8, 9, 255, 256, 65535])
entries = st.lists(
    st.tuples(st.sampled_from([0x112, 0x111, 0x1201]), st.integers(1, 4), st.integers(0, 9)),
    max_size=3,
)
PLAIN = [0xC4, 0xDB, 0xE0, 0xE2, 0xFE, 0xCC]
segments = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [
            b"\xff",
            b"\xff\xff",
            b"\xff\0",
            b"\xff\x01",
            b"\xff\xd3",
            b"\xff\xd8",
            b"\xff\xd9",
            b"\xff\xda",
        ]
    ),
    st.builds(segment, st.sampled_from(PLAIN), st.binary(max_size=12)),
    st.just(segment(0xDD, b"\0\4")),
    st.just(segment(0xE2, b"MPF\0MM\0*")),
    st.builds(
        lambda *args: segment(0xE1, exif_body(*args)),
        st.sampled_from("<>"),
        entries,
        st.sampled_from([0, 7, 8, 9, 20]),
        st.sampled_from([42, 43]),
    ),
    st.binary(max_size=30).map(lambda rest: segment(0xE1, b"Exif\0\0" + rest)),
    st.builds(
        frame,
        st.sampled_from([0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA, 0xCF]),
        small,
        small,
        st.sampled_from([8, 8, 8, 12]),
        st.sampled_from([1, 3, 3, 4, 2, 200]),
    ),
    st.builds(
        lambda marker, factors: segment(
            marker,
            struct.pack(">BHHB", 8, 40, 56, len(factors))
            + b"".join(bytes([c, factor, 0]) for c, factor in enumerate(factors)),
        ),
        st.sampled_from([0xC0, 0xC0, 0xC2]),
        st.lists(
            st.sampled_from([0x11, 0x21, 0x22, 0x12, 0x41, 0x42, 0x31, 0x10]),
            min_size=3,
            max_size=4,
        ),
    ),
    st.builds(
        lambda n, data: segment(0xDA, bytes([n] + [1, 0] * n + [0, 63, 0])) + data,
        st.integers(1, 4),
        st.binary(max_size=20),
    ),
    st.just(bytes(1020)),
)


@settings(max_examples=1500)
@given(st.lists(segments, max_size=8), st.booleans(), st.integers(0, 40), st.integers(0, 3))
def test_any_segments_in_any_order(parts, ended, cut, at_most):
    blob = b"\xff\xd8" + b"".join(parts) + b"\xff\xd9" * ended
    blob = blob[: max(len(blob) - cut, 0)] if cut < 20 else blob
    for limits in ((MAX_PIXELS, MAX_SCANS), (2240, at_most)):
        agree([encode(blob)], raw=True, limits=limits)
        agree([record(blob)], limits=limits)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_that_is_cut_anywhere(order):
    start = frame(0xC0, 56, 40, components=3)
    bodies = [
        exif_body(order, entries, first)
        for first in (8, 7, 0, 20)
        for entries in ([(0x112, 3, 6)], [(0x111, 3, 2), (0x112, 3, 8)], [(0x112, 4, 6)])
    ]
    framed = [
        encode(b"\xff\xd8" + segment(0xE1, body[: len(body) - cut]) + start + bytes(9))
        for body in bodies
        for cut in range(len(body) + 1)
    ]
    assert set(agree(framed, raw=True)) == {records.OK}
    rows, _ = by_kernel(framed, raw=True)
    assert {1, 6, 8} == set(rows["orientation"].tolist())


def test_every_order_of_what_may_stand_before_a_scan():
    pieces = [
        frame(0xC0, 56, 40, components=3), frame(0xC0, 9, 8), b"\xff\xfe\0\0", b"\xff\xd9\0\2",
        segment(0xE1, exif_body("<", [(0x112, 3, 6)])), segment(0xE2, b"MPF\0"), b"\xff", b"\0",
        segment(0xDD, b"\0\4"), b"\xff\0", b"\xff\xd5",
    ]  # fmt: skip
    scan = segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])) + b"data\xff\xd9"
    framed = [
        encode(b"\xff\xd8" + b"".join(order) + scan)
        for count in range(4)
        for order in itertools.permutations(pieces, count)
    ]
    assert set(agree(framed, raw=True)) == {records.OK, records.DAMAGE}


def test_the_property_tests_reach_rows_that_are_ok():
    blob = b"\xff\xd8" + b"".join([
        b"\xff", b"\xff\xd3", segment(0xE1, exif_body(">", [(0x111, 3, 2), (0x112, 3, 6)], 20)),
        frame(0xC0, 56, 40, components=3), segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
        b"\xff\xd9",
    ])  # fmt: skip
    rows, _ = by_kernel([record(blob)])
    assert (rows["status"], rows["orientation"], rows["shortens"]) == (records.OK, 6, 1)
    assert agree([record(blob)]) == [records.OK]


@settings(max_examples=600)
@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff"]))
def test_any_bytes(soup, start):
    for framed in (soup, encode(soup), encode(start + soup), record(start + soup)):
        for raw in (False, True):
            agree([framed], raw=raw)
            agree([framed], RecordLabels(3, ragged=True), raw=raw)
        agree([framed], boxes(16))


GUARDED = """
import test_records as t
from gpuio.tasks.labels import RecordLabels


def check(framed, **how):
    if len(framed) > SIZE:
        return
    here, its_labels = t.by_kernel([framed], **how)
    for at in {PAGE, PAGE + SIZE - len(framed)}:
        memory[at : at + len(framed)] = framed
        there, labels = t.by_kernel([(first + at, len(framed))], **how)
        assert here.tobytes() == there.tobytes() and labels.tobytes() == its_labels.tobytes()


for blob in t.mutated(29, 1500):
    check(t.encode(blob)[: 8 + len(blob)], raw=True)
for blob in t.jpegs():
    whole = t.record(blob, [1.0, 2.0, 3.0])
    for size in [*range(min(len(whole), 900)), len(whole) - 3, len(whole)]:
        check(whole[:size], labels=RecordLabels(3))
        # the record's last byte is the image's or the label's, without padding
        check(t.encode(blob[:size])[: 8 + size], raw=True)
        for labels in (RecordLabels(3), RecordLabels(8, ragged=True), t.boxes(16)):
            check(t.encode(whole[8 : 8 + size])[: 8 + size], labels=labels)
print("no byte beside a record was read")
"""


@needs_pages
def test_nothing_is_read_outside_a_record():
    assert said(GUARDED, 64, Path(__file__).parent) == "no byte beside a record was read"


def test_a_jpeg_is_the_kind_of_that_name():
    assert FORMATS[records.JPEG] == "jpeg"
