"""Loader: epochs, early ends, padding and state, whatever the framework."""

import os
import pickle
import sys
import types

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.loader import Loader, check_dense, check_whole
from gpuio.errors import GpuioError, OptionError, RecordError
from gpuio.io.base import DataIter
from support import making
from support.feeds import Counting, value


def values(loader):
    return [value(data) for data, _ in loader]


def test_every_loop_is_an_epoch_and_the_length_is_exact():
    loader = Loader(Counting(), np.asarray)
    assert len(loader) == 4
    assert values(loader) == [0, 1, 2, 3]
    assert values(loader) == [10, 11, 12, 13]


def test_a_loop_left_early_is_followed_by_a_whole_epoch():
    loader = Loader(Counting(), np.asarray)
    for data, _ in loader:
        if value(data) == 1:
            break
    assert values(loader) == [10, 11, 12, 13]


def test_padding_rows_are_kept_unless_cut():
    kept = [len(data) for data, _ in Loader(Counting(), np.asarray)]
    cut = [(len(data), len(label)) for data, label in Loader(Counting(), np.asarray, cut_pad=True)]
    assert kept == [3, 3, 3, 3]
    assert cut == [(3, 3), (3, 3), (3, 3), (2, 2)]


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_loop_after_loading_a_state_continues_where_it_was_saved(stop):
    first = Loader(Counting(), np.asarray)
    seen = []
    state = first.state_dict()
    for data, _ in first:
        if len(seen) == stop:
            break
        seen.append(value(data))
        state = first.state_dict()
    again = Loader(Counting(), np.asarray)
    again.load_state_dict(state)
    assert seen + values(again) == [0, 1, 2, 3]
    assert values(again) == [10, 11, 12, 13]


def test_a_state_saved_at_the_end_of_an_epoch_continues_with_the_next():
    first = Loader(Counting(), np.asarray)
    values(first)
    again = Loader(Counting(), np.asarray)
    again.load_state_dict(first.state_dict())
    assert values(again) == [10, 11, 12, 13]


def test_an_iterator_of_unknown_length_has_no_len():
    with pytest.raises(TypeError):
        len(Loader(DataIter(4), np.asarray))


def iterators(folder):
    """Return makers of iterators of all kinds over ten rows or records, in batches of four."""
    rec, idx = making.write_rec(folder, [making.flat(20 * i) for i in range(10)])
    record = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 4}
    csv = folder / "data.csv"
    csv.write_text("".join(f"{i}\n" for i in range(10)))

    def arrays(**options):
        return mx.io.NDArrayIter(np.arange(10), np.arange(10), batch_size=4, **options)

    return {
        "record": lambda: mx.io.ImageRecordIter(**record, shuffle=True, ctx="cpu", verbose=False),
        "image": lambda: mx.image.ImageIter(**record, shuffle=True, rng=3),
        "array": lambda: arrays(shuffle=True, seed=3),
        "roll_over": lambda: arrays(last_batch_handle="roll_over"),
        "csv": lambda: mx.io.CSVIter(data_csv=str(csv), data_shape=(1,), batch_size=4),
        "resize": lambda: mx.io.ResizeIter(arrays(), 2),
        "prefetch": lambda: mx.io.PrefetchingIter(arrays()),
    }


@pytest.mark.parametrize(
    "kind", ["record", "image", "array", "roll_over", "csv", "resize", "prefetch"]
)
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_loop_after_any_state_of_any_iterator_goes_on_as_if_nothing_had_been(
    kind, epoch, tmp_path
):
    make = iterators(tmp_path)[kind]

    def rows(loop):
        return [np.asarray(arrays[0]).tolist() for arrays in loop]

    with make() as it:
        count = len(rows(Loader(it, np.asarray)))
    for stop in range(count + 1):
        with make() as it, make() as other:
            loader, again = Loader(it, np.asarray), Loader(other, np.asarray)
            for _ in range(epoch):
                rows(loader)
            loop = iter(loader)
            for _ in range(stop):
                next(loop, None)
            state = loader.state_dict()
            rest = rows(loop)
            again.load_state_dict(state)
            following = rows(loader)
            if rest:
                assert rows(again) == rest
            assert rows(again) == following


