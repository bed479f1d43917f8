"""ImageRecordDataset: images and labels of a record file by number."""

import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import DecodeError
from gpuio.gluon.data import ImageRecordDataset


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "a.rec")
    with mx.recordio.MXIndexedRecordIO(str(tmp_path / "a.idx"), path, "w") as out:
        for key, label in ((4, 1.0), (2, [5.0, 6.0])):
            pixels = np.full((6, 8, 3), (10 * key, 20, 30), np.uint8)  # B G R
            ok, blob = cv2.imencode(".png", pixels)
            assert ok
            out.write_idx(
                key, mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), blob.tobytes())
            )
        out.write_idx(9, mx.recordio.pack(mx.recordio.IRHeader(0, 0, 9, 0), b"no image"))
    return path


def test_a_sample_is_an_image_and_its_label(path):
    samples = ImageRecordDataset(path)
    image, label = samples[0]
    assert (type(image), image.dtype, image.shape) == (mx.nd.NDArray, np.uint8, (6, 8, 3))
    assert image[0, 0].tolist() == [30, 20, 40]  # R G B
    assert label == 1.0
    assert samples[1][1].tolist() == [5, 6]
    assert mx.gluon.data.vision.ImageRecordDataset is ImageRecordDataset


def test_gray_and_transformed(path):
    gray, _ = ImageRecordDataset(path, flag=0)[0]
    assert gray.shape == (6, 8, 1)
    made = ImageRecordDataset(path, transform=lambda image, label: (image.shape, label + 1))
    assert made[0] == ((6, 8, 3), 2.0)
    assert ImageRecordDataset(path).transform_first(lambda image: image.size)[0] == (144, 1.0)


def test_a_damaged_image_names_file_and_key(path):
    with pytest.raises(DecodeError) as raised:
        ImageRecordDataset(path)[-1]
    assert (raised.value.path, raised.value.key) == (path, 9)
