"""One batch of records off the disk: bytes, labels, ids and image headers, faults kept apart.

One compiled pass reads what it can vouch for (`parse`); the other records are read here, one by
one.

Invariant: a damaged record costs its own row and nothing else. Whatever is wrong with it becomes a
`Fault` that names file, key and byte offset; only storage that fails as a whole raises.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Encoded, Fault
from gpuio.backend.protocol import Blob
from gpuio.cache.store import HEADS, Found
from gpuio.cache.use import Cache
from gpuio.decode.formats import probe
from gpuio.decode.jpeg import completed
from gpuio.decode.limits import check_format, check_scans, check_size
from gpuio.decode.smaller import smaller_sizes
from gpuio.errors import GpuioError, Where
from gpuio.options.record import RecordOptions
from gpuio.pipeline.error_policy import Accepted
from gpuio.pipeline.parse import BatchParser, FramedRecords, ParsedBatch
from gpuio.pipeline.stats import Stats
from gpuio.recordio.checksum import Checksums
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable
from gpuio.storage.atomic import RECORD_START
from gpuio.storage.opened import OpenFiles
from gpuio.storage.urls import is_url
from gpuio.tasks.task import Labels

__all__ = ["RecordReader", "Records"]

_ONE_PART = 1 << 29  # bytes: a payload of more is stored in several parts


@attrs.define(eq=False)
class Records:
    """One batch as it lies in the files.

    Attributes
    ----------
    encoded : Encoded                       the images; a row has none: no record, or a fault
    labels : float32[B, columns]            host; zeros where there is no record; see Labels
    index : uint64[B]                       ids of the records, host; 0 where there is no record
    heights, widths : int32[B]              pixels after orientation; 0 where there is no image
    orientation : int32[B]                  EXIF orientation still to apply
    no_label : float32[label_width]         the label of a row without a record
    heads : HEADS[B]                        what stands in front of the images, where a cache is to
                                            keep it; zeros elsewhere
    faults : list of Fault
    accepted : list of Accepted             records that are used, though their labels are wrong
    """

    encoded: Encoded
    labels: npt.NDArray[np.float32]
    index: npt.NDArray[np.uint64]
    heights: npt.NDArray[np.int32]
    widths: npt.NDArray[np.int32]
    orientation: npt.NDArray[np.int32]
    no_label: npt.NDArray[np.float32]
    heads: npt.NDArray[np.void] = attrs.field()
    faults: list[Fault] = attrs.field(factory=list)
    accepted: list[Accepted] = attrs.field(factory=list)
    held: list[bytes] = attrs.field(factory=list)  # memory that `heads` point to

    @heads.default
    def _unknown(self) -> npt.NDArray[np.void]:
        return np.zeros(len(self.heights), HEADS)

    def rows(self, first: int, stop: int) -> Records:
        """Return rows first .. stop-1, with their faults; of records without `accepted`."""
        part = slice(first, stop)
        faults = self.faults
        if faults:
            faults = [
                Fault(one.row - first, one.error) for one in faults if first <= one.row < stop
            ]
        return Records(
            self.encoded[part],
            self.labels[part],
            self.index[part],
            self.heights[part],
            self.widths[part],
            self.orientation[part],
            self.no_label,
            self.heads[part],
            faults,
            [],
            self.held,
        )

    def note_head(self, row: int, head: bytes, length: int) -> None:
        """Note what stands in front of a row's image."""
        self.held.append(head)
        self.heads[row] = np.frombuffer(head, np.uint8).ctypes.data, len(head), length


