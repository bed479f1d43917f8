"""A batch in one pass is the batch that Python reads, and what is left to Python is listed."""

import ctypes

import attrs
import numpy as np
import pytest

from gpuio import recordio
from gpuio.decode.formats import HEADER
from gpuio.errors import StorageError
from gpuio.kernels import records
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.pipeline.parse import BatchParser, read_framed
from gpuio.pipeline.reader import RecordReader
from gpuio.recordio.checksum import read_checksums, write_checksums
from gpuio.recordio.framing import encode
from gpuio.recordio.index import open_table
from gpuio.storage.opened import OpenFiles
from gpuio.tasks.box_labels import BoxLabels, LabelSizes
from gpuio.tasks.labels import RecordLabels
from support import boxes, kinds, making, tables

MAGIC = bytes.fromhex("0a23d7ce")


@pytest.fixture
def opened():
    """Open a table of files, closed in the end."""
    files = []

    def open_files(*paths):
        files.append(OpenFiles(paths))
        return open_table(list(paths)), files[-1]

    yield open_files
    for file in files:
        file.close()


def blobs():
    """Images of every kind, damaged ones, and one whose record is cut in parts."""
    found = [blob for blob, *_ in (*kinds.decoded().values(), *kinds.refused().values())]
    face = making.jpeg(making.photo(30, 20))
    return [*found, face + bytes(-len(face) % 4) + MAGIC + b"tail"]


class EveryRow:
    """A pass that vouches for nothing: all is read in Python."""

    def __init__(self, parser):
        self._parser = parser

    def parse(self, positions, framed=None, found=None):
        batch = self._parser.parse(positions, framed, found)
        batch.rows[:] = 0
        batch.rows["status"] = records.FRAMING
        batch.labels[:] = self._parser._labels.no_label
        batch.index[:] = 0
        return attrs.evolve(batch, rest=np.flatnonzero(positions >= 0))


def same(passing, python, positions):
    """Check a batch of a reader with the pass against one without; return what the pass made."""
    positions = np.array(positions, np.int64)
    made, theirs = passing.read(positions), python.read(positions)
    for name in ("labels", "index", "heights", "widths", "orientation"):
        ours, expected = getattr(made, name), getattr(theirs, name)
        assert (ours.dtype, ours.tobytes()) == (expected.dtype, expected.tobytes()), name
    assert made.encoded.headers.tobytes() == theirs.encoded.headers.tobytes()
    for ours, expected in zip(made.encoded.blobs, theirs.encoded.blobs, strict=True):
        assert (ours is None) == (expected is None)
        assert ours is None or bytes(ours) == bytes(expected)
    for encoded in (made.encoded, theirs.encoded):
        for row, blob in enumerate(encoded.blobs):
            place = int(encoded.address[row])
            assert blob is None or ctypes.string_at(place, len(blob)) == bytes(blob)
    faults = [[(fault.row, str(fault.error)) for fault in one.faults] for one in (made, theirs)]
    assert faults[0] == faults[1]
    return passing._parser.parse(positions)


def readers(table, files, labels, **how):
    """Return a reader that takes the pass first and one that reads all in Python."""
    made = [RecordReader(table, files, tables.options(), labels, **how) for _ in range(2)]
    made[1]._parser = EveryRow(made[1]._parser)
    return made


def test_a_whole_file_is_read_as_python_reads_it(tmp_path, opened):
    rec, _ = making.write_rec(tmp_path, blobs())
    table, files = opened(rec)
    both = readers(table, files, RecordLabels(1))
    order = np.random.default_rng(0).permutation(len(table))
    rest = [*range(10, 14)]
    for positions in (np.arange(len(table)), order, np.insert(order, rest, -1), [-1, -1], []):
        batch = same(*both, np.array(positions, np.int64))
        absent = batch.rows["status"] == records.ABSENT
        assert absent.tolist() == (np.array(positions) < 0).tolist()
    # of the good JPEGs only the one in several parts is left to Python
    marks = same(*both, np.arange(len(table))).rows["status"]
    assert marks[-1] == records.FRAMING
    jpegs = [name for name in kinds.decoded() if name.startswith("jpeg") and "2000" not in name]
    assert (marks == records.OK).sum() == len(jpegs) + 2  # cut in its data, without its end


