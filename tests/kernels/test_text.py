"""The compiled readers of numbers agree with the slow and exact one, and with C."""

import ctypes

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpuio.io.number import strtof
from gpuio.kernels.text import find_rows, read_floats, read_ints, read_pairs

NO_SKIP = np.array([-1, -1])
C = ctypes.CDLL(None)
C.strtof.restype = ctypes.c_float
C.strtoll.restype = ctypes.c_longlong


def bytes_of(text):
    return np.frombuffer(text.encode(), np.uint8)


def floats(text, starts=(0,), columns=4, delimiter=",", skip=NO_SKIP):
    out = np.full((len(starts), columns), -7, np.float32)
    found = np.empty(len(starts), np.int64)
    odd = np.empty((out.size + 1, 3), np.int64)
    buffer = bytes_of(text)
    read_floats(buffer, np.array(starts), ord(delimiter), skip, out, found, odd)
    for row, column, offset in odd[1 : odd[0, 0] + 1].tolist():
        out[row, column] = strtof(buffer[offset:].tobytes())
    return [out[row, : min(count, columns)].tolist() for row, count in enumerate(found)]


def int_rows(text, columns=2):
    out, found = np.full((1, columns), -7, np.int64), np.empty(1, np.int64)
    read_ints(bytes_of(text), np.array([0]), ord(","), NO_SKIP, out, found)
    return out[0, : found[0]].tolist()


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.from_regex(
        r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True
    )
)
@example("16777217")  # a tie, to even
@example("16777219")
@example("1.00000005960464477539062500000000001")  # just above a tie
@example("1.000000059604644775390625")
@example("1.00000005960464477539062499999999999")
@example("3.4028235677973366e38")  # the tie at the upper end
@example("3.4028235677973365e38")
@example("1.17549428e-38")
@example("1.4e-45")
@example("7.0064923216240853546186479164495e-46")  # half the smallest number: to 0
@example("7.0064923216240854e-46")
@example("0." + "0" * 60 + "1e62")
@example("1" + "0" * 60 + "e-61")
@example("-0")
def test_a_decimal_number_is_rounded_as_c_rounds_it(text):
    (got,), expected = floats(text)[0], np.float32(C.strtof(text.encode(), None))
    assert np.float32(got).view(np.uint32) == expected.view(np.uint32)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**31 - 2**23 - 2), st.sampled_from([0, 1, -1]), st.integers(20, 60))
def test_numbers_at_the_middle_of_two_floats_are_rounded_as_c_rounds_them(bits, nudge, digits):
    from decimal import Context, Decimal

    low, high = (Decimal(float(np.uint32(bits + i).view(np.float32))) for i in (0, 1))
    context = Context(prec=digits)
    middle = context.divide(context.add(low, high), 2)
    text = str(
        context.next_plus(middle) if nudge > 0 else context.next_minus(middle) if nudge else middle
    )
    (got,), expected = floats(text)[0], np.float32(C.strtof(text.encode(), None))
    assert np.float32(got).view(np.uint32) == expected.view(np.uint32)


@given(
    st.text("0123456789abcdefxXinfNAN.+-eEpP \t,", max_size=12).filter(lambda t: "," not in t),
)
@example("0x1.8p3")
@example("0x")
@example("0x.p1")
@example("-0x.8p-140")
@example("0x1p128")
@example("nan(7)")
@example("-infinity")
@example("infinit")
@example("1e")
@example("1e+")
@example(".")
def test_a_field_begins_with_a_number_where_c_finds_one(text):
    end = ctypes.c_char_p()
    buffer = ctypes.create_string_buffer(text.encode())
    expected = C.strtof(buffer, ctypes.byref(end))
    there = ctypes.cast(end, ctypes.c_void_p).value != ctypes.addressof(buffer)
    got = floats(text)[0]
    assert len(got) == there
    if there:
        assert np.array_equal(np.float32(got[0]), np.float32(expected), equal_nan=True)


