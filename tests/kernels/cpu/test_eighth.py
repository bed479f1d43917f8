"""Pixels at an eighth are libjpeg's to the bit; what is not plain and sound is not decoded."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numba import types

from gpuio.decode import turbojpeg
from gpuio.kernels.cpu import eighth, jpeg_pixels
from gpuio.kernels.cpu.share import DECODE
from gpuio.kernels.jit import kernel
from gpuio.kernels.pointers import address
from support.coding import exif, segment
from support.guarded import needs_pages, said
from support.making import encoded
from support.plain_jpegs import (
    GOOD,
    OPTIMISED,
    PLAIN,
    QUALITY,
    REFUSED,
    RESTARTS,
    Decoder,
    agree,
    header,
    made,
    opencv,
    turbo,
)

own = Decoder(eighth, eighth.EighthDecoder(), eighth.SCALE)


@pytest.mark.parametrize("kind", [*PLAIN, "gray"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_opencvs_and_turbojpegs(kind, channels):
    rng, other = np.random.default_rng(7), turbo(8) if turbojpeg.status().usable else None
    sizes = [(n, 41 - n) for n in range(1, 41)] + [(300, 517), (129, 128), (16, 700)]
    for seed, (height, width) in enumerate(sizes):
        flags = [QUALITY, int(rng.integers(1, 101)), RESTARTS, int(rng.choice([0, 0, 1, 3, 7]))]
        blob = made(kind, height, width, seed, *flags, OPTIMISED, seed % 2)
        code, pixels = own(blob, channels)
        assert code == eighth.DECODED
        assert np.array_equal(pixels, opencv(blob, channels, 8))
        if other is not None:
            assert np.array_equal(pixels, other(blob, channels)[1])


@pytest.mark.parametrize("quality", [1, 5, 30, 75, 90, 97, 100])
@pytest.mark.parametrize("optimised", [0, 1])
def test_every_quality(quality, optimised):
    for kind in PLAIN:
        blob = made(kind, 150, 170, 3 * quality, QUALITY, quality, OPTIMISED, optimised)
        assert np.array_equal(own(blob)[1], opencv(blob, 3, 8))


def test_a_large_image_is_read_in_several_parts():
    image = np.random.default_rng(1).integers(0, 256, (700, 900, 3), np.uint8)
    for flags in ([], [RESTARTS, 40], [RESTARTS, 2000]):
        blob = encoded(image, QUALITY, 100, *flags)
        assert len(blob) > 10 * eighth._FILL
        code, pixels = own(blob)
        assert code == eighth.DECODED
        assert np.array_equal(pixels, opencv(blob, 3, 8))


def test_a_region_alone_is_written():
    rng = np.random.default_rng(3)
    for seed in range(60):
        height, width = (int(n) for n in rng.integers(200, 900, 2))
        channels = int(rng.choice([1, 3]))
        blob = made(PLAIN[seed % 3], height, width, seed, RESTARTS, seed % 2 * 11)
        whole = opencv(blob, channels, 8)
        h, w = whole.shape[:2]
        top, left = int(rng.integers(h)), int(rng.integers(w))
        bottom, right = int(rng.integers(top + 1, h + 1)), int(rng.integers(left + 1, w + 1))
        stop = bottom if seed % 4 else 0
        code, pixels = own(blob, channels, (top, stop, left, right))
        assert code == eighth.DECODED
        bottom = bottom if stop else h
        inside = np.s_[top:bottom, left:right]
        assert np.array_equal(pixels[inside], whole[inside])
        assert (pixels[: max(0, top - 2)] == 77).all()
        assert (pixels[:, : max(0, left - 2)] == 77).all()
        changed = (pixels != 77).any(2)
        assert (pixels[changed] == whole[changed]).all()
        if seed % 2 == 0 and stop and 64 * (stop + 6) * 8 < 63 * height - 1200:
            assert (pixels[bottom + 2 :] == 77).all()


def test_what_is_below_is_not_looked_at_and_what_is_needed_is():
    good = made("4:2:0", 800, 200, 5)
    start = good.index(b"\xff\xda") + 14
    at = start + 3 * (len(good) - start) // 4
    blob = good[:at] + b"\xff\xd7" + good[at + 2 :]
    code, pixels = own(blob, window=(0, 40, 0, 25))
    assert code == eighth.DECODED
    assert np.array_equal(pixels[:40], opencv(good, 3, 8)[:40])
    assert own(blob, window=(0, 90, 0, 25))[0] == eighth.REFUSED
    assert own(blob)[0] == eighth.REFUSED


def test_profiles_and_comments_are_passed():
    good = made("4:2:0", 60, 80, 1)
    icc = b"ICC_PROFILE\0\1\1" + bytes(300)
    for blob in (
        exif(good, 6),
        good[:2] + segment(0xE2, icc) + segment(0xFE, b"a text") + good[2:],
        good[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") + good[20:],  # no JFIF
        good[:2] + good[20:],
    ):
        assert own(blob)[0] == eighth.DECODED
        assert np.array_equal(own(blob)[1], opencv(good, 3, 8))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_and_sound_is_refused(name):
    blob = REFUSED[name]
    code, _ = own(blob, size=None if header(blob).height else (8, 10))
    assert code == eighth.REFUSED


def test_other_scales_and_channels_are_refused():
    data, info = np.frombuffer(GOOD, np.uint8), header(GOOD)
    pixels = np.zeros((60, 80, 4), np.uint8)
    for scale, channels in ((1, 3), (2, 3), (4, 3), (8, 4)):
        code = eighth.decode(
            own.decoder.address, data.ctypes.data, data.size, -(-60 // scale), -(-80 // scale),
            channels, info.sampling, 1, 0, 0, 0, 10, scale, pixels.ctypes.data,
        )  # fmt: skip
        assert code == eighth.REFUSED
    assert not pixels.any()


@pytest.mark.parametrize("marker", [0xDB, 0xC4])
def test_an_image_without_a_table_does_not_get_that_of_the_one_before(marker):
    at = GOOD.index(bytes([0xFF, marker]))
    blob = GOOD[: at + 1] + b"\xe5" + GOOD[at + 2 :]  # a segment that nobody knows
    assert own(GOOD)[0] == eighth.DECODED
    assert own(blob)[0] == eighth.REFUSED
    assert np.array_equal(own(GOOD)[1], opencv(GOOD, 3, 8))


def test_nothing_damaged_is_taken_and_mutants_pixels_are_turbojpegs():
    fates = agree(own, 600)
    assert fates[0, 0] > 60
    assert fates[1, 1] > 60
    assert fates[0, 1] == 0


@pytest.mark.slow
def test_thousands_of_mutants():
    assert agree(own, 12_000, seed=1)[0, 1] == 0


@kernel(types.void(*(types.int64,) * 4), "../pointers", "vector", "jpeg_pixels")
def _coloured(y, blue, red, to):
    for k in range(0, 65536, 16):
        jpeg_pixels.colours(y + k, blue + k, red + k, to + 3 * k)


def test_every_colour_is_libjpegs():
    blue, red = (np.ascontiguousarray(x, np.uint8) for x in np.divmod(np.arange(65536), 256))
    b, r = blue.astype(int) - 128, red.astype(int) - 128
    for level in (0, 1, 77, 128, 254, 255):
        y, out = np.full(65536, level, np.uint8), np.zeros((65536, 3), np.uint8)
        _coloured(*(x.ctypes.data for x in (y, blue, red, out)))
        green = (-22554 * b - 46802 * r + 32768) >> 16
        parts = (116130 * b + 32768) >> 16, green, (91881 * r + 32768) >> 16
        right = np.stack([np.clip(level + part, 0, 255) for part in parts], 1)
        assert np.array_equal(out, right)


def test_what_it_does_not_decode_goes_to_the_decoder_behind_it():
    module = turbo(8).module
    behind = turbojpeg.Handle(2**31 - 1, 100)
    both = Decoder(eighth, eighth.EighthDecoder(address(module.decode, DECODE), behind.address), 8)
    assert both(GOOD)[0] == eighth.DECODED
    assert both.decoder.decoded == 1
    code, pixels = both(REFUSED["4:4:0"])
    assert code == eighth.DECODED
    assert np.array_equal(pixels, opencv(REFUSED["4:4:0"], 3, 8))
    assert both.decoder.decoded == 1


def test_too_many_pixels_are_refused():
    assert Decoder(eighth, eighth.EighthDecoder(max_pixels=4800), 8)(GOOD)[0] == eighth.DECODED
    assert Decoder(eighth, eighth.EighthDecoder(max_pixels=4799), 8)(GOOD)[0] == eighth.REFUSED


def test_memory_is_bounded_and_goes_with_the_decoder():
    decoder = eighth.EighthDecoder()
    memory = weakref.ref(decoder._own)
    assert decoder._own.nbytes < 600_000
    del decoder
    gc.collect()
    assert memory() is None


GUARDED = """
import numpy as np
import test_eighth as t
from support.plain_jpegs import RESTARTS, header, made, mutants

