"""An engine that refuses whole batches makes way for one that names the bad images."""

import ctypes
import gc
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpuio.backend.choose import CPU_ONLY
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.engines import EnginePool
from gpuio.backend.gpu.workspace import Slot
from gpuio.decode.dali import DaliEngine
from gpuio.decode.engine import Decoded, OutOfDeviceMemoryError
from gpuio.decode.formats import engine_takes
from gpuio.decode.jpeg import has_end
from gpuio.decode.nvimgcodec import NvImageCodecEngine
from gpuio.decode.opencv import decode
from gpuio.errors import BackendError, DecodeError
from gpuio.io import ImageRecordIter
from support.fake_device import POISON, FakeDevice
from support.gpu_batches import OUTPUT, batch, blobs_of, encoded, expected, rows_of
from support.leaks import left, threads
from support.making import write_rec
from support.pictures import jpeg, picture, spoilt

ODD = b"the first engine refuses this"  # behind the end marker: OpenCV decodes the image
BAD = b"both engines refuse this"


class Engine:
    """What both engines of these tests do: OpenCV decodes, one call at a time."""

    def __init__(self, opened, marks, most=None):
        opened.append(self)
        self.marks, self.most = marks, most
        self.given, self.warm, self.closed = [], [], 0
        self.busy = threading.Lock()

    def warm_up(self, blob, rows):
        self.warm.append(rows)

    def close(self):
        assert not self.busy.locked(), "closed while it was lent"
        self.closed += 1

    def decode(self, blobs, sizes, channels, places, stream):
        assert self.busy.acquire(blocking=False), "two calls at once"
        try:
            assert not self.closed
            self.given.append(list(blobs))
            if self.most is not None and len(blobs) > self.most:
                raise OutOfDeviceMemoryError("no room", 1 << 20)
            return self.made(blobs, channels, places)
        finally:
            self.busy.release()

    def refuses(self, blob):
        return any(bytes(blob).endswith(mark) for mark in self.marks)


class Own:
    """Memory of an engine, overwritten as soon as nobody keeps it."""

    def __init__(self, pixels):
        self.pixels = pixels.copy()

    def __del__(self):
        self.pixels[:] = POISON


class Whole(Engine):
    """Refuses a batch for one image; decodes into its own memory, as DALI does."""

    name, uses_arena = "whole", False

    def made(self, blobs, channels, places):
        assert len(places) == 0
        if any(map(self.refuses, blobs)):
            raise DecodeError(f"refused a batch of {len(blobs)}")
        keep = [Own(decode(blob, channels)) for blob in blobs]
        return Decoded(np.array([own.pixels.ctypes.data for own in keep], np.uint64), {}, keep=keep)


class Single(Engine):
    """Names the images that it refuses; decodes into the arena, as nvImageCodec does."""

    name, uses_arena = "single", True

    def made(self, blobs, channels, places):
        addresses, errors = np.zeros(len(blobs), np.uint64), {}
        for row, (blob, place) in enumerate(zip(blobs, places, strict=True)):
            if self.refuses(blob):
                errors[row] = DecodeError("refused an image")
                continue
            pixels = decode(blob, channels)
            assert place.memory.size == pixels.size
            ctypes.memmove(place.address, pixels.ctypes.data, pixels.nbytes)
            addresses[row] = place.address
        return Decoded(addresses, errors, keep=None)


class Pair:
    """A backend on a fake device with both engines; everything that was opened is remembered.

    A refusal is believed at once: what it takes to be believed is the matter of test_full_gpu.py.
    """

    def __init__(self, decoders=2, most=None, rescue=None):
        self.wholes, self.singles, self.device = [], [], FakeDevice()
        self.backend = GpuBackend(
            0,
            device=self.device,
            decoders=decoders,
            host_pixels=0,
            open_engine=lambda: Whole(self.wholes, (ODD, BAD)),
            open_rescue=rescue or (lambda: Single(self.singles, (BAD,), most)),
        )
        self.backend._engines._memory = None


@pytest.fixture
def make():
    """Return a function that makes a pair; afterwards every engine opened must be closed once."""
    made = []

    def pair(**settings):
        made.append(Pair(**settings))
        return made[-1]

    yield pair
    for each in made:
        each.backend.close()
        assert [engine.closed for engine in each.wholes + each.singles] == [1] * len(
            each.wholes + each.singles
        )
        gc.collect()
        assert each.device.used == 0


