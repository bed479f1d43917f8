"""LibSVMIter: sparse rows, their labels, and parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuio as mx
from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.nd.sparse import CSRNDArray


@pytest.fixture
def write(tmp_path):
    def write(text, name="data.svm"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def open_svm(path, **options):
    return mx.io.LibSVMIter(**{"data_libsvm": path, "data_shape": (3,), "batch_size": 2, **options})


def test_batches_are_csr_and_labels_the_first_column(write):
    text = "1 0:1.5 2:2\n0 1:3\n-1 # 1:2\n\n# comment\n  \n2:0.5 qid:3 1:4 0:1\n"
    with open_svm(write(text)) as it:
        assert it.provide_data == [("data", (2, 3))]
        assert it.provide_label == [("softmax_label", (2,))]
        first, second = it
    assert isinstance(first.data[0], CSRNDArray)
    assert first.data[0].asnumpy().tolist() == [[1.5, 0, 2], [0, 3, 0]]
    assert first.data[0].indices.asnumpy().tolist() == [0, 2, 1]
    assert first.data[0].indptr.asnumpy().tolist() == [0, 2, 3]
    assert second.data[0].asnumpy().tolist() == [[0, 0, 0], [1, 4, 0]]
    assert [b.label[0].asnumpy().tolist() for b in (first, second)] == [[1, 0], [-1, 2]]
    assert first.data[0].dtype == first.label[0].dtype == np.float32
    assert second.index.tolist() == [2, 3]


def test_an_index_without_a_value_has_the_value_1(write):
    with open_svm(write("1 0 1:3 2\n"), batch_size=1) as it:
        assert next(it).data[0].asnumpy().tolist() == [[1, 3, 1]]


def test_numbers_at_the_middle_of_two_floats_are_exact(write):
    text = "1.00000005960464477539062500000000001 0:1e-45 1:0x1p-3\n"
    with open_svm(write(text), batch_size=1) as it:
        batch = next(it)
    assert batch.label[0].asnumpy() == [np.nextafter(np.float32(1), np.float32(2))]
    assert batch.data[0].asnumpy().tolist() == [[np.float32(1e-45), 0.125, 0]]


def test_the_last_batch_is_filled_and_the_next_epoch_goes_on_behind(write):
    with open_svm(write("1 0:1\n2 1:2\n3 2:3\n")) as it:
        assert [(b.label[0].asnumpy().tolist(), b.pad) for b in it] == [([1, 2], 0), ([3, 1], 1)]
        it.reset()
        assert [(b.label[0].asnumpy().tolist(), b.pad) for b in it] == [([2, 3], 0)]


def test_labels_from_a_file_are_csr(write):
    labels = write("0 1:5\n0 0:3 2:4\n", "l.svm")
    with open_svm(write("1 0:1\n2 1:2\n"), label_libsvm=labels, label_shape=(3,)) as it:
        assert it.provide_label == [("softmax_label", (2, 3))]
        (batch,) = it
    assert batch.label[0].stype == "csr"
    assert batch.label[0].asnumpy().tolist() == [[0, 5, 0], [3, 0, 4]]


def test_too_few_labels_are_an_error_where_they_end(write):
    labels = write("0 1:5\n", "l.svm")
    options = {"label_libsvm": labels, "label_shape": (3,), "batch_size": 1}
    with open_svm(write("1 0:1\n2 1:2\n"), **options) as it:
        next(it)
        with pytest.raises(FormatError, match="label_libsvm holds 1 rows, data_libsvm 2"):
            next(it)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 0:1", "expected a number at b'a 0:1'"),
        ("1 -1:1", "expected a number at b'-1:1'"),
        ("1 0:x", "expected a number at b'x'"),
        ("1 9:1", "row 1 has index 9, the shape has 3 columns"),
        ("1 3", "row 1 has index 3"),
    ],
)
def test_a_bad_row_is_named(write, line, message):
    with open_svm(path := write(f"1 0:1\n{line}\n"), batch_size=1) as it:
        next(it)
        with pytest.raises(FormatError, match=message) as caught:
            next(it)
        assert (caught.value.path, caught.value.key, caught.value.offset) == (path, 1, 6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"round_batch": False}, "round_batch=False"),
        ({"data_shape": (3, 2)}, "one length"),
        ({"label_shape": (2,)}, "name a file of labels"),
        ({"label_libsvm": "x", "label_shape": (1,)}, "holds 1 value"),
        ({"ctx": "gpu"}, "stay on the host"),
        ({"dtype": "int32"}, "float32 only"),
        ({"num_parts": 2, "part_index": 2}, "part_index"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_unusable_options_are_refused(write, options, match):
    with pytest.raises(OptionError, match=match):
        open_svm(write("1 0:1\n"), **options)


def test_a_missing_file_is_named():
    with pytest.raises(StorageError, match="no such file"):
        open_svm("missing.svm")


def test_parts_are_mxnets(write):
    path = write("".join(f"{i} 0:{i}\n" for i in range(11)))
    for parts, expected in PARTS.items():
        got = [
            [
                int(b.label[0][0])
                for b in open_svm(path, batch_size=1, num_parts=parts, part_index=part)
            ]
            for part in range(parts)
        ]
        assert got == expected


# made by MXNet 1.9.1
PARTS = {
    2: [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10]],
    3: [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]],
    5: [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9], [10]],
}


def test_labels_of_a_part_belong_to_its_data(write):
    data = write("".join(f"{i} 0:{i}\n" for i in range(9)))
    labels = write("".join(f"0 0:{i}{' 1:1' * (i < 3)}\n" for i in range(9)), "l.svm")
    for part in range(3):
        with open_svm(
            data, label_libsvm=labels, label_shape=(2,), batch_size=1, num_parts=3, part_index=part
        ) as it:
            for batch in it:
                assert batch.label[0].asnumpy()[0, 0] == batch.data[0].asnumpy()[0, 0]


@settings(deadline=None, max_examples=40)
@given(
    lines=st.lists(st.sampled_from(["1 0:1", "22 1:2", "", "# c", "333 0:1 1:1"]), max_size=12),
    parts=st.integers(1, 5),
)
def test_the_parts_together_hold_every_row_once(tmp_path_factory, lines, parts):
    path = tmp_path_factory.mktemp("svm") / "data.svm"
    path.write_text("\n".join(["7 0:1", *lines]) + "\n")
    got = []
    for part in range(parts):
        with open_svm(
            str(path), batch_size=1, num_parts=parts, part_index=part, prefetch_buffer=0
        ) as it:
            got += [int(b.label[0][0]) for b in it]
    assert got == [7] + [int(one.split()[0]) for one in lines if one and one[0] != "#"]
