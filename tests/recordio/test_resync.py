"""Behind damage the next record is found, no payload's inside is taken for one, losses named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import EmptyDatasetError, FormatError, GpuioWarning
from gpuio.recordio.framing import encode
from gpuio.recordio.index import build_index, open_table, read_index
from gpuio.recordio.resync import SkippedRange, resync
from gpuio.storage.local import LocalFile

MAGIC = bytes.fromhex("0a23d7ce")
# every fourth one in two parts, and the magic off the multiples of four in the others
RECORDS = [
    encode(
        bytes([65 + i]) * (10 + 3 * i) + (b"" if i % 4 else bytes(-(10 + 3 * i) % 4) + MAGIC * 2)
    )
    for i in range(10)
]
AT = np.cumsum([0, *map(len, RECORDS)]).tolist()
BASE = b"".join(RECORDS)


def found(tmp_path, data, **how):
    """Return the numbers of the records found (offsets of others), and what was skipped."""
    path = tmp_path / "a.rec"
    path.write_bytes(data)
    with LocalFile(path) as file:
        offsets, lengths, skipped = resync(file, **how)
    covered = [(at, at + size) for at, size in zip(offsets.tolist(), lengths.tolist(), strict=True)]
    ranges = sorted(covered + [(one.begin, one.end) for one in skipped])
    assert [begin for begin, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == len(data)  # every byte is in a record or in a skipped range
    return [AT.index(at) if at in AT else at for at in offsets.tolist()], skipped


def changed(*edits):
    """The base with bytes put over it."""
    data = bytearray(BASE)
    for at, new in edits:
        data[at : at + len(new)] = new
    return bytes(data)


def word(value):
    return value.to_bytes(4, "little")


CASES = {
    "nothing": (BASE, [], ""),
    "a bit of the magic": (changed((AT[3], b"\x0b")), [3], "expected 0xced7230a, found 0xced7230b"),
    "the first record": (changed((0, b"\x0b")), [0], "bad magic"),
    "the last record": (changed((AT[9], b"\x0b")), [9], "bad magic"),
    "an absurd length": (changed((AT[3] + 4, word(0x1FFFFFFF))), [3], "cut short"),
    "a length that ends in another record": (
        changed((AT[3] + 4, word(AT[5] - AT[3]))),
        [3],
        "its length is damaged",
    ),
    "zeros over heads": (changed((AT[3], bytes(AT[5] + 4 - AT[3]))), [3, 4, 5], "found 0x00000000"),
    "a first part alone": (changed((AT[2] + 7, b"\x20")), [2], "bad continuation flag 0"),
    "flag 5": (changed((AT[3] + 7, b"\xa0")), [3], "bad continuation flag 5"),
    "a last part alone": (changed((AT[4] + 7, b"\x60")), [4], "bad continuation flag 3"),
    "a second part's magic": (changed((AT[4] + 32, b"\x0b")), [4], "bad magic"),
    "the end": (BASE[:-5], [9], "it ends at byte"),
    "the end, in a header": (BASE[: AT[9] + 5], [9], "5 of 8 bytes"),
    "two with one between": (changed((AT[3], b"\0"), (AT[5], b"\0")), [3, 5], "bad magic"),
    "two with two between": (changed((AT[3], b"\0"), (AT[6], b"\0")), [3, 6], "bad magic"),
    "a bad magic, and behind it a length that ends in another record": (
        changed((AT[3], b"\0"), (AT[5] + 4, word(AT[7] - AT[5]))),
        [3, 5],
        "bad magic",
    ),
    "two heads, the second with a length that ends in another record": (
        changed((AT[3], b"\0"), (AT[4] + 4, word(AT[6] - AT[4]))),
        [3, 4],
        "bad magic",
    ),
    "all but the third": (
        changed(*((AT[i], b"\0") for i in range(10) if i != 2)),
        [0, 1, 3, 4, 5, 6, 7, 8, 9],
        "bad magic",
    ),
}


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_only_the_records_that_were_hit_are_lost(tmp_path, case, thorough):
    data, lost, reason = CASES[case]
    numbers, skipped = found(tmp_path, data, thorough=thorough)
    assert numbers == [i for i in range(10) if i not in lost]
    assert bool(skipped) == bool(lost)
    assert all(reason in one.reason for one in skipped[:1])


def test_a_length_that_ends_at_a_head_is_found_out_by_reading_all(tmp_path):
    data = changed((AT[3] + 4, word(AT[6] - AT[3] - 8)))
    assert found(tmp_path, data)[0] == [0, 1, 2, 3, 6, 7, 8, 9]
    numbers, (skipped,) = found(tmp_path, data, thorough=True)
    assert numbers == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (skipped.begin, skipped.end) == (AT[3], AT[4])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 4096])
def test_records_behind_bytes_too_many_are_found(tmp_path, count):
    where = AT[3] + 12
    numbers, _ = found(tmp_path, BASE[:where] + b"\x55" * count + BASE[where:])
    behind = [at + count for at in AT[4:10]]
    assert numbers[-6:] == [AT.index(at) if at in AT else at for at in behind]
    assert set(numbers[:-6]) <= {0, 1, 2, 3}  # the third looks whole: it ends before its own bytes
    assert numbers[:3] == [0, 1, 2]


def test_records_behind_missing_bytes_are_found(tmp_path):
    for count in (1, 2, 3, 4, 5):
        where = AT[3] + 12
        numbers, _ = found(tmp_path, BASE[:where] + BASE[where + count :])
        behind = [at - count for at in AT[4:10]]
        # the record that lost them reaches into the next one, and is given up for it
        assert numbers == [0, 1, 2, *(AT.index(at) if at in AT else at for at in behind)]


def test_a_record_file_in_a_payload_is_never_taken_apart(tmp_path):
    inner = encode(b"inner one") + encode(b"inner two")
    outer = [encode(b"first"), encode(inner), encode(b"x" + inner), encode(b"last")]
    at = np.cumsum([0, *map(len, outer)]).tolist()
    data = b"".join(outer)
    for hit in range(3):
        broken = data[: at[hit]] + b"\0" + data[at[hit] + 1 :]
        path = tmp_path / "a.rec"
        path.write_bytes(broken)
        with LocalFile(path) as file:
            offsets, _, _ = resync(file)
        assert offsets.tolist() == [start for i, start in enumerate(at[:4]) if i != hit]


def test_nine_bytes_of_junk_are_skipped_and_named(tmp_path):
    numbers, (skipped,) = found(tmp_path, BASE + b"123456789")
    assert numbers == list(range(10))
    assert skipped == SkippedRange(
        str(tmp_path / "a.rec"), AT[10], AT[10] + 9, "9 trailing bytes after the last record"
    )
    assert skipped.as_dict()["end"] == AT[10] + 9


def test_no_record_at_all(tmp_path):
    assert found(tmp_path, b"\x01" * 5000)[0] == []
    assert found(tmp_path, MAGIC * 500)[0] == []
    with pytest.warns(GpuioWarning), pytest.raises(EmptyDatasetError):
        open_table([str(tmp_path / "a.rec")], past_damage=True)


def test_damage_in_a_large_file_is_found_the_same(tmp_path):
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(0, 3000, 4000), 5_000_000, *rng.integers(0, 90_000, 30)]
    blob = rng.bytes(5_000_000)
    framed = [encode(blob[:size]) for size in sizes]
    at = np.cumsum([0, *map(len, framed)])
    data = bytearray(b"".join(framed))
    hit = sorted({*rng.integers(0, len(sizes), 60).tolist(), 4000})
    for number in hit:
        data[at[number]] ^= 0xFF
    path = tmp_path / "large.rec"
    path.write_bytes(data)
    with LocalFile(path) as file:
        offsets, lengths, skipped = resync(file)
    kept = np.setdiff1d(np.arange(len(sizes)), hit)
    assert offsets.tolist() == at[kept].tolist()
    assert lengths.tolist() == np.diff(at)[kept].tolist()
    assert sum(one.end - one.begin for one in skipped) == np.diff(at)[hit].sum()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=40), min_size=2, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 7), st.integers(1, 255)), max_size=4),
)
def test_records_whose_bytes_are_untouched_are_found(tmp_path_factory, payloads, edits):
    framed = [encode(payload) for payload in payloads]
    at = np.cumsum([0, *map(len, framed)]).tolist()
    data = bytearray(b"".join(framed))
    for number, byte, change in edits:
        data[at[number % len(framed)] + byte] ^= change
    path = tmp_path_factory.mktemp("edits") / "a.rec"
    path.write_bytes(data)
    with LocalFile(path) as file:
        offsets, lengths, _ = resync(file, thorough=True)
    ends = dict(zip(offsets.tolist(), (offsets + lengths).tolist(), strict=True))
    hit = {number % len(framed) for number, _, _ in edits}
    for number, start in enumerate(at[:-1]):
        if number not in hit:
            assert ends.get(start) == at[number + 1]


def test_a_table_goes_on_behind_damage_when_asked_to(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(changed((AT[3], b"\0")))
    with pytest.raises(FormatError, match=r"bad magic.*`gpuio repair`.*resync=True") as raised:
        open_table([str(path)])
    assert raised.value.offset == AT[3]
    with pytest.warns(GpuioWarning, match=rf"in 1 ranges .* \[{AT[3]}, {AT[4]}\): bad magic"):
        table = open_table([str(path)], past_damage=True)
    assert table.offset.tolist() == [at for at in AT[:10] if at != AT[3]]
    assert [(one.begin, one.end) for one in table.skipped] == [(AT[3], AT[4])]
    with pytest.warns(GpuioWarning, match="1 ranges"):
        assert build_index(path, tmp_path / "a.idx", past_damage=True) == 9
    assert read_index(tmp_path / "a.idx")[1] == table.offset.tolist()
