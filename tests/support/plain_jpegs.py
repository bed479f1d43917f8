"""Plain JPEGs of every kind, what is not plain, and damaged ones, for decoders of gpuio's own."""

import cv2
import numpy as np
import pytest
from fuzz.image_mutants import mutate

from gpuio.decode import turbojpeg
from gpuio.decode.formats import ImageInfo, probe
from gpuio.errors import DecodeError
from support import kinds
from support.coding import segment
from support.making import SAMPLING, encoded, jpeg, photo, warned

PLAIN = ("4:4:4", "4:2:2", "4:2:0")
RESTARTS, OPTIMISED = cv2.IMWRITE_JPEG_RST_INTERVAL, cv2.IMWRITE_JPEG_OPTIMIZE
QUALITY = cv2.IMWRITE_JPEG_QUALITY


def noisy(height, width, seed):
    """A photo whose blocks have coefficients of every kind; at the edges of their range, too."""
    rng = np.random.default_rng(seed)
    image = photo(height, width, seed).astype(int) + rng.normal(0, rng.integers(1, 60), 3)
    if seed % 3 == 0:
        image = image + rng.normal(0, rng.integers(1, 90), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def header(blob):
    try:
        return probe(blob)
    except DecodeError:
        return ImageInfo(0, 0, 0, 0, 0)


class Decoder:
    """A decoder of one thread, at 1 / scale.

    Parameters
    ----------
    module : module         whose `decode` is called
    handle : object         of this thread, for it
    scale : {1, 2, 4, 8}
    """

    def __init__(self, module, handle, scale):
        self.module, self.decoder, self.scale = module, handle, scale

    def __call__(self, blob, channels=3, window=None, size=None):
        """Return the code and uint8[h, w, channels]; `window`: top, stop, left, right."""
        data, info = np.frombuffer(blob, np.uint8), header(blob)
        height, width = size or (-(-info.height // self.scale), -(-info.width // self.scale))
        pixels = np.full((height, width, channels), 77, np.uint8)
        plain = info.one_scan and info.frame in (0xC0, 0xC1) and info.channels in (1, 3)
        code = self.module.decode(
            self.decoder.address, data.ctypes.data, data.size, height, width, channels,
            info.sampling if plain else 0, info.shortens, *(window or (0, 0, 0, width)),
            self.scale, pixels.ctypes.data,
        )  # fmt: skip
        return code, pixels


def opencv(blob, channels, scale):
    """Return OpenCV's pixels, uint8[h, w, channels]."""
    flag = {
        (1, 8): cv2.IMREAD_REDUCED_GRAYSCALE_8,
        (3, 8): cv2.IMREAD_REDUCED_COLOR_8,
        (1, 1): cv2.IMREAD_GRAYSCALE,
        (3, 1): cv2.IMREAD_COLOR,
    }[channels, scale]
    image = cv2.imdecode(np.frombuffer(blob, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return image.reshape(*image.shape[:2], channels)


def turbo(scale):
    """Return TurboJPEG's decoder of this thread."""
    if not turbojpeg.status().usable:
        pytest.skip(turbojpeg.status().reason)
    return Decoder(turbojpeg.compiled(), turbojpeg.Handle(2**31 - 1, 100), scale)


def made(kind, height, width, seed, *flags):
    image = noisy(height, width, seed)
    if kind == "gray":
        return encoded(image[:, :, 0], *flags)
    return encoded(image, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[kind], *flags)


def edited(blob, marker, at, *values):
    """Return a JPEG with bytes of its first segment of a kind changed, from `at` in it on."""
    place = blob.index(bytes([0xFF, marker])) + 4 + at
    return blob[:place] + bytes(values) + blob[place + len(values) :]


GOOD = jpeg(photo(60, 80))
REFUSED = {
    "progressive": encoded(photo(60, 80), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "4:4:0": made("4:4:0", 60, 80, 1),
    "4:1:1": made("4:1:1", 60, 80, 1),
    "png": cv2.imencode(".png", photo(60, 80))[1].tobytes(),
    "cmyk": kinds.decoded()["jpeg cmyk"][0],
    "arithmetic": kinds.decoded()["jpeg arithmetic"][0],
    "several scans": kinds.decoded()["jpeg three_scans"][0],
    "Adobe's R G B": GOOD[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\0") + GOOD[20:],
    "named R G B": GOOD[:2] + edited(edited(GOOD, 0xC0, 6, 82), 0xDA, 1, 82)[20:],
    "another version of JFIF": edited(GOOD, 0xE0, 5, 2),
    "two profiles": GOOD[:2] + 2 * segment(0xE2, b"ICC_PROFILE\0\1\1abc") + GOOD[2:],
    "half a profile": GOOD[:2] + segment(0xE2, b"ICC_PROFILE\0\1\2abc") + GOOD[2:],
    "12 bits": edited(GOOD, 0xC0, 0, 12),
    "another size": edited(GOOD, 0xC0, 1, 0, 240),
    "a wrong table of quanta": edited(GOOD, 0xDB, 0, 9),
    "16 bits of quanta": edited(GOOD, 0xDB, 0, 0x10),
    "a quantum of zero": edited(GOOD, 0xDB, 1, 0),
    "too many codes": edited(GOOD, 0xC4, 1, *[255] * 16),
    "a code of ones": edited(GOOD, 0xC4, 1, 2),
    "not all of the spectrum": GOOD.replace(b"\0\x3f\0", b"\0\x3e\0"),
    "cut": GOOD[:-100],
    "no end": GOOD[:-2],
    "too much": warned(photo(60, 80))[1],
    "scan ends too soon": GOOD[:-300] + b"\xff\xd9",
    "zeros": bytes(2000),
    "nothing": b"",
    "two bytes": b"\xff\xd8",
}


def mutants(cases, seed=0):
    """Yield damaged JPEGs: half of them only behind their headers, some with other quanta."""
    pool = [
        made(kind, h, w, k, RESTARTS, r, OPTIMISED, k % 2, QUALITY, q)
        for k, (kind, h, w, r, q) in enumerate(
            [
                ("4:2:0", 120, 90, 0, 90), ("4:4:4", 64, 100, 0, 50), ("4:2:2", 90, 121, 3, 95),
                ("4:2:0", 130, 70, 5, 30), ("gray", 99, 50, 0, 80), ("4:2:0", 33, 200, 0, 100),
            ]
        )
    ]  # fmt: skip
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        blob = pool[case % len(pool)]
        if case % 4 == 0:
            yield mutate(rng, blob, pool)[:60_000]
            continue
        data = bytearray(blob)
        start = blob.index(b"\xff\xda") + 14
        if case % 4 == 1:  # numbers of every size, and what they become
            at = blob.index(b"\xff\xdb") + 5
            data[at : at + 64] = rng.choice([1, 3, 60, 255], 64).astype(np.uint8).tobytes()
        if case % 4 != 1 or case % 3 == 0:
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(start, len(data) - 2))] = int(rng.integers(255))
        yield bytes(data)


def agree(own, cases, seed=0):
    """Compare with TurboJPEG; return how many were decoded, and how many not, by each.

    Parameters
    ----------
    own : Decoder
    cases, seed : int       of `mutants`
    """
    other, fates = turbo(own.scale), np.zeros((2, 2), int)
    for number, blob in enumerate(mutants(cases, seed)):
        info = header(blob)
        if not 0 < info.height * info.width < 1_000_000:
            continue
        channels = 3 - 2 * (number % 5 == 0)
        code, pixels = own(blob, channels)
        expected, right = other(blob, channels)
        if code == 0:
            assert expected == 0, number
            assert np.array_equal(pixels, right), number
        fates[int(code != 0), int(expected != 0)] += 1
    return fates
