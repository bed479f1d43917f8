"""What mx.nd makes of random arrays: the same calls on MXNet 1.9.1 and on gpuio.

`python nd_cases.py OUT` writes MXNet's answers, by MXNet's own Python (3.6 and newer). An answer
is [dtype, shape, values], a list of such, or "error".
"""

import json
import sys

import numpy as np

SHAPES = [(1,), (5,), (2, 3), (3, 4, 2), (1, 2, 1, 3)]
CODES = [(-1,), (0, -1), (-2,), (-3, -2), (0, -3), (-1, 0), (-4, 1, -1, -2), (-2, 1, 1), (0, 0)]
KEYS = [0, -1, slice(None), slice(1, 3), slice(None, None, 2), slice(None, None, -1), Ellipsis]
KEYS += [(slice(None), 0), (0, slice(None)), (slice(0, 1), slice(1, 3)), (slice(1, 3), slice(None))]
KEYS += [(slice(0, 2), slice(0, 2)), (Ellipsis, 0), (0, 0), (None, 0), ([0, 2],), (1, slice(1, 3))]
KEYS += [(0, slice(None, None, -1)), (slice(2, 3), slice(None, None, 2)), (0, slice(0, 1, 5))]


def answer(made):
    """Return a result as JSON has it; one number is an array of one, as in MXNet."""
    if isinstance(made, (list, tuple)):
        return [answer(one) for one in made]
    if not hasattr(made, "asnumpy"):
        return made
    values = np.atleast_1d(made.asnumpy())
    return [values.dtype.name, list(values.shape), values.astype(np.float64).ravel().tolist()]


def calls(nd, a, axes):
    """Yield (name, function) of calls on an array."""
    for axis in axes:
        for keep in (False, True):
            for name in ("sum", "mean", "max", "min", "norm", "argmax", "argmin"):
                if name.startswith("arg") and isinstance(axis, tuple):
                    continue
                options = {"axis": axis, "keepdims": keep}
                yield f"{name} {options}", lambda n=name, o=options: getattr(nd, n)(a, **o)
                yield f".{name} {options}", lambda n=name, o=options: getattr(a, n)(**o)
        for name in ("sum", "max"):
            yield (
                f"{name} but {axis}",
                lambda n=name, x=axis: getattr(nd, n)(a, axis=x, exclude=True),
            )
        if isinstance(axis, tuple):
            continue
        for up in (True, False):
            yield f"sort {axis} {up}", lambda x=axis, u=up: a.sort(axis=x, is_ascend=u)
            yield f"argsort {axis} {up}", lambda x=axis, u=up: nd.argsort(a, axis=x, is_ascend=u)
        if axis is None:
            continue
        for mode in ("clip", "wrap"):
            for index in ([0, 0], [5, -7], [[0, -1]], [0.9]):
                named = nd.array(index)
                yield (
                    f"take {index} {axis} {mode}",
                    lambda i=named, x=axis, m=mode: a.take(i, axis=x, mode=m),
                )
        count = a.shape[axis]
        yield f"split {axis}", lambda x=axis, n=count: nd.split(a, num_outputs=n, axis=x)
        yield f"expand_dims {axis}", lambda x=axis: nd.expand_dims(a, axis=x)
        yield f"concat {axis}", lambda x=axis: nd.concat(a, a, dim=x)
        yield f"stack {axis}", lambda x=axis: nd.stack(a, a, axis=x)
        yield f"slice_axis {axis}", lambda x=axis: nd.slice_axis(a, axis=x, begin=-1, end=None)
        yield f"slice_axis {axis} all", lambda x=axis, n=count: nd.slice_axis(a, x, 0, n)
        yield f"slice_axis {axis} far", lambda x=axis, n=count: nd.slice_axis(a, x, 0, n + 1)
    for name in ("exp", "abs", "square", "zeros_like", "ones_like", "flatten", "transpose"):
        yield name, lambda n=name: getattr(nd, n)(a)
    yield "sqrt", lambda: nd.sqrt(nd.abs(a))
    yield "log", lambda: nd.log(nd.abs(a) + 1)
    yield "clip", lambda: nd.clip(a, -1, 1.5)
    yield "tile", lambda: nd.tile(a, reps=(2, 1))
    yield "repeat", lambda: nd.repeat(a, repeats=2)
    yield "where", lambda: nd.where(a > 0, a, a * 2)
    yield "where rows", lambda: nd.where(nd.array([1, 0, 1, 0, 1][: a.shape[0]]), a, a + a)
    yield "one_hot", lambda: nd.one_hot(a, 4)
    yield "cast", lambda: nd.cast(nd.abs(a), "uint8")
    yield "squeeze", lambda: nd.squeeze(a)
    for codes in CODES:
        if len(codes) <= len(a.shape):
            yield f"reshape {codes}", lambda c=codes: a.reshape(c)


def shared(nd, key):
    """Return the shape of what an index names, and whether writing there writes into the array."""
    whole = nd.zeros((3, 4, 5))
    part = whole[key]
    part[:] = 1
    return [list(part.shape), bool(whole.asnumpy().any())]


def results(mx):
    """Return {case: answer}."""
    found = {}

    def note(name, call):
        try:
            found[name] = answer(call())
        except Exception:  # noqa: BLE001 -- whatever MXNet raises
            found[name] = "error"

    draw = np.random.RandomState(5)
    for dtype in ("float32", "float64"):
        for shape in SHAPES:
            a = mx.nd.array(draw.randn(*shape) * 3, dtype=dtype)
            axes = [None, 0, -1] + ([1, (0, 1), (-1, 0)] if len(shape) > 1 else [])
            for name, call in calls(mx.nd, a, axes):
                note(f"{dtype} {shape} {name}", call)
    for key in KEYS:
        note(f"index {key}", lambda k=key: shared(mx.nd, k))
    for seed in (0, 128, -3):
        mx.random.seed(seed)
        random = mx.nd.random
        note(f"seed {seed} uniform", lambda r=random: r.uniform(-2, 3.5, shape=(7, 100)))
        note(f"seed {seed} more", lambda r=random: r.uniform(0, 255, shape=(80, 900)))
        note(f"seed {seed} float64", lambda r=random: r.uniform(shape=130, dtype="float64"))
        note(f"seed {seed} randint", lambda r=random: r.randint(0, 1000, shape=(200,)))
        note(f"seed {seed} normal", lambda r=random: r.normal(2, 3, shape=(20, 50)))
        note(f"seed {seed} after it", lambda r=random: r.uniform(shape=70))
    return found


if __name__ == "__main__":
    if not hasattr(np, "bool"):
        np.bool = bool  # MXNet 1.9.1 names the alias that NumPy 1.24 dropped
    import mxnet

    with open(sys.argv[1], "w") as out:
        json.dump(results(mxnet), out)
