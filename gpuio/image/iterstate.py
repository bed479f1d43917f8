"""Where an ImageIter is, as a dictionary that JSON can hold.

A state has: ``version``; ``kind``, the class's name; ``epoch``; ``samples``, those taken from the
epoch's order; ``ended``; ``carried``, those carried into the epoch; ``order``, the keys in the
epoch's order where shuffling cannot repeat it (None otherwise); ``carry``, what a roll-over keeps;
``source``, a fingerprint of keys and options.

The global generators are not in it: their state is the program's. With ``rng`` an int a restored
iterator gives the very batches that the saved one would have given; without, the very samples.
"""

# ruff: noqa: SLF001 -- this is SampleIter's own state, kept in a file of its own

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from gpuio.backend.pool import HostPool
from gpuio.errors import StateError
from gpuio.image.source import Sample

if TYPE_CHECKING:
    from gpuio.image.sampleiter import SampleIter

__all__ = ["freeze", "load", "save", "thaw"]

_VERSION = 1


def fingerprint(it: SampleIter) -> dict[str, Any]:
    """Return what must be equal in the iterator that loads a state."""
    keys = it._base
    return {
        "keys": None if keys is None else len(keys),
        "crc": None if keys is None else zlib.crc32(repr(keys).encode()),
        "shuffle": bool(it.shuffle),
        "seed": it._seed,
        "last_batch_handle": it.last_batch_handle,
    }


def save(it: SampleIter) -> dict[str, Any]:
    """Return the state after the last batch handed out."""
    listed = it.shuffle and it._seed is None and it.seq is not None
    return {
        "version": _VERSION,
        "kind": type(it).__name__,
        "epoch": it.epoch,
        "samples": it.cur,
        "ended": it._ended,
        "carried": it._carried,
        "order": list(it.seq) if listed and it.seq is not None else None,
        "carry": [
            {"key": sample.key, "position": sample.position, "epoch": sample.epoch}
            for sample in it._carry
        ],
        "source": fingerprint(it),
    }


def load(it: SampleIter, state: dict[str, Any]) -> None:
    """Put an iterator where a state says.

    Raises
    ------
    StateError          a field is missing, or differs from this iterator's
    """
    try:
        version, kind, source = state["version"], state["kind"], state["source"]
        epoch, samples, ended = int(state["epoch"]), int(state["samples"]), bool(state["ended"])
        order, carry = state["order"], [dict(entry) for entry in state["carry"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"not a state of an ImageIter: {error!r}") from error
    _require("version", version, _VERSION)
    _require("kind", kind, type(it).__name__)
    for field, own in fingerprint(it).items():
        _require(f"source.{field}", source.get(field), own)
    keys = it._base
    if order is not None and (keys is None or sorted(map(str, order)) != sorted(map(str, keys))):
        raise StateError("order: the state's keys are not this iterator's")
    it._restore(epoch, samples, order)
    it._carry = [it._remake(Sample(**entry)) for entry in carry]
    it._carried, it._ended = int(state.get("carried", 0)), ended


# made anew where an iterator is unpickled
_OWNED = ("_carry", "_chain", "_current", "_feed", "_pool", "current_batch", "imgrec")


def freeze(it: SampleIter) -> dict[str, Any]:
    """Return an iterator's attributes for pickling: without threads, files and memory of batches.

    A subclass's own attributes are among them.
    """
    kept = {name: value for name, value in it.__dict__.items() if name not in _OWNED}
    return {"attributes": kept, "place": save(it)}


def thaw(it: SampleIter, frozen: dict[str, Any]) -> None:
    """Make an iterator of what `freeze` returned: open its files and go to its place."""
    it.__dict__.update(frozen["attributes"])
    it._chain = it._current = it._feed = None
    it._carry, it._pool = [], HostPool(keep=2)
    it.__dict__["imgrec"] = it._source.imgrec
    load(it, frozen["place"])


def _require(field: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise StateError(
            f"{field} is {theirs!r} in the state and {ours!r} here: a state fits the files and "
            "options it was saved with"
        )
