"""Every iterator passes the suite of `conformance`."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.nd.sparse import CSRNDArray
from support import making
from support.conformance import CHECKS, Case


class Countdown(mx.io.DataIter):
    """An iterator of a user's, as MXNet's tutorials write them."""

    def __init__(self, batches=3):
        super().__init__(batch_size=2)
        self.provide_data = [mx.io.DataDesc("data", (2, 3))]
        self.provide_label = [mx.io.DataDesc("softmax_label", (2,))]
        self.batches = batches
        self.left = batches

    def reset(self):
        self.left = self.batches

    def iter_next(self):
        self.left -= 1
        return self.left >= 0

    def getdata(self):
        return [mx.nd.array(np.full((2, 3), self.left), dtype="float32")]

    def getlabel(self):
        return [mx.nd.array([self.left, 0])]

    def getpad(self):
        return 0


class Darker(mx.image.ImageIter):
    """A user's ImageIter: hooks of its own."""

    def augmentation_transform(self, data):
        return super().augmentation_transform(data) / 2

    def next_sample(self):
        label, blob = super().next_sample()
        return label + 1, blob


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("conformance")
    (path / "data.csv").write_text("".join(f"{i},{i}.5,-{i}\n" for i in range(10)))
    (path / "label.csv").write_text("".join(f"{i},1\n" for i in range(10)))
    (path / "data.svm").write_text("".join(f"{i} 0:{i} {i % 3 + 1}:2\n" for i in range(10)))
    images = (np.arange(11 * 6) % 251).astype(np.uint8)
    (path / "images").write_bytes(struct.pack(">4I", 0x803, 11, 2, 3) + images.tobytes())
    making.write_rec(path, [making.flat(20 * i) for i in range(10)])
    (path / "file.png").write_bytes(making.flat(7))
    (path / "labels").write_bytes(struct.pack(">2I", 0x801, 11) + bytes(range(11)))
    pairs = ([making.flat(20 * i) for i in range(10)], [i % 2 == 0 for i in range(5)])
    (path / "pairs.bin").write_bytes(pickle.dumps(pairs))
    boxes = [[2, 5, *[i, 0.1, 0.1, 0.9, 0.9] * (i % 3 + 1)] for i in range(10)]
    making.write_rec(path, [making.flat(20 * i) for i in range(10)], boxes, name="boxes")
    return path


def arrays(**options):
    source = np.arange(30).reshape(10, 3)
    return mx.io.NDArrayIter(source, np.arange(10), **{"batch_size": 3, **options})


