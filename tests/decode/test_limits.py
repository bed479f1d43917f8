"""Scans are counted from the markers alone, and bounded."""

import time

import cv2
import numpy as np
import pytest

from gpuio.decode.formats import probe
from gpuio.decode.limits import check_scans
from gpuio.errors import DecodeError
from gpuio.io import ImageRecordIter
from support import kinds
from support.making import flat, jpeg, photo, write_rec


def progressive(image):
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def with_scans(blob, scans):
    """Repeat a progressive JPEG's last scan, a refinement with its code table, up to a number."""
    at = blob.rindex(b"\xff\xda")
    table = blob.rindex(b"\xff\xc4", 0, at)
    last, end = blob[table:-2], blob[-2:]
    return blob[:-2] + last * (scans - blob.count(b"\xff\xda")) + end


@pytest.mark.parametrize(
    ("name", "scans"),
    [
        ("one_scan", 1),
        ("three_scans", 3),
        ("progressive", 10),
        ("arithmetic", 1),
        ("arithmetic_progressive", 10),
        ("ycck", 1),
        ("ycck_progressive", 18),
    ],
)
def test_scans_of_every_process(name, scans):
    blob = kinds.made(name)
    assert probe(blob).scans == scans
    assert probe(memoryview(blob)).scans == scans


def test_other_formats_have_one():
    blob = flat(3)
    assert probe(blob).scans == 1


def test_a_scan_of_the_preview_in_the_headers_is_not_counted():
    blob = kinds.made("one_scan")
    inner = kinds.made("progressive")
    segment = b"Exif\0\0" + inner
    whole = blob[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + blob[2:]
    assert probe(whole).scans == 1


def test_more_scans_than_the_limit_are_refused_and_the_option_moves_it(tmp_path):
    blob = progressive(photo(32, 32))
    blobs = [with_scans(blob, 100), with_scans(blob, 101), blob]
    rec, _ = write_rec(tmp_path, blobs)
    options = {"path_imgrec": rec, "data_shape": (3, 32, 32), "batch_size": 3, "verbose": False}
    with ImageRecordIter(**options, on_error="zero", ctx="cpu") as it:
        batch = next(it)
        failed = it.stats()["failed_records"]
    assert [each["key"] for each in failed] == [1]
    assert "JPEG has 101 scans, more than the limit of 100: raise max_scans" in failed[0]["reason"]
    images = batch.data[0].asnumpy()
    assert [image.any() for image in images] == [True, False, True]
    with ImageRecordIter(**options, max_scans=101, ctx="cpu") as it:
        assert next(it).data[0].asnumpy()[1].any()


def test_many_scans_of_a_large_image_are_refused_together():
    blob = with_scans(progressive(photo(64, 64)), 20)
    info = probe(blob)
    check_scans(info, 20, 64 * 64 * 20 // 16)
    with pytest.raises(DecodeError, match="20 scans of 64x64 pixels, more than 16 of max_pixels"):
        check_scans(info, 20, 64 * 64 * 20 // 16 - 1)


def test_a_scan_bomb_costs_no_time(tmp_path):
    """Sixteen megapixels, a thousand scans, 140 kB: a minute of decoding, refused at once."""
    blob = with_scans(progressive(np.zeros((4000, 4000), np.uint8)), 1000)
    rec, _ = write_rec(tmp_path, [jpeg(photo(20, 20)), blob])
    options = {"path_imgrec": rec, "data_shape": (3, 20, 20), "batch_size": 2, "verbose": False}
    begun = time.process_time()
    with ImageRecordIter(**options, on_error="zero", ctx="cpu") as it:
        next(it)
        assert "1000 scans" in it.stats()["failed_records"][0]["reason"]
    assert time.process_time() - begun < 5  # of a processor; 0.3 where it was measured
