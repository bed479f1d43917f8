"""Where ImageIter's samples come from: a .rec file, a list of image files, or both.

A source knows keys, labels and bytes, not pixels or batches. Worker threads share it: several may
call `fetch` at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpuio.errors import (
    EmptyDatasetError,
    MissingFileError,
    OptionError,
    RecordError,
    StorageError,
    Where,
)
from gpuio.forking import lock
from gpuio.nd import host_array
from gpuio.options.machine import MAX_PIXELS, MAX_SCANS
from gpuio.recordio.files import MXIndexedRecordIO, MXRecordIO
from gpuio.recordio.fingerprint import sampled_file, some
from gpuio.recordio.header import unpack
from gpuio.recordio.key_list import key_digest
from gpuio.recordio.lists import read_list
from gpuio.storage.files import open_stored, read_whole, status
from gpuio.storage.paths import absolute
from gpuio.storage.urls import is_url

__all__ = ["MissingImageError", "MissingLabelError", "Sample", "SampleSource"]

Key = int | str


class MissingImageError(MissingFileError):
    """A listed image file does not exist; also a FileNotFoundError, as MXNet raises."""


class MissingLabelError(RecordError, KeyError):
    """A record has no line in the label list; also a KeyError, as MXNet raises."""

    __str__ = Exception.__str__  # KeyError would print the text's repr


@dataclass(slots=True, eq=False)
class Sample:
    """One sample on its way through an iterator.

    Attributes
    ----------
    key : int or str            of the index or the list; None in a .rec read without index
    position : int              place in the epoch's order, from 0
    epoch : int                 the epoch it was taken in
    label : float or float32[n]     as stored or listed
    blob : bytes                the encoded image
    place : Where               for errors
    pixels : array[h, w, 3]     decoded, as far as it is augmented
    boxes : float32[objects, 5 or more]     a detection label, parsed, as far as it is augmented
    background : bool           whether that label had no object from the start
    plan                        what is still to be applied
    row : float32[3, H, W]      finished
    error : Exception           why it could not be made; raised when its turn comes
    skip : Exception            why it is left out
    """

    key: Key | None
    position: int
    epoch: int = 0
    label: Any = None
    blob: bytes | None = None
    place: Where = field(default_factory=Where)
    pixels: Any = None
    boxes: Any = None
    background: bool = False
    plan: Any = None
    row: Any = None
    error: Exception | None = None
    skip: Exception | None = None

    @property
    def name(self) -> str:
        """Name the sample as MXNet's messages do."""
        if self.place.key is not None:
            return f"index: {self.place.key}"
        return f"filename: {self.place.path}"