@given(st.text("0123456789xXaFg+- ", max_size=24))
@example("9223372036854775807")
@example("9223372036854775808")
@example("-9223372036854775808")
@example("-9223372036854775809")
@example("0x7fffffffffffffffff")
@example("0777777777777777777777777")
@example("08")
@example("0x")
@example("0xg")
@example("-0x10")
def test_whole_numbers_are_read_as_c_reads_them(text):
    end = ctypes.c_char_p()
    buffer = ctypes.create_string_buffer(text.encode())
    expected = C.strtoll(buffer, ctypes.byref(end), 0)
    there = ctypes.cast(end, ctypes.c_void_p).value != ctypes.addressof(buffer)
    assert int_rows(text) == ([expected] if there else [])


def test_fields_and_rows():
    assert floats("1,2\n3, 4 \r5,6x,", [0, 4, 10]) == [[1, 2], [3, 4], [5, 6]]
    assert floats("1;2;;3\n", delimiter=";") == [[1, 2, 3]]
    assert floats("1\t2\t\t3", delimiter="\t") == [[1, 2, 3]]
    assert floats(" 1 2", delimiter=" ") == [[1, 2]]
    assert floats('a,"1",,2') == [[2]]
    assert floats("1,2,3,4,5,6", columns=2) == [[1, 2]]
    assert floats("1,2,3", skip=np.array([1, -1])) == [[1, 3]]
    assert floats("1,2,3", skip=np.array([2, 0])) == [[2]]
    assert int_rows("7, 0x10 ") == [7, 16]
    assert int_rows("7,x") == [7]


@given(st.text("1\n\r #", max_size=30), st.integers(1, 7), st.booleans())
def test_rows_are_found_however_the_text_is_cut_into_blocks(text, block, comments):
    state, found = np.zeros(2, np.int64), []
    for at in range(0, len(text), block):
        room = np.empty(block // 2 + 1, np.int64)
        part = bytes_of(text[at : at + block])
        found += room[: find_rows(part, at, state, room, comments)].tolist()
    expected, at = [], 0
    for line in text.replace("\r", "\n").split("\n"):
        if line and not (comments and line.strip(" ")[:1] in ("", "#")):
            expected.append(at)
        at += len(line) + 1
    assert found == expected


def pairs(text):
    starts = np.array([0])
    labels, bounds = np.empty(1, np.float32), np.empty(2, np.int64)
    indices, values = np.empty(len(text) + 1, np.int64), np.empty(len(text) + 1, np.float32)
    odd = np.empty((len(text) + 2, 2), np.int64)
    buffer = bytes_of(text)
    bad = read_pairs(buffer, starts, labels, bounds, indices, values, odd)
    if bad >= 0:
        return bad
    for entry, offset in odd[1 : odd[0, 0] + 1].tolist():
        (labels if entry < 0 else values)[entry if entry >= 0 else -1 - entry] = strtof(
            buffer[offset:].tobytes()
        )
    entries = zip(indices[: bounds[1]].tolist(), values[: bounds[1]].tolist(), strict=True)
    return labels.tolist()[0], list(entries)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 0:1.5 2:2", (1, [(0, 1.5), (2, 2)])),
        ("-1", (-1, [])),
        (" 2:0.5 qid:3 1:4 0:1 # 5:5\n9 9:9", (2, [(1, 4), (0, 1)])),
        ("3 2", (3, [(2, 1)])),
        ("3 2 1:4 0", (3, [(2, 1), (1, 4), (0, 1)])),
        ("1 0 : 1  2:3", (1, [(0, 1), (2, 3)])),
        ("0x10:2 0:0x.8 1:nan", (16, [(0, 0.5), (1, None)])),
        ("1 1:nan2", 7),
        ("1 1:2x", 5),
        ("a 0:1", 0),
        ("1 a:1", 2),
        ("1 0:a", 4),
        ("1 -1:1", 2),
        ("1: 0:1", 4),
        ("1 2x:3", 3),
        ("", 0),
    ],
)
def test_sparse_rows(text, expected):
    got = pairs(text)
    if isinstance(got, tuple):
        got = got[0], [(index, None if np.isnan(value) else value) for index, value in got[1]]
    assert got == expected
