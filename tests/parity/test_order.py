"""The order of records against a live MXNet 1.9.1, for options drawn at random."""

import random

import numpy as np
import pytest

from gpuio.errors import OptionError
from gpuio.order.epochs import Order
from gpuio.recordio.index import open_table
from parity.oracle import OracleError
from support.tables import SHORTEST, epochs, options, write_table

pytestmark = pytest.mark.mxnet

COUNTS = (1, 2, 3, 7, 10, 33, 100)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Per number of records: path_imgrec and path_imgidx; and two files of several chunks."""
    folder = tmp_path_factory.mktemp("ordered")
    draw = random.Random(3)
    made = {
        count: write_table(
            folder, f"n{count}_", [4 * draw.randrange(SHORTEST // 4, 220) for _ in range(count)]
        )
        for count in COUNTS
    }
    lengths = [[4 * draw.randrange(50, 200_000) for _ in range(20)] for _ in range(2)]
    return made | {"chunks": write_table(folder, "chunks", *lengths)}


def drawn(seed):
    """Return the files, whether they are indexed, and options."""
    draw = random.Random(seed)
    which = draw.choice([*COUNTS, "chunks"])
    count = 40 if which == "chunks" else which
    parts = draw.choice([1, 1, 2, 3]) if count > 6 else 1
    given = {
        "batch_size": draw.randrange(1, min(count + 3, 20)),
        "shuffle": draw.random() < 0.6,
        "seed": draw.randrange(-5, 1000),
        "num_parts": parts,
        "part_index": draw.randrange(parts),
    }
    indexed = which != "chunks" and draw.random() < 0.5  # MXNet takes one index file only
    if not indexed and draw.random() < 0.4:
        given |= {"shuffle_chunk_size": 4, "shuffle_chunk_seed": draw.randrange(50)}
    given["round_batch"] = draw.random() < 0.6
    return which, indexed, given


def answer(mxnet, ask):
    """Return MXNet's epochs; None where it refuses a batch of more than one further pass."""
    try:
        return mxnet.iterate(epochs=3, **ask)
    except OracleError as error:
        if "must be bigger than the batch size" not in str(error):
            raise
        return None


@pytest.mark.parametrize("seed", range(40))
def test_records_come_in_mxnets_order(mxnet, files, seed):
    which, indexed, given = drawn(seed)
    rec, idx = files[which]
    paths = {"path_imgrec": rec} | ({"path_imgidx": idx} if indexed else {})
    order = Order(open_table(rec.split(";"), [idx] if indexed else []), options(**given, **paths))
    ask = {"data_shape": [3, 1, 1], "preprocess_threads": 1, "verbose": False, **given, **paths}
    theirs = answer(mxnet, ask)
    if theirs is None:
        with pytest.raises(OptionError, match="must be bigger than the batch size"):
            epochs(order, 3)
        return
    made = epochs(order, 3)
    assert [len(epoch) for epoch in made] == theirs.counts.tolist()
    rows = np.array([batch.position for epoch in made for batch in epoch])
    labels = theirs.label.reshape(rows.shape)
    if not given["round_batch"]:
        labels[rows < 0] = -1  # MXNet leaves stale memory there
    assert rows.tolist() == labels.tolist()