@pytest.fixture
def on_host(monkeypatch):
    """Return the images that OpenCV decoded because no engine did."""
    decoded = []

    def noted(blob, channels, scale):
        decoded.append(bytes(blob))
        return decode(blob, channels, scale)

    monkeypatch.setattr("gpuio.backend.gpu.host.decode", noted)
    monkeypatch.setattr("gpuio.decode.turbojpeg.compiled", lambda: None)
    return decoded


def marked(count, seed=0, odd=(), bad=()):
    """Return images, some of which engines refuse and OpenCV decodes."""
    blobs = blobs_of(count, seed)
    for row in odd:
        blobs[row] += ODD
    for row in bad:
        blobs[row] += BAD
    return blobs


def check(backend, blobs):
    """Make a batch; it must be what OpenCV and the CPU kernels make."""
    rows = rows_of(blobs)
    out, faults = batch(backend, blobs, rows)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_a_refused_batch_is_decoded_again_and_opencv_gets_what_is_refused_twice(make, on_host):
    pair = make()
    blobs = marked(6, odd=[1], bad=[4])
    check(pair.backend, blobs)
    assert on_host == [blobs[4]]
    assert pair.backend.refused == 1
    assert [each.given for each in pair.wholes + pair.singles] == [[blobs], [blobs]]


def test_from_the_first_refusal_on_the_other_engine_gets_every_batch(make, on_host, caplog):
    pair = make()
    batches = [marked(3, 10 * k, odd=[0] if k in (2, 3) else ()) for k in range(6)]
    for blobs in batches:
        check(pair.backend, blobs)
    assert pair.wholes[0].given == batches[:3]
    assert pair.singles[0].given == batches[2:]
    assert on_host == []
    assert pair.backend.refused == 0
    assert [each.closed for each in pair.wholes] == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "single takes over from whole for good: refused a batch of 3"
    ]


def test_without_a_refusal_no_other_engine_is_opened(make):
    pair = make()
    for seed in range(4):
        check(pair.backend, marked(3, seed))
    assert pair.singles == []


def test_the_engine_that_takes_over_is_warmed_up_for_whole_batches(make):
    pair = make()
    pair.backend.share(32, 4)
    check(pair.backend, marked(3, odd=[0]))
    assert [each.warm for each in pair.singles] == [[32]]


def test_batches_in_flight_across_the_change_do_not_disturb_each_other(make):
    """Nothing is waited for until the end, and what was decoded before the change stays kept."""
    pair = make()
    made = []
    for k in range(12):
        blobs = marked(3, 10 * k, odd=[1] if k in (2, 7) else (), bad=[2] if k > 4 else ())
        rows = rows_of(blobs)
        made.append((batch(pair.backend, blobs, rows)[0], expected(blobs, rows)))
    for out, reference in made:
        assert np.array_equal(out.asnumpy(), reference)


def test_the_arena_is_cut_once_a_turn_with_room_for_opencvs_images(make, on_host, monkeypatch):
    """Growing it frees what was there, so images for OpenCV get their places in the same cut."""
    asked, memory = [], Slot.memory

    def noted(slot, name, nbytes):
        asked.append(name)
        return memory(slot, name, nbytes)

    monkeypatch.setattr(Slot, "memory", noted)
    blobs = marked(6, odd=[1], bad=[4])
    blobs[2] = jpeg(picture(300, 500), progressive=True)
    check(make().backend, blobs)
    assert on_host == [blobs[2], blobs[4]]
    assert asked.count("pixels") == 1


def test_threads_meet_the_change_together(make, on_host):
    pair = make()
    pair.backend.share(4, 4)
    batches = [marked(4, 5 * k, odd=[k % 4], bad=[3] if k % 3 == 0 else ()) for k in range(24)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda blobs: check(pair.backend, blobs), batches))
    assert len(on_host) == pair.backend.refused == sum(blobs[3].endswith(BAD) for blobs in batches)
    assert 1 <= len(pair.singles) <= 2
    assert len(pair.wholes) <= 2


class _Counted:
    """An engine that says what it was warmed up for, and how often it was closed."""

    name, uses_arena = "counted", False

    def __init__(self):
        self.warmed, self.closed = [], 0

    def warm_up(self, blob, rows):
        self.warmed.append(rows)

    def close(self):
        self.closed += 1


def test_who_waits_for_an_engine_does_other_work_as_long_as_there_is_some():
    pool, done = EnginePool(_Counted, 1), []
    got, lent = threading.Event(), []

    def wait():
        with pool.lend(lambda: len(done) < 3 and not done.append(1)) as engine:
            lent.append(engine)
            got.set()

    with pool.lend() as first:
        thread = threading.Thread(target=wait)
        thread.start()
        while len(done) < 3:
            time.sleep(0.001)
        assert not got.is_set()
    assert got.wait(60)
    thread.join()
    assert lent == [first]
    with pool.lend(lambda: 1 / 0):  # there is one: nothing else is done
        pass


