"""docs/decoding.md, row by row: the same pixels and the same errors from every decoder there is."""

import numpy as np
import pytest

from gpuio.backend.gpu.backend import GpuBackend
from gpuio.io import ImageRecordUInt8Iter
from support import kinds
from support.fake_device import FakeDevice
from support.making import write_rec

GOOD, BAD = kinds.decoded(), kinds.refused()
WAYS = ("cpu", "opencv", "dali", "nvimgcodec")  # cpu: with TurboJPEG where it is there


def read(folder, way, blobs, monkeypatch, **options):
    """Read blobs as whole images through the CPU, or the GPU's code on the host; as R, G, B."""
    from gpuio.backend import open_backend
    from gpuio.backend.gpu.engines import engine_opener

    def opened(name, device_id=0, **settings):
        if way in ("cpu", "opencv"):
            return open_backend("cpu", device_id, keep=settings["keep"])
        opener, rescue = (
            engine_opener(engine, None, engines=1, hw_decoder_load=0.5)
            for engine in (way, "nvimgcodec")
        )
        return GpuBackend(
            0,
            device=FakeDevice(),
            open_engine=opener,
            open_rescue=rescue,
            host_pixels=0,
            keep=settings["keep"],
        )

    monkeypatch.setattr("gpuio.pipeline.opening.open_backend", opened)
    if way == "opencv":
        monkeypatch.setattr("gpuio.decode.turbojpeg.compiled", lambda: None)
    rec, _ = write_rec(folder, blobs)
    given = {
        "data_shape": (3, kinds.HEIGHT, kinds.WIDTH),
        "batch_size": 16,
        "on_error": "zero",
        "round_batch": False,
        "layout": "NHWC",
        "verbose": False,
        "preprocess_threads": 2,
        **options,
    }
    with ImageRecordUInt8Iter(path_imgrec=rec, **given) as it:
        images = np.concatenate([batch.data[0].asnumpy() for batch in it])[: len(blobs)]
        failed = {each["key"]: each["reason"] for each in it.stats()["failed_records"]}
        return images, failed, it.stats()


@pytest.fixture(scope="module", params=WAYS)
def contract(request, tmp_path_factory):
    """Every kind of file, read once each way: name to pixels, name to error."""
    if request.param not in ("cpu", "opencv"):
        pytest.importorskip("nvidia.nvimgcodec")
        pytest.importorskip("nvidia.dali")
    names = [*GOOD, *BAD]
    blobs = [GOOD[name][0] if name in GOOD else BAD[name][0] for name in names]
    with pytest.MonkeyPatch.context() as patch:
        images, failed, _ = read(
            tmp_path_factory.mktemp("kinds"), request.param, blobs, patch, max_bad=1000
        )
    return dict(zip(names, images, strict=True)), {names[key]: failed[key] for key in failed}


@pytest.mark.parametrize("name", GOOD)
def test_pixels_are_those_of_an_independent_decoder(contract, name):
    images, errors = contract
    _, expected, within = GOOD[name]
    assert name not in errors, errors[name]
    assert np.abs(images[name].astype(int) - expected).max() <= within


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_decoded_says_what_it_is(contract, name):
    images, errors = contract
    assert errors[name].startswith("DecodeError: ")
    assert BAD[name][1] in errors[name]
    assert not images[name].any()


@pytest.mark.parametrize("way", WAYS)
def test_one_channel_is_the_decoders_luma(tmp_path, way, monkeypatch):
    """Of a JPEG that is its Y plane, which Pillow gives as well, unconverted."""
    import io

    from PIL import Image

    names = ["jpeg 420", "jpeg gray", "jpeg progressive", "png gray", "png"]
    blobs = [GOOD[name][0] for name in names]
    shape = (1, kinds.HEIGHT, kinds.WIDTH)
    images, failed, _ = read(tmp_path, way, blobs, monkeypatch, data_shape=shape)
    assert failed == {}
    for name, blob, image in zip(names, blobs, images, strict=True):
        expected = Image.open(io.BytesIO(blob))
        expected.draft("L", None)
        difference = np.abs(np.asarray(expected.convert("L")).astype(int) - image[:, :, 0])
        assert difference.max() <= (1 if name == "png" else 0), name


@pytest.mark.parametrize("way", WAYS)
def test_four_channels_are_kept_and_asked_for(tmp_path, way, monkeypatch):
    names = ["png alpha", "webp alpha", "jpeg 2000 alpha", "png", "jpeg 420", "jpeg exif 6"]
    shape = (4, kinds.HEIGHT, kinds.WIDTH)
    blobs = [GOOD[name][0] for name in names]
    images, failed, _ = read(tmp_path, way, blobs, monkeypatch, data_shape=shape)
    for image in images[:3]:
        assert np.array_equal(image[:, :, :3], kinds.RGB)
        assert np.array_equal(image[:, :, 3], kinds.ALPHA)
    assert sorted(failed) == [3, 4, 5]
    assert "image has 3 channels of uint8, data_shape asks for 4" in failed[3]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("turn", [3, 8])
