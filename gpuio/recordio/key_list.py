"""`keys` of a reader: a list that is not made before somebody needs it.

Ten million entries are 160 MB as arrays and 1.1 GB as Python objects. `KeyList`, and `OffsetDict`
beside it, answer from the arrays, and become a list and a dict inside when they are changed.

``isinstance(keys, list)`` and ``isinstance(idx, dict)`` hold, by `__class__`, yet neither is a
subclass: C code that reads a list's or dict's memory without asking for its items (array.array,
heapq, pyarrow) would find an empty one there. As it is, such code takes them for any sequence or
mapping, or refuses them: ``json.dumps(list(rec.keys))``, not ``json.dumps(rec.keys)``.

Invariant: what it answers is what the list of all keys would.
"""

from __future__ import annotations

import numbers
import zlib
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gpuio.recordio.index_entries import Entries

__all__ = ["KeyList", "equal_key", "key_digest"]

_AT_ONCE = 4096  # keys made into Python objects at a time


def equal_key(value: Any) -> int | None:
    """Return the whole number that a value equals, or None.

    Raises
    ------
    TypeError           nobody knows without asking the value itself
    """
    if type(value) is int:
        return value
    if isinstance(value, (str, bytes, tuple, type(None))):
        return None
    if not isinstance(value, (numbers.Number, np.generic)):
        raise TypeError
    try:
        whole = int(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):  # not a number, infinite
        return None
    return whole if whole == value else None


def key_digest(keys: list[Any] | KeyList) -> int:
    """Return a CRC-32 of all keys, the same whether they are a list or arrays."""
    entries = keys._entries if type(keys) is KeyList else None  # noqa: SLF001 -- of this file
    held = list(keys) if entries is None else entries.keys
    if isinstance(held, list) and held and type(held[0]) is int:
        consecutive = range(held[0], held[0] + len(held))
        held = consecutive if held == list(consecutive) else held
    if isinstance(held, range):  # nothing is made for each of many keys
        return zlib.crc32(f"{held.start} {held.stop}".encode())
    try:
        return zlib.crc32(np.array(held, "<i8", copy=None).data)
    except (TypeError, ValueError, OverflowError):  # keys that are not numbers
        return zlib.crc32(repr(held).encode())


