"""What is allowed and seldom meant is one line of the log per iterator."""

import pickle

import numpy as np
import pytest

import gpuio as mx
from gpuio.options.normalise import beside_bytes
from gpuio.pipeline import doubts
from support.making import flat, jpeg, photo, write_rec

IMAGENET = {"mean_r": 0.485, "mean_g": 0.456, "mean_b": 0.406}


@pytest.fixture
def files(tmp_path):
    boxes = [[2, 5, 0, 0.1, 0.1, 0.9, 0.9]] * 4
    return write_rec(tmp_path, [flat(20 * i) for i in range(4)], boxes)


def opened(files, name="ImageRecordIter", **options):
    given = {"path_imgrec": files[0], "data_shape": (3, 8, 8), "batch_size": 2, "ctx": "cpu"}
    if name == "ImageRecordIter":
        given["label_width"] = 7
    return getattr(mx.io, name)(**given, verbose=False, **options)


def warned(caplog):
    return [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]


@pytest.mark.parametrize("name", ["ImageRecordIter", "ImageDetRecordIter"])
def test_a_shuffle_without_an_index_is_said_once(files, caplog, monkeypatch, name):
    monkeypatch.setattr(doubts, "_CHUNK_BYTES", 100)
    with opened(files, name, shuffle=True) as it:
        list(it)
        it.reset()
        list(it)
    (line,) = warned(caplog)
    assert line.startswith(f"{name}: shuffle=True without an index mixes the records inside chunks")
    assert "path_imgidx, or reindex=True" in line


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True, "reindex": True}, {"shuffle": True, "shuffle_chunk_size": 4}]
)
def test_an_index_and_a_shuffle_of_chunks_are_not_remarked(files, caplog, monkeypatch, options):
    monkeypatch.setattr(doubts, "_CHUNK_BYTES", 100)
    opened(files, **options).close()
    opened(files, shuffle=True, path_imgidx=files[1]).close()
    assert warned(caplog) == []


def test_a_file_of_one_chunk_is_shuffled_whole_and_not_remarked(files, caplog):
    opened(files, shuffle=True).close()
    assert warned(caplog) == []


@pytest.mark.parametrize("name", ["ImageRecordIter", "ImageDetRecordIter"])
@pytest.mark.parametrize(
    ("options", "says"),
    [(IMAGENET, "mean=(0.485, 0.456, 0.406): pixels are 0 to 255"), ({"std_r": 0.229}, "std=(0.2")],
)
def test_means_and_divisors_of_pixels_of_0_to_1_are_said(files, caplog, name, options, says):
    opened(files, name, **options).close()
    (line,) = warned(caplog)
    assert line.startswith(f"{name}: {says}")


def test_a_copy_is_another_iterator_and_its_state_is_not_of_the_log(files, caplog):
    it = opened(files, **IMAGENET)
    list(it)
    list(it)
    copy = pickle.loads(pickle.dumps(it))
    list(copy)
    assert len(warned(caplog)) == 3  # two of the means; one loop of the first over its end
    assert copy._said_finished is False


def test_raw_pixels_have_no_means(files, caplog):
    opened(files, dtype="uint8", **IMAGENET).close()
    assert warned(caplog) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: mx.image.CreateAugmenter((3, 8, 8), **options),
        lambda **options: mx.image.CreateDetAugmenter((3, 8, 8), **options),
    ],
)
def test_augmenters_say_it_as_well(caplog, make):
    make(mean=True, std=True)
    make(mean=np.array([123.68, 116.28, 103.53]), std=np.array([58.395, 57.12, 57.375]))
    assert warned(caplog) == []
    make(mean=np.array([0.485, 0.456, 0.406]), std=np.array([0.229, 0.224, 0.225]))
    (line,) = warned(caplog)
    assert "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225): pixels are 0 to 255" in line


def test_pairs_say_it_as_well(tmp_path, caplog):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([jpeg(photo(8, 8))] * 2, [True])))
    given = {"path_pairs": str(path), "data_shape": (3, 8, 8), "batch_size": 2}
    mx.io.VerificationPairIter(**given, **IMAGENET).close()
    (line,) = warned(caplog)
    assert line.startswith("VerificationPairIter: mean=(0.485")


@pytest.mark.parametrize(
    ("mean", "std", "scale", "wrong"),
    [
        ([0.0] * 3, [1.0] * 3, 1.0, False),
        ([123.68, 0.0, 0.5], [58.0] * 3, 1.0, False),
        ([127.5] * 3, [1.0] * 3, 0.0078125, False),
        ([123.68] * 3, [0.229] * 3, 1 / 255, False),
        ([], [], 1.0, False),
        ([0.5] * 3, [0.5] * 3, 1 / 255, True),
        ([0.5], [], 1.0, True),
        ([], [0.5], 1.0, True),
    ],
)
def test_what_is_of_pixels_of_0_to_1(mean, std, scale, wrong):
    assert bool(beside_bytes(mean, std, scale)) == wrong