def cases(path):
    csv = {"data_csv": str(path / "data.csv"), "data_shape": (3,), "batch_size": 4}
    labels = {"label_csv": str(path / "label.csv"), "label_shape": (2,), "dtype": "int32"}
    svm = {"data_libsvm": str(path / "data.svm"), "data_shape": (4,), "batch_size": 4}
    mnist = {"image": str(path / "images"), "label": str(path / "labels"), "batch_size": 3}
    pairs = {"path_pairs": str(path / "pairs.bin"), "data_shape": (3, 8, 8), "batch_size": 4}
    record = {
        "path_imgrec": str(path / "data.rec"),
        "path_imgidx": str(path / "data.idx"),
        "data_shape": (3, 8, 8),
        "batch_size": 4,
        "ctx": "cpu",
        "verbose": False,
    }
    image = {key: record[key] for key in ("path_imgrec", "path_imgidx", "data_shape", "batch_size")}
    listed = {**image, "path_imgrec": None, "path_imgidx": None}
    listed["imglist"] = [[i, "file.png"] for i in range(10)]
    listed["path_root"] = str(path)
    boxes = {
        **image,
        "path_imgrec": str(path / "boxes.rec"),
        "path_imgidx": str(path / "boxes.idx"),
    }

    def image_case(make, **more):
        return Case(make, **{"described": False, **more})

    detection = {
        "path_imgrec": str(path / "boxes.rec"),
        "rand_mirror_prob": 0.5,
        **{name: record[name] for name in ("data_shape", "batch_size", "ctx", "verbose")},
    }
    sparse = CSRNDArray([1.0, 2, 3, 4, 5], [0, 1, 0, 1, 2], range(6), (5, 3))
    several = {"b": np.arange(10), "a": mx.nd.array(np.arange(10), dtype="int32")}

    def twice(**options):
        return [arrays(**options), arrays(**options, label_name="other")]

    def array_case(make, **more):
        return Case(make, **{"closes": False, **more})

    return {
        "custom": Case(
            Countdown, pad="none", sized=False, resumes=False, shared=False, closes=False
        ),
        "array-pad": array_case(arrays),
        "array-discard": array_case(lambda: arrays(last_batch_handle="discard"), pad="none"),
        "array-roll": array_case(
            lambda: arrays(last_batch_handle="roll_over"), pad="front", repeats=False
        ),
        "array-seed": array_case(lambda: arrays(shuffle=True, seed=3), repeats=False),
        "array-seed-roll": array_case(
            lambda: arrays(shuffle=True, seed=3, last_batch_handle="roll_over"),
            pad="front",
            repeats=False,
        ),
        "array-global": array_case(
            lambda: seeded(lambda: arrays(shuffle=True)), repeats=False, draws=True
        ),
        "array-several": array_case(lambda: mx.io.NDArrayIter(several, several, batch_size=4)),
        "array-csr": array_case(
            lambda: mx.io.NDArrayIter(
                sparse, np.arange(5), batch_size=2, last_batch_handle="discard"
            ),
            pad="none",
        ),
        "csv": Case(lambda: mx.io.CSVIter(**csv), repeats=False),
        "csv-pad": Case(lambda: mx.io.CSVIter(**csv, **labels, round_batch=False)),
        "csv-thread-free": Case(lambda: mx.io.CSVIter(**csv, prefetch_buffer=0), repeats=False),
        "libsvm": Case(lambda: mx.io.LibSVMIter(**svm), repeats=False),
        "mnist": Case(lambda: mx.io.MNISTIter(**mnist), pad="none"),
        "mnist-flat": Case(lambda: mx.io.MNISTIter(**mnist, flat=True, shuffle=False), pad="none"),
        "pairs": Case(lambda: mx.io.VerificationPairIter(**pairs)),
        "pairs-thread-free": Case(
            lambda: mx.io.VerificationPairIter(**pairs, flip=False, prefetch_buffer=0)
        ),
        "record": Case(lambda: mx.io.ImageRecordIter(**record), repeats=False),
        "record-shuffled": Case(
            lambda: mx.io.ImageRecordIter(**record, shuffle=True, round_batch=False),
            repeats=False,
        ),
        "record-even": Case(
            lambda: mx.io.ImageRecordIter(
                **{**record, "batch_size": 2},
                shard="even",
                num_parts=2,
                part_index=1,
                shuffle="block",
                shuffle_block_size=0.0005,
                shuffle_pool_size=0.001,
            ),
            repeats=False,
        ),
        "image": image_case(lambda: mx.image.ImageIter(**image)),
        "image-from-start": image_case(
            lambda: mx.image.ImageIter(**{**image, "path_imgidx": None}), sized=False
        ),
        "image-list": image_case(lambda: mx.image.ImageIter(**listed)),
        "image-seed": image_case(
            lambda: mx.image.ImageIter(**image, shuffle=True, rand_mirror=True, rng=3),
            repeats=False,
        ),
        "image-discard": image_case(
            lambda: mx.image.ImageIter(**image, last_batch_handle="discard"), pad="none"
        ),
        "image-roll": image_case(
            lambda: mx.image.ImageIter(**image, last_batch_handle="roll_over"),
            pad="front",
            repeats=False,
        ),
        "image-hooks": image_case(lambda: Darker(**image)),
        "image-boxes": image_case(lambda: mx.image.ImageDetIter(**boxes)),
        "detection": Case(lambda: mx.io.ImageDetRecordIter(**detection), repeats=False),
        "detection-boxes": Case(
            lambda: mx.io.ImageDetRecordIter(
                **detection, shuffle=True, round_batch=False, label_format="boxes"
            ),
            repeats=False,
        ),
        "detection-mxnet": Case(
            lambda: mx.io.ImageDetRecordIter(**detection, shuffle=True, aug_stream="mxnet"),
            repeats=False,
        ),
        "detection-even": Case(
            lambda: mx.io.ImageDetRecordIter(
                **{**detection, "batch_size": 2, "shard": "even", "num_parts": 2, "shuffle": "full"}
            ),
            repeats=False,
        ),
        "resize": array_case(lambda: mx.io.ResizeIter(arrays(last_batch_handle="discard"), 3)),
        "resize-longer": array_case(lambda: mx.io.ResizeIter(arrays(), 7), pad="anywhere"),
        "resize-on": array_case(
            lambda: mx.io.ResizeIter(arrays(), 3, reset_internal=False),
            pad="anywhere",
            repeats=False,
        ),
        "prefetch": Case(lambda: mx.io.PrefetchingIter(arrays()), pickles=False),
        "prefetch-deep": Case(lambda: mx.io.PrefetchingIter(arrays(), depth=5), pickles=False),
        "prefetch-two": Case(lambda: mx.io.PrefetchingIter(twice()), pickles=False),
        "prefetch-roll": Case(
            lambda: mx.io.PrefetchingIter(arrays(last_batch_handle="roll_over")),
            pad="front",
            repeats=False,
            pickles=False,
        ),
        "prefetch-csv": Case(
            lambda: mx.io.PrefetchingIter(mx.io.CSVIter(**csv)), repeats=False, pickles=False
        ),
        "prefetch-image": image_case(
            lambda: mx.io.PrefetchingIter(mx.image.ImageIter(**image, shuffle=True, rng=3)),
            repeats=False,
            pickles=False,
        ),
        "prefetch-record-and-arrays": Case(
            lambda: mx.io.PrefetchingIter(
                [
                    mx.io.ImageRecordIter(**record, round_batch=False),
                    mx.io.NDArrayIter({"caption": np.arange(10)}, batch_size=4),
                ]
            ),
            pickles=False,
        ),
        "resize-record": Case(
            lambda: mx.io.ResizeIter(mx.io.ImageRecordIter(**record, shuffle=True), 4),
            pad="anywhere",
            repeats=False,
        ),
        "prefetch-custom": Case(
            lambda: mx.io.PrefetchingIter(Countdown()),
            pad="none",
            sized=False,
            resumes=False,
            pickles=False,
            forks=False,
        ),
    }


def seeded(make):
    """Make an iterator under a given state of numpy's global generator."""
    before = np.random.get_state()  # noqa: NPY002 -- MXNet's generator is the global one
    np.random.seed(7)  # noqa: NPY002
    try:
        return make()
    finally:
        np.random.set_state(before)  # noqa: NPY002


NAMES = list(cases(Path()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_conformance(name, check, folder):
    check(cases(folder)[name])
