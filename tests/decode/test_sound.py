"""Whether a JPEG decodes: what TurboJPEG vouches for, OpenCV decodes, damaged or not."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpuio.decode import turbojpeg
from gpuio.decode.formats import probe
from gpuio.decode.limits import check_format, check_scans, check_size
from gpuio.decode.opencv import decode
from gpuio.decode.sound import decodes
from gpuio.errors import DecodeError, GpuioError
from support.making import encoded, jpeg, photo, png, warned
from support.pictures import cmyk_jpeg

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from image_mutants import mutate

needs_library = pytest.mark.skipif(
    not turbojpeg.status().usable, reason=turbojpeg.status().reason or "usable"
)
SAMPLINGS = (0x111111, 0x211111, 0x221111, 0x121111, 0x411111)
PLAIN = [
    encoded(photo(90, 70, n), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, s) for n, s in enumerate(SAMPLINGS)
]
PLAIN += [
    encoded(photo(61, 83, channels=1)),
    encoded(photo(50, 40), cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
]
OTHERS = {
    "progressive": encoded(photo(60, 80), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "cmyk": cmyk_jpeg(50, 60),
    "png": png(photo(20, 20)),
    "cut": jpeg(photo(60, 80))[:-300],
    "cut, with an end": jpeg(photo(60, 80))[:-300] + b"\xff\xd9",
}


@needs_library
@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_sound_images_are_vouched_for(number):
    assert decodes(PLAIN[number], probe(PLAIN[number]))
    assert decodes(memoryview(b"xx" + PLAIN[number])[2:], probe(PLAIN[number]))


@needs_library
@pytest.mark.parametrize("blob", warned(photo(60, 80)))
def test_a_warning_of_libjpeg_is_told_from_what_is_not_known(blob):
    assert decodes(blob, probe(blob)) is False
    assert decode(blob, 3).shape == (60, 80, 3)
    assert [decodes(OTHERS[name], probe(OTHERS[name])) for name in ("png", "cut")] == [None, None]


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_left_to_opencv(name):
    assert not decodes(OTHERS[name], probe(OTHERS[name]))


def test_nothing_is_vouched_for_without_turbojpeg(monkeypatch):
    monkeypatch.setattr(turbojpeg, "status", lambda: turbojpeg.Status(reason="none"))
    assert not decodes(PLAIN[0], probe(PLAIN[0]))


@needs_library
@pytest.mark.parametrize("seed", range(4))
def test_mutants_have_the_verdict_of_opencv(seed):
    """Whatever is vouched for, OpenCV decodes to the size of its header; never the other way."""
    rng, vouched, refused = np.random.default_rng(seed), 0, 0
    for number in range(250):
        blob = mutate(rng, PLAIN[number % len(PLAIN)], PLAIN)
        try:
            info = probe(blob)
            check_format(info, blob)
            check_size(info, 1_000_000)
            check_scans(info, 100, 1_000_000)
        except GpuioError:
            continue
        if decodes(blob, info):
            vouched += 1
            assert decode(blob, 3).shape[:2] == (info.height, info.width)
            continue
        try:
            decode(blob, 3)
        except DecodeError:
            refused += 1
    assert vouched > 10
    assert refused > 10
