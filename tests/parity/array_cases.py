"""One program for MXNet's Python and ours: what the iterators without pictures hand out.

``python array_cases.py FOLDER OUT`` writes a JSON of answers by name. An answer is a list of epochs
of batches [data, label, pad], or "error" from the epoch on where the library refused.
"""

# ruff: noqa: B023, UP031, UP032 -- functions made in loops are called at once; Python 3.6 runs this

import json
import os
import random
import struct
import sys

import numpy as np

HANDLES = ("pad", "discard", "roll_over")
SIZES = range(1, 26)
COUNTS = range(1, 21)


def batch_of(batch):
    arrays = [[a.asnumpy().tolist() for a in arrays] for arrays in (batch.data, batch.label)]
    return [*arrays, batch.pad]


def epochs_of(make, count=3):
    """Return some epochs; an epoch in which there was an error is "error", and the last one.

    MXNet's threads raise at whichever call comes next, so the batches before it do not count.
    """
    found = []
    try:
        it = make()
        for number in range(count):
            if number:
                it.reset()
            found.append([batch_of(batch) for batch in it])
    except Exception:  # noqa: BLE001 -- whichever error the library raises
        found.append("error")
    return found


def described(it):
    return [
        [d.name, list(d.shape), np.dtype(d.dtype).name] for d in it.provide_data + it.provide_label
    ]


def array_table(mx, count):
    """Answers for one number of rows, over all batch sizes, ways to end an epoch, and shuffling."""
    answers = {}
    for size in SIZES:
        for handle in HANDLES:
            for shuffled in (False, True):
                np.random.seed(100 * count + size)  # noqa: NPY002 -- what MXNet draws from
                answers["{} of {}, {}, {}".format(count, size, handle, shuffled)] = epochs_of(
                    lambda: mx.io.NDArrayIter(
                        np.arange(count),
                        np.arange(count) * 2,
                        batch_size=size,
                        last_batch_handle=handle,
                        shuffle=shuffled,
                    )
                )
    return answers


def array_inputs(mx):
    """Names, dtypes and values for the forms of input."""
    x = np.arange(6)
    typed = mx.nd.array(x, dtype="int32")
    forms = {
        "array": x,
        "float64": x * 0.1,
        "bool": x > 2,
        "list of one": [x],
        "list": [x, typed],
        "many": [x] * 12,
        "dict": {"b": x, "a": typed},
        "rows": [[1, 2], [3, 4], [5, 6]],
        "row": [[1, 2, 3]],
        "matrix": np.arange(12).reshape(6, 2),
    }
    answers = {}
    for name, form in forms.items():
        answers["described " + name] = described(mx.io.NDArrayIter(form, form, batch_size=4))
        answers["rows of " + name] = epochs_of(lambda: mx.io.NDArrayIter(form, batch_size=4), 1)
    for name, wrong in {
        "none": None,
        "empty": [],
        "no names": {},
        "tuple": (x,),
        "text": "a",
        "scalar": np.float32(1),
        "bad": {"a": "zz"},
    }.items():
        try:
            mx.io.NDArrayIter(wrong)
        except Exception as error:  # noqa: BLE001
            answers["refused " + name] = type(error).__name__
    return answers


def array_resets(mx):
    """What roll_over does at other places than the end."""
    answers = {}
    for steps in (1, 2, 3, 4):  # 4: the end is seen
        for ways in (["reset"], ["reset", "reset"], ["hard_reset"], ["reset", "hard_reset"]):
            it = mx.io.NDArrayIter(np.arange(10), batch_size=3, last_batch_handle="roll_over")
            for number, _ in enumerate(it, 1):
                if number == steps:
                    break
            for way in ways:
                getattr(it, way)()
            answers["reset %d %s" % (steps, ways)] = [batch_of(batch) for batch in it]
    return answers