def test_a_sparse_batch_is_refused_in_words(tmp_path):
    path = tmp_path / "data.svm"
    path.write_text("1 0:1\n0 1:2\n")
    with mx.io.LibSVMIter(data_libsvm=str(path), data_shape=(2,), batch_size=2) as it:
        batch = next(it)
    with pytest.raises(TypeError, match=r"'csr' cannot be handed over"):
        check_dense(batch.data[0])
    check_dense(batch.label[0])


def test_iter_alone_moves_nothing():
    it = Counting()
    loader = Loader(it, np.asarray)
    for _ in range(3):
        iter(loader)
    assert (it.epoch, it.number) == (0, 0)
    assert values(loader) == [0, 1, 2, 3]
    for _ in range(3):
        iter(loader)
    assert (it.epoch, it.number) == (0, 4)
    assert values(loader) == [10, 11, 12, 13]


def test_a_loaded_state_survives_any_number_of_iter():
    first = Loader(Counting(), np.asarray)
    next(iter(first))
    again = Loader(Counting(), np.asarray)
    again.load_state_dict(first.state_dict())
    iter(again)
    iter(again)
    assert again.state_dict() == first.state_dict()
    assert values(again) == [1, 2, 3]


@pytest.mark.parametrize("loops", [zip, lambda a, b: ((x, y) for x in a for y in b)])
def test_of_two_loops_the_older_raises_at_its_next_step(loops):
    loader = Loader(Counting(), np.asarray)
    seen = []

    def run():
        for (one, _), (two, _) in loops(loader, loader):
            seen.append((value(one), value(two)))

    with pytest.raises(GpuioError, match="another one over the same loader has begun"):
        run()
    assert {one for one, _ in seen} == {0}
    assert [two for _, two in seen] == [10, 11, 12, 13][: len(seen)]


def test_a_loop_whose_place_was_taken_never_goes_on():
    loader = Loader(Counting(), np.asarray)
    older, newer = iter(loader), iter(loader)
    assert value(next(older)[0]) == 0
    assert value(next(newer)[0]) == 10
    for _ in range(2):
        with pytest.raises(GpuioError, match="this loop is over"):
            next(older)
    assert value(next(newer)[0]) == 11
    loader.load_state_dict({"epoch": 5, "samples": 3})
    with pytest.raises(GpuioError, match="a state was loaded"):
        next(newer)
    assert values(loader) == [51, 52, 53]


def test_a_finished_loop_stays_finished():
    loader = Loader(Counting(), np.asarray)
    loop = iter(loader)
    assert len(list(loop)) == 4
    assert values(loader) == [10, 11, 12, 13]
    assert next(loop, None) is None


def test_an_error_leaves_the_loop_where_it_was():
    class Fails(Counting):
        failed = False

        def next(self):
            if self.number == 1 and not self.failed:
                self.failed = True
                raise OSError("once")
            return super().next()

    loop = iter(Loader(Fails(), np.asarray))
    assert value(next(loop)[0]) == 0
    with pytest.raises(OSError, match="once"):
        next(loop)
    assert value(next(loop)[0]) == 1


def test_peek_shows_the_next_batch_and_costs_none():
    it = Counting()
    loader = Loader(it, np.asarray)
    start = loader.state_dict()
    assert value(loader.peek()[0]) == value(loader.peek()[0]) == 0
    assert loader.state_dict() == start
    loop = iter(loader)
    assert value(next(loop)[0]) == 0
    assert value(loader.peek()[0]) == 1
    assert [value(data) for data, _ in loop] == [1, 2, 3]
    assert value(loader.peek()[0]) == 10
    assert values(loader) == [10, 11, 12, 13]
    assert (it.epoch, it.number) == (1, 4)


