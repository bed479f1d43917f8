"""MXRecordIO and MXIndexedRecordIO: reading and writing .rec files record by record.

Invariant: what these write is byte for byte what MXNet writes, and what MXNet wrote reads back. A
writer writes PATH.part, which takes its name at close(): until then an older file stays.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from ctypes import c_char_p
from typing import TYPE_CHECKING, Any, Self, TextIO

import numpy as np

from gpuio import hooks
from gpuio.errors import (
    ClosedError,
    FormatError,
    GpuioError,
    ModeError,
    OptionError,
    StorageError,
)
from gpuio.recordio.foreign import refuse_foreign
from gpuio.recordio.framing import HEADER_BYTES, MENDED, encode, head_at, unframe, whole_at
from gpuio.recordio.index_binary import open_entries
from gpuio.recordio.index_entries import Entries
from gpuio.recordio.index_text import check_key, read_index
from gpuio.recordio.key_list import KeyList
from gpuio.recordio.offset_dict import OffsetDict
from gpuio.storage.atomic import check_target
from gpuio.storage.files import open_binary, open_part, open_stored, remove, status
from gpuio.storage.paths import absolute, unusable

if TYPE_CHECKING:
    from gpuio.storage.files import Part

__all__ = ["MXIndexedRecordIO", "MXRecordIO"]

_CHUNK = 1 << 20  # bytes a sequential reader fetches at once, and a writer's buffer
_FIRST_CHUNK = 32 << 10  # after a seek: nobody knows yet whether reading goes on from there
_PLAIN_BELOW = 1 << 16  # entries: a list and a dict of fewer take 10 MB at most, and 10 ms


class MXRecordIO:
    """Read or write a .rec file in order.

    Parameters
    ----------
    uri : str               path
    flag : {"r", "w"}       "w" creates or replaces the file, which gets its name at close()

    Raises
    ------
    OptionError             another flag (a ValueError)
    StorageError            the file cannot be opened (an MXNetError), or another process writes it

    Notes
    -----
    The path is made absolute at once: a later change of the working folder, in this process or in
    one that unpickles a reader, changes no file. As in MXNet: pickling closes the original and an
    unpickled reader opens the file anew; reading or writing in a forked child raises RuntimeError
    until it is reopened. Unlike MXNet, the end of the file is not sticky: after `seek` a reader
    reads on; an open writer cannot be pickled or copied (TypeError), since the copy would empty
    the file; and what is written is in PATH.part until close(), so that a killed program leaves the
    older file as it was. A ``with`` block that ends by an exception leaves PATH.part, too.
    """

    def __init__(self, uri: str | os.PathLike[str], flag: str) -> None:
        self.uri = c_char_p(os.fsencode(absolute(uri)))
        self.flag = flag
        self.pid: int | None = None
        self.is_open = False
        self.writable = False
        self.handle: Any = None
        self._part: Part | None = None
        self._at = 0
        self._chunk = b""
        self._chunk_at = 0
        self._ahead = _CHUNK
        self.open()

    def __repr__(self) -> str:
        closed = "" if self.is_open else ", closed"
        return f"{type(self).__name__}({self._path!r}, {self.flag!r}{closed})"

    def _repr_html_(self) -> str:
        text: str = hooks.call("record_html", self)
        return text

    @property
    def _path(self) -> str:
        assert self.uri.value is not None
        return os.fsdecode(self.uri.value)

    def open(self) -> None:
        """Open the file; `'w'` begins an empty one."""
        if self.flag == "r":
            self.handle, self.writable = open_stored(self._path), False
        elif self.flag == "w":
            self._part = open_part(self._path, _CHUNK)
            self.handle, self.writable = self._part.file, True
        else:
            raise OptionError(f"Invalid flag {self.flag}: expected 'r' or 'w'", path=self._path)
        self._at, self._chunk, self._chunk_at = 0, b"", 0
        self.pid = os.getpid()
        self.is_open = True

    def close(self) -> None:
        """Close the file, which gets its name if it was written; may be called twice."""
        self._close(keep=True)

    def _close(self, *, keep: bool) -> None:
        """Close the file; a writer's gets its name if it is to be kept."""
        if not self.is_open:
            return
        self.is_open, self.pid = False, None
        handle, self.handle = self.handle, None
        part, self._part = self._part, None
        self._chunk = b""
        if part is None:
            handle.close()
        elif keep and part.ours:
            self._publish(part)
        else:
            part.abandon()

    def _publish(self, part: Part) -> None:
        """Give a writer's file its name."""
        try:
            part.publish()
        except OSError as error:
            raise unusable("cannot write", error, self._path) from error

    def reset(self) -> None:
        """Close and open again: go to the start; a writer's file becomes empty."""
        self.close()
        self.open()

    def __del__(self) -> None:  # a writer's file is complete then, as in MXNet
        if getattr(self, "is_open", False):
            with contextlib.suppress(ClosedError):  # a newer writer has the file
                self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self._close(keep=kind is None)

    def __getstate__(self) -> dict[str, Any]:
        is_open = self.is_open
        if is_open and self.writable:
            raise TypeError(
                f"an open writer cannot be pickled or copied: the copy would empty {self._path}; "
                "close it first"
            )
        self.close()
        state = dict(self.__dict__)
        state["is_open"] = is_open
        state["uri"] = self._path
        for name in ("handle", "_chunk", "_part"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        is_open = state["is_open"]
        self.is_open, self.handle, self._part, self._chunk = False, None, None, b""
        self.uri = c_char_p(os.fsencode(state["uri"]))
        if is_open:
            self.open()

    def _check_pid(self, allow_reset: bool = False) -> None:
        if self.pid != os.getpid():
            if not allow_reset and self.pid is None:
                raise ClosedError(
                    "Forbidden operation in multiple processes: the file was closed; open() opens "
                    "it again",
                    path=self._path,
                )
            if not allow_reset:
                raise GpuioError(
                    "Forbidden operation in multiple processes: this is a fork of the process that "
                    "opened the file; reset() opens it here",
                    path=self._path,
                )
            self.reset()

    def _check_mode(self, what: str, *, writable: bool) -> None:
        """Raise ModeError where a reader should write, or a writer read."""
        if self.writable != writable:
            mode = "w" if writable else "r"
            raise ModeError(
                f"{what} needs a {'writer' if writable else 'reader'}: open the file with "
                f"flag={mode!r}",
                path=self._path,
            )

    def write(self, buf: bytes) -> None:
        """Append one record.

        Parameters
        ----------
        buf : bytes             payload, shorter than 2**29 bytes

        Raises
        ------
        ModeError               this is a reader (an AssertionError)
        TypeError               `buf` is not bytes
        FormatError             the payload is too long
        ClosedError             the file was closed (a RuntimeError)
        GpuioError              this is a forked child (a RuntimeError)
        """
        self._check_mode("write()", writable=True)
        self._check_pid(allow_reset=False)
        if not isinstance(buf, bytes):
            raise TypeError(f"a bytes-like object is required: expected bytes, got {type(buf)}")
        framed = encode(buf)
        try:
            self.handle.write(framed)
        except ValueError:
            assert self._part is not None
            self._part.check()
            raise
        except OSError as error:
            raise StorageError(
                f"cannot write: {error.strerror}", path=self._path, offset=self._at
            ) from error
        self._at += len(framed)

    def read(self) -> bytes | None:
        """Return the next record's payload; None at the end of the file.

        Raises
        ------
        ModeError               this is a writer (an AssertionError)
        FormatError             the bytes at this place are not a record
        ClosedError             the file was closed (a RuntimeError)
        GpuioError              this is a forked child (a RuntimeError)
        """
        if self.writable:
            self._check_mode("read()", writable=False)
        if self.pid != os.getpid():
            self._check_pid(allow_reset=False)
        payload = whole_at(self._chunk, self._at - self._chunk_at)
        if payload is not None:
            size = len(payload)
            self._at += HEADER_BYTES + size + -size % 4
            return payload
        if self._at >= self.handle.size:
            return None
        try:
            framed = self._framed()
            payload = bytes(unframe(framed))
        except FormatError as error:
            if self._at == 0:
                refuse_foreign(self.handle)
            raise FormatError(
                f"Invalid RecordIO File: {error.message}; {MENDED}",
                path=self._path,
                offset=self._at,
            ) from None
        self._at += len(framed)
        return payload

    def _framed(self) -> bytes:
        """Return the framed bytes of the record at the present place, all parts of it."""
        length = 0
        while True:
            header = self._bytes(self._at + length, HEADER_BYTES)
            flag, size = head_at(header, 0)
            length += HEADER_BYTES + size + -size % 4
            if self._at + length > self.handle.size:
                raise FormatError(
                    f"record ends at byte {self._at + length:,}, the file at "
                    f"{self.handle.size:,}: it was cut short"
                )
            if flag in (0, 3):
                return self._bytes(self._at, length)

    def _bytes(self, offset: int, length: int) -> bytes:
        """Return bytes of the file, read a chunk ahead; fewer only at its end."""
        length = min(length, self.handle.size - offset)
        start = offset - self._chunk_at
        if start < 0 or start + length > len(self._chunk):
            size = min(max(length, self._ahead), self.handle.size - offset)
            self._ahead = min(4 * self._ahead, _CHUNK)
            self._chunk, self._chunk_at, start = self.handle.read(offset, size), offset, 0
        return self._chunk[start : start + length]


class MXIndexedRecordIO(MXRecordIO):
    """Read or write a .rec file with its .idx, records found by key.

    Parameters
    ----------
    idx_path : str          the index file: key, TAB, byte offset a line
    uri : str               the .rec file
    flag : {"r", "w"}
    key_type : type         of the keys, int by default

    Attributes
    ----------
    idx : dict              key to byte offset; of a repeated key the last
    keys : list             in the order of the index file

    Notes
    -----
    In a reader of 65,536 and more records with whole-number keys, `idx` and `keys` answer from
    arrays of 8 bytes per record (16 where keys are not consecutive) and make Python objects only
    when they are changed. ``isinstance`` takes them for a dict and a list; `json` wants
    ``list(keys)``. A forked child shares the arrays. A file FILE.idx.bin that `share_index` made is
    mapped into memory instead of reading the text.
    """

    _idx_part: Part | None = None
    _read: tuple[tuple[Any, ...], Entries] | None = None  # the index file's status, what it holds

    def __init__(
        self,
        idx_path: str | os.PathLike[str],
        uri: str | os.PathLike[str],
        flag: str,
        key_type: Callable[[Any], Any] = int,
    ) -> None:
        self.idx_path = absolute(idx_path)
        self.idx: dict[Any, int] | OffsetDict = {}
        self.keys: list[Any] | KeyList = []
        self.key_type = key_type
        self.fidx: TextIO | None = None
        super().__init__(uri, flag)

    def open(self) -> None:
        """Open the record file and the index; a reader reads the whole index if it is new."""
        self.idx, self.keys = {}, []
        if self.flag == "w":
            self._open_for_writing()
            return
        super().open()
        try:
            self.fidx = io.TextIOWrapper(open_binary(self.idx_path), encoding="utf-8-sig")
            self._read_index(status(self.idx_path))
        except OSError as error:
            self._refuse_other_kind()
            self.close()
            advice = "; `gpuio rec2idx` makes one"
            raise unusable("cannot open the index", error, self.idx_path, advice) from error
        except GpuioError:
            self.close()
            raise

    def _refuse_other_kind(self) -> None:
        """Say what the record file is, if that is why it has no index; FormatError."""
        try:
            refuse_foreign(self.handle)
        except FormatError:
            self.close()
            raise

    def _open_for_writing(self) -> None:
        """Begin both files, or neither where one of them cannot be written."""
        check_target(self.idx_path)
        rec, idx = self._path, self.idx_path
        if os.path.realpath(rec) == os.path.realpath(idx):
            raise StorageError(
                "the index and the record file are the same path: name two files", path=idx
            )
        check_target(idx, [rec])
        part = open_part(idx, what="cannot open the index")
        try:
            super().open()
        except BaseException:
            part.discard()
            raise
        self._idx_part = part
        self.fidx = io.TextIOWrapper(part.file, encoding="utf-8", newline="\n")

    def _read_index(self, name: tuple[Any, ...]) -> None:
        """Make `keys` and `idx`; a file of the same status is not read again."""
        if self._read is None or self._read[0] != name:
            entries = open_entries(self.idx_path) if self.key_type is int else None
            self._read = None if entries is None else (name, entries)
        if self._read is None:
            self.keys, offsets = read_index(self.idx_path, self.key_type)
            self.idx = dict(zip(self.keys, offsets, strict=True))
            return
        entries = self._read[1]
        if len(entries) >= _PLAIN_BELOW:
            self.keys, self.idx = KeyList(entries), OffsetDict(entries)
            return
        self.keys = entries.key_list(0, len(entries))
        self.idx = dict(zip(self.keys, entries.offsets.tolist(), strict=True))

    def _close(self, *, keep: bool) -> None:
        """Close both files; the index of a writer is complete only now, and published last."""
        if not self.is_open:
            return
        fidx, self.fidx = self.fidx, None
        part, self._idx_part = self._idx_part, None
        if part is None:
            super()._close(keep=keep)
            if fidx is not None:
                fidx.close()
            return
        assert fidx is not None
        try:
            keep = keep and part.ours
            if keep:
                part.check()
                fidx.flush()
                part.flush()
                assert self._part is not None
                self._part.flush()
                remove(part.path)  # it must not lie beside other records
            super()._close(keep=keep)
            if keep:
                part.publish()
        except OSError as error:
            raise unusable("cannot write", error, self.idx_path) from error
        finally:
            super()._close(keep=False)
            with contextlib.suppress(OSError, ValueError):
                fidx.close()
            part.abandon()

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["fidx"] = state["_read"] = state["_idx_part"] = None
        if state["is_open"]:  # `open` reads them anew
            state["idx"], state["keys"] = {}, []
        return state

    def seek(self, idx: Any) -> None:
        """Go to the record of a key.

        Raises
        ------
        ModeError           this is a writer (an AssertionError)
        KeyError            no such key
        """
        if self.writable:
            self._check_mode("seek()", writable=False)
        self._check_pid(allow_reset=True)
        self._at = self.idx[idx]
        self._ahead = _FIRST_CHUNK

    def tell(self) -> int:
        """Return the byte offset at which the next record will start; for writers."""
        self._check_mode("tell()", writable=True)
        return self._at

    def read_idx(self, idx: Any) -> bytes | None:
        """Return the payload of a key's record; None if its offset is at or past the file's end."""
        self.seek(idx)
        return self.read()

    def write_idx(self, idx: Any, buf: bytes) -> None:
        """Append one record under a key.

        Raises
        ------
        OptionError         a number that is not whole; or a text that could not be read back: with
                            a TAB, a line break, blanks at an end, or nothing; neither the record
                            nor the key is written
        ModeError           this is a reader (an AssertionError)
        """
        key = self.key_type(idx)
        if key != idx and isinstance(idx, (float, np.floating)):
            raise OptionError(
                f"the key {idx!r} would be stored as {key!r}: give a whole number",
                path=self.idx_path,
            )
        check_key(key, self.idx_path)
        offset = self.tell()
        self.write(buf)
        assert self.fidx is not None
        assert self._idx_part is not None
        self._idx_part.check()
        try:
            self.fidx.write(f"{key}\t{offset}\n")
        except OSError as error:
            raise StorageError(f"cannot write: {error.strerror}", path=self.idx_path) from error
        self.idx[key] = offset
        self.keys.append(key)
