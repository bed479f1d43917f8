"""The GPU backend's orchestration, on a device made of host memory."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.engines import EnginePool
from gpuio.backend.gpu.workspace import Ring
from gpuio.backend.protocol import Encoded, Output
from gpuio.decode.dali import DaliEngine
from gpuio.decode.engine import Decoded, OutOfDeviceMemoryError
from gpuio.decode.formats import engine_takes, probe
from gpuio.decode.jpeg import completed
from gpuio.decode.nvimgcodec import NvImageCodecEngine
from gpuio.decode.opencv import decode
from gpuio.errors import BackendError, ClosedError, DecodeError
from support.fake_device import POISON, FakeDevice
from support.gpu_batches import (
    MEAN,
    OUTPUT,
    SIDE,
    STD,
    batch,
    blobs_of,
    encoded,
    expected,
    rows_of,
)
from support.pictures import cmyk_jpeg, jpeg, picture
from support.plans import plain

ENGINES = {
    "nvimgcodec": lambda: NvImageCodecEngine(None, 1),
    "dali": lambda: DaliEngine(None, 1),
}


@pytest.fixture(params=sorted(ENGINES))
def opener(request):
    pytest.importorskip(f"nvidia.{request.param}")
    return ENGINES[request.param]


@pytest.fixture
def make(opener):
    """Return a function that makes a backend on a fake device; closed afterwards."""
    made = []

    def backend(device=None, **settings):
        made.append(
            GpuBackend(
                0,
                device=device or FakeDevice(),
                **{"open_engine": opener, "host_pixels": 0, **settings},
            )
        )
        return made[-1]

    yield backend
    for each in made:
        each.close()


def first_batch(make, **settings):
    """Make a batch of two on a new device; return the device, the backend, the batch, its bits."""
    device = FakeDevice()
    backend = make(device, **settings)
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    return device, backend, batch(backend, blobs, rows)[0], expected(blobs, rows)


def make_others(backend):
    """Make four other batches, one after the other."""
    blobs = blobs_of(2, 50)
    for _ in range(4):
        batch(backend, blobs, rows_of(blobs))[0].wait_to_read()


def test_batches_equal_the_cpu_kernels_and_the_host_decodes_none_of_them(make, monkeypatch):
    backend = make()
    monkeypatch.setattr("gpuio.backend.gpu.host.HostDecoder.decode", None)
    for seed in range(4):
        blobs = blobs_of(5, seed)
        rows = rows_of(blobs)
        out, faults = batch(backend, blobs, rows)
        assert faults == []
        assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_what_the_hardware_rejects_is_decoded_by_opencv_and_uploaded(make):
    import cv2

    pixels = picture(36, 44)
    blobs = [
        jpeg(pixels),
        jpeg(pixels, progressive=True),
        cv2.imencode(".png", pixels)[1].tobytes(),
        jpeg(pixels, "4:1:1"),
        cmyk_jpeg(36, 44),
        jpeg(picture(36, 44, 1)),
    ]
    rows = rows_of(blobs)
    out, faults = batch(make(), blobs, rows)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_alpha_batches_equal_the_cpu_kernels(make, channels):
    import cv2

    output = Output(channels, SIDE, SIDE, "uint8", "NHWC", MEAN[:1], STD[:1], 1.0)
    if channels == 4:
        output = Output(
            4, SIDE, SIDE, "uint8", "NHWC", np.zeros(4, np.float32), np.ones(4, np.float32), 1.0
        )
        blobs = [cv2.imencode(".png", picture(36, 44, 4, k))[1].tobytes() for k in range(3)]
    else:
        blobs = [jpeg(picture(36, 44, 3)), jpeg(picture(36, 44, 1))]
    rows = rows_of(blobs)
    out, faults = batch(make(), blobs, rows, output)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows, output))


def test_a_batch_of_more_rows_than_a_grid_counts_is_made_in_parts(make):
    rows, side = 65_535 + 3, 2
    output = Output(3, side, side, "uint8", "NHWC", MEAN, STD, 1.0)
    good, bad, backend = jpeg(picture(side, side)), b"\xff\xd8 no image", make()
    blobs = [None] * rows
    blobs[0] = blobs[65_534] = blobs[65_535] = blobs[-1] = good
    blobs[65_536] = bad
    records = Encoded.empty(rows)
    for row in np.flatnonzero([blob is not None for blob in blobs]).tolist():
        records.put(row, blobs[row])
        records.headers[row] = probe(good)
    plan = np.repeat(plain(side, side), rows)
    plan["crop_h"], plan["crop_w"] = side, side
    out = backend.allocate(output.shape(rows), output.dtype)
    faults = backend.make(records, plan, output, out)
    assert [fault.row for fault in faults] == [65_536]
    values, one = out.asnumpy(), expected([good], plan[:1], output)[0]
    for row in (0, 65_534, 65_535, rows - 1):
        assert np.array_equal(values[row], one)
    assert np.count_nonzero(values.any((1, 2, 3))) == 4


def test_a_row_without_an_image_and_a_bad_image_are_zero_and_only_the_bad_one_is_a_fault(make):
    good = blobs_of(5)
    blobs = [good[0], None, good[2], good[3][:60], good[4]]
    rows = rows_of(good)
    out, faults = batch(make(), blobs, rows)
    assert [fault.row for fault in faults] == [3]
    assert isinstance(faults[0].error, DecodeError)
    usable = [good[0], None, good[2], None, good[4]]
    assert np.array_equal(out.asnumpy(), expected(usable, rows))


def test_a_batch_of_nothing_but_rubbish_is_zero_and_the_next_one_is_right(make):
    backend = make()
    good = blobs_of(3)
    rows = rows_of(good)
    rubbish = [blob[: len(blob) // 3] for blob in good]
    out, faults = batch(backend, rubbish, rows)
    assert [fault.row for fault in faults] == [0, 1, 2]
    assert not out.asnumpy().any()
    out, faults = batch(backend, good, rows)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(good, rows))


def test_a_plan_outside_its_image_is_a_fault_of_its_row(make):
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    rows["crop_y"][1] = 9
    out, faults = batch(make(), blobs, rows)
    assert [fault.row for fault in faults] == [1]
    assert "outside an image" in str(faults[0].error)
    assert not out.asnumpy()[1].any()


def test_many_batches_in_flight_do_not_disturb_each_other(make):
    """Nothing is waited for until the end: every slot's turn must wait for its last reader."""
    backend = make()
    made = []
    for seed in range(12):
        blobs = blobs_of(3, 10 * seed)
        rows = rows_of(blobs)
        made.append((batch(backend, blobs, rows)[0], expected(blobs, rows)))
    for out, reference in made:
        assert np.array_equal(out.asnumpy(), reference)


