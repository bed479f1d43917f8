"""Loader: epochs, early ends, padding and state, whatever the framework."""

import numpy as np
import pytest

import gpuio as mx
from gpuio.adapters.loader import Loader, check_dense
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
