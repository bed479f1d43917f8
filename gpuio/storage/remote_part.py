"""An object under construction behind a URL, which appears when it is complete.

Invariant: until `publish` nothing new is there, and never after `abandon`, nor after an exception
or the end of the process. What a forked child holds of it goes nowhere.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any, BinaryIO, cast

from gpuio.storage.remote import RemoteObject

__all__ = ["RemotePart"]


class RemotePart:
    """Write an object; let it appear at the end. The calls of `PartFile`.

    Parameters
    ----------
    url : str
    buffer : int        bytes kept before they are handed on
    new : bool          nothing may be there

    Raises
    ------
    StorageError        it cannot be written

    Attributes
    ----------
    file : binary file  to write into
    path : str          the URL

    Notes
    -----
    Of two writers of one URL the one that publishes last wins. A process that is killed may leave
    parts that nobody sees and the service keeps: a rule of the bucket can remove them.
    """

    def __init__(self, url: str, buffer: int = 1 << 20, *, new: bool = False) -> None:
        self.path = url
        self._pid = os.getpid()
        self._stream = _Stream(RemoteObject(url), new=new)
        self.file: BinaryIO = cast(BinaryIO, io.BufferedWriter(self._stream, buffer))

    def check(self) -> None:
        """Nothing: writers do not know of each other."""

    def flush(self) -> None:
        """Hand all bytes on.

        Raises
        ------
        StorageError        they cannot be written
        """
        self.file.flush()

    def publish(self) -> None:
        """Let the object appear.

        Raises
        ------
        StorageError        it cannot be written; what was there stays
        """
        self.flush()
        self._stream.publish()

    def abandon(self) -> None:
        """Let nothing appear; may be called twice, and after `publish`."""
        self._stream.abandon()

    discard = abandon

    @property
    def ours(self) -> bool:
        """Whether this is the process that began, not a fork of it."""
        return self._pid == os.getpid()

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.abandon()


class _Stream(io.RawIOBase):
    """What a buffer writes into."""

    def __init__(self, to: RemoteObject, *, new: bool) -> None:
        super().__init__()
        self._pid = os.getpid()
        self._sink: Any = to.sink(new=new)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._sink is not None and self._pid == os.getpid():
            self._sink.write(data)
        return len(memoryview(data))

    def publish(self) -> None:
        """Let the object appear, once."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def abandon(self) -> None:
        """Let nothing appear."""
        if self._pid != os.getpid():
            return
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(OSError):
                sink.abandon()
