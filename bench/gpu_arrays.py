"""Copy each array that is handed out on a GPU at once, and count those that were not complete.

    python bench/gpu_arrays.py --out results.json
    python bench/gpu_arrays.py --toy --cpu

`nd.array` of one small and one large array, and `NDArrayIter`'s batches, each compared with its
source after a copy on the default stream that nothing but gpuio orders. With --cpu the same on the
host.
"""

from __future__ import annotations

import argparse

import numpy as np
from gpu_data import save

_LARGE, _SMALL, _TOY = 1 << 25, 1 << 8, 1 << 12  # values of float32


def copied(array, cpu):
    """Copy on the default stream, at once; return it on the host."""
    if cpu:
        return np.array(array.asnumpy())
    import cupy

    with cupy.cuda.Stream.null:
        taken = cupy.empty(array.shape, array.dtype)
        taken.data.copy_from_device_async(array.data, array.nbytes)
        return taken.get()


def wrong(made, cpu):
    """Return how many of (array, what it has to be) were not complete, and how many there were."""
    count = bad = 0
    for array, expected in made:
        count += 1
        bad += not np.array_equal(copied(array, cpu), expected)
    return {"arrays": count, "wrong": bad}


def of_nd(values, rounds, cpu):
    """Yield arrays that `nd.array` put there."""
    from gpuio import nd
    from gpuio.context import Context

    there = Context("cpu" if cpu else "gpu", 0)
    for number in range(rounds):
        source = np.full(values, number + 1, np.float32)
        yield nd.array(source, ctx=there), source


def of_iterator(values, rounds, cpu):
    """Yield the batches of an NDArrayIter."""
    from gpuio.io import NDArrayIter

    rows = values // 64
    data = np.random.default_rng(1).random((rounds * rows, 64), np.float32)
    batches = NDArrayIter(data, batch_size=rows, ctx="cpu" if cpu else "gpu")
    for number, batch in enumerate(batches):
        yield batch.data[0], data[number * rows : (number + 1) * rows]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="on the host")
    parser.add_argument("--toy", action="store_true", help="small arrays")
    parser.add_argument("--images", "--faces", help="not needed")
    parser.add_argument("--out", help="JSON file, written after every part")
    args = parser.parse_args(argv)
    large, rounds = (_TOY, 3) if args.toy else (_LARGE, 8)
    parts = {
        "nd.array, small": lambda: of_nd(_SMALL, rounds, args.cpu),
        "nd.array, large": lambda: of_nd(large, rounds, args.cpu),
        "NDArrayIter": lambda: of_iterator(large // 16, rounds, args.cpu),
    }
    result = {"question": __doc__.splitlines()[0], "results": {}}
    save(args.out, result)
    for name, made in parts.items():
        try:
            found = wrong(made(), args.cpu)
        except Exception as error:  # noqa: BLE001 -- the others still count
            found = {"failed": f"{type(error).__name__}: {error}"[:400]}
        result["results"][name] = found
        save(args.out, result)
        print(f"{name}: {found}", flush=True)
    return result


if __name__ == "__main__":
    main()