def wrapped(mx):
    def inner(count=10, size=3):
        return mx.io.NDArrayIter(np.arange(count), np.arange(count), batch_size=size)

    answers = {}
    for size in (1, 3, 4, 7):
        for again in (True, False):
            answers["resize %d %s" % (size, again)] = epochs_of(
                lambda: mx.io.ResizeIter(inner(), size, again)
            )
    answers["prefetch"] = epochs_of(lambda: mx.io.PrefetchingIter(inner()))
    answers["prefetch two"] = epochs_of(lambda: mx.io.PrefetchingIter([inner(), inner()]))
    renamed = mx.io.PrefetchingIter(
        [inner(), inner()],
        [{"data": "a"}, {"data": "b"}],
        [{"softmax_label": "c"}, {"softmax_label": "d"}],
    )
    answers["prefetch renamed"] = described(renamed)
    try:
        list(mx.io.PrefetchingIter([inner(6), inner(9)]))
    except Exception as error:  # noqa: BLE001
        answers["prefetch mismatch"] = [type(error).__name__, str(error)]
    return answers


class Writer:
    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def __call__(self, text):
        self.count += 1
        path = os.path.join(self.folder, "%d.txt" % self.count)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path


CSV_TEXTS = {
    "plain": "1,2\n3,4\n",
    "breaks": "\n\n1,2\r\n\r3,4\r\r\n\n5,6",
    "mark": b"\xef\xbb\xbf1,2\n3,4",
    "tails": "1abc,2e\n3e+,.5\n-.5e1,5.\n+7,1.5.5\n",
    "spaces": " 1 ,\t2 \n\f3, 4\n",
    "trailing": "1,2,\n3,4,\n",
    "infinite": "inf,-INF\n+infinity,inf1\n",
    "long": "1,2,3\n",
    "short": "1\n",
    "gap": "1,\n",
    "header": "qq,zz\n1,2\n",
    "late": "1,2\n3,4\n5,6,7\n",
}


def csv(mx, write):
    def open_csv(path, **options):
        return mx.io.CSVIter(
            **dict({"data_csv": path, "data_shape": (2,), "batch_size": 1}, **options)
        )

    answers = {}
    for name, text in CSV_TEXTS.items():
        if name != "late":  # MXNet raises at whichever call finds its thread's error
            answers["csv " + name] = epochs_of(lambda: open_csv(write(text)), 1)
    whole = "1.9,0x10\n010,08\n-5,+6\n5000000000,-3000000000\n"
    whole += "99999999999999999999,-99999999999999999999\n"
    for dtype in ("int32", "int64"):
        answers["csv " + dtype] = epochs_of(lambda: open_csv(write(whole), dtype=dtype), 1)
    for dtype in ("float16", "float64", "uint8"):
        answers["csv " + dtype] = epochs_of(lambda: open_csv(write("1,2\n"), dtype=dtype), 1)
    answers["csv delimiter"] = epochs_of(lambda: open_csv(write("1;2\n3;4\n") + "?delimiter=;"), 1)
    answers["csv label_column"] = epochs_of(
        lambda: open_csv(write("1,2,9\n") + "?label_column=0"), 1
    )
    answers["csv files"] = epochs_of(lambda: open_csv(write("1,2\n3,4") + ";" + write("5,6\n")), 1)
    for rows in range(1, 10):
        text = write("".join("%d\n" % i for i in range(rows)))
        for size in range(1, 2 * rows + 1):
            answers["csv %d of %d" % (rows, size)] = epochs_of(
                lambda: open_csv(text, data_shape=(1,), batch_size=size),
                4,
            )
    labels = write("7,1\n8,1\n9,1\n")
    for shape in ((2,), (2, 1)):  # MXNet keeps one value only of (1, 2)
        it = open_csv(write("1,2\n3,4\n"), label_csv=labels, label_shape=shape, dtype="int64")
        answers["csv labels %s" % (shape,)] = [described(it), [batch_of(batch) for batch in it]]
    return answers