def test_peek_at_the_end_of_a_loop_says_that_there_is_none():
    loader = Loader(Counting(), np.asarray)
    loop = iter(loader)
    for _ in range(4):
        next(loop)
    with pytest.raises(StopIteration):
        loader.peek()
    assert next(loop, None) is None
    assert values(loader) == [10, 11, 12, 13]


def test_peek_after_a_loop_left_early_is_at_the_next_epoch():
    loader = Loader(Counting(), np.asarray)
    for _ in loader:
        break
    assert value(loader.peek()[0]) == 10
    assert values(loader) == [10, 11, 12, 13]


@pytest.mark.parametrize("state", [{"epoch": 2, "samples": 6}, {"epoch": 1, "samples": 12}])
def test_peek_after_loading_shows_what_the_loop_begins_with(state):
    loader = Loader(Counting(), np.asarray)
    values(loader)
    loader.load_state_dict(state)
    shown = value(loader.peek()[0])
    assert loader.state_dict() == state
    assert values(loader)[0] == shown in (20, 22)


def test_set_epoch_of_the_epoch_that_comes_anyway_changes_nothing():
    it = Counting()
    loader = Loader(it, np.asarray)
    for epoch in range(3):
        loader.set_epoch(epoch)
        assert values(loader) == [10 * epoch + k for k in range(4)]
    assert it.epoch == 2


def test_set_epoch_goes_to_any_other_epoch():
    loader = Loader(Counting(), np.asarray)
    for epoch in (3, 0, 1, 1):
        loader.set_epoch(epoch)
        loader.peek()
        assert values(loader) == [10 * epoch + k for k in range(4)]
    loader.peek()
    loader.set_epoch(7)
    assert values(loader) == [70, 71, 72, 73]


def test_after_loading_the_state_decides_and_later_epochs_are_counted_from_it():
    loader = Loader(Counting(), np.asarray)
    loader.load_state_dict({"epoch": 6, "samples": 6})  # as a first pass for a mean image leaves it
    loader.set_epoch(5)
    assert values(loader) == [62, 63]
    loader.set_epoch(6)
    assert values(loader) == [70, 71, 72, 73]


def test_epochs_are_counted_from_where_the_iterator_stood():
    it = Counting()
    it.reset()
    loader = Loader(it, np.asarray)
    for epoch in range(2):
        loader.set_epoch(epoch)
        assert values(loader) == [10 * epoch + k for k in range(10, 14)]


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "2"])
def test_an_epoch_is_a_whole_number(wrong):
    with pytest.raises(OptionError, match="epoch="):
        Loader(Counting(), np.asarray).set_epoch(wrong)


def labels_of(loader):
    return [np.asarray(arrays[-1]).tolist() for arrays in loader]


@pytest.mark.parametrize("kind", ["record", "image", "array", "resize", "prefetch"])
def test_set_epoch_gives_the_batches_of_that_epoch(kind, tmp_path):
    make = iterators(tmp_path)[kind]

    with make() as it, make() as other:
        loader, jumping = Loader(it, np.asarray), Loader(other, np.asarray)
        epochs = [labels_of(loader) for _ in range(3)]
        jumping.set_epoch(2)
        third = labels_of(jumping)
        jumping.set_epoch(0)
        assert labels_of(jumping) == epochs[0]
        if kind == "record":  # the third one begins behind the rows that the second borrowed
            assert sorted(np.concatenate(third)[:10].tolist()) == list(range(10))
        else:
            assert third == epochs[2]


def test_an_iterator_that_saves_no_state_goes_on_whatever_the_epoch():
    class Plain(Counting):
        state_dict = DataIter.state_dict

    loader = Loader(Plain(), np.asarray)
    loader.set_epoch(4)
    assert value(loader.peek()[0]) == 0
    with pytest.raises(NotImplementedError):
        loader.state_dict()
    assert values(loader) == [0, 1, 2, 3]
    loader.set_epoch(0)
    assert values(loader) == [10, 11, 12, 13]


class Worker:
    """What PyTorch tells inside of a DataLoader's worker."""

    id = 1

    def __init__(self, num_workers=2):
        self.num_workers = num_workers


