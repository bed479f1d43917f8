"""The entries of an index as arrays: keys, offsets, and where a key stands.

The common text, digits TAB digits LF, is read by NumPy, eight digits in one word, or by a compiled
loop where Numba is in use anyway. For ten million lines NumPy takes 0.5 s, or 1.7 s if their
lengths differ from line to line, as those of shuffled keys do; the loop takes 0.25 s and loading
Numba 0.55 s, so that it is loaded for many lines of different lengths.

Invariant: what `read_text` returns is what `read_index` returns; a text that holds anything else
than the common lines gives None, and `read_index` says what is in it.
"""

from __future__ import annotations

import io
import os
import sys
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gpuio.forking import working
from gpuio.storage.files import open_binary

__all__ = ["Entries", "parse_text", "read_text"]

Int64 = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

_BLOCK = 1 << 18  # bytes of text in hand: a block's arrays stay in the second-level cache
_UNEVEN = 64  # blocks of lines of different lengths after which compiled code is loaded
_LARGE = _UNEVEN * _BLOCK  # bytes of a text for which it is taken where it is half loaded
_DIGITS = 16  # of a number, at most: two words
_EIGHT = "V8"  # eight bytes as one element, of a type that needs no alignment
_PAD = bytes(8)  # behind a text, for the last number's word
_NO_KEYS = np.empty(0, np.int64)
_DENSE = 4  # places per key up to which a table of places is smaller than a sorted copy


class Entries:
    """The lines of an index whose keys are whole numbers.

    Parameters
    ----------
    keys : range or int64[N]    in the order of the file; a range where each is the last one plus 1
    offsets : int64[N]          bytes

    Notes
    -----
    The arrays are not written to: forked children share their pages.
    """

    def __init__(self, keys: range | Int64, offsets: Int64) -> None:
        self.keys = keys
        self.offsets = offsets
        self.offsets.flags.writeable = False
        if not isinstance(keys, range):
            keys.flags.writeable = False

    def __len__(self) -> int:
        return len(self.offsets)

    def __reduce__(self) -> tuple[Any, ...]:
        return Entries, (self.keys, self.offsets)

    def key_array(self) -> Int64:
        """Return the keys, int64[N]; a new array where they are a range."""
        if isinstance(self.keys, range):
            return np.arange(self.keys.start, self.keys.stop, dtype=np.int64)
        return self.keys

    def key_list(self, start: int, stop: int) -> list[int]:
        """Return the keys of lines start .. stop-1 as Python's numbers."""
        some = self.keys[start:stop]
        return list(some) if isinstance(some, range) else some.tolist()

    def row(self, key: int) -> int:
        """Return the last line of a key, from 0; -1 where no line has it."""
        keys = self.keys
        if isinstance(keys, range):
            row = key - keys.start
            return row if 0 <= row < len(keys) else -1
        return self._finder.row(key)

    @property
    def distinct(self) -> int:
        """How many different keys there are."""
        return len(self) if isinstance(self.keys, range) else self._finder.distinct

    @cached_property
    def _finder(self) -> _Table | _Sorted:
        """What finds a key, made when the first one is looked for."""
        keys = self.key_array()
        if len(keys) < 1 << 31 and len(keys):
            low, high = int(keys.min()), int(keys.max())
            if high - low < _DENSE * len(keys):
                return _Table(keys, low, high)
        return _Sorted(keys)


class _Table:
    """Finds a key in a table of all keys between the smallest and the largest."""

    def __init__(self, keys: Int64, low: int, high: int) -> None:
        self._low = low
        self._rows = np.full(high - low + 1, -1, np.int32)
        self._rows[keys - low] = np.arange(len(keys), dtype=np.int32)  # of equal keys the last
        self.distinct = int(np.count_nonzero(self._rows >= 0))

    def row(self, key: int) -> int:
        at = key - self._low
        return self._rows.item(at) if 0 <= at < len(self._rows) else -1


class _Sorted:
    """Finds a key by halving, among keys that are, or were made, ascending."""

    def __init__(self, keys: Int64) -> None:
        self._order = None
        if not (keys[1:] > keys[:-1]).all():
            self._order = np.argsort(keys, kind="stable")  # equal keys keep their order
            keys = keys[self._order]
        self._keys = keys
        self.distinct = len(keys)
        if self._order is not None:
            self.distinct = int(np.count_nonzero(keys[1:] != keys[:-1])) + 1

    def row(self, key: int) -> int:
        if not -(1 << 63) <= key < 1 << 63:
            return -1
        at = int(self._keys.searchsorted(key, side="right")) - 1
        if at < 0 or self._keys.item(at) != key:
            return -1
        return at if self._order is None else self._order.item(at)


