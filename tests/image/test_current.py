"""The getters of ImageIter follow next(), which MXNet leaves out."""

import pytest

import gpuio as mx
from support import making


@pytest.fixture
def it(tmp_path):
    rec, idx = making.write_rec(tmp_path, [making.flat(20 * i) for i in range(3)])
    with mx.image.ImageIter(2, (3, 8, 8), path_imgrec=rec, path_imgidx=idx) as it:
        yield it


def parts(it):
    return it.getdata(), it.getlabel(), it.getpad(), it.getindex()


def test_there_is_no_part_before_the_first_batch_and_after_the_end(it):
    assert parts(it) == (None, None, None, None)
    assert [it.iter_next() for _ in range(4)] == [True, True, False, False]
    assert parts(it) == (None, None, None, None)


def test_the_parts_are_those_of_the_batch_that_next_returned(it):
    next(it)
    batch = next(it)
    assert parts(it) == (batch.data, batch.label, 1, None)


def test_a_next_of_a_users_own_is_the_one_that_counts(it):
    class Mine(type(it)):
        def next(self):
            batch = super().next()
            return mx.io.DataBatch(batch.data, batch.label, pad=7)

    it.__class__ = Mine
    assert it.iter_next()
    assert it.getpad() == 7
