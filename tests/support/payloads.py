"""Payloads and image records that framing has to get right; plain Python, read by MXNet's too."""

MAGIC = bytes.fromhex("0a23d7ce")

PAYLOADS = [
    b"",
    b"a",
    b"ab",
    b"abc",
    b"abcd",
    b"abcde",
    MAGIC,
    MAGIC + b"x",
    b"abcd" + MAGIC + b"efg",
    MAGIC + MAGIC,
    b"abcd" + MAGIC + MAGIC + b"zz",
    *(bytes(shift) + MAGIC + b"tail" for shift in range(9)),
    *(b"x" * shift + MAGIC * 3 for shift in range(4)),
    MAGIC[:3],
    b"abcd" + MAGIC[:2],
    bytes(range(256)) * 20,
]

# label, id, id2, image bytes: the magic stands inside the 24-byte header as id and as id2
RECORDS = [
    (1.5, 7, 0, b"image"),
    ([1.0, 2.0, 3.0], 8, 9, b"image of three labels"),
    ([], 1, 0, b"no label"),
    ([4.0], 2, 0, b"one label in an array"),
    (True, 3, 0, b""),
    (0.0, 0xCED7230A, 0, b"magic as id"),
    (0.0, 0, 0xCED7230A, b"magic as id2"),
    ([[1.0, 2.0], [3.0, 4.0]], 5, 2**64 - 1, MAGIC * 2),
]
