"""Decoded pixels against a live MXNet 1.9.1, for every kind of file that it reads."""

import numpy as np
import pytest

from parity.cases import iterate
from support import kinds
from support.making import png, write_rec

pytestmark = pytest.mark.mxnet

# WebP, GIF, JPEG 2000, PNM: MXNet's wheel refuses them; TIFF turned by a quarter: it garbles them
THEIRS = [
    name
    for name in kinds.decoded()
    if name.startswith(("jpeg", "png", "bmp", "tiff"))
    and not name.startswith(("jpeg 2000", "tiff deflate", "tiff big", "tiff jpeg"))
    and name not in [f"tiff turned {turn}" for turn in range(5, 9)]
]


def both(mxnet, folder, blobs, shape, **ours):
    """Read blobs as whole images with both; uint8[n, height, width, 3] each."""
    rec, _ = write_rec(folder, blobs)
    options = {"path_imgrec": rec, "data_shape": list(shape), "batch_size": len(blobs)}
    theirs = mxnet.iterate("ImageRecordUInt8Iter", preprocess_threads=1, **options)
    mine = iterate("ImageRecordUInt8Iter", **options, **ours)
    return (each.data[0].transpose(0, 2, 3, 1) for each in (mine, theirs))


def test_every_kind_has_mxnets_pixels(mxnet, tmp_path):
    blobs = [kinds.decoded()[name][0] for name in THEIRS]
    ours, theirs = both(mxnet, tmp_path, blobs, (3, kinds.HEIGHT, kinds.WIDTH))
    same = {name: np.array_equal(a, b) for name, a, b in zip(THEIRS, ours, theirs, strict=True)}
    assert len(same) > 40
    assert [name for name in THEIRS if not same[name]] == []


@pytest.mark.parametrize("name", ["444", "420", "gray", "restart"])
@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
def test_a_jpeg_cut_short_has_mxnets_pixels_as_far_as_it_decodes(mxnet, tmp_path, name, part):
    """MXNet's wheel leaves whatever was in memory below; we leave gray."""
    picture = kinds.PICTURE.resize((200, 320))
    options = {"444": {"subsampling": 0}, "restart": {"restart_marker_blocks": 5}}.get(name, {})
    picture = picture.convert("L") if name == "gray" else picture
    whole = kinds.saved(picture, "JPEG", quality=92, **options)
    cut = whole[: int(part * len(whole))]
    ours, theirs = both(mxnet, tmp_path, [cut], (3, 320, 200), truncated="accept")
    expected = kinds.by_pillow(whole)
    good = int(np.argmin(np.append((ours[0] == expected).all(axis=(1, 2)), False)))
    assert abs(good / 320 - part) < 0.2
    decoded = good - 17  # MXNet's last row of blocks waits for data that never come
    assert decoded > 60
    assert np.array_equal(ours[0, :decoded], theirs[0, :decoded])
    assert np.array_equal(ours[0, :decoded], expected[:decoded])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resize": 20},
        {"rand_crop": True, "seed_aug": 3},
        {"random_resized_crop": True, "min_random_area": 0.3, "seed_aug": 3},
        {"inter_method": 2},
        {"inter_method": 3},
    ],
    ids="-".join,
)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9000), (9000, 1), (3, 200), (200, 3), (7, 9), (31, 33)]
)
def test_images_smaller_than_the_crop_are_mxnets(mxnet, tmp_path, size, options):
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    rec, idx = write_rec(tmp_path, [png(noise)])
    given = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": [3, 32, 34], "batch_size": 1}
    theirs = mxnet.iterate("ImageRecordUInt8Iter", preprocess_threads=1, **given, **options)
    ours = iterate("ImageRecordUInt8Iter", **given, **options)
    assert np.array_equal(ours.data, theirs.data)
