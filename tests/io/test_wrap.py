"""ResizeIter and PrefetchingIter, and what happens when the iterators inside misbehave."""

import gc
import threading

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import ClosedError, StateError
from support.making import flat, write_rec

PATIENCE_S = 60


def arrays(count=10, **options):
    return mx.io.NDArrayIter(np.arange(count), np.arange(count), **{"batch_size": 3, **options})


def rows(it):
    return [(b.data[0].asnumpy().astype(int).tolist(), b.pad) for b in it]


def ours():
    return [t for t in threading.enumerate() if t.name.startswith("gpuio-fetch")]


class Failing(mx.io.DataIter):
    """Counts to `count`, failing once at batch `at`."""

    def __init__(self, count, at, error):
        super().__init__(1)
        self.provide_data, self.provide_label = [mx.io.DataDesc("data", (1,))], []
        self.count, self.at, self.error = count, at, error
        self.reset()

    def reset(self):
        self.number = -1

    def next(self):
        self.number += 1
        if self.number == self.at:
            raise self.error
        if self.number >= self.count:
            raise StopIteration
        return mx.io.DataBatch([mx.nd.array([self.number])], [], 0)


class Buckets(mx.io.DataIter):
    """Sentences by length, as MXNet's BucketSentenceIter: every batch has a shape of its own."""

    default_bucket_key = 4

    def __init__(self, name="data"):
        super().__init__(2)
        self.name = name
        self.provide_data = [mx.io.DataDesc(name, (2, 4))]
        self.provide_label = [mx.io.DataDesc("label", (2, 4))]
        self.reset()

    def reset(self):
        self.lengths = iter((3, 4, 2))

    def next(self):
        shape = (2, next(self.lengths))
        described = mx.io.DataDesc(self.name, shape), mx.io.DataDesc("label", shape)
        data, label = ([mx.nd.zeros(shape)], [mx.nd.ones(shape)])
        return mx.io.DataBatch(data, label, 0, None, shape[1], *([one] for one in described))


def test_prefetching_keeps_each_batchs_bucket_and_its_shapes():
    with mx.io.PrefetchingIter(Buckets()) as it:
        assert it.default_bucket_key == 4
        seen = [(b.bucket_key, b.provide_data, b.provide_label, b.data[0].shape) for b in it]
    assert seen == [(n, [("data", (2, n))], [("label", (2, n))], (2, n)) for n in (3, 4, 2)]


def test_prefetching_joins_and_renames_the_shapes_of_each_batch():
    plain = mx.io.NDArrayIter(np.zeros((6, 5)), batch_size=2)
    renames = [{"data": "words"}, {"data": "more"}]
    with mx.io.PrefetchingIter([Buckets(), plain], rename_data=renames) as it:
        batch = it.next()
    assert batch.bucket_key == 3
    assert batch.provide_data == [("words", (2, 3)), ("more", (2, 5))]
    assert [d.name for d in batch.provide_data] == ["words", "more"]
    with mx.io.PrefetchingIter(arrays()) as it:
        assert not hasattr(it, "default_bucket_key")


def test_prefetching_keeps_what_an_image_iterator_says_of_its_rows(tmp_path):
    rec, idx = write_rec(tmp_path, [flat(9)] * 2, [[1, 2], [3]])
    options = {"data_shape": (3, 8, 8), "batch_size": 2, "label_width": "ragged", "ctx": "cpu"}
    inner = mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, verbose=False, **options)
    with mx.io.PrefetchingIter(inner) as it:
        batch = it.next()
    assert batch.plan["src_h"].tolist() == [8, 8]
    assert batch.label_count.tolist() == [2, 1]


def test_resize_cuts_and_repeats():
    assert rows(mx.io.ResizeIter(arrays(), 2)) == [([0, 1, 2], 0), ([3, 4, 5], 0)]
    it = mx.io.ResizeIter(arrays(), 6)
    assert [pad for _, pad in rows(it)] == [0, 0, 0, 2, 0, 0]
    assert len(it) == 6


