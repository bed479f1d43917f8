"""Write images byte by byte: those that no library at hand writes, and small files that lie."""

import struct
import zlib

import numpy as np

PNG_MARK = b"\x89PNG\r\n\x1a\n"


def chunk(kind, body):
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height, bits=8, color=2, interlace=0):
    return PNG_MARK + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    )


def interlaced_png(pixels):
    """An Adam7 PNG of R, G, B pixels, no filter."""
    height, width = pixels.shape[:2]
    data = b""
    for y, x, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = pixels[y::down, x::right]
        if part.size:
            data += b"".join(b"\0" + row.tobytes() for row in part)
    return (
        png_header(width, height, interlace=1)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def segment(marker, body):
    """A JPEG marker segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def frame(marker, width, height, bits=8, components=1):
    """A JPEG frame header without subsampling."""
    body = struct.pack(">BHHB", bits, height, width, components)
    return segment(marker, body + b"".join(bytes([c + 1, 0x11, 0]) for c in range(components)))


def lossless_jpeg(gray, marker=0xC3, bits=8):
    """A lossless JPEG (first predictor) of a gray image, its differences in one flat code."""
    height, width = gray.shape
    # 17 categories of difference: a code of 5 bits each
    table = segment(0xC4, b"\0" + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17)))
    values = gray.astype(int)
    before = np.zeros_like(values)
    before[:, 1:] = values[:, :-1]
    before[1:, 0] = values[:-1, 0]
    before[0, 0] = 1 << (bits - 1)
    text = []
    for difference in (values - before).reshape(-1).tolist():
        size = abs(difference).bit_length()
        text.append(format(size, "05b"))
        if size:
            text.append(
                format(difference if difference > 0 else difference + (1 << size) - 1, f"0{size}b")
            )
    joined = "".join(text)
    joined += "1" * (-len(joined) % 8)
    data = int(joined, 2).to_bytes(len(joined) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
    return b"\xff\xd8" + frame(marker, width, height, bits) + table + scan + data + b"\xff\xd9"


def exif(jpeg, orientation):
    """Put an EXIF segment that states an orientation in front of a JPEG's others."""
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">HHI", orientation, 0, 0)
    return jpeg[:2] + segment(0xE1, body) + jpeg[2:]


def upright(image, orientation):
    """What a viewer shows of pixels stored with an EXIF orientation."""
    turned = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90,
    }
    return turned[orientation](image)
