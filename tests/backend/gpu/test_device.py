"""The GPU backend on a GPU: the CPU kernels' bits, and the order that hardware ignores."""

import os

import cv2
import numpy as np
import pytest

from gpuio.backend import mixing
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.protocol import Output
from gpuio.decode.opencv import decode
from gpuio.kernels import normalise
from gpuio.kernels.cpu import augment
from support.gpu_batches import batch
from support.pictures import jpeg, picture, spoilt
from support.plans import EXTRAS, STEPS, plain, random_plan

pytestmark = pytest.mark.gpu

SIDE = 32
LONG = 65_000_000  # cycles: 35 ms or a little more
SPIN = """extern "C" __global__ void spin(long long n) {
  long long t = clock64();
  while (clock64() - t < n);
}"""
ENGINES = ["nvimgcodec", "dali"]


@pytest.fixture(params=ENGINES)
def backend(request):
    if os.environ.get("GPUIO_REQUIRE_GPU") != "1":
        pytest.importorskip(f"nvidia.{request.param}")
    made = GpuBackend(0, decoder=request.param, host_pixels=0)
    yield made
    made.close()


def output_of(dtype="float32", layout="NCHW", side=SIDE):
    mean, std = np.array([123, 117, 104], np.float32), np.array([58, 57, 57], np.float32)
    return Output(3, side, side, dtype, layout, mean, std, 1.0)


def on_cpu(blobs, rows, output):
    out = np.zeros(output.shape(len(rows)), normalise.storage(output.dtype))
    how = augment.Normalisation(output.dtype, output.mean, output.std, output.scale, output.layout)
    scratch = augment.Scratch()
    for k, blob in enumerate(blobs):
        augment.augment(decode(blob, 3), rows[k : k + 1], how, out[k], scratch)
    return out


def centre_crops(blobs, side=SIDE):
    rows = []
    for blob in blobs:
        height, width = decode(blob, 3).shape[:2]
        row = plain(height, width)
        row["crop_h"], row["crop_w"] = side, side
        row["crop_y"], row["crop_x"] = (height - side) // 2, (width - side) // 2
        rows.append(row)
    return np.concatenate(rows)


