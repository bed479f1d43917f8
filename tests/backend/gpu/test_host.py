"""Images of a GPU's batch that the host decodes: which ones, their pixels, and their one copy."""

import ctypes
import gc
import weakref

import cv2
import numpy as np
import pytest

from gpuio.backend.gpu.backend import GpuBackend
from gpuio.backend.gpu.division import HOST_PIXELS
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.protocol import Output
from gpuio.decode import turbojpeg
from gpuio.decode.engine import Decoded
from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError
from support.fake_device import POISON, FakeDevice
from support.gpu_batches import MEAN, SIDE, STD, batch, blobs_of, encoded, expected, rows_of
from support.making import warned
from support.pictures import cmyk_jpeg, every_jpeg, jpeg, picture, spoilt
from support.plans import plain, random_plan

WAYS = ("turbojpeg", "opencv")


class Engine:
    """Decodes with OpenCV into memory that it is handed, but not what it is told to refuse."""

    name, uses_arena = "one engine", True

    def __init__(self, refuses=(), *, whole=False):
        self.refuses, self.whole, self.given = refuses, whole, []

    def warm_up(self, blob, rows):
        pass

    def decode(self, blobs, sizes, channels, places, stream):
        self.given.append([bytes(blob) for blob in blobs])
        if self.whole:
            raise DecodeError("refused a batch")
        addresses, errors = np.zeros(len(blobs), np.uint64), {}
        for row, (blob, place) in enumerate(zip(blobs, places, strict=True)):
            if bytes(blob) in self.refuses:
                errors[row] = DecodeError("refused an image")
                continue
            pixels = decode(blob, channels)
            ctypes.memmove(place.address, pixels.ctypes.data, pixels.nbytes)
            addresses[row] = place.address
        return Decoded(addresses, errors, keep=None)

    def close(self):
        pass


