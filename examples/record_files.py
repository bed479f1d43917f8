"""Write and read record files: plain ones, indexed ones, and records that hold images.

python examples/record_files.py --out FOLDER
"""

import argparse
from pathlib import Path

import numpy as np

import gpuio as mx


def plain(path):
    with mx.recordio.MXRecordIO(path, "w") as writer:
        for number in range(5):
            writer.write(f"record {number}".encode())
    with mx.recordio.MXRecordIO(path, "r") as reader:
        while (record := reader.read()) is not None:
            print(" ", record)


def indexed(index, path):
    with mx.recordio.MXIndexedRecordIO(index, path, "w") as writer:
        for key in range(5):
            writer.write_idx(key, f"record {key}".encode())
    with mx.recordio.MXIndexedRecordIO(index, path, "r") as reader:
        print("  keys:", reader.keys, "the fourth:", reader.read_idx(3))


def labelled():
    one = mx.recordio.pack(mx.recordio.IRHeader(0, 4.0, 2574, 0), b"some bytes")
    print(" ", mx.recordio.unpack(one))
    several = mx.recordio.pack(mx.recordio.IRHeader(0, [1.0, 2.0, 3.0], 2575, 0), b"others")
    print(" ", mx.recordio.unpack(several))


def images(index, path):
    rows, columns = np.mgrid[:48, :64]
    pictures = [
        np.stack([rows * 5, columns * 4, np.full_like(rows, 50 * n)], axis=2).astype(np.uint8)
        for n in range(4)
    ]
    with mx.recordio.MXIndexedRecordIO(index, path, "w") as writer:
        for key, picture in enumerate(pictures):
            header = mx.recordio.IRHeader(0, float(key), key, 0)
            writer.write_idx(key, mx.recordio.pack_img(header, picture, quality=95))
    with mx.recordio.MXIndexedRecordIO(index, path, "r") as reader:
        header, picture = mx.recordio.unpack_img(reader.read_idx(2))
    worst = np.abs(picture.astype(int) - pictures[2]).max()
    print(f"  label {header.label}, {picture.shape}; JPEG changed no value by more than {worst}")


def main(argv=None):
    parser = argparse.ArgumentParser(description="Write and read record files.")
    parser.add_argument("--out", default="examples-out", help="folder for the files")
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)
    print("one record after the other")
    plain(str(out / "plain.rec"))
    print("by key")
    indexed(str(out / "indexed.idx"), str(out / "indexed.rec"))
    print("with labels")
    labelled()
    print("with images")
    images(str(out / "images.idx"), str(out / "images.rec"))


if __name__ == "__main__":
    main()
