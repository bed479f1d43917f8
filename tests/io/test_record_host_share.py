"""host_share: a batch's images divided between an engine and the host's cores.

The engine writes one value into all pixels, so a batch shows who decoded what. Calls take the time
that a clock says which only they move, each thread's its own: what is found does not depend on the
machine.
"""

import gc
import heapq
import json
import pickle
import threading

import numpy as np
import pytest

from gpuio import recordio
from gpuio.backend import open_backend
from gpuio.backend.choose import CPU_ONLY
from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.division import for_host, work_of
from gpuio.backend.gpu.host import HostDecoder
from gpuio.decode.engine import Decoded, OutOfDeviceMemoryError
from gpuio.decode.formats import probe
from gpuio.errors import ClosedError, OptionError, StateError
from gpuio.io import ImageDetRecordIter, ImageRecordIter
from support.fake_device import FakeDevice
from support.pictures import jpeg, picture

COUNT, ROWS, BLANK = 64, 16, 7
RATE = 1e6  # work per second of a thread that decodes on the host
BASE = {
    "data_shape": (3, 40, 40),
    "batch_size": ROWS,
    "dtype": "uint8",
    "rand_crop": True,
    "shuffle": True,
    "ctx": "gpu",
    "verbose": True,
    "preprocess_threads": 2,
}


class Clock(threading.local):
    """The seconds that a thread's calls took."""

    now = 0.0


class Engine:
    """Makes each image blank."""

    name, uses_arena = "blank", True

    def __init__(self, setting):
        self.setting = setting

    def warm_up(self, blob, rows):
        self.setting.warmed.append(rows)

    def decode(self, blobs, sizes, channels, places, stream):
        for place in places:
            place.memory[:] = BLANK
        self.setting.given.append(len(blobs))
        work = work_of(np.array([len(blob) for blob in blobs]), np.prod(sizes, axis=1)).sum()
        self.setting.clock.now += work / self.setting.rate
        addresses = np.array([place.address for place in places], np.uint64)
        return Decoded(addresses, {}, keep=places)

    def close(self):
        pass


class Setting:
    """What the backends of a test are made of, and what their engines were given.

    `rate` is the work per second of an engine, of which there are two.
    """

    def __init__(self):
        self.clock, self.rate, self.fail, self.host_pixels = Clock(), RATE, None, 0
        self.given, self.warmed, self.devices = [], [], []

    def opened(self, name, device_id=0, **settings):
        if name != "gpu":
            return open_backend(name, device_id, **settings)
        self.devices.append(FakeDevice(fail=self.fail))
        kept = {name: settings[name] for name in settings if name not in CPU_ONLY}
        return GpuBackend(
            device_id,
            device=self.devices[-1],
            open_engine=lambda: Engine(self),
            host_pixels=self.host_pixels,
            **kept,
        )


@pytest.fixture
def setting(monkeypatch):
    made, decode = Setting(), HostDecoder.decode

    def timed(self, records, rows, sizes, *others):
        failed = decode(self, records, rows, sizes, *others)
        made.clock.now += work_of(records.length[rows], sizes.prod(axis=1)).sum() / RATE
        return failed

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", made.opened)
    monkeypatch.setattr("gpuio.backend.gpu.routing._clock", lambda: made.clock.now)
    monkeypatch.setattr(HostDecoder, "decode", timed)
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    rec, idx = str(folder / "some.rec"), str(folder / "some.idx")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for key in range(COUNT):
            blob = jpeg(picture(50 + key % 13, 60 - key % 7, seed=key), progressive=key % 16 == 9)
            writer.write_idx(key, recordio.pack(recordio.IRHeader(0, float(key), key, 0), blob))
    return {"path_imgrec": rec, "path_imgidx": idx}


def taken(it, batches):
    """Return some batches: their images, and the records that the engine decoded of each."""
    images, blank = [], []
    while len(images) < batches:
        for batch in it:
            images.append(batch.data[0].asnumpy())
            rows = (images[-1] == BLANK).all(axis=(1, 2, 3))
            blank.append(sorted(batch.index[rows].tolist()))
            if len(images) == batches:
                return images, blank
        it.reset()
    return images, blank