RULES = {
    "two": RecordLabels(2),
    "ragged": RecordLabels(3, ragged=True),
    "column": RecordLabels(1, column=1),
    "classes": RecordLabels(1, classes=True),
    "list": RecordLabels(2, {k: np.float32([k, k + 1]) for k in range(0, 12, 2)}),
    "whole list": RecordLabels(2, {k: np.float32([k, k + 1]) for k in range(12)}),
    "ragged list": RecordLabels(3, {k: np.arange(k % 4, dtype=np.float32) for k in range(7)},
                                ragged=True),
    "list of classes": RecordLabels(1, {k: np.float32([k / 2]) for k in range(12)}, classes=True),
    "list of odd widths": RecordLabels(2, {k: np.zeros(k, np.float32) for k in range(12)}),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("raw", [False, True])
def test_labels(tmp_path, opened, name, raw):
    labels = [0.0, [1.0, 2.0], [3.0], 2.5, [1.0, 2.0, 3.0], [7, 8, 9, 10], -1.0, [], [5.5, 1]]
    face = making.jpeg(making.photo(30, 20))
    if raw:
        rec = str(tmp_path / "raw.rec")
        (tmp_path / "raw.rec").write_bytes(encode(face) * 9)
    else:
        rec, _ = making.write_rec(tmp_path, [face] * 9, labels)
    table, files = opened(rec)
    ids = {"raw_ids": np.array([0, 5, -7, 3, 2, 99, 4, 1, -1])} if raw else {}
    batch = same(*readers(table, files, RULES[name], **ids), np.arange(9))
    assert len(batch.rest) < 9
    assert raw or name == "whole list" or len(batch.rest) > 0


def test_boxes(tmp_path, opened):
    face = making.jpeg(making.photo(30, 20))
    labels = [boxes.label(boxes.objects_of(k)) for k in range(6)]
    labels += [1.0, [2, 5, 1], [2, 5, *[0.5] * 11], np.zeros(60), [2, np.inf, *[0.5] * 5]]
    rec, _ = making.write_rec(tmp_path, [face] * len(labels), labels)
    table, files = opened(rec)
    listed = {k: boxes.label(boxes.objects_of(k + 1)) for k in range(8)}
    listed[8] = np.float32(labels[8])
    for width, of_list in ((-1, None), (7, None), (0, listed)):
        options = ImageDetRecordOptions(
            data_shape=(3, 8, 8), batch_size=1, label_width=width, label_pad_value=-2.0
        )
        rows = BoxLabels(options, LabelSizes(20, 5), of_list)
        batch = same(*readers(table, files, rows), np.arange(len(table)))
        assert 0 < len(batch.rest) < len(table)


def test_several_files_and_damage(tmp_path, opened):
    face = making.jpeg(making.photo(30, 20))
    one, _ = making.write_rec(tmp_path, [face, face[:300], b""], name="a")
    two, _ = making.write_rec(tmp_path, [face] * 4, name="b")
    table, files = opened(one, two)
    with open(two, "r+b") as file:
        file.seek(int(table.offset[4]))
        file.write(b"nothing!")
    both = readers(table, files, RecordLabels(1))
    for reader in both:
        reader._files = [Unchanged(file) for file in files]
    batch = same(*both, np.array([6, 0, -1, 5, 1, 4, 2, 3, 0]))
    assert batch.rest.tolist() == [5, 6]
    assert len(batch.framed.buffers) == 2


class Unchanged:
    """A file that was changed on purpose."""

    def __init__(self, file):
        self.check_unchanged = lambda: None


def test_checksums(tmp_path, opened):
    face = making.jpeg(making.photo(30, 20))
    rec, _ = making.write_rec(tmp_path, [face] * 5)
    write_checksums(rec)
    with open(rec, "r+b") as file:
        file.seek(600)
        file.write(b"?")
    table, files = opened(rec)
    sums = [read_checksums(rec + ".crc32")]
    batch = same(*readers(table, files, RecordLabels(1), checksums=sums), np.arange(5))
    assert len(batch.rest) == 1


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, opened):
    rec, _ = making.write_rec(tmp_path, [b"x" * 1000] * 3)
    table, files = opened(rec)
    with open(rec, "r+b") as file:
        file.truncate(1500)
    reader, _ = readers(table, files, RecordLabels(1))
    with pytest.raises(StorageError, match="cut after it was opened"):
        reader.read(np.arange(3))


def test_headers_lie_in_the_rows_and_are_handed_on_in_one_piece(tmp_path, opened):
    rec, _ = making.write_rec(tmp_path, [making.jpeg(making.photo(30, 20))] * 3)
    headers = same(*readers(*opened(rec), RecordLabels(1)), np.arange(3)).encoded().headers
    assert headers.flags.c_contiguous  # else each share of a batch copies its own
    assert headers.dtype == HEADER
    fields = records.RECORDS.fields
    places = {name: (kind, at - fields["kind"][1]) for name, (kind, at) in fields.items()}
    assert {name: places[name] for name in HEADER.names} == dict(HEADER.fields)
    assert HEADER.names[0] == "kind"


def test_limits_of_any_size(tmp_path, opened):
    rec, _ = making.write_rec(tmp_path, [kinds.made("progressive")])
    table, files = opened(rec)
    for limits, good in (((1 << 70, 1 << 70), True), ((2240, 100), True), ((2239, 100), False)):
        labels = RecordLabels(1)
        parser = BatchParser(table, files, labels, max_pixels=limits[0], max_scans=limits[1])
        assert (len(parser.parse(np.zeros(1, np.int64)).rest) == 0) == good


def test_addresses_are_those_of_the_bytes(tmp_path, opened):
    rec, _ = making.write_rec(tmp_path, [bytes([k]) * 50_000 for k in range(60)])
    table, files = opened(rec)
    positions = np.array([59, 3, -1, 4, 58])
    framed = read_framed(table, files, positions, lambda size: np.empty(size, np.uint8))
    assert [len(buffer) for buffer in framed.buffers] == [framed.length[framed.length > 0].sum()]
    for row, key in ((0, 59), (1, 3), (3, 4), (4, 58)):
        body = recordio.framing.unframe(framed.record(row))
        assert bytes(body[24:]) == bytes([key]) * 50_000
        there = np.frombuffer(framed.record(row), np.uint8).ctypes.data
        assert framed.address[row] == there
    assert framed.address[2] == 0
