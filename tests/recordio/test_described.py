"""What a manifest says of a part is what lies there, or the part is refused."""

import zlib

import pytest

from gpuio.errors import FormatError, StorageError
from gpuio.recordio.described import describe_part
from gpuio.recordio.framing import encode
from support import faceset, making
from support.parts import write_parts
from support.tables import PIXEL


def test_a_part_is_described(tmp_path):
    (rec,) = write_parts(tmp_path, [20])
    part, payload = describe_part(str(rec), "name")
    assert payload == "image_record"
    assert (part.name, part.records, part.size) == ("name", 20, rec.stat().st_size)
    assert part.index_crc == zlib.crc32(rec.with_suffix(".idx").read_bytes())
    assert part.tag == str(rec.stat().st_mtime_ns)


def test_bare_images_are_told(tmp_path):
    framed = encode(PIXEL)
    (tmp_path / "a.rec").write_bytes(framed * 3)
    lines = [f"{number}\t{number * len(framed)}\n" for number in range(3)]
    (tmp_path / "a.idx").write_text("".join(lines))
    assert describe_part(str(tmp_path / "a.rec"), "a")[1] == "raw"


def test_an_index_that_leaves_out_records_or_is_another_files_is_refused(tmp_path):
    (rec,) = write_parts(tmp_path, [20])
    idx = rec.with_suffix(".idx")
    lines = idx.read_text().splitlines(keepends=True)
    for wrong in (lines[:-1], lines[:1], [lines[0], "1\t40\n", *lines[2:]]):
        idx.write_text("".join(wrong))
        with pytest.raises(
            FormatError, match=r"00000\.idx is not the index of all records"
        ) as raised:
            describe_part(str(rec), "a")
        assert raised.value.path == str(rec)
    idx.unlink()
    with pytest.raises(StorageError, match="rec2idx"):
        describe_part(str(rec), "a")


def test_a_record_in_several_parts_is_a_record(tmp_path):
    magic = bytes.fromhex("0a23d7ce")
    blob = PIXEL + bytes(-len(PIXEL) % 4) + magic + b"tail"
    (rec,) = write_parts(tmp_path, [2], payload=lambda _: blob)
    assert describe_part(str(rec), "a")[0].records == 2


@pytest.mark.parametrize("order", ["first", "last"])
def test_an_insightface_set_is_refused(tmp_path, order):
    rec, _ = faceset.write_faces(tmp_path, order=order)
    with pytest.raises(FormatError, match="InsightFace"):
        describe_part(str(rec), "a")


def test_what_is_no_record_file_is_told(tmp_path):
    (tmp_path / "a.rec").write_bytes(making.flat(3)[:64])
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(FormatError, match="not the index of all records of this file"):
        describe_part(str(tmp_path / "a.rec"), "a")
