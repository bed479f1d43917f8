"""ImageRecordIter: images of a .rec file, decoded, augmented, in batches."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from gpuio.backend.pool import element_type
from gpuio.errors import ClosedError, OptionError, StateError
from gpuio.finalizing import collects, finalize
from gpuio.forking import lock, working
from gpuio.io.base import DataBatch, DataDesc, DataIter, check_worker
from gpuio.nd import host_array
from gpuio.options.declare import describe, parse_options
from gpuio.order.epochs import EpochShape
from gpuio.order.even import ShardPlan
from gpuio.order.state import (
    check_state,
    compact,
    fraction,
    pixel_changes,
    say_changes,
    whole,
)
from gpuio.pipeline.doubts import say_doubts
from gpuio.pipeline.opening import Opened, open_pipeline
from gpuio.pipeline.pipeline import BatchPosition, FinishedBatch
from gpuio.pipeline.report import report
from gpuio.plan.rows import PlanRows
from gpuio.tasks.classify import Classify

__all__ = ["ImageRecordInt8Iter", "ImageRecordIter", "ImageRecordUInt8Iter", "document"]

_STATE_VERSION, _EVEN_VERSION = 1, 2  # of MXNet's parts, and of shard="even"
_MOVES = (
    "a state of MXNet's parts fits the part that saved it; with shard='even' a state fits any "
    "number of parts and any batch size"
)
_MOVED = frozenset(["batch_size", "num_parts", "part_index"]), _MOVES
_NAMED = 3  # files that a report names
# attributes that are made anew where an iterator is unpickled
_OWN = frozenset(
    [
        *("batch_size", "options", "provide_data", "provide_label"),
        *("_handed", "_handed_here", "_said_finished"),
        *("_at", "_batch", "_closer", "_dropped_in", "_opened", "_pixels", "_start", "_turn"),
    ]
)


def _numpy_dtype(name: str) -> Any:
    """Return the NumPy type that provide_data states."""
    return element_type(name).type


class ImageRecordIter(DataIter):
    """Iterate over the images of RecordIO files in batches.

    A batch holds ``data[0]``, an array (batch_size, channels, height, width) of `dtype` in R, G, B
    (A) order; ``label[0]``, float32 (batch_size,) or (batch_size, label_width); ``pad``, the number
    of rows at the end that do not belong to the epoch; ``index``, uint64 (batch_size,), the ids in
    the records' headers; and ``plan``, PLAN (batch_size,), what was done to each image (fields:
    `gpuio.kernels.plan.layout`; again: `gpuio.plan.replay`). With layout='NHWC' the data are
    (batch_size, height, width, channels); with num_classes the labels (batch_size, num_classes),
    and ``mix`` says how mixup or cutmix made them; with label_width='ragged' ``label_count``, int32
    (batch_size,), tells how many labels each row has. Arrays live until you let them go; they are
    never overwritten.

    Raises
    ------
    OptionError                     at construction: unknown, malformed or conflicting options
    StorageError, FormatError       at construction: missing, unreadable or damaged files
    RecordError, DecodeError        from `next()`, at the batch that holds the bad record; calling
                                    `next()` again tries that batch again

    Notes
    -----
    Where MXNet 1.9.1 has a bug, the intended behaviour is built: ``index`` holds the ids (MXNet:
    always 0), ``pad`` is never stale, `reset()` in the middle of an epoch always goes to the start
    of the next pass, and errors leave the process alive.

    An explicit `reset()` before the first batch starts the second pass, as in MXNet.
    """

    _task: type[Any] = Classify
    _fixed: dict[str, Any] = {}  # noqa: RUF012 -- read only; options a subclass fixes

    def __init__(self, **options: Any) -> None:
        self._start_with(parse_options(self._task.declared, {**options, **self._fixed}))

    def _start_with(self, options: Any) -> None:
        super().__init__(options.batch_size)
        with working:
            opened = open_pipeline(self._task(options))
        # where the next batch is; with shard="even" its `start` is where a state was loaded, and
        # the epoch's own start is `_start`
        self._at = BatchPosition(opened.first_pass, 0, 0)
        self._start = 0
        self._dropped_in: int | None = None  # the last pass of which dropped records were counted
        self._batch: DataBatch | None = None
        self._repeat = False
        self._turn = lock()  # several threads may share an iterator: one batch each
        self._take(options, opened)
        say_doubts(type(self).__name__, options, opened.table)

    def _take(self, options: Any, opened: Opened) -> None:
        """Work with these options and what was opened for them from now on."""
        self.options, self._pixels = options, options.pixel_options()
        self._opened: Opened | None = opened
        self._closer = finalize(self, opened.close)
        output = opened.pipeline.output
        self.provide_data = [
            DataDesc(
                options.data_name,
                output.shape(options.batch_size),
                _numpy_dtype(options.dtype),
                output.layout,
            )
        ]
        self.provide_label = [DataDesc(*one, "NCHW") for one in opened.labels.described()]

    def __len__(self) -> int:
        """Return the exact number of batches of the current epoch, from its start on.

        After a state of shard='even' was loaded, of the epoch in this number of parts and this size
        of batches, though what is left of it may be divided otherwise.
        """
        return self._machine().pipeline.order.epoch(self._at.pass_index, self._start).batches

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.options.as_dict().items())
        return f"{type(self).__name__}({given})"

    @property
    def epoch(self) -> int:
        """Passes over the records begun before this one."""
        return self._at.pass_index

    @property
    def identities(self) -> dict[int, tuple[int, int]] | None:
        """The keys of each identity's images in an InsightFace data set; None for other files.

        Identity 0, 1, ..., in the order of the identity records, to (first, stop): its images have
        the keys first <= key < stop. Read from the file when asked for.

        Raises
        ------
        FormatError             the identity records are damaged
        OptionError             several files are InsightFace data sets
        StorageError            the file cannot be read
        ClosedError             after `close()`
        """
        return self._machine().contents.identities()

    @property
    def num_classes(self) -> int | None:
        """The option num_classes; else what the files state, at least the largest label + 1.

        None where they state nothing. Where they do, each record's label is read, once, when this
        is first asked for; a stated number that the labels contradict is one line of the log
        (logger gpuio, WARNING).

        Raises
        ------
        FormatError, OptionError, StorageError, ClosedError
                                as `identities`
        """
        machine = self._machine()
        if machine.task.classes:
            return machine.task.classes
        return machine.labels.num_classes(machine.contents)

    def _parts(self) -> int:
        return int(self.options.num_parts)

    def _machine(self) -> Opened:
        if self._opened is None:
            raise ClosedError(
                f"{type(self).__name__} over {self.options.path_imgrec} was closed: make a new one"
            )
        return self._opened

    def _shape(self) -> EpochShape:
        return self._machine().pipeline.order.epoch(self._at.pass_index, self._at.start)

    def iter_next(self) -> bool:
        """Move to the next batch; False at the end of the epoch."""
        check_worker(self)
        with self._turn, working:
            machine = self._machine()
            if self._repeat and self._batch is not None:
                return True
            shape = self._shape()
            if self._at.number >= shape.batches:
                self._note_dropped(shape)
                return False
            begun, pipeline = time.perf_counter(), machine.pipeline
            try:
                with pipeline.ranges["next"]:
                    self._batch = self._to_batch(pipeline.next(self._at))
            except BaseException:
                if pipeline.stats.timed:
                    now, first = time.perf_counter(), self._at.number == 0
                    pipeline.stats.fail(begun, now, first=first, threads=pipeline.working)
                raise
            if pipeline.stats.timed:
                now = time.perf_counter()
                first = self._at.number == 0
                pipeline.stats.hand_out(begun, now, first=first, threads=pipeline.working)
            self._at = BatchPosition(self._at.pass_index, self._at.start, self._at.number + 1)
            if self._at.number == shape.batches:
                self._note_dropped(shape)
            return True

    def _note_dropped(self, shape: EpochShape) -> None:
        """Count the records that the epoch that ends leaves out, once."""
        if shape.dropped and self._dropped_in != self._at.pass_index:
            self._dropped_in = self._at.pass_index
            self._machine().pipeline.stats.add(discarded=shape.dropped)

    def next(self) -> DataBatch:
        """Return the next batch.

        Raises
        ------
        StopIteration                   at the end of the epoch, until `reset()`
        RecordError, DecodeError        a record of this batch cannot be used
        StorageError                    a file could not be read
        ClosedError                     after `close()`
        """
        with self._turn:
            if not self.iter_next():
                raise StopIteration
            assert self._batch is not None
            return self._batch

    def _to_batch(self, made: FinishedBatch) -> DataBatch:
        machine = self._machine()
        backend = machine.backend
        labels, count = machine.labels.handed_out(made.label)
        label = [backend.put(host_array(np.ascontiguousarray(one))) for one in labels]
        backend.fence(made.data)  # made ahead, so seldom a wait; then any stream may read
        batch = DataBatch(
            data=[made.data],
            label=label,
            pad=made.pad,
            index=host_array(made.index),
            provide_data=None,
        )
        batch.plan, batch.mix = made.plan.view(PlanRows), made.mix
        batch.label_count = None if count is None else host_array(count)
        return batch

    def reset(self) -> None:
        """Go to the next epoch.

        After a finished epoch that is the one after it (with `last_batch='borrow'` it starts after
        the borrowed records); in the middle of one it is the start of the next pass.

        Raises
        ------
        StorageError                    a record file changed since it was opened
        """
        with self._turn:
            self._machine().pipeline.reader.check_unchanged()
            shape = self._shape()
            next_start = shape.next_start if self._at.number >= shape.batches else 0
            self._batch, self._start = None, next_start
            self._at = BatchPosition(self._at.pass_index + 1, next_start, 0)

    def getdata(self) -> Any:
        """Return the current batch's data, one array."""
        return None if self._batch is None else self._batch.data[0]

    def getlabel(self) -> Any:
        """Return the current batch's labels, one array; a list where there are several."""
        if self._batch is None:
            return None
        return self._batch.label[0] if len(self._batch.label) == 1 else self._batch.label

    def getpad(self) -> Any:
        """Return how many rows at the current batch's end are not this epoch's."""
        return None if self._batch is None else self._batch.pad

    def getindex(self) -> Any:
        """Return the ids of the current batch's records, uint64."""
        return None if self._batch is None else self._batch.index

    def debug_skip_load(self) -> None:
        """Return the same batch for ever from now on, to measure a training without its input."""
        self._repeat = True

    def shard_plan(self) -> dict[str, Any]:
        """Return which part gets how much of the current epoch, the same on every part.

        Returns
        -------
        dict of JSON types
            ``shard``; ``last_batch``; ``records`` that the epoch may use, of all parts;
            ``dropped``, those that last_batch='discard' leaves out; ``parts``, per part
            ``part_index``, ``batches``, ``records`` and ``pad``, rows that are padded or borrowed;
            ``equal``, whether all parts have the same number of batches in this and every other
            epoch; ``all_padding``, whether a part's last batch may hold no record

        Notes
        -----
        With shard='mxnet' and last_batch='borrow' parts start anywhere in a pass; but for this part
        the plan is that of a first epoch.
        """
        return self._plan().as_dict()

    def _plan(self) -> ShardPlan:
        return self._machine().pipeline.order.plan(self._at.pass_index, self._at.start)

    def stats(self) -> dict[str, Any]:
        """Return what was done so far, as JSON types: counts, seconds, bad records' names.

        docs/performance.md explains every key. Seconds of a stage are summed over its threads and
        count from the beginning; ``busy``, ``waits`` and other shares, and rates, from the first
        batch on. ``limit`` says what limits, and the option to try. With stats=False the counts,
        ``read_s``, ``make_s``, ``wait_s`` and the names of bad records are all there is.
        `decoded_with_warnings` counts records whose image libjpeg warned of, as TurboJPEG tells it;
        OpenCV does not tell, so that it stays 0 without TurboJPEG (see docs/decoding.md).

        On a GPU also the share of the host's cores (`host_share`, None until it is found), and
        images, encoded bytes and seconds in calls of its engines and of the host's cores
        (`engine_images`, `engine_bytes`, `engine_s`, `host_images`, `host_bytes`, `host_s`).

        With a cache there is also ``cache``: see `gpuio.cache.use.Cache.counts`.
        """
        machine = self._machine()
        told = machine.pipeline.told()
        return told if machine.cache is None else {**told, "cache": machine.cache.counts()}

    def report(self) -> str:
        """Return `stats()` as a table, and one sentence: what limits, and the option to try."""
        paths = self._machine().table.paths
        named = ", ".join(Path(path).name for path in paths[:_NAMED])
        if len(paths) > _NAMED:
            named += f" and {len(paths) - _NAMED:,} more"
        return report(self.stats(), f"{type(self).__name__} over {named}")

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator stands, as JSON types.

        `samples` counts the rows handed out in this epoch; batches made ahead do not count. With
        shard='even' it counts those of all parts, as if all were as far as this one: the state is
        then the same on every part, and at most 400 bytes of JSON.
        `source` must be the same where it is loaded. Options that change ``pixels`` or labels
        (crop, resize, colour, normalisation, seed_aug, mixup, ...) may differ: the log names them.
        ctx, decoders, threads and prefetching are not in it, but what host_share="auto" has found:
        an iterator with that option that loads the state divides by it, too.
        """
        machine = self._machine()
        even, share = self._is_even(), self._found_share()
        return {
            "version": _EVEN_VERSION if even else _STATE_VERSION,
            "epoch": self._at.pass_index,
            "start": self._start,
            "samples": self._samples(),
            "pixels": compact(self._pixels) if even else dict(self._pixels),
            "source": dict(machine.fingerprint),
            **({} if share is None else {"host_share": share}),
        }

    def _found_share(self) -> float | None:
        """Return what host_share="auto" has found; None where it was not asked, or not yet."""
        division = self._machine().backend.division
        return division.share if division and self.options.host_share == "auto" else None

    def _is_even(self) -> bool:
        return bool(self.options.shard == "even")

    def _samples(self) -> int:
        """Return the rows handed out in this epoch, with shard='even' those of all parts."""
        order = self._machine().pipeline.order
        place = self._at.start + self._at.number * order.division.step
        if self._is_even() and self.options.ending != "borrow":  # a short last step
            place = min(place, max(order.n_records, self._at.start))
        return place - self._start

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a saved state stood.

        A state of shard='even' may come from another number of parts or another batch size: the
        same sequence of records goes on. One of MXNet's parts fits the part that saved it.

        Raises
        ------
        StateError          the state is damaged, another version's, or another source's or order's;
                            the message names each such field with what was found and expected. The
                            iterator stays where it was

        Notes
        -----
        MXNet's shuffle of a pass goes on from that of the pass before, so the draws of all passes
        before it are passed over: some 3 ns per record and pass, and 10 times that where
        shuffle_chunk_size makes several chunks' order. More than a second is said in the log.
        shuffle='full' and 'block' find any pass at once.
        """
        machine, order = self._machine(), self._machine().pipeline.order
        even = self._is_even()
        _check_shard(state, "even" if even else "mxnet")
        if even:
            check_state(state, _EVEN_VERSION, machine.source(state))
            epoch, start, place, number = self._place_of_all(state)
        else:
            check_state(state, _STATE_VERSION, machine.source(state), advice=_MOVED)
            epoch, start, number = self._place_of_part(state)
            place = start
        changes = pixel_changes(
            state,
            self._pixels,
            {field.name: field.default for field in attrs.fields(type(self.options))},
        )
        share = fraction(state, "host_share") if "host_share" in state else None
        with working:
            order.reach(epoch)  # on this thread, where an interrupt is heard
        with self._turn:
            self._batch, self._start = None, start
            self._at = BatchPosition(epoch, place, number)
            if share is not None and self.options.host_share == "auto":
                machine.pipeline.divide(share, "from the state that was loaded")
        say_changes(changes)

    def _place_of_part(self, state: dict[str, Any]) -> tuple[int, int, int]:
        """Return epoch, start and number of the next batch of one of MXNet's parts."""
        order, size = self._machine().pipeline.order, self.batch_size
        epoch, start = whole(state, "epoch"), whole(state, "start", order.last_start)
        samples = whole(state, "samples", self._batches(epoch, start) * size, step=size)
        return epoch, start, samples // size

    def _place_of_all(self, state: dict[str, Any]) -> tuple[int, int, int, int]:
        """Return epoch, start, the place in the pass where all parts go on, and 0."""
        n, borrows = self._machine().pipeline.order.n_records, self.options.ending == "borrow"
        epoch, start = whole(state, "epoch"), whole(state, "start", n if borrows else 0)
        samples = whole(state, "samples", n - start + (n if borrows else 0))
        self._batches(epoch, start + samples)
        return epoch, start, start + samples, 0

    def _batches(self, epoch: int, start: int) -> int:
        """Return how many batches an epoch has from a place on; StateError if none can start."""
        try:
            return self._machine().pipeline.order.epoch(epoch, start).batches
        except OptionError as error:
            raise StateError(f"state: start: {start} is not the start of an epoch") from error

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling keeps: options, place, and attributes that a subclass added.

        The copy opens the files again, on whatever machine it is made, and goes on where this one
        stands.
        """
        added = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        return {"options": self.options, "place": self.state_dict(), "added": added}

    def __setstate__(self, frozen: dict[str, Any]) -> None:
        self._start_with(frozen["options"])
        self.__dict__.update(frozen["added"])
        self._made_in = None
        self.load_state_dict(frozen["place"])

    def close(self) -> None:
        """Stop the threads and close the files; may be called twice, and beside `next()`.

        A `next()` that waits in another thread raises ClosedError. Held batches stay valid.
        """
        opened = self._opened
        if opened is not None and not collects():  # where it waits for threads elsewhere
            opened.pipeline.close()
        with self._turn:  # no next() uses the files any more
            self._closer()
            self._opened = None


class ImageRecordUInt8Iter(ImageRecordIter):
    """`ImageRecordIter` with dtype uint8: raw pixels."""

    _fixed = {"dtype": "uint8"}  # noqa: RUF012


class ImageRecordInt8Iter(ImageRecordIter):
    """`ImageRecordIter` with dtype int8: pixels less the rounded mean, clipped."""

    _fixed = {"dtype": "int8"}  # noqa: RUF012


def _check_shard(state: Any, shard: str) -> None:
    """Refuse a state of parts that divide the records in another way."""
    found = state.get("version") if isinstance(state, dict) else None
    shards = {_STATE_VERSION: "mxnet", _EVEN_VERSION: "even"}
    theirs = shards.get(found, shard) if isinstance(found, int) else shard
    if theirs != shard:
        raise StateError(
            f"state belongs to another iterator: shard: saved {theirs!r}, here {shard!r}: give "
            f"shard={theirs!r}, or begin at an epoch's start without this state"
        )


def document(
    cls: type[DataIter],
    options: type[Any],
    required: tuple[str, ...] = ("path_imgrec", "data_shape", "batch_size"),
) -> None:
    """Give a class the signature and the parameter documentation of its options."""
    parameters = []
    lines = ["", "", "    Parameters", "    ----------"]
    for one in describe(options):
        name, default = one["name"], one["default"]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(
            inspect.Parameter(name, keyword)
            if name in required
            else inspect.Parameter(name, keyword, default=default)
        )
        unit = f" [{one['unit']}]" if one["unit"] else ""
        lines.append(f"    {name} : {'required' if name in required else repr(default)}{unit}")
        lines.append(f"        {one['meaning']}")
        if one["differs"]:
            lines.append(f"        Unlike MXNet: {one['differs']}")
        if one["ours"]:
            lines.append("        MXNet has no such option.")
    cls.__signature__ = inspect.Signature(  # type: ignore[assignment]
        sorted(parameters, key=lambda p: p.default is not inspect.Parameter.empty)
    )
    cls.__doc__ = (cls.__doc__ or "").rstrip() + "\n".join(lines) + "\n"


for _class in (ImageRecordIter, ImageRecordUInt8Iter, ImageRecordInt8Iter):
    document(_class, Classify.declared)
