"""nvImageCodec's engine, on the host: the code that runs on a GPU, with another device number."""

import numpy as np
import pytest

from gpuio.decode.engine import Destination, OutOfDeviceMemoryError
from gpuio.decode.formats import probe
from gpuio.decode.nvimgcodec import NvImageCodecEngine
from gpuio.decode.opencv import decode
from gpuio.errors import DecodeError
from support.pictures import cmyk_jpeg, every_jpeg, jpeg, picture

pytest.importorskip("nvidia.nvimgcodec")


@pytest.fixture(scope="module")
def engine():
    made = NvImageCodecEngine(None, 1)
    yield made
    made.close()


def places_for(blobs, channels):
    """Make one host arena and cut it into places, poisoned so that nothing unwritten passes."""
    shapes = [(info.height, info.width) for info in map(probe, blobs)]
    arena = np.full(sum(h * w for h, w in shapes) * channels + 64, 0xA5, np.uint8)
    places, at = [], 0
    for h, w in shapes:
        view = arena[at : at + h * w * channels]
        places.append(Destination(view.ctypes.data, view.reshape(1, -1, channels)))
        at += h * w * channels
    return places, shapes


def sizes_of(blobs):
    return np.array([probe(blob)[1:3] for blob in blobs], np.int32)


def decoded(engine, blobs, channels):
    places, shapes = places_for(blobs, channels)
    made = engine.decode(blobs, sizes_of(blobs), channels, places, 0)
    assert made.errors == {}
    assert made.addresses.tolist() == [place.address for place in places]
    return [
        place.memory.reshape(*shape, channels) for place, shape in zip(places, shapes, strict=True)
    ]


def test_a_place_is_made_an_image_once_and_holds_the_pixels_of_whatever_is_decoded_next(
    engine, monkeypatch
):
    blobs = [jpeg(picture(36, 44, seed=k)) for k in range(3)]
    places, _ = places_for(blobs, 3)
    made, real = [], engine._lib.as_image
    monkeypatch.setattr(engine._lib, "as_image", lambda memory: made.append(1) or real(memory))
    for height, width in ((36, 44), (36, 44), (20, 21), (44, 36)):
        blobs = [jpeg(picture(height, width, seed=height + width + k)) for k in range(3)]
        assert engine.decode(blobs, sizes_of(blobs), 3, places, 0).errors == {}
        for blob, place in zip(blobs, places, strict=True):
            ours = place.memory.reshape(-1)[: 3 * height * width].reshape(height, width, 3)
            assert np.array_equal(ours, decode(blob, 3))
    assert len(made) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_equal_opencvs_for_every_kind_of_jpeg(engine, channels):
    files = every_jpeg()
    for name, ours in zip(files, decoded(engine, list(files.values()), channels), strict=True):
        assert np.array_equal(ours, decode(files[name], channels)), name


def test_cmyk_is_within_2_levels_of_opencv(engine):
    blob = cmyk_jpeg(40, 56)
    (ours,) = decoded(engine, [blob], 3)
    assert np.abs(ours.astype(int) - decode(blob, 3)).max() <= 2