class SampleSource:
    """Keys, labels and encoded images.

    Parameters
    ----------
    path_imgrec, path_imgidx : path or None     record file and its index
    path_imglist : path or None                 .lst file: key, labels, path, TAB between
    imglist : sequence or None                  rows of label(s) and a path
    path_root : path or None                    put before listed paths; None leaves them as they
                                                are
    widths : tuple of int or None               numbers of labels that a line of path_imglist may
                                                have; None: any

    Attributes
    ----------
    imgrec : MXRecordIO or None
    imgidx : list of keys, or None without an index
    imglist : dict from key to (float32 labels, path), or None
    keys : list of keys in their order, or None: read the .rec from its start
    limits : (int, int)         most pixels and scans of an image
    """

    def __init__(
        self,
        path_imgrec: Any = None,
        path_imgidx: Any = None,
        path_imglist: Any = None,
        imglist: Sequence[Any] | None = None,
        path_root: Any = None,
        widths: tuple[int, ...] | None = None,
    ) -> None:
        self.limits = MAX_PIXELS, MAX_SCANS
        self.path_root = None if path_root is None else absolute(path_root)
        self._folder = absolute(".")  # where listed paths start if there is no path_root
        self.path_imgrec = None if not path_imgrec else absolute(path_imgrec)
        self.path_imgidx = None if not path_imgidx else absolute(path_imgidx)
        self.imgidx: Sequence[Key] | None = None
        self._lock = lock()  # an MXRecordIO seeks and reads in two steps
        self.imglist: dict[Key, tuple[Any, str]] | None = None
        if path_imglist:
            self.imglist = _read_list(absolute(path_imglist), widths)
        elif imglist is not None:
            self.imglist = dict(_listed(row, number) for number, row in enumerate(imglist, 1))
        self.imgrec = self._open()
        if isinstance(self.imgrec, MXIndexedRecordIO):
            self.imgidx = self.imgrec.keys  # of a large index arrays, which stay arrays
        self._check_filled(path_imglist)
        self._check_labels()

    def _check_filled(self, path_imglist: Any) -> None:
        """Raise EmptyDatasetError where there is nothing to read."""
        rows = self.keys
        if rows is None:
            assert self.imgrec is not None
            if not self.imgrec.handle.size:
                raise EmptyDatasetError("the file is empty", path=self.path_imgrec)
        elif not len(rows):
            of = self.path_imgidx or (absolute(path_imglist) if path_imglist else None)
            what = "the index" if self.path_imgidx else "the list"
            raise EmptyDatasetError(f"{what} names no image: nothing is to be read", path=of)

    def _open(self) -> MXRecordIO | None:
        """Open the record file, if there is one."""
        if self.path_imgrec is None:
            return None
        self._status = _status(self.path_imgrec)
        if self.path_imgidx is None:
            return MXRecordIO(self.path_imgrec, "r")
        return MXIndexedRecordIO(self.path_imgidx, self.path_imgrec, "r")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "imgrec")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = lock()
        self.imgrec = self._open()

    def _check(self) -> None:
        """Raise StorageError if the record file was written to since it was opened."""
        handle = None if self.imgrec is None else self.imgrec.handle
        if handle is not None:
            handle.check_contents()

    @property
    def keys(self) -> Sequence[Key] | None:
        """The keys in their order, None where only reading on from the start gives one."""
        if self.imgidx is not None:
            return self.imgidx
        return list(self.imglist) if self.imgrec is None and self.imglist is not None else None

    def close(self) -> None:
        """Close the record file; may be called twice."""
        with self._lock:
            if self.imgrec is not None:
                self.imgrec.close()

    def check_unchanged(self) -> None:
        """Raise StorageError if the record file is no longer the one that was opened."""
        if self.path_imgrec is None:
            return
        now = _status(self.path_imgrec)
        if now != self._status:
            raise StorageError(
                f"file changed while it was open: {self._status[0]} bytes then, {now[0]} now; "
                "make a new iterator",
                path=self.path_imgrec,
            )

    def rewind(self) -> None:
        """Go back to the first record of a file that is read without index."""
        if self.imgrec is not None and self.imgidx is None:
            with self._lock:
                self.imgrec.reset()

    def skip(self, count: int) -> int:
        """Skip `count` records of a file that is read without index; return how many there were."""
        assert self.imgrec is not None
        with self._lock:
            for number in range(count):
                if self.imgrec.read() is None:
                    return number
        return count

    def has(self, key: Any) -> bool:
        """Whether a value is a key of the index or the list."""
        if not isinstance(key, (int, str)) or isinstance(key, bool):
            return False
        if self.imgidx is None:
            return self.imglist is not None and key in self.imglist
        assert isinstance(self.imgrec, MXIndexedRecordIO)
        return key in self.imgrec.idx

    def samples(self, keys: Iterable[Key] | None, first: int) -> Iterator[Sample]:
        """Yield the samples of `keys`, or of the rest of the file, numbered from `first`.

        Bytes and labels are filled in by `fetch`, or here where a file is read from its start.
        """
        if keys is not None:
            for position, key in enumerate(keys, first):
                yield Sample(key, position)
            return
        assert self.imgrec is not None
        position = first
        while True:
            with self._lock:
                record = self.imgrec.read()
                self._check()
            if record is None:
                return
            sample = Sample(None, position, place=Where(self.path_imgrec, position))
            _unpack_into(sample, record)
            yield sample
            position += 1

    def fetch(self, sample: Sample, read: Callable[[str], bytes] | None = None) -> Sample:
        """Fill in a sample's label, bytes and place; `read` replaces `read_image`.

        Raises
        ------
        GpuioError          the record or file cannot be read; names it
        """
        if sample.blob is not None or sample.error is not None:
            return sample
        key = sample.key
        assert key is not None
        if self.imgrec is None:
            assert self.imglist is not None
            label, name = self.imglist[key]
            sample.place = Where(self.path(name))
            sample.label, sample.blob = label, (read or self.read_image)(name)
            return sample
        assert isinstance(self.imgrec, MXIndexedRecordIO)
        sample.place = Where(self.path_imgrec, key, self.imgrec.idx.get(key))
        with self._lock:
            record = self.imgrec.read_idx(key)
            self._check()
        if record is None:
            raise RecordError("the index points beyond the end of the file").at(sample.place)
        _unpack_into(sample, record)
        if self.imglist is not None:
            sample.label = self.imglist[key][0]
        if sample.error is not None:
            raise sample.error
        return sample

    def digest(self) -> list[int]:
        """Return what a state knows the source again by: all keys, some records, some listed rows.

        Raises
        ------
        StorageError        the record file cannot be read
        """
        made = []
        if self.imgrec is not None:
            offsets = None
            if isinstance(self.imgrec, MXIndexedRecordIO):
                keys = self.imgrec.keys
                made.append(key_digest(keys))
                offsets = [self.imgrec.idx[keys[place]] for place in some(len(keys))]
            with open_stored(str(self.path_imgrec)) as file:
                made.append(sampled_file(file, offsets))
        if self.imglist is not None:
            rows = list(self.imglist.items())
            looked_at = (rows[place] for place in some(len(rows)))
            listed = [(key, label.tolist(), name) for key, (label, name) in looked_at]
            made.append(zlib.crc32(repr((len(rows), listed)).encode()))
        return made

    def path(self, name: str) -> str:
        """Return where a listed file is."""
        folder = self._folder if self.path_root is None else self.path_root
        if is_url(name):
            return name
        if is_url(folder):
            return f"{folder.rstrip('/')}/{name}"
        return str(Path(folder, name))

    def read_image(self, name: str) -> bytes:
        """Return a listed file's bytes.

        Raises
        ------
        MissingImageError, StorageError
        """
        path = self.path(name)
        try:
            return read_whole(path, "cannot read the image file")
        except FileNotFoundError as error:
            raise MissingImageError(
                "image file does not exist: check the list and path_root", path=path
            ) from error

    def _check_labels(self) -> None:
        """Refuse an index with keys that the list does not have."""
        if self.imgidx is None or self.imglist is None:
            return
        missing = [key for key in self.imgidx if key not in self.imglist]
        if missing:
            raise MissingLabelError(
                f"{len(missing)} records have no line in the label list, the first with keys "
                f"{missing[:5]}",
                path=self.path_imgrec,
                key=missing[0],
            )


