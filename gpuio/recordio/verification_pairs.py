"""Files of image pairs (lfw.bin, cfp_fp.bin, agedb_30.bin): pickles, read as data only.

A pickle is a program. This reader knows lists, tuples, bytes, numbers and NumPy arrays of uint8 and
bool; it refuses everything else that a file asks for, before doing it.

Invariant: nothing that the file names is imported or called; NumPy's own unpickling is not used.
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
from gpuio.storage.local import read_whole

__all__ = ["read_pairs"]

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
    FormatError             it is not such a pickle, or asks for anything but plain data

    Notes
    -----
    The file need not be trusted: see the module's invariant. Decode an image with
    `gpuio.image.imdecode`.
    """
    path = os.fspath(path)
    data = read_whole(path, "cannot read the pairs")
    reader = _Reader(io.BytesIO(data), encoding="bytes")
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
    images, same = (part.tolist() if isinstance(part, np.ndarray) else part for part in made)
    for name, part in (("images", images), ("same", same)):
        if not isinstance(part, (list, tuple)):
            raise FormatError(f"{name}: expected a list, found {_kind(part)}")
    for number, truth in enumerate(same):
        if truth not in (0, 1):
            raise FormatError(f"same: item {number} is {_kind(truth)}, expected True or False")
    if len(images) != 2 * len(same):
        raise FormatError(
            f"{len(images)} images and {len(same)} truth values: expected two images for each"
        )
    return [_image(number, item) for number, item in enumerate(images)], np.array(same, np.bool_)


def _image(number: int, item: Any) -> bytes:
    """Return an image's bytes."""
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim == 1:
        return item.tobytes()
    if isinstance(item, bytes):
        return item
    raise FormatError(f"images: item {number} is {_kind(item)}, expected bytes")


def _kind(item: Any) -> str:
    shape = f" of shape {item.shape}" if isinstance(item, np.ndarray) else ""
    size = f" of {len(item)}" if isinstance(item, (list, tuple, bytes)) else ""
    return f"{type(item).__name__}{shape}{size}"


class _Type:
    """A NumPy dtype's stand-in: one of two."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if text not in _DTYPES:
            raise FormatError(f"holds an array of dtype {text[:20]!r}: expected uint8 or bool")
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
    if not isinstance(kind, _Type) or not isinstance(raw, (bytes, bytearray)):
        raise FormatError("holds an array that is damaged")
    return np.frombuffer(bytes(raw), kind.dtype).reshape(shape)


def _encoded(text: Any, codec: Any = "latin1") -> bytes:
    """Return bytes that old pickles hold as text."""
    name = codec.decode("latin-1") if isinstance(codec, bytes) else str(codec)
    if not isinstance(text, str) or name not in ("latin1", "latin-1"):
        raise FormatError(f"asks for the codec {name[:20]!r}: expected latin1")
    return text.encode("latin-1")


def _joined(content: Any = b"", *_: Any) -> bytes:
    """Return a bytearray's bytes."""
    if isinstance(content, (bytes, bytearray)):
        return bytes(content)
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
        raise FormatError(f"refers to an object outside of the file ({str(pid)[:20]!r})")

    def load(self) -> Any:
        """Return the object, with arrays instead of their stand-ins."""
        return _finished(super().load())


def _finished(made: Any, depth: int = 0) -> Any:
    """Replace stand-ins by their arrays, two lists deep."""
    if isinstance(made, _Array):
        if made.made is None:
            raise FormatError("holds an array that is damaged")
        return made.made
    if isinstance(made, (list, tuple)) and depth < 2:
        return [_finished(item, depth + 1) for item in made]
    return made
