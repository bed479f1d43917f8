"""Run MXNet's iterators on command: the other side of `oracle.py`, run by MXNet's own Python.

A job is one line of JSON on stdin: ``{"iterator": name in mx.io, "options": {...}, "epochs": int,
"batches": int or null, "out": path}``. The answer is one line of JSON: ``{"ok": true}`` when the
arrays are in ``out`` (.npz), ``{"error": text}`` when MXNet refused. ``{"versions": ...}`` comes
first, unasked. Works with Python 3.6 and NumPy 1.17, on which MXNet 1.9.1 runs.
"""

import json
import os
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")
if not hasattr(np, "bool"):
    np.bool = bool  # MXNet 1.9.1 names the alias that NumPy 1.24 dropped


def run(mx, job):
    """Iterate; save data, label, pad of all batches, and the number of batches of each epoch."""
    it = getattr(mx.io, job["iterator"])(**job["options"])
    data, label, pad, counts = [], [], [], []
    for epoch in range(job["epochs"]):
        if epoch:
            it.reset()
        count = 0
        while job["batches"] is None or count < job["batches"]:
            try:
                batch = it.next()
            except StopIteration:
                break
            # copies: MXNet overwrites a batch a few calls later
            data.append(batch.data[0].asnumpy().copy())
            label.append(batch.label[0].asnumpy().copy())
            pad.append(batch.pad)
            count += 1
        counts.append(count)
    del it
    np.savez(
        job["out"],
        data=np.stack(data) if data else np.zeros(0, np.float32),
        label=np.stack(label) if label else np.zeros(0, np.float32),
        pad=np.array(pad, np.int64),
        counts=np.array(counts, np.int64),
    )


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MXNet prints must not mix with the answers
    import mxnet as mx

    def answer(**fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    answer(versions={"mxnet": mx.__version__, "numpy": np.__version__})
    for line in sys.stdin:
        try:
            run(mx, json.loads(line))
        except Exception as error:  # noqa: BLE001 -- whatever MXNet says belongs to the job
            answer(error=f"{type(error).__name__}: {error}")
        else:
            answer(ok=True)


if __name__ == "__main__":
    main()