def test_without_the_host_wait_pixels_are_poisoned(monkeypatch):
    """The hazard is real on this device: a backend that skips the wait makes wrong batches."""
    pytest.importorskip("nvidia.nvimgcodec")
    backend = GpuBackend(0, device=FakeDevice(), open_engine=ENGINES["nvimgcodec"], host_pixels=0)
    monkeypatch.setattr("gpuio.backend.gpu.workspace.Ring.take", take_without_waiting)
    made = []
    for seed in range(3):
        blobs = blobs_of(2, 10 * seed)
        rows = rows_of(blobs)
        made.append((batch(backend, blobs, rows)[0], expected(blobs, rows)))
    assert not all(np.array_equal(out.asnumpy(), reference) for out, reference in made)


def take_without_waiting(ring):
    from gpuio.backend.gpu.workspace import Slot

    if ring._free:
        return ring._free.pop(0)
    return Slot(ring._device)


def test_a_slot_nobody_reads_is_taken_before_an_older_one_that_is_read():
    device = FakeDevice()
    ring = Ring(device, 2)
    first, second = ring.take(), ring.take()
    for slot in (first, second):
        slot.stream.work.append(lambda: None)
        slot.read_done.record(slot.stream)
        ring.put(slot)
    second.stream.run(1)
    device.log.clear()
    assert ring.take() is second
    assert ring.take() is first
    assert device.log == [("host wait", second.stream.ptr), ("host wait", first.stream.ptr)]


def test_a_slot_in_use_at_the_close_is_freed_when_it_is_put_back():
    device = FakeDevice()
    ring = Ring(device, 2)
    slot = ring.take()
    ring.close()
    slot.memory("pixels", 1000)
    slot.keep = "what the engine holds"
    slot.read_done.record(slot.stream)
    ring.put(slot)
    assert slot.keep is None
    assert device.used == 0


