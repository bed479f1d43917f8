"""decode_scale: which images are decoded smaller, the plan that fits them, and the batches."""

import sys
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from gpuio.backend.gpu import host
from gpuio.backend.gpu.host import HostDecoder
from gpuio.backend.protocol import Encoded, Output
from gpuio.decode import turbojpeg
from gpuio.decode.formats import probe
from gpuio.decode.scaled import ScaledDecoder
from gpuio.errors import DecodeError, OptionError
from gpuio.kernels.plan.layout import AREA, BILINEAR, CUBIC, LANCZOS4, NEAREST
from gpuio.plan.decode_scale import fitted, scaled_size
from gpuio.plan.replay import denominator, replay
from support import boxes, reference
from support.making import encoded, jpeg, png, write_rec
from support.pictures import cmyk_jpeg, picture
from support.plans import plain

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from image_mutants import mutate

H, W = 24, 30
TRIANGLE = reference.TRIANGLE


def ramp(height, width):
    """Return float64[height, width, 2]: how far down and to the right each pixel's centre lies."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([y, x], 2)


def averaged(image, scale):
    """Return an image decoded at 1 / scale, its last pixels as JPEG's blocks fill them."""
    h, w = image.shape[:2]
    room = ((0, -h % scale), (0, -w % scale), (0, 0))
    padded = np.pad(image, room, mode="reflect", reflect_type="odd")  # the ramp goes on
    h, w = padded.shape[:2]
    return padded.reshape(h // scale, scale, w // scale, scale, -1).mean((1, 3))


def as_bytes(places, height, width):
    """Return places in an image as bytes: B down, G to the right, R none."""
    made = np.zeros((*places.shape[:2], 3))
    made[..., :2] = places / (height, width) * 255
    return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def shrinking(rng, height, width, inter, *, whole):
    """Return PLAN[1] that shrinks an image of (height, width) by resize, or by its crop."""
    row = plain(height, width)
    row["orient"] = rng.integers(1, 9)
    if row["orient"][0] >= 5:
        height, width = width, height
    if whole:
        side = int(rng.integers(30, 60))
        row["resize_h"], row["resize_w"] = (
            (side * height // width, side) if height > width else (side, side * width // height)
        )
        row["resize_inter"] = inter
        row["crop_y"] = rng.integers(0, row["resize_h"][0] - H + 1)
        row["crop_x"] = rng.integers(0, row["resize_w"][0] - W + 1)
        row["crop_h"], row["crop_w"] = H, W
        return row
    h, w = int(rng.integers(60, height + 1)), int(rng.integers(70, width + 1))
    row["crop_y"], row["crop_x"] = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    row["crop_h"], row["crop_w"], row["crop_inter"] = h, w, inter
    row["mirror"] = rng.integers(0, 2)
    return row


@pytest.mark.parametrize("whole", [True, False], ids=["resize", "crop"])
@pytest.mark.parametrize("inter", [BILINEAR, CUBIC, AREA, LANCZOS4, TRIANGLE])
def test_a_window_stays_where_it_is(whole, inter):
    """On an image whose pixels tell their place, none moves more than it may."""
    rng, seen = np.random.default_rng(inter), set()
    for _ in range(10):
        height, width = (int(n) for n in rng.integers(250, 600, 2))
        row = shrinking(rng, height, width, inter, whole=whole)
        row["flip"] = 0 if whole else rng.integers(0, 2)
        small, scale = fitted(row, np.array([True]), H, W)
        by = int(scale[0])
        seen.add(by)
        if by == 1:
            assert small is row
            continue
        image = ramp(height, width)
        full = reference.window(as_bytes(image, height, width), row[0], H, W)
        less = averaged(image, by)
        assert small["src_h"] == less.shape[0] == scaled_size(height, by)
        made = reference.window(as_bytes(less, height, width), small[0], H, W)
        inner = np.s_[3:-3, 3:-3] if inter == LANCZOS4 else np.s_[1:-1, 1:-1]  # edges ring
        upright = (height, width) if row["orient"][0] < 5 else (width, height)
        size = (row["resize_h"], row["resize_w"]) if whole else (H, W)
        length = upright if whole else (row["crop_h"][0], row["crop_w"][0])
        for channel, stored in enumerate((height, width)):
            axis = channel if row["orient"][0] < 5 else 1 - channel
            pixel = (
                255 / stored * float(length[axis]) / float(size[axis][0] if whole else size[axis])
            )
            off = np.abs(made[..., channel].astype(int) - full[..., channel])[inner].max()
            assert off <= 0.26 * pixel + 2.0
    assert len(seen & {2, 4, 8}) >= 2


def test_an_expanded_and_flipped_crop_stays_where_it_is():
    rng, scales = np.random.default_rng(3), []
    for _ in range(20):
        height, width = (int(n) for n in rng.integers(250, 600, 2))
        row = plain(height, width)
        row["flip"], row["fill"] = rng.integers(0, 2), 0
        row["expand_y"], row["expand_x"] = rng.integers(0, 90, 2)
        row["expand_h"] = height + row["expand_y"] + rng.integers(0, 90)
        row["expand_w"] = width + row["expand_x"] + rng.integers(0, 90)
        row["crop_h"], row["crop_w"] = row["expand_h"], row["expand_w"]
        row["crop_inter"] = BILINEAR
        row["letterbox_h"], row["letterbox_w"] = H, W - int(rng.integers(0, 6))
        small, scale = fitted(row, np.array([True]), H, W)
        scales.append(int(scale[0]))
        image = ramp(height, width)
        full = reference.window(as_bytes(image, height, width), row[0], H, W).astype(int)
        less = as_bytes(averaged(image, scales[-1]), height, width)
        made = reference.window(less, small[0], H, W).astype(int)
        inside = (full.min(2) == 0) & (full[..., :2].min(2) > 12) & (made[..., :2].min(2) > 12)
        inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) != 0  # edges are softer
        assert inside.sum() > 100
        assert np.abs(made - full)[inside].max() <= 0.26 * 255 / H + 2
    assert set(scales) <= {4, 8}


@pytest.mark.parametrize(
    "change",
    [
        {"crop_inter": NEAREST},
        {"warp_h": 100, "warp_w": 100},
        {"pad": 2},
        {"crop_h": -3},
        {"crop_h": 47, "crop_w": 300},  # shrinks one axis by less than 2
        {"crop_h": H, "crop_w": W},  # does not shrink
        {"expand_h": 900, "expand_w": 900, "crop_inter": CUBIC},
    ],
    ids=str,
)
def test_rows_that_are_decoded_in_full(change):
    row = plain(400, 400)
    row["crop_inter"] = BILINEAR
    assert fitted(row, np.array([True]), H, W)[1] == [8]
    assert fitted(row, np.array([False]), H, W)[1] == [1]
    for name, value in change.items():
        row[name] = value
    small, scale = fitted(row, np.array([True]), H, W)
    assert scale == [1]
    assert small is row


def test_the_scale_is_the_largest_that_the_plan_allows():
    for side, scale in ((47, 1), (48, 2), (95, 2), (96, 4), (191, 4), (192, 8), (5000, 8)):
        row = plain(6000, 6000)
        row["crop_h"] = row["crop_w"] = side
        row["crop_inter"] = BILINEAR
        assert fitted(row, np.array([True]), 24, 24)[1] == [scale]


def test_other_interpolations_take_a_larger_image_where_edges_are_far():
    row = plain(6000, 6000)
    row["crop_h"] = row["crop_w"] = 8 * H
    row["crop_inter"] = CUBIC
    scales = []
    for row["crop_y"] in (0, 1, 2, 4, 8):
        scales.append(int(fitted(row, np.array([True]), H, H)[1][0]))
    assert scales == [8, 8, 8, 4, 8]


# batches

RESIZED = {
    "random_resized_crop": True,
    "min_random_area": 0.2,
    "min_aspect_ratio": 0.75,
    "max_aspect_ratio": 1.25,
}
JOBS = [
    {"resize": 40},
    {"resize": 40, "rand_crop": True, "rand_mirror": True, "inter_method": 3},
    {**RESIZED, "rand_mirror": True},
    {**RESIZED, "antialias": True, "data_shape": (1, H, W)},
    {**RESIZED, "inter_method": 10, "brightness": 0.3, "dtype": "uint8"},
    {"resize": 45, "max_rotate_angle": 20, "erase_prob": 0.5, "layout": "NHWC"},
    {"resize": 40, "mean_r": 100, "dtype": "float16", "exif": "ignore"},
]


def turned(blob, orientation):
    """Return a JPEG with an EXIF orientation."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation, 0, 0])
    exif += bytes(4)
    return blob[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + blob[2:]


def blobs_of():
    """Return images of every way through the decoders."""
    made = [jpeg(picture(300 + 7 * n, 340 - 5 * n, seed=n), 90) for n in range(6)]
    made += [turned(blob, 3 + n) for n, blob in enumerate(made)]
    made.append(encoded(picture(301, 333), cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    made.append(encoded(picture(301, 333)[:, :, 0]))
    made.append(cmyk_jpeg(260, 300))
    made.append(png(picture(300, 300)))
    made.append(jpeg(picture(40, 50)))
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("scaled"), blobs_of())


@pytest.fixture(params=["turbojpeg", "opencv"])
def way(request, monkeypatch):
    """Decode with TurboJPEG, or with OpenCV alone."""
    if request.param == "opencv":
        monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    elif not turbojpeg.status().usable:
        pytest.skip(turbojpeg.status().reason)
    return request.param


def reader(files, **options):
    base = {"data_shape": (3, H, W), "batch_size": 6, "verbose": False, "ctx": "cpu", "seed": 5}
    rec, idx = files[:2]
    return mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **{**base, **options})


def epoch(files, **options):
    with reader(files, **options) as it:
        return [(batch.data[0].asnumpy(), batch.plan.copy()) for batch in it]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", JOBS, ids=str)
def test_batches_are_the_plan_executed_on_the_smaller_images(files, options):
    """Every row is replayed from OpenCV's reduced image."""
    blobs, full, scales = blobs_of(), epoch(files, **options), []
    with reader(files, decode_scale="auto", preprocess_threads=1, **options) as it:
        for number, batch in enumerate(it):
            assert batch.plan.tobytes() == full[number][1].tobytes()  # the plan stays as drawn
            for row in range(6 - batch.pad):
                key = int(batch.index[row])
                by = denominator(batch.plan[row], it.options) if key != 15 else 1
                scales.append(by)
                gray = it.options.data_shape[0] == 1
                flag = (0 if gray else 1) | {1: 0, 2: 16, 4: 32, 8: 64}[by] | 128
                image = cv2.imdecode(np.frombuffer(blobs[key], np.uint8), flag)
                image = image.reshape(*image.shape[:2], it.options.data_shape[0])
                again = replay(image, batch.plan[row], it.options)
                assert np.array_equal(again, batch.data[0][row].asnumpy())
                if by == 1:
                    assert np.array_equal(again, full[number][0][row])
    assert len(scales) == len(blobs)
    assert {1, 4} <= set(scales)
    threads = epoch(files, decode_scale="auto", preprocess_threads=3, **options)
    with reader(files, decode_scale="auto", preprocess_threads=1, **options) as it:
        assert all(
            np.array_equal(batch.data[0].asnumpy(), data)
            for batch, (data, _) in zip(it, threads, strict=True)
        )


def test_the_pixels_are_near_those_of_off(files):
    """Averages of areas stay averages: nothing moves, nothing changes its brightness."""
    ours = epoch(files, resize=40, inter_method=3, decode_scale="auto", dtype="uint8")
    theirs = epoch(files, resize=40, inter_method=3, dtype="uint8")
    for (data, _), (other, _) in zip(ours, theirs, strict=True):
        assert np.abs(data.astype(int) - other).mean() < 4


def test_a_state_goes_on_with_the_same_pixels(files):
    given = {**RESIZED, "decode_scale": "auto", "shuffle": True}
    whole = epoch(files, **given)
    with reader(files, **given) as it:
        it.next()
        state = it.state_dict()
    with reader(files, **given) as it:
        it.load_state_dict(state)
        for (data, _), batch in zip(whole[1:], it, strict=True):
            assert np.array_equal(batch.data[0].asnumpy(), data)


@pytest.mark.usefixtures("way")
def test_damage_below_the_crop_is_not_looked_at_and_damage_in_it_is(tmp_path):
    """As in full size: whichever decodes, the verdict is the same."""
    blob = jpeg(picture(640, 480), 90)
    low, high = bytearray(blob), bytearray(blob)
    low[-40:-2] = bytes(38)
    cut = bytes(high[: len(high) // 8]) + b"\xff\xd9"
    files = write_rec(tmp_path, [bytes(low), blob])
    given = {"data_shape": (3, 48, 48), "max_crop_size": 300, "min_crop_size": 300, "batch_size": 2}
    ours = epoch(files, decode_scale="auto", rand_crop=False, **given)[0][0]
    assert np.array_equal(ours[0], ours[1])
    files = write_rec(tmp_path, [cut, blob], name="cut")
    for scale in ("off", "auto"):
        ours = epoch(files, decode_scale=scale, **given)[0][0]
        assert not np.array_equal(ours[0], ours[1])


def fates(blob, row, output):
    """Return what becomes of a row on the CPU, and of its image where a GPU's host decodes it."""
    records = Encoded.empty(1)
    records.put(0, blob)
    records.headers[0] = probe(blob)
    row, scale = fitted(row, np.array([True]), output.height, output.width)
    records = attrs.evolve(records, scale=scale)
    out = np.full(output.shape(1), 77, np.uint8)
    faults = cpu.CpuBackend().make(records, row, output, out)
    size = np.array([[row["src_h"][0], row["src_w"][0]]], np.int64)
    memory = np.zeros(int(size.prod()) * output.channels, np.uint8)
    zero = np.zeros(1, np.int64)
    failed = HostDecoder().decode(records, zero, size, output.channels, memory, zero)
    said = [str(fault.error) for fault in faults], [str(error) for error in failed.values()]
    return out.tobytes(), b"" if failed else memory.tobytes(), said


@pytest.mark.usefixtures("way")
def test_mutants_have_the_fate_that_they_have_without_our_own_decoder(monkeypatch):
    rng, cases, warps = np.random.default_rng(4), [], 0
    pool = [jpeg(picture(330, 310, seed=n), 80) for n in range(2)]
    pool.append(encoded(picture(300, 320), cv2.IMWRITE_JPEG_RST_INTERVAL, 5))
    for case in range(150):
        blob = bytearray(pool[case % 3])
        if case % 3 == 0:
            blob = mutate(rng, bytes(blob), pool)[:60_000]
        elif case % 3 == 1:
            blob[int(rng.integers(620, len(blob) - 2))] ^= 1 << int(rng.integers(8))
        try:
            info = probe(bytes(blob))
        except DecodeError:
            continue
        if min(info.height, info.width) < 270 or max(info.height, info.width) > 400:
            continue
        row = shrinking(rng, info.height, info.width, BILINEAR, whole=case % 2 == 0)
        row["orient"] = 1
        cases.append((bytes(blob), row))
        warps += fitted(row, np.array([True]), H, W)[0]["warp_h"][0] > 0
    assert len(cases) - 20 > warps > 20
    output = Output(3, H, W, "uint8", "NCHW", np.zeros(3, np.float32), np.ones(3, np.float32), 1.0)
    with_own = [fates(*case, output) for case in cases]
    monkeypatch.setattr(cpu.CpuBackend, "_scaled", lambda self: None)
    made = ScaledDecoder  # of images with more than no pixels it decodes none itself
    monkeypatch.setattr(host, "ScaledDecoder", lambda turbo, handle, _: made(turbo, handle, 0))
    assert with_own == [fates(*case, output) for case in cases]
    assert sum(bool(said[0]) for _, _, said in with_own) < len(cases) - 60


@pytest.mark.usefixtures("way")
def test_a_jpeg_that_cannot_be_decoded_is_named(tmp_path):
    blob = bytearray(jpeg(picture(640, 480), 90))
    blob[len(blob) // 3 :] = b""
    files = write_rec(tmp_path, [bytes(blob)])
    with pytest.raises(DecodeError, match="cut short") as error:
        epoch(files, decode_scale="auto", resize=50, batch_size=1)
    assert error.value.key == 0


@pytest.mark.usefixtures("way")
def test_detection_is_scaled_too(tmp_path):
    scenes = [boxes.objects_of(n) for n in range(8)]
    blobs = [jpeg(boxes.scene(400, 500, one), 95) for one in scenes]
    rec, idx = write_rec(tmp_path, blobs, [boxes.label(one) for one in scenes])
    seen = []
    for scale in ("off", "auto"):
        with mx.io.ImageDetRecordIter(
            path_imgrec=rec,
            path_imgidx=idx,
            data_shape=(3, 60, 60),
            batch_size=4,
            ctx="cpu",
            verbose=False,
            seed=3,
            rand_mirror_prob=0.5,
            rand_pad_prob=0.5,
            max_pad_scale=2.0,
            rand_crop_prob=0.5,
            num_crop_sampler=1,
            min_crop_scales=0.5,
            max_crop_scales=0.9,
            decode_scale=scale,
        ) as it:
            seen.append([(b.data[0].asnumpy(), b.label[0].asnumpy()) for b in it])
    changed = 0
    for (data, label), (other, label_off) in zip(*seen, strict=True):
        assert np.array_equal(label, label_off)
        assert np.abs(data - other).mean() < 6
        changed += not np.array_equal(data, other)
    assert changed


def test_who_decoded_is_said(files, way):
    """Windows and warps, at 1/8 and above."""
    seen = {}
    for options in ({"resize": 33}, {"resize": 60}, {**RESIZED, "min_random_area": 0.9}):
        with reader(files, decode_scale="auto", **options) as it:
            for _ in it:
                pass
            for name, images in it.stats()["decoders"].items():
                seen[name] = seen.get(name, 0) + images
    assert seen["own"] > 12
    assert seen["opencv"] >= 3 if way == "turbojpeg" else seen["opencv"] > 12
    assert ("turbojpeg" in seen) == (way == "turbojpeg")


def test_our_own_decoder_is_not_loaded_for_other_jobs(files, monkeypatch):
    monkeypatch.setattr(cpu, "ScaledDecoder", lambda *_: pytest.fail("loaded"))
    epoch(files, decode_scale="off", resize=33)


def test_the_option_has_two_values():
    with pytest.raises(OptionError, match="decode_scale"):
        mx.io.ImageRecordIter(path_imgrec="x", data_shape=(3, 9, 9), batch_size=1, decode_scale=8)
