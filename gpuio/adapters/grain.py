"""Record files as a data source of Grain: records by number, as NumPy values.

A source is any object with `__len__` and `__getitem__`; Grain itself is not imported here.
PyTorch's DataLoader takes such an object for a data set, too.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuio.errors import DecodeError, FormatError, RecordError, StorageError, Where
from gpuio.image import imdecode
from gpuio.nd import asnumpy
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import RecordTable, open_table
from gpuio.recordio.layouts import recognise
from gpuio.recordio.manifest import manifest_named, read_manifest
from gpuio.recordio.parts import open_manifest
from gpuio.recordio.uri import expand, expand_indexes
from gpuio.storage.opened import OpenFiles
from gpuio.storage.paths import absolute_uri

__all__ = ["RecordSource"]

_Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class RecordSource:
    """The image records of a set of files, asked for by number.

    ``source[n]`` is a dict: ``image``, uint8[height, width, 3], R G B, of the size that is stored
    (with ``decode=False`` the encoded bytes); ``label``, float32, or float32[n] where a record has
    several; ``id``, uint64, of the record's header.

    Parameters
    ----------
    path_imgrec : path, pattern, list of paths, or manifest      as `ImageRecordIter` has it
    path_imgidx : the same, optional        without one the files are scanned once, and again by
                                            every process that gets a pickled copy
    decode : bool                           False: leave the images encoded
    record_layout : {"auto", "plain", "insightface"}    of InsightFace's sets only the images come

    Raises
    ------
    StorageError, FormatError   at construction: a file is missing, or is not one of image records;
                                or another number of records is found by a pickled copy
    RecordError, DecodeError    from ``source[n]``, naming file and key
    IndexError                  from ``source[n]``: `n` is not from 0 to ``len(source) - 1``

    Notes
    -----
    Threads may share a source. A record file is opened when a record of it is first asked for. A
    pickled source holds paths and options only, so that Grain can send it to worker processes; and
    its repr is the same in every process, since Grain's checkpoints compare it.
    """

    def __init__(
        self,
        path_imgrec: _Paths,
        path_imgidx: _Paths = "",
        *,
        decode: bool = True,
        record_layout: str = "auto",
    ) -> None:
        self._rec, self._idx = _plain(path_imgrec), _plain(path_imgidx)
        self._decode, self._layout = decode, record_layout
        self._table = self._find()
        self._files = OpenFiles(self._table.paths, self._table.check_file)
        self._records = len(self._table)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._rec!r}, {self._idx!r}, decode={self._decode}, "
            f"record_layout={self._layout!r}, records={self._records})"
        )

    def __len__(self) -> int:
        return self._records

    def __getitem__(self, number: int) -> dict[str, Any]:
        row = operator.index(number)
        if not 0 <= row < self._records:
            raise IndexError(f"{row}: expected a number from 0 to {self._records - 1}")
        one = np.array([row])
        file, offset, length = (
            int(column[one][0])
            for column in (self._table.file, self._table.offset, self._table.length)
        )
        try:
            blob = unframe(self._files[file].read(offset, length))
            _, label, identity, _, image = parse_image_record(blob)
            pixels = asnumpy(imdecode(bytes(image))) if self._decode else bytes(image)
        except (DecodeError, FormatError, RecordError) as error:
            where = Where(self._table.paths[file], int(self._table.key[row]), offset)
            raise error.within(where) from None
        return {
            "image": pixels,
            "label": np.asarray(label, np.float32)[()],
            "id": np.uint64(identity),
        }

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["_table"], state["_files"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._table = self._find()
        if len(self._table) != self._records:
            raise StorageError(
                f"files changed: {self._records} records when this was pickled, "
                f"{len(self._table)} now",
                path=self._table.paths[0],
            )
        self._files = OpenFiles(self._table.paths, self._table.check_file)

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._files.close()

    def _find(self) -> RecordTable:
        """Return where the images lie."""
        manifest = manifest_named(self._rec)
        if manifest is not None:
            table: RecordTable = open_manifest(read_manifest(manifest))
        else:
            paths = expand(self._rec, ".rec")
            table = open_table(paths, expand_indexes(self._idx, paths) if self._idx else ())
        contents = recognise(table, self._layout)
        if contents.payload == "raw":
            raise FormatError(
                "the records are bare images, without labels: expected image records, which "
                "`gpuio im2rec` writes",
                path=contents.table.paths[0],
            )
        return contents.table


def _plain(paths: _Paths) -> str | list[str]:
    """Return paths as absolute text, since a worker process may have another working directory."""
    if isinstance(paths, (str, os.PathLike)):
        return absolute_uri(os.fspath(paths))
    return [absolute_uri(os.fspath(one)) for one in paths]