def test_threads_may_share_a_backend(make):
    backend = make()

    def work(seed):
        blobs = blobs_of(3, 5 * seed)
        rows = rows_of(blobs)
        out, faults = batch(backend, blobs, rows)
        assert faults == []
        return np.array_equal(out.asnumpy(), expected(blobs, rows))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(16)))


def test_a_held_batch_is_never_overwritten(make):
    backend = make(keep=1)
    blobs = [blobs_of(2, 10 * k) for k in range(14)]
    rows = [rows_of(each) for each in blobs]
    kept = [batch(backend, blobs[k], rows[k])[0] for k in range(4)]
    for k in range(4, 14):
        batch(backend, blobs[k], rows[k])
    for k in range(4):
        assert np.array_equal(kept[k].asnumpy(), expected(blobs[k], rows[k]))


def test_memory_is_used_again_only_behind_what_consumers_had_queued(make):
    """A consumer queues a read, drops the batch, and reads it after ten more batches were made."""
    device = FakeDevice()
    backend = make(device, keep=2)
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    consumer = device.new_stream()
    seen = []
    for _ in range(10):
        out, _ = batch(backend, blobs, rows)
        taken = Addressed(np.from_dlpack(Exported(out, consumer.ptr)))
        consumer.work.append(lambda taken=taken: seen.append(taken.read()))
        del out
        gc.collect()
    other = blobs_of(2, 50)
    for _ in range(4):
        last, _ = batch(backend, other, rows_of(other))
    assert np.array_equal(last.asnumpy(), expected(other, rows_of(other)))
    consumer.run(len(consumer.work))
    for values in seen:
        assert np.array_equal(values, expected(blobs, rows))
    assert len(seen) == 10
    assert device.calls["alloc"] < 2 * 14


def test_a_consumers_stream_waits_for_the_batch_and_the_host_does_not(make):
    device, _, out, bits = first_batch(make)
    consumer, seen = device.new_stream(), []
    before = [entry for entry in device.log if entry[0] == "host wait"]
    taken = np.from_dlpack(Exported(out, consumer.ptr))
    assert [entry for entry in device.log if entry[0] == "host wait"] == before
    assert not np.array_equal(np.asarray(taken), bits)
    consumer.work.append(lambda: seen.append(np.array(taken)))
    consumer.run(len(consumer.work))
    assert np.array_equal(seen[0], bits)


@pytest.mark.parametrize(
    "take",
    [
        lambda out: out.__cuda_array_interface__,
        lambda out: out.__dlpack__(stream=-1),
        lambda out: out[:1].__dlpack__(stream=-1),
        lambda out: out.toDlpack(),
    ],
    ids=["array interface", "DLPack without a stream", "of a view", "toDlpack"],
)
def test_a_consumer_that_names_no_stream_gets_a_complete_batch_and_keeps_it(make, take):
    """Read at once, then again after the batch was dropped."""
    device, backend, out, bits = first_batch(make, keep=2)
    taken = Addressed(np.asarray(out))
    take(out)
    assert np.array_equal(taken.read(), bits)
    stranger, seen = device.new_stream(), []
    stranger.work.append(lambda: seen.append(taken.read()))
    del out
    gc.collect()
    make_others(backend)
    stranger.run(len(stranger.work))
    assert np.array_equal(seen[0], bits)


def test_a_look_at_the_array_interface_holds_nobody_up_who_drops_the_batch(make):
    """`hasattr` cannot be told from a consumer: the wait is left to who needs that memory next."""
    device, backend, looked_at, _ = first_batch(make, keep=2)
    assert hasattr(looked_at, "__cuda_array_interface__")
    address, ran = np.asarray(looked_at).ctypes.data, []
    device.new_stream().work.append(lambda: ran.append(1))  # the rest of the device is busy
    blobs = blobs_of(2, 50)
    clean, _ = batch(backend, blobs, rows_of(blobs))
    del looked_at, clean
    gc.collect()
    assert ran == []
    first, _ = batch(backend, blobs, rows_of(blobs))
    assert np.asarray(first).ctypes.data != address
    assert ran == []
    second, _ = batch(backend, blobs, rows_of(blobs))
    assert np.asarray(second).ctypes.data == address
    assert ran == [1]


