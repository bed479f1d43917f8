"""Every public function that returns a GPU's array: how to call it, by the name users write."""

import inspect
import pickle
import struct

import numpy as np

import gpuio as mx
from support.making import write_rec
from support.pictures import jpeg, picture

__all__ = ["MAKERS", "asks_for_a_context", "write"]

VALUES = np.random.default_rng(5).integers(1, 250, (6, 2000)).astype(np.float32)
HOSTS_ONLY = {
    "gpuio.Context",
    "gpuio.io.LibSVMIter",  # sparse batches stay on the host
    "gpuio.nd.sparse.csr_matrix",
    "gpuio.nd.random.seed",
    "gpuio.nd.empty",  # of unset values
    "gpuio.nd.described",
}


def write(folder):
    """Write the files that iterators read; return the folder."""
    np.savetxt(folder / "some.csv", VALUES[:, :20], "%d", ",")
    images = VALUES.astype(np.uint8)[:, :784].reshape(6, 28, 28)
    (folder / "images").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
    (folder / "labels").write_bytes(struct.pack(">2i", 2049, 6) + bytes(range(1, 7)))
    blobs = [jpeg(picture(40, 44, seed=k)) for k in range(6)]
    (folder / "pairs.bin").write_bytes(pickle.dumps((blobs, [True, False, True])))
    write_rec(folder, blobs, [k + 1.0 for k in range(6)])
    write_rec(folder, blobs, [[2, 5, k, 0.1, 0.1, 0.8, 0.9] for k in range(6)], "boxes")
    return folder


def _drawn(name, *args, **options):
    mx.random.seed(7)
    return [getattr(mx.nd.random, name)(*args, **options)]


def _default(ctx):
    with ctx:
        return [mx.nd.ones((6, 500)), mx.nd.array(VALUES)]


def _drawn_into(ctx):
    mx.random.seed(3)
    out = mx.nd.zeros((2000,), ctx)
    return [mx.nd.random.uniform(1, 2, out=out)]


def _epoch(it):
    with it:
        return [array for batch in it for array in (*batch.data, *batch.label)]


def _records(kind, name, folder, ctx):
    files = {"path_imgrec": str(folder / f"{name}.rec"), "path_imgidx": str(folder / f"{name}.idx")}
    return _epoch(
        kind(**files, data_shape=(3, 32, 32), batch_size=2, verbose=False, ctx=ctx.device_type)
    )


MAKERS = {
    "nd.array": lambda ctx, _: [mx.nd.array(VALUES, ctx)],
    "nd.array of a device's": lambda ctx, _: [mx.nd.array(mx.nd.array(VALUES, ctx), ctx)],
    "nd.zeros": lambda ctx, _: [mx.nd.zeros((6, 500), ctx)],
    "nd.ones": lambda ctx, _: [mx.nd.ones((6, 500), ctx)],
    "nd.full": lambda ctx, _: [mx.nd.full((6, 500), 3, ctx)],
    "nd.arange": lambda ctx, _: [mx.nd.arange(1, 2000, ctx=ctx)],
    "nd.random.uniform": lambda ctx, _: _drawn("uniform", 1, 2, (2000,), ctx=ctx),
    "nd.random.normal": lambda ctx, _: _drawn("normal", 1, 2, (2000,), ctx=ctx),
    "nd.random.randint": lambda ctx, _: _drawn("randint", 1, 9, (2000,), ctx=ctx),
    "a context of a with": lambda ctx, _: _default(ctx),
    "NDArray.as_in_context": lambda ctx, _: [mx.nd.array(VALUES).as_in_context(ctx)],
    "NDArray.copyto": lambda ctx, _: [mx.nd.array(VALUES).copyto(ctx)],
    "a device array's copyto": lambda ctx, _: [mx.nd.array(VALUES, ctx).copyto(ctx)],
    "gluon.utils.split_and_load": lambda ctx, _: mx.gluon.utils.split_and_load(VALUES, [ctx, ctx]),
    "io.NDArrayIter": lambda ctx, _: _epoch(mx.io.NDArrayIter(VALUES, VALUES[:, 0], 2, ctx=ctx)),
    "io.CSVIter": lambda ctx, folder: _epoch(
        mx.io.CSVIter(data_csv=str(folder / "some.csv"), data_shape=(20,), batch_size=2, ctx=ctx)
    ),
    "io.MNISTIter": lambda ctx, folder: _epoch(
        mx.io.MNISTIter(
            image=str(folder / "images"),
            label=str(folder / "labels"),
            batch_size=2,
            silent=True,
            ctx=ctx,
        )
    ),
    "io.VerificationPairIter": lambda ctx, folder: _epoch(
        mx.io.VerificationPairIter(
            path_pairs=str(folder / "pairs.bin"),
            data_shape=(3, 40, 44),
            batch_size=2,
            ctx=ctx,
        )
    ),
    "io.ImageRecordIter": lambda ctx, folder: _records(mx.io.ImageRecordIter, "data", folder, ctx),
    "io.ImageRecordUInt8Iter": lambda ctx, folder: _records(
        mx.io.ImageRecordUInt8Iter, "data", folder, ctx
    ),
    "io.ImageRecordInt8Iter": lambda ctx, folder: _records(
        mx.io.ImageRecordInt8Iter, "data", folder, ctx
    ),
    "io.ImageDetRecordIter": lambda ctx, folder: _records(
        mx.io.ImageDetRecordIter, "boxes", folder, ctx
    ),
}


def asks_for_a_context():
    """Return the public functions and classes that are told a context, less those of the host."""
    modules = {
        "gpuio": mx,
        "gpuio.nd": mx.nd,
        "gpuio.nd.random": mx.nd.random,
        "gpuio.nd.sparse": mx.nd.sparse,
        "gpuio.io": mx.io,
        "gpuio.image": mx.image,
        "gpuio.random": mx.random,
        "gpuio.gluon.utils": mx.gluon.utils,
        "gpuio.gluon.data": mx.gluon.data,
        "gpuio.recordio": mx.recordio,
        "gpuio.test_utils": mx.test_utils,
    }
    found = {}
    for name, module in modules.items():
        for public in module.__all__:
            value = getattr(module, public)
            if not callable(value):
                continue
            try:
                takes = inspect.signature(value).parameters
            except ValueError:
                continue
            if {"ctx", "context", "ctx_list", "device_type"} & set(takes):
                found.setdefault(value, f"{name}.{public}")
    return set(found.values()) - HOSTS_ONLY
