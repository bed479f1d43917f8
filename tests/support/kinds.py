"""One small picture in every kind of file, and the pixels that each must give.

All are 40 x 56 when upright. What is expected comes from the picture itself, from Pillow (whose
libraries are not OpenCV's), or from a formula; never from OpenCV.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from support.coding import chunk, exif, frame, interlaced_png, lossless_jpeg, png_header, upright
from support.making import jpeg, photo

HEIGHT, WIDTH = 40, 56
MADE = Path(__file__).parents[1] / "data" / "decode"

RGB = np.ascontiguousarray(photo(HEIGHT, WIDTH)[:, :, ::-1])
ALPHA = np.tile(np.arange(WIDTH, dtype=np.uint8) * 4, (HEIGHT, 1))
GRAY = RGB[:, :, 1].copy()
BITS = np.where(GRAY > 127, 255, 0).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
CLEAR = Image.fromarray(np.dstack([RGB, ALPHA]), "RGBA")
TURNED = Image.fromarray(RGB[::-1, ::-1].copy())


def saved(image, kind, *, more=(), **options):
    """Encode an image, and behind it more of them; copies: saving leaves settings behind."""
    out = io.BytesIO()
    if more:
        options |= {"save_all": True, "append_images": [each.copy() for each in more]}
    image.copy().save(out, kind, **options)
    return out.getvalue()


def by_pillow(blob):
    """R, G, B pixels of the first frame, alpha dropped, EXIF orientation applied to JPEG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(blob))
        if image.format in ("JPEG", "MPO"):
            image = ImageOps.exif_transpose(image)
        return np.asarray(image.convert("RGB"))


def gray3(values):
    return np.repeat(values[:, :, None], 3, axis=2)


def by_opencvs_cmyk_rule(blob):
    """OpenCV's and MXNet's conversion of Adobe's inverted CMYK, from Pillow's raw channels."""
    ink = np.asarray(Image.open(io.BytesIO(blob))).astype(int)
    paper = 255 - ink[:, :, 3:]
    return (paper - (ink[:, :, :3] * paper >> 8)).astype(np.uint8)


def of_bits(blob, bits, marker=0xC1):
    """A Huffman JPEG that says it has another number of bits a sample."""
    at = blob.index(b"\xff\xc0")
    return blob[: at + 1] + bytes([marker]) + blob[at + 2 : at + 4] + bytes([bits]) + blob[at + 5 :]


def with_marker(blob, marker):
    at = blob.index(b"\xff\xc0")
    return blob[: at + 1] + bytes([marker]) + blob[at + 2 :]


def made(name):
    return (MADE / f"{name}.jpg").read_bytes()


