"""The mean image is made when missing, read when there, refused when wrong."""

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import FormatError
from gpuio.nd import load, save
from support.making import flat, photo, png, write_rec


@pytest.fixture
def paths(tmp_path):
    return write_rec(tmp_path, [png(photo(8, 8, i)) for i in range(7)])


def reader(paths, **options):
    return mx.io.ImageRecordIter(
        path_imgrec=paths[0],
        path_imgidx=paths[1],
        data_shape=(3, 8, 8),
        batch_size=3,
        verbose=False,
        ctx="cpu",
        **options,
    )


def raw(paths, **options):
    """The images in order, float64."""
    with reader(paths, last_batch="partial", **options) as it:
        return np.concatenate([b.data[0].asnumpy().astype(float) for b in it])


def test_a_missing_mean_is_the_average_of_every_record_once(paths, tmp_path):
    path = str(tmp_path / "mean.bin")
    images = raw(paths)
    with reader(paths, mean_img=path, last_batch="partial") as it:
        got = np.concatenate([b.data[0].asnumpy() for b in it])
    mean = load(path)["mean_img"]
    assert np.abs(mean - images.mean(0)).max() < 2e-5
    assert np.array_equal(got, images.astype(np.float32) - mean)


def test_an_existing_mean_is_read_and_left_alone(paths, tmp_path):
    path = tmp_path / "mean.bin"
    mean = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    save(path, {"anything": mean})
    before = path.read_bytes()
    with reader(paths, mean_img=str(path), scale=0.5, mean_r=99) as it:
        got = next(it).data[0].asnumpy()
    assert np.array_equal(got, ((raw(paths)[:3] - mean) * np.float32(0.5)).astype(np.float32))
    assert path.read_bytes() == before


def test_the_mean_is_subtracted_before_the_flip(paths, tmp_path):
    path = tmp_path / "mean.bin"
    mean = np.arange(192, dtype=np.float32).reshape(3, 8, 8)
    save(path, {"mean_img": mean})
    with (
        reader(paths, mean_img=str(path)) as it,
        reader(paths, mean_img=str(path), mirror=True) as m,
    ):
        assert np.array_equal(next(it).data[0][..., ::-1], next(m).data[0])


def test_int8_subtracts_the_rounded_mean_and_uint8_none(paths, tmp_path):
    path = tmp_path / "mean.bin"
    mean = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    save(path, {"mean_img": mean})
    images = raw(paths)[:3]
    with reader(paths, mean_img=str(path), dtype="int8", scale=3, mean_g=7) as it:
        assert np.array_equal(next(it).data[0], np.clip(images - np.floor(mean + 0.5), -128, 127))
    with reader(paths, mean_img=str(path), dtype="uint8") as it:
        assert np.array_equal(next(it).data[0], images)


def test_making_the_mean_uses_the_first_permutation_up(paths, tmp_path):
    path = str(tmp_path / "mean.bin")
    with reader(paths, shuffle=True) as plain:
        plain.reset()
        second = next(plain).label[0].tolist()
    with reader(paths, shuffle=True, mean_img=path) as it:
        assert next(it).label[0].tolist() == second


def test_a_mean_of_another_shape_is_refused(paths, tmp_path):
    path = tmp_path / "mean.bin"
    save(path, {"mean_img": np.zeros((3, 9, 8), np.float32)})
    with pytest.raises(FormatError, match=r"\(3, 9, 8\).*expected one of \(3, 8, 8\)"):
        reader(paths, mean_img=str(path))


def test_a_bad_record_is_raised_and_no_file_is_left(tmp_path):
    paths = write_rec(tmp_path, [flat(1), b"bad"])
    with pytest.raises(mx.GpuioError):
        reader(paths, mean_img=str(tmp_path / "mean.bin"))
    assert not (tmp_path / "mean.bin").exists()
