"""A batch costs the same, however many records there are: nobody looks at all of them for it."""

import numpy as np
import pytest

import gpuio as mx
from support import making

RECORDS, BATCH = 600, 4


class Watched(np.ndarray):
    """An array that notes how many elements are read of it at once; its parts are plain arrays."""

    def __array_finalize__(self, made_of):
        self.most = getattr(made_of, "most", None)

    def __getitem__(self, rows):
        found = np.asarray(self)[rows]
        self.most.append(np.size(found))
        return found

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        self.most.append(self.size)
        plain = [np.asarray(one) if isinstance(one, Watched) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def __array_function__(self, function, kinds, inputs, options):
        self.most.append(self.size)
        return super().__array_function__(function, kinds, inputs, options)


def watch(table):
    """Watch a table's arrays; return the list of what is read of them from now on."""
    most = []
    for name in ("file", "offset", "length"):
        watched = getattr(table, name).view(Watched)
        watched.most = most
        object.__setattr__(table, name, watched)
    return most


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    one = making.jpeg(making.photo(20, 24, 1))
    rec, idx = making.write_rec(tmp_path_factory.mktemp("large"), [one] * RECORDS)[:2]
    return {"path_imgrec": rec, "path_imgidx": idx}


WAYS = {
    "as stored": {},
    "shuffled": {"shuffle": True},
    "in blocks": {"shuffle": "block", "shuffle_block_size": 0.001, "shuffle_pool_size": 0.002},
    "a part": {"shuffle": True, "num_parts": 2, "part_index": 1},
    "equal parts": {"shuffle": True, "num_parts": 2, "part_index": 1, "shard": "even"},
    "kept": {"shuffle": True, "cache": "host"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_reads_no_more_of_the_table_than_its_records(files, way):
    options = {"data_shape": (3, 20, 20), "batch_size": BATCH, "ctx": "cpu", "verbose": False}
    options |= files | WAYS[way]
    with mx.io.ImageRecordIter(**options) as it:
        it.next()
        it._machine().pipeline.stop()
        most = watch(it._machine().pipeline.reader._table)
        for _ in range(20):
            it.next()
        assert most  # they are those that are read
        assert max(most) < RECORDS // 2
