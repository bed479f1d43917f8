from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpuio import image
from gpuio.errors import DecodeError, RecordError, Where
from gpuio.image import ops
from gpuio.image.augment import draw_all
from gpuio.image.chain import Chain, check_row, decode, fill_row
from gpuio.image.draws import GLOBAL
from gpuio.image.source import Sample

RESIZE, CROP, FLIP = (
    image.ResizeAug(20, 1),
    image.CenterCropAug((18, 16), 1),
    image.HorizontalFlipAug,
)


def test_the_head_ends_where_drawing_begins():
    chain = Chain([RESIZE, FLIP(0.5), CROP], GLOBAL, None, 0)
    assert (chain.head, [type(aug).__name__ for aug in chain.tail]) == (
        [RESIZE],
        ["HorizontalFlipAug", "CenterCropAug"],
    )
    assert not chain.ahead


@pytest.mark.parametrize(
    ("augs", "seed", "planned", "ahead"),
    [
        ([RESIZE, CROP], None, True, True),
        ([RESIZE, FLIP(0.5)], None, True, False),
        ([RESIZE, FLIP(0.5)], 1, True, True),
        ([RESIZE, FLIP(0.5, rng=1)], 1, True, False),
        ([image.SequentialAug([FLIP(0.5, rng=1)])], 1, True, False),
        ([RESIZE, lambda src: src], 1, False, False),
        ([], None, True, True),
    ],
)
def test_what_may_go_ahead(augs, seed, planned, ahead):
    chain = Chain(augs, GLOBAL, seed, 0)
    assert (chain.planned, chain.ahead) == (planned, ahead)


def test_a_last_cast_is_left_to_the_copy_into_the_batch():
    assert Chain([CROP, image.CastAug()], GLOBAL, None, 0).augs == [CROP]
    kept = [CROP, image.CastAug("uint8")]
    assert Chain(kept, GLOBAL, None, 0).augs == kept
    kept = [image.CastAug(), CROP]
    assert Chain(kept, GLOBAL, None, 0).augs == kept


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("contiguous", [True, False])
def test_every_dtype_and_layout_is_copied_into_the_row(dtype, contiguous):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(dtype)
    row = pixels.transpose(2, 0, 1)
    if not contiguous:
        row = np.ascontiguousarray(row)
    out = np.zeros((3, 5, 7), np.float32)
    fill_row(out, row)
    assert np.array_equal(out, pixels.transpose(2, 0, 1))


def test_errors_name_the_sample():
    sample = Sample(3, 0, blob=b"junk", place=Where("a.rec", 3, 8))
    with pytest.raises(DecodeError, match="Broken image index: 3") as caught:
        decode(sample)
    assert (caught.value.path, caught.value.offset) == ("a.rec", 8)
    with pytest.raises(RecordError, match=r"\(3, 4, 4\), data_shape is \(3, 5, 5\)"):
        check_row(np.zeros((3, 4, 4)), (3, 5, 5), sample)


def test_a_cubic_resize_and_a_crop_in_it_are_one_step_with_the_same_pixels(monkeypatch):
    blob = (Path(__file__).parents[1] / "data" / "image" / "wide.jpg").read_bytes()
    used = []
    window = ops.resize_window
    monkeypatch.setattr(ops, "resize_window", lambda *a: used.append(1) or window(*a))
    cases = {
        "center": ([image.ResizeAug(50), image.CenterCropAug((40, 30))], 1),
        "random": ([image.ForceResizeAug((60, 50)), image.RandomCropAug((40, 30), rng=2)], 1),
        "flip": ([image.ResizeAug(50), image.CenterCropAug((40, 30)), FLIP(1.0)], 1),
        "bilinear": ([image.ResizeAug(50, 1), image.CenterCropAug((40, 30))], 0),
        "enlarged crop": ([image.ResizeAug(20), image.CenterCropAug((40, 30))], 0),
    }
    for name, (augs, expected) in cases.items():
        used.clear()
        sample = Sample(0, 0, pixels=image.imdecode(blob))
        chain = Chain(augs, GLOBAL, 1, 0)
        sample.plan = draw_all(chain.augs, sample.pixels.shape, GLOBAL)[0]
        called = sample.pixels
        for aug, part in sample.plan:
            called = aug.apply(called, part)
        chain.finish(sample)
        assert len(used) == expected, name
        assert np.array_equal(sample.pixels, called), name