def run(files, share, batches=6, **options):
    with ImageRecordIter(**{**BASE, **files, "host_share": share, **options}) as it:
        return (*taken(it, batches), it.stats(), it.state_dict())


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_who_decodes_what_depends_on_the_share_and_the_place_alone(files, setting, share):
    images, blank, *_ = run(files, share)
    for options in (
        {"preprocess_threads": 1, "prefetch_buffer": 1},
        {"preprocess_threads": 4, "decoders": 1},
        {"preprocess_threads": 5, "prefetch_buffer": 2, "decoders": 3},
    ):
        again = run(files, share, **options)
        assert again[1] == blank, options
        assert np.array_equal(again[0], images), options
    assert len({tuple(one) for one in blank}) > 1
    stats = run(files, share, 30)[2]  # of a batch that is being made one side may count first
    whole = stats["engine_bytes"] + stats["host_bytes"]
    assert stats["host_bytes"] / whole == pytest.approx(share, abs=0.05)
    with ImageRecordIter(**{**BASE, **files, "host_share": share}) as it:
        it.load_state_dict({**it.state_dict(), "samples": 3 * ROWS})
        later = taken(it, 3)
    assert later[1] == blank[3:]
    assert np.array_equal(later[0], images[3:])


def test_host_images_are_the_cpus(files, setting):
    images, blank, *_ = run(files, 0.6)
    with ImageRecordIter(**{**BASE, **files, "ctx": "cpu"}) as it:
        theirs = [(batch.data[0].asnumpy(), batch.index) for _ in range(2) for batch in _pass(it)]
    for ours, (data, index), engines in zip(images, theirs, blank, strict=False):
        host = ~np.isin(index, engines)
        assert np.array_equal(ours[host], data[host])
        assert host.any()


def _pass(it):
    yield from it
    it.reset()


def test_0_is_the_engines_pixels_alone_and_1_the_hosts(files, setting):
    setting.host_pixels = None  # the rule: all of these are small
    _, blank, stats, _ = run(files, 0, 4)
    progressive = {key for key in range(COUNT) if key % 16 == 9}
    assert set().union(*blank) == set(range(COUNT)) - progressive
    assert stats["host_share"] == 0
    assert 4 <= stats["host_images"] <= 2 * len(progressive)  # some batches are made ahead
    assert stats["engine_images"] >= COUNT - len(progressive)
    setting.given.clear()
    images, _, stats, _ = run(files, 1, 4)
    assert (setting.given, stats["engine_images"], stats["engine_s"]) == ([], 0, 0.0)
    with ImageRecordIter(**{**BASE, **files, "ctx": "cpu"}) as it:
        assert np.array_equal(images, [batch.data[0].asnumpy() for batch in it])
    assert run(files, 0.5, 4)[2]["engine_images"] == 0  # between them small ones are the host's


def test_the_default_is_0(files, setting):
    setting.host_pixels = None
    with ImageRecordIter(**{**BASE, **files}) as it:
        assert it.options.host_share == 0
        next(it)
        assert it.stats()["host_share"] == 0
    assert setting.given


@pytest.mark.parametrize("times", [0.25, 0.5, 1, 2, 4])
def test_auto_is_within_a_twentieth_of_the_best_share_and_both_sides_end_together(
    files, setting, times
):
    setting.rate = times * RATE  # two engines, two threads
    *_, state = run(files, "auto", 1)
    found = state["host_share"]
    assert found == pytest.approx(1 / (1 + times), rel=0.02)
    batches = [headers(files)] * 24
    best = min(timed(batches, each / 50, times)[0] for each in range(1, 50))
    wall, engine, host = timed(batches, found, times)
    assert wall <= 1.05 * best
    assert abs(engine - host) <= 0.05 * wall


