"""Make picture files that behave like photos, for demonstrations, benchmarks and tests.

A picture is gradients, shapes and text under noise whose amplitude falls with the frequency, as in
photos. The noise is just strong enough to give the JPEG as many bits per pixel as a photo's; that
number, not what the picture shows, decides how long decoding takes.

Invariant: the same arguments make the same pictures.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["encode_photo", "make_photo", "make_photos"]

Pixels = npt.NDArray[np.uint8]

_BITS = (2.5, 6.0)  # bits per pixel; the quartiles of ImageNet's 500 x 375 files are 2.5 and 6.2
_GRAY_EVERY = 40  # one file in so many is gray, as in ImageNet
_TRIES = 7  # halvings of the noise's amplitude range: 1 % of it is left
_LOUDEST = 60.0  # levels; the largest standard deviation of the noise
_SUBSAMPLINGS = (0x111111, 0x221111)  # 4:4:4 and 4:2:0


def make_photos(
    folder: str | os.PathLike[str],
    count: int = 200,
    classes: int = 20,
    seed: int = 0,
    *,
    size: tuple[int, int] = (375, 500),
) -> list[Path]:
    """Write `count` JPEG files into ``folder/class_00``, ``class_01``, ...

    Every other file is 4:2:0, the others 4:4:4; every fifth stands upright; one in 40 is gray.

    Parameters
    ----------
    folder : path                   made if missing; files of the same names are replaced
    count : int                     files, >= 1
    classes : int                   folders, >= 1; file i lies in folder i modulo `classes`
    seed : int                      >= 0
    size : (int, int)               height and width of a lying picture, pixels, each >= 8

    Returns
    -------
    list of pathlib.Path            sorted by class, then number

    Raises
    ------
    ValueError                      a number is below its range
    """
    if count < 1 or classes < 1 or seed < 0 or min(size) < 8:
        raise ValueError(
            f"expected count >= 1, classes >= 1, seed >= 0 and sides >= 8, got {count}, "
            f"{classes}, {seed} and {size}"
        )
    tile = _noise(np.random.default_rng([seed, count]), 2 * max(size))
    paths = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        height, width = size if number % 5 else size[::-1]
        home = Path(folder) / f"class_{number % classes:02d}"
        home.mkdir(parents=True, exist_ok=True)
        path = home / f"photo_{number:05d}.jpg"
        gray = number % _GRAY_EVERY == _GRAY_EVERY - 1
        scene, noise = make_photo(rng, height, width), _window(rng, tile, height, width)
        if gray:
            scene, noise = scene[:, :, :1], noise[:, :, :1]
        bits = rng.uniform(*_BITS) * (0.7 if gray else 1.0)  # luma alone takes about that share
        path.write_bytes(encode_photo(scene, noise, bits, _SUBSAMPLINGS[number // classes % 2]))
        paths.append(path)
    return sorted(paths)


def make_photo(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a scene without noise: a sky and a ground, shapes, a line of text.

    Returns
    -------
    uint8[height, width, 3]         B G R, host
    """
    import cv2

    corners = rng.integers(20, 235, (3, 2, 3)).astype(np.float32)
    sky: Any = cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC)
    image: Pixels = np.ascontiguousarray(sky.clip(0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(4, 10))):
        color = [int(value) for value in rng.integers(0, 256, 3)]
        y, x = int(rng.integers(height)), int(rng.integers(width))
        reach = int(rng.integers(4, max(6, min(height, width) // 3)))
        kind = rng.integers(3)
        if kind == 0:
            cv2.circle(image, (x, y), reach, color, -1, cv2.LINE_AA)
        elif kind == 1:
            end = (x + reach, y + int(rng.integers(4, reach + 4)))
            cv2.rectangle(image, (x, y), end, color, -1)
        else:
            angle = float(rng.uniform(0, 180))
            axes = (reach, reach // 2 + 1)
            cv2.ellipse(image, (x, y), axes, angle, 0, 360, color, -1, cv2.LINE_AA)
    text = f"No. {int(rng.integers(1000)):03d}"
    place = (width // 12, int(rng.integers(height // 2, height)))
    cv2.putText(
        image, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 300, (245, 245, 245), 1, cv2.LINE_AA
    )
    return image


def encode_photo(
    scene: Pixels, noise: npt.NDArray[np.float32], bits: float, subsampling: int
) -> bytes:
    """Add noise until the JPEG has `bits` bits per pixel, and encode at quality 95.

    Parameters
    ----------
    scene : uint8[height, width, channels]
    noise : float32[height, width, channels]    mean 0, standard deviation 1
    bits : float                                wanted length, bits per pixel
    subsampling : int                           OpenCV's code of the chroma's, e.g. 0x221111

    Returns
    -------
    bytes           a baseline JPEG; longer than asked for if the scene alone needs more, shorter
                    if the loudest noise is not enough
    """
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, 95]
    if scene.shape[2] == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling]
    wanted = bits * scene.shape[0] * scene.shape[1] / 8
    base = scene.astype(np.float32)
    low, high = 0.0, _LOUDEST
    blob = b""
    for _ in range(_TRIES):
        middle = (low + high) / 2
        pixels = (base + middle * noise).clip(0, 255).astype(np.uint8)
        blob = cv2.imencode(".jpg", pixels, options)[1].tobytes()
        low, high = (middle, high) if len(blob) < wanted else (low, middle)
    return blob


def _noise(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """Return float32[side, side, 3] of noise whose amplitude is 1 / frequency; wraps around."""
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / side)
    falling[0, 0] = 0
    planes = []
    for _ in range(2):  # the common part of the channels, and their own parts
        white = np.fft.rfft2(rng.standard_normal((side, side)))
        plane = np.fft.irfft2(white * falling, s=(side, side))
        planes.append((plane / plane.std()).astype(np.float32))
    shared, apart = planes
    tint = np.float32(0.35)  # photos differ more in light than in hue
    return np.stack([shared + tint * apart, shared, shared - tint * apart], axis=2)


def _window(
    rng: np.random.Generator, tile: npt.NDArray[np.float32], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Return a random window of the noise, rotated at random."""
    y = int(rng.integers(tile.shape[0] - height + 1))
    x = int(rng.integers(tile.shape[1] - width + 1))
    window = tile[y : y + height, x : x + width]
    return np.ascontiguousarray(window[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])])