out = np.zeros((200, 200, 3), np.uint8)


def check(blob, sampling, height, width, early):
    for at in {PAGE, PAGE + SIZE - len(blob)}:
        memory[at : at + len(blob)] = blob
        for stop in (0, 2):
            t.eighth.decode(
                t.own.decoder.address, first + at, len(blob), -(-height // 8), -(-width // 8), 3,
                sampling, early, 0, stop, 0, -(-width // 8), 8, out.ctypes.data,
            )


for kind, name in ((0x221111, "4:2:0"), (0x211111, "4:2:2"), (0x11, "gray")):
    whole = made(name, 90, 70, 4, RESTARTS, 2)
    for size in [*range(0, min(len(whole), 700), 3), *range(700, len(whole) + 1, 137), len(whole)]:
        check(whole[:size], kind, 90, 70, 1)
        check(whole[: max(0, size - 2)] + b"\\xff\\xd9", kind, 90, 70, 1)
for blob in mutants(300, seed=9):
    info = header(blob)
    if 0 < info.height * info.width < 40_000 and len(blob) <= SIZE:
        check(blob, info.sampling, info.height, info.width, 1)
print("no byte beside an image was read")
"""


@needs_pages
def test_nothing_is_read_outside_an_image():
    assert said(GUARDED, 16, Path(__file__).parent) == "no byte beside an image was read"
