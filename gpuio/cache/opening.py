"""Open the cache that the options name; iterators of one process over one source share it.

Invariant: two iterators share slots only if they would decode every record to the same pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from gpuio.cache.device import DeviceMemory
from gpuio.cache.disk import DiskCache, read_rate
from gpuio.cache.host import HostMemory
from gpuio.cache.mapped import SUFFIX, open_mapped, remove_stale
from gpuio.cache.size import allowed_bytes, free_memory, free_on_disk
from gpuio.cache.store import Memory, Store
from gpuio.cache.use import Cache
from gpuio.forking import lock
from gpuio.options.record import RecordOptions

__all__ = ["Source", "open_cache"]

_IN_MEMORY = 0.8  # share of free memory in which the system may keep a disk's cache

_log = logging.getLogger("gpuio")


@attrs.frozen
class Source:
    """What is decoded.

    Attributes
    ----------
    paths : list of str         of the record files
    digest : list               JSON types: what the files' contents are known by
    rows : int                  of the record table
    part_rows : int             of this iterator's part
    row_bytes : float           mean bytes of a decoded image, 0 if it is not known
    raw : bool                  records are bare images
    decode_s : float            seconds that a thread takes to decode an image; asked for a disk
    sums : list of int          what the checksums are known by that records are checked against;
                                none: records are not checked
    """

    paths: list[str]
    digest: list[Any]
    rows: int
    part_rows: int
    row_bytes: float
    raw: bool
    decode_s: float = 0.0
    sums: list[int] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Shared:
    store: Store
    users: int = 0


_lock = lock()
_open: dict[tuple[Any, ...], _Shared] = {}


def open_cache(
    options: RecordOptions,
    source: Source,
    threads: int,
    device_id: int,
    reserve: Callable[[float], tuple[int, int, Any]],
) -> Cache | None:
    """Return the cache that the options ask for; None where they ask for none, or it cannot be.

    The latter is a warning in the log (logger gpuio).

    Parameters
    ----------
    options : RecordOptions     cache, cache_size, cache_dir, and what decides the decoded pixels
    source : Source
    threads : int               that decode
    device_id : int             of the device that makes batches
    reserve : callable          takes memory of that device: see `Backend.reserve`
    """
    if options.cache == "off" or _too_slow(options, source, threads):
        return None
    name = cache_key(options, source)
    resident = options.cache == "device"
    key = (options.cache, options.cache_dir, name, device_id if resident else None)
    with _lock:
        shared = _open.get(key)
        if shared is None:
            memory = _reserved(options, source, reserve) if resident else None
            memory = memory or _memory(options, source, name)
            if memory is None:
                return None
            shared = _open[key] = _Shared(Store(memory))
            _say(options, source, memory)
        shared.users += 1
    given = (options.cache, shared.store, _share(options, source, shared.store.memory))
    release = _releaser(key, shared)
    if options.cache == "disk":
        size, decode_s = source.row_bytes, source.decode_s
        return DiskCache(*given, release, decode_s=decode_s, threads=threads, image_bytes=size)
    return Cache(*given, release)


def cache_key(options: RecordOptions, source: Source) -> str:
    """Return a digest of all that decides the pixels and the headers of decoded records."""
    from gpuio.decode import turbojpeg

    told = {
        "source": source.digest,
        "rows": source.rows,
        "raw": source.raw,
        "channels": options.data_shape[0],
        "resize": options.cache_resize,
        "limits": [options.max_pixels, options.max_scans],
        "sums": source.sums,
        "decoders": [_opencv_version(), turbojpeg.status().version],
    }
    return _digest(told)


def _digest(told: Any) -> str:
    """Return a digest of JSON types."""
    return hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()


def _opencv_version() -> str:
    import cv2

    return str(cv2.__version__)


def _reserved(
    options: RecordOptions, source: Source, reserve: Callable[[float], tuple[int, int, Any]]
) -> Memory:
    """Take memory of the device."""
    return DeviceMemory(source.rows, *reserve(options.cache_size))


def _memory(options: RecordOptions, source: Source, key: str) -> Memory | None:
    """Take the memory that the options name; None, and a warning, where that fails."""
    if not options.cache_dir:
        return HostMemory(source.rows, allowed_bytes(options.cache_size, free_memory()))
    folder, kept = options.cache_dir, options.cache == "disk"
    own = (source.paths, options.data_shape[0], options.cache_resize, source.raw)
    name = _digest(own) if kept else key
    prefix = f"gpuio-{options.cache}-"
    path = str(Path(folder, f"{prefix}{name}{SUFFIX}"))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        mapped = {one.store.memory.path for one in _open.values()}
        # of a disk's, what a process that was killed had not given its name
        remove_stale(folder, f"{Path(path).name}." if kept else prefix, but=mapped)
        free = free_on_disk(folder)
        size = allowed_bytes(options.cache_size, free)
        if size > free and not Path(path).exists():
            _log.warning(
                "cache_dir: %s has %.1f GB free, less than cache_size=%r: no more is kept",
                *(folder, free / 1e9, options.cache_size),
            )
            size = free
        return open_mapped(path, key, source.rows, size, kept=kept)
    except (OSError, ValueError) as error:
        _log.warning("cache=%r: nothing is kept: %s", options.cache, error)
        return None


def _too_slow(options: RecordOptions, source: Source, threads: int) -> bool:
    """Say whether a disk gives images more slowly than decoding does, once memory is too small."""
    whole = source.row_bytes * source.part_rows
    if options.cache != "disk" or whole < _IN_MEMORY * free_memory():
        return False
    try:
        rate = read_rate(options.cache_dir)
    except OSError:
        return False  # what is wrong is said where the cache is opened
    needed = source.row_bytes * threads / source.decode_s
    if rate >= needed:
        return False
    _log.warning(
        "cache='disk': nothing is kept: the disk of cache_dir gives %.0f MB/s, decoding needs "
        "%.0f MB/s of decoded images to be slower, and %.1f GB do not fit into memory",
        *(rate / 1e6, needed / 1e6, whole / 1e9),
    )
    return True


def _share(options: RecordOptions, source: Source, memory: Memory) -> float:
    """Return which share of its rows an iterator keeps."""
    room = memory.left + memory.nbytes
    # what processes share is filled by all of them
    rows = source.rows if options.cache_dir else source.part_rows
    whole = source.row_bytes * rows
    return 1.0 if whole <= room else room / whole


def _say(options: RecordOptions, source: Source, memory: Memory) -> None:
    """Log what is kept where, and how much of the source that is; without `verbose` warnings."""
    share = _share(options, source, memory)
    too_small = share * source.part_rows < 1 <= source.part_rows
    if not (too_small or options.verbose):
        return
    _log.log(
        logging.WARNING if too_small else logging.INFO,
        "cache=%r: room for %.1f GB, %s of %d records%s",
        options.cache,
        (memory.left + memory.nbytes) / 1e9,
        "all" if share >= 1 else f"about {100 * share:.0f} %",
        source.part_rows,
        "; hardly one image fits: give a larger cache_size" if too_small else "",
    )


def _releaser(key: tuple[Any, ...], shared: _Shared) -> Callable[[], None]:
    """Return what lets a store go when its last user does."""

    def release() -> None:
        with _lock:
            shared.users -= 1
            if shared.users:
                return
            if _open.get(key) is shared:
                del _open[key]
        shared.store.close()

    return release
