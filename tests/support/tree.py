"""A small folder tree for im2rec; plain Python, read by MXNet's, too. Files hold a few bytes."""

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


def make_tree(root):
    """Write the tree under a folder."""
    for number, name in enumerate(FILES):
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes of " + name.encode() + bytes(number))
