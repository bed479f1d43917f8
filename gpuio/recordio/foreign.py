"""What a file is that is no record file, from its first bytes, and what to do with it.

Invariant: a damaged record file is not named: each kind is told by several bytes that stand where
the magic number would.
"""

from __future__ import annotations

import os
import re
import struct

from gpuio.errors import FormatError
from gpuio.storage.atomic import RECORD_START
from gpuio.storage.files import open_binary
from gpuio.storage.stored import StoredFile

__all__ = [
    "foreign_index",
    "foreign_kind",
    "foreign_list",
    "is_checksums",
    "is_image",
    "is_index",
    "name_kind",
    "refuse_foreign",
]

_LOOKED_AT = 1024  # bytes
_PACK = "pack images with `gpuio im2rec`"
_UNPACK = "unpack it first"
_INDEX_KIND = "an index (.idx)"
_LIST_KIND = "an image list (.lst)"

_SIGNATURES = (
    (b"\xff\xd8\xff", "a JPEG image", _PACK),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", _PACK),
    (b"GIF8", "a GIF image", _PACK),
    (b"II*\0", "a TIFF image", _PACK),
    (b"MM\0*", "a TIFF image", _PACK),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", "download it again"),
    (b"\x1f\x8b\x08", "a gzip file", "unpack it first, with gunzip or tar"),
    (b"BZh91AY&SY", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (
        b"version https://git-lfs",
        "a git LFS pointer, which stands for the file",
        "fetch the file with `git lfs pull`",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its images with gpuio.recordio.pack"),
    (b"\x93NUMPY", "a NumPy array", "mx.io.NDArrayIter reads arrays"),
    (b"%PDF-", "a PDF document", _PACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"SQLite format 3\0", "an SQLite database", "write its images with gpuio.recordio.pack"),
    (b"PAR1", "a Parquet file", "write its images with gpuio.recordio.pack"),
    (b"\x12\x01\0\0\0\0\0\0", "a file of mx.nd arrays", "mx.nd.load reads it"),
    (b"\0\0\x08\x03", "MNIST's images", "mx.io.MNISTIter reads them"),
    (b"\0\0\x08\x01", "MNIST's labels", "mx.io.MNISTIter reads them"),
    (b"gpuioIDX", "the binary of an index (.idx.bin)", "name the record file"),
    (
        b'{"gpuio_manifest"',
        "a manifest of the parts of a set",
        "ImageRecordIter takes it as path_imgrec, by a name that ends in .json",
    ),
    (b'{"gpuio_checksums"', "a file of checksums (.crc32)", "name the record file"),
)
_INDEX = re.compile(rb"\d+[\t ]+\d+\s*\r?\n|\d+[\t ]+\d+\s*\Z")
_LIST = re.compile(rb"\d+\t(?:[-+.\deE]+\t)+[^\t\n]+(?:\n|\Z)")
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95(\]}c]")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]{32,}")  # a damaged head has zeros in its length
_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html|head|\?xml)\b", re.IGNORECASE)


def _kind(head: bytes) -> tuple[str, str] | None:
    """Return a kind of file and what to do with it."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    kind, advice = next(
        ((kind, advice) for start, kind, advice in _SIGNATURES if head.startswith(start)), ("", "")
    )
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[15:18] == b"\0\0\0":
        kind, advice = "a BMP image", _PACK
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind, advice = "a WebP image", _PACK
    elif head[257:262] == b"ustar":
        kind, advice = "a tar archive", _UNPACK
    elif _HTML.match(text):
        kind = "a web page"
        advice = "the download gave an answer in place of the file: open it in a browser to read it"
    elif _INDEX.match(text):
        kind, advice = _INDEX_KIND, "name the record file here, and it as the index"
    elif _LIST.match(text):
        kind, advice = _LIST_KIND, "`gpuio im2rec` packs the images that it names"
    elif _PICKLE.match(head):
        kind, advice = "a pickle", "gpuio.recordio.read_pairs reads pair files such as lfw.bin"
    elif _is_tfrecord(head):
        kind, advice = "a TFRecord file", "write its images with gpuio.recordio.pack"
    return (kind, advice) if kind else None


def foreign_kind(head: bytes) -> str:
    """Say what a file is that is no record file, and what to do; "" for what is not known.

    Parameters
    ----------
    head : bytes            the first kilobyte, or all of a shorter file
    """
    if head.startswith(RECORD_START):
        return ""
    found = _kind(head)
    if found is None and _TEXT.fullmatch(head):
        found = "text", "an index is path_imgidx, a list of images path_imglist"
    return f"this is {found[0]}, not a record file: {found[1]}" if found else ""


def foreign_index(path: str | os.PathLike[str]) -> str:
    """Say what a file is that is no index, and what to do; "" for what is not known."""
    kind = _other_kind(path, _INDEX_KIND)
    return kind and f"{kind}, not an index: `gpuio rec2idx` makes the index of a record file"


def foreign_list(path: str | os.PathLike[str]) -> str:
    """Say what a file is that is not an image list; "" for what is not known."""
    kind = _other_kind(path, _LIST_KIND)
    return kind and f"{kind}, not an image list: a line of one is an id, the label(s) and a path"


def _other_kind(path: str | os.PathLike[str], expected: str) -> str:
    """Begin the sentence about a file of another kind than expected; "" for what is not known."""
    with open_binary(path) as file:
        kind = name_kind(file.read(_LOOKED_AT))
    return f"this is {kind}" if kind not in ("", expected) else ""


def name_kind(head: bytes) -> str:
    """Name what a file is, "a web page"; "" for what is not known.

    Parameters
    ----------
    head : bytes            the first kilobyte, or all of a shorter file
    """
    if head.startswith(RECORD_START):
        return "a record file"
    found = _kind(head)
    return found[0] if found else ""


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an image of a kind that records hold."""
    return name_kind(head).endswith(" image")


def is_index(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an index."""
    return name_kind(head) == _INDEX_KIND


def is_checksums(head: bytes) -> bool:
    """Whether a file that begins with these bytes holds a record file's checksums."""
    return head.startswith(b'{"gpuio_checksums"')


def refuse_foreign(file: StoredFile) -> None:
    """Raise FormatError if a file is of another known kind."""
    said = foreign_kind(file.read(0, min(file.size, _LOOKED_AT)))
    if said:
        raise FormatError(said, path=file.path, offset=0)


def _is_tfrecord(head: bytes) -> bool:
    """Whether a length of 8 bytes and its masked CRC-32C stand at the start."""
    if len(head) < 12:
        return False
    (stated,) = struct.unpack_from("<I", head, 8)
    crc = 0xFFFFFFFF
    for byte in head[:8]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return bool(stated == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
