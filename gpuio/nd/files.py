"""mx.nd.save and mx.nd.load: MXNet's file of arrays, named or not, dense ones.

Layout, little-endian: a list magic and a reserved word (uint64 each), the number of arrays
(uint64), then the arrays, the number of names (uint64), then the names, each a length (uint64) and
its bytes. An array is a magic (uint32), the storage type (int32), its rank (uint32), its shape
(int64 each), a context (two int32), a type code (int32) and its values in C order.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, Where
from gpuio.nd.arrays import NDArray, asnumpy, host_array
from gpuio.storage.atomic import writing
from gpuio.storage.files import read_whole

__all__ = ["load", "save"]

_LIST_MAGIC = 0x112
_ARRAY_MAGIC = 0xF993FAC9
_DENSE = 0
_CPU = (1, 0)
_TYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")


def save(fname: str | os.PathLike[str], data: Any) -> None:
    """Write arrays into a file, byte for byte MXNet's: all of them or nothing.

    Parameters
    ----------
    fname : str
    data : array, list of arrays, or dict of str to array
        dense, on the host or on a device: float32, float64, float16, uint8, int32, int8, int64 or
        bool. A single number is written with shape (1,)

    Raises
    ------
    TypeError, ValueError       `data` is something else
    OptionError                 an array is sparse or of another dtype; nothing is written
    StorageError                the file cannot be written
    """
    names, arrays = _named(data)
    parts = [struct.pack("<QQQ", _LIST_MAGIC, 0, len(arrays))]
    for number, array in enumerate(arrays):
        if array.dtype.name not in _TYPES:
            raise OptionError(
                f"array {names[number] if names else number!r} is {array.dtype.name}: "
                f"{os.fspath(fname)} can hold {', '.join(_TYPES)}"
            )
        parts += [
            struct.pack("<IiI", _ARRAY_MAGIC, _DENSE, array.ndim),
            struct.pack(f"<{array.ndim}q", *array.shape),
            struct.pack("<iii", *_CPU, _TYPES.index(array.dtype.name)),
            array.tobytes(),
        ]
    parts.append(struct.pack("<Q", len(names)))
    for name in names:
        encoded = name.encode()
        parts += [struct.pack("<Q", len(encoded)), encoded]
    with writing(fname) as file:
        file.write(b"".join(parts))


def _named(data: Any) -> tuple[list[str], list[npt.NDArray[Any]]]:
    """Return the names, none if there are none, and the arrays on the host."""
    names: list[str] = []
    if isinstance(data, dict):
        names, data = list(data), list(data.values())
    elif hasattr(data, "shape"):
        data = [data]
    elif not isinstance(data, list):
        raise ValueError(
            "data needs to either be a NDArray, dict of str, NDArray pairs or a list of NDarrays."
        )
    if not all(hasattr(array, "shape") for array in data) or not all(
        isinstance(name, str) for name in names
    ):
        raise TypeError("save only accept dict str->NDArray or list of NDArray")
    for number, array in enumerate(data):
        if getattr(array, "stype", "default") != "default":
            raise OptionError(
                f"array {names[number] if names else number!r} is sparse: save its asnumpy()"
            )
    return names, [np.atleast_1d(asnumpy(array)) for array in data]


def load(fname: str | os.PathLike[str]) -> list[NDArray] | dict[str, NDArray]:
    """Read what `save`, or MXNet's, has written.

    Parameters
    ----------
    fname : str

    Returns
    -------
    list of NDArray, or dict of str to NDArray
        as they were saved, on the host; a list where nothing has a name

    Raises
    ------
    StorageError        the file cannot be read
    FormatError         it is not such a file, is cut short, or holds a sparse array
    """
    path = os.fspath(fname)
    data = read_whole(path)
    try:
        names, arrays = _parse(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"array file is cut short or damaged: {error}", path=path) from error
    except FormatError as error:
        raise error.at(Where(path)) from None
    return dict(zip(names, arrays, strict=True)) if names else arrays


def _parse(data: bytes) -> tuple[list[str], list[NDArray]]:
    """Return the names, none if there are none, and the arrays."""
    magic, _, count = struct.unpack_from("<QQQ", data)
    if magic != _LIST_MAGIC:
        raise FormatError(
            f"not an MXNet array file: it starts {magic:#x}, expected {_LIST_MAGIC:#x}"
        )
    at = 24
    names: list[str] = []
    arrays: list[NDArray] = []
    for _ in range(count):
        array, at = _parse_array(data, at)
        arrays.append(array)
    (named,) = struct.unpack_from("<Q", data, at)
    at += 8
    if named not in (0, count):
        raise FormatError(f"{named} names for {count} arrays", offset=at - 8)
    for number in range(named):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 8 + length > len(data):
            raise FormatError(f"name {number} goes beyond the end of the file", offset=at)
        names.append(data[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return names, arrays


def _parse_array(data: bytes, at: int) -> tuple[NDArray, int]:
    """Read the array that starts at byte `at`; return it and where it ends."""
    magic, storage, rank = struct.unpack_from("<IiI", data, at)
    if magic != _ARRAY_MAGIC or storage != _DENSE:
        raise FormatError(
            f"array at byte {at} is not dense or of another version: magic {magic:#x}, storage "
            f"type {storage}",
            offset=at,
        )
    if rank == 0:  # MXNet's empty NDArray, of which nothing else is written
        raise FormatError(f"array at byte {at} has no shape: it was saved unset", offset=at)
    shape = struct.unpack_from(f"<{rank}q", data, at + 12)
    at += 12 + 8 * rank
    _, _, code = struct.unpack_from("<iii", data, at)
    dtype = np.dtype(_TYPES[code])
    at += 12
    size = math.prod(shape)
    if min(shape, default=0) < 0 or at + size * dtype.itemsize > len(data):
        raise FormatError(
            f"array of shape {shape} goes beyond the end of the file ({len(data)} bytes)", offset=at
        )
    values = np.frombuffer(data, dtype, size, at).reshape(shape).copy()
    return host_array(values), at + size * dtype.itemsize
