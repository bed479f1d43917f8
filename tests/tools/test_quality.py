"""The quality of a JPEG is read from its tables."""

import io

import numpy as np
import pytest

from gpuio.tools.quality import jpeg_quality
from support.pictures import jpeg, picture


@pytest.mark.parametrize("quality", [1, 10, 25, 49, 50, 51, 75, 90, 95, 100])
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": "4:4:4"}])
def test_opencvs_quality_is_found(quality, how):
    assert jpeg_quality(jpeg(picture(16, 16), quality=quality, **how)) == (quality, True)


def test_a_gray_image_and_pillows(tmp_path):
    from PIL import Image

    assert jpeg_quality(jpeg(picture(16, 16, 1), quality=60)) == (60, True)
    data = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(data, "JPEG", quality=42)
    assert jpeg_quality(data.getvalue()) == (42, True)


def test_another_programs_table_gives_the_nearest():
    from PIL import Image

    data = io.BytesIO()
    table = np.full(64, 20).tolist()
    Image.fromarray(picture(16, 16)).save(data, "JPEG", qtables=[table, table])
    quality, exact = jpeg_quality(data.getvalue())
    assert not exact
    assert 70 <= quality <= 90


def test_a_file_without_a_table_has_none():
    whole = jpeg(picture(16, 16))
    at = whole.index(b"\xff\xdb")
    for data in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n" + bytes(90), whole[: at + 20]):
        assert jpeg_quality(data) is None
    assert jpeg_quality(b"\xff\xd8\xff\xda\0\x02" + whole[at:]) is None


@pytest.mark.parametrize("left", [1, 50, 99, 127])
def test_a_wide_table_that_is_cut_is_none(left):
    """A table of 16-bit values that its segment does not hold whole."""
    segment = b"\xff\xdb" + (3 + left).to_bytes(2, "big") + b"\x10" + bytes(left)
    assert jpeg_quality(b"\xff\xd8" + segment + b"\xff\xda\0\x02") is None
