"""One record's kind is told from its first bytes, and an image record is never mistaken."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.recordio.framing import encode
from gpuio.recordio.index import open_table
from gpuio.recordio.sniff import sniff, spread
from gpuio.storage.local import LocalFile
from support.faceset import record, sagemaker, write_payloads
from support.making import flat, jpeg, photo, png

JPEG, PNG = jpeg(photo(20, 30)), png(photo(20, 30))
MAGIC = 0xCED7230A


def look(folder, payload):
    rec, _ = write_payloads(folder, [payload])
    table = open_table([rec])
    with LocalFile(rec) as file:
        return sniff(file, 0, int(table.length[0]))


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (record(3.0, JPEG), "image"),
        (record(3.0, PNG), "image"),
        (record([1.0] * 40, JPEG), "image"),
        (record(3.0, b"RIFF\0\0\0\0WEBPVP8 "), "image"),
        (record(3.0, b"P6 2 2 255 ............"), "image"),
        (record(3.0), "empty"),
        (record([1.0, 2.0]), "empty"),
        (record(3.0, b"no signature"), "unknown"),
        (record(3.0, b"P"), "unknown"),
        (JPEG, "raw"),
        (PNG, "raw"),
        (b'{"label": 3}', "json"),
        (b'{"label": 3, "and": "more than twenty-four bytes"}', "json"),
        (sagemaker([1, 2, 3], 1), "protobuf"),
        (sagemaker([0.5] * 700, 1), "protobuf"),
        (b"", "unknown"),
        (b"short", "unknown"),
        (b"\n" * 30, "unknown"),
        (sagemaker([1, 2, 3], 1)[:-1], "unknown"),
        (sagemaker([1, 2, 3], 1) + b"\n", "unknown"),
    ],
)
def test_kinds(tmp_path, payload, kind):
    assert look(tmp_path, payload).kind == kind


def test_the_header_is_read(tmp_path):
    assert look(tmp_path, record([5.0, 6.0, 7.0], JPEG, 9)) == ("image", (5.0, 6.0), 3, 9)
    assert look(tmp_path, record(4.5, JPEG, 8)) == ("image", (4.5,), 0, 8)


@pytest.mark.parametrize("identity", [MAGIC, MAGIC << 32])
def test_a_header_in_two_parts_is_joined(tmp_path, identity):
    payload = record(2.0, JPEG, identity)
    assert encode(payload)[4:8] != struct.pack("<I", len(payload))  # it is in parts
    assert look(tmp_path, payload) == ("image", (2.0,), 0, identity)


@pytest.mark.parametrize("cut", [5, 20, 40])
def test_a_record_that_is_cut_is_damaged(tmp_path, cut):
    rec, _ = write_payloads(tmp_path, [record(1.0, JPEG)])
    with LocalFile(rec) as file:
        assert sniff(file, 0, cut).kind == "damaged"
        assert sniff(file, 4, 40).kind == "damaged"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(width=32), max_size=5) | st.floats(width=32),
    st.integers(0, 2**64 - 1),
    st.sampled_from([JPEG, PNG, flat(3), b""]),
)
def test_no_image_record_is_taken_for_another_kind(tmp_path_factory, label, identity, blob):
    folder = tmp_path_factory.mktemp("sniff")
    seen = look(folder, record(label, blob, identity))
    assert seen.kind == ("image" if blob else "empty")
    assert seen.identity == identity


@pytest.mark.parametrize("count", [1, 7, 16, 64, 10_000])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 10), (5, 69), (3, 100_003)])
def test_rows_are_spread_from_the_first_to_the_last(low, high, count):
    rows = spread(low, high, count)
    assert (len(rows), rows.dtype, rows[0]) == (count, np.int64, low)
    assert count == 1 or rows[-1] == high - 1
    steps = np.diff(rows)
    assert count == 1 or 0 <= steps.max() - steps.min() <= 1
    assert count <= high - low or set(rows.tolist()) == set(range(low, high))
