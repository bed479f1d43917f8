"""Iterators for the adapters' tests: batches whose values say which they are."""

import numpy as np

from gpuio.backend.pool import HostPool
from gpuio.io.base import DataBatch, DataIter


class Counting(DataIter):
    """Hand out `batches` batches an epoch from a pool that reuses memory; values name the batch."""

    def __init__(self, batches=4, batch_size=3, pad=1, dtype="float32"):
        super().__init__(batch_size)
        self.pool, self.batches, self.pad, self.dtype = HostPool(2), batches, pad, dtype
        self.epoch, self.number = 0, 0

    def __len__(self):
        return self.batches

    def reset(self):
        self.epoch, self.number = self.epoch + 1, 0

    def next(self):
        if self.number >= self.batches:
            raise StopIteration
        data = self.pool.array((self.batch_size, 2, 5), self.dtype)
        data[...] = 10 * self.epoch + self.number
        label = self.pool.array((self.batch_size,), "float32")
        label[...] = self.number
        self.number += 1
        pad = self.pad if self.number == self.batches else 0
        return DataBatch([data], [label], pad=pad)

    def state_dict(self):
        return {"epoch": self.epoch, "samples": self.number * self.batch_size}

    def load_state_dict(self, state):
        self.epoch, self.number = state["epoch"], state["samples"] // self.batch_size


def value(array):
    """Return the one value that a batch's array is filled with."""
    found = np.unique(np.asarray(array))
    assert found.size == 1
    return float(found[0])