class KeyList(MutableSequence[Any]):
    """The keys of an index in the order of the file, as a list."""

    __slots__ = ("_entries", "_made")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, entries: Entries | None, made: list[Any] | None = None) -> None:
        self._entries = entries
        self._made = made

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # see the top of the file
        return list

    def _list(self) -> list[Any]:
        """Return the list of all keys, which from now on takes the arrays' place."""
        if self._made is None:
            self._made = self.copy()
            self._entries = None
        return self._made

    def copy(self) -> list[Any]:
        """Return a list of the keys."""
        if self._entries is None:
            return list(self._list())
        return self._entries.key_list(0, len(self._entries))

    def __len__(self) -> int:
        return len(self._list() if self._entries is None else self._entries)

    def __getitem__(self, at: Any) -> Any:
        if self._entries is None:
            return self._list()[at]
        keys = self._entries.keys
        if isinstance(at, slice):
            some = keys[at]
            return list(some) if isinstance(some, range) else some.tolist()
        try:
            if isinstance(keys, range):
                return keys[at]
            return keys.item(range(len(keys))[at])
        except IndexError:
            raise IndexError("list index out of range") from None
        except TypeError:
            name = type(at).__name__
            raise TypeError(f"list indices must be integers or slices, not {name}") from None

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while self._entries is not None and at < len(self._entries):
            for key in self._entries.key_list(at, at + _AT_ONCE):
                yield key
                at += 1
                if self._entries is None:  # changed in the loop
                    break
        while self._made is not None and at < len(self._made):
            yield self._made[at]
            at += 1

    def __reversed__(self) -> Iterator[Any]:
        if self._entries is None:
            yield from reversed(self._list())
            return
        for stop in range(len(self), 0, -_AT_ONCE):
            yield from reversed(self[max(stop - _AT_ONCE, 0) : stop])

    def _rows(self, value: Any) -> npt.NDArray[np.int64] | None:
        """Return the places of a value; None where only the list knows."""
        if self._entries is None:
            return None
        try:
            key = equal_key(value)
        except TypeError:
            return None
        if key is None or not -(1 << 63) <= key < 1 << 63:
            return np.empty(0, np.int64)
        if isinstance(self._entries.keys, range):
            row = self._entries.row(key)
            return np.array([row] if row >= 0 else [], np.int64)
        return np.flatnonzero(self._entries.keys == key)

    def __contains__(self, value: object) -> bool:
        rows = self._rows(value)
        return value in self._list() if rows is None else len(rows) > 0

    def index(self, value: Any, start: Any = 0, stop: Any = (1 << 63) - 1) -> int:
        """Return the first place of a key, start <= place < stop; ValueError if there is none."""
        rows = self._rows(value)
        if rows is None:
            return self._list().index(value, start, stop)
        start, stop, _ = slice(start, stop).indices(len(self))
        at = int(np.searchsorted(rows, start))
        if at < len(rows) and rows[at] < stop:
            return int(rows[at])
        raise ValueError(f"{value!r} is not in list")

    def count(self, value: Any) -> int:
        """Return how many times a key stands in the index."""
        rows = self._rows(value)
        return self._list().count(value) if rows is None else len(rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list):
            return NotImplemented
        if len(self) != len(other):
            return False
        entries = self._entries
        if entries is not None and getattr(other, "_entries", None) is entries:
            return True
        return all(
            self[at : at + _AT_ONCE] == other[at : at + _AT_ONCE]
            for at in range(0, len(self), _AT_ONCE)
        )

    def __lt__(self, other: Any) -> bool:
        return bool(self.copy() < _real(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.copy() <= _real(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.copy() > _real(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.copy() >= _real(other))

    def __add__(self, other: Any) -> list[Any]:
        return self.copy() + _real(other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> list[Any]:
        return other + self.copy()  # type: ignore[no-any-return]

    def __mul__(self, times: Any) -> list[Any]:
        return self.copy() * times  # type: ignore[no-any-return]

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return repr(self.copy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a list of keys becomes an array by a copy only")
        if self._entries is None:
            return np.array(self._list(), dtype)
        keys = self._entries.key_array()
        fresh = isinstance(self._entries.keys, range) and dtype in (None, np.int64)
        return keys if fresh else np.array(keys, dtype)

    def __copy__(self) -> KeyList:
        return KeyList(self._entries, None if self._made is None else list(self._made))

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyList:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyList, (self._entries, self._made)

    def __setitem__(self, at: Any, value: Any) -> None:
        self._list()[at] = _real(value)

    def __delitem__(self, at: Any) -> None:
        del self._list()[at]

    def insert(self, index: Any, value: Any) -> None:
        """Put a key in front of a place."""
        self._list().insert(index, value)

    def append(self, value: Any) -> None:
        """Add a key behind the last one."""
        self._list().append(value)

    def extend(self, values: Iterable[Any]) -> None:
        """Add keys behind the last one."""
        self._list().extend(_real(values))

    def __iadd__(self, values: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, times: Any) -> Self:
        self._made = self._list() * times
        return self

    def pop(self, index: Any = -1) -> Any:
        """Remove the key at a place and return it."""
        return self._list().pop(index)

    def remove(self, value: Any) -> None:
        """Remove the first of the keys that equal a value."""
        self._list().remove(value)

    def reverse(self) -> None:
        """Turn the order about."""
        self._list().reverse()

    def clear(self) -> None:
        """Remove all keys."""
        self._list().clear()

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort, as `list.sort`."""
        self._list().sort(key=key, reverse=reverse)


def _real(value: Any) -> Any:
    """Return the list in place of what stands for one."""
    return value.copy() if type(value) is KeyList else value
