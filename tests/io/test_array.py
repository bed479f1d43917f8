"""NDArrayIter against a model of a few lines, and MXNet's own answers where they are odd."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuio as mx
from gpuio.errors import GpuioError, MXNetError, OptionError, StateError
from gpuio.nd import NDArray
from gpuio.nd.sparse import CSRNDArray

HANDLES = ("pad", "discard", "roll_over")


def rows(it):
    return [(b.data[0].asnumpy().astype(int).ravel().tolist(), b.pad) for b in it]


def epoch_of(front, order, size, handle):
    """Return an epoch's (rows, pad) and the rows carried into the next one."""
    line = front + order
    batches, at = [], 0
    while at + size <= len(line):
        batches.append((line[at : at + size], len(front) if at == 0 else 0))
        at += size
    rest = line[at:]
    if rest and handle == "pad":
        filled = (line * (size // len(line) + 2))[at : at + size]
        batches.append((filled, size - len(rest)))
    return batches, rest if handle == "roll_over" else []


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(0, 20),
    size=st.integers(1, 25),
    handle=st.sampled_from(HANDLES),
    shuffle=st.booleans(),
)
def test_every_epoch_is_the_models(count, size, handle, shuffle):
    it = mx.io.NDArrayIter(
        np.arange(count), batch_size=size, last_batch_handle=handle, shuffle=shuffle, seed=1
    )
    front = []
    for _ in range(4):
        order = it.idx.tolist()
        assert sorted(order) == list(range(count))
        expected, front = epoch_of(front, order, size, handle)
        assert len(it) == len(expected)
        assert rows(it) == expected
        it.reset()


@pytest.mark.parametrize(
    ("handle", "epochs"),
    [
        ("pad", [[([0, 1, 2], 0), ([3, 4, 0], 1)]] * 3),
        ("discard", [[([0, 1, 2], 0)]] * 3),
        ("anything else", [[([0, 1, 2], 0)]] * 3),
        (
            "roll_over",
            [
                [([0, 1, 2], 0)],
                [([3, 4, 0], 2), ([1, 2, 3], 0)],
                [([4, 0, 1], 1), ([2, 3, 4], 0)],
            ],
        ),
    ],
)
def test_the_tables_of_mxnet(handle, epochs):
    it = mx.io.NDArrayIter(np.arange(5), batch_size=3, last_batch_handle=handle)
    for expected in epochs:
        assert rows(it) == expected
        it.reset()


def test_the_shuffle_of_mxnet_under_numpys_global_seed():
    np.random.seed(0)  # noqa: NPY002
    it = mx.io.NDArrayIter(np.arange(8), batch_size=8, shuffle=True)
    assert rows(it) == [([6, 2, 1, 7, 3, 0, 5, 4], 0)]
    it.reset()
    assert rows(it) == [([1, 0, 4, 3, 5, 7, 2, 6], 0)]


def test_the_rolled_shuffle_of_mxnet_under_numpys_global_seed():
    np.random.seed(0)  # noqa: NPY002
    it = mx.io.NDArrayIter(np.arange(8), batch_size=3, shuffle=True, last_batch_handle="roll_over")
    got = []
    for _ in range(4):
        got.append(rows(it))
        it.reset()
    assert got == [
        [([6, 2, 1], 0), ([7, 3, 0], 0)],
        [([5, 4, 1], 2), ([0, 4, 3], 0), ([5, 7, 2], 0)],
        [([6, 3, 6], 1), ([5, 2, 1], 0), ([4, 0, 7], 0)],
        [([1, 5, 6], 0), ([4, 0, 3], 0)],
    ]


def test_orders_of_a_seed_are_frozen():
    it = mx.io.NDArrayIter(np.arange(10), batch_size=10, shuffle=True, seed=5)
    first = rows(it)[0][0]
    it.reset()
    assert [first, rows(it)[0][0]] == FROZEN


FROZEN = [[5, 9, 3, 0, 4, 1, 7, 2, 6, 8], [3, 0, 1, 7, 6, 2, 4, 5, 9, 8]]


def test_a_seed_leaves_numpys_global_generator_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    mx.io.NDArrayIter(np.arange(10), batch_size=10, shuffle=True, seed=5).reset()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_generator_gives_the_seed():
    one, two, other = (
        rows(mx.io.NDArrayIter(np.arange(50), batch_size=50, shuffle=True, seed=seed))
        for seed in (np.random.default_rng(3), np.random.default_rng(3), np.random.default_rng(4))
    )
    assert one == two != other


def test_roll_over_gathers_over_epochs_where_the_batch_is_larger():
    it = mx.io.NDArrayIter(np.arange(4), batch_size=10, last_batch_handle="roll_over")
    got = []
    for _ in range(3):
        got.append(rows(it))
        it.reset()
    assert got == [[], [], [([0, 1, 2, 3, 0, 1, 2, 3, 0, 1], 8)]]


@pytest.mark.parametrize("early", [0, 1, 3])
def test_an_epoch_left_early_rolls_nothing(early):
    it = mx.io.NDArrayIter(np.arange(10), batch_size=3, last_batch_handle="roll_over")
    for _ in range(early):
        next(it)
    it.reset()
    assert rows(it)[0] == ([0, 1, 2], 0)


def test_a_second_reset_and_hard_reset_drop_what_was_rolled():
    for ways in (["reset", "reset"], ["hard_reset"], ["reset", "hard_reset"]):
        it = mx.io.NDArrayIter(np.arange(10), batch_size=3, last_batch_handle="roll_over")
        rows(it)
        for way in ways:
            getattr(it, way)()
        assert rows(it)[0] == ([0, 1, 2], 0)


def test_hard_reset_shuffles_again():
    it = mx.io.NDArrayIter(np.arange(30), batch_size=30, shuffle=True, seed=1)
    first = rows(it)
    it.hard_reset()
    assert rows(it) != first


X = np.arange(6)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (X, ["data"]),
        ([X], ["data"]),
        ([X, X], ["_0_data", "_1_data"]),
        ({"b": X, "a": X}, ["a", "b"]),
        ([X] * 11, [f"_{i}_data" for i in (0, 10, *range(1, 10))]),
        ([[1, 2], [3, 4]], ["_0_data", "_1_data"]),
        ([[1, 2, 3]], ["data"]),
    ],
)
def test_the_names_of_sources(data, names):
    it = mx.io.NDArrayIter(data)
    assert [d.name for d in it.provide_data] == names
    assert it.num_source == len(names)
    assert it.provide_label == []
    assert next(it).label == []


