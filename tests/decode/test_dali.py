"""DALI's engine, on the host: the pipeline that runs on a GPU, with its "cpu" device."""

import ctypes
import gc
import weakref

import numpy as np
import pytest

from gpuio.backend.gpu.probe import gaps, survey
from gpuio.decode.dali import DaliEngine
from gpuio.decode.engine import OutOfDeviceMemoryError
from gpuio.decode.formats import probe
from gpuio.decode.opencv import decode
from gpuio.errors import BackendError, DecodeError
from support.pictures import cmyk_jpeg, every_jpeg, jpeg, picture

pytest.importorskip("nvidia.dali")


@pytest.fixture(scope="module")
def engine():
    made = DaliEngine(None, 1)
    yield made
    made.close()


def sizes_of(blobs):
    return np.array([probe(blob)[1:3] for blob in blobs], np.int32)


def pixels_at(made, row, shape):
    """Read an image where the engine says it is, as a kernel would, in B, G, R order."""
    kind = ctypes.c_uint8 * int(np.prod(shape))
    values = np.frombuffer(kind.from_address(int(made.addresses[row])), np.uint8).reshape(shape)
    return values[..., ::-1] if made.swapped else values


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_equal_opencvs_for_every_kind_of_jpeg(engine, channels):
    files = every_jpeg()
    blobs = list(files.values())
    sizes = sizes_of(blobs)
    made = engine.decode(blobs, sizes, channels)
    assert made.errors == {}
    for row, (name, blob) in enumerate(files.items()):
        ours = pixels_at(made, row, (*sizes[row], channels))
        assert np.array_equal(ours, decode(blob, channels)), name


def test_cmyk_is_within_2_levels_of_opencv(engine):
    blob = cmyk_jpeg(40, 56)
    made = engine.decode([blob], sizes_of([blob]), 3)
    assert np.abs(pixels_at(made, 0, (40, 56, 3)).astype(int) - decode(blob, 3)).max() <= 2


def test_a_bad_image_fails_its_batch_and_the_next_batch_decodes(engine):
    good = jpeg(picture(40, 48))
    sizes = sizes_of([good] * 2)
    for bad in (b"", b"rubbish" * 20, good[:80], good[: len(good) // 2]):
        with pytest.raises(DecodeError, match="refused a batch of 2"):
            engine.decode([good, bad], sizes, 3)
        made = engine.decode([good, good], sizes, 3)
        assert np.array_equal(pixels_at(made, 1, (40, 48, 3)), decode(good, 3))


def test_what_is_kept_is_not_overwritten_by_later_batches(engine):
    blobs = [jpeg(picture(30 + k, 40, seed=k)) for k in range(6)]
    kept = [engine.decode([blob], sizes_of([blob]), 3) for blob in blobs]
    for k, blob in enumerate(blobs):
        assert np.array_equal(pixels_at(kept[k], 0, (30 + k, 40, 3)), decode(blob, 3))


def test_a_pipeline_lives_as_long_as_what_it_decoded_is_kept():
    engine, blob = DaliEngine(None, 1), jpeg(picture(30, 40))
    made = engine.decode([blob], sizes_of([blob]), 3)
    pipeline = weakref.ref(engine._pipelines[3])
    engine.close()
    gc.collect()
    assert pipeline() is not None
    assert np.array_equal(pixels_at(made, 0, (30, 40, 3)), decode(blob, 3))
    del made
    gc.collect()
    assert pipeline() is None


def test_closing_gives_back_what_dalis_pools_hold_after_the_pipelines_are_gone(monkeypatch):
    engine, left = DaliEngine(None, 1), []
    pipeline = weakref.ref(engine._pipelines[3])

    def release():
        gc.collect()
        left.append(pipeline())

    monkeypatch.setattr("nvidia.dali.backend.ReleaseUnusedMemory", release)
    engine.close()
    assert left == [None]


def test_a_gpu_that_is_not_there_is_an_error_at_the_opening():
    if not gaps(survey(), 0):
        pytest.skip("this machine has a usable GPU")
    with pytest.raises(BackendError, match="DALI made no pipeline"):
        DaliEngine(0, 1)


def test_smaller_and_larger_batches_than_before_decode(engine):
    blob = jpeg(picture(20, 24))
    for rows in (3, 1, 9, 4):
        made = engine.decode([blob] * rows, sizes_of([blob] * rows), 3)
        for row in range(rows):
            assert np.array_equal(pixels_at(made, row, (20, 24, 3)), decode(blob, 3))


def test_a_size_unlike_the_headers_fails_that_row_only(engine):
    blob = jpeg(picture(20, 24))
    made = engine.decode([blob, blob], np.array([[20, 24], [20, 25]], np.int32), 3)
    assert list(made.errors) == [1]
    assert made.addresses[0] != 0
    assert made.addresses[1] == 0


def test_a_full_device_is_told_apart_from_a_bad_image(engine, monkeypatch):
    class Full:
        def feed_input(self, *args):
            raise RuntimeError(
                "CUDA allocation failed\nCUDA_ERROR_OUT_OF_MEMORY (2): out of memory"
            )

    monkeypatch.setitem(engine._pipelines, 3, Full())
    blob = jpeg(picture(8, 8))
    with pytest.raises(OutOfDeviceMemoryError, match="DALI"):
        engine.decode([blob], sizes_of([blob]), 3)
    assert 3 not in engine._pipelines


@pytest.mark.parametrize(
    ("says", "kind", "match"),
    [
        ("no kernel image is available", BackendError, "DALI made no pipeline: no kernel image"),
        ("CUDA_ERROR_OUT_OF_MEMORY", OutOfDeviceMemoryError, "OUT_OF_MEMORY"),
    ],
)
def test_a_pipeline_that_cannot_be_built_is_no_fault_of_the_images(monkeypatch, says, kind, match):
    def build(engine, channels):
        raise RuntimeError(says)

    monkeypatch.setattr(DaliEngine, "_build", build)
    blob = jpeg(picture(8, 8))
    with pytest.raises(kind, match=match):
        DaliEngine(None, 1).decode([blob], sizes_of([blob]), 3)
