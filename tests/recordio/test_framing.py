"""Framing survives any payload, finds every record, and names every fault by its byte."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import FormatError, GpuioWarning
from gpuio.recordio import framing, header
from gpuio.recordio.framing import (
    MAX_PAYLOAD,
    encode,
    head_at,
    scan,
    split,
    unframe,
    watched,
    whole_at,
)
from gpuio.storage.local import LocalFile

MAGIC = bytes.fromhex("0a23d7ce")
M = MAGIC.hex()

# bytes with the magic, or pieces of it, at any place
payloads = st.lists(
    st.one_of(st.binary(max_size=9), st.just(MAGIC), st.just(MAGIC[:2]), st.just(MAGIC[1:])),
    max_size=12,
).map(b"".join)


@pytest.mark.parametrize(
    ("payload", "framed"),
    [
        (b"", f"{M}00000000"),
        (b"a", f"{M}0100000061000000"),
        (b"abcde", f"{M}050000006162636465000000"),
        (MAGIC, f"{M}00000020{M}00000060"),
        (MAGIC + b"x", f"{M}00000020{M}0100006078000000"),
        (b"abcd" + MAGIC + b"efg", f"{M}0400002061626364{M}0300006065666700"),
        (MAGIC + MAGIC, f"{M}00000020{M}00000040{M}00000060"),
        (b"abcd" + MAGIC * 2 + b"zz", f"{M}0400002061626364{M}00000040{M}020000607a7a0000"),
        (b"ab" + MAGIC + b"cd", f"{M}080000006162{M}6364"),
    ],
)
def test_framed_bytes_are_those_of_the_format(payload, framed):
    assert encode(payload).hex() == framed
    assert bytes(unframe(bytes.fromhex(framed))) == payload


@settings(max_examples=300, deadline=None)
@given(payloads)
def test_any_payload_comes_back(payload):
    framed = encode(payload)
    assert len(framed) % 4 == 0
    assert bytes(unframe(framed)) == payload
    assert bytes(unframe(framed + b"what follows")) == payload


def test_a_record_in_one_part_is_not_copied():
    framed = encode(b"payload")
    assert unframe(framed).obj is framed


@settings(max_examples=60, deadline=None)
@given(st.lists(payloads, max_size=30))
def test_a_scan_and_a_split_find_every_record(tmp_path_factory, many):
    framed = [encode(payload) for payload in many]
    path = tmp_path_factory.mktemp("scan") / "a.rec"
    path.write_bytes(b"".join(framed))
    expected = np.cumsum([0, *map(len, framed)])
    with LocalFile(path) as file:
        offsets, lengths = scan(file)
    assert offsets.tolist() == expected[:-1].tolist()
    assert lengths.tolist() == np.diff(expected).tolist()
    starts, sizes = split(np.frombuffer(b"".join(framed), np.uint8))
    assert (starts.tolist(), sizes.tolist()) == (offsets.tolist(), lengths.tolist())


def test_a_large_file_is_scanned_the_same_in_windows_and_by_hops(tmp_path):
    rng = np.random.default_rng(0)
    sizes = [
        *rng.integers(0, 9000, 1500),
        *rng.integers(40_000, 90_000, 200),
        12_000_000,
        *rng.integers(0, 9000, 500),
    ]
    blob = rng.bytes(12_000_000)
    framed = [encode(blob[:size] + (MAGIC if size % 7 == 0 else b"")) for size in sizes]
    path = tmp_path / "large.rec"
    path.write_bytes(b"".join(framed))
    with LocalFile(path) as file:
        offsets, lengths = scan(file)
    assert lengths.tolist() == list(map(len, framed))
    assert offsets.tolist() == np.cumsum([0, *map(len, framed)])[:-1].tolist()


def test_a_payload_of_the_largest_length_is_the_last_accepted():
    class Long(bytes):
        def __len__(self):
            return MAX_PAYLOAD + 1

    with pytest.raises(FormatError, match="536,870,912 bytes"):
        encode(Long())


GOOD = [encode(b"first"), encode(b"abcd" + MAGIC + b"second"), encode(b"third")]
AT = np.cumsum([0, *map(len, GOOD)]).tolist()


def broken(kind):
    """The three records with something wrong, and the offset the error must name."""
    data = bytearray(b"".join(GOOD))
    if kind == "magic":
        data[AT[2]] ^= 1
        return data, AT[2], "expected 0xced7230a, found 0xced7230b"
    if kind == "length":
        data[AT[2] + 4 : AT[2] + 8] = (0x1FFFFFFF).to_bytes(4, "little")
        return data, AT[2], "it ends at byte 536,870"
    if kind == "cut in the payload":
        return data[: AT[3] - 4], AT[2], "the file at"
    if kind == "cut in the header":
        return data[: AT[2] + 5], AT[2], "5 of 8 bytes"
    if kind == "first without last":
        return data[: AT[1] + 12], AT[1], "0 of 8 bytes"
    if kind == "last without first":
        data[AT[2] + 7] |= 0x60
        return data, AT[2], "bad continuation flag 3"
    if kind == "flag 5":
        data[AT[2] + 7] |= 0xA0
        return data, AT[2], "bad continuation flag 5"
    data[AT[1] + 12 + 7] = 0  # the second part of the second record says it is whole
    return data, AT[1], "bad continuation flag 0"


KINDS = [
    "magic",
    "length",
    "cut in the payload",
    "cut in the header",
    "first without last",
    "last without first",
    "flag 5",
    "whole inside",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_named_with_path_and_offset(tmp_path, kind):
    data, offset, text = broken(kind)
    path = tmp_path / "bad.rec"
    path.write_bytes(data)
    with LocalFile(path) as file, pytest.raises(FormatError) as raised:
        scan(file)
    assert (raised.value.path, raised.value.offset) == (str(path), offset)
    assert text in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_stops_before_a_fault(kind):
    data, offset, _ = broken(kind)
    starts, _ = split(np.frombuffer(bytes(data), np.uint8))
    assert starts.tolist() == [at for at in AT[:3] if at < offset]


def test_junk_behind_the_last_record_is_a_warning(tmp_path):
    path = tmp_path / "junk.rec"
    path.write_bytes(b"".join(GOOD) + b"123456789")
    with LocalFile(path) as file, pytest.warns(GpuioWarning, match="9 trailing .* from byte 60 on"):
        offsets, lengths = scan(file)
    assert offsets.tolist() == AT[:3]
    assert lengths.tolist() == np.diff(AT).tolist()


@pytest.mark.parametrize(
    "rest",
    [
        MAGIC[:3],  # a header that was cut
        MAGIC + b"\x05\0\0",
        bytes(32),  # as long as a record may be
        b"\x0a\x23\xd7\xcf" + b"\x05\0\0\0" + b"third\0\0\0",  # only the magic is damaged
    ],
)
def test_what_may_be_a_records_rest_is_no_junk(tmp_path, rest):
    path = tmp_path / "cut.rec"
    path.write_bytes(b"".join(GOOD) + rest)
    with LocalFile(path) as file, pytest.raises(FormatError, match="resync=True") as raised:
        scan(file)
    assert raised.value.offset == AT[3]


def test_a_file_of_few_bytes_that_is_no_record_file_is_refused(tmp_path):
    path = tmp_path / "text.rec"
    path.write_bytes(b"123456789")
    with LocalFile(path) as file, pytest.raises(FormatError, match="bad magic"):
        scan(file)


def test_decode_names_the_place_in_its_buffer():
    with pytest.raises(FormatError) as raised:
        unframe(GOOD[1][:12] + b"\0" * 8)
    assert raised.value.offset == 12
    with pytest.raises(FormatError, match="cut short: its header says 5 bytes, 3 are there"):
        unframe(GOOD[0][:11])
    with pytest.raises(FormatError, match="4 of 8 bytes"):
        head_at(b"1234", 0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_damaged_bytes_give_a_payload_or_a_format_error(tail, at, value):
    data = bytearray(GOOD[1] + tail)
    data[at % len(data)] = value
    try:
        unframe(bytes(data))
    except FormatError as error:
        assert error.offset is not None  # noqa: PT017 -- no error is right, too


def test_the_fast_path_takes_whole_records_only():
    chunk = b"".join(GOOD)
    assert whole_at(chunk, 0) == b"first"
    assert whole_at(chunk, AT[2]) == b"third"
    assert whole_at(chunk, AT[1]) is None  # in two parts
    for at in (-AT[3], -8, 4, AT[3] - 4, AT[3], AT[3] + 100):
        assert whole_at(chunk, at) is None
    for cut in range(AT[2], AT[3]):
        assert whole_at(chunk[:cut], AT[2]) is None


def literals(folder):
    """Yield (file, value) of each constant in a folder's sources."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                yield path.relative_to(folder).as_posix(), node.value


