"""Pixels of plain images are libjpeg's to the bit; what is not plain and sound is not decoded."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numba import types

from gpuio.decode import turbojpeg
from gpuio.kernels.cpu import jpeg_colours, jpeg_values, plain
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

own = Decoder(plain, plain.PlainDecoder(), 1)


def is_too_narrow(kind, width):
    """Say whether chroma has two values a row, which libjpeg does not make wider like others."""
    return kind in ("4:2:2", "4:2:0") and width < 5


def check_sizes(sizes, seed=0):
    """Compare images of every kind and of some sizes with OpenCV's and TurboJPEG's."""
    rng, other = np.random.default_rng(seed), turbo(1) if turbojpeg.status().usable else None
    for number, (height, width) in enumerate(sizes):
        kind = [*PLAIN, "gray"][number % 4]
        flags = [QUALITY, int(rng.integers(1, 101)), RESTARTS, int(rng.choice([0, 0, 1, 3, 7]))]
        blob = made(kind, height, width, seed + number, *flags, OPTIMISED, number // 4 % 2)
        for channels in (3, 1):
            code, pixels = own(blob, channels)
            assert code == (plain.REFUSED if is_too_narrow(kind, width) else plain.DECODED)
            if code == plain.DECODED:
                assert np.array_equal(pixels, opencv(blob, channels, 1))
                if other is not None:
                    assert np.array_equal(pixels, other(blob, channels)[1])


def test_pixels_are_opencvs_and_turbojpegs():
    rng = np.random.default_rng(5)
    check_sizes([size for n in range(1, 41) for size in 4 * [(n, int(rng.integers(1, 41)))]])
    check_sizes([size for n in range(1, 41) for size in 4 * [(int(rng.integers(1, 41)), n)]], 500)


@pytest.mark.slow
def test_every_size():
    check_sizes([(h, w) for h in range(1, 41) for w in range(1, 41) for _ in range(4)], seed=10_000)


@pytest.mark.parametrize("quality", [1, 5, 30, 75, 90, 97, 100])
@pytest.mark.parametrize("optimised", [0, 1])
def test_every_quality(quality, optimised):
    for kind in PLAIN:
        blob = made(kind, 150, 170, 3 * quality, QUALITY, quality, OPTIMISED, optimised)
        for _ in range(3):  # with codes that are new, and that were seen
            code, pixels = own(blob)
            assert code == plain.DECODED
            assert np.array_equal(pixels, opencv(blob, 3, 1))


def test_images_of_many_kinds_in_any_order():
    rng = np.random.default_rng(1)
    blobs = [
        made(kind, height, width, seed, OPTIMISED, seed % 2, QUALITY, 60 + 10 * (seed % 4))
        for seed, (kind, height, width) in enumerate(
            (kind, *size) for kind in [*PLAIN, "gray"] for size in ((20, 33), (20, 33), (47, 16))
        )
    ]
    right = [opencv(blob, 3, 1) for blob in blobs]
    for number in rng.integers(0, len(blobs), 400).tolist():
        code, pixels = own(blobs[number])
        assert code == plain.DECODED
        assert np.array_equal(pixels, right[number])


def test_much_data_is_read_in_several_parts():
    image = np.random.default_rng(1).integers(0, 256, (250, 250, 3), np.uint8)
    for flags in ([], [RESTARTS, 40], [RESTARTS, 2000]):
        blob = encoded(image, QUALITY, 100, *flags)
        assert len(blob) > 5 * plain._FILL
        code, pixels = own(blob)
        assert code == plain.DECODED
        assert np.array_equal(pixels, opencv(blob, 3, 1))


LARGE = [(333, 500), (500, 375), (767, 1025), (1200, 900), (31, 4001), (2500, 17), (640, 640)]


@pytest.mark.parametrize("size", LARGE)
def test_photos_are_opencvs_and_turbojpegs(size):
    """Whole, and what is read of them: regions that end anywhere, and those up to the last row."""
    rng, other = np.random.default_rng(size), turbo(1) if turbojpeg.status().usable else None
    decoder = plain.PlainDecoder(max_pixels=1 << 22)
    decoder.fit(1 << 21)
    mine = Decoder(plain, decoder, 1)
    for number, kind in enumerate([*PLAIN, "gray"]):
        flags = [QUALITY, (96, 80, 60, 30)[number], RESTARTS, (0, 13, 0, 200)[number]]
        blob = made(kind, *size, number, *flags, OPTIMISED, number % 2)
        whole = opencv(blob, 3, 1)
        code, pixels = mine(blob)
        assert code == plain.DECODED
        assert np.array_equal(pixels, whole)
        for _ in range(6):
            top, left = (int(rng.integers(side)) for side in size[:2])
            stop, right = int(rng.integers(top, size[0])) + 1, int(rng.integers(left, size[1])) + 1
            region = top, int(rng.choice([0, stop])), left, right
            code, pixels = mine(blob, 3, region)
            assert code == plain.DECODED
            part = slice(top, stop), slice(left, right)
            assert np.array_equal(pixels[part], whole[part])
            if other is not None:
                assert np.array_equal(other(blob, 3, region)[1][part], whole[part])


def test_a_look_may_have_either_width():
    """It is chosen by the image that brings codes, and kept for those that follow with the same."""
    rng = np.random.default_rng(3)
    dense = encoded(rng.integers(0, 256, (200, 210, 3), np.uint8), QUALITY, 90)
    sparse = encoded(np.full((200, 210, 3), 128, np.uint8) + rng.integers(0, 9), QUALITY, 90)
    soft = made("4:2:0", 200, 210, 1, QUALITY, 40)
    widths = []
    for order in ((dense, sparse, soft), (sparse, soft, dense), (soft, dense, sparse)):
        decoder = plain.PlainDecoder()
        mine = Decoder(plain, decoder, 1)
        for blob in [*order, *order]:  # with codes that are new, and that were seen
            code, pixels = mine(blob)
            assert code == plain.DECODED
            assert np.array_equal(pixels, opencv(blob, 3, 1))
            widths.append(int(decoder._own.view(np.int32)[jpeg_values._WIDTH]))
    assert widths == [jpeg_values.NARROW] * 6 + [jpeg_values.WIDE] * 12


def test_a_larger_image_is_decoded_once_room_was_made():
    blob = made("4:4:4", 500, 400, 1)
    decoder = plain.PlainDecoder(max_pixels=1 << 20)
    mine, address = Decoder(plain, decoder, 1), decoder.address
    assert mine(GOOD)[0] == plain.DECODED
    assert mine(blob)[0] == plain.REFUSED
    decoder.fit(200_000)
    assert decoder.address == address
    for one in (GOOD, blob, GOOD):
        code, pixels = mine(one)
        assert code == plain.DECODED
        assert np.array_equal(pixels, opencv(one, 3, 1))
    assert decoder.decoded == 4


def test_where_there_is_no_memory_the_room_stays(monkeypatch):
    def full(*given):
        raise MemoryError

    decoder = plain.PlainDecoder(max_pixels=1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(plain.np, "zeros", full)
        decoder.fit(200_000)
    mine = Decoder(plain, decoder, 1)
    assert mine(GOOD)[0] == plain.DECODED
    assert mine(made("4:4:4", 500, 400, 1))[0] == plain.REFUSED
    decoder.fit(200_000)
    assert mine(made("4:4:4", 500, 400, 1))[0] == plain.DECODED


def test_a_region_alone_is_written():
    rng = np.random.default_rng(3)
    for seed in range(150):
        height, width = (int(n) for n in rng.integers(20, 200, 2))
        channels = int(rng.choice([1, 3]))
        blob = made([*PLAIN, "gray"][seed % 4], height, width, seed, RESTARTS, seed % 2 * 11)
        whole = opencv(blob, channels, 1)
        top, left = int(rng.integers(height)), int(rng.integers(width))
        bottom, right = (
            int(rng.integers(top + 1, height + 1)),
            int(rng.integers(left + 1, width + 1)),
        )
        stop = bottom if seed % 4 else 0
        code, pixels = own(blob, channels, (top, stop, left, right))
        assert code == plain.DECODED
        last = bottom if stop else height
        assert np.array_equal(pixels[top:last, left:right], whole[top:last, left:right])
        assert (pixels[: max(0, top - 2)] == 77).all()
        if left > 3:
            assert (pixels[:, : left - 3] == 77).all()
        if stop and header(blob).shortens and 64 * (stop + 20) <= 63 * height:
            assert (pixels[bottom + 2 :] == 77).all()


def test_nothing_is_written_outside_an_image():
    for kind, height, width in (
        ("4:2:0", 17, 33),
        ("4:4:4", 9, 5),
        ("gray", 40, 1),
        ("4:2:2", 1, 9),
    ):
        data = np.frombuffer(made(kind, height, width, 2), np.uint8)
        info = header(data.tobytes())
        for channels in (1, 3):
            size = height * width * channels
            memory = np.full(size + 512, 77, np.uint8)
            code = plain.decode(
                own.decoder.address, data.ctypes.data, data.size, height, width, channels,
                info.sampling, 1, 0, 0, 0, width, 1, memory.ctypes.data + 256,
            )  # fmt: skip
            assert code == plain.DECODED
            assert (memory[:256] == 77).all()
            assert (memory[256 + size :] == 77).all()


def test_what_is_below_is_not_looked_at_and_what_is_needed_is():
    good = made("4:2:0", 200, 100, 5)
    start = good.index(b"\xff\xda") + 14
    at = start + 3 * (len(good) - start) // 4
    blob = good[:at] + b"\xff\xd7" + good[at + 2 :]
    code, pixels = own(blob, window=(0, 60, 0, 100))
    assert code == plain.DECODED
    assert np.array_equal(pixels[:60], opencv(good, 3, 1)[:60])
    assert own(blob, window=(0, 190, 0, 100))[0] == plain.REFUSED
    assert own(blob)[0] == plain.REFUSED


def test_profiles_and_comments_are_passed():
    good = made("4:2:0", 60, 80, 1)
    icc = b"ICC_PROFILE\0\1\1" + bytes(2000)
    for blob in (
        exif(good, 6),
        good[:2] + segment(0xE2, icc) + segment(0xFE, b"a text") + good[2:],
        good[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") + good[20:],  # no JFIF
        good[:2] + good[20:],
    ):
        for _ in range(2):
            code, pixels = own(blob)
            assert code == plain.DECODED
            assert np.array_equal(pixels, opencv(good, 3, 1))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_and_sound_is_refused(name):
    blob = REFUSED[name]
    code, _ = own(blob, size=None if header(blob).height else (60, 80))
    assert code == plain.REFUSED


def test_other_scales_and_channels_are_refused():
    data, info = np.frombuffer(GOOD, np.uint8), header(GOOD)
    pixels = np.zeros((60, 80, 4), np.uint8)
    for scale, channels in ((2, 3), (4, 3), (8, 3), (1, 4)):
        code = plain.decode(
            own.decoder.address, data.ctypes.data, data.size, -(-60 // scale), -(-80 // scale),
            channels, info.sampling, 1, 0, 0, 0, 10, scale, pixels.ctypes.data,
        )  # fmt: skip
        assert code == plain.REFUSED
    assert not pixels.any()


def test_an_image_of_another_size_than_is_said_is_refused():
    assert own(GOOD, size=(60, 81))[0] == plain.REFUSED
    assert own(GOOD, size=(8, 10))[0] == plain.REFUSED


@pytest.mark.parametrize("marker", [0xDB, 0xC4])
def test_an_image_without_a_table_does_not_get_that_of_the_one_before(marker):
    at = GOOD.index(bytes([0xFF, marker]))
    blob = GOOD[: at + 1] + b"\xe5" + GOOD[at + 2 :]  # a segment that nobody knows
    assert own(GOOD)[0] == plain.DECODED
    assert own(blob)[0] == plain.REFUSED
    assert np.array_equal(own(GOOD)[1], opencv(GOOD, 3, 1))


def test_nothing_damaged_is_taken_and_mutants_pixels_are_turbojpegs():
    fates = agree(own, 600)
    assert fates[0, 0] > 60
    assert fates[1, 1] > 60
    assert fates[0, 1] == 0


@pytest.mark.slow
def test_thousands_of_mutants():
    assert agree(own, 24_000, seed=1)[0, 1] == 0


@kernel(types.void(*(types.int64,) * 4), "../pointers", "vector", "jpeg_colours")
def _coloured(y, blue, red, to):
    for k in range(0, 65536, 32):
        jpeg_colours.coloured(1, y + k, blue + k, blue + k, red + k, red + k, 0, 0, to + 3 * k)


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
    module = turbo(1).module
    behind = turbojpeg.Handle(2**31 - 1, 100)
    both = Decoder(plain, plain.PlainDecoder(address(module.decode, DECODE), behind.address), 1)
    assert both(GOOD)[0] == plain.DECODED
    assert both.decoder.decoded == 1
    code, pixels = both(REFUSED["4:4:0"])
    assert code == plain.DECODED
    assert np.array_equal(pixels, opencv(REFUSED["4:4:0"], 3, 1))
    assert both.decoder.decoded == 1


def test_too_many_pixels_are_refused():
    assert Decoder(plain, plain.PlainDecoder(max_pixels=4800), 1)(GOOD)[0] == plain.DECODED
    assert Decoder(plain, plain.PlainDecoder(max_pixels=4799), 1)(GOOD)[0] == plain.REFUSED


def test_an_image_that_is_all_edge_finds_no_room():
    long = made("4:2:0", 2, 30_000, 1)
    code, pixels = own(long)
    assert code == plain.REFUSED
    assert (pixels == 77).all()


def test_memory_is_bounded_and_goes_with_the_decoder():
    decoder = plain.PlainDecoder()
    assert decoder._own.base.nbytes < 600_000
    decoder.fit(1 << 20)
    assert decoder._own.base.nbytes < 600_000 + (4 << 20)
    memory = weakref.ref(decoder._own.base)
    del decoder
    gc.collect()
    assert memory() is None


GUARDED = """
import numpy as np
import test_plain as t
from support.plain_jpegs import RESTARTS, header, made, mutants

out = np.zeros((200, 200, 3), np.uint8)


def check(blob, sampling, height, width, early):
    for at in {PAGE, PAGE + SIZE - len(blob)}:
        memory[at : at + len(blob)] = blob
        for stop in (0, 20):
            t.plain.decode(
                t.own.decoder.address, first + at, len(blob), height, width, 3, sampling, early,
                0, stop, 0, width, 1, out.ctypes.data,
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
