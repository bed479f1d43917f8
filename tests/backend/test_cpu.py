"""The CPU backend makes the same pixels whatever decodes, and as much of an image as it decodes."""

import logging
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from gpuio.backend.protocol import Encoded, Output
from gpuio.decode import turbojpeg
from gpuio.decode.formats import probe
from gpuio.decode.jpeg import completed
from gpuio.decode.limits import check_format, check_size
from gpuio.errors import GpuioError
from support.kinds import exif
from support.making import jpeg, photo, png, write_rec
from support.plans import plain

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from image_mutants import generator, mutate

needs_library = pytest.mark.skipif(
    not turbojpeg.status().usable, reason=f"no TurboJPEG: {turbojpeg.status().reason}"
)


@pytest.fixture
def opencv(monkeypatch):
    """Let OpenCV decode everything."""
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    monkeypatch.setattr(cpu, "any_plain", lambda _: False)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    sizes = [(300, 200), (200, 300), (512, 256), (257, 511), (64, 700), (700, 64), (448, 448)]
    blobs = [jpeg(photo(h, w, seed)) for seed, (h, w) in enumerate(sizes * 3)]
    return write_rec(tmp_path_factory.mktemp("cpu"), blobs)


RESIZED_CROP = {
    "random_resized_crop": True,
    "min_random_area": 0.05,
    "max_random_area": 0.6,
    "min_aspect_ratio": 0.7,
    "max_aspect_ratio": 1.4,
}


GEOMETRIES = [
    {"resize": 100},
    {"resize": 100, "rand_crop": True, "rand_mirror": True},
    {"resize": 256, "rand_crop": True},
    {"resize": 128, "min_crop_size": 50, "max_crop_size": 100},
    {},
    {"rand_crop": True},
    {"resize": 400, "rand_crop": True, "brightness": 0.3, "contrast": 0.3, "pca_noise": 0.1},
    RESIZED_CROP,
    {**RESIZED_CROP, "resize": 150},
    {**RESIZED_CROP, "max_rotate_angle": 10},
    {"max_rotate_angle": 180, "max_shear_ratio": 0.3, "rand_crop": True, "fill_value": 9},
    {"rotate": 40, "min_random_scale": 0.8, "max_random_scale": 1.4, "rand_mirror": True},
    {"resize": 100, "pad": 7},
]