def test_the_magic_and_the_image_records_header_are_written_once():
    package = Path(framing.__file__).parent.parent
    kernels = [*literals(package / "kernels")]
    found = [pair for pair in literals(package) if not pair[0].startswith("kernels/")]
    magics = [path for path, value in found if value == framing.MAGIC]
    formats = [path for path, value in found if value == header.FORMAT.format]
    assert magics == ["recordio/framing.py"]
    assert formats == ["recordio/header.py"]
    # the kernels import nothing of gpuio: theirs is a copy, and it is the same number
    copies = [value for _, value in kernels if isinstance(value, int) and value >> 8 == 0xCED723]
    assert copies
    assert set(copies) == {framing.MAGIC}


@pytest.mark.parametrize("size", [10, 40_000])  # read in windows, and by hopping
def test_who_watches_a_scan_sees_it_go_on(tmp_path, size):
    path, count = tmp_path / "a.rec", 5_000_000 // (size + 8) // 10 * 10
    path.write_bytes(encode(bytes(size)) * count)
    seen = []
    with LocalFile(path) as file:
        with watched(lambda at, of: seen.append((at, of))):
            offsets, _ = scan(file)
        many = len(seen)
        scan(file)
    assert len(offsets) == count
    assert many == len(seen) >= 2
    assert {of for _, of in seen} == {path.stat().st_size}
    places = [at for at, _ in seen]
    assert places == sorted(places)
    assert places[0] == 0