def test_memory_whose_consumers_stream_is_gone_is_used_again_after_the_whole_device(
    make, monkeypatch
):
    def gone(handles):
        raise RuntimeError("cudaErrorInvalidResourceHandle")

    device, backend, out, bits = first_batch(make, keep=2)
    out.wait_to_read()
    stranger, seen, taken = device.new_stream(), [], Addressed(np.asarray(out))
    stranger.work.append(lambda: seen.append(taken.read()))
    with monkeypatch.context() as patched:
        patched.setattr(device, "record_here", gone)
        del out
        gc.collect()
    make_others(backend)
    stranger.run(len(stranger.work))
    assert np.array_equal(seen[0], bits)


class Exported:
    """Asks an array for an export on a stream, as PyTorch and JAX do."""

    def __init__(self, array, handle):
        self.array, self.handle = array, handle

    def __dlpack__(self, **options):
        return self.array.__dlpack__(stream=self.handle)

    def __dlpack_device__(self):
        return (1, 0)


class Addressed:
    """Remembers where an array lies without keeping it alive."""

    def __init__(self, array):
        self.address, self.shape, self.dtype = array.ctypes.data, array.shape, array.dtype

    def read(self):
        import ctypes

        size = int(np.prod(self.shape)) * self.dtype.itemsize
        raw = (ctypes.c_uint8 * size).from_address(self.address)
        return np.frombuffer(raw, self.dtype).reshape(self.shape).copy()


def test_put_copies_to_the_device_and_may_be_repeated(make):
    backend = make()
    values = [np.arange(k, k + 7, dtype=np.float32).reshape(1, 7) for k in range(5)]
    arrays = [backend.put(value) for value in values]
    for value in values:
        value[:] = 100
    for k, array in enumerate(arrays):
        assert np.array_equal(array.asnumpy(), np.arange(k, k + 7, dtype=np.float32)[None])
        assert repr(array.context) == "gpu(0)"
    assert backend.put(np.zeros((0, 3))).shape == (0, 3)


def test_fence_completes_arrays_on_the_host(make):
    device = FakeDevice()
    backend = make(device)
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    out, _ = batch(backend, blobs, rows)
    assert not np.array_equal(np.asarray(out), expected(blobs, rows))
    backend.fence([out])
    assert np.array_equal(np.asarray(out), expected(blobs, rows))


def test_a_slice_of_a_batch_knows_its_batch(make):
    backend = make()
    blobs = blobs_of(4)
    rows = rows_of(blobs)
    out = backend.allocate(OUTPUT.shape(4), OUTPUT.dtype)
    for first in (0, 2):
        part = slice(first, first + 2)
        backend.make(encoded(blobs[part]), rows[part], OUTPUT, out[part])
    assert np.array_equal(out[1:3].asnumpy(), expected(blobs, rows)[1:3])


def test_a_row_made_again_is_written_after_the_batch_it_replaces_a_row_of(make):
    device = FakeDevice()
    backend = make(device)
    blobs = blobs_of(3)
    rows = rows_of(blobs)
    out, _ = batch(backend, [blobs[0], None, blobs[2]], rows)
    backend.make(encoded(blobs[1:2]), rows[1:2], OUTPUT, out[1:2])
    for stream in reversed(device.streams.values()):
        stream.run(len(stream.work))
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_writing_into_a_batch_waits_for_it_first(make):
    backend = make()
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    out, _ = batch(backend, blobs, rows)
    moved = out[np.array([1, 0])]
    out, _ = batch(backend, blobs, rows)
    out[0] = 5
    values = out.asnumpy()
    assert np.array_equal(np.asarray(moved), expected(blobs, rows)[::-1])
    assert (values[0] == 5).all()
    assert np.array_equal(values[1], expected(blobs, rows)[1])


