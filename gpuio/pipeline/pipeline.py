"""The machine behind ImageRecordIter: files in, finished batches out, in order, ahead of you.

Two look-ahead stages are chained. Reading takes a batch's records off the disk, parses them and
draws its plan; making decodes and augments shares of a batch, straight into the batch's array.
Small batches of an epoch go through both several at a time, as one; batches of small images are
read several at a time. The stream does not stop at an epoch's end: what comes next is known, so the
threads go on.

Invariant: a batch is a pure function of (files, options, pass, start, number). Threads decide when,
never what.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.backend import Backend, Encoded, Fault, Output, Sample
from gpuio.backend.cores import usable_cores
from gpuio.cache.use import Cache
from gpuio.decode.smaller import smaller_sizes
from gpuio.errors import ClosedError, GpuioError
from gpuio.forking import lock
from gpuio.order.block import BlockPasses
from gpuio.order.epochs import BatchOrder, Order
from gpuio.pipeline.batch_stream import BatchStream
from gpuio.pipeline.block_feed import BlockFeed
from gpuio.pipeline.error_policy import ErrorPolicy
from gpuio.pipeline.fetching import RemoteFeed
from gpuio.pipeline.finished_batch import BatchPosition, FinishedBatch
from gpuio.pipeline.host_share import find_share
from gpuio.pipeline.measures import measures
from gpuio.pipeline.parse import FramedRecords
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.pipeline.ranges import open_ranges
from gpuio.pipeline.reader import RecordReader
from gpuio.pipeline.share import Loaded, Share
from gpuio.pipeline.stats import Stats
from gpuio.pipeline.thread_count import ThreadCount
from gpuio.plan.decode_scale import fitted, scalable
from gpuio.plan.mix import Mixer
from gpuio.plan.request import PlanMaker, PlanRequest

__all__ = ["BatchPosition", "FinishedBatch", "Pipeline"]

# batches read at once, and their bytes: reading sweeps the processor's caches, and what follows
# costs as much for four of them as for one. Of 32 batches of small images reading costs 0.6 us less
# per image, and the whole job more: their bytes no longer lie in the cache of a core
_AT_ONCE, _BYTES_AT_ONCE = 4, 8 << 20
# of encoded images that one call makes, where batches enough are made ahead for all threads
_BYTES_OF_A_CALL = 200_000
_PAUSE_S = 0.2  # between two epochs: beyond, nobody needed threads
_TRIED = 4  # batches that are made, again and again, to find the share of the host's cores


class Closes(Protocol):
    """What owns threads."""

    def close(self) -> None:
        """Stop and join them."""


class Pipeline:
    """Make the batches of one part of a record file.

    Parameters
    ----------
    order : Order               which record stands where
    planner : PlanMaker         every random number; what moves with the images in their labels
    reader : RecordReader
    backend : Backend           not closed here
    output : Output             what an image is turned into
    policy : ErrorPolicy             what becomes of bad records
    stats : Stats
    threads : int               that decode and augment, at first
    most_threads : int          more than `threads`: their number is chosen anew as they work, up to
                                this; 0: it stays
    prefetch : int              batches made ahead
    can_cache : bool            decoded images could be kept, and are not
    mixer : Mixer, optional     makes soft labels and mixes images
    decode_scale : bool         JPEGs may be decoded smaller; batches keep the plan as drawn
    blocks : BlockPasses, optional
                                of `order`: records are read in blocks, and wait in a pool
    remote : bool               files lie behind a network: batches are fetched ahead
    cache : Cache, optional     of decoded images, that the reader finds records in; not closed here
    shorter_edge : int          pixels that an image's shorter edge has at most, 0: any; a larger
                                image is made that small as it is decoded
    """

    def __init__(
        self,
        order: Order,
        planner: PlanMaker,
        reader: RecordReader,
        backend: Backend,
        output: Output,
        policy: ErrorPolicy,
        stats: Stats,
        *,
        threads: int,
        prefetch: int,
        most_threads: int = 0,
        can_cache: bool = False,
        mixer: Mixer | None = None,
        decode_scale: bool = False,
        blocks: BlockPasses | None = None,
        remote: bool = False,
        cache: Cache | None = None,
        shorter_edge: int = 0,
    ) -> None:
        self.order, self.planner, self.reader = order, planner, reader
        self.backend, self.output = backend, output
        self.policy, self.stats = policy, stats
        self.threads, self.prefetch, self.mixer = threads, prefetch, mixer
        self.most_threads = max(threads, most_threads)
        self._count = ThreadCount(threads, most_threads) if most_threads else None
        self._scales = decode_scale
        self._can_cache = can_cache
        self.ranges = open_ranges(wanted=stats.timed)
        self._feed: BlockFeed | RemoteFeed | None = None
        if blocks is not None:
            self._feed = BlockFeed(blocks, order, reader, self.positions)
        elif remote:
            self._feed = RemoteFeed(order, reader, self.positions, self._fetching)
        self._fetches = isinstance(self._feed, RemoteFeed)  # on threads of their own
        self._record_bytes = reader.mean_length  # asked for once: it looks at every record
        self.together = 1 if self._feed else backend.together(order.batch_size, output)
        # batches that are read at once: those that are made as one, else some, each made alone
        self.read_at_once = self.together
        if self._feed is None and self.together == 1:
            room = _BYTES_AT_ONCE // max(order.batch_size * self._record_bytes, 1)
            self.read_at_once = min(max(room, 1), _AT_ONCE)
        self._cache, self._edge = cache, shorter_edge
        self._stream: BatchStream | Closes | None = None
        self._handed = 0.0  # when a batch was last taken
        self._opening, self._closed = lock(), False  # no stream is opened after close()

    def next(self, position: BatchPosition) -> FinishedBatch:
        """Return the batch at a position, made ahead if the positions are asked for in their order.

        Raises
        ------
        GpuioError          what happened while the batch was read or made; asking again tries again
        ClosedError         after `close()`, or when closed while waiting
        """
        begun = time.perf_counter()
        stream = self._stream_at(position)  # threads that begin are waited for as well
        try:
            made = stream.next()
            waited = time.perf_counter() - begun
            if self._count is not None:
                self._choose_threads(self._count, stream, first=position.number == 0)
            if made.warned is not None:
                for record in made.order.position[made.warned].tolist():
                    self.policy.note_warning(record, self.reader.where(record))
            self.policy.settle(made, lambda row, attempt: self._remake(made, row, attempt))
            self.mix(made)
            images = len(made) - made.pad
            self.stats.add_taken(images, waited, made.cut_short, stream.stood_ready)
        except BaseException as error:
            self.stop()  # an interrupt too: a half-gathered batch must not shift the ones after it
            error.add_note(
                f"batch {position.number} of the epoch that starts in pass "
                f"{position.pass_index} at record {position.start}"
            )
            raise
        return made

    def _stream_at(self, position: BatchPosition) -> BatchStream:
        """Return the stream if it is at a position; else a new one."""
        stream = self._stream
        if isinstance(stream, BatchStream) and stream.is_at(position):
            return stream
        self.stop()
        if self.backend.division is not None and self.backend.division.share is None:
            self._find_share(position)
        with self._opening:
            if self._closed:
                raise ClosedError("the iterator was closed: make a new one")
            stream = self._stream = BatchStream(self, position)
            if self._closed:  # by a signal's handler, on this thread
                self.stop()
        return stream

    def _choose_threads(self, count: ThreadCount, stream: BatchStream, *, first: bool) -> None:
        """Let as many threads work as the last second or so speaks for."""
        seconds = self.stats.as_numbers()
        now = time.perf_counter()
        if first and now - self._handed > _PAUSE_S:
            count.pause()
        self._handed = now
        wanted = count.look(now, seconds["wait_s"], seconds["make_s"], int(seconds["batches"]))
        if wanted != self.threads:
            self.threads = stream.resize(wanted)

    @property
    def working(self) -> int:
        """How many threads make batches now."""
        stream = self._stream
        return stream.workers if isinstance(stream, BatchStream) else self.threads

    def told(self) -> dict[str, Any]:
        """Return what was done so far, and what it took: see `stats` and `measures`."""
        told = self.stats.as_dict()
        if self.stats.timed:
            told |= measures(
                self.stats.since_first(),
                threads=self.working,
                wanted_threads=self.threads,
                prefetch_buffer=self.prefetch,
                together=self.together,
                cores=usable_cores(),
                mixes=self.mixer is not None,
                fetches=self._fetches,
                can_cache=self._can_cache,
                checks=self.reader.checks,
            )
        if self.backend.division is not None:
            told |= self.backend.division.as_dict()
        return told

    def while_open(self, stream: Closes) -> None:
        """Have `stop` and `close` close something else than the stream of batches, once.

        Raises
        ------
        ClosedError         after `close()`
        """
        with self._opening:
            if self._closed:
                stream.close()
                raise ClosedError("the iterator was closed: make a new one")
            self._stream = stream

    def divide(self, share: float, why: str = "") -> None:
        """Have the host's cores do that share from here on; what was made ahead is made again."""
        division = self.backend.division
        if division is not None and division.share != share:
            self.stop()
            division.decide(share, why)

    def _find_share(self, position: BatchPosition) -> None:
        """Find the share of the host's cores: make the next batches of the epoch on trial.

        Raises
        ------
        GpuioError          what happened meanwhile
        """
        division = self.backend.division
        assert division is not None
        stats, self.stats = self.stats, Stats(timed=False)  # none of this counts
        try:
            places = itertools.islice(self.positions(position), _TRIED)
            loads = [
                self._load_one(place) for place in places if place.pass_index == position.pass_index
            ]
            engines = min(division.engines, self.prefetch)
            share, why = find_share(
                lambda share, batches: self._measured(loads, share, batches), self.threads, engines
            )
        finally:
            self.stats = stats
        division.decide(share, why)

    def _measured(self, loads: list[Loaded], share: float, batches: int) -> list[Sample]:
        """Make so many batches with a share; return a sample of each call that decoded."""
        assert self.backend.division is not None
        with self.backend.division.measuring(share) as samples:
            made = self.ahead(
                ([one], None) for one in itertools.islice(itertools.cycle(loads), batches)
            )
            self.while_open(made)
            try:
                for _ in made:
                    pass
            finally:
                self.stop()
        return samples

    def mix(self, made: FinishedBatch) -> None:
        """Mix a settled batch, once.

        Raises
        ------
        RecordError         a label that is not a class
        """
        mixer = self.mixer
        if mixer is None or made.mixed:
            return
        present = made.plan["crop_h"] > 0
        if self.policy.on_error == "zero":
            present[[fault.row for fault in made.faults]] = False
        wrong = mixer.first_invalid_label(made.label[:, 0], present)
        if wrong is not None:
            where = self.reader.where(int(made.order.position[wrong[0]]))
            raise wrong[1].at(where)
        number = made.position.number if made.order.key is None else made.order.key
        mix = mixer.draw(made.position.pass_index, number, present)
        made.label = mixer.soften(made.label[:, 0], present, mix)
        if mix is not None:
            box = None if mix.box is None else (*mix.box, self.output.layout)
            self.backend.mix(made.data, mix.partner, mix.share, box)
        made.mix, made.mixed = mix, True

    def mix_early(self, made: FinishedBatch) -> FinishedBatch:
        """Mix a batch ahead of its turn if nothing is left to settle."""
        if not made.faults:
            begun = time.perf_counter()
            self.mix(made)
            self.stats.add(mix_s=time.perf_counter() - begun)
        return made

    def stop(self) -> None:
        """Drop what was made ahead and join the threads; `next` starts them again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.nullcontext() if self._feed is None else self._feed.halted():
                stream.close()

    def work_with(self, threads: int, prefetch: int) -> None:
        """Stop, and make the next batches with other numbers; measure from the next one on."""
        self.stop()
        self.threads, self.most_threads, self._count = threads, threads, None
        self.prefetch = prefetch
        self.stats.begin_again()

    def close(self) -> None:
        """Stop for good: a `next` that waits raises ClosedError. From any thread, twice, too."""
        with self._opening:
            self._closed = True
        self.stop()

    def _remake(self, made: FinishedBatch, row: int, attempt: int) -> GpuioError | None:
        """Put another record of the part into a row; return what was wrong with it, if anything."""
        old, order = int(made.order.position[row]), made.order
        key = np.random.SeedSequence([old, int(order.pass_index[row]), attempt])
        number = int(key.generate_state(1, np.uint64)[0] % self.order.n_records)
        record = self.order.record(int(order.pass_index[row]), number)
        begun = time.perf_counter()
        loaded = self._load_rows(
            made.position,
            attrs.evolve(
                order,
                position=np.array([record], np.int64),
                pass_index=order.pass_index[row : row + 1],
                mx_index=order.mx_index[row : row + 1],
                pad=0,
            ),
        )
        self._note_read(begun, loaded)
        faults = loaded.records.faults
        if not faults:
            division = self.backend.division
            place = made.position.pass_index, made.position.start, made.position.number
            team = None if division is None else division.team(place, 1, self.threads)
            _, faults = self.make(Share(loaded, made.data[row : row + 1], 0, 1, team=team))
        made.label[row] = loaded.records.labels[0]
        made.index[row] = loaded.records.index[0]
        made.plan[row] = loaded.plan[0]
        self.policy.note_accepted(loaded.records.accepted)
        return faults[0].error if faults else None

    def positions(self, position: BatchPosition) -> Iterator[BatchPosition]:
        """Yield the positions from one on, epoch after epoch, nothing reset in between."""
        pass_index, start, first = position.pass_index, position.start, position.number
        empty = 0
        while empty < 2:  # one epoch in a row may be empty, used up by the one before it
            shape = self.order.epoch(pass_index, start)
            for number in range(first, shape.batches):
                yield BatchPosition(pass_index, start, number)
            empty = 0 if shape.batches else empty + 1
            pass_index, start, first = pass_index + 1, shape.next_start, 0

    def groups(self, position: BatchPosition) -> Iterator[tuple[BatchPosition, ...]]:
        """Yield the positions from one on, those together that are read at once.

        For the first batch somebody waits: nothing is read with it that is not made with it.
        """
        most = self.together
        group: list[BatchPosition] = []
        for following in self.positions(position):
            if group and (len(group) == most or following.number == 0):
                yield tuple(group)
                group, most = [], self.read_at_once
            group.append(following)
        if group:
            yield tuple(group)

    def load(self, group: tuple[BatchPosition, ...]) -> tuple[list[Loaded], GpuioError | None]:
        """Read batches and draw their plans; an epoch begins with the files as opened.

        Returns
        -------
        list, error or None     batches that come before the error, which is the next one's
        """
        if group[0].number == 0:
            self.reader.check_unchanged()
        with self.ranges["read"]:
            return self._load(group)

    def _load(self, group: tuple[BatchPosition, ...]) -> tuple[list[Loaded], GpuioError | None]:
        """Read batches and draw their plans."""
        if len(group) > 1 and (whole := self._load_together(group)) is not None:
            return [whole] if self.together > 1 else whole.apart(), None
        made: list[Loaded] = []
        try:
            for position in group:
                made.append(self._load_one(position))  # noqa: PERF401 -- what came before an error
        except GpuioError as error:
            if not made:
                raise
            return made, error
        return made, None

    def _load_together(self, group: tuple[BatchPosition, ...]) -> Loaded | None:
        """Load several batches as one; None where a record needs a closer look."""
        begun = time.perf_counter()
        try:
            at, stop = group[0], group[-1].number + 1
            orders, all_rows = self.order.batches(at.pass_index, at.start, at.number, stop)
            whole = self._load_rows(group[0], all_rows)
        except GpuioError:
            return None
        records = whole.records
        if records.accepted or records.encoded.cut_short:  # these name no row of the group
            return None
        whole.batches = tuple(zip(group, orders, strict=True))
        self._note_read(begun, whole)
        return whole

    def _load_one(self, position: BatchPosition) -> Loaded:
        """Read one batch's records and draw its plan."""
        begun = time.perf_counter()
        if self._feed is None:
            order = self.order.batch(position.pass_index, position.start, position.number)
            loaded = self._load_rows(position, order)
        else:
            taken = self._feed.take(position)
            if self._fetches:
                self.stats.add(fetched_s=time.perf_counter() - begun)
            loaded = self._load_rows(position, *taken)
        self._note_read(begun, loaded)
        return loaded

    def _fetching(self) -> contextlib.AbstractContextManager[None]:
        """Return the context that a thread fetches in."""
        return self.stats.fetching()

    def _note_read(self, begun: float, loaded: Loaded) -> None:
        """Count what was read, and since when."""
        seconds = time.perf_counter() - begun
        self.stats.add_read(seconds, loaded.plan_s, loaded.records.encoded.nbytes)
        if self._cache is not None:
            hits = int(np.count_nonzero(loaded.records.encoded.decoded))
            asked = int(np.count_nonzero(loaded.order.position >= 0))
            self._cache.count(hits, asked - hits)

    def _load_rows(
        self, position: BatchPosition, order: BatchOrder, framed: FramedRecords | None = None
    ) -> Loaded:
        """Read records, unless they were read before, and draw their plan."""
        if framed is None:
            records = self.reader.read(order.position)
        else:
            records = self.reader.read(order.position, framed)
        begun = time.perf_counter()
        plan = self.planner.draw(
            PlanRequest(
                *smaller_sizes(records.heights, records.widths, self._edge),
                order.pass_index,
                order.position,
                order.mx_index,
                records.labels,
            )
        )
        headers = records.encoded.headers
        stored = smaller_sizes(headers["height"], headers["width"], self._edge)
        plan["src_h"], plan["src_w"] = (np.maximum(size, 1) for size in stored)
        plan["orient"] = records.orientation
        failed = {fault.row for fault in records.faults}
        for row, error in self.planner.faults(plan):
            if row not in failed and records.encoded.length[row] >= 0:
                where = self.reader.where(int(order.position[row]))
                records.faults.append(Fault(row, error.at(where)))
                records.encoded.drop(row)
        return Loaded(position, order, records, plan, plan_s=time.perf_counter() - begun)

    def shares(self, groups: Iterable[tuple[list[Loaded], GpuioError | None]]) -> Iterator[Share]:
        """Cut what was loaded into shares and give each batch its array."""
        groups, division = iter(groups), self.backend.division
        while True:
            begun = time.perf_counter()
            group = next(groups, None)
            if group is None:
                return
            loads, error = collections.deque(group[0]), group[1]
            starved_s = time.perf_counter() - begun
            del group
            while loads:  # what was made is held no longer: its memory is read into next
                loaded = loads.popleft()
                rows = len(loaded.records.encoded)
                out = self.backend.allocate(self.output.shape(rows), self.output.dtype)
                size = rows if loaded.batches else self._rows_a_call(rows)
                place = loaded.position.pass_index, loaded.position.start, loaded.position.number
                team = None if division is None else division.team(place, rows, self.threads)
                helpers = 0 if division is None else division.helpers(rows, self.threads)
                for first in range(0, rows, size):
                    stop = min(first + size, rows)
                    last = stop == rows and not helpers
                    yield Share(loaded, out, first, stop, starved_s, last, team)
                    starved_s = 0.0
                for number in range(helpers):
                    last = number + 1 == helpers
                    yield Share(loaded, out, 0, rows, 0.0, last, team, helps=True)
                del loaded, out
            if error is not None:
                raise error

    def _rows_a_call(self, rows: int) -> int:
        """Return how many rows of a batch one call makes; a small batch is spread no further than
        keeps all threads at work, and as much again in line.
        """
        threads = self.most_threads
        if rows * self._record_bytes <= _BYTES_OF_A_CALL:
            threads = min(threads, -(-2 * threads // max(self.prefetch // self.together, 1)))
        return self.backend.share(rows, threads)

    @property
    def calls(self) -> int:
        """Calls that make what is loaded together."""
        size, division = self.order.batch_size, self.backend.division
        calls = -(-size // self._rows_a_call(size))
        return calls + (0 if division is None else division.helpers(size, self.threads))

    def ahead(
        self, groups: Iterable[tuple[list[Loaded], GpuioError | None]]
    ) -> Prefetcher[Share, tuple[Share, list[Fault]]]:
        """Make what was loaded ahead, on threads."""
        division = self.backend.division
        return Prefetcher(
            self.make,
            self.shares(groups),
            depth=self.calls * max(self.prefetch // self.together, 1),
            workers=self.threads + (0 if division is None else division.engines),
            name="gpuio-make",
        )

    def make(self, share: Share) -> tuple[Share, list[Fault]]:
        """Decode and augment one share."""
        if share.helps:
            assert self.backend.division is not None
            self.backend.division.help(share.team)
            return share, []
        begun = time.perf_counter()
        plan, records, out = share.loaded.plan, share.loaded.records.encoded, share.out
        rows = slice(share.first, share.stop)
        if share.first > 0 or share.stop < len(plan):
            plan, records, out = plan[rows], records[rows], out[rows]
        if self._scales:
            takes = scalable(records.headers, self.output.channels)
            plan, scale = fitted(plan, takes, self.output.height, self.output.width)
            records = attrs.evolve(records, scale=scale)
        records.work.timed = self.stats.timed
        with self.ranges["make"]:
            if self._cache is None:
                faults = self.backend.make(records, plan, self.output, out, share.team)
            else:
                faults = self._keep(self._cache, share, rows, records, plan, out)
        self.stats.add_made(time.perf_counter() - begun, share.starved_s, records.work)
        return share, [self._named(share, fault) for fault in faults]

    def _keep(
        self,
        cache: Cache,
        share: Share,
        rows: slice,
        records: Encoded,
        plan: npt.NDArray[np.void],
        out: Any,
    ) -> list[Fault]:
        """Make rows, and leave the images that nobody has decoded before in a cache."""
        if cache.resident:
            records = attrs.evolve(records, resident=True)
        encoded = int(np.count_nonzero(records.length > 0))
        if not encoded:  # they were found in the cache
            return self.backend.make(records, plan, self.output, out, share.team)
        loaded, kept, tried = share.loaded, np.zeros(len(plan), np.bool_), False
        order = loaded.order
        sizes = plan["src_h"].astype(np.int64) * plan["src_w"] * self.output.channels
        claim = cache.claim(
            order.position[rows],
            int(order.pass_index[rows].min()),
            np.where(records.length > 0, sizes, 0),
            loaded.records.heads[rows],
            records.headers,
        )
        if claim is not None:
            records = attrs.evolve(records, keep=claim.pixels, kept=kept)
        begun = time.perf_counter()
        try:
            faults = self.backend.make(records, plan, self.output, out, share.team)
            tried = True
        finally:
            if claim is not None:
                cache.settle(claim, kept, tried=tried)
            elif tried and not records.decoded.any():
                cache.made_alone(encoded, time.perf_counter() - begun)
        return faults

    def _named(self, share: Share, fault: Fault) -> Fault:
        """Give a fault its row in the batch and its record's place in the file."""
        row = share.first + fault.row
        where = self.reader.where(int(share.loaded.order.position[row]))
        return fault.at(row, where)
