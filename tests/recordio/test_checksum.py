"""Checksums vouch for records and for themselves."""

import json
import zlib

import numpy as np
import pytest

from gpuio.errors import FormatError, RecordError, StorageError
from gpuio.recordio.checksum import checksum_path, read_checksums, write_checksums
from gpuio.recordio.framing import encode
from support.making import offsets, write_rec


@pytest.fixture
def five(tmp_path):
    return write_rec(tmp_path, [bytes([i]) * (11 * i) for i in range(5)])


def test_every_record_has_its_crc(five):
    seen = []
    made = write_checksums(five[0], progress=lambda *at: seen.append(at))
    read = read_checksums(checksum_path(five[0]))
    with open(five[0], "rb") as file:
        data = file.read()
    ends = [*offsets(five[1])[1:], len(data)]
    pieces = [data[a:b] for a, b in zip(offsets(five[1]), ends, strict=True)]
    assert read.crc.tolist() == [zlib.crc32(piece) for piece in pieces]
    assert (read.offset.tolist(), read.length.tolist()) == (
        offsets(five[1]),
        [len(piece) for piece in pieces],
    )
    assert read.source_bytes == len(data)
    assert np.array_equal(made.crc, read.crc)
    assert seen[-1] == (5, 5)
    for at, piece in zip(offsets(five[1]), pieces, strict=True):
        read.check(at, piece)
        read.check(at, memoryview(piece + b"what follows"))


def test_records_of_many_megabytes_and_of_no_bytes_are_summed(tmp_path):
    rng = np.random.default_rng(0)
    framed = [encode(rng.bytes(size)) for size in (0, 5_000_000, 0, 0, 3_000_000, 2_000_000, 7)]
    path = tmp_path / "a.rec"
    path.write_bytes(b"".join(framed))
    made = write_checksums(path, tmp_path / "sums")
    assert made.crc.tolist() == [zlib.crc32(piece) for piece in framed]


def test_other_bytes_are_refused(five):
    sums = write_checksums(five[0])
    at = offsets(five[1])[3]
    with open(five[0], "rb") as file:
        file.seek(at)
        piece = bytearray(file.read(int(sums.length[3])))
    sums.check(at, bytes(piece))
    for place in range(len(piece)):
        piece[place] ^= 4
        with pytest.raises(RecordError, match=r"checksum 0x\w{8}, expected 0x\w{8}"):
            sums.check(at, bytes(piece))
        piece[place] ^= 4
    with pytest.raises(RecordError, match=f"was {len(piece)} bytes long .* {len(piece) - 1} now"):
        sums.check(at, bytes(piece[:-1]))
    for elsewhere in (at + 4, 10**9):
        with pytest.raises(RecordError, match="has no checksum of a record here"):
            sums.check(elsewhere, bytes(piece))


def test_a_damaged_record_file_gets_no_checksums(five, tmp_path):
    with open(five[0], "r+b") as file:
        file.write(b"\0")
    with pytest.raises(FormatError, match="bad magic"):
        write_checksums(five[0])
    assert not (tmp_path / "data.rec.crc32").exists()


def test_every_flipped_bit_and_every_cut_of_the_file_is_noticed(five, tmp_path):
    write_checksums(five[0])
    path = tmp_path / "data.rec.crc32"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(FormatError):
            read_checksums(path)
        path.write_bytes(content[:place])
        with pytest.raises(FormatError):
            read_checksums(path)


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"[]", b"1", b"[" * 5000, b"{}", b'{"gpuio_checksums": 1}'],
)
def test_what_is_no_file_of_checksums_is_refused(tmp_path, line):
    path = tmp_path / "sums"
    path.write_bytes(line + b"\n" + bytes(100))
    with pytest.raises(FormatError, match="not a file of checksums"):
        read_checksums(path)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("gpuio_checksums", 2, "version 2"),
        ("algorithm", "md5", "'md5'"),
        ("records", -1, "damaged"),
        ("records", 10**18, "damaged"),
        ("records", "5", "damaged"),
        ("records", True, "damaged"),
        ("source_bytes", "x", "damaged"),
    ],
)
def test_a_head_that_says_something_else_is_refused(tmp_path, field, value, says):
    head = {"gpuio_checksums": 1, "algorithm": "crc32", "records": 0, "source_bytes": 0}
    content = json.dumps({**head, field: value}).encode() + b"\n"
    path = tmp_path / "sums"
    path.write_bytes(content + zlib.crc32(content).to_bytes(4, "little"))
    with pytest.raises(FormatError, match=says):
        read_checksums(path)


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="gpuio checksum"):
        read_checksums(tmp_path / "no")
