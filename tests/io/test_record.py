"""ImageRecordIter: what a batch holds, how epochs follow each other, state, and closing."""

import pickle

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import ClosedError, OptionError, StateError
from support.leaks import left, open_files, threads
from support.making import flat, jpeg, photo, reader, write_rec


class Counting(mx.io.ImageRecordIter):
    """An iterator with an attribute of its own."""

    seen = 0


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """Ten records; record i is an 8 x 8 image of value 10 i with label i."""
    return write_rec(tmp_path_factory.mktemp("ten"), [flat(10 * i) for i in range(10)])


def epoch(it):
    """The labels of each batch of what is left of the epoch, and each batch's pad."""
    batches = list(it)
    return [b.label[0].astype(int).tolist() for b in batches], [b.pad for b in batches]


def test_a_batch_holds_images_labels_pad_and_ids(ten):
    with reader(ten) as it:
        batch = next(it)
        data, label = batch.data[0], batch.label[0]
        assert (data.shape, data.dtype) == ((4, 3, 8, 8), np.float32)
        assert (label.shape, label.dtype) == ((4,), np.float32)
        assert data.asnumpy()[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
        assert label.asnumpy().tolist() == [0, 1, 2, 3]
        assert (batch.pad, batch.index.tolist(), batch.index.dtype) == (0, [0, 1, 2, 3], np.uint64)
        assert type(data.asnumpy()) is np.ndarray


def test_descriptions_agree_with_the_batches(ten):
    with reader(ten, dtype="uint8", data_name="image", label_name="class") as it:
        (data,), (label,) = it.provide_data, it.provide_label
        assert data == ("image", (4, 3, 8, 8))
        assert (data.dtype, data.layout) == (np.uint8, "NCHW")
        assert label == ("class", (4,))
        batch = next(it)
        assert batch.data[0].shape == data.shape
        assert batch.data[0].dtype == data.dtype


def test_channels_come_as_r_g_b(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = (1, 2, 3)  # OpenCV's order: blue, green, red
    from support.making import png

    with reader(write_rec(tmp_path, [png(image)]), batch_size=1) as it:
        assert next(it).data[0][0, :, 0, 0].tolist() == [3, 2, 1]


def test_normalisation_is_scale_times_p_less_mean_over_std(ten):
    with reader(ten, mean_r=5, mean_g=6, mean_b=7, std_r=2, std_g=4, std_b=8, scale=0.5) as it:
        got = next(it).data[0][3, :, 0, 0]
    assert got.tolist() == [(30 - 5) * 0.5 / 2, (30 - 6) * 0.5 / 4, (30 - 7) * 0.5 / 8]


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 30), ("int8", -94), ("float16", -93.6875)])
def test_every_dtype_has_its_own_meaning_of_mean(ten, dtype, value):
    with reader(ten, dtype=dtype, mean_r=123.68) as it:
        data = next(it).data[0]
        assert data.dtype == np.dtype(dtype)
        assert data[3, 0, 0, 0] == value


def test_fixed_type_iterators_fix_the_type(ten):
    for cls, dtype in ((mx.io.ImageRecordUInt8Iter, "uint8"), (mx.io.ImageRecordInt8Iter, "int8")):
        with cls(path_imgrec=ten[0], data_shape=(3, 8, 8), batch_size=2, ctx="cpu") as it:
            assert next(it).data[0].dtype == np.dtype(dtype)


def test_default_epochs_borrow_from_the_next(ten):
    with reader(ten) as it:
        assert epoch(it) == ([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]], [0, 0, 2])
        assert list(it) == []
        it.reset()
        assert epoch(it) == ([[2, 3, 4, 5], [6, 7, 8, 9]], [0, 0])
        it.reset()
        assert epoch(it) == ([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]], [0, 0, 2])


def test_shuffled_epochs_are_mxnets(ten):
    with reader(ten, shuffle=True) as it:
        assert epoch(it) == ([[3, 4, 9, 2], [1, 6, 7, 0], [5, 8, 4, 0]], [0, 0, 2])
        it.reset()
        assert epoch(it) == ([[8, 5, 7, 2], [1, 9, 6, 3]], [0, 0])