def test_a_full_device_makes_the_batch_in_two_halves(opener):
    device = FakeDevice()
    backend = GpuBackend(0, device=device, open_engine=opener)
    blobs = [jpeg(picture(400, 600, seed=k), progressive=True) for k in range(4)]
    rows = rows_of(blobs)
    out = backend.allocate(OUTPUT.shape(4), OUTPUT.dtype)
    device.limit = device.used + 2 * 720_000 + (1 << 20) + 5000
    faults = backend.make(encoded(blobs), rows, OUTPUT, out)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert ("trim",) in device.log
    backend.close()


def test_what_idle_slots_hold_makes_room_for_a_larger_batch(make):
    device = FakeDevice()
    backend = make(device)
    blobs = [jpeg(picture(400, 600, seed=k), progressive=True) for k in range(4)]
    rows = rows_of(blobs)
    small = [batch(backend, blobs[k : k + 1], rows[k : k + 1])[0] for k in range(2)]
    assert len(backend._ring._free) == 2
    out = backend.allocate(OUTPUT.shape(4), OUTPUT.dtype)
    device.limit = device.used
    assert backend.make(encoded(blobs), rows, OUTPUT, out) == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert np.array_equal(small[1].asnumpy(), expected(blobs[1:2], rows[1:2]))


def test_a_device_too_small_for_half_a_batch_is_an_error_with_sizes(make):
    device = FakeDevice()
    backend = make(device)
    blobs = [jpeg(picture(400, 600, seed=k), progressive=True) for k in range(4)]
    rows = rows_of(blobs)
    out = backend.allocate(OUTPUT.shape(4), OUTPUT.dtype)
    device.limit = device.used + 1000
    with pytest.raises(BackendError, match=r"decoding 4 images, or 2 of them: 1 MiB asked for"):
        backend.make(encoded(blobs), rows, OUTPUT, out)
    device.limit = 1 << 30
    assert backend.make(encoded(blobs), rows, OUTPUT, out) == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_no_room_for_a_batch_is_an_error_that_names_its_shape(make):
    device = FakeDevice()
    backend = make(device)
    device.limit = device.used
    with pytest.raises(BackendError, match=r"shape \(8, 3, 24, 24\) and dtype float32"):
        backend.allocate((8, 3, 24, 24), "float32")


@pytest.mark.parametrize("call", ["alloc", "upload", "launch", "new_stream"])
def test_every_device_call_may_fail_and_the_next_batch_is_right(make, call):
    """Fail the first, second, third ... call until a whole batch passes untouched."""
    blobs = blobs_of(3)
    blobs[1] = jpeg(picture(31, 33), progressive=True)
    rows = rows_of(blobs)
    for number in range(1, 20):
        device = FakeDevice(fail={call: {number: RuntimeError("CUDA says no")}})
        backend = make(device)
        try:
            out, faults = batch(backend, blobs, rows)
        except BackendError:
            out, faults = batch(backend, blobs, rows)
        assert faults == []
        assert np.array_equal(out.asnumpy(), expected(blobs, rows))
        if device.calls[call] < number:
            break
    else:
        pytest.fail("the batch never ran without the failure")


class Stubborn:
    """An engine that fails as it is told."""

    name, uses_arena = "stubborn", False

    def __init__(self, error):
        self.error, self.calls = error, 0

    def warm_up(self, blob, rows):
        pass

    def decode(self, blobs, sizes, channels, places, stream):
        self.calls += 1
        raise self.error

    def close(self):
        pass


def test_an_engine_that_refuses_a_batch_costs_time_not_data_and_is_logged_once(make, caplog):
    engine = Stubborn(DecodeError("nvImageCodec failure: '#4'"))
    backend = make(open_engine=lambda: engine)
    blobs = blobs_of(3)
    rows = rows_of(blobs)
    batch(backend, blobs, rows)
    out, faults = batch(backend, blobs, rows)
    assert faults == []
    assert engine.calls == 3 + 1  # the first batch, its halves, the second batch
    assert backend.refused == 6
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == (
        "OpenCV decodes what stubborn did not, 2 at first, with 1,024 of 1,024 MiB free: "
        "nvImageCodec failure: '#4'"
    )
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


class Counting:
    """Stands before an engine and writes down what it is given."""

    def __init__(self, engine):
        self.engine, self.given = engine, []
        self.name, self.uses_arena = engine.name, engine.uses_arena
        self.warm_up, self.close = engine.warm_up, engine.close

    def decode(self, blobs, *args):
        self.given.append(list(blobs))
        return self.engine.decode(blobs, *args)