def test_resize_may_go_on_where_the_last_epoch_stopped():
    it = mx.io.ResizeIter(arrays(), 2, reset_internal=False)
    epochs = []
    for _ in range(3):
        epochs.append([row[0] for row, _ in rows(it)])
        it.reset()
    assert epochs == [[0, 3], [6, 9], [0, 3]]


def test_resize_copies_what_the_inner_iterator_provides():
    inner = arrays()
    inner.default_bucket_key = 7
    it = mx.io.ResizeIter(inner, 2)
    assert it.provide_data == inner.provide_data
    assert it.provide_label == inner.provide_label
    assert (it.batch_size, it.default_bucket_key, it.cur) == (3, 7, 0)
    assert not hasattr(mx.io.ResizeIter(arrays(), 2), "default_bucket_key")


def test_resize_over_nothing_ends():
    with pytest.raises(StopIteration):
        next(mx.io.ResizeIter(arrays(2, last_batch_handle="discard"), 5))


def test_resize_closes_the_inner_iterator():
    inner = mx.io.PrefetchingIter(arrays())
    mx.io.ResizeIter(inner, 2).close()
    with pytest.raises(ClosedError):
        next(inner)


def test_prefetching_gives_what_the_iterator_gives():
    with mx.io.PrefetchingIter(arrays()) as it:
        for _ in range(3):
            assert rows(it) == rows(arrays())
            it.reset()


def test_prefetching_joins_several_iterators():
    one, two = arrays(), arrays(data_name="more", label_name="lost")
    with mx.io.PrefetchingIter([one, two]) as it:
        assert [d.name for d in it.provide_data + it.provide_label] == [
            "data",
            "more",
            "softmax_label",
            "lost",
        ]
        batch = next(it)
        assert (len(batch.data), len(batch.label), batch.pad) == (2, 2, 0)
        assert batch.provide_data == it.provide_data
        assert batch.provide_label == it.provide_label
        assert it.batch_size == 3


def test_prefetching_renames():
    with mx.io.PrefetchingIter(
        [arrays(), arrays()],
        rename_data=[{"data": "a"}, {"data": "b"}],
        rename_label=[{"softmax_label": "c"}, {"softmax_label": "d"}],
    ) as it:
        assert [d.name for d in it.provide_data + it.provide_label] == ["a", "b", "c", "d"]


def test_prefetching_wants_a_new_name_for_every_name():
    with pytest.raises(KeyError):
        mx.io.PrefetchingIter(arrays(), rename_data=[{"other": "a"}])
    with pytest.raises(AssertionError, match="one dict for each"):
        mx.io.PrefetchingIter([arrays(), arrays()], rename_data=[{"data": "a"}])
    with pytest.raises(AssertionError, match="at least one"):
        mx.io.PrefetchingIter([])
    assert ours() == []


def test_a_plain_tuple_becomes_a_description_under_its_old_name():
    inner = arrays()
    inner.__class__ = type("Plain", (mx.io.NDArrayIter,), {"provide_data": [("data", (3,))]})
    with mx.io.PrefetchingIter(inner, rename_data=[{"data": "a"}]) as it:
        assert it.provide_data == [("data", (3,))]
        assert isinstance(it.provide_data[0], mx.io.DataDesc)


@pytest.mark.parametrize("counts", [(9, 6), (6, 9)])
def test_iterators_of_different_lengths_give_an_assertion_and_no_hang(counts):
    it = mx.io.PrefetchingIter([arrays(count) for count in counts])
    next(it)
    next(it)
    with pytest.raises(AssertionError, match="Number of entry mismatches between iterators"):
        next(it)
    assert list(it) == []
    it.reset()
    assert next(it).pad == 0
    it.close()


def test_iterators_that_disagree_about_pad_give_an_assertion():
    it = mx.io.PrefetchingIter([arrays(4), arrays(5)])
    next(it)
    with pytest.raises(AssertionError, match="Number of entry mismatches"):
        next(it)
    it.close()


@pytest.mark.parametrize("depth", [1, 4])
def test_an_error_comes_at_its_batch_and_reset_starts_again(depth):
    it = mx.io.PrefetchingIter(Failing(9, 3, OSError("disk")), depth=depth)
    for _ in range(2):
        assert [int(next(it).data[0][0]) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="disk"):
            next(it)
        assert list(it) == []
        assert ours() == []
        it.reset()
    it.close()


