"""The records of a file in their order, for commands that list, copy or count them."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.decode.formats import ImageInfo, probe
from gpuio.errors import DecodeError, GpuioError, GpuioWarning
from gpuio.recordio.framing import unframe
from gpuio.recordio.header import parse_image_record
from gpuio.recordio.index import open_table
from gpuio.recordio.layouts import Contents, recognise
from gpuio.storage.local import LocalFile

__all__ = ["Entry", "add_file_arguments", "entries", "open_contents"]


@attrs.frozen(eq=False)
class Entry:
    """One record.

    Attributes
    ----------
    key, offset, length : int       offset and framed length in bytes
    labels : float32[n]             empty for a bare image
    identity : int                  the record's id
    blob : bytes-like               the encoded image; empty where there is none
    info : ImageInfo or None        what its header says; None where there is no image
    error : GpuioError or None      why the record cannot be read, or its image is not recognised
    """

    key: int
    offset: int
    length: int
    labels: npt.NDArray[np.float32] = attrs.field(factory=lambda: np.empty(0, np.float32))
    identity: int = 0
    blob: bytes | memoryview = b""
    info: ImageInfo | None = None
    error: GpuioError | None = None


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file and its index."""
    parser.add_argument("record", help="the .rec file")
    parser.add_argument("--idx", help="its .idx file")


def open_contents(args: argparse.Namespace, record_layout: str = "plain") -> Contents:
    """Find the records of the file that the arguments name.

    Without an index the records of an InsightFace set have the layout's keys in every command.

    Raises
    ------
    StorageError, FormatError       as `open_table` and `recognise`
    """
    table = open_table([args.record], [args.idx] if args.idx else [])
    contents = recognise(table, record_layout)
    if record_layout != "plain" or table.indexed or contents.payload == "raw":
        return contents
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpuioWarning)  # as plain there is nothing to insist on
        (faces,) = recognise(table, payload=contents.payload).faces
    if faces is None or not faces.renumbered:
        return contents
    return attrs.evolve(contents, table=table.with_keys(faces.key))


def entries(contents: Contents, rows: npt.NDArray[np.int64] | None = None) -> Iterator[Entry]:
    """Yield the records of one file.

    Parameters
    ----------
    contents : Contents             of one file
    rows : int64[n], optional       rows of its table; None means all

    Raises
    ------
    StorageError                    the file cannot be read
    """
    table = contents.table
    ids = contents.ids()
    with LocalFile(table.paths[0]) as file:
        for row in (np.arange(len(table)) if rows is None else rows).tolist():
            key, offset, length = (
                int(column[row]) for column in (table.key, table.offset, table.length)
            )
            data = file.read(offset, length)
            labels, identity, blob = np.empty(0, np.float32), 0, memoryview(b"")
            try:
                if contents.payload == "raw":
                    blob, identity = unframe(data), int(ids[row])
                else:
                    _, label, identity, _, blob = parse_image_record(unframe(data))
                    labels = np.atleast_1d(np.asarray(label, np.float32))
                info = _recognised(blob, len(labels))
            except GpuioError as error:
                yield Entry(key, offset, length, labels, identity, blob, None, error)
            else:
                yield Entry(key, offset, length, labels, identity, blob, info)


def _recognised(blob: memoryview, labels: int) -> ImageInfo | None:
    """Return what an image's header says; None for a record that holds only labels."""
    if len(blob) == 0 and labels >= 2:
        return None
    info = probe(blob)
    if info.format == "unknown":
        raise DecodeError(
            f"no image signature: {bytes(blob[:8]).hex()}" if len(blob) else "the image is empty"
        )
    return info
