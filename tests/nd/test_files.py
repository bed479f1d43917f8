"""Array files are MXNet's, and a damaged one says so."""

import struct

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import FormatError, OptionError, StorageError
from gpuio.nd import NDArray, load, save

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


# mx.nd.save("x", [mx.nd.array([[1.5, 2, -1]]), mx.nd.array([1, 2], dtype="int32")])
LIST = bytes.fromhex(
    "120100000000000000000000000000000200000000000000"
    "c9fa93f9000000000200000001000000000000000300000000000000010000000000000000000000"
    "0000c03f00000040000080bf"
    "c9fa93f9000000000100000002000000000000000100000000000000040000000100000002000000"
    "0000000000000000"
)
# the same two as {"w": ..., "\u00e9": ...}
DICT = LIST[:-8] + bytes.fromhex("02000000000000000100000000000000770200000000000000c3a9")


def test_the_bytes_are_mxnets(tmp_path):
    path = tmp_path / "mean.bin"
    save(path, {"mean_img": np.array([[[1.5]], [[2]], [[-1]]], np.float32)})
    assert path.read_bytes() == MXNETS
    first, second = mx.nd.array([[1.5, 2, -1]]), mx.nd.array([1, 2], dtype="int32")
    mx.nd.save(str(path), [first, second])
    assert path.read_bytes() == LIST
    mx.nd.save(str(path), {"w": first, "\u00e9": second})
    assert path.read_bytes() == DICT
    mx.nd.save(str(path), first)
    alone = path.read_bytes()
    mx.nd.save(str(path), [first])
    assert path.read_bytes() == alone


def test_a_list_comes_back_as_a_list_and_names_as_a_dictionary(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(LIST)
    first, second = load(path)
    assert (first.asnumpy().tolist(), second.asnumpy().tolist()) == ([[1.5, 2, -1]], [1, 2])
    assert type(first) is NDArray
    assert (first.dtype, second.dtype) == (np.float32, np.int32)
    path.write_bytes(DICT)
    found = load(path)
    assert list(found) == ["w", "\u00e9"]
    assert np.array_equal(found["w"], first)
    for nothing in ([], {}):  # MXNet cannot tell them apart either
        save(path, nothing)
        assert load(path) == []


def test_a_single_number_is_an_array_of_one(tmp_path):
    save(tmp_path / "x", [mx.nd.array([7, 8])[1], np.float32(3)])
    assert [array.tolist() for array in load(tmp_path / "x")] == [[8], [3]]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ("x", ValueError, "data needs to either be a NDArray"),
        ((mx.nd.zeros(1),), ValueError, "data needs to either be a NDArray"),
        ({1: mx.nd.zeros(1)}, TypeError, "save only accept dict"),
        ([1], TypeError, "save only accept dict"),
        ([np.zeros(1, np.uint16)], OptionError, "array 0 is uint16.*can hold float32"),
        ({"w": np.zeros(1, "U3")}, OptionError, "array 'w' is str"),
        ([mx.nd.CSRNDArray([], [], [0, 0], (1, 2))], OptionError, "array 0 is sparse"),
    ],
    ids=["text", "tuple", "number as name", "number", "uint16", "strings", "sparse"],
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, data, error, words):
    with pytest.raises(error, match=words):
        save(tmp_path / "x", data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool"]
)
def test_arrays_of_every_type_come_back(tmp_path, dtype):
    arrays = {"a": np.arange(6).reshape(2, 3).astype(dtype), "b": np.zeros((0,), dtype)}
    save(tmp_path / "x", arrays)
    back = load(tmp_path / "x")
    assert list(back) == ["a", "b"]
    for name, array in arrays.items():
        assert np.array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("cut", [0, 5, 23, 30, 60, 80, 100])
def test_a_file_cut_short_is_refused(tmp_path, cut):
    (tmp_path / "x").write_bytes(MXNETS[:cut])
    with pytest.raises(FormatError) as raised:
        load(tmp_path / "x")
    assert raised.value.path == str(tmp_path / "x")


def test_another_file_or_none(tmp_path):
    (tmp_path / "x").write_bytes(struct.pack("<QQQ", 0x113, 0, 0))
    with pytest.raises(FormatError, match="not an MXNet array file"):
        load(tmp_path / "x")
    (tmp_path / "y").write_bytes(
        MXNETS.replace(bytes.fromhex("c9fa93f9"), bytes.fromhex("c8fa93f9"))
    )
    with pytest.raises(FormatError, match="not dense or of another version"):
        load(tmp_path / "y")
    (tmp_path / "w").write_bytes(LIST[:-8] + struct.pack("<QQ", 1, 1) + b"w")
    with pytest.raises(FormatError, match="1 names for 2 arrays"):
        load(tmp_path / "w")
    (tmp_path / "v").write_bytes(MXNETS[:32] + bytes(4) + MXNETS[36:])
    with pytest.raises(FormatError, match="array at byte 24 has no shape"):
        load(tmp_path / "v")
    with pytest.raises(StorageError, match="No such file"):
        load(tmp_path / "z")
