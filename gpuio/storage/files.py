"""Files of this machine and of others by one set of calls: opened, read as a whole, looked for.

Invariant: a path of this machine takes the way that it took before; what reads URLs is imported
when one is named.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from gpuio.errors import StorageError
from gpuio.storage import local
from gpuio.storage.part import PartFile
from gpuio.storage.paths import absolute, open_regular, unusable
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import is_url

if TYPE_CHECKING:
    from gpuio.storage.remote import RemoteObject
    from gpuio.storage.remote_part import RemotePart

    Part = PartFile | RemotePart

__all__ = [
    "exists",
    "files_in",
    "is_there",
    "open_binary",
    "open_part",
    "open_stored",
    "read_whole",
    "remove",
    "same_file",
    "status",
    "write_new",
]

_Path = str | os.PathLike[str]

_BUFFER = 4 << 20  # bytes that reading in order asks a server for at once


def open_stored(path: _Path) -> StoredFile:
    """Open a file for reading by position.

    Raises
    ------
    StorageError            nothing is there, it is not a file, or it may not be read
    """
    if not is_url(path):
        return local.LocalFile(path)
    from gpuio.storage.remote_file import RemoteFile

    return RemoteFile(absolute(path))


def open_binary(path: _Path, buffering: int = -1) -> BinaryIO:
    """Open a file for reading in order, and going back in it.

    Parameters
    ----------
    path : path or URL
    buffering : int         of a file of this machine, as of `open`

    Raises
    ------
    OSError                 the system's; of a URL a StorageError
    """
    if not is_url(path):
        return open(path, "rb", buffering, opener=open_regular)
    return cast(BinaryIO, io.BufferedReader(_Stream(open_stored(path)), _BUFFER))


class _Stream(io.RawIOBase):
    """A stored file as Python reads files."""

    def __init__(self, file: StoredFile) -> None:
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._file.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        count = max(min(len(view), self._file.size - self._at), 0)
        view[:count] = self._file.read(self._at, count)
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def read_whole(path: _Path, what: str = "cannot read", advice: str = "") -> bytes:
    """Return all bytes of a file.

    Parameters
    ----------
    path : path or URL
    what, advice : str      how the message of an error begins and ends

    Raises
    ------
    StorageError            it is missing, not a file, or cannot be read
    """
    path = absolute(path)
    if not is_url(path):
        return local.read_whole(path, what, advice)
    try:
        with open_stored(path) as file:
            return file.read(0, file.size)
    except StorageError as error:
        said = error.message.removeprefix("cannot open: ")
        raise type(error)(f"{what}: {said}{advice}", path=error.path) from error


def status(path: _Path) -> tuple[Any, ...]:
    """Return what a file is told by, such as its size and time of change, the size first.

    Raises
    ------
    StorageError            nothing is there, or it cannot be looked at
    """
    path = absolute(path)
    if is_url(path):
        version = _object(path).head()
        return version.size, version.modified_ns, version.etag
    try:
        found = Path(path).stat()
    except OSError as error:
        raise unusable("cannot open", error, path) from error
    return found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino


def exists(path: _Path) -> bool:
    """Whether something can be opened at a path.

    Raises
    ------
    StorageError            a server does not say
    """
    path = absolute(path)
    return _object(path).exists() if is_url(path) else Path(path).exists()


def is_there(path: _Path) -> bool:
    """Whether something is at a path, a link that leads nowhere too; errors as `exists`."""
    path = absolute(path)
    return exists(path) if is_url(path) else os.path.lexists(path)


def files_in(folder: _Path) -> list[str]:
    """Return the paths of the files in a folder, sorted; none where there is no folder.

    Raises
    ------
    StorageError            a server does not list it
    """
    folder = absolute(folder)
    if not is_url(folder):
        inside = Path(folder).iterdir() if Path(folder).is_dir() else ()
        return sorted(str(one) for one in inside if one.is_file())
    from gpuio.storage.remote import listed

    return [one.url for one in listed(folder) if not one.folder]


def same_file(path: _Path, other: _Path) -> bool:
    """Whether two places are one file that is there; of URLs, whether they are written alike."""
    path, other = absolute(path), absolute(other)
    if is_url(path) or is_url(other):
        return path == other
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


def remove(path: _Path) -> None:
    """Remove a file; nothing need be there.

    Raises
    ------
    OSError                 the system's; of a URL a StorageError
    """
    path = absolute(path)
    if is_url(path):
        _object(path).delete()
    else:
        Path(path).unlink(missing_ok=True)


def open_part(path: _Path, buffer: int = 1 << 16, what: str = "cannot write") -> Part:
    """Begin a file that takes its name when it is complete; see `PartFile` and `RemotePart`.

    Raises
    ------
    StorageError            it cannot be written
    """
    if not is_url(path):
        return PartFile(path, buffer, what)
    from gpuio.storage.remote_part import RemotePart

    return RemotePart(absolute(path), max(buffer, 1 << 20))


def write_new(url: str, data: bytes | memoryview) -> None:
    """Write an object behind a URL at which nothing is yet.

    Raises
    ------
    StorageError            it cannot be written, or is there already
    """
    from gpuio.storage.remote_part import RemotePart

    part = RemotePart(absolute(url), new=True)
    try:
        part.file.write(data)
    except BaseException:
        part.abandon()
        raise
    part.publish()


def _object(url: str) -> RemoteObject:
    from gpuio.storage.remote import RemoteObject

    return RemoteObject(url)