def test_a_bad_image_fails_alone(engine):
    good = jpeg(picture(40, 48))
    cut = good[: len(good) // 2]
    headless = b"\xff\xd8" + bytes(30)
    blobs = [good, cut, headless, good]
    places, _ = places_for([good] * 4, 3)
    made = engine.decode(blobs, sizes_of([good] * 4), 3, places, 0)
    assert sorted(made.errors) == [1, 2]
    assert made.addresses[1] == made.addresses[2] == 0
    assert all(isinstance(error, DecodeError) for error in made.errors.values())
    for row in (0, 3):
        assert np.array_equal(places[row].memory.reshape(40, 48, 3), decode(good, 3))


def test_rubbish_ten_times_then_a_good_image_still_decodes(engine):
    good = jpeg(picture(16, 16))
    for round_number in range(10):
        rubbish = np.random.default_rng(round_number).bytes(200)
        places, _ = places_for([good], 3)
        made = engine.decode([rubbish], np.array([[16, 16]], np.int32), 3, places, 0)
        assert list(made.errors) == [0]
    assert np.array_equal(decoded(engine, [good], 3)[0], decode(good, 3))


def test_a_header_of_another_size_is_refused_before_anything_is_written(engine):
    blob = jpeg(picture(40, 48))
    places, _ = places_for([blob], 3)
    made = engine.decode([blob], np.array([[40, 47]], np.int32), 3, places, 0)
    assert "48x40 pixels in a header that says 47x40" in str(made.errors[0])
    assert (places[0].memory == 0xA5).all()


def test_blobs_may_be_memoryviews_into_a_larger_buffer(engine):
    blob = jpeg(picture(20, 24))
    inside = memoryview(b"head" + blob + b"tail")[4 : 4 + len(blob)]
    assert np.array_equal(decoded(engine, [inside], 3)[0], decode(blob, 3))


def test_on_the_host_the_stream_does_not_matter(engine):
    blob = jpeg(picture(20, 24))
    places, _ = places_for([blob], 3)
    assert engine.decode([blob], sizes_of([blob]), 3, places, 12345).errors == {}


def test_a_full_device_is_told_apart_from_a_bad_image(engine, monkeypatch):
    class Full:
        def decode(self, *args, **kwargs):
            raise RuntimeError("nvImageCodec failure: CUDA Runtime failure: '#2' out of memory")

    blob = jpeg(picture(8, 8))
    monkeypatch.setattr(engine, "_decoder", Full())
    with pytest.raises(OutOfDeviceMemoryError, match="nvImageCodec"):
        engine.decode([blob], sizes_of([blob]), 3, places_for([blob], 3)[0], 0)


def test_a_gpu_is_warmed_up_with_a_full_batch_and_the_host_is_not(engine, monkeypatch):
    calls = []

    class Counting:
        def decode(self, streams, **kwargs):
            calls.append(len(streams))
            return [None] * len(streams)

    monkeypatch.setattr(engine, "_decoder", Counting())
    engine.warm_up(jpeg(picture(8, 8)), 32)
    assert calls == []
    monkeypatch.setattr(engine, "_hardware", True)
    monkeypatch.setattr(engine, "_open_decoder", Counting)
    monkeypatch.setattr(engine, "_room_for", 1)
    engine.warm_up(jpeg(picture(8, 8)), 32)
    assert calls == [32]


class Warm:
    """Stands for a decoder; remembers the settings of each that was made."""

    def __init__(self, made, settings):
        made.append(dict(word.split("=") for word in settings["options"].split()))

    def decode(self, streams, **kwargs):
        return [None] * len(streams)


@pytest.fixture
def options(monkeypatch):
    """Return the options of every decoder that is made; they decode nothing."""
    from nvidia import nvimgcodec

    made = []
    monkeypatch.setattr(nvimgcodec, "Decoder", lambda **settings: Warm(made, settings))
    return made


def test_room_for_the_jpeg_engines_reaches_the_decoder(options):
    NvImageCodecEngine(None, 1, preallocate=(480, 640))
    (asked,) = options
    assert asked["nvjpeg_hw_decoder:preallocate_height_hint"] == "480"
    assert asked["nvjpeg_hw_decoder:preallocate_width_hint"] == "640"
    assert asked[":fancy_upsampling"] == "1"


def test_the_jpeg_engines_get_room_for_the_largest_batch_that_is_expected(options):
    """Theirs is one image unless it is said, and it is said when a decoder is made."""
    made, blob = NvImageCodecEngine(0, 1), jpeg(picture(8, 8))
    for rows in (64, 64, 16, 256):
        made.warm_up(blob, rows)
    sizes = [asked["nvjpeg_hw_decoder:preallocate_batch_size"] for asked in options]
    assert sizes == ["1", "64", "256"]


def test_without_the_jpeg_engines_no_room_is_made_for_them(options):
    NvImageCodecEngine(0, 1, hw_decoder_load=0).warm_up(jpeg(picture(8, 8)), 64)
    assert len(options) == 1


def test_nvjpegs_buffers_are_as_large_as_dalis(options, monkeypatch):
    dali = pytest.importorskip("nvidia.dali")
    from gpuio.decode.dali import DaliEngine

    NvImageCodecEngine(0, 1)
    theirs, decoder = {}, dali.fn.decoders.image
    monkeypatch.setattr(
        dali.fn.decoders,
        "image",
        lambda *args, **how: (theirs.update(how), decoder(*args, **how))[1],
    )
    monkeypatch.setattr(dali.Pipeline, "build", lambda pipeline: None)
    monkeypatch.setattr(dali.Pipeline, "input_feed_count", lambda pipeline, name: 1)
    DaliEngine(0, 1)
    for what in ("device_memory_padding", "host_memory_padding"):
        assert options[0][f"nvjpeg_cuda_decoder:{what}"] == str(theirs[what])
    documented = decoder.__doc__
    assert f"default = `{theirs['device_memory_padding']}`" in documented
    assert f"default = `{theirs['host_memory_padding']}`" in documented
