"""Headers pack and unpack as MXNet's do; short records say what is missing."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuio.errors import DecodeError, OptionError, RecordError
from gpuio.recordio import IRHeader, pack, pack_img, unpack, unpack_img
from gpuio.recordio.header import parse_image_record
from support.making import photo

floats = st.floats(width=32, allow_nan=False)
ids = st.integers(0, 2**64 - 1)


@given(floats, ids, ids, st.binary(max_size=40))
def test_a_number_is_stored_in_the_header(label, identity, id2, blob):
    packed = pack(IRHeader(99, label, identity, id2), blob)
    assert packed == struct.pack("<IfQQ", 0, label, identity, id2) + blob
    header, payload = unpack(packed)
    assert (header, payload) == (IRHeader(0, np.float32(label), identity, id2), blob)
    assert type(payload) is bytes


@given(st.lists(floats, min_size=1, max_size=9), ids, st.binary(max_size=40))
def test_an_array_is_stored_behind_the_header(label, identity, blob):
    header, payload = unpack(pack((0, label, identity, 0), blob))
    assert header.flag == len(label)
    assert header.label.tolist() == np.float32(label).tolist()
    assert header.label.dtype == np.float32
    assert not header.label.flags.writeable
    assert payload == blob


@pytest.mark.parametrize(
    ("label", "flag", "stored"),
    [
        ([], 0, 0.0),
        ([5], 1, [5.0]),
        (np.float64(2.5), 0, 2.5),
        (True, 0, 1.0),
        ("3", 1, [3.0]),
        (np.array(4.0), 1, [4.0]),
        ([[1, 2], [3, 4]], 4, [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_labels_of_every_kind(label, flag, stored):
    header, _ = unpack(pack((7, label, 0, 0), b""))
    assert header.flag == flag
    assert (header.label.tolist() if flag else header.label) == stored


def test_ids_must_be_whole_and_not_negative():
    for identity in (-1, 1.5):
        with pytest.raises(RecordError):
            pack((0, 0.0, identity, 0), b"")


@pytest.mark.parametrize("size", [0, 1, 23])
def test_a_payload_shorter_than_the_header(size):
    with pytest.raises(RecordError, match=f"record of {size} bytes is shorter"):
        unpack(bytes(size))


def test_more_labels_than_bytes():
    payload = struct.pack("<IfQQ", 3, 0, 0, 0) + bytes(8)
    with pytest.raises(RecordError, match=r"says 3 labels \(12 bytes\), the record holds 8"):
        unpack(payload)
    with pytest.raises(ValueError, match="says 3 labels"):
        unpack(payload)


def test_parsing_copies_nothing():
    payload = memoryview(pack((0, [1.0, 2.0], 3, 4), b"image"))
    flag, labels, identity, id2, blob = parse_image_record(payload)
    assert (flag, labels.tolist(), identity, id2, bytes(blob)) == (2, [1, 2], 3, 4, b"image")
    assert blob.obj is payload.obj


def test_labels_at_any_address_are_read():
    packed = pack((0, [1.0, 2.0], 3, 4), b"image")
    for shift in range(1, 4):
        view = memoryview(bytes(shift) + packed)[shift:]
        assert parse_image_record(view)[1].tolist() == [1, 2]


@pytest.mark.parametrize(("quality", "fmt"), [(95, ".jpg"), (30, ".JPG"), (9, ".png"), (3, ".bmp")])
def test_images_are_encoded_as_opencv_encodes_them(quality, fmt):
    image = photo(20, 30)
    flags = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, quality],
    }.get(fmt.lower(), [])
    packed = pack_img((0, 1.0, 2, 0), image, quality=quality, img_fmt=fmt)
    assert packed[24:] == cv2.imencode(fmt, image, flags)[1].tobytes()
    header, decoded = unpack_img(packed)
    assert (header.label, header.id) == (1.0, 2)
    assert decoded.shape == image.shape
    assert fmt.lower() == ".jpg" or np.array_equal(decoded, image)


def test_unpacking_keeps_channels_unless_asked():
    gray = photo(20, 30)[:, :, 0]
    packed = pack_img((0, 1.0, 2, 0), gray, img_fmt=".png")
    assert unpack_img(packed)[1].shape == (20, 30)
    assert unpack_img(packed, iscolor=1)[1].shape == (20, 30, 3)


def test_bytes_that_are_no_image_unpack_to_none():
    assert unpack_img(pack((0, 1.0, 2, 0), b"no image"))[1] is None


def test_what_opencv_refuses_is_a_typed_error():
    header, image = (0, 0.0, 0, 0), np.zeros((4, 4, 3), np.uint8)
    for suffix in (".xyz", "xyz", "", ".avi"):
        with pytest.raises(OptionError, match="expected an extension that OpenCV writes"):
            pack_img(header, image, img_fmt=suffix)
    for wrong in (np.zeros((4, 4, 9), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(RecordError, match=r"failed to encode an image of uint8\["):
            pack_img(header, wrong)
    with pytest.raises(DecodeError, match="empty"):
        unpack_img(pack(header, b""))


@pytest.mark.parametrize(
    "header",
    [
        (0, None, 1, 0),
        (0, [1, None], 1, 0),
        (0, "cat", 1, 0),
        (0, ["cat"], 1, 0),
        (0, [[1], [2, 3]], 1, 0),
        (0, 1e40, 1, 0),
        (0, [1e40], 1, 0),
        (0, 1, -1, 0),
        (0, 1, 1.5, 0),
        (0, 1, 1 << 64, 0),
        (0, [1, 2], 1, None),
    ],
)
def test_a_header_that_states_no_label_or_id_is_a_typed_error(header):
    with pytest.raises(RecordError, match="expected"):
        pack(header, b"")


@pytest.mark.parametrize("quality", [-1, 101, None, 1.5, "x"])
def test_a_quality_that_is_no_number_is_refused(quality):
    with pytest.raises(OptionError, match="quality="):
        pack_img((0, 1, 1, 0), np.zeros((4, 4, 3), np.uint8), quality=quality)


def test_an_extension_that_is_no_text_is_refused():
    with pytest.raises(OptionError, match="img_fmt=None"):
        pack_img((0, 1, 1, 0), np.zeros((4, 4, 3), np.uint8), img_fmt=None)


@pytest.mark.parametrize("label", [[0.1, np.inf, np.nan], [True, 2], np.array([1, -2], ">i8"), "5"])
def test_labels_that_numpy_reads_are_stored_as_it_reads_them(label):
    header, _ = unpack(pack((0, label, 1, 0), b""))
    assert np.array_equal(header.label, np.asarray(label, np.float32).ravel(), equal_nan=True)