def test_an_image_with_a_status_error_is_decoded_by_opencv_and_the_others_are_not(
    opener, make, monkeypatch
):
    """A GPU's decoder may fail on an image that is good: it gets a second chance on the CPU."""
    engine, decoded = opener(), []
    real = engine.decode

    def failing(*arguments, **keywords):
        made = real(*arguments, **keywords)
        made.addresses[1] = 0
        made.errors[1] = DecodeError("nvJPEG status 8")
        return made

    def on_the_host(blob, channels, scale):
        decoded.append(blob)
        return decode(blob, channels, scale)

    monkeypatch.setattr(engine, "decode", failing)
    monkeypatch.setattr("gpuio.backend.gpu.host.decode", on_the_host)
    monkeypatch.setattr("gpuio.decode.turbojpeg.compiled", lambda: None)
    backend = make(open_engine=lambda: engine)
    blobs = blobs_of(4)
    rows = rows_of(blobs)
    out, faults = batch(backend, blobs, rows)
    assert faults == []
    assert decoded == [blobs[1]]
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_what_engines_differ_over_never_reaches_one(opener, make):
    """JPEGs cut short, completed ones, and those of several scans: OpenCV's word counts."""
    engine = Counting(opener())
    backend = make(open_engine=lambda: engine)
    whole = blobs_of(1)[0]
    scans = (Path(__file__).parents[2] / "data/decode/three_scans.jpg").read_bytes()
    blobs = [whole, whole[:-2], completed(whole[:-2]), scans, whole + bytes(30)]
    rows = rows_of(blobs)
    out, faults = batch(backend, blobs, rows)
    assert engine.given == [[blobs[0], blobs[4]]]
    assert [fault.row for fault in faults] == [1]
    blobs[1] = None
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_no_header_is_parsed_again(opener, make, monkeypatch):
    """What the reader found comes along with the images, for the engine's and for OpenCV's."""

    def parse(*_):
        pytest.fail("a header is parsed again")

    engine = Counting(opener())
    backend = make(open_engine=lambda: engine)
    blobs = [*blobs_of(2), jpeg(picture(31, 33), progressive=True)]
    rows = rows_of(blobs)
    records, want = encoded(blobs), expected(blobs, rows)
    monkeypatch.setattr("gpuio.decode.formats.walk", parse)
    out = backend.allocate(OUTPUT.shape(3), OUTPUT.dtype)
    assert backend.make(records, rows, OUTPUT, out) == []
    assert engine.given == [blobs[:2]]
    assert np.array_equal(out.asnumpy(), want)


