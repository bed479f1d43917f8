"""Small files that claim, or hide, far more pixels than they hold; run as a program it reads them.

The program reads a record file of bombs with little address space left and prints what became of
each, how much its memory grew and how long it took, as JSON.
"""

import json
import re
import resource
import struct
import sys
import threading
import time
from pathlib import Path

SIDE = 12336  # of several well-known bombs: 152 megapixels, 457 MB as R, G, B


def tiff(entries, big=False):
    """A little-endian TIFF of one directory: (tag, type, value) each, and some bytes behind it."""
    if big:
        head = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(entries))
        body = b"".join(struct.pack("<HHQQ", tag, kind, 1, value) for tag, kind, value in entries)
        return head + body + bytes(8 + 64)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return head + body + bytes(4 + 64)


def image_entries(width, height, *more):
    """Directory entries of an uncompressed RGB image whose strip lies in the directory's bytes."""
    return sorted(
        [
            (256, 4, width),
            (257, 4, height),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 2),
            (273, 4, 8),
            (277, 3, 3),
            (279, 4, 64),
            *more,
        ]
    )


def siz(width, height, components=3):
    """The start of a JPEG 2000 codestream."""
    size = struct.pack(">HIIIIIIII", 0, width, height, 0, 0, width, height, 0, 0)
    rest = size + struct.pack(">H", components) + bytes([7, 1, 1]) * components
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(rest) + 2) + rest


def jp2(width, height, codestream):
    header = struct.pack(">I4sIIHBBBB", 22, b"ihdr", height, width, 3, 7, 7, 0, 0)
    colour = struct.pack(">I4sBBBI", 15, b"colr", 1, 0, 0, 16)
    both = struct.pack(">I4s", 8 + len(header) + len(colour), b"jp2h") + header + colour
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 20, b"ftyp") + b"jp2 \0\0\0\0jp2 "
    return start + both + struct.pack(">I4s", 0, b"jp2c") + codestream + bytes(50)


def webp(kind, body):
    padded = body + bytes(len(body) % 2)
    chunk = kind + struct.pack("<I", len(body)) + padded
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def bombs():
    """Return a dict of name to bytes; every one must be refused by its header."""
    from support.coding import frame, png_header, segment

    side = struct.pack("<HH", SIDE, SIDE)
    canvas = (SIDE - 1).to_bytes(3, "little")
    packed = (SIDE - 1) | (SIDE - 1) << 14
    big = image_entries(SIDE, SIDE)
    small = image_entries(8, 8)
    return {
        "png": png_header(SIDE, SIDE) + bytes(100),
        "png of 2^31": png_header(2**31 - 1, 2**31 - 1) + bytes(100),
        "png of a long chunk": png_header(8, 8) + struct.pack(">I", 3 << 30) + b"IDAT" + bytes(99),
        "jpeg": b"\xff\xd8" + frame(0xC0, SIDE, SIDE, components=3) + bytes(100),
        "jpeg of 35584x18696": b"\xff\xd8" + frame(0xC2, 35584, 18696, components=3) + bytes(100),
        # a stuffed byte is no marker: what stands behind it is not skipped, and is the frame
        "jpeg behind a stuffed byte": b"\xff\xd8\xff\0\0\x20"
        + frame(0xC0, SIDE, SIDE, components=3)
        + bytes(9)
        + frame(0xC0, 8, 8, components=3)
        + bytes(100),
        "jpeg behind a preview": b"\xff\xd8"
        + segment(0xE1, b"Exif\0\0" + b"\xff\xd8" + frame(0xC0, 8, 8))
        + frame(0xC0, SIDE, SIDE)
        + bytes(100),
        "gif": b"GIF89a" + side + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + side + bytes(60),
        "bmp": b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, SIDE, SIDE, 1, 24) + bytes(100),
        "bmp upside down": b"BM"
        + bytes(8)
        + struct.pack("<IIiiHH", 54, 40, SIDE, -(2**31), 1, 24)
        + bytes(100),
        "webp": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + side + bytes(60)),
        "webp lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", packed) + bytes(60)),
        "webp canvas": webp(b"VP8X", bytes(4) + canvas + canvas),
        "tiff": tiff(big),
        "tiff big": tiff(image_entries(SIDE, SIDE), big=True),
        "tiff with a tag twice": tiff(image_entries(8, 8, (256, 4, SIDE), (257, 4, SIDE))),
        "tiff tiles": tiff(
            [e for e in small if e[0] not in (273, 279)]
            + [(322, 4, 16384), (323, 4, 16384), (324, 4, 8), (325, 4, 64)]
        ),
        "ppm": b"P6 %d %d 255\n" % (SIDE, SIDE) + bytes(100),
        "ppm behind a comment": b"P6#\r%d %d 255\n8 8 255\n" % (SIDE, SIDE) + bytes(100),
        "pbm": b"P4\n%d %d\n" % (10 * SIDE, 10 * SIDE) + bytes(100),
        "jpeg 2000": siz(SIDE, SIDE) + bytes(100),
        "jpeg 2000 file": jp2(SIDE, SIDE, siz(SIDE, SIDE)),
        "jpeg 2000 file with a small box": jp2(8, 8, siz(SIDE, SIDE)),
        "jpeg 2000 of 16384 components": siz(7000, 7000, 16384) + bytes(100),
    }


def resident():
    """MiB of memory the process holds, and has held at most; getrusage counts its parent's."""
    told = Path("/proc/self/status").read_text()
    now, peak = (re.findall(rf"{name}:\s+(\d+) kB", told)[0] for name in ("VmRSS", "VmHWM"))
    return int(now) / 1024, int(peak) / 1024


def limit_address_space():
    """Leave 300 MiB more, of which a thread takes one.

    With MALLOC_ARENA_MAX=1, which belongs to it: else each takes 8 MiB, and 64 for what it
    allocates, and few that are slow to end are too many.
    """
    threading.stack_size(1 << 20)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))


def main(rec, out):
    import cv2  # noqa: F401 -- what it loads is not to be counted

    import gpuio as mx

    options = {"data_shape": (3, 8, 8), "batch_size": 1, "ctx": "cpu", "preprocess_threads": 1}
    with mx.io.ImageRecordIter(
        path_imgrec=rec, on_error="zero", max_bad=1000, verbose=False, **options
    ) as it:
        it.next()  # a good record: threads, kernels and buffers are there
        before, begun = resident(), time.process_time()
        limit_address_space()
        for _ in it:
            pass
        failed = {each["key"]: each["reason"] for each in it.stats()["failed_records"]}
    Path(out).write_text(
        json.dumps(
            {
                "failed": failed,
                "grown": resident()[1] - before[1],
                "seconds": time.process_time() - begun,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
