"""`idx` of a reader: a dict that is not made before somebody needs it; see `key_list`.

Invariant: what it answers is what the dict of all keys and offsets would.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any, Self

from gpuio.recordio.index_entries import Entries
from gpuio.recordio.key_list import equal_key

__all__ = ["OffsetDict"]

_AT_ONCE = 4096  # entries made into Python objects at a time

_NONE = object()


class OffsetDict(MutableMapping[Any, Any]):
    """The offset of each key, as a dict; of a repeated key the last one."""

    __slots__ = ("_entries", "_made")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, entries: Entries | None, made: dict[Any, Any] | None = None) -> None:
        self._entries = entries
        self._made = made

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # see the top of the file
        return dict

    def _dict(self) -> dict[Any, Any]:
        """Return the dict of all keys, which from now on takes the arrays' place."""
        if self._made is None:
            self._made = self.copy()
            self._entries = None
        return self._made

    def copy(self) -> dict[Any, Any]:
        """Return a dict of the same items."""
        entries = self._entries
        if entries is None:
            return dict(self._dict())
        keys = entries.key_list(0, len(entries))
        return dict(zip(keys, entries.offsets.tolist(), strict=True))

    def __getitem__(self, key: Any) -> Any:
        found = self._find(key)
        if found is _NONE:
            raise KeyError(key)
        return found

    def _find(self, key: Any) -> Any:
        """Return a key's offset, or `_NONE`."""
        entries = self._entries
        if entries is None:
            return self._dict().get(key, _NONE)
        whole = key
        if type(key) is not int:
            hash(key)  # a TypeError, as a dict's
            try:
                whole = equal_key(key)
            except TypeError:
                return self._dict().get(key, _NONE)
            if whole is None:
                return _NONE
        row = entries.row(whole)
        return _NONE if row < 0 else entries.offsets.item(row)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a key's offset, or the default."""
        found = self._find(key)
        return default if found is _NONE else found

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not _NONE

    def __len__(self) -> int:
        return len(self._dict()) if self._entries is None else self._entries.distinct

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Go through keys and offsets, in a dict's order."""
        size = len(self)
        if self._entries is not None and size != len(self._entries):
            self._dict()  # of a repeated key: the first place, the last offset
        if self._entries is None:
            yield from self._dict().items()
            return
        entries = self._entries
        for at in range(0, size, _AT_ONCE):
            offsets = entries.offsets[at : at + _AT_ONCE].tolist()
            for pair in zip(entries.key_list(at, at + _AT_ONCE), offsets, strict=True):
                if self._made is not None and len(self._made) != size:
                    raise RuntimeError("dictionary changed size during iteration")
                yield (pair[0], self._made[pair[0]]) if self._made is not None else pair

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self.pairs())

    def __reversed__(self) -> Iterator[Any]:
        backwards: Iterator[Any] = reversed(self._dict())
        return backwards

    def keys(self) -> KeysView[Any]:
        """Return a view of the keys."""
        return _Keys(self)

    def values(self) -> ValuesView[Any]:
        """Return a view of the offsets."""
        return _Values(self)

    def items(self) -> ItemsView[Any, Any]:
        """Return a view of (key, offset)."""
        return _Items(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict):
            return NotImplemented
        if len(self) != len(other):
            return False
        entries = self._entries
        if entries is not None and getattr(other, "_entries", None) is entries:
            return True
        return all(other.get(key, _NONE) == offset for key, offset in self.pairs())

    def __or__(self, other: Any) -> dict[Any, Any]:
        return self.copy() | _plain(other)  # type: ignore[no-any-return]

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return other | self.copy()  # type: ignore[no-any-return]

    def __ior__(self, other: Any) -> Self:
        self._dict().update(_plain(other))
        return self

    def __repr__(self) -> str:
        return repr(self.copy())

    def __copy__(self) -> OffsetDict:
        return OffsetDict(self._entries, None if self._made is None else dict(self._made))

    def __deepcopy__(self, memo: dict[int, Any]) -> OffsetDict:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return OffsetDict, (self._entries, self._made)

    def __setitem__(self, key: Any, offset: Any) -> None:
        self._dict()[key] = offset

    def __delitem__(self, key: Any) -> None:
        del self._dict()[key]

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key and return its offset, or the default."""
        return self._dict().pop(key, *default)

    def popitem(self) -> tuple[Any, Any]:
        """Remove the last key and return it with its offset."""
        return self._dict().popitem()

    def clear(self) -> None:
        """Remove all keys."""
        self._dict().clear()


def _plain(value: Any) -> Any:
    """Return the dict in place of what stands for one."""
    return value.copy() if type(value) is OffsetDict else value


class _Keys(KeysView[Any]):
    """What `OffsetDict.keys` returns."""

    _mapping: OffsetDict

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._mapping)

    def __repr__(self) -> str:
        return f"dict_keys({list(self)!r})"


class _Values(ValuesView[Any]):
    """What `OffsetDict.values` returns."""

    _mapping: OffsetDict

    def __iter__(self) -> Iterator[Any]:
        return (offset for _, offset in self._mapping.pairs())

    def __contains__(self, value: object) -> bool:
        return any(offset is value or offset == value for offset in self)

    def __reversed__(self) -> Iterator[Any]:
        return (self._mapping[key] for key in reversed(self._mapping))

    def __repr__(self) -> str:
        return f"dict_values({list(self)!r})"


class _Items(ItemsView[Any, Any]):
    """What `OffsetDict.items` returns."""

    _mapping: OffsetDict

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping.pairs()

    def __reversed__(self) -> Iterator[tuple[Any, Any]]:
        return ((key, self._mapping[key]) for key in reversed(self._mapping))

    def __repr__(self) -> str:
        return f"dict_items({list(self)!r})"
