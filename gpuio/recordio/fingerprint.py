"""By what a saved state knows its files again: their size, and some of their bytes.

Reading all of a file takes minutes, so files that differ elsewhere, and have the same size, are
taken for the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.recordio.sniff import spread
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import is_url

__all__ = ["SAMPLES", "sampled_array", "sampled_file", "some", "which_files"]

SAMPLES = 16  # places that are looked at
_BYTES = 256  # at each of them


def some(count: int) -> list[int]:
    """Return `SAMPLES` numbers below `count`, evenly spread, the first and the last among them."""
    return spread(0, count, SAMPLES).tolist() if count else []


def sampled_file(file: StoredFile, offsets: Sequence[int] | None = None, made: int = 0) -> int:
    """Return a CRC-32 of a file's size and of some bytes at each offset.

    Parameters
    ----------
    file : StoredFile
    offsets : list of int, optional     evenly spread if None
    made : int                          the CRC-32 to go on from

    Raises
    ------
    StorageError        the file cannot be read
    """
    at = some(file.size) if offsets is None else [int(offset) for offset in offsets]
    made = zlib.crc32(f"{file.size} {at}".encode(), made)
    for offset in at:
        made = zlib.crc32(file.read(offset, min(_BYTES, file.size - offset)), made)
    return made


def sampled_array(array: Any, made: int = 0) -> int:
    """Return a CRC-32 of an array's shape and of the first bytes of some of its rows.

    Parameters
    ----------
    array : NumPy array, h5py dataset, or what is indexed as they are; rows along its first axis
    made : int          the CRC-32 to go on from
    """
    made = zlib.crc32(f"{tuple(array.shape)} {array.dtype}".encode(), made)
    for row in some(array.shape[0]) if len(array.shape) else ():
        bytes_: npt.NDArray[np.uint8] = np.ascontiguousarray(array[row]).reshape(-1).view(np.uint8)
        made = zlib.crc32(bytes_[:_BYTES].data, made)
    return made


def which_files(paths: Sequence[str]) -> str:
    """Return a digest of which files lie at paths: one of a copy, of equal size and date, differs.

    Good while the machine runs, for all of its processes. URLs are told by themselves.
    """
    made = hashlib.blake2b(digest_size=16)
    for path in paths:
        told = path
        if not is_url(path):
            with contextlib.suppress(OSError, ValueError):  # said when it is read
                found = Path(path).stat()
                told = f"{found.st_dev} {found.st_ino} {found.st_ctime_ns}"
        made.update(f"{told}\n".encode("utf-8", "surrogateescape"))
    return made.hexdigest()
