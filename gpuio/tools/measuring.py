"""One record file measured on this machine: storage, bare decoding, and the iterator over it.

Invariant: runs that are compared take turns, in an order drawn anew for each round, so that a
machine whose speed drifts favours none; and what is bad in the file is counted, never raised.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend.cores import usable_cores
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.protocol import Encoded
from gpuio.errors import OptionError, RecordError
from gpuio.io.detection import ImageDetRecordIter
from gpuio.io.record import ImageRecordIter
from gpuio.options.files import DamageOptions, FileOptions
from gpuio.pipeline.boxes import holds_boxes
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.keys import index_beside
from gpuio.recordio.manifest import manifest_named
from gpuio.recordio.sniff import spread

__all__ = ["Run", "Subject", "quartiles"]

_LOOKED_AT = 256  # records whose headers say what the images are
_ALIKE = 0.9  # share of them of one size, from which on images are taken as they are
_SMALL = 256  # longest side of images that are
_IN_MEMORY = 64 << 20  # bytes of encoded images that are decoded from memory, and of storage tries
_BATCH = 64
_TRIES = 3  # of bare decoding
_LEAST_S = 0.05  # of a run: batches that were made ahead are there at once
_KEPT = {"cache": "host"}
_ABOUT_FILES = {"record_layout", "payload"} | {
    field.name
    for mixin in (FileOptions, DamageOptions)
    for field in attrs.fields(mixin)
    if field.name not in ("data_shape", "batch_size", "num_parts", "part_index")
}
_ABOUT_LABELS = {"label_width", "label_column", "path_imglist"}
# the training of photos
_RANDOM_CROPS = {
    "data_shape": (3, 224, 224),
    "random_resized_crop": True,
    "min_random_area": 0.08,
    "min_aspect_ratio": 0.75,
    "max_aspect_ratio": 4 / 3,
    "rand_mirror": True,
}


@attrs.frozen
class Run:
    """One way to run the iterator: the number of threads, batches ahead, and other options."""

    threads: int
    prefetch: int
    options: str = ""  # what else differs, as text

    @property
    def name(self) -> str:
        """How results call it."""
        return f"{self.threads} threads, prefetch_buffer={self.prefetch}{self.options}"


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, to five digits."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        name: float(f"{value:.5g}")
        for name, value in (("median", median), ("q1", low), ("q3", high))
    }


class Subject:
    """A record file, opened as a training would open it.

    Parameters
    ----------
    path, idx : str, str or None    the .rec file and its index; None: the one beside it, if any
    options : dict                  of the iterator; the rest is guessed from the file
    batch_size : int, optional

    Attributes
    ----------
    it : ImageRecordIter
    options : dict          what it was opened with
    facts : dict            of JSON types: what the file holds
    tick : callable()       called again and again while something is measured

    Raises
    ------
    OptionError, StorageError, FormatError      as of the iterator
    RecordError                                 no record that was looked at is an image
    """

    def __init__(
        self, path: str, idx: str | None, options: dict[str, Any], batch_size: int | None = None
    ) -> None:
        self.tick: Callable[[], None] = lambda: None
        self._met: dict[str, int] | None = None
        idx = idx or index_beside(path)
        base: dict[str, Any] = {"path_imgrec": path, "resync": True, "verbose": False}
        base |= {"path_imgidx": idx} if idx else {}
        base |= {"on_error": "skip", "max_bad": 2**31 - 1}
        if manifest_named(path) is not None:  # its parts have their indexes, and are whole
            del base["resync"]
        else:
            base["reindex"] = True
        base = {name: value for name, value in base.items() if name not in options}
        plain = {"data_shape": (3, 32, 32), "batch_size": 1, "ctx": "cpu"}
        about_files = {name: value for name, value in options.items() if name in _ABOUT_FILES}
        with _opened({**base, **plain, **about_files}) as it:
            machine = it._machine()  # noqa: SLF001 -- the iterator's parts are what is measured
            table = machine.table
            rows = np.unique(spread(0, len(table), min(_LOOKED_AT, len(table))))
            bare = machine.contents.payload == "raw"
            heights, widths, _ = machine.pipeline.reader.look(rows)
            which = table.file[rows]
            own = rows[which == which[0]]
            boxes = holds_boxes(machine.files[which[0]], table.offset[own], table.length[own])
        good = heights > 0
        if not good.any():
            raise RecordError(
                f"none of the {len(rows)} records looked at is an image: `gpuio verify` names "
                "what is wrong",
                path=path,
            )
        heights, widths = heights[good], widths[good]
        same, least = _alike(heights, widths), batch_size or min(_BATCH, len(table))
        base |= {"shuffle": True, "batch_size": least, **_guessed(same, boxes=boxes)}
        if not (boxes or bare or _ABOUT_LABELS & set(options)):
            base["label_column"] = 0  # of any number of labels
        self.options = {**base, **options}
        self.it = self._whole_batches(ImageDetRecordIter if boxes else ImageRecordIter)
        self._machine = self.it._machine()  # noqa: SLF001
        self.pipeline, self.cores = self._machine.pipeline, usable_cores()
        pixels = float(np.mean(heights.astype(np.float64) * widths))
        self.rows = rows[good]
        self.facts: dict[str, Any] = {
            "records": len(table),
            "bytes": int(np.sum(table.sizes)),
            "mean_record_bytes": table.mean_length,
            "median_size": [int(np.median(widths)), int(np.median(heights))],
            "mean_pixels": round(pixels),
            "decoded_bytes": round(3 * pixels * len(table)),
            "kind": self._kind(boxes=boxes),
            "looked_at": len(good),
            "unusable_of_these": int(np.count_nonzero(~good)),
            "ranges_skipped": len(table.skipped),
            "cores": self.cores,
            "free_memory_bytes": _free_memory(),
        }

    def _whole_batches(self, kind: type[ImageRecordIter]) -> ImageRecordIter:
        """Open the iterator; without an epoch's short batch, where nothing is said about it.

        Of such a batch some images count and others do not: of few records that is a part of what
        is measured.
        """
        if not {"last_batch", "round_batch"} & set(self.options):
            with contextlib.suppress(OptionError):  # a part has fewer records than a batch
                it = kind(**self.options, last_batch="discard")
                self.options["last_batch"] = "discard"
                return it
        return kind(**self.options)

    def _kind(self, *, boxes: bool) -> str:
        """Return in a word what the file is."""
        if boxes:
            return "detection"
        described = list(self._machine.contents.described())
        return "InsightFace" if any("InsightFace" in line for line in described) else "images"

    def storage(self, seconds: float) -> dict[str, Any]:
        """Measure reading, records in a random order, a batch at a time.

        Returns
        -------
        dict of JSON types      "first_mb_per_s", "first_records_per_s": after what is read was put
                                out of the page cache, where the system does that; "again_...": the
                                same records once more
        """
        table, files = self._machine.table, self._machine.files
        order = np.random.default_rng(0).permutation(len(table))
        total = np.cumsum(table.length[order])
        order = order[: max(1, int(np.searchsorted(total, _IN_MEMORY)))]
        batches = [order[at : at + _BATCH] for at in range(0, len(order), _BATCH)]
        for row in order.tolist():
            self.tick()
            _forget(files[table.file[row]], int(table.offset[row]), int(table.length[row]))
        first = _read_rate(self.pipeline.reader, batches, seconds / 2, self.tick)
        again = _read_rate(self.pipeline.reader, batches[: first[2]], seconds / 2, self.tick)
        return {
            "first_mb_per_s": round(first[0], 1),
            "first_records_per_s": round(first[1], 1),
            "again_mb_per_s": round(again[0], 1),
            "again_records_per_s": round(again[1], 1),
        }

    def bare_decode(self, threads: int, seconds: float) -> dict[str, float]:
        """Measure decoding whole images from memory, and nothing else; images/s, quartiles."""
        records, sizes = self._encoded()
        count = len(records)
        per_call = max(1, min(16, count // threads))
        calls = [np.arange(at, min(at + per_call, count)) for at in range(0, count, per_call)]
        memory = [np.empty(0, np.uint8)] * threads
        decoder, rates = HostDecoder(several=1), []

        def decode(rows: npt.NDArray[np.int64]) -> int:
            ends = np.cumsum(3 * sizes[rows].prod(axis=1))
            pixels = _take(memory, int(ends[-1]))
            starts = np.concatenate(([0], ends[:-1]))
            failed = decoder.decode(records, rows, sizes[rows], 3, pixels, starts)
            memory.append(pixels)
            return len(rows) - len(failed)

        for _ in range(_TRIES):
            with Prefetcher(
                decode, _repeated(calls), depth=2 * threads, workers=threads, name="gpuio-bench"
            ) as done:
                next(done)  # threads, and their decoders, are there
                begun, images = time.perf_counter(), next(done)
                while (now := time.perf_counter()) - begun < seconds / _TRIES:
                    images += next(done)
                    self.tick()
            rates.append(images / (now - begun))
        return quartiles(rates)

    def _encoded(self) -> tuple[Encoded, npt.NDArray[np.int64]]:
        """Return encoded images in memory, and (height, width) of each; int64[n, 2]."""
        total = np.cumsum(self._machine.table.length[self.rows])
        rows = self.rows[: max(1, int(np.searchsorted(total, _IN_MEMORY)))]
        read = self.pipeline.reader.read(rows)
        records = read.encoded
        if not (records.length >= 0).any():
            error = read.faults[0].error
            raise _unusable(error.message, error.path, error.key)
        sizes = np.stack([records.headers["height"], records.headers["width"]], axis=1)
        good = np.flatnonzero(records.length >= 0)
        kept = Encoded.empty(len(good))
        for to, row in enumerate(good.tolist()):
            blob = records.blob(row)
            assert blob is not None
            kept.put(to, bytes(blob))
            kept.headers[to] = records.headers[row]
        return kept, sizes[good].astype(np.int64)

    def runs(
        self,
        wanted: Sequence[Run],
        rounds: int,
        seconds: float,
        advance: Callable[[], None],
        until: float = math.inf,
    ) -> dict[str, dict[str, Any]]:
        """Run the iterator in several ways, which take turns.

        Parameters
        ----------
        wanted : sequence of Run
        rounds : int            measured, of each
        seconds : float         of a run, at most
        advance : callable      called after each
        until : float           time.perf_counter() from which on nothing but the first round is
                                done; threads that start, and first batches, take time as well

        Returns
        -------
        dict                    by the run's name: "images_per_s", quartiles; "run"; "stats", what
                                its last round measured
        """
        rates: dict[str, list[float]] = {run.name: [] for run in wanted}
        stats: dict[str, dict[str, Any]] = {}
        rng = np.random.default_rng(0)
        left, beside = rounds * len(wanted), 0.0  # runs; seconds of one that are not measured
        for number in range(rounds):
            for place in rng.permutation(len(wanted)).tolist():
                run, begun = wanted[place], time.perf_counter()
                if number and begun + beside > until:
                    break
                each = min(seconds, max((until - begun) / left - beside, 0.0))
                rate, stats[run.name] = self._once(run, each)
                rates[run.name].append(rate)
                left, beside = left - 1, max(0.0, time.perf_counter() - begun - each)
                advance()
        return {
            run.name: {
                "run": attrs.asdict(run),
                "images_per_s": quartiles(rates[run.name]),
                "stats": stats[run.name],
            }
            for run in wanted
        }

    def _once(self, run: Run, seconds: float) -> tuple[float, dict[str, Any]]:
        """Return images/s of one run, and what was measured in it."""
        self.pipeline.work_with(run.threads, run.prefetch)
        _next(self.it)
        rate = _rate(self.it, seconds, self.tick)
        told = self.it.stats()
        self.pipeline.stop()
        return rate, told

    @property
    def can_cache(self) -> bool:
        """Whether decoded images could be kept, and are not."""
        return getattr(self.it.options, "cache", "") == "off"

    def cached(self, run: Run, seconds: float) -> dict[str, dict[str, float]] | None:
        """Measure a part of the file, so small that it is decoded in a part of the time.

        The last of all: the iterator is closed.

        Returns
        -------
        dict        images/s, quartiles: "off", without a cache; "second_epoch", from the second
                    epoch on with cache="host". None where the part has no image
        """
        rate = self._once(run, seconds / 5)[0]
        self._met = self.faults()
        self.it.close()  # its batches' memory would lie beside that of the next iterators
        records = len(self._machine.table)
        parts = max(1, math.ceil(records / max(4 * self.it.batch_size, rate * seconds / 5)))
        found = {}
        for name, more in (("off", {}), ("second_epoch", _KEPT)):
            part = {"num_parts": parts, "part_index": 0, "preprocess_threads": run.threads}
            with type(self.it)(**{**self.options, **part, **more}) as it:
                for _ in it:  # the first epoch fills it
                    self.tick()
                it.reset()
                try:
                    rates = [_rate(it, seconds / 5 / _TRIES, self.tick) for _ in range(_TRIES)]
                except RecordError:  # of a part all records may be bad
                    return None
            found[name] = quartiles(rates)
        return found

    def faults(self) -> dict[str, int]:
        """Return how many records met so far were bad, or decoded with a warning."""
        if self._met is not None:
            return self._met
        told = self.it.stats()
        return {name: told[name] for name in ("faults", "decoded_with_warnings", "bad_boxes")}

    def close(self) -> None:
        """Close the iterator."""
        self.it.close()


def _opened(options: dict[str, Any]) -> ImageRecordIter:
    """Return an iterator that takes records of any number of labels, without reading them all."""
    if "path_imglist" not in options:
        with contextlib.suppress(OptionError):  # bare images have no label
            return ImageRecordIter(**options, label_column=0)
    return ImageRecordIter(**options, label_width="ragged")


def _unusable(reason: str, path: str | None, key: Any) -> RecordError:
    """Return the error of a file of which the options take no record."""
    return RecordError(f"no record can be used with these options: {reason}", path=path, key=key)


def _rate(it: ImageRecordIter, seconds: float, tick: Callable[[], None]) -> float:
    """Take batches for so many seconds, a twentieth at least; return images/s.

    Raises
    ------
    RecordError         an epoch and more had none
    """
    images, taken, begun = 0, 0, time.perf_counter()
    ends = begun + max(seconds, _LEAST_S)
    while (now := time.perf_counter()) < ends or not images:
        if not images and taken > 2 * len(it):
            if not (failed := it.stats()["failed_records"]):
                raise _empty_part(it)
            raise _unusable(failed[0]["reason"], failed[0]["path"], failed[0]["key"])
        images += _next(it)
        taken += 1
        tick()
    return images / (now - begun)


def _empty_part(it: ImageRecordIter) -> RecordError:
    """Return the error of a part whose batches are all padding."""
    part = f"part {it.options.part_index} of {it.options.num_parts}"
    return RecordError(f"{part} has no image: use fewer parts", path=str(it.options.path_imgrec))


def _next(it: ImageRecordIter) -> int:
    """Take a batch, of the next epoch where one has ended; return its images."""
    for _ in range(2):
        with contextlib.suppress(StopIteration):
            batch = it.next()
            return len(batch.data[0]) - int(batch.pad or 0)
        it.reset()
    raise AssertionError  # an epoch has a batch


def _alike(heights: npt.NDArray[np.int32], widths: npt.NDArray[np.int32]) -> tuple[int, int] | None:
    """Return the size that nearly all images have, if it is small: (height, width)."""
    sizes, counts = np.unique(np.stack([heights, widths], axis=1), axis=0, return_counts=True)
    most = int(np.argmax(counts))
    height, width = sizes[most].tolist()
    if counts[most] < _ALIKE * len(heights) or max(height, width) > _SMALL:
        return None
    return height, width


def _guessed(same: tuple[int, int] | None, *, boxes: bool) -> dict[str, Any]:
    """Return the options of a training with such images."""
    if boxes:
        return {"data_shape": (3, 300, 300), "rand_mirror_prob": 0.5}
    if same is not None:
        return {"data_shape": (3, *same), "rand_mirror": True}
    return dict(_RANDOM_CROPS)


def _free_memory() -> int:
    """Return the bytes of memory that could be taken now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = [one for one in lines if one.startswith("MemAvailable:")]
        return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _forget(file: Any, offset: int, length: int) -> None:
    """Put a range of a local file out of the page cache, where the system does that."""
    descriptor = getattr(file, "_fd", -1)
    if descriptor >= 0 and hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def _read_rate(
    reader: Any, batches: list[npt.NDArray[np.int64]], seconds: float, tick: Callable[[], None]
) -> tuple[float, float, int]:
    """Read batches for some seconds; return MB/s and records/s, and batches read."""
    spent, nbytes, records, done = 0.0, 0, 0, 0
    for rows in batches:
        begun = time.perf_counter()
        framed = reader.framed(rows)
        spent += time.perf_counter() - begun
        nbytes += sum(len(buffer) for buffer in framed.buffers)
        records += len(rows)
        done += 1
        tick()
        if spent > seconds:
            break
    return nbytes / 1e6 / max(spent, 1e-9), records / max(spent, 1e-9), done


def _take(free: list[npt.NDArray[np.uint8]], size: int) -> npt.NDArray[np.uint8]:
    """Return memory of at least a size; of what is free, or new."""
    try:
        memory = free.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    return memory if memory.size >= size else np.empty(size, np.uint8)


def _repeated(calls: list[Any]) -> Iterator[Any]:
    """Yield the calls over and over."""
    while True:
        yield from calls