def decoded():
    """Return a dict of name to (blob, expected uint8[40, 56, 3] in R, G, B, largest difference)."""
    kinds = {}

    def add(name, blob, expected=None, within=0):
        kinds[name] = (blob, by_pillow(blob) if expected is None else expected, within)

    for subsampling, factor in (("444", 0), ("422", 1), ("420", 2)):
        add(f"jpeg {subsampling}", saved(PICTURE, "JPEG", subsampling=factor, quality=90))
    add("jpeg gray", saved(PICTURE.convert("L"), "JPEG", quality=90))
    add("jpeg restart markers", saved(PICTURE, "JPEG", restart_marker_blocks=3))
    add("jpeg of several pictures", saved(PICTURE, "MPO", more=[TURNED]))
    add("jpeg progressive", made("progressive"))
    add("jpeg 4:1:0", made("four_one_zero"))
    for name in ("one_scan", "three_scans", "arithmetic", "arithmetic_progressive"):
        add(f"jpeg {name}", made(name), by_pillow(made("one_scan")))
    for name, blob in (
        ("cmyk", saved(PICTURE.convert("CMYK"), "JPEG", quality=90)),
        ("ycck", made("ycck")),
        ("ycck progressive", made("ycck_progressive")),
    ):
        add(f"jpeg {name}", blob, by_opencvs_cmyk_rule(blob))
    add("jpeg padded behind its end", saved(PICTURE, "JPEG") + bytes(40))
    for turn in range(1, 9):
        stored = PICTURE if turn < 5 else Image.fromarray(RGB.swapaxes(0, 1).copy())
        add(f"jpeg exif {turn}", exif(saved(stored, "JPEG", subsampling=0), turn))

    turn = Image.Exif()
    turn[0x112] = 3
    add("png", saved(PICTURE, "PNG"), RGB)
    add("png exif", saved(PICTURE, "PNG", exif=turn), RGB)
    add("png interlaced", interlaced_png(RGB), RGB)
    add("png gray", saved(PICTURE.convert("L"), "PNG"))
    add("png 1 bit", saved(Image.fromarray(BITS).convert("1"), "PNG"), gray3(BITS))
    add("png alpha", saved(CLEAR, "PNG"), RGB)
    add("png gray alpha", saved(CLEAR.convert("LA"), "PNG"))
    add("png palette", saved(PICTURE.quantize(64), "PNG"))
    add("png palette alpha", saved(CLEAR.quantize(64), "PNG"))
    deep = Image.fromarray(GRAY.astype(np.uint16) * 256 + 200)
    add("png 16 bits gray", saved(deep, "PNG"), gray3(GRAY))
    words = (RGB.astype(int) * 256 + 200).astype(">u2").reshape(HEIGHT, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in words)
    add("png 16 bits", _png(rows, 16), RGB)
    add("png animated", saved(PICTURE, "PNG", more=[TURNED]), RGB)

    add("webp lossless", saved(PICTURE, "WEBP", lossless=True), RGB)
    add("webp exif", saved(PICTURE, "WEBP", lossless=True, exif=turn), RGB)
    add("webp", saved(PICTURE, "WEBP"))
    add("webp alpha", saved(CLEAR, "WEBP", lossless=True, exact=True), RGB)
    add("webp animated", saved(PICTURE, "WEBP", more=[TURNED], lossless=True), RGB)
    small = PICTURE.quantize(64)
    add("gif", saved(small, "GIF"), np.asarray(small.convert("RGB")))
    add("gif interlaced", saved(small, "GIF", interlace=1), np.asarray(small.convert("RGB")))
    moving = saved(small, "GIF", more=[TURNED.quantize(64)], duration=40)
    add("gif animated", moving, np.asarray(small.convert("RGB")))
    add("bmp", saved(PICTURE, "BMP"), RGB)
    add("bmp palette", saved(small, "BMP"), np.asarray(small.convert("RGB")))
    add("bmp 1 bit", saved(Image.fromarray(BITS).convert("1"), "BMP"), gray3(BITS))
    add("bmp 32 bits", saved(CLEAR, "BMP"), RGB)
    for name, options in (
        ("", {}),
        (" lzw", {"compression": "tiff_lzw"}),
        (" deflate", {"compression": "tiff_adobe_deflate"}),
        (" big", {"big_tiff": True}),
        (" of several pages", {"more": [TURNED]}),
    ):
        add(f"tiff{name}", saved(PICTURE, "TIFF", **options), RGB)
    add("tiff jpeg", saved(PICTURE, "TIFF", compression="jpeg", quality=95), within=1)
    bits = Image.fromarray(BITS).convert("1")
    add("tiff fax", saved(bits, "TIFF", compression="group4"), gray3(BITS))
    add("tiff palette", saved(small, "TIFF"), np.asarray(small.convert("RGB")))
    add("tiff 16 bits", saved(deep, "TIFF"), gray3(GRAY))
    weighed = (RGB.astype(int) * ALPHA[:, :, None] / 255).astype(np.uint8)
    add("tiff alpha", saved(CLEAR, "TIFF"), weighed, within=1)
    for turn in range(2, 9):
        stored = PICTURE if turn < 5 else Image.fromarray(RGB.swapaxes(0, 1).copy())
        expected = upright(np.asarray(stored), turn)
        add(f"tiff turned {turn}", saved(stored, "TIFF", tiffinfo={274: turn}), expected)
    add("jpeg 2000", saved(PICTURE, "JPEG2000"), RGB)
    add("jpeg 2000 codestream", saved(PICTURE, "JPEG2000", no_jp2=True), RGB)
    add("jpeg 2000 alpha", saved(CLEAR, "JPEG2000"), RGB)
    add("pbm", saved(Image.fromarray(BITS).convert("1"), "PPM"), gray3(BITS))
    add("pgm", saved(Image.fromarray(GRAY), "PPM"), gray3(GRAY))
    add("ppm", saved(PICTURE, "PPM"), RGB)
    plain = b"P3\n# by hand\n56 40\n255\n" + " ".join(map(str, RGB.reshape(-1))).encode() + b"\n"
    add("ppm text", plain, RGB)
    wide = b"P5 56 40 65535\n" + (GRAY.astype(int) * 256 + 200).astype(">u2").tobytes()
    add("pgm 16 bits", wide, gray3(GRAY))
    return kinds