def decimals(mx, write):
    """Random numbers in the formats that programs write."""
    draw = random.Random(5)
    formats = ("%.6f", "%.3f", "%.9g", "%.18e", "%r", "%.0f")
    texts = [
        draw.choice(formats) % (draw.gauss(0, 1) * 10 ** draw.randrange(-6, 7)) for _ in range(4000)
    ]
    it = mx.io.CSVIter(data_csv=write("\n".join(texts)), data_shape=(1,), batch_size=4000)
    return {"decimals": next(it).data[0].asnumpy().ravel().tolist()}


def sparse(mx, write):
    def open_svm(path, **options):
        return mx.io.LibSVMIter(
            **dict({"data_libsvm": path, "data_shape": (3,), "batch_size": 1}, **options)
        )

    answers = {}
    texts = {
        "plain": "1 0:1.5 2:2\n0 1:3\n-1 2:0.25\n",
        "comments": "1 0:1.5 # 1:2\n\n# nothing\n2 1:1 2:5\n",
        "more": "2:0.5 qid:3 1:4 0:1\n1 0 : 1  2:3\n",
        "twice": "1 0:1.5 0:2\n",
        "negative": "1 -1:1  2:3\n",
    }
    for name, text in texts.items():
        answers["svm " + name] = epochs_of(lambda: open_svm(write(text)), 1)
    lines = ["%d 0:%d%s\n" % (i, i, " 1:2 2:3" * (i % 3)) for i in range(13)]
    path = write("".join(lines))
    for size in (1, 2, 4, 5, 13, 20):
        answers["svm batch %d" % size] = epochs_of(lambda: open_svm(path, batch_size=size), 4)
    for parts in range(1, 8):
        for part in range(parts):
            answers["svm part %d of %d" % (part, parts)] = epochs_of(
                lambda: open_svm(path, num_parts=parts, part_index=part),
                1,
            )
    labels = write("0 1:5\n0 0:3 2:4\n0 0:1\n")
    answers["svm labels"] = epochs_of(
        lambda: open_svm(write(texts["plain"]), label_libsvm=labels, label_shape=(3,)), 1
    )
    for name, wrong in {
        "rounding": {"round_batch": False},
        "width": {"label_shape": (2,)},
        "type": {"dtype": "int32"},
    }.items():
        answers["svm " + name] = epochs_of(lambda: open_svm(path, **wrong), 1)
    return answers


def mnist(mx, write):
    answers = {}
    for count in (1, 2, 10, 37):
        image = write(
            struct.pack(">4I", 0x803, count, 2, 3)
            + bytes(bytearray((i * 7) % 256 for i in range(count * 6)))
        )
        label = write(struct.pack(">2I", 0x801, count) + bytes(bytearray(range(count))))
        options = {"image": image, "label": label, "silent": True}
        for seed in (-1, 0, 4, 2**31 - 1):
            answers["mnist %d seed %d" % (count, seed)] = epochs_of(
                lambda: mx.io.MNISTIter(batch_size=1, seed=seed, **options),
                2,
            )
        for parts in (2, 3, 7):
            for part in range(parts):
                if int(count / parts * part) < int(count / parts * (part + 1)):
                    answers["mnist %d part %d of %d" % (count, part, parts)] = epochs_of(
                        lambda: mx.io.MNISTIter(
                            batch_size=1, num_parts=parts, part_index=part, **options
                        ),
                        1,
                    )
    options["batch_size"] = 5
    for flat in (True, False):
        it = mx.io.MNISTIter(flat=flat, **options)
        answers["mnist flat %s" % flat] = [described(it), [batch_of(batch) for batch in it]]
    return answers


def results(mx, folder):
    """Return every answer by its name."""
    write = Writer(folder)
    answers = {}
    for count in COUNTS:
        answers.update(array_table(mx, count))
    for part in (
        array_inputs(mx),
        array_resets(mx),
        wrapped(mx),
        csv(mx, write),
        decimals(mx, write),
        sparse(mx, write),
        mnist(mx, write),
    ):
        answers.update(part)
    return answers


def main():
    import mxnet

    folder, out = sys.argv[1:]
    with open(out, "w") as file:
        json.dump(results(mxnet, folder), file)
    os._exit(0)  # MXNet's threads may abort while they are taken down


if __name__ == "__main__":
    main()