@pytest.mark.parametrize("index", [True, False])
def test_a_batch_larger_than_the_data_takes_the_next_epoch(ten, index):
    with reader(ten, batch_size=20, index=index) as it:
        assert epoch(it) == ([[*range(10), *range(10)]], [10])
        it.reset()
        assert epoch(it) == ([], [])
        it.reset()
        assert epoch(it) == ([[*range(10), *range(10)]], [10])


def test_a_batch_larger_than_two_epochs_is_refused_with_the_numbers(ten):
    with pytest.raises(mx.GpuioError, match=r"10.*21|21.*10"), reader(ten, batch_size=21) as it:
        next(it)


@pytest.mark.parametrize(
    ("options", "labels", "pads"),
    [
        ({"round_batch": False}, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]], [0, 0, 2]),
        ({"last_batch": "pad"}, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]], [0, 0, 2]),
        ({"last_batch": "partial"}, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], [0, 0, 0]),
        ({"last_batch": "discard"}, [[0, 1, 2, 3], [4, 5, 6, 7]], [0, 0]),
    ],
)
def test_each_ending_repeats_itself_and_len_is_exact(ten, options, labels, pads):
    with reader(ten, **options) as it:
        for _ in range(3):
            assert len(it) == len(labels)
            assert epoch(it) == (labels, pads)
            it.reset()


def test_padded_rows_are_zeros(ten):
    with reader(ten, last_batch="pad", mean_r=9) as it:
        last = list(it)[-1]
        assert (last.data[0][2:] == 0).all()
        assert (last.data[0][:2] != 0).any()


def test_reset_in_the_middle_goes_to_the_start_of_the_next_pass(ten):
    with reader(ten) as it:
        next(it)
        it.reset()
        assert epoch(it)[0] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]


def test_parts_are_disjoint_and_complete(ten):
    for index in (True, False):
        seen = []
        for part in range(3):
            with reader(ten, index=index, num_parts=3, part_index=part, batch_size=1) as it:
                seen += [label for (label,) in epoch(it)[0]]
        assert sorted(seen) == list(range(10))


def test_a_part_without_records_is_refused(ten):
    with pytest.raises(OptionError, match="part 6 of 7 holds no record"):
        reader(ten, num_parts=7, part_index=6)


def test_labels_of_a_list_replace_the_records_own(ten, tmp_path):
    lst = tmp_path / "other.lst"
    lst.write_text("".join(f"{i}\t{100 + i}\t{200 + i}\tx.png\n" for i in range(10)))
    with reader(ten, path_imglist=str(lst), label_width=2) as it:
        batch = next(it)
        assert batch.label[0].tolist() == [[100, 200], [101, 201], [102, 202], [103, 203]]
        assert it.provide_label[0].shape == (4, 2)


def test_several_files_are_read_one_after_the_other(ten, tmp_path):
    more = write_rec(tmp_path, [flat(7), flat(8)], labels=[70.0, 80.0])
    it = mx.io.ImageRecordIter(
        path_imgrec=[ten[0], more[0]], data_shape=(3, 8, 8), batch_size=6, ctx="cpu"
    )
    assert epoch(it)[0] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 70, 80]]
    it.close()


@pytest.mark.parametrize("options", [{}, {"shuffle": True, "rand_crop": True, "rand_mirror": True}])
def test_threads_and_prefetch_change_nothing(tmp_path, options):
    paths = write_rec(tmp_path, [jpeg(photo(40 + i, 60 - i, seed=i)) for i in range(23)])
    made = []
    for workers, prefetch in ((1, 1), (2, 4), (5, 2)):
        with reader(
            paths,
            data_shape=(3, 32, 32),
            preprocess_threads=workers,
            batch_size=5,
            prefetch_buffer=prefetch,
            resize=36,
            seed=3,
            **options,
        ) as it:
            first = [b.data[0].asnumpy() for b in it]
            it.reset()
            made.append(first + [b.data[0].asnumpy() for b in it])
    for other in made[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(made[0], other, strict=True))