def _png(rows, bits):
    import zlib

    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return png_header(WIDTH, HEIGHT, bits) + body


def refused():
    """Return a dict of name to (blob, what the error says)."""
    whole = jpeg(RGB)
    noise = np.random.default_rng(5).bytes(300)
    return {
        "jpeg 12 bits": (of_bits(whole, 12), "12 bits"),
        "jpeg lossless": (lossless_jpeg(GRAY), "lossless JPEG of 8 bits"),
        "jpeg lossless 12 bits": (lossless_jpeg(GRAY.astype(int) * 16, bits=12), "12 bits"),
        "jpeg hierarchical": (with_marker(whole, 0xC5), "hierarchical"),
        "jpeg arithmetic lossless": (with_marker(whole, 0xCB), "arithmetic lossless"),
        "jpeg of two components": (
            b"\xff\xd8" + frame(0xC0, 8, 8, components=2) + bytes(20),
            "2 components",
        ),
        "jpeg cut in its scan": (whole[: len(whole) * 2 // 3], "cut short"),
        "jpeg without its end": (whole[:-2], "cut short"),
        "jpeg cut in its headers": (whole[:100], "ends inside its headers"),
        "jpeg without width": (b"\xff\xd8" + frame(0xC0, 0, 8) + bytes(20), "0x8 pixels"),
        "png cut short": (saved(PICTURE, "PNG")[:800], "PNG is cut short"),
        "png without height": (png_header(8, 0) + bytes(20), "8x0 pixels"),
        "webp cut short": (saved(PICTURE, "WEBP")[:300], "not a readable image"),
        "tiff of floats": (
            saved(Image.fromarray(GRAY.astype(np.float32)), "TIFF"),
            "not a readable image",
        ),
        "avif": (b"\0\0\0\x20ftypavif" + noise, "AVIF"),
        "heif": (b"\0\0\0\x20ftypheic" + noise, "HEIF"),
        "jpeg xl": (b"\0\0\0\x0cJXL \r\n\x87\n" + noise, "JPEG XL"),
        "radiance": (b"#?RADIANCE\n" + noise, "Radiance HDR"),
        "pfm": (b"PF\n8 8\n-1.0\n" + noise, "PFM"),
        "pam": (b"P7\nWIDTH 8\n" + noise, "PAM"),
        "sun raster": (b"\x59\xa6\x6a\x95" + struct.pack(">II", 8, 8) + noise, "Sun raster"),
        "openexr": (b"v/1\x01" + noise, "OpenEXR"),
        "photoshop": (b"8BPS" + noise, "Photoshop"),
        "icon": (saved(PICTURE, "ICO"), "Windows icon"),
        "pdf": (saved(PICTURE, "PDF"), "PDF"),
        "html": (b"<!DOCTYPE html><html><body>404" + noise, "HTML page"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        "zip": (b"PK\x03\x04" + noise, "zip"),
        "text": (b"this is no image", "starting 7468697320697320; expected JPEG"),
        "noise": (b"\x07" + noise, "expected JPEG, PNG"),
        "nothing": (b"", "image is empty"),
    }