@pytest.mark.parametrize("dtype", normalise.DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("side", [32, 70, 96])
def test_random_plans_give_the_cpus_bits_for_equal_pixels(backend, dtype, layout, side):
    """PNG files: OpenCV decodes them on both sides."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(1)
    pictures = [picture(*map(int, rng.integers(20, 90, 2)), seed=k) for k in range(64)]
    blobs = [cv2.imencode(".png", pixels)[1].tobytes() for pixels in pictures]
    rows = np.concatenate(
        [
            random_plan(rng, *p.shape[:2], side, side, (*STEPS, *EXTRAS), (0, 1, 2, 3, 4, 5))
            for p in pictures
        ]
    )
    output = output_of(dtype, layout, side)
    out, faults = batch(backend, blobs, rows, output)
    assert faults == []
    assert out.asnumpy().tobytes() == on_cpu(blobs, rows, output).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("box", [None, (5, 3, 20, 17, "NCHW")])
def test_mixes_give_the_cpus_bits(backend, dtype, box):
    blobs = [cv2.imencode(".png", picture(60, 70, seed=k))[1].tobytes() for k in range(9)]
    rows, output = centre_crops(blobs), output_of(dtype)
    out, expected = batch(backend, blobs, rows, output)[0], on_cpu(blobs, rows, output).view(dtype)
    partner = np.array([3, 0, 2, 5, 4, 1, 8, 7, 6])
    backend.mix(out, partner, 0.3, box)
    if box is None:
        mixing.weigh(expected, partner, 0.3)
    else:
        mixing.paste(expected, partner, box[:4], box[4])
    assert out.asnumpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_jpeg_pixels_are_within_4_levels_of_opencv_and_on_average_within_half_a_level(
    backend, kind, monkeypatch
):
    monkeypatch.setattr("gpuio.backend.gpu.host.HostDecoder.decode", None)  # the engine has to
    blobs = [jpeg(picture(240 + k, 320 - k, seed=k), kind) for k in range(32)]
    rows = centre_crops(blobs, 224)
    output = output_of("uint8", side=224)
    out, faults = batch(backend, blobs, rows, output)
    assert faults == []
    difference = np.abs(out.asnumpy().astype(int) - on_cpu(blobs, rows, output))
    assert difference.max() <= 4
    assert difference.mean() <= 0.5


def test_bad_images_among_good_ones_fail_alone(backend):
    good = [jpeg(picture(64, 64, seed=k)) for k in range(8)]
    rows = centre_crops(good)
    blobs = [blob if k % 3 else blob[:90] for k, blob in enumerate(good)]
    out, faults = batch(backend, blobs, rows, output_of("uint8"))
    assert [fault.row for fault in faults] == [0, 3, 6]
    values = out.asnumpy()
    for k in range(8):
        assert values[k].any() == bool(k % 3)


def test_the_engine_that_takes_over_from_dali_makes_the_same_pixels():
    """Else a batch's bits would tell whether a batch before it was refused."""
    if os.environ.get("GPUIO_REQUIRE_GPU") != "1":
        pytest.importorskip("nvidia.dali")
        pytest.importorskip("nvidia.nvimgcodec")
    backend = GpuBackend(0, decoder="dali", host_pixels=0)
    backend.share(32, 1)
    blobs = [jpeg(picture(240 + k, 320 - k, seed=k)) for k in range(32)]
    rows, output = centre_crops(blobs, 224), output_of("uint8", side=224)
    before = batch(backend, blobs, rows, output)[0].asnumpy()
    _, faults = batch(backend, [spoilt(blobs[0]), *blobs[1:]], rows, output)
    assert [fault.row for fault in faults] == [0]
    assert backend.refused == 1
    after = batch(backend, blobs, rows, output)[0].asnumpy()
    backend.close()
    assert np.array_equal(before, after)


def test_buffers_are_not_decoded_into_while_a_reader_is_queued(backend):
    """The reader of a batch is held back by 35 ms; later batches must not disturb it."""
    import cupy

    spin = cupy.RawKernel(SPIN, "spin")
    blobs = [[jpeg(picture(200, 200, seed=100 * k + j)) for j in range(16)] for k in range(8)]
    rows = [centre_crops(each) for each in blobs]
    output = output_of("uint8")
    alone = [batch(backend, blobs[k], rows[k], output)[0].asnumpy() for k in range(8)]
    for _ in range(20):
        kept = []
        for k in range(8):
            for slot in backend._ring._free:
                with slot.stream:
                    spin((1,), (1,), (np.int64(LONG),))
            kept.append(batch(backend, blobs[k], rows[k], output)[0])
        for k in range(8):
            assert np.array_equal(kept[k].asnumpy(), alone[k])


def test_memory_is_used_again_only_behind_its_consumers(backend):
    """A consumer reads a batch late, and each batch is itself made late."""
    import cupy

    spin = cupy.RawKernel(SPIN, "spin")
    output = output_of("float32")
    blobs = [[jpeg(picture(64, 64, seed=9 * k + j)) for j in range(8)] for k in range(12)]
    rows = [centre_crops(each) for each in blobs]
    consumer = cupy.cuda.Stream(non_blocking=True)
    copies, expected = [], []
    for k in range(12):
        for slot in backend._ring._free:
            with slot.stream:
                spin((1,), (1,), (np.int64(LONG),))
        out, _ = batch(backend, blobs[k], rows[k], output)
        with consumer:
            taken = cupy.from_dlpack(out)
            if k % 2:
                spin((1,), (1,), (np.int64(2 * LONG),))
            copies.append(cupy.empty(taken.shape, taken.dtype))
            copies[-1].data.copy_from_device_async(taken.data, taken.nbytes)
        expected.append(out.asnumpy())
        del taken, out
    consumer.synchronize()
    assert np.array_equal([copied.get() for copied in copies], expected)


def test_arrays_know_mxnets_methods_and_numpys(backend):
    import cupy

    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    array = backend.put(values)
    assert isinstance(array, cupy.ndarray)
    assert repr(array.context) == "gpu(0)"
    array.wait_to_read()
    assert np.array_equal(array.asnumpy(), values)
    assert np.array_equal(array[1:].asnumpy(), values[1:])
    assert float(backend.put(np.float32([7])).asscalar()) == 7


def test_device_memory_stays_flat_over_many_batches(backend):
    import cupy

    blobs = [jpeg(picture(128, 128, seed=k)) for k in range(32)]
    rows = centre_crops(blobs)
    levels = []
    for _ in range(60):
        out, _ = batch(backend, blobs, rows, output_of())
        out.wait_to_read()
        levels.append(cupy.cuda.Device(0).mem_info[0])
    assert levels[-1] >= levels[20] - (8 << 20)


def test_tensors_are_ordered_behind_the_batch_on_torchs_stream(backend):
    torch = pytest.importorskip("torch")
    from gpuio.adapters.torch import to_torch

    blobs = [jpeg(picture(64, 64, seed=k)) for k in range(8)]
    rows = centre_crops(blobs)
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(20):
            out, _ = batch(backend, blobs, rows, output_of())
            tensor = to_torch(out)
            copied = tensor.clone().cpu().numpy()
            assert np.array_equal(copied, out.asnumpy())
