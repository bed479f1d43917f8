"""Files of image pairs (lfw.bin, cfp_fp.bin, agedb_30.bin): pickles, read as data only.

A pickle is a program. This reader knows lists, tuples, bytes, numbers and NumPy arrays of uint8 and
bool; it refuses everything else that a file asks for, before doing it.

Invariants: nothing that the file names is imported or called; NumPy's own unpickling is not used.
Memory and time are bounded by the file's length: a pickle can name one object many times, so
nothing is copied, hashed, compared or printed whose size that length does not bound.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, Where
from gpuio.storage.files import read_whole

__all__ = ["read_pairs"]

_STEPS = 2_000_000  # of a pickle; a set of a hundred thousand pairs has fewer
_SPARE = 1 << 16  # bytes that calls may make beside those of the file

_DTYPES = {"u1": np.uint8, "b1": np.bool_, "bool": np.bool_, "?": np.bool_, "uint8": np.uint8}


def read_pairs(path: str | os.PathLike[str]) -> tuple[list[bytes], npt.NDArray[np.bool_]]:
    """Read a file of image pairs.

    Parameters
    ----------
    path : str              a pickle of (images, same), as face verification sets have it

    Returns
    -------
    images : list of bytes      2 N encoded images; pair i is images 2 i and 2 i + 1
    same : bool[N]              whether a pair shows one person

    Raises
    ------
    StorageError            the file cannot be read
    FormatError             it is not such a pickle, asks for anything but plain data, or for more
                            than two million steps

    Notes
    -----
    The file need not be trusted: see the module's invariant. Decode an image with
    `gpuio.image.imdecode`.
    """
    path = os.fspath(path)
    data = read_whole(path, "cannot read the pairs")
    reader = _Reader(io.BytesIO(data), len(data))
    try:
        made = reader.load()
        images, same = _parts(made)
    except FormatError as error:
        raise error.at(Where(path)) from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise FormatError(
            f"not a pickle of image pairs: {type(error).__name__}: {error}", path=path
        ) from error
    return images, same


def _parts(made: Any) -> tuple[list[bytes], npt.NDArray[np.bool_]]:
    """Check what a file holds."""
    if not isinstance(made, (list, tuple)) or len(made) != 2:
        raise FormatError(f"expected a pair (images, same), found {_kind(made)}")
    images, same = _made(made[0]), _made(made[1])
    for name, part in (("images", images), ("same", same)):
        if not isinstance(part, (list, tuple)) and (name == "images" or not _is_row(part)):
            raise FormatError(f"{name}: expected a list, found {_kind(part)}")
    if len(images) != 2 * len(same):
        raise FormatError(
            f"{len(images)} images and {len(same)} truth values: expected two images for each"
        )
    once: dict[int, bytes] = {}  # the bytes of arrays, which a file may name many times
    return [_image(number, item, once) for number, item in enumerate(images)], _truths(same)


def _truths(same: Any) -> npt.NDArray[np.bool_]:
    """Return the truth values; each is a bool, 0 or 1."""
    if not isinstance(same, np.ndarray):
        items = [_made(item) for item in same]
        for number, item in enumerate(items):
            if not (isinstance(item, (bool, int, float)) and item in (0, 1)):
                raise FormatError(f"same: item {number} is {_kind(item)}, expected True or False")
        return np.array(items, np.bool_)
    if len(wrong := np.flatnonzero(same.view(np.uint8) > 1)):
        raise FormatError(f"same: item {wrong[0]} is {same[wrong[0]]}, expected True or False")
    return same.astype(np.bool_)


def _is_row(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.ndim == 1


def _image(number: int, item: Any, once: dict[int, bytes]) -> bytes:
    """Return an image's bytes."""
    if isinstance(item, bytes):
        return item
    array = _made(item)
    if not (_is_row(array) and array.dtype == np.uint8):
        raise FormatError(f"images: item {number} is {_kind(array)}, expected bytes")
    if id(array) not in once:
        once[id(array)] = array.tobytes()
    return once[id(array)]


def _kind(item: Any) -> str:
    shape = f" of shape {item.shape}" if isinstance(item, np.ndarray) else ""
    size = f" of {len(item)}" if isinstance(item, (list, tuple, bytes)) else ""
    return f"{type(item).__name__}{shape}{size}"


