"""Files wherever they lie: opened by one call, which chooses what reads them."""

from __future__ import annotations

import os

from gpuio.storage.local import LocalFile, read_whole
from gpuio.storage.stored import StoredFile

__all__ = ["open_stored", "read_whole"]


def open_stored(path: str | os.PathLike[str]) -> StoredFile:
    """Open a file for reading by position.

    Raises
    ------
    StorageError            nothing is there, it is not a file, or it may not be read
    """
    return LocalFile(path)
