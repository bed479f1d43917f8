"""MXNet's file of named arrays, as `mx.nd.save` writes it: read and write the dense ones.

Layout, little-endian: a list magic and a reserved word (uint64 each), the number of arrays
(uint64), then the arrays, the number of names (uint64), then the names, each a length (uint64) and
its bytes. An array is a magic (uint32), the storage type (int32), its rank (uint32), its shape
(int64 each), a context (two int32), a type code (int32) and its values in C order.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, StorageError
from gpuio.storage.atomic import writing

__all__ = ["read_arrays", "write_arrays"]

_LIST_MAGIC = 0x112
_ARRAY_MAGIC = 0xF993FAC9
_DENSE = 0
_CPU = (1, 0)
_TYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write named arrays, all of them or nothing.

    Parameters
    ----------
    path : str
    arrays : dict of name to array      float32, float64, float16, uint8, int32, int8 or int64

    Raises
    ------
    StorageError                        the file cannot be written
    """
    parts = [struct.pack("<QQQ", _LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        code = _TYPES.index(array.dtype.name)
        parts += [
            struct.pack("<IiI", _ARRAY_MAGIC, _DENSE, array.ndim),
            struct.pack(f"<{array.ndim}q", *array.shape),
            struct.pack("<iii", *_CPU, code),
            np.ascontiguousarray(array).tobytes(),
        ]
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = name.encode()
        parts += [struct.pack("<Q", len(encoded)), encoded]
    with writing(path) as file:
        file.write(b"".join(parts))


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays; arrays without names are named "0", "1", ...

    Raises
    ------
    StorageError        the file cannot be read
    FormatError         it is no such file, is cut short, or holds a sparse array
    """
    path = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", path=path) from error
    try:
        return _parse(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"array file is cut short or damaged: {error}", path=path) from error
    except FormatError as error:
        raise error.at(path=path) from None


def _parse(data: bytes) -> dict[str, npt.NDArray[Any]]:
    magic, _, count = struct.unpack_from("<QQQ", data)
    if magic != _LIST_MAGIC:
        raise FormatError(
            f"not an MXNet array file: it starts {magic:#x}, expected {_LIST_MAGIC:#x}"
        )
    at, arrays = 24, []
    for _ in range(count):
        array, at = _parse_array(data, at)
        arrays.append(array)
    (named,) = struct.unpack_from("<Q", data, at)
    at += 8
    names = [str(number) for number in range(count)]
    for number in range(min(named, count)):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 8 + length > len(data):
            raise FormatError(f"name {number} goes beyond the end of the file", offset=at)
        names[number] = data[at + 8 : at + 8 + length].decode()
        at += 8 + length
    return dict(zip(names, arrays, strict=True))


def _parse_array(data: bytes, at: int) -> tuple[npt.NDArray[Any], int]:
    """Read the array that starts at byte `at`; return it and where it ends."""
    magic, storage, rank = struct.unpack_from("<IiI", data, at)
    if magic != _ARRAY_MAGIC or storage != _DENSE:
        raise FormatError(
            f"array at byte {at} is not dense or of another version: magic {magic:#x}, storage "
            f"type {storage}",
            offset=at,
        )
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
    return values, at + size * dtype.itemsize
