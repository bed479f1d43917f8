"""The machinery of ImageIter: order, epochs, look-ahead, and how a batch is filled.

The work is done on look-ahead threads as far as the results stay the same: decoding always,
augmenters up to the first that draws from a generator that the user can see, and everything if the
iterator has a seed of its own. Hooks that a subclass overrides, and augmenters that are plain
callables, run inside `next()`, sample by sample.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gpuio.backend.pool import HostPool
from gpuio.errors import ClosedError, StateError
from gpuio.forking import lock, working
from gpuio.image.chain import Chain, check_row
from gpuio.image.draws import Draws, keyed
from gpuio.image.feed import Feed, Loader
from gpuio.image.sample_state import SampleState
from gpuio.image.source import Sample
from gpuio.io.base import DataBatch, check_worker
from gpuio.recordio.key_list import KeyList

__all__ = ["SampleIter"]

_log = logging.getLogger(__name__)

# attributes made anew where an iterator is unpickled
_OWNED = frozenset(
    [
        *("_carry", "_chain", "_current", "_feed", "_pool", "current_batch", "imgrec"),
        *("_begun", "_filling", "_kept", "_pid", "_turn"),
    ]
)

_Begun = tuple[int, list[Sample], tuple[list[Sample], int] | None, tuple[int, int] | None]

_KEYS_AT_ONCE = 4096  # of a large index, made into Python objects at a time
_WAITING_A_THREAD = 8  # enough to keep a thread busy while the others' images are drawn


class SampleIter(SampleState):
    """Base of ImageIter and ImageDetIter; a subclass sets the options and gives the hooks.

    Attributes
    ----------
    seq : list of keys in this epoch's order, None for a .rec read from its start
    cur : int                   samples taken from this epoch
    epoch : int                 counts the calls of `reset`, from 0
    imgrec, imgidx, imglist     as in `SampleSource`
    auglist : list              the augmenters; changes take effect at the next `reset`
    """

    _hooks: tuple[str, ...] = ("check_valid_image", "augmentation_transform", "postprocess_data")

    preprocess_threads: int
    prefetch_buffer: int
    _draws: Draws

    def _begin(self) -> None:
        """Set the state before the first epoch, and begin that."""
        self.epoch, self.cur = -1, 0
        self._feed: Feed | None = None  # samples from `cur` on
        self._chain: Chain | None = None
        self._current: Sample | None = None
        self._carry: list[Sample] = []
        self._carried = 0  # samples carried into this epoch
        self._wanted = 1  # samples worth decoding ahead
        self._pool = HostPool(keep=2)
        self._ended = self._closed = False
        self._listed: tuple[Any, ...] = ()  # the order, where shuffling cannot repeat it
        self._described: dict[str, Any] | None = None  # data_shape and augmenters of the epoch
        self._digest: list[int] | None = None  # of the source, where it was asked for
        self._own()
        self.reset()

    def _own(self) -> None:
        """Set what neither a state nor a pickled copy takes along."""
        self._turn = lock()  # several threads may share an iterator: one batch each
        self._pid = os.getpid()
        self._begun: _Begun | None = None  # where the batch that is being made began
        self._kept: tuple[list[Sample], int] | None = None  # rows of a batch that failed, its pad
        # samples of the epoch, and the pad, while its last batch is filled from its start
        self._filling: tuple[int, int] | None = None

    def _share(self, part_index: int, num_parts: int) -> Any:
        """Return this part's keys, None to read the file from its start."""
        keys = self._source.keys
        if keys is None:
            assert not self.shuffle, "shuffle needs keys: give path_imgidx"
            assert num_parts <= 1, "num_parts needs keys: give path_imgidx"
            return None
        assert 0 <= part_index < num_parts, f"part_index={part_index} of num_parts={num_parts}"
        if num_parts == 1 and not self.shuffle:
            return keys  # as they are: 10 million of them are 80 MB as arrays, 1.1 GB as a list
        share = len(keys) // num_parts
        return list(keys[part_index * share : (part_index + 1) * share])

    def reset(self) -> None:
        """Begin the next epoch; shuffles, and keeps what a roll-over has kept."""
        with self._turn:
            self._settle()
            self.epoch += 1
            if self.shuffle and self.seq is not None:
                if self._seed is None:
                    self._draws.shuffle(self.seq)
                    self._listed = tuple(self.seq)
                else:
                    assert self._base is not None
                    self.seq[:] = keyed(self._seed, self.epoch, -1).shuffle(self._base)
            self._rewind()
            self._kept = self._filling = None
            self._carried, self._ended = len(self._carry), False

    def hard_reset(self) -> None:
        """Go back to the start of the same order and forget what a roll-over has kept."""
        with self._turn:
            self._settle()
            self._carry, self._carried, self._ended = [], 0, False
            self._kept = self._filling = None
            self._rewind()

    def _settle(self) -> None:
        """Go back to where a batch began that was interrupted, or whose maker a fork left behind.

        Raises
        ------
        ClosedError         after `close()`
        """
        self._require_open()
        if self._begun is None and self._pid == os.getpid():
            return
        position = self.cur
        if self._begun is not None:
            position, carry, self._kept, self._filling = self._begun
            self._carry, self._begun = list(carry), None
        self._pid = os.getpid()
        self._seek(position)

    def _rewind(self) -> None:
        """Move to the first sample of the order."""
        self._seek(0)
        self._wanted = self.prefetch_buffer * self.batch_size

    def _seek(self, position: int, field: str = "samples") -> None:
        """Move to a sample of the order; StateError, of a state's field, if there is none."""
        self._stop_feed()
        self._described = None
        if self.seq is None:
            before = self.cur
            self._source.rewind()
            skipped = self._source.skip(position)
            if skipped < position:
                self._seek(min(before, skipped))
                raise StateError(
                    f"state: {field}: {position} in a file of {skipped} records: the state is "
                    "damaged, or of another file"
                )
        self.cur = position

    def _stop_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def close(self) -> None:
        """Stop the threads and close the files; may be called twice, and beside `next()`.

        A `next()` that waits in another thread raises ClosedError.
        """
        self._closed = True
        self._stop_feed()
        with self._turn:
            self._stop_feed()  # next() may have opened another one just now
            self._source.close()
            self._pool.close()

    def _parts(self) -> int:
        return self.num_parts

    def _require_open(self) -> None:
        if getattr(self, "_closed", False):
            raise ClosedError("the iterator is closed: make a new one")

    def __bool__(self) -> bool:
        return True  # bool(iterator) must not ask for a length

    def __len__(self) -> int:
        """Return the number of batches of the epoch, counted from its start.

        Raises
        ------
        TypeError           a .rec read without index: its length is not known
        """
        if self.seq is None:
            raise TypeError("a .rec read without index has no length: give path_imgidx")
        count = len(self.seq)
        if self.last_batch_handle == "pad":
            return (count + self.batch_size - 1) // self.batch_size
        return (count + self._carried) // self.batch_size

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes, a subclass's too, without threads, files and memory of batches."""
        with self._turn:
            self._settle()
        kept = {name: value for name, value in self.__dict__.items() if name not in _OWNED}
        return {"attributes": kept, "place": SampleIter.state_dict(self)}  # not a subclass's

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the files and go to the place."""
        self.__dict__.update(state["attributes"])
        self._chain = self._current = self._feed = None
        self._carry, self._pool = [], HostPool(keep=2)
        self._own()
        self.__dict__["imgrec"] = self._source.imgrec
        self._made_in = None
        self._load(state["place"])

    def _restore(self, epoch: int, samples: int, order: list[Any] | None) -> None:
        """Go to a place in an epoch's order."""
        self._seek(samples)
        self._wanted = self.prefetch_buffer * self.batch_size
        self.epoch = epoch
        if self.seq is not None and order is not None:
            self.seq[:] = order
            self._listed = tuple(order)
        elif self.seq is not None and self.shuffle and self._seed is not None:
            self.seq[:] = keyed(self._seed, epoch, -1).shuffle(self._base or [])

    def _remake(self, sample: Sample) -> Sample:
        """Fetch, decode and augment one sample, outside of the epochs."""
        if sample.key is None:
            place = self.cur
            self._seek(sample.position + 1, "carry")
            self._seek(sample.position)
            epoch, sample = sample.epoch, next(self._source.samples(None, sample.position))
            sample.epoch = epoch
            self._seek(place)
        chain = self._planned_chain(sample.epoch)
        loader = Loader(self._source, chain, self.data_shape)
        loader(sample)
        if chain is not None and not chain.ahead and sample.error is None:
            chain.draw(sample)
            loader.finish(sample)
        if sample.error is not None:
            raise sample.error
        return sample if chain is not None else self._made_by_hooks(sample)[0]

    def next_sample(self) -> tuple[Any, bytes]:
        """Return (label, encoded image) of the next sample; StopIteration at the epoch's end.

        The label is a float, or float32[n].
        """
        with self._turn:
            if self._begun is None:  # else called by next()
                self._settle()
            sample = self._take()
        if sample.blob is None and sample.error is not None:
            raise sample.error
        assert sample.blob is not None
        return sample.label, sample.blob

    def _take(self) -> Sample:
        """Move on by one sample."""
        self._require_open()
        if self._ended:
            raise StopIteration
        feed = self._feed or self._open_feed(decodes=False)
        sample = next(feed)
        sample.epoch = self.epoch
        self.cur += 1
        self._current = sample
        return sample

    def _samples(self) -> Iterator[Sample]:
        """Yield what is left of the epoch, not yet fetched."""
        keys: Iterable[Any] | None = None
        if isinstance(self.seq, KeyList):  # never shuffled in place
            keys = _from(self.seq, self.cur)
        elif self.seq is not None:
            keys = self.seq[self.cur :]
        return self._source.samples(keys, self.cur)

    def _fetched(self) -> Iterator[Sample]:
        """Yield what is left of the epoch, fetched on the caller's thread."""
        return (self._source.fetch(sample, self.read_image) for sample in self._samples())

    def _open_feed(self, *, decodes: bool) -> Feed:
        """Return the stream from the current position on; a new one if the kind has changed."""
        if self._feed is not None and self._feed.decodes == decodes:
            return self._feed
        self._stop_feed()
        loader = None
        if decodes:
            self._chain = self._planned_chain(self.epoch)
            loader = Loader(self._source, self._chain, self.data_shape)
        depth = min(self.prefetch_buffer * self.batch_size, self._wanted)
        if decodes and (self._chain is None or not self._chain.ahead):
            depth = min(depth, self._waiting)
        samples = self._samples() if decodes else self._fetched()
        self._feed = Feed(samples, loader, self.preprocess_threads, depth)
        return self._feed

    def _make_chain(self, epoch: int) -> Chain:
        return Chain(self.auglist, self._draws, self._seed, epoch)

    def _planned_chain(self, epoch: int) -> Chain | None:
        """Return the augmenters as a plan, None if they or the hooks have to be called."""
        chain = self._make_chain(epoch)
        return chain if chain.planned and all(map(self._is_own, self._hooks)) else None

    def _sample_draws(self) -> Draws:
        """Return the generator for the current sample's augmentation."""
        if self._seed is None or self._current is None:
            return self._draws
        return keyed(self._seed, self.epoch, self._current.position)

    @property
    def _waiting(self) -> int:
        """How many decoded images of full size may wait for their draws: memory is finite."""
        return _WAITING_A_THREAD * max(self.preprocess_threads, 1)

    def _is_own(self, name: str) -> bool:
        """Whether a method is still gpuio's, neither overridden nor replaced on the instance."""
        return str(getattr(self, name).__module__).startswith("gpuio.image.")

    def next(self) -> DataBatch:
        """Return the next batch.

        Returns
        -------
        DataBatch           data float32[batch, 3, H, W]; label of `dtype`, [batch] or
                            [batch, label_width]; `pad` rows at the end are not this epoch's

        Raises
        ------
        StopIteration       the epoch is over, until `reset()`
        GpuioError          a sample cannot be read, decoded or augmented; the next call continues
                            after it, with the other samples of this batch
        RuntimeError        an augmenter or a hook raised StopIteration, which is not the epoch's
                            end; from `next_sample` it is

        Notes
        -----
        Interrupted (Ctrl-C), the batch is made again by the next call; without a seed as `rng`,
        with other random numbers.
        """
        check_worker(self)
        with self._turn, working:
            self._settle()
            self._source.check_unchanged()
            if self._ended:
                raise StopIteration
            self._begun = self.cur, list(self._carry), self._kept, self._filling
            try:
                self.current_batch = self._next()
            except Exception:
                self._begun = None
                raise
            self._begun = None
            return self.current_batch

    def _next(self) -> DataBatch:
        """Make the next batch; what an error leaves of it is kept."""
        if self._kept is not None:
            (rows, pad), self._kept = self._kept, None
            rows = list(rows)
        else:
            rows, self._carry = self._carry, []
            pad = self.batch_size - len(rows) if rows else 0
        try:
            if self._filling is None and not self._collect(rows):
                self._end(rows)
            if self._filling is not None:
                pad = self._fill(rows)
        except StopIteration:
            raise
        except Exception:
            self._kept = (rows, pad) if rows else None
            raise
        return self._batch(rows, pad)

    def _end(self, rows: list[Sample]) -> None:
        """Begin to fill a short last batch, or raise StopIteration."""
        if not rows or self.last_batch_handle != "pad":
            if self.last_batch_handle == "roll_over":
                self._carry = rows
            self._ended = True
            raise StopIteration
        self._filling = self.cur, self.batch_size - len(rows)
        self._rewind()

    def _fill(self, rows: list[Sample]) -> int:
        """Fill the epoch's last batch from the start of the order; return its padding."""
        assert self._filling is not None
        self._wanted = self.batch_size - len(rows)
        while not self._collect(rows):
            self._rewind()
            self._wanted = self.batch_size - len(rows)
        self._stop_feed()
        (self.cur, pad), self._filling = self._filling, None
        self._ended = True
        return pad

    def _collect(self, rows: list[Sample]) -> bool:
        """Append finished samples until there is a batch of them; false if the epoch ends first."""
        while len(rows) < self.batch_size:
            try:
                if not self._make(self.batch_size - len(rows), rows):
                    return False
            except StopIteration as error:  # it would look like the epoch's end
                raise RuntimeError("an augmenter or a hook raised StopIteration") from error
        return True

    def _make(self, count: int, rows: list[Sample]) -> bool:
        """Append up to `count` finished samples; false when there is none left."""
        if not all(map(self._is_own, ("next_sample", "imdecode", "read_image"))):
            return self._made_whole(rows)
        feed = self._open_feed(decodes=True)
        chain = self._chain
        if chain is None or chain.ahead:
            sample = self._taken()
            if sample is None:
                return False
            if sample.error is not None:
                raise sample.error
            if chain is None:
                rows += self._made_by_hooks(sample)
            elif not self._skips(sample):
                rows.append(sample)
            return True
        made: list[Sample] = []
        failed: list[Exception] = []
        count = min(count, self._waiting)
        ended = False
        while len(made) < count and not failed:
            sample = self._taken()
            if sample is None:
                ended = True
                break
            try:
                if sample.error is None and sample.skip is None:
                    chain.draw(sample)
            except Exception as error:  # noqa: BLE001 -- raised below, after the samples before it
                sample.error = error
            if sample.error is not None:
                failed.append(sample.error)
            elif not self._skips(sample):
                made.append(sample)
        feed.finish(made)
        rows += [sample for sample in made if sample.error is None]
        failed = [sample.error for sample in made if sample.error is not None] + failed
        if failed:
            for other in failed[1:]:
                failed[0].add_note(f"in the same batch: {other}")
            raise failed[0]
        return not ended or bool(made)

    def _taken(self) -> Sample | None:
        """Move on by one sample; None at the epoch's end."""
        try:
            return self._take()
        except StopIteration:
            return None

    def _skips(self, sample: Sample) -> bool:
        """Whether a sample is left out; says so in the log."""
        if sample.skip is not None:
            _log.debug("Invalid image, skipping: %s", sample.skip)
        return sample.skip is not None

    def _made_whole(self, rows: list[Sample]) -> bool:
        """Fetch, decode and augment one sample with the hooks; false when there is none left."""
        self._current = None
        try:
            label, blob = self.next_sample()
        except StopIteration:
            return False
        pixels = self.imdecode(blob)
        sample = self._current or Sample(None, self.cur)
        sample.label, sample.pixels = label, pixels
        rows += self._made_by_hooks(sample)
        return True

    def _made_by_hooks(self, sample: Sample) -> list[Sample]:
        """Augment one decoded sample with the hooks."""
        values = self._hooked(sample)
        if self._skips(sample):
            return []
        sample.row = check_row(np.asarray(values), self.data_shape, sample)
        return [sample]

    def _batch(self, rows: list[Sample], pad: int) -> DataBatch:
        """Make a batch of finished samples."""
        raise NotImplementedError

    def imdecode(self, s: bytes) -> Any:
        """Decode the current sample; a hook."""
        raise NotImplementedError

    def read_image(self, fname: str) -> bytes:
        """Return the bytes of a listed file; a hook to override."""
        return self._source.read_image(fname)

    def _hooked(self, sample: Sample) -> Any:
        """Augment a decoded sample with the hooks and return it as (3, H, W)."""
        raise NotImplementedError


def _from(keys: KeyList, first: int) -> Iterator[Any]:
    """Yield the keys of a large index from a place on, without a list of all."""
    for at in range(first, len(keys), _KEYS_AT_ONCE):
        yield from keys[at : at + _KEYS_AT_ONCE]