def test_held_batches_are_never_overwritten(ten):
    with reader(ten, prefetch_buffer=1) as it:
        held, copies = [], []
        for _ in range(8):
            for batch in it:
                held.append(batch.data[0])
                copies.append(batch.data[0].asnumpy())
            it.reset()
        assert all(np.array_equal(a, b) for a, b in zip(held, copies, strict=True))


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"last_batch": "pad"}])
def test_a_saved_state_continues_the_same_sequence(ten, options):
    with reader(ten, **options) as it, reader(ten, **options) as other:
        rows = []
        states = []
        for _ in range(3):
            while True:
                states.append(it.state_dict())
                try:
                    rows.append(next(it).label[0].tolist())
                except StopIteration:
                    rows.append(None)
                    break
            it.reset()
        for at, state in enumerate(states):
            other.load_state_dict(state)
            try:
                assert next(other).label[0].tolist() == rows[at]
            except StopIteration:
                assert rows[at] is None
                other.reset()
                assert rows[at + 1 :] == [] or next(other).label[0].tolist() == rows[at + 1]


def test_a_foreign_state_names_each_differing_field(ten):
    with reader(ten) as it, reader(ten, batch_size=5, shuffle=True) as other:
        with pytest.raises(StateError) as raised:
            other.load_state_dict(it.state_dict())
        assert "batch_size: saved 4, here 5" in str(raised.value)
        assert "shuffle: saved False, here True" in str(raised.value)
        with pytest.raises(StateError, match="expected version 1, got 0"):
            other.load_state_dict({"version": 0})


def test_mxnets_other_way_of_iterating_works(ten):
    with reader(ten) as it:
        assert it.iter_next()
        assert it.getdata().shape == (4, 3, 8, 8)
        assert it.getlabel().tolist() == [0, 1, 2, 3]
        assert it.getpad() == 0
        assert it.getindex().tolist() == [0, 1, 2, 3]
        assert it.iter_next()
        assert it.getlabel().tolist() == [4, 5, 6, 7]


def test_skip_load_repeats_one_batch(ten):
    with reader(ten) as it:
        first = next(it)
        it.debug_skip_load()
        assert all(next(it) is first for _ in range(10))


def test_a_closed_iterator_says_so_and_its_batches_live(ten):
    it = reader(ten)
    batch = next(it)
    it.close()
    it.close()
    with pytest.raises(ClosedError, match="was closed"):
        next(it)
    assert batch.label[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["close", "del", "exception", "break"])
def test_nothing_is_left_behind(ten, tmp_path, how):
    bad = write_rec(tmp_path, [flat(1), b"no image", flat(2)])
    reader(ten).close()
    before, running = open_files(), threads()
    it = reader(bad if how == "exception" else ten)
    if how == "exception":
        with pytest.raises(mx.GpuioError):
            list(it)
        it.close()
    else:
        next(it)
        if how == "close":
            it.close()
    del it
    assert left(running) == []
    assert not open_files() - before


def test_the_signature_and_the_docs_come_from_the_options():
    import inspect

    parameters = inspect.signature(mx.io.ImageRecordIter).parameters
    assert parameters["rand_mirror"].default is False
    assert parameters["data_shape"].default is inspect.Parameter.empty
    assert "rand_mirror : False" in mx.io.ImageRecordIter.__doc__
    assert "Unlike MXNet" in mx.io.ImageRecordIter.__doc__


def test_a_pickled_copy_keeps_what_a_subclass_added(ten):
    with Counting(path_imgrec=ten[0], data_shape=(3, 8, 8), batch_size=2, verbose=False) as it:
        next(it)
        it.seen = 7
        with pickle.loads(pickle.dumps(it)) as other:
            assert type(other) is Counting
            assert other.seen == 7
            assert other.options == it.options
            assert other.state_dict() == it.state_dict()
    with pytest.raises(ClosedError):
        pickle.dumps(it)
