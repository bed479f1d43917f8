"""What people do wrong most often is answered with what to do."""

import logging

import numpy as np
import pytest

import gpuio as mx
from support.making import jpeg, photo, write_rec


class PilImage:
    """As much of a PIL image as is looked at."""

    def __init__(self, pixels):
        self.pixels = pixels

    def getbands(self):
        return ("R", "G", "B")

    def __array__(self, dtype=None, copy=None):
        return self.pixels


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Eight records; `other` has three."""
    folder = tmp_path_factory.mktemp("files")
    blobs = [jpeg(photo(40, 50, i)) for i in range(8)]
    write_rec(folder, blobs[:3], name="other")
    write_rec(folder, blobs, labels=[i / 2 for i in range(8)], name="halves")
    write_rec(folder, blobs, name="train")
    return folder


def iterator(files, **options):
    given = {
        "path_imgrec": str(files / "train.rec"),
        "path_imgidx": str(files / "train.idx"),
        "data_shape": (3, 32, 32),
        "batch_size": 4,
        "ctx": "cpu",
        "verbose": False,
    }
    return mx.io.ImageRecordIter(**{**given, **options})


def first(files, **options):
    with iterator(files, **options) as it:
        return it.next()


# what is asked for, and words of the answer
REFUSED = {
    "wrong path": ({"path_imgrec": "{}/trian.rec"}, "did you mean train.rec?"),
    "relative path": (
        {"path_imgrec": "data/train.rec"},
        "has no folder data; the working directory",
    ),
    "HWC": ({"data_shape": (32, 32, 3)}, r"\(channels, height, width\) is \(3, 32, 32\)"),
    "label width": ({"label_width": 5}, "label_width='auto' takes the number that the files have"),
    "batch too large": ({"batch_size": 100}, "choose last_batch='pad', 'partial' or 'discard'"),
    "typo": ({"rand_miror": True}, "did you mean rand_mirror?"),
    "cuda": ({"ctx": "cuda"}, "did you mean 'gpu'?"),
    "context": ({"ctx": mx.gpu(1)}, "device_id=1"),
    "num_workers": ({"num_workers": 4}, "did you mean preprocess_threads?"),
    "drop_last": ({"drop_last": True}, "did you mean last_batch='discard'?"),
    "float labels": (
        {"path_imgrec": "{}/halves.rec", "path_imgidx": "{}/halves.idx", "num_classes": 8},
        r"num_classes=8 asks for a whole number in 0..7",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_it_is_refused_with_what_to_do(files, mistake):
    options, answer = REFUSED[mistake]
    options = {
        name: value.format(files) if isinstance(value, str) else value
        for name, value in options.items()
    }
    with pytest.raises((mx.GpuioError, TypeError), match=answer):
        first(files, **options)


@pytest.mark.parametrize("use", [len, lambda it: it[0]])
def test_an_iterator_is_not_a_data_set_for_a_dataloader(files, use):
    with iterator(files) as it:
        if use is len:
            assert len(it) == 2  # batches: a DataLoader's sampler then asks for it[0]
        else:
            with pytest.raises(TypeError, match=r"torch.loader\(it\) takes the DataLoader"):
                use(it)


def test_an_epoch_that_was_not_reset_is_said(files, caplog):
    with iterator(files) as it:
        assert len(list(it)) == 2
        with caplog.at_level(logging.WARNING, "gpuio"):
            assert list(it) == []
    assert "call reset() before the next epoch" in caplog.text


def test_means_of_pixels_from_0_to_1_are_said(files, caplog):
    with caplog.at_level(logging.WARNING, "gpuio"):
        iterator(files, mean_r=0.485, mean_g=0.456, mean_b=0.406, std_r=0.229).close()
    assert "multiply them by 255 (0.485 becomes 123.675)" in caplog.text


def test_an_index_of_another_file_is_said(files):
    with pytest.warns(mx.GpuioWarning, match="lists 3 of 8 records"):
        iterator(files, path_imgidx=str(files / "other.idx")).close()


def test_pil_images_are_refused_with_what_makes_an_array_of_them():
    image = PilImage(photo(8, 8))
    with pytest.raises(mx.RecordError, match=r"numpy.asarray\(image.convert\('RGB'\)\)"):
        mx.recordio.pack_img(mx.recordio.IRHeader(0, 1, 1, 0), image)
    for function in (mx.image.imresize, mx.image.center_crop, mx.image.random_crop):
        arguments = (4, 4) if function is mx.image.imresize else ((4, 4),)
        with pytest.raises(mx.OptionError, match=r"numpy.asarray\(image\)"):
            function(image, *arguments)
    assert mx.image.imresize(np.asarray(image), 4, 4).shape == (4, 4, 3)
