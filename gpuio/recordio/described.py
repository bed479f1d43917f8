"""Describe one part of a set, for the set's manifest."""

from __future__ import annotations

from typing import cast

import numpy as np

from gpuio.errors import FormatError
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import recognise
from gpuio.recordio.manifest import Part, index_path
from gpuio.recordio.parts import check_part, read_part_index
from gpuio.storage.files import open_stored

__all__ = ["describe_part"]


def describe_part(path: str, name: str) -> tuple[Part, str]:
    """Read a part's index, look at some of its records, and say what a manifest says of it.

    Parameters
    ----------
    path : str              of the .rec file; its index lies beside it
    name : str              the same, from the set's folder

    Returns
    -------
    part : Part
    payload : str           "image_record" or "raw", as `Contents` has it

    Raises
    ------
    StorageError            a file cannot be read
    FormatError             the index is not that of all of the file's records, or they are not
                            images, or an InsightFace data set
    """
    idx_path = index_path(path)
    with open_stored(path) as file:
        index = read_part_index(idx_path, path, file.size)
        check_part(file, index, idx_path)
        part = Part(name, len(index), file.size, index.crc, file.tag)
    rows = np.arange(len(index), dtype=np.int64)
    contents = recognise(
        RecordTable(
            paths=(path,),
            sizes=np.array([part.size], np.int64),
            file=cast("np.ndarray[tuple[int], np.dtype[np.int32]]", np.zeros(len(rows), np.int32)),
            offset=index.offset(rows),
            length=index.length(rows),
            key=index.key(rows),
            indexed=True,
        )
    )
    if contents.insightface:
        raise FormatError(
            "this is an InsightFace data set, whose header and identity records are not images: "
            "name it to the iterators itself, without a manifest",
            path=path,
        )
    return part, contents.payload
