"""Checksums of a record file, record by record, in a file beside it: NAME.rec.crc32.

RecordIO has no checksum: framing shows damaged headers, a decoder shows some damaged images, and
nothing shows a damaged label. The file is one line of JSON (version, algorithm, number of records,
size of the record file), then little-endian arrays: offset int64[N], framed length uint32[N],
CRC-32 of the framed bytes uint32[N], and at the end a CRC-32 of everything before it.
"""

from __future__ import annotations

import functools
import json
import os
import zlib
from collections.abc import Callable, Sequence
from typing import overload

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError, RecordError
from gpuio.recordio.foreign import is_checksums
from gpuio.recordio.framing import scan
from gpuio.recordio.index import RecordTable
from gpuio.recordio.parts import ManifestTable
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import open_stored, read_whole
from gpuio.storage.paths import divide

__all__ = [
    "Checksums",
    "checksum_path",
    "open_checksums",
    "read_checksums",
    "write_checksums",
]

_VERSION = 1
_ALGORITHM = "crc32"
_ROW_BYTES = 8 + 4 + 4
_PARTS_KEPT = 16  # of a manifest, whose checksums are in memory
_AT_ONCE = 4 << 20  # bytes read at once


def checksum_path(rec_path: str | os.PathLike[str]) -> str:
    """Return the default path of a record file's checksums."""
    return f"{os.fspath(rec_path)}.{_ALGORITHM}"


@attrs.frozen(eq=False)
class Checksums:
    """The checksums of one record file, by offset.

    Attributes
    ----------
    path : str
    source_bytes : int      size of the record file they were made of
    offset : int64[N]       place of each record, bytes, ascending
    length : int64[N]       framed size, bytes
    crc : uint32[N]         CRC-32 of the framed bytes
    anywhere : bool         a record may be at another offset than before
    """

    path: str
    source_bytes: int
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    crc: npt.NDArray[np.uint32]
    anywhere: bool = False

    def __len__(self) -> int:
        return len(self.offset)

    def digest(self) -> int:
        """Return a CRC-32 of all of them: of two sets that differ it is seldom the same."""
        made = zlib.crc32(bytes([self.anywhere]))
        for array in (self.offset, self.length, self.crc):
            made = zlib.crc32(np.ascontiguousarray(array).data, made)
        return made

    def check(self, offset: int, framed: bytes | memoryview) -> None:
        """Check the bytes of the record at an offset.

        Parameters
        ----------
        offset : int
        framed : bytes-like         from the record's first byte on; more may follow

        Raises
        ------
        RecordError                 they are not those that the checksum was made of
        """
        if self.anywhere:
            same = (self.length == len(framed)) & (self.crc == zlib.crc32(framed))
            if same.any():
                return
        at = int(np.searchsorted(self.offset, offset))
        if at == len(self.offset) or self.offset[at] != offset:
            raise RecordError(f"{self.path} has no checksum of a record here")
        length = int(self.length[at])
        if len(framed) < length:
            raise RecordError(
                f"the record was {length:,} bytes long when {self.path} was written, and is "
                f"{len(framed):,} now"
            )
        found, expected = zlib.crc32(memoryview(framed)[:length]), int(self.crc[at])
        if found != expected:
            raise RecordError(
                f"checksum {found:#010x}, expected {expected:#010x} by {self.path}: the record's "
                "bytes are not those it was written with"
            )


