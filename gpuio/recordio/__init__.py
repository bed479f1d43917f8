"""What a .rec file is: framing, image headers, index and list files."""

from __future__ import annotations

from gpuio.hooks import missing
from gpuio.recordio.files import MXIndexedRecordIO, MXRecordIO
from gpuio.recordio.header import IRHeader, pack, pack_img, unpack, unpack_img
from gpuio.recordio.index_binary import share_index
from gpuio.recordio.verification_pairs import read_pairs

__all__ = [
    "IRHeader",
    "MXIndexedRecordIO",
    "MXRecordIO",
    "pack",
    "pack_img",
    "read_pairs",
    "share_index",
    "unpack",
    "unpack_img",
]


def __getattr__(name: str) -> None:
    raise missing("gpuio.recordio", name)
