"""MNISTIter: idx files, MXNet's order, parts."""

import gzip
import logging
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import FormatError, OptionError, StateError, StorageError


def idx(array):
    array = np.asarray(array, np.uint8)
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


IMAGES = (np.arange(60) * 7 % 256).astype(np.uint8).reshape(10, 2, 3)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "images").write_bytes(idx(IMAGES))
    (tmp_path / "labels").write_bytes(idx(np.arange(10)))
    return {"image": str(tmp_path / "images"), "label": str(tmp_path / "labels")}


def labels(it):
    with it:
        return [int(one) for b in it for one in b.label[0]]


@pytest.mark.parametrize(
    ("seed", "order"),
    [
        (4, [4, 1, 3, 2, 0, 8, 9, 6, 7, 5]),
        (0, [0, 2, 3, 5, 9, 1, 6, 8, 4, 7]),
        (-1, [9, 0, 4, 6, 5, 1, 8, 3, 7, 2]),
    ],
)
def test_the_order_is_mxnets(files, seed, order):
    it = mx.io.MNISTIter(**files, batch_size=1, seed=seed)
    assert [int(b.label[0][0]) for b in it] == order
    it.reset()
    assert [b.index.tolist() for b in it] == [[i] for i in order]
    it.close()


def test_pixels_are_bytes_over_256(files):
    with mx.io.MNISTIter(**files, batch_size=5, shuffle=False) as it:
        assert it.provide_data == [("data", (5, 1, 2, 3))]
        assert it.provide_label == [("softmax_label", (5,))]
        batch = next(it)
        assert batch.data[0].dtype == batch.label[0].dtype == np.float32
        assert np.array_equal(batch.data[0].asnumpy()[:, 0], IMAGES[:5] / np.float32(256))
        assert batch.label[0].asnumpy().tolist() == [0, 1, 2, 3, 4]
        assert (batch.pad, batch.index.dtype) == (0, np.uint64)


def test_flat_images(files):
    with mx.io.MNISTIter(**files, batch_size=2, shuffle=False, flat=True) as it:
        assert it.provide_data == [("data", (2, 6))]
        assert next(it).data[0].asnumpy().tolist() == (IMAGES[:2] / 256).reshape(2, 6).tolist()


def test_an_incomplete_batch_is_left_out(files):
    assert labels(mx.io.MNISTIter(**files, batch_size=4, shuffle=False)) == list(range(8))
    assert labels(mx.io.MNISTIter(**files, batch_size=11)) == []
    assert len(mx.io.MNISTIter(**files)) == 0


def test_parts_are_mxnets(files):
    def part(index, **options):
        options = {"batch_size": 1, "num_parts": 3, "part_index": index, **options}
        return labels(mx.io.MNISTIter(**files, **options))

    assert [part(i, shuffle=False) for i in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert [part(i) for i in range(3)] == [[0, 2, 1], [3, 5, 4], [6, 8, 9, 7]]


def test_gzip_is_read_too(files, tmp_path):
    packed = {}
    for name, path in files.items():
        with open(path, "rb") as plain:
            packed[name] = f"{path}.gz"
            (tmp_path / packed[name]).write_bytes(gzip.compress(plain.read()))
    assert labels(mx.io.MNISTIter(**packed, batch_size=5, seed=4))[:3] == [4, 1, 3]


@pytest.mark.parametrize(
    ("blob", "match"),
    [
        (b"", "not an idx file"),
        (
            b"\0\0\x08\x01" + bytes(12),
            "not an idx file of bytes with 3 axes: .*expected '00 00 08 03",
        ),
        (b"\0\0\x0d\x03" + bytes(12), "not an idx file"),
        (idx(IMAGES)[:-1], "60 bytes; 59 are there"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-9], "damaged gzip"),
        (gzip.compress(idx(IMAGES), mtime=0)[:12] + bytes(9), "damaged gzip"),
        (idx(IMAGES[:9]), "9 images, but 10 labels"),
    ],
)
def test_damaged_files_are_named(files, tmp_path, blob, match):
    (tmp_path / "images").write_bytes(blob)
    with pytest.raises(FormatError, match=match) as caught:
        mx.io.MNISTIter(**files)
    assert caught.value.path == files["image"]


