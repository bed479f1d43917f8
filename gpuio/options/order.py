"""Options about the order of the records."""

from __future__ import annotations

import attrs

from gpuio.options import convert
from gpuio.options.declare import option

__all__ = ["BLOCK_MIB", "POOL_MIB", "OrderOptions"]

BLOCK_MIB, POOL_MIB = 4.0, 256.0  # defaults of shuffle='block'
_OFF_AT_ZERO = "0 switches it off."


@attrs.frozen(kw_only=True, slots=False)
class OrderOptions:
    """Options of all record iterators about the order."""

    shuffle: bool | str = option(
        False,
        convert.switch_or("full", "block"),
        "Shuffle the records of each epoch. True is MXNet's order: all records are shuffled with "
        "path_imgidx, those within chunks of 8 MiB without. 'full' shuffles all of them, with or "
        "without an index; 'block' shuffles blocks, which are read whole, and the records of a "
        "pool of blocks. Any epoch of these two is found at once.",
        differs="'full' and 'block' are ours.",
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
    shard: str = option(
        "mxnet",
        convert.choice("mxnet", "even"),
        "How records are divided among num_parts: 'mxnet', each part has records of its own, the "
        "same in every epoch; parts may differ in their number of batches. 'even', all parts share "
        "one sequence per epoch, each takes its share of each step, and all have the same number "
        "of batches; where a step has no row for a part, that part's batch is padding. A saved "
        "state then fits any number of parts and any batch size.",
        ours=True,
    )
    shuffle_block_size: float = option(
        BLOCK_MIB,
        convert.number(0.0),
        "Size of a block of shuffle='block', about: a block has the same number of records "
        "everywhere.",
        unit="MiB",
        ours=True,
    )
    shuffle_pool_size: float = option(
        POOL_MIB,
        convert.number(0.0),
        "Size of the pool in which shuffle='block' mixes records, about. It decides how well they "
        "are mixed. The pool is held in memory; with shard='even' each part holds its share of it.",
        unit="MiB",
        ours=True,
    )