def read_text(path: str | os.PathLike[str]) -> Entries | None:
    """Read an index of the common form.

    Lines are a key, a TAB or a blank, and an offset, of 1 to 16 digits each. CRLF, a byte order
    mark, a missing last newline, and blanks and NUL bytes behind the last line are accepted.

    Returns
    -------
    Entries or None         None where a line is anything else, or the file cannot be read
    """
    try:
        with open_binary(path, buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            return _gathered_from(file, size)
    except OSError:
        return None


def parse_text(text: bytes) -> Entries | None:
    """Read an index of the common form that is in memory; see `read_text`."""
    return _gathered_from(io.BytesIO(text), len(text))


def _gathered_from(file: BinaryIO, size: int) -> Entries | None:
    """Read an index of some bytes, block by block."""
    gathered = _Gathered(size)
    text = (file.read(_BLOCK) or b"").removeprefix(b"\xef\xbb\xbf")
    while more := file.read(_BLOCK):
        stop = text.rfind(b"\n") + 1
        if stop == 0 and len(text) > 4 * _BLOCK:
            return None
        if stop and not gathered.add(text[:stop]):
            return None
        text = text[stop:] + more
    text = text.rstrip(b" \t\r\n\0")
    if text and not gathered.add(text + b"\n"):
        return None
    return gathered.entries()


class _Gathered:
    """Arrays that grow block by block; the keys are not kept as long as each is one more."""

    def __init__(self, size: int) -> None:
        self._size = size  # of the text, bytes
        self._used = self._count = self._uneven = 0
        self._first = 0
        self._offsets: Int64 = np.empty(0, np.int64)
        self._keys: Int64 | None = None

    def add(self, text: bytes) -> bool:
        """Take whole lines; False where one is not of the common form."""
        taken = self._take(text)
        if not taken and (b"\r" in text or b" " in text):
            taken = self._take(text.replace(b"\r\n", b"\n").replace(b" ", b"\t"))
        return taken

    def _take(self, text: bytes) -> bool:
        """Take whole lines whose fields a TAB parts; False where one is not of the common form."""
        compiled = self._uneven > _UNEVEN or (
            self._size > _LARGE and "gpuio.kernels.jit" in sys.modules
        )
        if compiled and self._keys is None and (done := self._take_compiled(text)) is not None:
            return done
        found = _parse_compiled(text) if compiled else self._parsed(text)
        if found is None:
            return False
        keys, offsets = found
        start, stop = self._count, self._count + len(offsets)
        self._used += len(text)
        if stop > len(self._offsets):
            # numbers become longer, lines rarer: what is left of the text needs no more than this
            room = stop + max(self._size - self._used, 0) * len(offsets) // len(text) + 1024
            self._offsets = _grown(self._offsets, start, room)
            if self._keys is not None:
                self._keys = _grown(self._keys, start, room)
        self._offsets[start:stop] = offsets
        if start == 0:
            self._first = int(keys[0])
        if self._keys is None:
            following = np.arange(self._first + start, self._first + stop, dtype=np.int64)
            if not np.array_equal(keys, following):
                self._keys = np.empty(len(self._offsets), np.int64)
                self._keys[:start] = np.arange(self._first, self._first + start, dtype=np.int64)
        if self._keys is not None:
            self._keys[start:stop] = keys
        self._count = stop
        return True

    def _take_compiled(self, text: bytes) -> bool | None:
        """Take lines whose keys go on as before, straight to their place; None: another way."""
        start = self._count
        if start == 0 or start + _most_lines(text) > len(self._offsets):
            return None
        with working:
            from gpuio.kernels.index_text import parse_lines

        flat, following = np.frombuffer(text, np.uint8), self._first + start
        count, same = parse_lines(flat, following, _NO_KEYS, self._offsets[start:])
        if count < 0:
            return False
        if same < count or start + count > len(self._offsets):
            return None
        self._used += len(text)
        self._count += count
        return True

    def _parsed(self, text: bytes) -> tuple[Int64, Int64] | None:
        """Return keys and offsets of whole lines, None where one is not of the common form."""
        found = _parse_even(text)
        if found is None:
            self._uneven += 1
            found = _parse_any(text)
        return found

    def entries(self) -> Entries:
        """Return what was taken; further lines cannot be."""
        keys: range | Int64 = range(self._first, self._first + self._count)
        if self._keys is not None:
            keys = _cut(self._keys, self._count)
        return Entries(keys, _cut(self._offsets, self._count))


def _grown(array: Int64, count: int, room: int) -> Int64:
    """Return a longer array that begins with some of another; the rest is not touched."""
    longer = np.empty(room, np.int64)
    longer[:count] = array[:count]
    return longer


def _cut(array: Int64, count: int) -> Int64:
    """Give back the memory behind the first elements."""
    array.resize(count, refcheck=False)
    return array


def _parse_compiled(text: bytes) -> tuple[Int64, Int64] | None:
    """Parse lines of any length by the compiled loop."""
    with working:
        from gpuio.kernels.index_text import parse_lines

    keys, offsets = np.empty((2, _most_lines(text)), np.int64)
    count, _ = parse_lines(np.frombuffer(text, np.uint8), 0, keys, offsets)
    return None if count < 0 else (keys[:count], offsets[:count])


def _most_lines(text: bytes) -> int:
    """Return how many lines a text may have."""
    return len(text) // 4 + 1


def _parse_even(text: bytes) -> tuple[Int64, Int64] | None:
    """Parse lines that are as long as the first one, with the TAB at the same place."""
    width = text.index(b"\n") + 1
    tab = text.find(b"\t", 0, width)
    key_digits, offset_digits = tab, width - tab - 2
    if len(text) % width or not (0 < key_digits <= _DIGITS and 0 < offset_digits <= _DIGITS):
        return None
    flat = np.frombuffer(text, np.uint8)
    lines = flat.reshape(-1, width)
    if not ((lines[:, tab] == 9).all() and (lines[:, -1] == 10).all()):
        return None
    if np.count_nonzero(flat < 48) != 2 * len(lines) or flat.max() > 57:
        return None
    padded = text + _PAD
    key = _column(padded, len(lines), width, 0, key_digits)
    return key, _column(padded, len(lines), width, tab + 1, offset_digits)


def _column(text: bytes, count: int, width: int, start: int, digits: int) -> Int64:
    """Return the numbers that begin at a column of lines of one width."""

    def words(column: int) -> _Words:
        return np.ndarray((count,), _EIGHT, text, column, (width,)).copy().view("<u8")

    high = max(digits - 8, 0)
    value = _number(words(start + high), np.uint64(64 - 8 * (digits - high)))
    if high:
        more = _number(words(start), np.uint64(64 - 8 * high))
        more *= np.uint64(10**8)
        value += more
    return value.view(np.int64)


def _parse_any(text: bytes) -> tuple[Int64, Int64] | None:
    """Parse lines of digits TAB digits of any length up to `_DIGITS` each."""
    flat = np.frombuffer(text, np.uint8)
    apart = np.flatnonzero(flat < 48)
    if len(apart) % 2 or flat.max() > 57:
        return None
    tab, end = apart[0::2], apart[1::2]
    if not ((flat[tab] == 9).all() and (flat[end] == 10).all()):
        return None
    start = np.empty_like(end)
    start[0], start[1:] = 0, end[:-1] + 1
    key_digits, offset_digits = tab - start, end - tab - 1
    for digits in (key_digits, offset_digits):
        if digits.min() < 1 or digits.max() > _DIGITS:
            return None
    words = np.ndarray((len(text),), _EIGHT, text + _PAD, 0, (1,))
    return _gather(words, start, key_digits), _gather(words, tab + 1, offset_digits)


def _gather(words: npt.NDArray[Any], start: Int64, digits: Int64) -> Int64:
    """Return the numbers that begin at some places of a text."""
    high = np.maximum(digits - 8, 0)
    value = _number(words[start + high].view("<u8"), _shift(digits - high))
    long = np.flatnonzero(high)
    if len(long) == len(high):
        more = _number(words[start].view("<u8"), _shift(high))
        more *= np.uint64(10**8)
        value += more
    elif len(long):
        more = _number(words[start[long]].view("<u8"), _shift(high[long]))
        more *= np.uint64(10**8)
        value[long] += more
    return value.view(np.int64)


def _shift(digits: Int64) -> _Words:
    """Return how many bits of a word follow its digits."""
    return ((8 - digits) << 3).astype(np.uint64)


def _number(word: _Words, shift: _Words | np.uint64) -> _Words:
    """Return the number that the digits of a word are, in place; the lowest byte is the first.

    `shift` is the number of bits behind the last digit, 0 to 56. Neighbours are joined: to two
    digits in 16 bits, four in 32, eight in 64.
    """
    word ^= np.uint64(0x3030303030303030)
    word <<= shift
    right = word >> np.uint64(8)
    for bits, scale, mask in (
        (8, 10, 0x00FF00FF00FF00FF),
        (16, 100, 0x0000FFFF0000FFFF),
        (32, 10000, 0x00000000FFFFFFFF),
    ):
        if bits > 8:
            np.right_shift(word, np.uint64(bits), out=right)
        word *= np.uint64(scale)
        word += right
        word &= np.uint64(mask)
    return word