class RecordReader:
    """Read batches of records.

    Parameters
    ----------
    table : RecordTable             where each record lies
    files : OpenFiles               one a path of the table; the caller closes them
    options : RecordOptions
    labels : Labels
    raw_ids : int64[N], optional    payloads are bare images with these ids, not image records
    checksums : sequence of Checksums, optional
                                    one a path of the table, that records are checked against
    stats : Stats, optional         receives what reading the files took
    """

    def __init__(
        self,
        table: RecordTable,
        files: OpenFiles,
        options: RecordOptions,
        labels: Labels,
        raw_ids: npt.NDArray[np.int64] | None = None,
        checksums: Sequence[Checksums] | None = None,
        stats: Stats | None = None,
    ) -> None:
        self._table, self._files, self._labels = table, files, labels
        self._raw_ids, self._checksums = raw_ids, checksums
        self._max_pixels, self._max_scans = options.max_pixels, options.max_scans
        self._edge = options.cache_resize
        self.cache: Cache | None = None  # of decoded images, for records that need not be read
        self._accepts_cut = options.truncated == "accept"
        self._upright = options.exif == "apply" and options.data_shape[0] != 4
        self._parser = BatchParser(
            table,
            files,
            labels,
            max_pixels=options.max_pixels,
            max_scans=options.max_scans,
            raw_ids=raw_ids,
            checksums=checksums,
            upright=self._upright,
            note=None if stats is None else self._note,
        )
        self._stats, self._storages = stats, [_storage(path) for path in table.paths]

    def framed(self, positions: npt.NDArray[np.int64]) -> FramedRecords:
        """Read the records at `positions` as they lie in the files.

        Raises
        ------
        StorageError        a file could not be read
        """
        return self._parser.framed(positions)

    @property
    def mean_length(self) -> int:
        """The mean length of a record, bytes."""
        return self._table.mean_length

    @property
    def checks(self) -> bool:
        """Whether records are checked against checksums."""
        return self._checksums is not None

    @property
    def is_remote(self) -> bool:
        """Whether some of the files lie behind a network."""
        return any(map(is_url, self._table.paths))

    def _note(self, seconds: float, framed: FramedRecords) -> None:
        """Count what was read from each kind of storage."""
        found: dict[str, int] = {}
        for which, buffer in zip(framed.files, framed.buffers, strict=True):
            storage = self._storages[which]
            found[storage] = found.get(storage, 0) + len(buffer)
        if self._stats is not None:
            self._stats.add_file(seconds, found)

    def lengths(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the bytes of records, framing included; -1 where there is no record."""
        made = self._table.length[positions].astype(np.int64)
        made[positions < 0] = -1
        return made

    def spared(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which records need not be read as things stand, because a cache has them."""
        if self.cache is None:
            return np.zeros(len(positions), np.bool_)
        return self.cache.has(positions)

    def read(
        self, positions: npt.NDArray[np.int64], framed: FramedRecords | None = None
    ) -> Records:
        """Read the records at `positions` of the table; -1 is a row without a record.

        Parameters
        ----------
        framed : FramedRecords, optional    of these positions, where they were read before; those
                                            that were `spared` then need not be there

        Raises
        ------
        StorageError        a file could not be read, or is no longer what was opened
        """
        found = None if self.cache is None else self.cache.find(positions)
        if framed is not None and self.cache is not None:
            framed = self._completed(positions, framed, found)
        batch = self._parser.parse(positions, framed, found)
        made = self._taken(batch)
        wrong = frozenset(batch.wrong.tolist())
        for row in sorted([*wrong, *batch.rest.tolist()]) if wrong else batch.rest.tolist():
            position = int(positions[row])
            if row in wrong:
                boxes = self._labels.wrong_in(made.labels[row])
                made.accepted.append(Accepted(position, self.where(position), boxes))
                continue
            which, buffer = int(self._table.file[position]), batch.framed.record(row)
            try:
                if self._checksums is not None:
                    self._checksums[which].check(int(self._table.offset[position]), buffer)
                self._take(made, row, buffer, position)
            except GpuioError as error:
                self._files[which].check_unchanged()  # a bad record, or another file by now?
                made.faults.append(Fault(row, error.within(self.where(position))))
        return made

    def _completed(
        self, positions: npt.NDArray[np.int64], framed: FramedRecords, found: Found | None
    ) -> FramedRecords:
        """Read the records that were in the cache when the others were read, and are not now."""
        lost = (positions >= 0) & (framed.length < 0)
        if found is not None:
            lost &= ~found.hits
        if not lost.any():
            return framed
        return framed.filled(self.framed(np.where(lost, positions, -1)))

    def _taken(self, batch: ParsedBatch) -> Records:
        """Return a batch as the compiled pass has read it; rows of `rest` hold nothing yet."""
        encoded = batch.encoded()
        height, width, orientation = batch.sizes
        if self._accepts_cut:
            cut = (encoded.length > 0) & (encoded.headers["ended"] == 0)
            for row in np.flatnonzero(cut).tolist():
                blob = encoded.blob(row)
                assert blob is not None
                encoded.put(row, completed(blob))
        return Records(
            encoded=encoded,
            labels=batch.labels,
            index=batch.index,
            heights=height,
            widths=width,
            orientation=orientation,
            no_label=self._labels.no_label,
            heads=np.zeros(len(height), HEADS) if self.cache is None else batch.heads,
        )

    def check_unchanged(self) -> None:
        """Raise StorageError if one of the files is no longer what was opened."""
        self._files.check_unchanged()

    def where(self, position: int) -> Where:
        """Return the place of the record at a position, as errors name it."""
        table = self._table
        return Where(
            table.paths[table.file[position]],
            int(table.key[position]),
            int(table.offset[position]),
        )

    def _take(self, made: Records, row: int, buffer: Blob, position: int) -> None:
        """Unframe and parse one record into its row."""
        payload = unframe(buffer)
        if self._raw_ids is None:
            flag, label, identity, _, blob = parse_image_record(payload)
            made.index[row] = identity
            wrong = self._labels.take(made.labels[row], flag, label, identity)
        else:
            blob, identity = payload, int(self._raw_ids[position])
            made.index[row] = identity % (1 << 64)  # keys of an index may be negative
            wrong = self._labels.take(made.labels[row], 0, None, identity)
        if wrong is not None:
            made.accepted.append(Accepted(position, self.where(position), wrong))
        info = probe(blob)
        check_format(info, blob)
        check_size(info, self._max_pixels)
        check_scans(info, self._max_scans, self._max_pixels)
        orientation = info.orientation if self._upright else 1
        cut = self._accepts_cut and not info.ended
        made.encoded.put(row, completed(blob) if cut else blob)
        made.encoded.headers[row] = info
        if self.cache is not None and not cut and wrong is None:
            size, front = len(payload), len(payload) - len(blob)
            if size < _ONE_PART:
                made.note_head(
                    row, RECORD_START + size.to_bytes(4, "little") + payload[:front], size + 8
                )
        made.orientation[row] = orientation
        made.heights[row], made.widths[row] = (
            info.oriented if orientation != 1 else (info.height, info.width)
        )

    def look(
        self, positions: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return heights and widths (0 where there is no image) and label rows of some records.

        Sizes are those that plans are drawn for, with `cache_resize` of the smaller images.
        """
        records = self.read(positions)
        return *smaller_sizes(records.heights, records.widths, self._edge), records.labels


def _storage(path: str) -> str:
    """Return what kind of storage a path is on: "local", or its scheme, such as "s3"."""
    scheme, mark, _ = path.partition("://")
    return scheme if mark else "local"