def test_renewed_engines_are_warmed_up_for_what_is_expected_then():
    made = []
    pool = EnginePool(lambda: made.append(_Counted()) or made[-1], 2)
    pool.expect(64)
    with pool.lend(), pool.lend():
        pass
    pool.renew()
    assert [engine.closed for engine in made] == [1, 1]
    pool.expect(16)
    with pool.lend(), pool.lend():
        pass
    assert [engine.warmed for engine in made] == [[64], [64], [16], [16]]
    pool.close()
    assert [engine.closed for engine in made] == [1] * 4


def test_a_refusal_of_an_engine_that_was_replaced_meanwhile_is_tried_again(make, on_host):
    """Two threads are refused by the first kind of engine; the second of them changes nothing."""
    pair = make()
    pool = pair.backend._engines
    with pool.lend() as first, pool.lend() as second:
        assert pool.kind == 0
        assert pool.replace(0, DecodeError("one"))
        assert pool.replace(0, DecodeError("two"))
        assert (first.closed, second.closed) == (0, 0)
    assert (first.closed, second.closed) == (1, 1)
    assert len(pair.singles) == 1
    assert not pool.replace(1, DecodeError("the last kind"))
    check(pair.backend, marked(3, odd=[1]))
    assert on_host == []


@pytest.mark.parametrize("kind", [BackendError, OutOfDeviceMemoryError, RuntimeError])
def test_if_no_other_engine_opens_opencv_decodes_and_the_log_says_so_once(
    make, on_host, caplog, kind
):
    tried = []

    def rescue():
        tried.append(1)
        raise kind("no, it does not open")

    pair = make(rescue=rescue)
    good, refused = marked(3), marked(3, 10, odd=[1])
    for blobs in (good, refused, good, refused):
        check(pair.backend, blobs)
    assert tried == [1]
    assert on_host == refused * 2
    assert pair.backend.refused == 6
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("no other engine takes over from whole, OpenCV decodes every batch")
    assert first.endswith("no, it does not open")
    assert second == "OpenCV decodes what whole did not, 3 at first: refused a batch of 3"


def test_an_engine_that_cannot_be_warmed_up_does_not_take_over_and_is_closed(make, on_host):
    singles = []

    class Cold(Single):
        def warm_up(self, blob, rows):
            raise OutOfDeviceMemoryError("nvJPEG: out of memory")

    def rescue():
        return Cold(singles, (BAD,))

    pair = make(rescue=rescue)
    blobs = marked(3, odd=[1])
    check(pair.backend, blobs)
    assert on_host == blobs
    assert [each.closed for each in singles] == [1]


def test_no_room_in_the_engine_that_took_over_halves_the_batch(make, on_host):
    pair = make(most=2)
    blobs = marked(4, odd=[1], bad=[3])
    check(pair.backend, blobs)
    assert [len(given) for given in pair.singles[0].given] == [4, 2, 2]
    assert on_host == [blobs[3]]


def test_an_engine_that_took_over_and_is_lent_at_the_close_is_closed_when_it_comes_back(make):
    pair = make()
    check(pair.backend, marked(3, odd=[1]))
    with pair.backend._engines.lend() as engine:
        pair.backend.close()
        assert engine is pair.singles[0]
        assert engine.closed == 0
    assert engine.closed == 1


def test_after_the_close_no_other_engine_is_opened(make):
    pair = make()
    pair.backend.close()
    assert not pair.backend._engines.replace(0, DecodeError("late"))
    assert pair.singles == []


def on_a_waiting_thread(pool, work, then):
    """Run `work` on a thread until it waits for an engine, then `then`, while the engine is lent.

    Returns what `work` returned.
    """
    waiting, wait = threading.Event(), pool._changed.wait

    def noted():
        waiting.set()  # the lock is held: `then` gets it when the thread really waits
        wait()

    pool._changed.wait = noted
    with ThreadPoolExecutor(1) as thread:
        with pool.lend():
            made = thread.submit(work)
            assert waiting.wait(60)
            then()
        return made.result(60)