class Noted(FakeDevice):
    """Writes down the sizes of copies and of page-locked memory."""

    def __init__(self):
        super().__init__()
        self.uploads, self.page_locked = [], []

    def upload(self, address, host, stream):
        self.uploads.append(host.nbytes)
        super().upload(address, host, stream)

    def pinned(self, nbytes):
        self.page_locked.append(nbytes)
        return super().pinned(nbytes)


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Let the host decode with TurboJPEG, or with OpenCV alone; a list of what OpenCV decodes."""
    if request.param == "opencv":
        monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    elif not turbojpeg.status().usable:
        pytest.skip(f"no TurboJPEG: {turbojpeg.status().reason}")
    decoded = []

    def noted(blob, channels, scale):
        decoded.append(bytes(blob))
        return decode(blob, channels, scale)

    monkeypatch.setattr("gpuio.backend.gpu.host.decode", noted)
    return request.param, decoded


@pytest.fixture
def make():
    """Return a function that makes a backend; closed afterwards, all of its memory given back."""
    made = []

    def backend(engine, **settings):
        how = {"host_share": 0.001, **settings}  # small images are the host's
        made.append(GpuBackend(0, device=Noted(), open_engine=lambda: engine, **how))
        return made[-1]

    yield backend
    for each in made:
        each.close()
        gc.collect()
        assert each._device.used == 0


def cut(monkeypatch):
    """Return a list that gets the owner of the memory whenever a place is cut from an arena."""
    found, real = [], Noted.view

    def view(device, buffer, *what):
        found.append(weakref.ref(buffer.owner))
        return real(device, buffer, *what), buffer.owner  # as a library's view holds it

    monkeypatch.setattr(Noted, "view", view)
    return found


def test_images_of_the_sizes_of_the_turn_before_get_its_places_again(make, monkeypatch):
    views, backend = cut(monkeypatch), make(Engine(), host_pixels=0)
    sides = [(30, 40), (20, 50), (33, 21)]
    for number, (shapes, made) in enumerate(
        [(sides, 3), (sides, 3), (sides[::-1], 6), (sides[:2], 8), (sides[:2], 8)]
    ):
        blobs = [jpeg(picture(*shape, seed=9 * number + k)) for k, shape in enumerate(shapes)]
        rows = rows_of(blobs)
        out, faults = batch(backend, blobs, rows)
        assert faults == []
        assert np.array_equal(out.asnumpy(), expected(blobs, rows))
        assert len(views) == made


def test_places_are_let_go_before_their_arena_grows_and_with_it(make, monkeypatch):
    views, backend = cut(monkeypatch), make(Engine(), host_pixels=0)
    alive, real = [], Noted.alloc
    monkeypatch.setattr(
        Noted, "alloc", lambda *a: alive.append([v() is not None for v in views]) or real(*a)
    )
    for side in (30, 1000):  # the arena grows
        blobs = [jpeg(picture(side, side))]
        batch(backend, blobs, rows_of(blobs))[0].wait_to_read()
    assert alive[-1] == [False]
    (slot,) = backend._ring._free
    backend._ring.shrink()
    assert (views[1](), slot.places) == (None, [])


def test_small_images_never_reach_the_engine_and_large_ones_do(make, way):
    _, decoded = way
    side = int(HOST_PIXELS**0.5)
    blobs = [jpeg(picture(side, width, seed=width)) for width in (side - 1, side, side + 1, 30)]
    engine, rows = Engine(), rows_of(blobs)
    out, faults = batch(make(engine), blobs, rows)
    assert faults == []
    assert engine.given == [blobs[1:3]]
    assert decoded == ([] if way[0] == "turbojpeg" else [blobs[0], blobs[3]])
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


def test_what_turbojpeg_leaves_is_decoded_by_opencv(make, way):
    kind, decoded = way
    plain = blobs_of(3)
    odd = [jpeg(picture(31, 33), progressive=True), cmyk_jpeg(36, 44)]
    odd.append(cv2.imencode(".png", picture(36, 44))[1].tobytes())
    blobs = [plain[0], odd[0], plain[1], odd[1], odd[2], plain[2]]
    rows = rows_of(blobs)
    out, faults = batch(make(Engine()), blobs, rows)
    assert faults == []
    assert decoded == (odd if kind == "turbojpeg" else blobs)
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_are_opencvs_for_every_kind_and_nothing_else_is_written(way, channels):
    blobs = [*every_jpeg().values(), cmyk_jpeg(20, 30)]
    if channels == 4:
        blobs = [cv2.imencode(".png", picture(9 + k, 17, 4, k))[1].tobytes() for k in range(4)]
    blobs.insert(2, None)
    records = encoded(blobs)
    rows = np.flatnonzero(records.length >= 0)
    sizes = np.stack([records.headers["height"], records.headers["width"]], 1).astype(np.int64)
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes[rows].prod(axis=1) * channels + 7, out=starts[1:])
    memory = np.full(starts[-1], 99, np.uint8)
    decoder = HostDecoder()
    assert decoder.decode(records, rows, sizes[rows], channels, memory, starts[:-1]) == {}
    for at, row in enumerate(rows.tolist()):
        pixels, gap = np.split(memory[starts[at] : starts[at + 1]], [-7])
        assert pixels.tobytes() == decode(blobs[row], channels).tobytes(), row
        assert (gap == 99).all()


def test_faults_are_opencvs_and_cost_their_own_rows(make, way):
    blobs = blobs_of(6)
    rows = rows_of(blobs)
    blobs[1], blobs[4] = blobs[1][:200], spoilt(blobs[4])
    rows["src_h"][3] += 1
    out, faults = batch(make(Engine()), blobs, rows)
    assert [fault.row for fault in faults] == [1, 3, 4]
    for fault, says in zip(faults, ("cut short", "its header says 43x34", "damaged"), strict=True):
        assert says in str(fault.error)
    for row in (1, 3, 4):
        blobs[row] = None
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))


@pytest.mark.parametrize("host_pixels", [0, 1300, HOST_PIXELS])
@pytest.mark.parametrize("whole", [False, True])
def test_a_batch_has_one_copy_of_pixels_and_one_of_tables(make, way, host_pixels, whole):
    """Whatever the engine does: what it refuses goes with what it was not given."""
    blobs = blobs_of(12)
    blobs[5] = jpeg(picture(31, 33), progressive=True)
    engine = Engine(refuses=(blobs[8], blobs[9]), whole=whole)
    backend, rows = make(engine, host_pixels=host_pixels), rows_of(blobs)
    for number in range(3):
        backend._device.uploads.clear()
        out, faults = batch(backend, blobs, rows)
        assert faults == []
        halves = 2 if number == 0 and whole and engine.given else 1  # tried once more, in two
        assert len(backend._device.uploads) == 2 * halves
        assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert bool(engine.given) == (host_pixels < HOST_PIXELS)


def test_a_batch_that_the_engine_decodes_has_one_copy(make, way):
    backend, blobs = make(Engine(), host_pixels=0), blobs_of(4)
    batch(backend, blobs, rows_of(blobs))
    assert len(backend._device.uploads) == 1


def test_page_locked_memory_is_as_large_as_the_largest_batch_and_is_used_again(make, way):
    backend = make(Engine(), host_pixels=10**9)
    large = [jpeg(picture(400, 600, seed=k)) for k in range(4)]
    for blobs in [large, blobs_of(4), large] * 4:
        batch(backend, blobs, rows_of(blobs))[0].wait_to_read()
    locked = backend._device.page_locked
    assert 2 <= len(locked) <= 6  # pixels and tables, of three slots at most
    pixels = 4 * 400 * 600 * 3
    assert max(locked) <= 1.25 * pixels + (1 << 20)
    assert sum(locked) <= 3 * (1.25 * pixels + (2 << 20))


def test_gray_batches_are_opencvs(make, way):
    blobs = [jpeg(picture(36, 44, 3)), jpeg(picture(36, 44, 1)), jpeg(picture(30, 31), "4:4:4")]
    output = Output(1, SIDE, SIDE, "uint8", "NHWC", MEAN[:1], STD[:1], 1.0)
    rows = rows_of(blobs)
    out, faults = batch(make(Engine()), blobs, rows, output)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows, output))


@pytest.mark.skipif(not turbojpeg.status().usable, reason="no TurboJPEG")
def test_a_warning_of_libjpeg_is_noted_of_its_row():
    image = picture(60, 80)
    blobs = [jpeg(image), *warned(image), jpeg(image)]
    records, sizes = encoded(blobs), np.full((4, 2), (60, 80))
    memory, starts = np.zeros(4 * 60 * 80 * 3, np.uint8), np.arange(4) * 60 * 80 * 3
    assert HostDecoder().decode(records, np.arange(4), sizes, 3, memory, starts) == {}
    assert records.warned.tolist() == [False, True, True, False]


@pytest.mark.skipif(not turbojpeg.status().usable, reason="no TurboJPEG")
@pytest.mark.parametrize(("count", "who"), [(3, "turbojpeg"), (20, "own")])
def test_several_small_images_are_decoded_by_gpuio_itself(count, who):
    blobs = [jpeg(picture(60, 80, seed=k)) for k in range(count)]
    records, sizes = encoded(blobs), np.full((count, 2), (60, 80))
    records.work.timed = True
    memory, starts = np.zeros((count, 60, 80, 3), np.uint8), np.arange(count) * 60 * 80 * 3
    failed = HostDecoder().decode(records, np.arange(count), sizes, 3, memory.reshape(-1), starts)
    assert failed == {}
    assert records.work.routes == {who: count}
    assert np.array_equal(memory, [decode(blob, 3) for blob in blobs])


@pytest.mark.parametrize("parts", [64, 2])
def test_who_decoded_is_counted_and_seconds_are_noted(make, way, monkeypatch, parts):
    monkeypatch.setattr("gpuio.backend.gpu.backend.MAX_ROWS", parts)
    large = [jpeg(picture(300, 300, seed=k)) for k in range(3)]
    blobs = [*large, *blobs_of(2), cv2.imencode(".png", picture(20, 20))[1].tobytes(), None]
    backend = make(Engine(refuses=[large[1]]))
    records, rows = encoded(blobs), rows_of(blobs)
    records.work.timed = True
    output = Output(3, SIDE, SIDE, "float32", "NCHW", MEAN, STD, 1.0)
    assert backend.make(records, rows, output, backend.allocate(output.shape(7), "float32")) == []
    other = {"turbojpeg": 3, "opencv": 1} if way[0] == "turbojpeg" else {"opencv": 4}
    assert records.work.routes == {"engine": 2, **other}
    assert 0 < records.work.decode_s < 60
    assert 0 < records.work.kernels_s < 60


@pytest.mark.skipif(not turbojpeg.status().usable, reason="no TurboJPEG")
def test_a_region_is_decoded_and_its_rows_alone_are_copied(make):
    blobs = [jpeg(picture(240, 200, seed=k), "4:2:0") for k in range(8)]
    rows = np.concatenate([plain(240, 200) for _ in blobs])
    rows["crop_y"], rows["crop_x"] = np.arange(8) * 27, np.arange(8)[::-1] * 25
    rows["crop_h"] = rows["crop_w"] = SIDE
    rows["crop_h"][3] = 240 - rows["crop_y"][3]  # resized: a resize of a crop reads all of it
    backend = make(Engine(), host_share=1)
    out, faults = batch(backend, blobs, rows)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    pixels = max(backend._device.uploads)
    assert pixels < 0.4 * 8 * 240 * 200 * 3
    rows["orient"] = 2  # what the compiled call does not see as one window is decoded as a whole
    out, faults = batch(backend, blobs, rows)
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert max(backend._device.uploads) == 8 * -(-240 * 200 * 3 // 512) * 512


@pytest.mark.skipif(not turbojpeg.status().usable, reason="no TurboJPEG")
def test_random_plans_read_what_was_decoded_and_nothing_else_is_written(make, monkeypatch):
    """Memory is poisoned before: what a kernel reads beside the region would show."""
    rng, blobs, rows = np.random.default_rng(2), [], []
    for number in range(40):
        height, width = map(int, rng.integers(20, 120, 2))
        kinds = ["4:2:0", "4:4:4", "4:2:2", "4:4:0"]
        blobs.append(jpeg(picture(height, width, seed=number), kinds[number % 4]))
        steps = ("resize", "crop", "mirror") if number % 3 else ("warp", "fit", "pad", "crop")
        rows.append(random_plan(rng, height, width, SIDE, SIDE, steps, (0, 1, 2)))
    rows, written, decode_all = np.concatenate(rows), [], HostDecoder.decode

    def checked(self, records, of, sizes, channels, memory, starts, regions, work):
        failed = decode_all(self, records, of, sizes, channels, memory, starts, regions, work)
        nbytes = (regions["last"] - regions["first"]) * sizes[:, 1] * channels
        written.append((memory, starts, nbytes))
        return failed

    monkeypatch.setattr(HostDecoder, "decode", checked)
    backend = make(Engine(), host_share=1)
    out, faults = batch(backend, blobs, rows)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    for memory, starts, nbytes in written:
        for begin, size in zip(starts.tolist(), nbytes.tolist(), strict=True):
            assert (memory[begin + size : -(-(begin + size) // 512) * 512] == POISON).all()


def test_what_an_engine_refuses_goes_with_the_hosts_part_in_one_copy(make, way):
    """Its memory is behind the other's, which grows where it has no room."""
    blobs = [jpeg(picture(300, 400, seed=k)) for k in range(12)]
    engine = Engine(refuses=blobs)
    backend, rows = make(engine, host_share=0.5), rows_of(blobs)
    for _ in range(2):
        backend._device.uploads.clear()
        out, faults = batch(backend, blobs, rows)
        assert faults == []
        assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert 0 < len(engine.given[0]) < 12
    assert len(backend._device.uploads) == 2


@pytest.mark.parametrize(("host_share", "calls"), [(0, 1), (1, 4)])
def test_what_nobody_helps_with_is_one_call(make, monkeypatch, host_share, calls):
    """Pieces are for others to take."""
    monkeypatch.setattr("gpuio.backend.gpu.routing._BYTES_A_PIECE", 1)
    blobs, taken, decode_some = blobs_of(4), [], HostDecoder.decode

    def decoding(self, records, rows, *more):
        taken.append(rows.tolist())
        return decode_some(self, records, rows, *more)

    monkeypatch.setattr(HostDecoder, "decode", decoding)
    backend = make(Engine(), host_share=host_share, host_pixels=HOST_PIXELS)
    team = backend.division.team((0, 0, 0), 4, 3)
    out, faults = batch(backend, blobs, rows := rows_of(blobs), team=team)
    assert faults == []
    assert np.array_equal(out.asnumpy(), expected(blobs, rows))
    assert sorted(row for rows in taken for row in rows) == [0, 1, 2, 3]
    assert len(taken) == calls