def test_what_is_cut_short_never_reaches_the_engine_whose_batch_it_would_fail(opener, make):
    engine = Counting(opener())
    backend = make(open_engine=lambda: engine)
    good = blobs_of(4)
    rows = rows_of(good)
    blobs = [good[0], good[1][:-2], good[2][: len(good[2]) // 2], good[3] + b"behind the end"]
    out, faults = batch(backend, blobs, rows)
    assert engine.given == [[blobs[0], blobs[3]]]
    assert [fault.row for fault in faults] == [1, 2]
    usable = [good[0], None, None, good[3]]
    assert np.array_equal(out.asnumpy(), expected(usable, rows))


def test_damage_that_only_a_decoder_sees_costs_its_own_row(opener, make):
    engine = Counting(opener())
    backend = make(open_engine=lambda: engine)
    good = blobs_of(4)
    rows = rows_of(good)
    damaged = good[2][:400] + bytes(60) + good[2][460:]
    out, faults = batch(backend, [*good[:2], damaged, good[3]], rows)
    assert len(engine.given[0]) == 4
    assert backend.refused == (2 if engine.name == "dali" else 1)  # of a half
    assert [fault.row for fault in faults] == [2]
    assert np.array_equal(out.asnumpy(), expected([*good[:2], None, good[3]], rows))


def test_an_engine_that_is_lent_at_the_close_is_closed_when_it_comes_back():
    closed = []
    engine = Stubborn(None)
    engine.close = lambda: closed.append(engine)
    pool = EnginePool(lambda: engine, 1)
    with pool.lend():
        pool.close()
        assert closed == []
    assert closed == [engine]


def test_an_engine_out_of_memory_gets_half_batches_then_the_error_is_clear(make):
    engine = Stubborn(OutOfDeviceMemoryError("DALI: CUDA_ERROR_OUT_OF_MEMORY"))
    backend = make(open_engine=lambda: engine)
    blobs = blobs_of(4)
    with pytest.raises(BackendError, match="out of memory for decoding 4 images, or 2 of them"):
        batch(backend, blobs, rows_of(blobs))
    assert engine.calls == 2


def test_engines_are_warmed_up_with_the_batch_size_and_never_exceed_their_number(make):
    opened = []

    class Counting(Stubborn):
        def __init__(self):
            super().__init__(DecodeError("no"))
            self.warm, self.busy = [], threading.Lock()
            opened.append(self)

        def warm_up(self, blob, rows):
            assert engine_takes(encoded([blob]).headers)
            self.warm.append(rows)

        def decode(self, blobs, *args):
            assert self.busy.acquire(blocking=False), "two calls at once"
            try:
                return Decoded(
                    np.zeros(len(blobs), np.uint64),
                    {k: DecodeError("no") for k in range(len(blobs))},
                    None,
                )
            finally:
                self.busy.release()

    backend = make(open_engine=Counting, decoders=2)
    assert backend.share(32, 4) == 32
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(batch, backend, blobs, rows) for _ in range(12)]:
            assert future.result()[1] == []
    assert 1 <= len(opened) <= 2
    assert all(engine.warm == [32] for engine in opened if engine.warm)


def test_engines_are_opened_used_replaced_and_closed_while_their_gpu_is_current(make):
    device, seen = FakeDevice(), []

    class Watched(Stubborn):
        def __init__(self):
            super().__init__(DecodeError("the batch as a whole"))
            seen.append(("open", device.is_current))

        def warm_up(self, blob, rows):
            seen.append(("warm up", device.is_current))

        def decode(self, *args):
            seen.append(("decode", device.is_current))
            return super().decode(*args)

        def close(self):
            seen.append(("close", device.is_current))

    backend = make(device, open_engine=Watched, open_rescue=Watched)
    blobs = blobs_of(2)
    assert batch(backend, blobs, rows_of(blobs))[1] == []
    backend.close()
    did = ["open", "warm up", "decode", "close", "open", "warm up", "decode", "close"]
    assert [name for name, _ in groupby(seen, key=itemgetter(0))] == did  # decodes are tried again
    assert all(current for _, current in seen)
    assert not device.is_current


def test_after_close_calls_are_refused_and_held_batches_stay(make):
    device = FakeDevice()
    backend = make(device)
    blobs = blobs_of(2)
    rows = rows_of(blobs)
    out, _ = batch(backend, blobs, rows)
    backend.close()
    backend.close()
    with pytest.raises(ClosedError):
        backend.allocate((1,), "uint8")
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    del out
    gc.collect()
    assert device.used == 0


def test_closing_gives_all_memory_back(make):
    device = FakeDevice()
    backend = make(device)
    for seed in range(5):
        blobs = blobs_of(3, seed)
        batch(backend, blobs, rows_of(blobs))
    gc.collect()
    assert device.used > 0
    backend.close()
    gc.collect()
    assert device.used == 0


def test_free_memory_is_let_go_only_behind_what_consumers_had_queued(make):
    device, backend, out, bits = first_batch(make)
    consumer, seen = device.new_stream(), []
    taken = Addressed(np.from_dlpack(Exported(out, consumer.ptr)))
    consumer.work.append(lambda: seen.append(taken.read()))
    del out
    gc.collect()
    backend.close()
    assert np.array_equal(seen[0], bits)


def test_memory_use_stays_flat(make):
    device = FakeDevice()
    backend = make(device)
    blobs = blobs_of(3)
    rows = rows_of(blobs)
    levels = []
    for _ in range(30):
        out, _ = batch(backend, blobs, rows)
        out.wait_to_read()
        levels.append(device.largest)
    assert levels[-1] == levels[8]


def test_poison_is_what_the_fake_device_says_it_is():
    device = FakeDevice()
    buffer = device.alloc(64)
    assert (device.view(buffer, 0, 16, 3) == POISON).all()