def write_checksums(
    rec_path: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checksums:
    """Compute the checksum of every record and write them, all or none.

    Parameters
    ----------
    rec_path : path
    path : path, optional                   where to; `checksum_path` if None
    progress : callable(done, total)        of records

    Raises
    ------
    FormatError                             the record file is damaged already
    StorageError                            a file cannot be read or written
    """
    target = checksum_path(rec_path) if path is None else os.fspath(path)
    check_target(target, [rec_path], own=is_checksums)
    with open_stored(rec_path) as file:
        offsets, lengths = scan(file)
        crc = np.empty(len(offsets), np.uint32)
        first = 0
        while first < len(offsets):
            stop = max(int(np.searchsorted(offsets, offsets[first] + _AT_ONCE)), first + 1)
            framed = file.read_ranges(offsets[first:stop], lengths[first:stop])
            crc[first:stop] = [zlib.crc32(record) for record in framed]
            first = stop
            if progress is not None:
                progress(first, len(offsets))
        file.check_unchanged()
        made = Checksums(target, file.size, offsets, lengths, crc)
    _write(made)
    return made


def _write(made: Checksums) -> None:
    head = {
        "gpuio_checksums": _VERSION,
        "algorithm": _ALGORITHM,
        "records": len(made),
        "source_bytes": made.source_bytes,
    }
    content = b"".join(
        (
            json.dumps(head).encode() + b"\n",
            made.offset.astype("<i8").tobytes(),
            made.length.astype("<u4").tobytes(),
            made.crc.astype("<u4").tobytes(),
        )
    )
    with writing(made.path) as file:
        file.write(content)
        file.write(zlib.crc32(content).to_bytes(4, "little"))


def read_checksums(path: str | os.PathLike[str]) -> Checksums:
    """Read a file of checksums.

    Raises
    ------
    StorageError            it cannot be read
    FormatError             it is not a file of checksums, is of another version, or is damaged
    """
    path = os.fspath(path)
    content = read_whole(path, "cannot read the checksums", "; `gpuio checksum` makes them")
    line, _, rest = content.partition(b"\n")
    try:
        head = json.loads(line)
        version, records = head["gpuio_checksums"], head["records"]
        source_bytes, algorithm = head["source_bytes"], head["algorithm"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError("this is not a file of checksums", path=path) from None
    if (version, algorithm) != (_VERSION, _ALGORITHM):
        raise FormatError(
            f"checksums of version {version!r}, {algorithm!r}: expected version {_VERSION}, "
            f"{_ALGORITHM!r}; `gpuio checksum` makes new ones",
            path=path,
        )
    whole = isinstance(records, int) and isinstance(source_bytes, int)
    whole = whole and len(rest) == records * _ROW_BYTES + 4
    if not whole or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise FormatError(
            "the file of checksums is damaged; `gpuio checksum` makes a new one", path=path
        )
    lengths_at, crc_at = records * 8, records * 12
    return Checksums(
        path=path,
        source_bytes=source_bytes,
        offset=np.frombuffer(rest, "<i8", records).astype(np.int64),
        length=np.frombuffer(rest, "<u4", records, lengths_at).astype(np.int64),
        crc=np.frombuffer(rest, "<u4", records, crc_at).astype(np.uint32),
    )


def _check_source(sums: Checksums, path: str, size: int) -> None:
    """Refuse checksums of a file of another size."""
    if sums.source_bytes != size:
        raise FormatError(
            f"checksums of a file of {sums.source_bytes:,} bytes, but {path} has {size:,}: "
            "`gpuio checksum` makes new ones; if that file was damaged, resync=True checks the "
            "records that are left",
            path=sums.path,
        )


class _OfParts(Sequence[Checksums]):
    """The checksums of a manifest's parts, read when they are asked for; some stay in memory."""

    def __init__(self, table: ManifestTable) -> None:
        self._table = table
        self._read = functools.lru_cache(_PARTS_KEPT)(self._of)

    def __len__(self) -> int:
        return len(self._table.paths)

    @overload
    def __getitem__(self, number: int) -> Checksums: ...
    @overload
    def __getitem__(self, number: slice) -> list[Checksums]: ...
    def __getitem__(self, number: int | slice) -> Checksums | list[Checksums]:
        """Return the checksums of a part, or of several."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        return self._read(int(number))

    def _of(self, number: int) -> Checksums:
        path = self._table.paths[number]
        sums = read_checksums(checksum_path(path))
        _check_source(sums, path, int(self._table.sizes[number]))
        return sums


def open_checksums(
    given: bool | str | tuple[str, ...], table: RecordTable, *, past_damage: bool = False
) -> Sequence[Checksums] | None:
    """Read the checksums of a set of record files.

    Parameters
    ----------
    given : bool, str or tuple of str   True: beside each record file; or their paths, separated as
                                        the paths of record files are; False or "": none
    table : RecordTable
    past_damage : bool                  accept those of a file that was longer or shorter, whose
                                        records may have moved

    Returns
    -------
    sequence of Checksums or None       one per record file; a manifest's are read when asked for

    Raises
    ------
    OptionError                         there are not as many as record files
    StorageError, FormatError           one cannot be read, or belongs to a file of another size
    """
    if not given:
        return None
    if isinstance(table, ManifestTable):
        if given is not True:
            raise OptionError(
                "checksum: with a manifest only True, the files beside the parts, can be asked for"
            )
        return _OfParts(table)
    paths = (
        [checksum_path(path) for path in table.paths] if isinstance(given, bool) else divide(given)
    )
    if len(paths) != len(table.paths):
        raise OptionError(
            f"checksum: {len(paths)} files of checksums for {len(table.paths)} record files: "
            "expected one for each"
        )
    found = [read_checksums(path) for path in paths]
    for sums, path, size in zip(found, table.paths, table.sizes.tolist(), strict=True):
        if not past_damage:
            _check_source(sums, path, size)
    return [
        attrs.evolve(sums, anywhere=sums.source_bytes != size)
        for sums, size in zip(found, table.sizes.tolist(), strict=True)
    ]