def headers(files):
    """Return the records and plans of a batch as a backend is given them."""
    from gpuio.backend.protocol import Encoded
    from support.plans import plain

    made, plans = Encoded.empty(COUNT), []
    reader = recordio.MXIndexedRecordIO(files["path_imgidx"], files["path_imgrec"], "r")
    for key in range(COUNT):
        blob = recordio.unpack(reader.read_idx(key))[1]
        made.put(key, blob)
        made.headers[key] = probe(blob)
        plans.append(plain(*probe(blob)[1:3]))
    reader.close()
    return made, np.concatenate(plans)


def timed(batches, share, times, ahead=4, piece=20_000):
    """Return when the last batch is there and when each side has ended, by arithmetic.

    Two engines take one batch each, in order; two threads take pieces, in order; a batch begins
    when the one `ahead` before it is there.
    """
    engines, threads, there = [0.0, 0.0], [0.0, 0.0], [0.0] * ahead
    for number, (records, plan) in enumerate(batches):
        host = for_host(records, plan, 3, share=share, place=(0, 0, number), small=0)
        work = work_of(records.length, plan["src_h"].astype("i8") * plan["src_w"])
        begin = there[-ahead]
        ends = [max(begin, heapq.heappop(engines)) + work[~host].sum() / (times * RATE)]
        heapq.heappush(engines, ends[0])
        for k in range(0, int(host.sum()), 4):
            end = max(begin, heapq.heappop(threads)) + work[host][k : k + 4].sum() / RATE
            heapq.heappush(threads, end)
            ends.append(end)
        there.append(max(*ends, there[-1]))
    return there[-1], max(engines), max(threads)


def test_auto_is_logged_kept_and_used_by_a_loaded_state(files, setting, caplog):
    setting.rate = 3 * RATE
    with caplog.at_level("INFO", "gpuio"):
        images, blank, stats, state = run(files, "auto", 4)
    (line,) = [one.getMessage() for one in caplog.records if "host_share" in one.getMessage()]
    assert line.startswith(f"host_share={state['host_share']:g}: the engine decodes ")
    assert stats["host_share"] == state["host_share"] == pytest.approx(0.25, abs=0.01)
    assert stats["images"] == stats["engine_images"] + stats["host_images"] or stats["batches"] == 4
    # a run with the share that was found is the same run
    stated = run(files, state["host_share"], 4)
    assert (stated[1], "host_share" in stated[3]) == (blank, False)
    assert np.array_equal(stated[0], images)

    setting.rate = RATE / 3  # a machine on which another share would be found
    options = {**BASE, **files, "host_share": "auto"}
    with ImageRecordIter(**options) as it:
        assert "host_share" not in it.state_dict()  # nothing was measured yet
        given = len(setting.given)
        it.load_state_dict(json.loads(json.dumps(state)))
        assert len(setting.given) == given
        assert it.state_dict() == state
        it.reset()
        batch = it.next()
        assert it.stats()["host_share"] == state["host_share"]
        copy = pickle.loads(pickle.dumps(it))
    assert copy.state_dict()["host_share"] == state["host_share"]
    copy.close()
    assert batch is not None
    with ImageRecordIter(**{**options, "host_share": 0.75}) as it:  # what is said is done
        it.load_state_dict(state)
        assert it.stats()["host_share"] == 0.75


def test_a_state_that_is_loaded_in_the_middle_drops_what_was_made_by_another_share(files, setting):
    with ImageRecordIter(**{**BASE, **files, "host_share": "auto"}) as it:
        it.next()
        state = {**it.state_dict(), "host_share": 0.9}
        it.load_state_dict(state)
        blank = taken(it, 3)[1]
        assert it.state_dict()["host_share"] == 0.9
    assert blank == run(files, 0.9, 4)[1][1:]


@pytest.mark.parametrize("value", [None, "auto", 1.5, -0.1, True, float("nan"), [0.5]])
def test_a_damaged_share_is_named_and_the_iterator_stays(files, setting, value):
    with ImageRecordIter(**{**BASE, **files, "host_share": "auto"}) as it:
        it.next()
        before = it.state_dict()
        with pytest.raises(StateError, match="host_share: expected a number from 0 to 1"):
            it.load_state_dict({**before, "samples": 0, "host_share": value})
        assert it.state_dict() == before


