"""A full GPU, as the engines show it: images that are missing, or words of a damaged image."""

import gc

import numpy as np
import pytest

from gpuio.backend.gpu.backend import GpuBackend
from gpuio.decode.opencv import decode
from gpuio.errors import BackendError
from support.fake_device import FakeDevice
from support.gpu_batches import batch, blobs_of, expected, rows_of
from support.pictures import spoilt

pytest.importorskip("nvidia.dali")
pytest.importorskip("nvidia.nvimgcodec")

from support.full_engines import full_dali, full_nvimgcodec

PER_IMAGE = 1 << 20  # bytes that an engine's library allocates for an image


class Device(FakeDevice):
    """A fake device that may be broken: as CUDA does, it then answers any call with the error."""

    broken = False

    def memory(self):
        if self.broken:
            raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
        return super().memory()


class Gpu:
    """A backend on a fake device with one kind of engine, and nvImageCodec as DALI's rescue."""

    def __init__(self, engine, limit=1 << 30):
        self.device, self.given, self.rescued = Device(limit), [], []
        self.refuse = 0  # calls that do not fit, whatever is free
        opener = {"dali": full_dali, "nvimgcodec": full_nvimgcodec}[engine]
        self.backend = GpuBackend(
            0,
            device=self.device,
            host_pixels=0,
            open_engine=lambda: opener(self.fits, self.given),
            open_rescue=lambda: full_nvimgcodec(self.fits, self.rescued),
        )

    def fits(self, images):
        if self.refuse:
            self.refuse -= 1
            return False
        return self.device.memory()[0] >= images * PER_IMAGE


@pytest.fixture
def gpu():
    made = []

    def opened(*args, **how):
        made.append(Gpu(*args, **how))
        return made[-1]

    yield opened
    for each in made:
        each.backend.close()
    gc.collect()
    assert [each.device.used for each in made] == [0] * len(made)


@pytest.fixture
def on_host(monkeypatch):
    """Return the images that the host decoded."""
    decoded = []

    def noted(blob, channels, scale):
        decoded.append(bytes(blob))
        return decode(blob, channels, scale)

    monkeypatch.setattr("gpuio.backend.gpu.host.decode", noted)
    monkeypatch.setattr("gpuio.decode.turbojpeg.compiled", lambda: None)
    return decoded


def check(gpu, blobs, bad=()):
    """Make a batch; all but its bad images must be there."""
    rows = rows_of(blobs)
    out, faults = batch(gpu.backend, blobs, rows)
    assert [fault.row for fault in faults] == list(bad)
    usable = [None if row in bad else blob for row, blob in enumerate(blobs)]
    assert np.array_equal(out.asnumpy(), expected(usable, rows))
    return faults


both = pytest.mark.parametrize("engine", ["dali", "nvimgcodec"])


@both
def test_idle_memory_is_freed_and_the_engine_decodes_the_batch_in_halves(gpu, on_host, engine):
    one, blobs = gpu(engine), blobs_of(8)
    check(one, blobs)
    one.device.limit = one.device.used + 6 * PER_IMAGE  # the slots hold what is missing
    check(one, blobs)
    assert one.given == [8, 8, 4, 4]
    assert on_host == one.rescued == []
    assert one.backend.refused == 0


@both
def test_a_passing_shortage_changes_no_engine(gpu, on_host, engine, caplog):
    one = gpu(engine)
    for seed in range(3):
        one.refuse = int(seed == 1)
        check(one, blobs_of(4, seed))
    assert one.backend._engines.kind == 0
    assert one.given == [4, 4, 2, 2, 4]
    assert on_host == one.rescued == caplog.records == []


def test_a_bad_image_still_changes_dali_for_nvimagecodec(gpu, on_host):
    one, blobs = gpu("dali"), blobs_of(4)
    blobs[1] = spoilt(blobs[1])
    check(one, blobs, bad=[1])
    check(one, blobs_of(4))
    assert one.backend._engines.name == "nvimgcodec"
    assert one.given == [4, 2]
    assert one.rescued == [2, 2, 4]
    assert on_host == [blobs[1]]


def test_a_gpu_that_stays_full_is_named_once_and_no_image_is_called_damaged(gpu, on_host, caplog):
    one, blobs = gpu("nvimgcodec"), blobs_of(4)
    one.refuse = 10**9
    for _ in range(40):
        check(one, blobs)
    assert on_host == blobs * 40
    (said,) = (record.getMessage() for record in caplog.records)
    assert "MiB free: nvImageCodec did not decode the JPEG of" in said
    assert "damaged" not in said
    # the first batch is tried again, then rarer and rarer
    assert 40 + 2 * 2 <= len(one.given) <= 40 + 2 * 4
    one.refuse = 0
    on_host.clear()
    check(one, blobs)
    assert on_host == []


def test_a_few_images_that_are_not_decoded_are_believed_at_once(gpu, on_host):
    one, blobs = gpu("nvimgcodec"), blobs_of(8)
    blobs[2], blobs[5] = spoilt(blobs[2]), spoilt(blobs[5])
    check(one, blobs, bad=[2, 5])
    assert one.given == [8]
    assert on_host == [blobs[2], blobs[5]]


def test_a_file_of_which_engines_decode_little_is_rarely_tried_twice(gpu):
    one = gpu("nvimgcodec")
    blobs = [spoilt(blob) for blob in blobs_of(3)] + blobs_of(1)
    for _ in range(60):
        check(one, blobs, bad=[0, 1, 2])
    assert len(one.given) <= 60 + 2 * 4


@both
def test_a_broken_gpu_is_an_error_and_not_the_hosts_work(gpu, on_host, engine):
    one = gpu(engine)
    one.refuse, one.device.broken = 10**9, True
    blobs = blobs_of(4)
    with pytest.raises(BackendError, match=r"cudaErrorIllegalAddress.*gpuio doctor"):
        batch(one.backend, blobs, rows_of(blobs))
    assert on_host == one.rescued == []
