"""An index read into arrays holds what the reader of lines finds, or is left to it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpuio.errors import FormatError
from gpuio.recordio import index, index_entries
from gpuio.recordio.index_entries import Entries, read_text
from gpuio.recordio.index_text import read_index

NUMBERS = st.one_of(
    st.integers(0, 99).map(str),
    st.integers(0, 10**17).map(str),
    st.sampled_from(["", "-1", "+1", "007", "1_0", "1.5", "9" * 16, "9" * 17, "9" * 19, "٣", "x"]),
)
LINES = st.tuples(
    st.sampled_from(["", "", "", " ", "\t", "\0"]),
    NUMBERS,
    st.sampled_from(["\t", "\t", "\t", " ", "  ", "\t ", "\t\t", "", "\x0b", "\x85"]),
    NUMBERS,
    st.sampled_from(["", "", "", " ", "\tmore", " more", "\0", "\t", "#"]),
    st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\r", "\r\r\n", "", "\f", "\u2028"]),
).map("".join)
PLAIN = st.tuples(st.integers(0, 10**16 - 1), st.integers(0, 10**16 - 1)).map(
    "{0[0]}\t{0[1]}\n".format
)
TEXTS = st.one_of(
    st.lists(PLAIN, max_size=30).map("".join),
    st.lists(st.one_of(PLAIN, LINES), max_size=12).map("".join),
    st.integers(0, 40).map(lambda n: "".join(f"{i}\t{128 * i}\n" for i in range(n))),
).map(lambda text: text.encode("utf-8"))
EVEN = st.integers(1, 9).map(lambda n: b"".join(b"%d\t%d\n" % (10 + i, 300 + i) for i in range(n)))


def put(text, at, byte):
    at %= len(text)
    return text[:at] + bytes([byte]) + text[at + 1 :]


RAW = st.one_of(
    TEXTS,
    st.builds(put, EVEN, st.integers(0, 99), st.integers(0, 255)),
    st.builds(put, EVEN, st.integers(0, 99), st.sampled_from(b"/:;\t\n 0")),
    st.binary(max_size=60),
    st.tuples(st.sampled_from([b"\xef\xbb\xbf", b"\xff"]), TEXTS).map(b"".join),
    st.tuples(TEXTS, st.sampled_from([b"\0\0\0", b" ", b"\r\n\r\n", b"\x1a", b"\xc3"])).map(
        b"".join
    ),
    TEXTS.map(lambda text: text.replace(b"\n", b"\r\n")),
    TEXTS.map(lambda text: text.replace(b"\t", b" ")),
)


def lines_of(path, key_type=int):
    try:
        return read_index(path, key_type)
    except FormatError as error:
        return str(error)


@pytest.mark.parametrize("way", ["even or any", "any", "compiled"])
@settings(max_examples=400, deadline=None)
@given(RAW, st.sampled_from([1 << 18, 64, 7]))
@example(b"0\t0\n7\t16", 1 << 18)
@example(b"0 0\r\n7 16\r\n", 1 << 18)
@example(b"12345678\t1234567890123456\n" * 3, 16)
@example(b"1\t2\n3\x0b\t4\n", 1 << 18)
def test_arrays_hold_what_the_lines_say_or_nothing(tmp_path_factory, way, raw, block):
    path = tmp_path_factory.mktemp("text") / "a.idx"
    path.write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_entries, "_BLOCK", block)
        if way == "any":
            patch.setattr(index_entries, "_parse_even", lambda text: None)
        if way == "compiled":
            patch.setattr(index_entries, "_UNEVEN", -1)
        entries = read_text(path)
    if entries is None:
        return
    keys, offsets = lines_of(path)
    assert list(entries.keys) == keys
    assert entries.offsets.tolist() == offsets
    assert isinstance(entries.keys, range) == (keys == list(range(*span(keys))))
    found = index._read_odd_index(str(path))  # which a table was made of
    assert found[0].tolist() == keys
    assert found[1].tolist() == offsets
    where = dict(zip(keys, range(len(keys)), strict=True))  # of equal keys the last
    assert entries.distinct == len(where)
    for key in [*keys, 5, -1, 1 << 70]:
        assert entries.row(key) == where.get(key, -1)


def span(keys):
    return (keys[0], keys[0] + len(keys)) if keys else (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        b"0\t0\n7\t16\n",
        b"0\t0\n7\t16",
        b"\xef\xbb\xbf0\t0\n7\t16\n",
        b"0\t0\r\n7\t16\r\n",
        b"0 0\n7 16\n",
        b"0\t0\n7\t16\n\0\0\0 \n",
        b"",
    ],
)
def test_what_the_fast_reader_answers_for(tmp_path, text):
    (tmp_path / "a.idx").write_bytes(text)
    entries = read_text(tmp_path / "a.idx")
    assert entries is not None
    assert list(entries.keys) == ([0, 7] if text else [])
    assert entries.offsets.tolist() == ([0, 16] if text else [])


@pytest.mark.parametrize(
    "text",
    [
        b"0\t0\n\n7\t16\n",
        b"0\t0\n7\t16\textra\n",
        b"0\t0\n7  16\n",
        b"0\t0\n-7\t16\n",
        b"0\t0\n7\t-16\n",
        b"0\t0\n7\t" + b"1" * 17 + b"\n",
        b"0\t0\n" + b"1" * 17 + b"\t16\n",
        b"0\t0\nx\t16\n",
        b"0\t0\n7\t1\x0b6\n",
        b"0\t0\n:\t1\n",
        b"0\t0\n7\t/\n",
        b"10\t300\n11\t30:\n",
        b"0\t0\r7\t16\r",
        b"a" * (3 << 20),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_what_it_leaves_to_the_reader_of_lines(tmp_path, text, compiled, monkeypatch):
    if compiled:
        monkeypatch.setattr(index_entries, "_UNEVEN", -1)
    (tmp_path / "a.idx").write_bytes(text)
    assert read_text(tmp_path / "a.idx") is None
    assert read_text(tmp_path) is None
    assert read_text(tmp_path / "none") is None


@pytest.mark.parametrize("shorter", [False, True])
@pytest.mark.parametrize("first", [0, 1, 995])
def test_arrays_grow_over_many_blocks(tmp_path, monkeypatch, first, shorter):
    monkeypatch.setattr(index_entries, "_BLOCK", 1 << 10)
    keys = list(range(first, first + 40_000))
    if shorter:  # no room was kept for so many lines
        keys = [10**15 + key for key in keys[:200]] + [key % 10 for key in keys]
    (tmp_path / "a.idx").write_text("".join(f"{key}\t{key}\n" for key in keys))
    entries = read_text(tmp_path / "a.idx")
    assert isinstance(entries.keys, range) != shorter
    assert list(entries.keys) == entries.offsets.tolist() == keys


@pytest.mark.parametrize("low", [0, -5, 10**15])
@pytest.mark.parametrize("spread", [1, 3, 1000])
def test_keys_in_any_order_are_found(low, spread):
    keys = low + spread * np.random.default_rng(1).permutation(2000)
    entries = Entries(keys, np.arange(2000) * 8)
    assert all(entries.row(key) == row for row, key in enumerate(keys.tolist()))
    assert entries.row(low - 1) == entries.row(int(keys.max()) + 1) == -1
    assert entries.distinct == 2000


def test_arrays_cannot_be_written_to(tmp_path):
    (tmp_path / "a.idx").write_text("0\t0\n2\t16\n")
    entries = read_text(tmp_path / "a.idx")
    for array in (entries.offsets, entries.keys):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(("even", "loaded"), [(True, False), (False, False), (False, True)])
def test_numba_is_loaded_for_many_uneven_lines_alone(tmp_path, even, loaded):
    count = 2_000_000 if loaded else 100_000
    keys = range(10**7, 10**7 + count) if even else [i * i % (1 << 31) for i in range(count)]
    (tmp_path / "a.idx").write_text("".join(f"{key}\t0\n" for key in keys))
    code = (
        "import sys; from gpuio.recordio.index_entries import read_text; "
        f"found = read_text({str(tmp_path / 'a.idx')!r}); "
        "print(len(found), found.keys[-1], 'numba' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(count), str(keys[-1]), str(loaded)]