@pytest.fixture
def worker(monkeypatch):
    """Make this process look like worker 1 of 2 from now on."""

    def become(num_workers=2):
        module = types.ModuleType("torch.utils.data")
        module.get_worker_info = lambda: Worker(num_workers)
        monkeypatch.setitem(sys.modules, "torch.utils.data", module)

    return become


KINDS = ["record", "image", "array", "roll_over", "csv", "resize", "prefetch"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterator_that_came_into_a_worker_is_refused(kind, tmp_path, worker):
    with iterators(tmp_path)[kind]() as it:
        loader = Loader(it, np.asarray)
        it._made_in = os.getppid()  # as it is after a fork
        assert len(list(it)) > 0
        it.reset()
        begun = iter(loader)
        next(begun)
        worker(num_workers=1)
        uses = [lambda: iter(it), lambda: next(it), it.next, it.iter_next]
        uses += [lambda: next(iter(loader)), loader.peek, lambda: next(begun)]
        for use in uses:
            with pytest.raises(GpuioError, match=r"in worker 1 .* in place of the DataLoader"):
                use()


@pytest.mark.parametrize("kind", ["record", "image", "array", "csv"])
def test_an_iterator_that_was_pickled_into_a_worker_is_refused(kind, tmp_path, worker):
    with iterators(tmp_path)[kind]() as it, pickle.loads(pickle.dumps(it)) as copy:
        if kind == "array":
            copy._made_in = os.getppid()  # its attributes come from the other process
        worker()
        with pytest.raises(GpuioError, match="each of its 2 workers"):
            iter(copy)


def test_an_iterator_made_in_a_worker_needs_a_part_of_its_own(tmp_path, worker):
    rec, idx = making.write_rec(tmp_path, [making.flat(20 * i) for i in range(10)])
    record = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 2}
    worker()
    for cls in (mx.io.ImageRecordIter, mx.image.ImageIter):
        more = {"ctx": "cpu", "verbose": False} if cls is mx.io.ImageRecordIter else {}
        with (
            cls(**record, **more) as whole,
            cls(**record, **more, num_parts=2, part_index=1) as part,
        ):
            with pytest.raises(GpuioError, match="num_parts=worker_info"):
                iter(whole)
            assert len(list(part)) > 0
            with mx.io.ResizeIter(whole, 2) as resized, pytest.raises(GpuioError):
                iter(resized)
    assert len(list(mx.io.NDArrayIter(np.arange(4)))) == 4


def test_neither_an_iterator_nor_a_loader_is_a_data_set():
    it = mx.io.NDArrayIter(np.arange(4), batch_size=2)
    for value_ in (it, Loader(it, np.asarray)):
        with pytest.raises(TypeError, match=r"not a data set .* takes the DataLoader's place"):
            value_[0]


@pytest.mark.parametrize(
    ("labels", "row"), [([0, 1.5], 1), ([np.nan, 1], 0), ([1, np.inf], 1), ([2.0**31, 0], 0)]
)
def test_labels_that_are_not_classes_are_named(labels, row):
    with pytest.raises(RecordError, match=f"row {row} of the batch has the label"):
        check_whole(np.array(labels, np.float32), 32)
    check_whole(np.array([0, 3, -1], np.float32), 32)
    check_whole(np.array([2**40, -(2**40)], np.int64), 64)


def ranks(folder, count, parts, **options):
    """Return the iterators of all parts over `count` records."""
    rec, idx = making.write_rec(folder, [making.flat(20) for _ in range(count)])
    base = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 2}
    base |= {"verbose": False, "ctx": "cpu", "shard": "even", "last_batch": "pad"}
    return [
        mx.io.ImageRecordIter(**{**base, **options}, num_parts=parts, part_index=part)
        for part in range(parts)
    ]