@pytest.mark.parametrize("inter_method", [0, 1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize("options", GEOMETRIES, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.usefixtures("opencv")
def test_decoding_less_changes_no_pixel(paths, options, inter_method, monkeypatch):
    def read():
        with mx.io.ImageRecordIter(
            path_imgrec=paths[0],
            data_shape=(3, 64, 96),
            batch_size=7,
            dtype="uint8",
            seed=4,
            ctx="cpu",
            verbose=False,
            inter_method=inter_method,
            **options,
        ) as it:
            return np.concatenate([batch.data[0].asnumpy() for batch in it])

    shortened = []
    real = cpu.shorten
    monkeypatch.setattr(cpu, "shorten", lambda *a: shortened.append(real(*a)) or shortened[-1])
    less = read()
    monkeypatch.setattr(cpu, "shorten", lambda *_: None)
    assert np.array_equal(less, read())
    warped = {**RESIZED_CROP, "max_rotate_angle": 10}
    if options in ({"rand_crop": True}, RESIZED_CROP) or (options == warped and inter_method == 1):
        assert any(one is not None for one in shortened)


@pytest.mark.usefixtures("opencv")
def test_the_main_job_decodes_less_of_upright_images(paths, monkeypatch):
    kept = []
    real = cpu.shorten

    def note(*arguments):
        made = real(*arguments)
        kept.append(made[1] if made else None)
        return made

    monkeypatch.setattr(cpu, "shorten", note)
    with mx.io.ImageRecordIter(
        path_imgrec=paths[0],
        data_shape=(3, 80, 80),
        batch_size=7,
        resize=96,
        ctx="cpu",
        verbose=False,
    ) as it:
        next(it)
    assert 240 in kept  # of the image of 300 rows: 236 are read, and one more for the chroma


def batches(rec, **options):
    """Return the values of a pass over `rec`, as bytes."""
    given = {
        "path_imgrec": rec,
        "data_shape": (3, 40, 48),
        "batch_size": 9,
        "seed": 2,
        "ctx": "cpu",
        "verbose": False,
        "preprocess_threads": 2,
        **options,
    }
    with mx.io.ImageRecordIter(**given) as it:
        return b"".join(np.asarray(batch.data[0]).tobytes() for batch in it)


@pytest.fixture(scope="module")
def kinds_of_jpeg(tmp_path_factory):
    """A file of JPEGs of every sampling, gray ones, progressive ones, a PNG and turned ones."""
    flag = cv2.IMWRITE_JPEG_SAMPLING_FACTOR
    blobs = []
    for number, factors in enumerate((0x411111, 0x221111, 0x211111, 0x121111, 0x111111)):
        image = photo(150 + 40 * number, 170 - 10 * number, number)
        blobs.append(cv2.imencode(".jpg", image, [flag, factors])[1].tobytes())
    image = photo(190, 130, 9)
    blobs.append(jpeg(image[:, :, 0]))
    blobs.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    blobs.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1].tobytes())
    blobs.append(png(image))
    blobs.append(exif(blobs[1], 6))
    return write_rec(tmp_path_factory.mktemp("kinds"), blobs * 2)[0]


@needs_library
@pytest.mark.parametrize("options", GEOMETRIES, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("channels", [1, 3])
def test_turbojpeg_and_opencv_make_the_same_batches(kinds_of_jpeg, options, channels, monkeypatch):
    options = {**options, "data_shape": (channels, 40, 48)}
    if channels == 1:
        for name in ("brightness", "contrast", "pca_noise"):
            options.pop(name, None)
    found = batches(kinds_of_jpeg, **options)
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    assert found == batches(kinds_of_jpeg, **options)


OUTPUTS = [
    {"dtype": dtype, "layout": layout, "scale": 0.5, "max_random_contrast": 0.3}
    for dtype in ("float32", "float16", "uint8", "int8")
    for layout in ("NCHW", "NHWC")
]


@needs_library
@pytest.mark.parametrize(
    "options", OUTPUTS, ids=lambda options: "-".join(map(str, options.values()))
)
def test_every_output_is_the_same_with_both_decoders(kinds_of_jpeg, options, monkeypatch):
    options = {**RESIZED_CROP, **options, "rand_mirror": True, "mean_r": 9.0, "std_g": 3.0}
    found = batches(kinds_of_jpeg, **options)
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    assert found == batches(kinds_of_jpeg, **options)


@pytest.mark.parametrize("options", [{}, {"layout": "NHWC"}, {"dtype": "float16"}])
def test_large_batches_are_written_past_the_caches(kinds_of_jpeg, options, monkeypatch):
    passed = set()
    real = cpu.CpuBackend._prepared

    def prepared(self, output):
        normalisation, job = real(self, output)
        made = job.make
        if made.__name__ == "make":

            def noted(*arguments, past, **more):
                passed.add(past)
                return made(*arguments, past=past, **more)

            job.make = noted
        return normalisation, job

    monkeypatch.setattr(cpu.CpuBackend, "_prepared", prepared)
    small = batches(kinds_of_jpeg, **RESIZED_CROP, **options)
    assert passed == {False}
    passed.clear()
    monkeypatch.setattr(cpu, "_LARGE", 2 * 3 * 40 * 48 * 9)  # of float16; more than that of float32
    assert batches(kinds_of_jpeg, **RESIZED_CROP, **options) == small
    assert passed == {True}


@needs_library
@pytest.mark.parametrize(
    "options",
    [{"resize": 60, "rand_crop": True, "brightness": 0.2}, {**RESIZED_CROP, "max_rotate_angle": 9}],
)
def test_plain_jpegs_never_reach_opencv(paths, options, monkeypatch):
    monkeypatch.setattr(cpu, "decode", lambda *_: pytest.fail("OpenCV decodes"))
    assert len(batches(paths[0], **options))


def test_a_log_line_says_which_decoder_decodes(paths, caplog):
    turbojpeg._say.cache_clear()  # it is said once per process
    with caplog.at_level(logging.INFO, "gpuio"):
        cpu.CpuBackend()
    assert turbojpeg.status().described() in [line.message for line in caplog.records]


def test_shares_of_small_images_are_larger():
    assert cpu.CpuBackend(record_bytes=100_000).share(256, 2) == 8
    assert cpu.CpuBackend(record_bytes=7_000).share(256, 2) == 128
    assert cpu.CpuBackend(record_bytes=7_000).share(300, 2) == 100
    assert cpu.CpuBackend(record_bytes=7_000).share(256, 16) == 16
    assert cpu.CpuBackend(record_bytes=7_000).share(16, 2) == 8
    assert cpu.CpuBackend(record_bytes=0).share(256, 4) == 64


def draw_row(rng, height, width):
    """Return PLAN[1] of a crop, of a crop of a warp, or of a window of a resize, to 24 x 24."""
    row, kind = plain(height, width), rng.random()
    if kind < 0.6:
        if kind < 0.2:
            row["warp_h"], row["warp_w"], row["warp_inter"] = height, width, 1
            row["warp"] = [0.9, 0.1, rng.uniform(-9, 9), -0.1, 0.9, rng.uniform(-9, 9)]
        h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        row["crop_h"], row["crop_w"], row["crop_inter"] = h, w, 1
    else:
        height, width = map(int, rng.integers(24, 200, 2))
        h = w = 24
        row["resize_h"], row["resize_w"], row["resize_inter"] = height, width, 1
        row["crop_h"] = row["crop_w"] = 24
    row["crop_y"], row["crop_x"] = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return row


@needs_library
def test_damaged_jpegs_have_the_same_fate_with_both_decoders(monkeypatch):
    turbo = cpu.CpuBackend()
    monkeypatch.setattr(turbojpeg, "compiled", lambda: None)
    opencv = cpu.CpuBackend()
    output = Output(
        3, 24, 24, "uint8", "NCHW", np.zeros(3, np.float32), np.ones(3, np.float32), 1.0
    )
    pool = [jpeg(photo(h, w, h)) for h, w in ((120, 90), (200, 64), (31, 150), (64, 64))]
    fates = {True: 0, False: 0}
    for case in range(1200):
        rng = generator(5, case)
        blob = mutate(rng, pool[case % len(pool)], pool)[:60_000]
        if rng.random() < 0.3:
            blob = completed(blob)
        try:
            info = probe(blob)
            check_format(info, blob)
            check_size(info, 1_000_000)
        except GpuioError:
            continue
        records = Encoded.empty(1)
        records.put(0, blob)
        records.headers[0] = info
        row, made = draw_row(rng, info.height, info.width), []
        for backend in (turbo, opencv):
            out = np.full(output.shape(1), 77, np.uint8)
            faults = backend.make(records, row, output, out)
            made.append((out.tobytes(), [str(fault.error) for fault in faults]))
        assert made[0] == made[1], case
        fates[made[0][1] == []] += 1
    assert min(fates.values()) > 100


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (3, 3), (8, 8), (64, 8)])
def test_as_many_threads_as_cores_make_batches_where_none_are_asked_for(
    paths, cores, threads, monkeypatch
):
    monkeypatch.setattr(cpu, "usable_cores", lambda: cores)
    names = set()
    real = cpu.CpuBackend.make

    def make(self, *args):
        names.add(threading.current_thread().name)
        return real(self, *args)

    monkeypatch.setattr(cpu.CpuBackend, "make", make)
    options = {"preprocess_threads": None, "batch_size": 1}
    with mx.io.ImageRecordIter(
        path_imgrec=paths[0], data_shape=(3, 40, 48), ctx="cpu", verbose=False, **options
    ) as it:
        assert cpu.CpuBackend().default_threads == threads
        assert len(list(it)) == 21
    assert 1 <= len(names) <= threads
