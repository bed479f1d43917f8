"""Write a file completely or not at all.

Invariant: bytes go to a temporary file in the same folder and reach the disk; then the file is
renamed. A crash leaves the old file, or none, and perhaps a temporary one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gpuio.errors import StorageError

__all__ = ["writing"]


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing under a temporary name and rename it at the end.

    Yields
    ------
    binary file         an exception inside the block removes it

    Raises
    ------
    StorageError        it cannot be made, written or renamed: disk full, no permission, no folder
    """
    target = Path(path)
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise StorageError(f"cannot write: {error.strerror}", path=str(target)) from error
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 -- mkstemp's 0600 is not wanted
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        if isinstance(error, StorageError) or not isinstance(error, OSError):
            raise
        raise StorageError(f"cannot write: {error.strerror}", path=str(target)) from error


def _umask() -> int:
    """Return the process's file mode mask (the only way to read it is to set it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