def test_labels_and_own_names():
    it = mx.io.NDArrayIter(X, X, batch_size=2, data_name="x", label_name="y")
    assert it.provide_data + it.provide_label == [("x", (2,)), ("y", (2,))]
    assert mx.io.NDArrayIter(X, {}).provide_label == []
    assert mx.io.NDArrayIter(X, []).provide_label == []


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (None, AssertionError, "holds no array"),
        ([], AssertionError, "holds no array"),
        ({}, IndexError, "holds no array"),
        ((X,), TypeError, "Input must be NDArray"),
        ("text", TypeError, "Input must be NDArray"),
        (np.float32(3), TypeError, "Input must be NDArray"),
        (np.array(3.0), IndexError, "out of range"),
        ({"a": "zz"}, TypeError, "Invalid type '<class 'str'>' for a"),
        ([X, object()], TypeError, "Invalid type '<class 'object'>' for _1_data"),
    ],
)
def test_unusable_data_is_refused_as_in_mxnet(data, error, match):
    with pytest.raises(error, match=match):
        mx.io.NDArrayIter(data)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"batch_size": -1}, {"batch_size": 2.0}, {"layout": "CHW"}, {"seed": -1}],
)
def test_unusable_options_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        mx.io.NDArrayIter(X, **options)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool", "float16", "float32"])
def test_numpy_of_any_dtype_becomes_float32_and_is_copied(dtype):
    source = np.ones(4, dtype)
    it = mx.io.NDArrayIter(source, batch_size=4)
    source[:] = 0
    batch = next(it)
    assert it.provide_data[0].dtype is np.float32
    assert batch.data[0].dtype == np.float32
    assert type(batch.data[0]) is NDArray
    assert batch.data[0].asnumpy().tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_ndarray_keeps_its_dtype_and_is_read_by_reference_unless_shuffled(shuffle):
    source = mx.nd.array([1, 1, 1], dtype="int32")
    it = mx.io.NDArrayIter(source, batch_size=3, shuffle=shuffle)
    source[:] = 7
    batch = next(it)
    assert it.provide_data[0].dtype is np.int32
    assert batch.data[0].asnumpy().tolist() == ([1, 1, 1] if shuffle else [7, 7, 7])
    batch.data[0][:] = 5
    assert source.asnumpy().tolist() == [7, 7, 7]


def test_an_array_of_another_device_keeps_its_dtype():
    class Elsewhere:
        shape, dtype = (3,), np.dtype("float16")

        def asnumpy(self):
            return np.ones(3, np.float16)

    assert next(mx.io.NDArrayIter(Elsewhere(), batch_size=3)).data[0].dtype == np.float16


def test_longer_sources_are_cut_and_shorter_ones_raise_where_they_end():
    it = mx.io.NDArrayIter(np.arange(10), np.arange(14), batch_size=3)
    assert [b.label[0].asnumpy().tolist() for b in it][-1] == [9, 0, 1]
    it = mx.io.NDArrayIter(np.arange(10), np.arange(4), batch_size=3)
    next(it)
    with pytest.raises(MXNetError, match="'softmax_label' has 4 rows, row 5 was asked for"):
        next(it)


def test_the_getters_before_the_first_and_after_the_last_batch():
    it = mx.io.NDArrayIter(X, batch_size=4)
    assert (it.getpad(), it.getindex(), it.cursor) == (0, None, -4)
    with pytest.raises(GpuioError, match="no batch yet"):
        it.getdata()
    list(it)
    with pytest.raises(AssertionError, match="DataIter needs reset"):
        it.getdata()


