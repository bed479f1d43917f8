"""A small folder tree for im2rec; plain Python, read by MXNet's, too. Files are PNGs of a pixel."""

import struct
import zlib
from pathlib import Path

FILES = [
    "top.jpg",
    "a/1.jpg",
    "a/10.JPG",
    "a/2.png",
    "a/notes.txt",
    "a/inner/x.jpeg",
    "b/empty/.keep",
    "b/y.jpeg",
    "c/z.jpg",
    "c/w.jpg",
    "c/v.jpg",
]

# name of the list files it writes: im2rec's arguments
LISTS = {
    "plain": ["--recursive"],
    "ordered": ["--recursive", "--no-shuffle"],
    "flat": [],
    "chunks": ["--recursive", "--chunks", "3"],
    "split": ["--recursive", "--train-ratio", "0.6", "--test-ratio", "0.2"],
    "half": ["--recursive", "--train-ratio", "0.5", "--test-ratio", "0.5"],
    "exts": ["--recursive", "--exts", ".png", ".txt"],
}

MULTI = "0\t1\t2.5\ta/1.jpg\n7\t3\t4\tc/z.jpg\n2\t5\t6\ta/2.png\n"


def pixel(value):
    """A PNG of one gray pixel, in stored blocks: the same bytes from every zlib."""
    rows = b"\0" + bytes([value])
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", stored + struct.pack(">I", zlib.adler32(rows))),
        (b"IEND", b""),
    ):
        made += struct.pack(">I", len(data)) + kind + data
        made += struct.pack(">I", zlib.crc32(kind + data))
    return made


def make_tree(root):
    """Write the tree under a folder."""
    for number, name in enumerate(FILES):
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pixel(number))
