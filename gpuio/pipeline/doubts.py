"""Options that are allowed, as in MXNet, but seldom meant: said in the log, once per iterator."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from gpuio.options.normalise import beside_bytes
from gpuio.options.record import RecordOptions
from gpuio.recordio.index import RecordTable

__all__ = ["say_doubts"]

_CHUNK_BYTES = 8 << 20  # what MXNet reads, and shuffles, at once without an index

_log = logging.getLogger("gpuio")


def say_doubts(name: str, options: RecordOptions, table: RecordTable) -> None:
    """Log what is probably not meant (logger gpuio, WARNING).

    Parameters
    ----------
    name : str                  of the iterator's class
    options : RecordOptions
    table : RecordTable         of what was opened
    """
    for doubt in _doubts(options, table):
        _log.warning("%s: %s", name, doubt)


def _doubts(options: RecordOptions, table: RecordTable) -> Iterator[str]:
    size = int(table.sizes.sum()) // (1 if options.shard == "even" else options.num_parts)
    by_record = options.shuffle is True and not options.shuffle_chunk_size
    if by_record and not table.indexed and size > _CHUNK_BYTES:
        yield (
            "shuffle=True without an index mixes the records inside chunks of 8 MiB only, and the "
            f"{-(-size // _CHUNK_BYTES):,} chunks come as they are stored. Give path_imgidx, or "
            "reindex=True, which makes an index in memory"
        )
    if options.dtype != "uint8":
        mean, std, scale = options.normalisation()
        if doubt := beside_bytes(mean.tolist(), std.tolist(), scale):
            yield doubt
