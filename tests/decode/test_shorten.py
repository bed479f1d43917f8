"""A shortened JPEG decodes to the same rows, without a word on standard error."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuio.decode.formats import probe
from gpuio.decode.opencv import decode
from gpuio.decode.shorten import shorten
from gpuio.errors import DecodeError
from support.making import SAMPLING, encoded, jpeg, photo


def shortened(blob, rows):
    """Shorten an image if its header lets it be; None for one that the reader refuses."""
    try:
        info = probe(blob)
    except DecodeError:
        return None
    if not info.shortens:
        return None
    return shorten(blob, rows, info.frame_at, info.height, info.sampling)


@pytest.mark.parametrize("sampling", [*SAMPLING, "gray"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(height=st.integers(30, 300), width=st.integers(1, 90), share=st.floats(0.01, 0.9))
def test_the_rows_needed_are_the_same(capfd, sampling, height, width, share):
    image = photo(height, width, seed=height)
    if sampling == "gray":
        blob = encoded(image[:, :, 0])
    else:
        blob = encoded(image, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling])
    rows = max(1, int(share * height))
    shorter = shortened(blob, rows)
    if shorter is None:
        assert rows > 0.98 * height - 18
        return
    part = decode(shorter[0], 3)
    assert part.shape == (shorter[1], width, 3)
    assert rows <= shorter[1] < height
    assert np.array_equal(part[:rows], decode(blob, 3)[:rows])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["progressive", "restarts", "no end", "png", "cut", "empty", "16"])
def test_what_cannot_be_shortened_is_left_alone(kind):
    image = photo(200, 60)
    blob = {
        "progressive": encoded(image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "restarts": encoded(image, cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
        "no end": jpeg(image)[:-2],
        "png": cv2.imencode(".png", image)[1].tobytes(),
        "cut": jpeg(image)[:300],
        "empty": b"",
        "16": b"\xff\xd8" + bytes(14),
    }[kind]
    assert shortened(blob, 50) is None


def test_most_of_the_image_is_not_worth_it():
    blob = jpeg(photo(160, 60))
    assert shortened(blob, 150) is None
    assert shortened(blob, 100) is not None


def test_sampling_factors_of_zero_are_left_to_the_decoder():
    blob = bytearray(cv2.imencode(".jpg", photo(100, 40)[:, :, 0])[1].tobytes())
    blob[blob.index(b"\xff\xc0") + 11] = 0x10
    assert shortened(bytes(blob), 30) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_headers_are_shortened_or_left_alone(data):
    blob = bytearray(jpeg(photo(100, 40)))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, 620))] = data.draw(st.integers(0, 255))
    shortened(bytes(blob[: data.draw(st.integers(0, len(blob)))]), 30)
