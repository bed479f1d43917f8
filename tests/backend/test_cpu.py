"""The CPU backend makes the same pixels whether or not decoding stops below the crop."""

import numpy as np
import pytest

import gpuio as mx
from gpuio.backend import cpu
from support.making import jpeg, photo, write_rec


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    sizes = [(300, 200), (200, 300), (512, 256), (257, 511), (64, 700), (700, 64), (448, 448)]
    blobs = [jpeg(photo(h, w, seed)) for seed, (h, w) in enumerate(sizes * 3)]
    return write_rec(tmp_path_factory.mktemp("cpu"), blobs)


RESIZED_CROP = {
    "random_resized_crop": True,
    "min_random_area": 0.05,
    "max_random_area": 0.6,
    "min_aspect_ratio": 0.7,
    "max_aspect_ratio": 1.4,
}


@pytest.mark.parametrize("inter_method", [0, 1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize(
    "options",
    [
        {"resize": 100},
        {"resize": 100, "rand_crop": True, "rand_mirror": True},
        {"resize": 256, "rand_crop": True},
        {"resize": 128, "min_crop_size": 50, "max_crop_size": 100},
        {},
        {"rand_crop": True},
        {"resize": 400, "rand_crop": True, "brightness": 0.3, "contrast": 0.3, "pca_noise": 0.1},
        RESIZED_CROP,
        {**RESIZED_CROP, "resize": 150},
        {**RESIZED_CROP, "max_rotate_angle": 10},
        {"max_rotate_angle": 180, "max_shear_ratio": 0.3, "rand_crop": True, "fill_value": 9},
        {"rotate": 40, "min_random_scale": 0.8, "max_random_scale": 1.4, "rand_mirror": True},
        {"resize": 100, "pad": 7},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_decoding_less_changes_no_pixel(paths, options, inter_method, monkeypatch):
    def read():
        with mx.io.ImageRecordIter(
            path_imgrec=paths[0],
            data_shape=(3, 64, 96),
            batch_size=7,
            dtype="uint8",
            seed=4,
            ctx="cpu",
            verbose=False,
            inter_method=inter_method,
            **options,
        ) as it:
            return np.concatenate([batch.data[0].asnumpy() for batch in it])

    shortened = []
    real = cpu.shorten
    monkeypatch.setattr(cpu, "shorten", lambda *a: shortened.append(real(*a)) or shortened[-1])
    less = read()
    monkeypatch.setattr(cpu, "shorten", lambda *_: None)
    assert np.array_equal(less, read())
    warped = {**RESIZED_CROP, "max_rotate_angle": 10}
    if options in ({"rand_crop": True}, RESIZED_CROP) or (options == warped and inter_method == 1):
        assert any(one is not None for one in shortened)


def test_the_main_job_decodes_less_of_upright_images(paths, monkeypatch):
    kept = []
    real = cpu.shorten

    def note(*arguments):
        made = real(*arguments)
        kept.append(made[1] if made else None)
        return made

    monkeypatch.setattr(cpu, "shorten", note)
    with mx.io.ImageRecordIter(
        path_imgrec=paths[0],
        data_shape=(3, 80, 80),
        batch_size=7,
        resize=96,
        ctx="cpu",
        verbose=False,
    ) as it:
        next(it)
    assert 240 in kept  # of the image of 300 rows: 236 are read, and one more for the chroma