def test_exif_may_be_ignored(tmp_path, way, turn, monkeypatch):
    blob = kinds.exif(kinds.saved(kinds.PICTURE, "JPEG"), turn)
    images, failed, _ = read(tmp_path, way, [blob], monkeypatch, exif="ignore")
    assert failed == {}
    assert np.array_equal(images[0], kinds.by_pillow(kinds.saved(kinds.PICTURE, "JPEG")))


def gray_from(image):
    """The first row from which on an image is all of one gray."""
    rows = np.flatnonzero((np.abs(image.astype(int) - 128) > 2).any(axis=(1, 2)))
    return int(rows[-1]) + 1 if len(rows) else 0


@pytest.mark.parametrize("way", WAYS)
def test_what_there_is_of_a_jpeg_cut_short_is_accepted(tmp_path, way, monkeypatch):
    names = ["jpeg 444", "jpeg gray", "jpeg restart markers", "jpeg cmyk", "jpeg arithmetic"]
    wholes = [GOOD[name][0] for name in names]
    cut = [blob[: len(blob) - len(blob) // 4] for blob in wholes]
    cut += [wholes[0][:-2], wholes[0][:-1], wholes[0]]
    images, failed, stats = read(tmp_path, way, cut, monkeypatch, truncated="accept")
    assert failed == {}
    assert stats["cut_short"] == len(cut) - 1
    for name, image in zip(names, images[:5], strict=True):
        expected = GOOD[name][1]
        same = (image == expected).all(axis=(1, 2))
        first = int(np.argmin(same))
        assert 8 <= first < kinds.HEIGHT, name
        if name not in ("jpeg cmyk", "jpeg arithmetic"):  # ink of no value is no gray
            assert gray_from(image) <= first + 18, name  # a block row, and chroma
    for image in images[5:]:
        assert np.array_equal(image, GOOD["jpeg 444"][1])


@pytest.mark.parametrize("way", WAYS)
def test_a_progressive_jpeg_cut_short_is_coarse_all_over(tmp_path, way, monkeypatch):
    blob, expected, _ = GOOD["jpeg progressive"]
    part = blob[: len(blob) * 2 // 3]
    images, failed, _ = read(tmp_path, way, [part], monkeypatch, truncated="accept")
    assert failed == {}
    difference = np.abs(images[0].astype(int) - expected).mean(axis=(1, 2))
    assert 0 < difference.max() < 20


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"data_shape": (3, 8, 8), "rand_crop": True}])
def test_cut_short_in_its_headers_is_never_accepted(tmp_path, way, options, monkeypatch):
    blob = GOOD["jpeg 444"][0]
    cut = [blob[:60], blob[: blob.index(b"\xff\xda") + 4]]
    options = {"truncated": "accept", **options}
    _, failed, _ = read(tmp_path, way, cut, monkeypatch, **options)
    assert sorted(failed) == [0, 1]


@pytest.mark.parametrize("way", ["cpu", "opencv"])
@pytest.mark.parametrize("accepts", [False, True])
def test_the_part_of_a_cut_jpeg_that_a_crop_needs_is_no_reason_to_take_it(
    tmp_path, accepts, way, monkeypatch
):
    """Decoding may stop early, but what is refused does not depend on the crop."""
    whole = kinds.saved(kinds.PICTURE.resize((320, 320)), "JPEG", quality=90)
    cut = whole[: len(whole) // 2]
    options = {"data_shape": (3, 8, 320), "truncated": "accept" if accepts else "raise"}
    options |= {"rand_crop": True, "seed": 3}
    images, failed, _ = read(tmp_path, way, [cut] * 12, monkeypatch, **options)
    assert len(failed) == (0 if accepts else 12)
    assert images.any() == accepts


@pytest.mark.parametrize("way", ["cpu", "opencv"])
def test_a_jpeg_whose_scan_ends_too_soon_is_the_same_for_every_crop(tmp_path, way, monkeypatch):
    """An end marker stands behind half of a scan: gray below, though decoding stops early."""
    whole = kinds.saved(kinds.PICTURE.resize((320, 320)), "JPEG", quality=90)
    blob = whole[: len(whole) // 3] + b"\xff\xd9"
    options = {"data_shape": (3, 320, 320), "rand_crop": True}
    full, failed, _ = read(tmp_path, way, [blob], monkeypatch, **options)
    assert failed == {}
    options = {"data_shape": (3, 160, 320), "rand_crop": True, "seed": 1}
    parts, failed, _ = read(tmp_path, way, [blob] * 12, monkeypatch, **options)
    assert failed == {}
    for part in parts:
        at = [y for y in range(161) if np.array_equal(part, full[0, y : y + 160])]
        assert at