def test_no_thread_is_left_at_the_end_after_close_and_after_a_drop():
    it = mx.io.PrefetchingIter(arrays())
    assert len(ours()) == 1
    list(it)
    assert ours() == []
    it.reset()
    assert len(ours()) == 1
    it.close()
    assert ours() == []
    it = mx.io.PrefetchingIter(arrays())
    next(it)
    del it
    gc.collect()
    for thread in ours():
        thread.join(PATIENCE_S)
    assert ours() == []


def test_after_close_everything_says_so():
    it = mx.io.PrefetchingIter(arrays())
    state = it.state_dict()
    it.close()
    for call in (it.next, it.reset, it.state_dict, lambda: it.load_state_dict(state)):
        with pytest.raises(ClosedError):
            call()


def test_no_more_than_depth_batches_are_fetched_ahead():
    inner = Failing(100, -1, None)
    fetched = threading.Semaphore(0)
    plain = inner.next

    def counting():
        batch = plain()
        fetched.release()
        return batch

    inner.next = counting
    with mx.io.PrefetchingIter(inner, depth=3) as it:
        for _ in range(3):
            assert fetched.acquire(timeout=PATIENCE_S)
        assert not fetched.acquire(timeout=0.02)
        next(it)
        assert fetched.acquire(timeout=PATIENCE_S)
        assert not fetched.acquire(timeout=0.02)


def test_a_state_is_of_the_batch_handed_out_not_of_those_ahead():
    with mx.io.PrefetchingIter(arrays(), depth=4) as it, arrays() as inner:
        next(it)
        next(inner)
        assert it.state_dict()["inner"] == [inner.state_dict()]


def test_a_state_of_another_number_of_iterators_is_refused():
    one, two = mx.io.PrefetchingIter(arrays()), mx.io.PrefetchingIter([arrays(), arrays()])
    with one, two, pytest.raises(StateError, match="iterators: saved 1, here 2"):
        two.load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    "make", [lambda: mx.io.PrefetchingIter(arrays()), lambda: mx.io.ResizeIter(arrays(), 2)]
)
def test_the_getters_before_the_first_batch_say_so(make):
    with make() as it:
        for get in (it.getdata, it.getlabel, it.getpad, it.getindex):
            with pytest.raises(AttributeError, match="no batch yet"):
                get()


def test_a_state_that_the_second_iterator_refuses_moves_neither():
    def make():
        return mx.io.PrefetchingIter(
            [mx.io.NDArrayIter(np.arange(8), batch_size=2, label_name=name) for name in "ab"]
        )

    with make() as it, make() as whole:
        expected = [batch.data[0].tolist() for batch in whole]
        assert next(it).data[0].tolist() == expected[0]
        state = it.state_dict()
        wrong = {**state, "inner": [{**state["inner"][0], "cursor": 4}, {}]}
        with pytest.raises(StateError):
            it.load_state_dict(wrong)
        assert [batch.data[0].tolist() for batch in it] == expected[1:]


class Odd(mx.io.DataIter):
    """An iterator of the user's whose `next` or getter does what it should not."""

    provide_data = provide_label = (mx.io.DataDesc("data", (2, 3)),)

    def __init__(self, what):
        super().__init__(2)
        self.what = what

    def next(self):
        return None if self.what == "None" else super().next()

    def iter_next(self):
        return self.what != "empty"

    def getdata(self):
        return next(iter(()))


@pytest.mark.parametrize("wrap", [mx.io.PrefetchingIter, lambda inner: mx.io.ResizeIter(inner, 3)])
def test_none_and_stop_iteration_of_the_users_code_are_not_the_epochs_end(wrap):
    with wrap(Odd("None")) as it, pytest.raises(TypeError, match=r"Odd.next\(\) returned None"):
        it.next()
    with wrap(Odd("getter")) as it, pytest.raises(RuntimeError, match="getter of Odd raised Stop"):
        it.next()


def test_an_empty_inner_iterator_ends_iter_next_too():
    it = mx.io.ResizeIter(Odd("empty"), 3)
    assert not it.iter_next()