def test_who_waits_for_an_engine_during_the_change_gets_the_other_kind(make, on_host):
    pair = make(decoders=1)
    pool, blobs = pair.backend._engines, marked(3, odd=[1])
    other = jpeg(picture(36, 44), progressive=True)
    on_a_waiting_thread(
        pool,
        lambda: check(pair.backend, [*blobs, other]),
        lambda: pool.replace(0, DecodeError("refused")),
    )
    assert [each.given for each in pair.wholes + pair.singles] == [[], [blobs]]
    assert on_host == [other]


def test_who_waits_for_an_engine_at_the_close_gets_one_and_it_is_closed(make):
    pair = make(decoders=1)
    pool = pair.backend._engines

    def work():
        with pool.lend() as engine:
            return engine

    assert on_a_waiting_thread(pool, work, pool.close) is pair.wholes[1]


@pytest.fixture
def real(monkeypatch):
    """Let ctx='gpu' open the backend with DALI and nvImageCodec on fake devices; return them."""
    pytest.importorskip("nvidia.dali")
    pytest.importorskip("nvidia.nvimgcodec")
    made = []

    def opened(name, device_id=0, **settings):
        made.append(
            GpuBackend(
                device_id,
                device=FakeDevice(),
                open_engine=lambda: DaliEngine(None, 1),
                open_rescue=lambda: NvImageCodecEngine(None, 1),
                host_pixels=0,
                **{name: settings[name] for name in settings if name not in CPU_ONLY},
            )
        )
        return made[-1]

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    return made


def test_dali_makes_way_for_nvimagecodec_and_255_of_256_images_are_decoded_by_it(
    real, on_host, tmp_path, caplog
):
    blobs = [jpeg(picture(32, 40, seed=k)) for k in range(512)]
    blobs[77] = spoilt(blobs[77])
    assert has_end(blobs[77])
    assert engine_takes(encoded(blobs[77:78]).headers)
    rec, idx = write_rec(tmp_path, blobs)
    options = {
        "path_imgrec": rec,
        "path_imgidx": idx,
        "data_shape": (3, 32, 32),
        "batch_size": 256,
        "dtype": "uint8",
        "on_error": "zero",
        "verbose": False,
        "ctx": "gpu",
    }
    with caplog.at_level(logging.WARNING, "gpuio"), ImageRecordIter(**options) as it:
        seen = [each.data[0].asnumpy() for each in it]
        assert [failed["key"] for failed in it.stats()["failed_records"]] == [77]
    assert set(on_host) == {blobs[77]}  # several times: the next epochs are made ahead
    assert real[0].refused == len(on_host)
    assert "nvimgcodec takes over from dali for good" in caplog.text
    assert len(seen) == 2
    for row, image in enumerate(np.concatenate(seen)):
        if row == 77:
            assert not image.any()
        else:
            middle = decode(blobs[row], 3)[:, 4:36, ::-1]
            assert np.array_equal(image, middle.transpose(2, 0, 1))


def test_dali_and_nvimagecodec_make_the_same_pixels_of_a_batch(real, on_host):
    """A batch's bits do not tell whether an engine was replaced before it was made."""
    from gpuio.pipeline import opening

    blobs = [jpeg(picture(60 + k, 50 + k, seed=k)) for k in range(16)]
    rows = rows_of(blobs)
    backend = opening.open_backend("gpu")
    before = batch(backend, blobs, rows)[0].asnumpy()
    assert backend._engines.name == "dali"
    _, faults = batch(backend, [*blobs[:3], spoilt(blobs[3])], rows[:4])
    assert [fault.row for fault in faults] == [3]
    after = batch(backend, blobs, rows)[0].asnumpy()
    assert backend._engines.name == "nvimgcodec"
    backend.close()
    assert before.shape == OUTPUT.shape(16)
    assert np.array_equal(before, after)


@pytest.mark.slow
def test_200_iterators_left_early_leave_nothing_behind(tmp_path, monkeypatch):
    pairs, before = [], threads()

    def opened(name, device_id=0, **settings):
        pairs.append(Pair())
        return pairs[-1].backend

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    rec, idx = write_rec(tmp_path, marked(12, odd=[1, 7], bad=[5]))
    for _ in range(200):
        it = ImageRecordIter(
            path_imgrec=rec, path_imgidx=idx, data_shape=(3, 24, 24), batch_size=4, verbose=False
        )
        next(it)
        it.close()
    del it
    assert left(before) == []
    assert len(pairs) == 200
    for pair in pairs:
        engines = pair.wholes + pair.singles
        assert [engine.closed for engine in engines] == [1] * len(engines)
        assert pair.device.used == 0
    assert any(pair.singles for pair in pairs)
