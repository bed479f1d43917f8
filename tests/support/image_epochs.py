"""What the tests of image iterators read: epochs of labels, epochs of pixels."""

import numpy as np

SHAPE = (3, 16, 18)
OPTIONS = {"resize": 20, "rand_crop": True, "rand_mirror": True, "brightness": 0.3}


def epochs(it, count=3):
    """The labels and the pad of each batch, epoch by epoch."""
    said = []
    for _ in range(count):
        said.append([(batch.label[0].tolist(), batch.pad) for batch in it])
        it.reset()
    return said


def pixels(it, count=2):
    """The images of all batches of some epochs, float32[batches, B, C, H, W]."""
    made = []
    for _ in range(count):
        made += [batch.data[0].asnumpy() for batch in it]
        it.reset()
    return np.array(made)
