"""The saved state of an ImageIter: what it holds, and what of one that is loaded is believed.

Invariant: a state is checked as a whole before anything moves; a damaged one, or one of other files
or another order, is a StateError that names the field.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

from gpuio.errors import StateError
from gpuio.image.current import CurrentBatch
from gpuio.image.source import Sample, SampleSource
from gpuio.order.state import FAR, flag, items, pixel_changes, say_changes, whole
from gpuio.recordio.fingerprint import some

__all__ = ["SampleState"]

_VERSION = 2
_FIELDS = {"version", "kind", "epoch", "samples", "ended", "order", "carry", "source"}


class SampleState(CurrentBatch):
    """The part of SampleIter that saves and loads where it is.

    Attributes
    ----------
    seq : list of keys in this epoch's order, None for a .rec read from its start
    cur : int                   samples taken from this epoch
    epoch : int                 counts the calls of `reset`, from 0
    """

    data_shape: tuple[int, ...]
    shuffle: bool
    last_batch_handle: str
    auglist: list[Any]
    seq: list[Any] | None
    cur: int
    epoch: int
    num_parts: int
    part_index: int
    _base: list[Any] | None
    _seed: int | None
    _source: SampleSource
    _turn: Any
    _pid: int
    _closed: bool
    _ended: bool
    _begun: Any
    _carry: list[Sample]
    _carried: int
    _kept: tuple[list[Sample], int] | None
    _filling: tuple[int, int] | None
    _listed: tuple[Any, ...]
    _described: dict[str, Any] | None
    _digest: list[int] | None

    def _require_open(self) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        """Go back to where a batch began that was interrupted."""
        raise NotImplementedError

    def _restore(self, epoch: int, samples: int, order: list[Any] | None) -> None:
        """Go to a place in an epoch's order."""
        raise NotImplementedError

    def _remake(self, sample: Sample) -> Sample:
        """Fetch, decode and augment one sample, outside of the epochs."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return where the iterator is, after the last batch handed out; JSON can hold it.

        Returns
        -------
        dict
            ``version``; ``kind``, the class's name; ``epoch``; ``samples``, those taken from the
            epoch's order; ``ended``; ``carried``, those carried into the epoch; ``order``, the keys
            in the epoch's order where shuffling cannot repeat it (None otherwise); ``carry``, what
            a roll-over keeps; ``pixels``, data_shape and augmenters, which may differ where it is
            loaded and are then named in the log; ``source``, a fingerprint of keys and options

        Notes
        -----
        The global generators are not in it: their state belongs to the program. With an int as
        ``rng``, a restored iterator gives the same batches that the saved one would have given;
        without it, the same samples, augmented with other numbers.
        """
        with self._turn:
            if not self._closed:
                self._settle()
            return self._state()

    def _state(self) -> dict[str, Any]:
        kept, pad = self._kept or ([], 0)
        made = {
            "version": _VERSION,
            "kind": type(self).__name__,
            "epoch": self.epoch,
            "samples": self.cur,
            "ended": self._ended,
            "carried": self._carried,
            "order": self._drawn_order(),
            "carry": [_place(sample) for sample in self._carry],
            "pixels": self._pixels(),
            "source": self._fingerprint(),
        }
        if self._kept or self._filling:
            made["kept"] = [_place(sample) for sample in kept]
            made["kept_pad"], made["filling"] = pad, self._filling
        return made

    def _pixels(self) -> dict[str, Any]:
        """Return what makes the pixels, for the log of who loads a state."""
        if self._described is None:
            described = [_described(aug) for aug in self.auglist]
            self._described = {"data_shape": list(self.data_shape), "auglist": described}
        return self._described

    def _drawn_order(self) -> tuple[Any, ...] | None:
        """Return the epoch's order where shuffling cannot repeat it; a copy made once an epoch."""
        if not self.shuffle or self._seed is not None or self.seq is None:
            return None
        places = some(len(self.seq))  # a subclass may have changed it since
        if len(self._listed) != len(self.seq) or any(
            self._listed[place] != self.seq[place] for place in places
        ):
            self._listed = tuple(self.seq)
        return self._listed

    def _fingerprint(self) -> dict[str, Any]:
        """Return what must be equal in the iterator that loads a state."""
        if self._digest is None:
            self._digest = self._source.digest()
        return {
            "batch_size": self.batch_size,
            "num_parts": self.num_parts,
            "part_index": self.part_index,
            **self._options_of_order(),
            "digest": self._digest,
        }

    def _options_of_order(self) -> dict[str, Any]:
        return {
            "keys": None if self._base is None else len(self._base),
            "shuffle": bool(self.shuffle),
            "seed": self._seed,
            "last_batch_handle": self.last_batch_handle,
        }

    def _first_fingerprint(self) -> dict[str, Any]:
        """Return what states of the first version have as their source."""
        keys = self._base
        crc = None if keys is None else zlib.crc32(repr(keys).encode())
        return {**self._options_of_order(), "crc": crc}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Move to where another iterator of the same files and options was.

        Raises
        ------
        StateError          the state lacks a field, or is of other files or options; names the
                            field and both values
        """
        self._require_open()
        with self._turn:
            self._begun, self._pid = None, os.getpid()
            self._load(state)

    def _load(self, state: dict[str, Any]) -> None:
        if not isinstance(state, dict) or not state.keys() >= _FIELDS:
            lacking = _FIELDS - state.keys() if isinstance(state, dict) else type(state).__name__
            raise StateError(f"not a state of an ImageIter: it lacks {lacking}")
        first = state["version"] == 1
        if not first:
            _require("version", state["version"], _VERSION)
        _require("kind", state["kind"], type(self).__name__)
        if not isinstance(state["source"], dict):
            raise StateError(f"state: source: expected a dict, found {state['source']!r}")
        for field, own in (self._first_fingerprint() if first else self._fingerprint()).items():
            _require(f"source.{field}", state["source"].get(field), own)
        most = FAR if self.seq is None else len(self.seq)
        epoch, samples = whole(state, "epoch"), whole(state, "samples", most)
        ended, carried = flag(state, "ended"), 0
        if not first or "carried" in state:
            carried = whole(state, "carried", self.batch_size - 1)
        carry = [
            self._saved_sample(entry, f"carry[{number}].")
            for number, entry in enumerate(items(state, "carry", self.batch_size - 1))
        ]
        kept = (
            [
                self._saved_sample(entry, f"kept[{number}].")
                for number, entry in enumerate(items(state, "kept", self.batch_size - 1))
            ]
            if "kept" in state
            else []
        )
        pad = whole(state, "kept_pad", self.batch_size) if kept else 0
        filling = self._saved_filling(state.get("filling"), most)
        order = self._saved_order(state["order"])
        changes = pixel_changes(state, self._pixels())
        made = [self._remake(sample) for sample in carry]
        rows = [self._remake(sample) for sample in kept]
        self._restore(epoch, samples, order)
        self._carry, self._carried, self._ended = made, carried, ended
        self._kept, self._filling = (rows, pad) if rows else None, filling
        say_changes(changes)

    def _saved_filling(self, filling: Any, most: int) -> tuple[int, int] | None:
        """Return how an epoch's last batch is being filled."""
        if filling is None:
            return None
        if not isinstance(filling, (list, tuple)) or len(filling) != 2:
            raise StateError(f"state: filling: expected two numbers, found {filling!r}")
        named = {"filling[0]": filling[0], "filling[1]": filling[1]}
        return whole(named, "filling[0]", most), whole(named, "filling[1]", self.batch_size)

    def _saved_sample(self, entry: Any, inside: str) -> Sample:
        """Return a sample that a roll-over kept, not yet fetched."""
        if not isinstance(entry, dict) or entry.keys() != {"key", "position", "epoch"}:
            raise StateError(
                f"state: {inside[:-1]}: expected key, position and epoch, found {entry!r}"
            )
        key = entry["key"]
        known = key is None if self._base is None else self._source.has(key)
        if not known:
            raise StateError(f"state: {inside}key: {key!r} is not a key of this iterator")
        most = FAR if self._base is None else len(self._base)
        position = whole(entry, "position", most, inside=inside)
        return Sample(key, position, whole(entry, "epoch", inside=inside))

    def _saved_order(self, order: Any) -> list[Any] | None:
        """Return a state's order, every key once; None where shuffling repeats it."""
        if (order is not None) != (self.shuffle and self._seed is None):
            raise StateError("state: order: expected one where, and only where, no seed repeats it")
        if order is None:
            return None
        if not isinstance(order, (list, tuple)) or (
            sorted(map(str, order)) != sorted(map(str, self._base or ()))
        ):
            raise StateError("order: the state's keys are not this iterator's")
        return list(order)


def _described(aug: Any) -> str:
    """Return an augmenter's name and arguments; of a plain callable, its type's name."""
    dumps = getattr(aug, "dumps", None)
    return type(aug).__name__ if dumps is None else str(dumps())


def _place(sample: Sample) -> dict[str, Any]:
    """Return where a sample comes from, as a state holds it."""
    return {"key": sample.key, "position": sample.position, "epoch": sample.epoch}


def _require(field: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise StateError(
            f"{field} is {theirs!r} in the state and {ours!r} here: a state fits the files and "
            "options it was saved with"
        )
