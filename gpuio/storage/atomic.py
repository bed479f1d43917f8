"""Write a file completely or not at all.

Invariant: bytes go to a temporary file in the same folder and reach the disk; then the file is
renamed. A crash leaves the old file, or none, and perhaps a temporary one. Behind a URL the object
appears at the end, or never. An index, a
list or a report never takes the place of a record file, nor of a file that it was made from.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from gpuio.errors import StorageError
from gpuio.storage.files import exists, open_stored, same_file
from gpuio.storage.paths import absolute, check_regular, unusable
from gpuio.storage.urls import is_url

__all__ = ["RECORD_START", "check_target", "writing"]

_Path = str | os.PathLike[str]

_LOOKED_AT = 1024  # bytes
RECORD_START = b"\x0a\x23\xd7\xce"  # how a record file begins: the magic number of its framing


def check_target(
    path: _Path,
    sources: Sequence[_Path] = (),
    *,
    record: bool = False,
    own: Callable[[bytes], bool] | None = None,
) -> None:
    """Refuse to write over a file that is not an older output of the same kind.

    Parameters
    ----------
    path : path             what is to be written
    sources : sequence of path      what it is made from
    record : bool           a record file is to be written, and may replace another one
    own : callable(bytes) -> bool
        whether a file that begins with these bytes, its first kilobyte, is an older output. None:
        all but a record file may be replaced. An empty file may be replaced in any case.

    Raises
    ------
    StorageError            the path is one of the sources; or a record file, and the output is not;
                            or not an output of this kind; or a folder, a named pipe or a device,
                            which it would replace
    """
    target = absolute(path)
    if any(same_file(target, source) for source in sources):
        raise StorageError(
            "cannot write: this is a file that is read; name another one to write",
            path=target,
        )
    if not is_url(target):
        check_regular(target, "cannot write")
    try:
        if record or not exists(target):
            return
        with open_stored(target) as file:
            begins = file.read(0, min(file.size, _LOOKED_AT))
    except OSError:
        return  # writing says what is wrong
    if begins.startswith(RECORD_START):
        raise StorageError(
            "cannot write: this is a record file, and what is to be written is not; name another "
            "file to write, or delete this one first",
            path=target,
        )
    if own is not None and begins and not own(begins):
        raise StorageError(
            "cannot write: there is a file of another kind; name another file to write, or delete "
            "this one first",
            path=target,
        )


@contextlib.contextmanager
def writing(
    path: _Path, sources: Sequence[_Path] = (), *, record: bool = False
) -> Iterator[BinaryIO]:
    """Open a file for writing under a temporary name and rename it at the end.

    Parameters
    ----------
    path, sources, record       as `check_target`, which is asked first

    Yields
    ------
    binary file         an exception inside the block removes it

    Raises
    ------
    StorageError        it cannot be made, written or renamed: disk full, no permission, no folder;
                        or as `check_target`
    """
    check_target(path, sources, record=record)
    if is_url(path):
        with _behind_url(absolute(path)) as made:
            yield made
        return
    target = Path(absolute(path))
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise unusable("cannot write", error, target) from error
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
        raise unusable("cannot write", error, target) from error


@contextlib.contextmanager
def _behind_url(url: str) -> Iterator[BinaryIO]:
    """Open an object for writing; it appears at the end, and not after an exception."""
    from gpuio.storage.remote_part import RemotePart

    part = RemotePart(url)
    try:
        yield part.file
    except BaseException:
        part.abandon()
        raise
    part.publish()


def _umask() -> int:
    """Return the process's file mode mask (the only way to read it is to set it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
