"""Every error gpuio raises, in one tree.

::

    GpuioError (RuntimeError; also called MXNetError)
    ├── FormatError   (ValueError)   a .rec, .idx or .lst file is not what its format says
    │   └── EmptyDatasetError        there is no record to read
    ├── RecordError   (ValueError)   one record's header or label is unusable
    ├── DecodeError   (ValueError)   one record's image bytes cannot become pixels
    ├── StorageError  (OSError)      bytes could not be read or written
    │   └── MissingFileError         (FileNotFoundError) nothing is at the path
    ├── OptionError   (ValueError)   an option is unknown, malformed, or conflicts with another
    │   └── UnknownOptionError       no option has this name (a TypeError, too)
    ├── StateError    (ValueError)   a saved state does not belong to this iterator
    ├── ModeError (AssertionError)   a reader was asked to write, or a writer to read
    ├── BackendError                 a device, a library or a kernel is missing or failed
    └── ClosedError   (ValueError)   the object was closed

Messages say what happened, where (path, key, byte offset), what was expected and what to do next.
`path`, `key` and `offset` are also attributes (None where they do not apply), so that a caller
need not parse the text.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

__all__ = [
    "BackendError",
    "ClosedError",
    "DecodeError",
    "EmptyDatasetError",
    "FormatError",
    "GpuioError",
    "GpuioWarning",
    "MXNetError",
    "MissingFileError",
    "ModeError",
    "OptionError",
    "RecordError",
    "StateError",
    "StorageError",
    "UnknownOptionError",
]


class Where(NamedTuple):
    """The place of an error.

    Attributes
    ----------
    path : str, optional            the file
    key : int or str, optional      the record's, in the index
    offset : int, optional          byte at which the record begins
    """

    path: str | None = None
    key: int | str | None = None
    offset: int | None = None


class GpuioError(RuntimeError):
    """Base of every error gpuio raises.

    Parameters
    ----------
    message : str
        What happened, what was expected and what to do next.
    path, key, offset : optional
        The file, the record's key and the byte offset of the record's first byte. They are
        appended to the text as ``[path=..., key=..., offset=...]``.
    """

    path: str | None
    key: int | str | None
    offset: int | None

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        key: int | str | None = None,
        offset: int | None = None,
    ) -> None:
        self.path, self.key, self.offset = path, key, offset
        self.message = message
        where = ", ".join(
            f"{name}={value}"
            for name, value in (("path", path), ("key", key), ("offset", offset))
            if value is not None
        )
        super().__init__(f"{message} [{where}]" if where else message)

    def at(self, where: Where) -> GpuioError:
        """Return this error with its place filled in where it had none, its traceback kept."""
        return self._placed(
            self.path if self.path is not None else where.path,
            self.key if self.key is not None else where.key,
            self.offset if self.offset is not None else where.offset,
        )

    def within(self, where: Where) -> GpuioError:
        """Return this error of a buffer as that of the record the buffer holds.

        Path and offset become the record's; a key that the error has stays.
        """
        return self._placed(
            where.path, self.key if self.key is not None else where.key, where.offset
        )

    def _placed(self, path: str | None, key: int | str | None, offset: int | None) -> GpuioError:
        placed = type(self)(self.message, path=path, key=key, offset=offset)
        placed.__cause__ = self.__cause__
        return placed.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.path, self.key, self.offset))


def _rebuild(
    kind: type[GpuioError],
    message: str,
    path: str | None,
    key: int | str | None,
    offset: int | None,
) -> GpuioError:
    """Unpickle an error (errors cross process borders in data loaders)."""
    return kind(message, path=path, key=key, offset=offset)


MXNetError = GpuioError


class FormatError(GpuioError, ValueError):
    """A .rec, .idx or .lst file is not what its format says."""


class EmptyDatasetError(FormatError):
    """There is no record to read."""


class RecordError(GpuioError, ValueError):
    """One record's header or label is unusable."""


class DecodeError(GpuioError, ValueError):
    """One record's image bytes cannot become pixels."""


class StorageError(GpuioError, OSError):
    """Bytes could not be read or written."""


class MissingFileError(StorageError, FileNotFoundError):
    """Nothing is at the path.

    `errno` is ENOENT and `filename` the path, as in Python's own error.
    """

    errno: int = errno.ENOENT

    @property
    def filename(self) -> str | None:
        """The path that nothing is at."""
        return self.path


class OptionError(GpuioError, ValueError):
    """An option is unknown, malformed, or conflicts with another."""


class UnknownOptionError(OptionError, TypeError):
    """No option has this name."""


class StateError(GpuioError, ValueError):
    """A saved state does not belong to this iterator."""


class ModeError(GpuioError, AssertionError):
    """A reader was asked to write, or a writer to read; an AssertionError, as in MXNet."""


class BackendError(GpuioError):
    """A device, a library or a kernel is missing or failed."""


class ClosedError(GpuioError, ValueError):
    """The object was closed."""


class GpuioWarning(UserWarning):
    """Base of every warning gpuio gives."""
