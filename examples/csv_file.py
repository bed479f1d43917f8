"""Write numbers to a CSV file and iterate over them.

python examples/csv_file.py --out FOLDER
"""

import argparse
from pathlib import Path

import numpy as np

import gpuio as mx


def main(argv=None):
    parser = argparse.ArgumentParser(description="Iterate over the rows of a CSV file.")
    parser.add_argument("--out", default="examples-out", help="folder for the CSV files")
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)

    data = np.random.default_rng(0).random((100, 6), np.float32)
    label = data.argmax(axis=1)
    np.savetxt(out / "data.csv", data, delimiter=",")
    np.savetxt(out / "label.csv", label, delimiter=",", fmt="%d")

    it = mx.io.CSVIter(
        data_csv=str(out / "data.csv"),
        data_shape=(2, 3),  # a row of six numbers becomes a matrix
        label_csv=str(out / "label.csv"),
        batch_size=30,
    )
    for number, batch in enumerate(it):
        print(f"batch {number}:", batch.data[0].shape, batch.label[0].shape, "pad", batch.pad)

    it.reset()  # the next epoch begins behind the rows that filled the last batch
    first = next(it)
    assert np.array_equal(first.data[0].asnumpy().reshape(-1, 6), data[20:50])
    print("the next epoch begins at row", int(first.index[0]))
    it.close()


if __name__ == "__main__":
    main()
