"""Turn, tone and erase: what they do, the same from the CPU kernels as from the reference."""

import zlib

import numpy as np
import pytest

from gpuio.kernels.cpu import augment
from gpuio.kernels.cpu.sharpen import sharpen
from gpuio.kernels.plan.layout import (
    AUTOCONTRAST,
    BRIGHTNESS,
    EQUALIZE,
    POSTERIZE,
    SHARPNESS,
    SOLARIZE,
)
from support import reference
from support.plans import EXTRAS, STEPS, plain, random_plan


def on_cpu(image, row, height, width):
    """Return uint8[height, width, C], in the channel order of the image."""
    C = image.shape[2]
    made = augment.Normalisation("uint8", [0] * C, [1] * C, 1.0, "NHWC")
    out = np.zeros((height, width, C), np.uint8)
    augment.augment(image, row, made, out, augment.Scratch())
    return out[..., [2, 1, 0, 3][:C] if C > 1 else [0]]


def picture(height=24, width=20, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("steps", [EXTRAS, (*STEPS, *EXTRAS)], ids=["alone", "with the others"])
def test_random_plans_give_the_bits_of_the_reference(steps):
    rng = np.random.default_rng(len(steps))
    for _ in range(150):
        channels = int(rng.choice([1, 3, 4]))
        height, width, h, w = map(int, rng.integers(1, 50, 4))
        image = rng.integers(0, 256, (h, w, channels), dtype=np.uint8)
        mine = set(steps) - ({"jitter", "hls", "pca", "tone"} if channels == 1 else set())
        row = random_plan(rng, h, w, height, width, mine, (0, 1, 5))
        theirs = reference.window(image, row[0], height, width)
        assert np.array_equal(on_cpu(image, row, height, width), theirs), row


def test_steps_that_are_zero_do_nothing():
    row = plain(24, 20)
    assert all(not np.any(row[name]) for name in row.dtype.names if name.startswith("erase"))
    assert np.array_equal(on_cpu(picture(), row, 24, 20), picture())


def test_a_turn_by_whole_pixels_moves_them_before_the_flip():
    row = plain(24, 20)
    row["post_affine_on"], row["post_affine"], row["fill"] = 1, (1, 0, 3, 0, 1, 0), 7
    moved = np.full_like(picture(), 7)
    moved[:, :17] = picture()[:, 3:]
    assert np.array_equal(on_cpu(picture(), row, 24, 20), moved)
    row["mirror"] = 1
    assert np.array_equal(on_cpu(picture(), row, 24, 20), moved[:, ::-1])


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        (POSTERIZE, 8, lambda p: p),
        (POSTERIZE, 3, lambda p: p & 0xE0),
        (POSTERIZE, 0, lambda p: p * 0),
        (SOLARIZE, 256, lambda p: p),
        (SOLARIZE, 100, lambda p: np.where(p >= 100, 255 - p, p)),
        (SOLARIZE, 0, lambda p: 255 - p),
        (BRIGHTNESS, 0.5, lambda p: np.rint(p * np.float32(0.5)).astype(np.uint8)),
    ],
)
def test_tones_are_what_their_names_say(op, value, expected):
    row = plain(24, 20)
    row["tone_count"], row["tone_op"][0, 0], row["tone_arg"][0, 0] = 1, op, value
    assert np.array_equal(on_cpu(picture(), row, 24, 20), expected(picture()))


def test_tones_leave_alpha_alone_but_for_brightness_and_contrast():
    row = plain(24, 20)
    row["tone_count"], row["tone_op"][0, :2], row["tone_arg"][0, :2] = 2, (POSTERIZE, SOLARIZE), 1
    image = picture(channels=4)
    assert np.array_equal(on_cpu(image, row, 24, 20)[..., 3], image[..., 3])


def toned(image, op, value=0.0):
    """Return an R, G, B image after one tone step, as torchvision has it."""
    height, width = image.shape[:2]
    row = plain(height, width)
    row["tone_count"], row["tone_op"][0, 0], row["tone_arg"][0, 0] = 1, op, value
    return on_cpu(image, row, height, width)


