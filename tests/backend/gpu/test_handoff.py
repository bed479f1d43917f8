"""ImageRecordIter on a GPU, end to end, and its batches in the hands of others."""

import gc
import os

import cv2
import numpy as np
import pytest

from gpuio import recordio
from gpuio.io import ImageRecordIter
from gpuio.nd import asnumpy
from support.leaks import left, open_files, threads
from support.pictures import jpeg, picture

pytestmark = pytest.mark.gpu

COUNT, SIZE = 96, 4
BASE = {"data_shape": (3, 48, 48), "batch_size": SIZE, "seed_aug": 7, "verbose": False}
ON_GPU = {**BASE, "resize": 50, "ctx": "gpu", "decoder": "nvimgcodec"}


def needed(module):
    """Import a module; without it the test is skipped, or fails where a GPU must be there."""
    if os.environ.get("GPUIO_REQUIRE_GPU") != "1":
        pytest.importorskip(module)
    return __import__(module)


def write(folder, encode):
    rec, idx = str(folder / "some.rec"), str(folder / "some.idx")
    writer = recordio.MXIndexedRecordIO(idx, rec, "w")
    for key in range(COUNT):
        blob = encode(picture(60 + key % 9, 80 - key % 7, seed=key))
        writer.write_idx(key, recordio.pack(recordio.IRHeader(0, float(key), key, 0), blob))
    writer.close()
    return {"path_imgrec": rec, "path_imgidx": idx}


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def epoch(**options):
    with ImageRecordIter(**{**BASE, **options}) as it:
        return [(asnumpy(b.data[0]), asnumpy(b.label[0]), b.pad) for b in it]


@pytest.mark.parametrize("decoder", ["nvimgcodec", "dali"])
@pytest.mark.parametrize(
    "options",
    [
        {"resize": 50, "rand_crop": True, "rand_mirror": True, "shuffle": True, "mean_r": 123},
        {"random_resized_crop": True, "min_random_area": 0.2, "dtype": "float16", "std_g": 58},
        {"resize": 50, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "pca_noise": 9},
        {"resize": 50, "dtype": "uint8", "layout": "NHWC", "antialias": True},
        {"max_rotate_angle": 30, "pad": 3, "inter_method": 10, "data_shape": (3, 96, 100)},
    ],
    ids="-".join,
)
def test_equal_pixels_make_the_batches_of_the_cpu(tmp_path, decoder, options):
    files = write(tmp_path, png)
    ours = epoch(ctx="gpu", decoder=decoder, **files, **options)
    theirs = epoch(ctx="cpu", **files, **options)
    assert len(ours) == len(theirs) == COUNT // SIZE
    for (data, label, pad), (data_cpu, label_cpu, pad_cpu) in zip(ours, theirs, strict=True):
        assert data.dtype == data_cpu.dtype
        assert data.tobytes() == data_cpu.tobytes()
        assert label.tobytes() == label_cpu.tobytes()
        assert pad == pad_cpu


@pytest.mark.parametrize("decoder", ["nvimgcodec", "dali"])
def test_jpegs_make_nearly_the_batches_of_the_cpu(tmp_path, decoder, monkeypatch):
    files = write(tmp_path, jpeg)
    options = {"resize": 50, "rand_crop": True, "rand_mirror": True, "dtype": "uint8", **files}
    made = epoch(ctx="gpu", decoder=decoder, **options)
    for ours, theirs in zip(made, epoch(ctx="cpu", **options), strict=True):
        assert np.abs(ours[0].astype(int) - theirs[0]).mean() < 1


def kept_and_compared(loader, convert):
    """Hold batch k until k + 10 and compare it with what it was when it came."""
    held = []
    for data, label in loader:
        held.append((data, convert(data).copy(), convert(label).copy(), label))
        if len(held) > 10:
            data_then, data_copy, label_copy, label_then = held.pop(0)
            assert np.array_equal(convert(data_then), data_copy)
            assert np.array_equal(convert(label_then), label_copy)
            assert label_copy[0] % SIZE == 0
    return len(held)


def test_tensors_of_batch_k_stay_while_batches_up_to_k_plus_10_are_made(tmp_path):
    torch = needed("torch")
    from gpuio.adapters.torch import loader

    with ImageRecordIter(**ON_GPU, **write(tmp_path, png)) as it:
        tensors = loader(it)
        with torch.cuda.stream(torch.cuda.Stream()):
            assert kept_and_compared(tensors, lambda tensor: tensor.clone().cpu().numpy()) == 10
        assert len(list(tensors)) == COUNT // SIZE


def test_jax_arrays_of_batch_k_stay_while_batches_up_to_k_plus_10_are_made(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "gpu":
        pytest.skip("this JAX has no GPU")
    from gpuio.adapters.jax import loader

    with ImageRecordIter(**ON_GPU, **write(tmp_path, png)) as it:
        assert kept_and_compared(loader(it), np.asarray) == 10


def test_who_takes_the_cuda_array_interface_gets_the_same_values(tmp_path):
    torch = needed("torch")
    with ImageRecordIter(**ON_GPU, **write(tmp_path, png)) as it:
        for batch in it:
            tensor = torch.as_tensor(batch.data[0], device="cuda")
            assert tensor.data_ptr() == batch.data[0].data.ptr
            assert np.array_equal(tensor.cpu().numpy(), batch.data[0].asnumpy())


def test_iterators_left_early_leave_no_thread_and_no_file(tmp_path):
    files = write(tmp_path, jpeg)

    def leave():
        it = ImageRecordIter(**ON_GPU, **files)
        next(it)

    leave()
    gc.collect()
    running, open_before = threads(), sum(open_files().values())
    for _ in range(5):
        leave()
    assert left(running) == []
    assert sum(open_files().values()) <= open_before + 2
