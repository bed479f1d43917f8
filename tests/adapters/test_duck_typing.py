"""The calls that Lightning, Accelerate and transformers make of a loader, without these packages.

Each function repeats what the framework does with any iterable that is not a DataLoader.
"""

import numpy as np
import pytest

from gpuio.adapters.loader import Loader
from support.feeds import Counting, value


def lightning_set_epoch(loader, epoch):
    """lightning.fabric.utilities.data._set_sampler_epoch."""
    objects = {}
    if (sampler := getattr(loader, "sampler", None)) is not None:
        objects[id(sampler)] = sampler
    batch_sampler = getattr(loader, "batch_sampler", None)
    if batch_sampler is not None and (sampler := getattr(batch_sampler, "sampler", None)):
        objects[id(sampler)] = sampler
    for one in objects.values():
        if callable(set_epoch := getattr(one, "set_epoch", None)):
            set_epoch(epoch)


def lightning_fit(loader, epochs, state=None, first=0):
    """The fit loop: the fetcher is iterated when it is set up, and again in each epoch."""
    if state is not None:
        loader.load_state_dict(state)
    iter(loader)
    length = len(loader)
    seen = []
    for epoch in range(first, epochs):
        lightning_set_epoch(loader, epoch)
        iter(loader)
        loop = iter(loader)
        seen.append([value(data) for data, _ in loop])
    return length, seen


def accelerate_skip_first_batches(loader, count):
    """accelerate.data_loader.skip_first_batches, as far as it comes."""
    dataset = loader.dataset
    return dataset, loader.batch_sampler, count


def test_lightning_trains_epoch_after_epoch():
    length, seen = lightning_fit(Loader(Counting(), np.asarray), 3)
    assert length == 4
    assert seen == [[10 * epoch + k for k in range(4)] for epoch in range(3)]


def test_lightning_resumes_in_the_middle_of_an_epoch():
    first = Loader(Counting(), np.asarray)
    lightning_fit(first, 1)
    loop = iter(first)
    next(loop)
    state = first.state_dict()
    _, seen = lightning_fit(Loader(Counting(), np.asarray), 3, state, first=1)
    assert seen == [[11, 12, 13], [20, 21, 22, 23]]


def test_lightning_resumes_after_an_epoch():
    first = Loader(Counting(), np.asarray)
    lightning_fit(first, 2)
    _, seen = lightning_fit(Loader(Counting(), np.asarray), 4, first.state_dict(), first=2)
    assert seen == [[20, 21, 22, 23], [30, 31, 32, 33]]


def test_lightning_validates_the_same_epoch_after_its_sanity_check():
    loader = Loader(Counting(), np.asarray)
    for _ in range(2):  # the sanity check stops early
        lightning_set_epoch(loader, 0)
        loop = iter(loader)
        assert value(next(loop)[0]) == 0


def test_transformers_sets_the_epoch_on_the_loader():
    loader = Loader(Counting(), np.asarray)
    assert hasattr(loader, "set_epoch")
    loader.set_epoch(2)
    assert [value(data) for data, _ in loader] == [20, 21, 22, 23]


def test_accelerates_skip_first_batches_is_told_what_takes_its_place():
    loader = Loader(Counting(), np.asarray)
    with pytest.raises(AttributeError, match=r"state_dict\(\) .*skip_first_batches"):
        accelerate_skip_first_batches(loader, 2)
    assert not hasattr(loader, "dataset")
    assert getattr(loader, "batch_sampler", None) is None