def test_finding_the_share_leaves_no_trace_in_the_counts_and_hands_out_every_batch(files, setting):
    images, _, stats, state = run(files, "auto", 4)
    assert len(images) == 4
    stated = run(files, state["host_share"], 4)[2]
    for name in ("batches", "images", "cut_short", "faults"):
        assert stats[name] == stated[name]
    assert setting.warmed[0] == ROWS // 2  # engines were opened for their part of a batch


def test_engines_are_warmed_up_for_their_part_of_a_batch(files, setting):
    run(files, 0.75, 2)
    assert set(setting.warmed) == {ROWS // 4}
    setting.warmed.clear()
    setting.rate = 4 * RATE
    *_, state = run(files, "auto", 2)
    part = -(-ROWS * (1 - state["host_share"]) // 1)
    assert setting.warmed[0] == ROWS // 2
    assert setting.warmed[-1] == part


def test_a_batch_made_in_halves_is_divided_as_a_whole(files, setting):
    _, blank, *_ = run(files, 0.4, 8)
    full = OutOfDeviceMemoryError("full", 9)
    setting.fail = {"launch": {2: full, 9: full}}  # of the second and the seventh batch
    again = run(files, 0.4, 8, preprocess_threads=1, decoders=1)
    assert again[1] == blank
    assert setting.devices[-1].calls["launch"] > 8 + 3


def test_an_iterator_may_be_closed_while_it_finds_the_share(files, setting, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    decode = Engine.decode

    def waits(self, *given):
        begun.set()
        assert go.wait(60)
        return decode(self, *given)

    monkeypatch.setattr(Engine, "decode", waits)
    it, errors = ImageRecordIter(**{**BASE, **files, "host_share": "auto"}), []

    def use():
        try:
            it.next()
        except ClosedError as error:
            errors.append(error)

    user = threading.Thread(target=use)
    user.start()
    assert begun.wait(60)
    closer, pipeline = threading.Thread(target=it.close), it._machine().pipeline
    closer.start()
    while not pipeline._closed:
        closer.join(0.001)
    go.set()
    closer.join(60)
    user.join(60)
    assert len(errors) == 1
    errors.clear()
    gc.collect()
    assert setting.devices[0].used == 0


def test_what_goes_wrong_on_trial_is_raised_and_asking_again_tries_again(
    files, setting, monkeypatch
):
    with ImageRecordIter(**{**BASE, **files, "host_share": "auto"}) as it:
        with monkeypatch.context() as patch:
            patch.setattr(Engine, "decode", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                it.next()
        assert it.stats()["host_share"] is None
        assert it.next().data[0].shape[0] == ROWS
        assert it.stats()["host_share"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("value", ["half", -0.1, 1.1, None, True])
def test_other_values_are_refused(files, value):
    with pytest.raises(OptionError, match="host_share: expected"):
        ImageRecordIter(**{**BASE, **files, "host_share": value})


@pytest.mark.parametrize("kind", [ImageRecordIter, ImageDetRecordIter])
def test_it_is_a_setting_of_the_gpu(files, kind):
    options = {**files, "data_shape": (3, 40, 40), "batch_size": 4, "ctx": "cpu"}
    with pytest.raises(OptionError, match="host_share: a setting of the GPU"):
        kind(**options, host_share="auto")


def test_on_the_cpu_nothing_is_divided(files, monkeypatch):
    monkeypatch.setattr("gpuio.backend.gpu.probe.missing_for_gpu", lambda _: [_Gap()])
    options = {**BASE, **files, "ctx": "auto", "host_share": "Auto"}
    with ImageRecordIter(**options) as it:
        it.next()
        assert "host_share" not in it.state_dict()
        assert "engine_images" not in it.stats()


class _Gap:
    what = "no GPU"