def _status(path: str) -> tuple[Any, ...]:
    """Return what a file is told by, its size first; (-1,) if there is none: opening it says so."""
    try:
        found = status(path)
        return found if is_url(path) else found[:2]
    except StorageError:
        return (-1,)


def _unpack_into(sample: Sample, record: bytes) -> None:
    """Split a record into label and image; the error of a damaged one waits for its turn."""
    try:
        header, sample.blob = unpack(record)
        sample.label = header.label
    except Exception as error:  # noqa: BLE001 -- raised when the sample's turn comes
        message = f"a record of {len(record)} bytes is not an image record: {error}"
        failure = RecordError(message).at(sample.place)
        failure.__cause__ = error
        sample.error = failure


def _read_list(path: str, widths: tuple[int, ...] | None) -> dict[Key, tuple[Any, str]]:
    """Read a .lst file."""
    try:
        return {
            item.index: (host_array(np.array(item.labels, np.float32)), item.path)
            for item in read_list(path, widths=widths)
        }
    except MissingFileError as error:
        raise MissingImageError(error.message, path=error.path) from error


def _listed(row: Sequence[Any], number: int) -> tuple[str, tuple[Any, str]]:
    """Read one row of an `imglist` argument: labels in any of MXNet's three shapes, then a path."""
    labels = row[0] if len(row) == 2 else row[:-1]
    try:
        values = np.array(labels, np.float32, subok=False).reshape(-1)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"imglist: row {number - 1} is {row!r:.200}, expected [label(s), path], labels as "
            f"numbers: {error}"
        ) from error
    return str(number), (host_array(values), str(row[-1]))
