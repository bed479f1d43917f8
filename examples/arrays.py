"""Iterate over data that is already in memory.

    python examples/arrays.py

Shows what a batch holds, the three ways to treat the rows that fill no batch, several named
sources, and the two iterators that go around another one.
"""

import numpy as np

import gpuio as mx


def show(title, it, epochs=1):
    print(title)
    for epoch in range(epochs):
        if epoch:
            it.reset()
        rows = [batch.data[0].asnumpy()[:, 0].astype(int).tolist() for batch in it]
        print(f"  epoch {epoch}:", rows)


def main():
    data = np.arange(10)[:, None] * [1.0, 0.5]  # ten rows of two features
    label = np.arange(10) % 2

    it = mx.io.NDArrayIter(data, label, batch_size=4)
    print("provide_data:", it.provide_data, "provide_label:", it.provide_label)
    batch = next(it)
    print(batch)
    print("data:", batch.data[0], "label:", batch.label[0], "pad:", batch.pad)

    for handle in ("pad", "discard", "roll_over"):
        it = mx.io.NDArrayIter(data, label, batch_size=4, last_batch_handle=handle)
        show(f"last_batch_handle={handle!r}", it, epochs=2)

    show(
        "shuffled, each epoch a function of the seed",
        mx.io.NDArrayIter(data, label, batch_size=5, shuffle=True, seed=3),
        epochs=2,
    )

    several = {"image": np.zeros((10, 3, 8, 8)), "size": np.ones((10, 2))}
    it = mx.io.NDArrayIter(several, {"class": label, "weight": np.ones(10)}, batch_size=5)
    print("several sources:", it.provide_data, it.provide_label)

    inner = mx.io.NDArrayIter(data, label, batch_size=4)
    show("ResizeIter: an epoch of five batches", mx.io.ResizeIter(inner, 5))
    with mx.io.PrefetchingIter(mx.io.NDArrayIter(data, label, batch_size=4)) as it:
        show("PrefetchingIter: made ahead, on a thread", it)


if __name__ == "__main__":
    main()
