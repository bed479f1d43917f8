from __future__ import annotations

import cv2
import numpy as np
import pytest

from gpuio import nd
from gpuio.errors import DecodeError, GpuioWarning, MXNetError, OptionError, StorageError
from gpuio.image import imdecode, imread

RNG = np.random.default_rng(0)
PIXELS = cv2.resize(RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8), (56, 40))  # R G B, smooth
PNG = cv2.imencode(".png", PIXELS[:, :, ::-1])[1].tobytes()
JPEG = cv2.imencode(".jpg", PIXELS[:, :, ::-1])[1].tobytes()


def test_colours_come_as_r_g_b_or_on_request_b_g_r():
    assert np.array_equal(imdecode(PNG), PIXELS)
    assert np.array_equal(imdecode(PNG, 1, 0), PIXELS[:, :, ::-1])
    assert isinstance(imdecode(PNG), nd.NDArray)


def test_gray_has_one_channel():
    assert imdecode(PNG, 0).shape == (40, 56, 1)


def test_an_opencv_without_rgb_decoding_gives_the_same(monkeypatch):
    expected = imdecode(JPEG)
    monkeypatch.delattr(cv2, "IMREAD_COLOR_RGB")
    assert np.array_equal(imdecode(JPEG), expected)


def test_an_arrays_raw_memory_is_taken():
    padded = PNG + b"\0" * (-len(PNG) % 8)
    assert np.array_equal(imdecode(np.frombuffer(padded, np.int64)), PIXELS)
    assert np.array_equal(imdecode(nd.array(bytearray(PNG), dtype="uint8")), PIXELS)


@pytest.mark.parametrize("buf", ["text", memoryview(PNG), list(PNG), None])
def test_other_types_are_a_value_error(buf):
    with pytest.raises(ValueError, match="buf of type"):
        imdecode(buf)


@pytest.mark.parametrize("buf", [b"", b"no image at all", JPEG[:60], PNG[:50]])
def test_what_is_no_image_is_a_decode_error_and_an_mxnet_error(buf):
    with pytest.raises(DecodeError) as caught:
        imdecode(buf)
    assert isinstance(caught.value, MXNetError)


def test_a_negative_flag_and_a_wrong_ndarray_are_refused():
    with pytest.raises(OptionError, match="flag=-1"):
        imdecode(PNG, -1)
    with pytest.raises(OptionError, match="uint8"):
        imdecode(nd.array([1.0, 2.0]))


def test_a_jpeg_cut_in_its_scan_is_gray_below_and_warned_of():
    with pytest.warns(GpuioWarning, match="cut short"):
        pixels = imdecode(JPEG[: len(JPEG) * 2 // 3])
    assert np.array_equal(pixels[:8], imdecode(JPEG)[:8])
    assert (pixels[-1] == 128).all()


def test_out_is_written_and_checked():
    out = nd.zeros(PIXELS.shape, dtype="uint8")
    assert imdecode(PNG, out=out) is out
    assert np.array_equal(out, PIXELS)
    with pytest.raises(OptionError, match="the image is"):
        imdecode(PNG, out=nd.zeros((2, 2, 3), dtype="uint8"))


def test_imread_names_the_file(tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    (tmp_path / "bad.png").write_bytes(b"bad")
    assert np.array_equal(imread(tmp_path / "good.png"), PIXELS)
    assert imread(str(tmp_path / "good.png"), 0).shape == (40, 56, 1)
    with pytest.raises(DecodeError) as caught:
        imread(tmp_path / "bad.png")
    assert caught.value.path == str(tmp_path / "bad.png")
    with pytest.raises(StorageError, match="couldn't open file"):
        imread(tmp_path / "none.png")