def pattern(kind):
    """Return uint8[37, 41, 3] whose bytes are all there, some neighbours, or few."""
    y, x, c = np.ogrid[:37, :41, :3]
    value = x * x * 3 + y * y * (c + 2) + x * y * 5 + c * 40
    made = {"wide": value % 256, "narrow": 60 + value % 70, "few": value % 97 % 5 * 9 + 100}[kind]
    return made.astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "op", "value", "digest"),
    [
        ("wide", SHARPNESS, 0.1, 0x4B9A8D8A),
        ("wide", SHARPNESS, 1.9, 0xA0DA9635),
        ("wide", AUTOCONTRAST, 0, 0x8E3E2172),
        ("wide", EQUALIZE, 0, 0x963A288C),
        ("narrow", SHARPNESS, 0.1, 0xF3FEDAD9),
        ("narrow", SHARPNESS, 1.9, 0xD236BD6E),
        ("narrow", AUTOCONTRAST, 0, 0x75EF4892),
        ("narrow", EQUALIZE, 0, 0x2E03995C),
        ("few", SHARPNESS, 0.1, 0x559EB652),
        ("few", SHARPNESS, 1.9, 0x0254593D),
        ("few", AUTOCONTRAST, 0, 0x3F07DDB4),
        ("few", EQUALIZE, 0, 0x7E99DC19),
    ],
)
def test_tones_of_the_window_are_those_that_torchvision_had(kind, op, value, digest):
    """CRC-32 of what torchvision 0.29.1 made of the same image, as a PIL image of Pillow 13.0."""
    assert zlib.crc32(toned(pattern(kind), op, value).tobytes()) == digest


def test_tones_of_the_window_are_pillows():
    from PIL import Image, ImageEnhance, ImageOps

    rng = np.random.default_rng(7)
    for _ in range(40):
        height, width = map(int, rng.integers(1, 60, 2))
        low, high = sorted(map(int, rng.integers(0, 256, 2)))
        image = rng.integers(low, high + 1, (height, width, 3), dtype=np.uint8)
        theirs, factor = Image.fromarray(image), np.float32(rng.uniform(0, 2))
        for op, value, made in (
            (SHARPNESS, factor, ImageEnhance.Sharpness(theirs).enhance(float(factor))),
            (AUTOCONTRAST, 0, ImageOps.autocontrast(theirs)),
            (EQUALIZE, 0, ImageOps.equalize(theirs)),
        ):
            assert np.array_equal(toned(image, op, value), np.asarray(made)), (op, value)


@pytest.mark.parametrize("op", [SHARPNESS, AUTOCONTRAST, EQUALIZE])
def test_tones_of_the_window_leave_one_colour_and_alpha_alone(op):
    flat = np.full((20, 20, 3), 77, np.uint8)
    assert np.array_equal(toned(flat, op, 1.7), flat)
    image = picture(channels=4) // 2
    made = toned(image, op, 1.7)
    assert np.array_equal(made[..., 3], image[..., 3])
    assert (made[..., :3] != image[..., :3]).any((0, 1)).all()


def test_a_thirteenth_of_every_sum_is_rounded():
    """A sharpness of 0 is the smoothed window; its rounding is done without a division."""
    for total in range(13 * 255 + 1):
        window = np.zeros((3, 3, 3), np.uint8)
        window[1, 1], rest = min(total // 5, 255), total - 5 * min(total // 5, 255)
        for place in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
            window[place] = min(rest, 255)
            rest -= min(rest, 255)
        assert rest == 0
        smooth = window.copy()
        padded = np.dstack([window, window[..., :1]])
        out = padded.copy()
        sharpen(padded, np.float32(0), out)
        smooth[1, 1] = round(total / 13)
        assert np.array_equal(out[..., :3], smooth)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_rectangle_of_the_flipped_window_is_erased(channels):
    row = plain(24, 20)
    row["erase_y"], row["erase_x"], row["erase_h"], row["erase_w"] = 2, 3, 5, 6
    row["erase_value"], row["mirror"] = (10, 20, 30, 40), 1
    image = picture(channels=channels)
    expected = image[:, ::-1].copy()
    expected[2:7, 3:9] = (10, 20, 30, 40)[:channels]
    assert np.array_equal(on_cpu(image, row, 24, 20), expected)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"erase_h": 1, "erase_w": 1, "erase_y": 24}, "erasing y=24"),
        ({"erase_h": 1}, "erasing"),
        ({"tone_count": 5}, "5 tone steps"),
        ({"tone_count": 1, "tone_op": 8}, "tone step 8"),
        ({"tone_count": 1, "tone_op": POSTERIZE, "tone_arg": 9}, "tone step 3 by 9"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(fields, says):
    row = plain(24, 20)
    for name, value in fields.items():
        row[name] = value
    with pytest.raises(ValueError, match=says):
        on_cpu(picture(), row, 24, 20)


def test_a_tone_of_a_gray_image_is_refused():
    row = plain(24, 20)
    row["tone_count"] = 1
    with pytest.raises(ValueError, match="on 1 channels"):
        on_cpu(picture(channels=1), row, 24, 20)