class _Type:
    """A NumPy dtype's stand-in: one of two."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = _text(name)
        if text not in _DTYPES:
            raise FormatError(f"holds an array of dtype {text!r}: expected uint8 or bool")
        self.dtype = np.dtype(_DTYPES[text])

    def __setstate__(self, state: Any) -> None:
        """Ignore byte order and the like: items are single bytes."""


class _Array:
    """A NumPy array's stand-in while it is being read; the array once its state is known."""

    made: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take (version, shape, dtype, is Fortran order, bytes)."""
        _, shape, kind, _, raw = state
        self.made = _array(raw, kind, shape)


def _array(raw: Any, kind: Any, shape: Any) -> npt.NDArray[Any]:
    """Return an array over bytes that the file holds."""
    if not isinstance(kind, _Type) or not isinstance(raw, bytes):
        raise FormatError("holds an array that is damaged")
    wanted = tuple(shape) if isinstance(shape, (list, tuple)) and len(shape) < 2 else None
    if wanted not in ((), (len(raw),)) or (wanted == () and len(raw) != 1):
        raise FormatError(
            f"holds an array over {len(raw)} bytes that is not a row of them: expected one axis"
        )
    return np.frombuffer(raw, kind.dtype).reshape(wanted)


def _text(name: Any) -> str:
    """Return a short name; other things could be of any size as text."""
    if isinstance(name, bytes):
        return name[:20].decode("latin-1")
    return name[:20] if isinstance(name, str) else type(name).__name__


def _encoded(text: Any, codec: Any = "latin1") -> bytes:
    """Return bytes that old pickles hold as text."""
    if not isinstance(text, str) or _text(codec) not in ("latin1", "latin-1"):
        raise FormatError(f"asks for the codec {_text(codec)!r}: expected latin1")
    return text.encode("latin-1")


def _joined(content: Any = b"", *_: Any) -> bytes:
    """Return a bytearray's bytes."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return _encoded(content)
    raise FormatError("holds a bytearray that is damaged")


# what a file may name, and what is called instead
_KNOWN: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytearray"): _joined,
    ("__builtin__", "bytearray"): _joined,
    ("builtins", "bytes"): _joined,
    ("__builtin__", "bytes"): _joined,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _KNOWN[_module, "_reconstruct"] = lambda *_: _Array()
    _KNOWN[_module, "scalar"] = lambda kind, raw: _array(raw, kind, ()).item()
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    _KNOWN[_module, "_frombuffer"] = lambda raw, kind, shape, *_: _array(raw, kind, shape)


_Machine: Any = pickle._Unpickler  # noqa: SLF001 -- the C one allocates by numbers in the file


class _Reader(_Machine):  # type: ignore[misc]
    """The unpickler of the standard library, restricted to plain data."""

    dispatch = dict(_Machine.dispatch)  # noqa: RUF012 -- opcode to method

    def __init__(self, file: io.BytesIO, length: int) -> None:
        super().__init__(file, encoding="bytes")
        self.dispatch = _Counted(self.dispatch)
        self._room = length + _SPARE  # for the bytes that calls return

    def load_reduce(self) -> None:
        """Call a stand-in; the same text may be named, and turned into bytes, many times."""
        given = self.stack[-1]
        if isinstance(given, tuple) and given and isinstance(given[0], str):
            self._room -= len(given[0])
            if self._room < 0:
                raise FormatError("turns the same text into bytes again and again")
        _Machine.load_reduce(self)

    def _instantiate(self, klass: Any, args: Any) -> None:  # noqa: ARG002 -- the machine's hook
        """Refuse another way to call: no file of pairs has it."""
        raise FormatError("makes an object: expected plain data; nothing was run")

    def refuse(self) -> None:
        """Refuse what hashes items: nested tuples can take for ever."""
        raise FormatError("holds a dict or a set: expected lists of images and of truth values")

    def load_build(self) -> None:
        """Give a state to a stand-in only: functions have states as well."""
        if not isinstance(self.stack[-2], (_Type, _Array)):
            raise FormatError("gives a state to something that has none")
        _Machine.load_build(self)

    def load_bytearray8(self) -> None:
        """Read a bytearray's bytes; the machine's own method allocates what the file claims."""
        size = int.from_bytes(self.read(8), "little")
        content = self.read(min(size, sys.maxsize))
        if len(content) < size:
            raise FormatError(f"is cut short: {len(content)} of {size} bytes of an item")
        self.append(content)

    dispatch[pickle.REDUCE[0]] = load_reduce
    for _code in (
        *(pickle.DICT, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
        *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    ):
        dispatch[_code[0]] = refuse
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for what a file names."""
        found = _KNOWN.get((module, name))
        if found is None:
            raise FormatError(
                f"asks for {module}.{name}: expected plain data; nothing was run. Do not load this "
                "file by other means unless you trust where it comes from"
            )
        return found

    def get_extension(self, code: int) -> Any:
        """Refuse numbers that mean names in the process's registry: the file does not say which."""
        raise FormatError(
            f"names something by its number {code} in copyreg's registry: expected plain data; "
            "nothing was run"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to the outside."""
        raise FormatError(f"refers to an object outside of the file ({_text(pid)!r})")


class _Counted(dict[int, Any]):
    """What each step calls; counts the steps."""

    left = _STEPS

    def __getitem__(self, code: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise FormatError(f"takes more than {_STEPS:,} steps: not a set of image pairs")
        return super().__getitem__(code)


def _made(item: Any) -> Any:
    """Return an array instead of its stand-in."""
    if not isinstance(item, _Array):
        return item
    if item.made is None:
        raise FormatError("holds an array that is damaged")
    return item.made
