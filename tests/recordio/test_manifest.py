"""A manifest says what it says, or is not believed."""

import json
from pathlib import Path

import pytest

from gpuio.errors import EmptyDatasetError, FormatError, OptionError, StorageError
from gpuio.recordio.manifest import (
    Part,
    index_path,
    is_manifest,
    manifest_named,
    read_manifest,
    write_manifest,
)
from support.parts import change

PARTS = [Part("a.rec", 3, 300, 7, "1"), Part("sub/b c.rec", 1, 40, 0xFFFFFFFF), Part("c", 2, 8, 0)]


@pytest.fixture
def path(tmp_path):
    write_manifest(tmp_path / "set.json", PARTS, "image_record")
    return tmp_path / "set.json"


def test_a_manifest_reads_back(path):
    made = read_manifest(path)
    assert (made.path, made.root, made.payload, len(made)) == (
        str(path),
        str(path.parent),
        "image_record",
        3,
    )
    assert made.first.tolist() == [0, 3, 4, 6]
    assert [made.records.tolist(), made.sizes.tolist()] == [[3, 1, 2], [300, 40, 8]]
    assert made.index_crc.tolist() == [7, 0xFFFFFFFF, 0]
    assert list(made.tags) == ["1", "", ""]
    assert list(made.paths) == [f"{path.parent}/{part.name}" for part in PARTS]
    assert made.paths[1:] == [f"{path.parent}/sub/b c.rec", f"{path.parent}/c"]
    assert made.index_path(1) == f"{path.parent}/sub/b c.idx"


def test_the_file_is_json_with_a_line_per_part(path):
    text = path.read_text()
    stated = json.loads(text)
    assert (stated["gpuio_manifest"], stated["records"], stated["bytes"]) == (1, 6, 348)
    assert stated["columns"] == ["name", "records", "bytes", "first", "index_crc32", "tag"]
    assert text.splitlines()[2] == '["sub/b c.rec", 1, 40, 3, 4294967295, ""],'
    assert is_manifest(text.encode())
    assert not is_manifest(b'{"parts": []}')


def test_the_digest_is_that_of_the_set_not_of_the_place(path, tmp_path):
    (tmp_path / "other").mkdir()
    other = [Part(p.name, p.records, p.size, p.index_crc, "another date") for p in PARTS]
    moved = write_manifest(tmp_path / "other" / "x.json", other, "image_record", root="/data")
    assert moved.root == "/data"
    assert moved.digest == read_manifest(path).digest == "273ac43e3803cfe9a59eae96b842f990"
    for changed in ({"name": "z"}, {"records": 4}, {"size": 4}, {"index_crc": 4}):
        fields = {"name": "a.rec", "records": 3, "size": 300, "index_crc": 7, **changed}
        parts = [Part(**fields), *PARTS[1:]]
        assert write_manifest(tmp_path / "y.json", parts, "raw").digest != moved.digest


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gpuio_manifest": 2}, "version 2, expected 1"),
        ({"gpuio_manifest": None}, "version None"),
        ({"payload": "x"}, "payload is 'x'"),
        ({"records": 7}, r"states \(7, 348\)"),
        ({"bytes": 7}, r"states \(6, 7\)"),
        ({"digest": "0"}, "digest is '0'"),
        ({"columns": ["name"]}, "expected the columns"),
        ({"parts": []}, "lists no part"),
        ({"parts": [[1]]}, "damaged"),
        ({"parts": 3}, "damaged"),
        ({"root": 3}, "damaged"),
        ({"part": (1, 0, "../b.rec")}, "leads out of"),
        ({"part": (1, 0, "/b.rec")}, "relative"),
        ({"part": (1, 0, "s3://b.rec")}, "relative"),
        ({"part": (1, 0, "")}, "relative"),
        ({"part": (1, 0, 3)}, "damaged"),
        ({"part": (1, 1, 0)}, "records: expected whole numbers from 1"),
        ({"part": (1, 1, 1.5)}, "records: expected whole"),
        ({"part": (1, 1, True)}, "damaged"),
        ({"part": (1, 2, -1)}, "bytes: expected"),
        ({"part": (1, 2, 1 << 70)}, "bytes: expected"),
        ({"part": (1, 3, 4)}, "part 'sub/b c.rec' begins with record 4"),
        ({"part": (1, 4, 5)}, "digest is"),
    ],
)
def test_what_contradicts_itself_is_not_believed(path, changed, said):
    change(path, **changed)
    with pytest.raises(FormatError, match=said) as raised:
        read_manifest(path)
    assert "gpuio manifest" in str(raised.value)
    assert raised.value.path == str(path)


@pytest.mark.parametrize("field", ["payload", "records", "digest", "root", "columns", "parts"])
def test_a_field_that_is_missing_is_named(path, field):
    stated = json.loads(path.read_text())
    del stated[field]
    path.write_text(json.dumps(stated))
    with pytest.raises(FormatError, match=f"damaged: it has no '{field}'"):
        read_manifest(path)


def test_other_files_are_told(path, tmp_path):
    text = path.read_bytes()
    for cut in (len(text) - 3, len(text) // 2, 20):
        path.write_bytes(text[:cut])
        with pytest.raises(FormatError, match="damaged"):
            read_manifest(path)
    path.write_text("{}")
    with pytest.raises(FormatError, match="not a manifest of gpuio"):
        read_manifest(path)
    with pytest.raises(StorageError, match="cannot read the manifest"):
        read_manifest(tmp_path / "none.json")


def test_no_file_of_another_kind_is_replaced(path, tmp_path):
    write_manifest(path, PARTS[:1], "raw")
    assert len(read_manifest(path)) == 1
    notes = tmp_path / "notes.json"
    notes.write_text("[1]")
    with pytest.raises(StorageError, match="another kind"):
        write_manifest(notes, PARTS, "raw")
    assert notes.read_text() == "[1]"
    with pytest.raises(EmptyDatasetError, match="no part holds a record"):
        write_manifest(tmp_path / "empty.json", [], "raw")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["notes.json", "set.json"]


def test_a_path_is_a_manifest_by_its_ending():
    assert manifest_named("/a/b.rec") is None
    assert manifest_named("/a/b.json") == "/a/b.json"
    assert manifest_named(["file:///a/b.JSON"]) == "/a/b.JSON"
    with pytest.raises(OptionError, match=r"'/a/b\.json' is a manifest, which stands alone"):
        manifest_named("/a/b.json;/a/c.rec")
    assert index_path("/a.b/c") == "/a.b/c.idx"
    assert index_path("s3://x/c.rec") == "s3://x/c.idx"
    assert Path(index_path("/a/c.d.rec")).name == "c.d.idx"