def test_a_missing_file_is_named(files):
    with pytest.raises(StorageError, match="No such file"):
        mx.io.MNISTIter(**{**files, "label": "missing"})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_parts": 3, "part_index": 3}, "part_index"),
        ({"num_parts": 0}, "num_parts"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "uint8"}, "float32 only"),
        ({"shuffle": "perhaps"}, "shuffle"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_unusable_options_are_refused(files, options, match):
    with pytest.raises(OptionError, match=match):
        mx.io.MNISTIter(**files, **options)


def test_texts_of_options_are_taken(files):
    it = mx.io.MNISTIter(**files, batch_size="5", shuffle="False", flat="1", dtype="float32")
    assert labels(it) == list(range(10))


def test_silent_logs_nothing(files, caplog):
    with caplog.at_level(logging.INFO, "gpuio"):
        mx.io.MNISTIter(**files, silent=True)
        assert caplog.messages == []
        mx.io.MNISTIter(**files, num_parts=2)
    assert caplog.messages == [f"MNISTIter: 5 of 10 images from {files['image']}"]


def test_a_state_of_another_order_is_refused(files):
    one, two = (mx.io.MNISTIter(**files, batch_size=5, seed=seed) for seed in (1, 2))
    with pytest.raises(StateError, match="order: saved"):
        two.load_state_dict(one.state_dict())


def test_shapes_that_scripts_pass_are_compared_with_the_images(files, caplog):
    for flat, shape in ((True, (6,)), (False, (1, 2, 3)), (False, "(1, 2, 3)")):
        mx.io.MNISTIter(
            **files, flat=flat, data_shape=shape, input_shape=shape, silent=True
        ).close()
    assert not caplog.records
    with mx.io.MNISTIter(
        **files, batch_size=5, flat=True, input_shape=(1, 28, 28), silent=True
    ) as it:
        list(it)
        assert it.provide_data == [("data", (5, 6))]
    (said,) = caplog.records
    assert said.levelname == "WARNING"
    assert "input_shape=(1, 28, 28), but an image is (6,)" in said.getMessage()
    with pytest.raises(OptionError, match="data_shape"):
        mx.io.MNISTIter(**files, data_shape="wide")


def test_gzip_is_unpacked_as_far_as_the_header_says(tmp_path, monkeypatch):
    """A megabyte of zeros takes a kilobyte: what lies behind the images is not unpacked."""
    head = struct.pack(">4I", 0x803, 1, 1, 1)
    (tmp_path / "label").write_bytes(struct.pack(">2I", 0x801, 1) + b"\3")
    packed = zlib.compressobj(wbits=31)
    zeros = bytes(1 << 20)
    content = packed.compress(head + b"\7") + b"".join(packed.compress(zeros) for _ in range(20))
    (tmp_path / "image").write_bytes(content + packed.flush())
    names = {"image": str(tmp_path / "image"), "label": str(tmp_path / "label")}
    tracemalloc.start()
    try:
        with mx.io.MNISTIter(**names, batch_size=1, silent=True) as it:
            assert it.next().data[0].tolist() == [[[[7 / 256]]]]
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
        monkeypatch.setattr("gpuio.io.mnist._UNPACKED", 1 << 20)
        # and a header that claims all of it
        packed = zlib.compressobj(wbits=31)
        head = struct.pack(">4I", 0x803, 1, 1 << 15, 1 << 15)
        content = packed.compress(head) + b"".join(packed.compress(zeros) for _ in range(20))
        (tmp_path / "image").write_bytes(content + packed.flush())
        with pytest.raises(FormatError, match=r"unpack to more than [\d,]+: .* gunzip"):
            mx.io.MNISTIter(**names, batch_size=1)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_every_part_knows_how_much_all_have(files):
    plans = []
    for part in range(3):
        with mx.io.MNISTIter(**files, batch_size=2, num_parts=3, part_index=part) as it:
            plans.append(it._plan())
            assert len(it) == plans[-1].parts[part].batches
    assert plans == plans[:1] * 3
    assert [share.records for share in plans[0].parts] == [2, 2, 4]
    assert not plans[0].equal