def test_an_empty_source_has_no_batches():
    it = mx.io.NDArrayIter(np.zeros((0, 2)), batch_size=2)
    assert it.provide_data == [("data", (2, 2))]
    assert (len(it), list(it)) == (0, [])


def test_the_batch_axis_is_the_layouts():
    source = np.arange(12).reshape(3, 4)
    it = mx.io.NDArrayIter(source, np.arange(4), batch_size=2, layout="CN")
    assert it.provide_data[0].shape == (3, 2)
    assert it.provide_data[0].layout == "CN"
    first, second = it
    assert first.data[0].asnumpy().tolist() == source[:, :2].tolist()
    assert second.data[0].asnumpy().tolist() == source[:, 2:].tolist()
    assert second.label[0].asnumpy().tolist() == [2, 3]


def make_dataset(values):
    """A dataset with h5py's rules, under its module's name."""

    class Dataset:
        shape, dtype = values.shape, values.dtype

        def __getitem__(self, where):
            where = where if isinstance(where, tuple) else (where,)
            for one in where:
                if isinstance(one, np.ndarray):
                    assert (np.diff(one) > 0).all(), "Indexing elements must be in increasing order"
            return values[where]

    Dataset.__module__ = "h5py._hl.dataset"
    return Dataset()


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_h5py_dataset_is_read_batch_by_batch(shuffle):
    dataset = make_dataset(np.arange(20).reshape(10, 2))
    it = mx.io.NDArrayIter(dataset, batch_size=4, shuffle=shuffle, seed=2)
    assert it.provide_data[0].dtype is np.float32
    got = np.concatenate([b.data[0].asnumpy() for b in it])
    order = [*it.idx, *it.idx[:2]]
    assert got.dtype == np.float32
    assert got[:, 0].tolist() == [2 * i for i in order]


def test_csr_sources_give_csr_batches_and_need_discard():
    scipy = pytest.importorskip("scipy.sparse")
    matrix = scipy.csr_matrix(np.diag(np.arange(1.0, 8.0)))
    for source in (
        matrix,
        {"a": matrix},
        CSRNDArray(matrix.data, matrix.indices, range(8), (7, 7)),
    ):
        it = mx.io.NDArrayIter(
            source, np.arange(7), batch_size=2, last_batch_handle="discard", shuffle=True, seed=1
        )
        assert it.provide_data[0].dtype is np.float64
        for number, batch in enumerate(it):
            assert batch.data[0].stype == "csr"
            expected = matrix.toarray()[it.idx[2 * number : 2 * number + 2]]
            assert batch.data[0].asnumpy().tolist() == expected.tolist()
            break
        for handle in ("pad", "roll_over"):
            with pytest.raises(NotImplementedError, match="discard"):
                mx.io.NDArrayIter(source, batch_size=2, last_batch_handle=handle)
        with pytest.raises(OptionError, match="stay on the host"):
            mx.io.NDArrayIter(source, batch_size=2, last_batch_handle="discard", ctx="gpu")


def test_batches_go_to_the_context_asked_for(monkeypatch):
    monkeypatch.setattr(NDArray, "as_in_context", lambda array, ctx: (ctx, array))
    it = mx.io.NDArrayIter(X, X, batch_size=6, ctx=mx.gpu(1))
    batch = next(it)
    assert batch.data[0][0] == batch.label[0][0] == mx.gpu(1)
    monkeypatch.undo()
    assert type(next(mx.io.NDArrayIter(X, batch_size=6, ctx="cpu")).data[0]) is NDArray


def test_a_state_with_a_seed_has_a_constant_size():
    sizes = {
        len(str(mx.io.NDArrayIter(np.zeros(n), shuffle=True, seed=1).state_dict()))
        for n in (1000, 9999)
    }
    assert len(sizes) == 1


def test_a_state_of_other_options_names_them():
    state = mx.io.NDArrayIter(X, batch_size=2).state_dict()
    with pytest.raises(StateError, match="batch_size: saved 2, here 3"):
        mx.io.NDArrayIter(X, batch_size=3).load_state_dict(state)


def test_a_state_brings_the_seed_that_a_generator_drew():
    it, other = (
        mx.io.NDArrayIter(X, batch_size=2, shuffle=True, seed=np.random.default_rng(n))
        for n in (1, 2)
    )
    other.load_state_dict(it.state_dict())
    for _ in range(3):
        assert rows(it) == rows(other)
        it.reset()
        other.reset()


def test_a_state_of_another_seed_is_refused():
    state = mx.io.NDArrayIter(X, batch_size=2, shuffle=True, seed=1).state_dict()
    with pytest.raises(StateError, match="seed: saved 1, here 2"):
        mx.io.NDArrayIter(X, batch_size=2, shuffle=True, seed=2).load_state_dict(state)


def test_module_style_attributes_are_there():
    it = mx.io.NDArrayIter(X, X, batch_size=4)
    assert (it.num_data, it.num_source, it.batch_size, it.cursor) == (6, 2, 4, -4)
    assert [name for name, _ in it.data + it.label] == ["data", "softmax_label"]
    assert it.last_batch_handle == "pad"
    assert it.shuffle is False
