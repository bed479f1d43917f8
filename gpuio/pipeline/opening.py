"""From options to a pipeline: open the files, check everything that can be checked, decode nothing.

Invariant: what can fail for every batch fails here, at construction, not at the first batch.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Backend, Output, open_backend
from gpuio.cache.opening import Source, open_cache
from gpuio.cache.use import Cache
from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError, FormatError, OptionError, StorageError
from gpuio.nd import asnumpy
from gpuio.options.machine import GPU_ONLY
from gpuio.options.record import RecordOptions
from gpuio.order.epochs import Order
from gpuio.pipeline.error_policy import ErrorPolicy, is_error_log
from gpuio.pipeline.mean_image import mean_image
from gpuio.pipeline.pipeline import BatchPosition, Pipeline
from gpuio.pipeline.reader import RecordReader
from gpuio.pipeline.stats import Stats
from gpuio.recordio.checksum import open_checksums
from gpuio.recordio.fingerprint import which_files
from gpuio.recordio.index import RecordTable, open_table
from gpuio.recordio.layouts import Contents
from gpuio.recordio.manifest import Manifest, manifest_named, read_manifest
from gpuio.recordio.parts import MOST_AT_ONCE, ManifestTable, open_manifest
from gpuio.recordio.reindex import reindexed
from gpuio.recordio.sniff import spread
from gpuio.recordio.uri import expand, expand_indexes
from gpuio.storage.atomic import check_target
from gpuio.storage.connections import limits
from gpuio.storage.opened import OpenFiles
from gpuio.storage.urls import is_url
from gpuio.tasks.task import Labels, Task

__all__ = ["Opened", "open_pipeline"]

_PLACES = "p"  # how a digest made by `RecordTable.checksum` begins

_log = logging.getLogger("gpuio")

_LOOKED_AT = 64  # records whose sizes tell how many images a cache has room for
_NEIGHBOURS = 8  # of them one behind the other, where each part has to be opened
_DECODED = 8  # and that tell how long decoding takes
_DIGESTED, _DIGESTED_BYTES = 16, 256  # records, and bytes of each, that a state's source is told by


@attrs.define(eq=False)
class Opened:
    """A pipeline and what was opened for it.

    `first_pass` is 1 when making the mean image has used up the first pass, as in MXNet; else 0.
    """

    task: Task
    table: RecordTable
    files: OpenFiles
    backend: Backend
    pipeline: Pipeline
    fingerprint: dict[str, Any]
    contents: Contents
    labels: Labels
    cache: Cache | None = None
    first_pass: int = 0

    def source(self, state: Any) -> dict[str, Any]:
        """Return what a saved state must agree on, with the checksum that it was saved with."""
        if isinstance(self.table, ManifestTable):
            return self.fingerprint
        theirs = state.get("source") if isinstance(state, dict) else None
        digest = theirs.get("digest") if isinstance(theirs, dict) else None
        if not isinstance(digest, str) or digest.startswith(_PLACES):
            return self.fingerprint
        return {**self.fingerprint, "digest": _first_digest(self.table, self.files)}

    def close(self) -> None:
        """Stop the threads, close the files, release backend and cache; may be called twice."""
        self.pipeline.close()
        self.files.close()
        self.backend.close()
        if self.cache is not None:
            self.cache.close()


def open_pipeline(task: Task) -> Opened:
    """Open the files and the backend that the task's options name.

    Raises
    ------
    StorageError, FormatError       a file is missing, unreadable, or not what it should be
    OptionError                     options that conflict, or a part without records
    BackendError                    the asked-for GPU cannot be used
    """
    options = task.options
    draws = task.draws()
    contents = task.contents(_find_records(options))
    table = contents.table
    _check_places(options, contents)
    checksums = open_checksums(options.checksum, table, past_damage=options.resync)
    order = Order(table, options)
    even = options.shard == "even"
    if order.n_records == 0:
        raise OptionError(
            f"part_index: part {options.part_index} of {options.num_parts} holds no record "
            f"({len(table.offset)} records in all): use fewer parts"
        )
    order.check()
    with contextlib.ExitStack() as opened:
        files = OpenFiles(table.paths, table.check_file)
        opened.callback(files.close)
        if not isinstance(table, ManifestTable):
            files.open_each()
        labels = task.open_labels(contents, files, order)
        mean, made = mean_image(options, _plain_images(task))
        backend = open_backend(
            options.ctx,
            max(options.device_id, 0),
            verbose=options.verbose,
            keep=options.prefetch_buffer + 2,
            max_pixels=options.max_pixels,
            max_scans=options.max_scans,
            record_bytes=table.mean_length,
            **{name: getattr(options, name) for name in GPU_ONLY},
        )
        opened.callback(backend.close)
        stats = Stats(timed=options.stats)
        policy = ErrorPolicy(options.on_error, options.max_bad, options.error_log, stats)
        policy.note_skipped(table.skipped)
        raw_ids = contents.ids() if contents.payload == "raw" else None
        reader = RecordReader(table, files, options, labels, raw_ids, checksums, stats)
        _doubt_single_records(options, table, reader)
        if draws.follow is not None:
            draws.follow(order, reader.look)
        fingerprint = _fingerprint(options, table, files)  # reads, so may fail: before pop_all
        threads = _threads(options, backend)
        if options.cache != "off" and options.cache not in backend.caches:
            raise OptionError(
                f"cache: {options.cache!r} is not for ctx={backend.name!r}: expected one of "
                f"{', '.join(map(repr, ('off', *backend.caches)))}"
            )
        source = _source(options, table, files, order, reader, raw=raw_ids is not None)
        if options.cache != "off":
            source.sums.extend(one.digest() for one in checksums or ())
        cache = open_cache(
            options,
            source,
            threads["threads"],
            backend.device_id,
            lambda size: backend.reserve(size),  # noqa: PLW0108 -- looked up where it is needed
        )
        if cache is not None:
            opened.callback(cache.close)
            reader.cache = cache
        pipeline = Pipeline(
            order,
            draws.planner,
            reader,
            backend,
            _output_of(task, mean),
            policy,
            stats,
            **threads,
            prefetch=options.prefetch_buffer,
            can_cache=options.cache == "off",
            mixer=draws.mixer,
            decode_scale=options.decode_scale == "auto",
            blocks=order.blocks,
            remote=reader.is_remote,
            cache=cache,
            shorter_edge=options.cache_resize,
        )
        opened.pop_all()
    if options.verbose:
        for line in contents.described():
            _log.info("%s", line)
        _log.info(
            "%d records in %s, part %d of %d: %d; backend %s",
            len(table.offset),
            table.named,
            options.part_index,
            options.num_parts,
            order.division.rows(order.n_records, order.epoch(0, 0).batches),
            backend.name,
        )
    return Opened(
        task,
        table,
        files,
        backend,
        pipeline,
        fingerprint,
        contents,
        labels,
        cache,
        # the parts of one sequence must agree where it begins, whichever of them makes the image
        first_pass=int(made and not even),
    )


def _threads(options: RecordOptions, backend: Backend) -> dict[str, int]:
    """Return how many threads make batches, and up to how many may."""
    asked = options.preprocess_threads
    if asked == "auto":
        start = backend.default_threads
        return {"threads": start, "most_threads": max(start, backend.most_threads)}
    return {"threads": int(asked or backend.default_threads)}


def _find_records(options: RecordOptions) -> RecordTable:
    """Return where the records of the options' files lie, without knowing what they hold."""
    manifest_path = manifest_named(options.path_imgrec)
    if manifest_path is not None:
        return _of_manifest(options, manifest_path)
    paths = expand(options.path_imgrec, ".rec")
    idx_paths = expand_indexes(options.path_imgidx, paths)
    _check_error_log(options, [*paths, *idx_paths])
    find = reindexed if options.reindex else open_table
    return find(paths, idx_paths, past_damage=options.resync)