@pytest.mark.parametrize("last_batch", ["pad", "partial", "borrow"])
def test_no_array_has_0_rows_and_weights_tell_what_is_a_record(tmp_path, last_batch):
    its = ranks(tmp_path, 10, 4, last_batch=last_batch)  # steps of 8: the last one has 2 rows
    loaders = [Loader(it, np.asarray, cut_pad=True, weights=True) for it in its]
    steps = list(zip(*loaders, strict=True))
    assert len(steps) == 2
    found = [(len(data), len(label), weight.tolist()) for data, label, weight in steps[1]]
    assert [one[:2] for one in found] == [(1, 1)] * 4
    assert sorted(one[2] for one in found) == [[0], [0], [1], [1]]
    assert [weight.tolist() for _, _, weight in steps[0]] == [[1, 1]] * 4
    assert steps[0][0][2].dtype == np.float32
    for it in its:
        it.close()


def test_weights_stand_beside_rows_that_are_not_cut(tmp_path):
    (it,) = ranks(tmp_path, 3, 1)
    *_, (data, label, weight) = Loader(it, np.asarray, weights=True)
    assert (len(data), len(label), weight.tolist()) == (2, 2, [1, 0])
    it.close()


def test_cutting_is_refused_on_every_part_where_one_may_be_left_without_a_row(tmp_path):
    for it in ranks(tmp_path, 10, 4):
        with pytest.raises(OptionError, match=r"cut_pad: 10 records on 4 parts .* weights=True"):
            Loader(it, np.asarray, cut_pad=True)
        Loader(it, np.asarray)
        it.close()
    for it in ranks(tmp_path, 12, 4):
        Loader(it, np.asarray, cut_pad=True)
        it.close()
    (it,) = ranks(tmp_path, 3, 1, last_batch="borrow")
    with pytest.raises(
        OptionError, match=r"weights: with last_batch='borrow' .* records of the ne"
    ):
        Loader(it, np.asarray, weights=True)
    it.close()


def test_a_batch_of_bad_records_keeps_a_row_when_padding_is_cut(tmp_path, caplog):
    rec, idx = making.write_rec(tmp_path, [b"no image"] * 4 + [making.flat(9)] * 2)
    base = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 2}
    with mx.io.ImageRecordIter(**base, ctx="cpu", verbose=False, on_error="skip") as it:
        rows = [len(data) for data, _ in Loader(it, np.asarray, cut_pad=True)]
    assert rows == [1, 1, 2]
    assert caplog.text.count("a batch without a record") == 1


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (10, {"shard": "mxnet"}, "the 4 parts have 1 to 2 batches per epoch: ranks"),
        (10, {"shard": "mxnet", "last_batch": "discard"}, "the 4 parts have 0 to 1 batches"),
        (7, {"shard": "mxnet", "last_batch": "borrow"}, "1 to 1 batches per epoch now, and diff"),
        (12, {"shard": "mxnet"}, ""),
        (10, {}, ""),
    ],
)
def test_parts_of_different_lengths_are_told_before_ranks_wait_for_ever(
    tmp_path, caplog, count, options, said
):
    rec, idx = making.write_rec(tmp_path, [making.flat(20) for _ in range(count)])
    base = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 2}
    base |= {"verbose": False, "ctx": "cpu", "shard": "even", "last_batch": "pad", "num_parts": 4}
    with mx.io.ImageRecordIter(**{**base, **options}) as it:
        Loader(it, np.asarray)
        assert len(caplog.records) == bool(said)
        assert said in caplog.text
        Loader(mx.io.PrefetchingIter(it), np.asarray)
        assert len(caplog.records) == 2 * bool(said)


def test_weights_go_where_the_labels_are(tmp_path, monkeypatch):
    (it,) = ranks(tmp_path, 3, 1)
    asked, inner = [], it._to_batch

    class Elsewhere(np.ndarray):
        context = "where the labels are"

    def handed_out(made):
        batch = inner(made)
        batch.label = [np.asarray(batch.label[0]).view(Elsewhere)]
        return batch

    it._to_batch = handed_out
    monkeypatch.setattr(
        mx.nd.NDArray, "as_in_context", lambda self, where: asked.append(where) or self
    )
    assert len(next(iter(Loader(it, np.asarray, weights=True)))) == 3
    assert asked == ["where the labels are"]
    it.close()
