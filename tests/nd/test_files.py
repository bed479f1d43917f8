"""Array files are MXNet's, and a damaged one says so."""

import struct

import numpy as np
import pytest

from gpuio.errors import FormatError, StorageError
from gpuio.nd.files import read_arrays, write_arrays

# mx.nd.save("x", {"mean_img": mx.nd.array([[[1.5]], [[2]], [[-1]]])}), written by MXNet 1.9.1
MXNETS = bytes.fromhex(
    "12010000000000000000000000000000"
    "0100000000000000"
    "c9fa93f9"
    "00000000"
    "03000000"
    "0300000000000000"
    "0100000000000000"
    "0100000000000000"
    "01000000"
    "00000000"
    "00000000"
    "0000c03f"
    "00000040"
    "000080bf"
    "0100000000000000"
    "0800000000000000"
    "6d65616e5f696d67"
)


def test_the_bytes_are_mxnets(tmp_path):
    path = tmp_path / "mean.bin"
    write_arrays(path, {"mean_img": np.array([[[1.5]], [[2]], [[-1]]], np.float32)})
    assert path.read_bytes() == MXNETS


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"]
)
def test_arrays_of_every_type_come_back(tmp_path, dtype):
    arrays = {"a": np.arange(6).reshape(2, 3).astype(dtype), "b": np.zeros((0,), dtype)}
    write_arrays(tmp_path / "x", arrays)
    back = read_arrays(tmp_path / "x")
    assert list(back) == ["a", "b"]
    for name, array in arrays.items():
        assert np.array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("cut", [0, 5, 23, 30, 60, 80, 100])
def test_a_file_cut_short_is_refused(tmp_path, cut):
    (tmp_path / "x").write_bytes(MXNETS[:cut])
    with pytest.raises(FormatError) as raised:
        read_arrays(tmp_path / "x")
    assert raised.value.path == str(tmp_path / "x")


def test_another_file_or_none(tmp_path):
    (tmp_path / "x").write_bytes(struct.pack("<QQQ", 0x113, 0, 0))
    with pytest.raises(FormatError, match="not an MXNet array file"):
        read_arrays(tmp_path / "x")
    (tmp_path / "y").write_bytes(
        MXNETS.replace(bytes.fromhex("c9fa93f9"), bytes.fromhex("c8fa93f9"))
    )
    with pytest.raises(FormatError, match="not dense or of another version"):
        read_arrays(tmp_path / "y")
    with pytest.raises(StorageError, match="No such file"):
        read_arrays(tmp_path / "z")