def _of_manifest(options: RecordOptions, path: str) -> ManifestTable:
    """Return the table of a manifest's records, if the options' order can be made of it."""
    for name in ("path_imgidx", "reindex", "resync"):
        if getattr(options, name):
            raise OptionError(
                f"{name}: has no use with a manifest, whose parts have their indexes beside them"
            )
    _check_error_log(options, [path])
    manifest = read_manifest(path)
    if options.shuffle in (False, "block"):
        return open_manifest(manifest)
    ranks = 1 if options.shard == "even" else options.num_parts
    share = -(-int(manifest.first[-1]) // ranks)
    if share > MOST_AT_ONCE:
        raise OptionError(
            f"shuffle={options.shuffle!r}: visits {share:,} records in an order that is held in "
            f"memory, and jumps from part to part: at most {MOST_AT_ONCE:,} with a manifest; "
            "choose shuffle='block', or more num_parts with shard='mxnet'"
        )
    return open_manifest(manifest, kept_bytes=None)  # each batch needs any of them


def _doubt_single_records(options: RecordOptions, table: RecordTable, reader: RecordReader) -> None:
    """Say that a shuffle asks a server for every record by itself, where it does."""
    single = options.shuffle == "full" or (options.shuffle is True and table.indexed)
    if single and reader.is_remote and int(table.sizes.sum()) > limits().memory_bytes:
        _log.warning(
            "shuffle=%r reads %d records over a network in a random order, with about one request "
            "for each: shuffle='block' reads blocks of some MiB, in a few requests per thousand "
            "records",
            options.shuffle,
            len(table),
        )


def _source(
    options: RecordOptions,
    table: RecordTable,
    files: OpenFiles,
    order: Order,
    reader: RecordReader,
    *,
    raw: bool,
) -> Source:
    """Return what a cache of decoded images is told; nothing is looked at where there is none."""
    if options.cache == "off":
        return Source([], [], 0, 0, 0.0, raw)
    count = int(order.chunks(0)[1].sum())
    heights, widths, _ = reader.look(order.rows_at(_looked_at(table, count)))
    pixels = heights.astype(np.int64) * widths
    pixels = pixels[pixels > 0]
    mean = float(pixels.mean()) * options.data_shape[0] if len(pixels) else 0.0
    decode_s = 0.0
    if options.cache == "disk":
        decode_s = _decode_seconds(reader, order.rows_at(spread(0, count, _DECODED)), options)
    if isinstance(table, ManifestTable):
        paths, known = [table.manifest.path], _known_parts(table.manifest)
    else:
        paths, known = list(table.paths), [[file.size, file.mtime_ns] for file in files]
    digest = [known, _digest(table, files)]
    if options.cache != "disk":  # else what is at the same paths
        parts = table.manifest.paths if isinstance(table, ManifestTable) else ()
        digest += [which_files(paths), which_files(parts)]
    return Source(paths, digest, len(table), order.n_records, mean, raw, decode_s)


def _looked_at(table: RecordTable, count: int) -> npt.NDArray[np.int64]:
    """Return the places of a part's records whose sizes are looked at; of few parts of a set."""
    if not isinstance(table, ManifestTable):
        return spread(0, count, _LOOKED_AT)
    places = spread(0, count, _LOOKED_AT // _NEIGHBOURS)[:, None] + np.arange(_NEIGHBOURS)
    return np.unique(np.minimum(places, count - 1))


def _known_parts(manifest: Manifest) -> list[Any]:
    """Return what is known of parts' contents beside a manifest's digest; none is opened for it."""
    told = "\n".join(map(str, manifest.tags))
    dates = np.full(len(manifest), -1, np.int64)
    for number, path in enumerate(manifest.paths):
        if not is_url(path):
            with contextlib.suppress(OSError, ValueError):  # said when its first record is due
                dates[number] = Path(path).stat().st_mtime_ns
    return [zlib.crc32(told.encode("utf-8", "surrogateescape")), zlib.crc32(dates.tobytes())]


def _decode_seconds(
    reader: RecordReader, rows: npt.NDArray[np.int64], options: RecordOptions
) -> float:
    """Return the seconds in which a thread decodes an image, the mean of some good ones."""
    took: list[float] = []
    blobs = [blob for blob in reader.read(rows).encoded.blobs if blob is not None]
    for number, blob in enumerate([*blobs[:1], *blobs]):  # the first time more is loaded than that
        begun = time.thread_time()
        with contextlib.suppress(DecodeError):
            decode(blob, options.data_shape[0])
            if number:
                took.append(time.thread_time() - begun)
    return sum(took) / len(took) if took else 0.0


def _check_places(options: RecordOptions, contents: Contents) -> None:
    """Refuse labels by place where damage has moved the places: they would be other images'."""
    table = contents.table
    if table.skipped and options.path_imglist and contents.payload == "raw" and not table.indexed:
        raise FormatError(
            "path_imglist: without an index the ids of bare images are their places, and behind "
            f"the damage at byte {table.skipped[0].begin:,} these are not known: give path_imgidx",
            path=table.skipped[0].path,
            offset=table.skipped[0].begin,
        )


def _check_error_log(options: RecordOptions, read: list[str]) -> None:
    """Refuse an error_log that cannot be made, that is read, or that is a file of another kind."""
    if not options.error_log:
        return
    if is_url(options.error_log):
        raise OptionError(
            "error_log: lines are appended to it, which a URL cannot take: name a path",
            path=options.error_log,
        )
    sums = options.checksum
    others = [options.path_imglist, options.mean_img, *((sums,) if isinstance(sums, str) else ())]
    others += sums if isinstance(sums, tuple) else ()
    try:
        check_target(options.error_log, [*read, *(one for one in others if one)], own=is_error_log)
        if not Path(options.error_log).parent.is_dir():
            raise StorageError("cannot write: its folder is missing", path=options.error_log)
    except StorageError as error:
        raise OptionError(f"error_log: {error.message}", path=error.path) from None


def _plain_images(task: Task) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the images that a mean image is made of, a batch float32[n, C, H, W] at a time, host.

    They are those of the part's first pass, of the first pass of all with shard="even", with the
    options' own augmentation and normalisation.
    """
    parts = {"num_parts": 1, "part_index": 0} if task.options.shard == "even" else {}
    cached = task.options.cache != "off"  # images may be made smaller; none needs to stay
    # what is bad is logged by the iterator itself, which meets it again
    plain = task.unmixed(
        **parts,
        mean_img="",
        dtype="float32",
        layout="NCHW",
        last_batch="pad",
        verbose=False,
        error_log="",
        **({"cache": "host", "cache_dir": "", "cache_size": 1} if cached else {}),
    )
    opened = open_pipeline(plain)
    try:
        pipeline = opened.pipeline
        for number in range(pipeline.order.epoch(0, 0).batches):
            batch = pipeline.next(BatchPosition(0, 0, number))
            images = asnumpy(batch.data)
            yield images[: len(images) - batch.pad]
    finally:
        opened.close()


def _output_of(task: Task, mean_image: npt.NDArray[np.float32] | None) -> Output:
    """Return what an image is turned into."""
    options = task.options
    channels, height, width = options.data_shape
    mean, std, scale = options.normalisation()
    return Output(
        channels=channels,
        height=height,
        width=width,
        dtype=options.dtype,
        layout=options.layout,
        mean=mean,
        std=std,
        scale=scale,
        mean_image=task.subtracted(mean, mean_image),
        ratio=options.ratio,
    )


def _fingerprint(options: RecordOptions, table: RecordTable, files: OpenFiles) -> dict[str, Any]:
    """Return what a saved state must agree on: the source, and every option that moves a record."""
    if options.shard == "even":
        return _fingerprint_of_all(options, table, files)
    made: dict[str, Any] = {
        "records": len(table.offset),
        "bytes": int(np.sum(table.sizes)),
        "digest": _digest(table, files),
        "indexed": bool(table.indexed),
        "batch_size": options.batch_size,
        "num_parts": options.num_parts,
        "part_index": options.part_index,
        "shuffle": options.shuffle,
        "seed": options.seed,
        "shuffle_chunk_size": options.shuffle_chunk_size,
        "shuffle_chunk_seed": options.shuffle_chunk_seed,
        "last_batch": options.ending,
    }
    if options.shuffle == "block":
        made["shuffle_block_size"] = options.shuffle_block_size
        made["shuffle_pool_size"] = options.shuffle_pool_size
    return made


def _fingerprint_of_all(
    options: RecordOptions, table: RecordTable, files: OpenFiles
) -> dict[str, Any]:
    """Return the same for shard="even": the same for every part, and short.

    Nothing of parts and batches is in it, and of the order what this kind of shuffle depends on.
    """
    made: dict[str, Any] = {
        "records": len(table.offset),
        "bytes": int(np.sum(table.sizes)),
        "digest": _digest(table, files),
        "shard": options.shard,
        "shuffle": options.shuffle,
        "seed": options.seed,
        "last_batch": options.ending,
    }
    if options.shuffle == "block":
        made["blocks"] = [options.shuffle_block_size, options.shuffle_pool_size]
    if options.shuffle is True:
        made["indexed"] = bool(table.indexed)
    if options.shuffle_chunk_size:
        made["chunks"] = [options.shuffle_chunk_size, options.shuffle_chunk_seed]
    return made


def _digest(table: RecordTable, files: OpenFiles) -> str:
    """Return a checksum of where all records lie and of the first bytes of some of them."""
    if isinstance(table, ManifestTable):
        return _PLACES + table.manifest.digest
    return _PLACES + _sampled(table, files, table.checksum())


def _first_digest(table: RecordTable, files: OpenFiles) -> str:
    """Return the checksum that states had at first: of arrays that take long to make."""
    made = 0
    for array in (table.file, table.offset, table.length, table.key):
        made = zlib.crc32(np.ascontiguousarray(array).data, made)
    return _sampled(table, files, made)


def _sampled(table: RecordTable, files: OpenFiles, made: int) -> str:
    """Return a checksum that goes on over the first bytes of some records, eight digits."""
    rows = spread(0, len(table), _DIGESTED)
    for number, some in itertools.groupby(rows.tolist(), lambda row: int(table.file[row])):
        own = np.array(list(some))
        length = np.minimum(table.length[own], _DIGESTED_BYTES)
        for start in files[number].read_each(table.offset[own], length):
            made = zlib.crc32(start, made)
    return f"{made:08x}"
