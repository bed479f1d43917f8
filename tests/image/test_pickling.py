"""Image iterators and augmenters cross process borders."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

import gpuio.image
from gpuio.errors import ClosedError
from gpuio.image import CreateAugmenter, CreateDetAugmenter, ImageIter
from gpuio.image.draws import GLOBAL

SHAPE = (3, 16, 18)


class Named(ImageIter):
    """A user's iterator with a constructor and an attribute of its own."""

    def __init__(self, records, name):
        super().__init__(3, SHAPE, rng=1, rand_crop=True, **records)
        self.name = name

    def augmentation_transform(self, data):
        return super().augmentation_transform(data) * 2


def copied(it):
    return pickle.loads(pickle.dumps(it))


def pixels(it):
    return [batch.data[0].asnumpy() for batch in it]


@pytest.mark.parametrize("mode", ["pad", "discard", "roll_over"])
@pytest.mark.parametrize("source", ["indexed", "sequential", "files"])
def test_a_copy_goes_on_and_so_does_the_original(make_records, make_files, source, mode):
    if source == "files":
        folder, rows = make_files(7)
        keywords = {"imglist": rows, "path_root": folder, "shuffle": True}
    else:
        keywords = make_records()
        keywords |= {"path_imgidx": None} if source == "sequential" else {"shuffle": True}
    with ImageIter(3, SHAPE, last_batch_handle=mode, rng=5, rand_mirror=True, **keywords) as it:
        list(it)
        it.reset()  # a roll-over now carries a sample
        next(it)
        with copied(it) as other:
            for _ in range(2):
                mine, theirs = pixels(it), pixels(other)
                assert mine
                assert np.array_equal(mine, theirs)
                it.reset()
                other.reset()


def test_a_subclass_keeps_its_attributes_and_hooks(make_records):
    with Named(make_records(), "mine") as it, copied(it) as other:
        assert other.name == "mine"
        assert np.array_equal(pixels(it), pixels(other))


def test_the_global_generators_stay_the_global_ones(make_records):
    assert copied(GLOBAL) is GLOBAL
    with ImageIter(3, SHAPE, rand_crop=True, **make_records()) as it, copied(it) as other:
        random.seed(3)
        mine = pixels(it)
        random.seed(3)
        assert np.array_equal(pixels(other), mine)


def test_a_closed_iterator_is_not_pickled(make_records):
    it = ImageIter(3, SHAPE, **make_records())
    it.close()
    with pytest.raises(ClosedError):
        pickle.dumps(it)


def test_augmenters_pickle():
    image = np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3).view(gpuio.nd.NDArray)
    options = {"rand_mirror": True, "brightness": 0.3, "hue": 0.1, "pca_noise": 0.1}
    for aug in CreateAugmenter(SHAPE, rand_crop=True, rand_gray=0.3, mean=True, **options):
        assert copied(aug).dumps() == aug.dumps()
        results = []
        for one in (aug, copied(aug)):
            random.seed(4)
            np.random.seed(4)  # noqa: NPY002 -- the generator that MXNet draws from
            results.append(one(image.astype(np.float32)).asnumpy())
        assert np.array_equal(*results)
    for aug in CreateDetAugmenter(SHAPE, rand_crop=0.5, rand_pad=0.5, **options):
        assert copied(aug).dumps() == aug.dumps()
