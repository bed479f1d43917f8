"""Made photos: repeatable, of a photo's bits a pixel, in class folders."""

import cv2
import numpy as np
import pytest

from gpuio.tools.photos import make_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), count=40, classes=4)


def test_files_lie_in_class_folders_in_equal_numbers(photos):
    homes = [path.parent.name for path in photos]
    assert {name: homes.count(name) for name in homes} == {f"class_{i:02d}": 10 for i in range(4)}
    assert photos == sorted(photos)


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(tmp_path):
    first, again, other = (
        [path.read_bytes() for path in make_photos(tmp_path / name, 2, 1, seed, size=(48, 64))]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    assert first != other


def test_bits_a_pixel_are_those_of_photos(photos):
    bits = []
    for path in photos:
        height, width = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape[:2]
        assert {height, width} == {375, 500}
        bits.append(path.stat().st_size * 8 / (height * width))
    assert 3.5 < np.mean(bits) < 5
    assert min(bits) > 1.5
    assert max(bits) < 6.5


def test_both_subsamplings_both_orientations_and_gray_are_there(photos):
    sampling = set()
    for path in photos:
        blob = path.read_bytes()
        frame = blob.index(b"\xff\xc0")
        sampling.add((blob[frame + 9], blob[frame + 11]))  # components, sampling of the first
    assert sampling == {(3, 0x11), (3, 0x22), (1, 0x11)}
    upright = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape[0] == 500 for p in photos]
    assert sum(upright) == len(photos) // 5


@pytest.mark.parametrize("wrong", [{"count": 0}, {"classes": 0}, {"seed": -1}, {"size": (4, 90)}])
def test_numbers_below_their_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected count >= 1"):
        make_photos(tmp_path, **wrong)
