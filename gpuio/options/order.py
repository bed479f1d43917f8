"""Options about the order of the records."""

from __future__ import annotations

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["OrderOptions"]

_OFF_AT_ZERO = "0 switches it off."


@attrs.frozen(kw_only=True, slots=False)
class OrderOptions:
    """Options of all record iterators about the order."""

    shuffle: bool = option(
        False,
        convert.switch,
        "Shuffle the records of each epoch: all of them with path_imgidx, within chunks of 8 MiB "
        "without.",
    )
    seed: int = option(
        0,
        convert.integer(),
        "Seed of the order; without seed_aug also of the augmentation.",
        differs="MXNet's augmentation ignores it and is not repeatable with more than one thread.",
    )
    shuffle_chunk_size: int = option(
        0,
        convert.integer(0),
        "Shuffle chunks of about this size instead of records, without path_imgidx only. "
        + _OFF_AT_ZERO,
        unit="MiB",
    )
    shuffle_chunk_seed: int = option(0, convert.integer(), "Seed of the order of the chunks.")
    round_batch: bool = option(
        True,
        convert.switch,
        "Complete the last batch of an epoch with records of the next one (`last_batch='borrow'`); "
        "False pads it with zeros (`last_batch='pad'`).",
        differs="With False MXNet leaves stale memory in the padded rows and reports pad 0; here "
        "they are zeros and pad is their number.",
    )
    last_batch: str | None = option(
        None,
        convert.optional(convert.choice("borrow", "pad", "partial", "discard")),
        "What an epoch's short last batch becomes: 'borrow' completes it with records of the next "
        "epoch, which then starts after them; 'pad' with zeros; 'partial' leaves it shorter; "
        "'discard' drops it. None follows round_batch.",
        ours=True,
    )
