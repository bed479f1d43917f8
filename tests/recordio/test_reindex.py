"""Where an index cannot be used a scan takes its place; the others are kept."""

from pathlib import Path

import numpy as np
import pytest

from gpuio.errors import EmptyDatasetError, FormatError, GpuioWarning, StorageError
from gpuio.recordio.index import open_table
from gpuio.recordio.reindex import reindexed
from support.making import write_rec


@pytest.fixture
def three(tmp_path):
    """Three files of two, three and four records."""
    return [write_rec(tmp_path, [b"x" * 9] * n, name=f"f{n}") for n in (2, 3, 4)]


def same(one, other):
    names = ("paths", "sizes", "file", "offset", "length", "key", "indexed")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_good_indexes_are_used(three):
    recs, idxs = zip(*three, strict=True)
    assert same(reindexed(recs, idxs), open_table(recs, idxs))


def test_without_indexes_the_scan_is_the_index(three):
    recs, idxs = zip(*three, strict=True)
    assert same(reindexed(recs), open_table(recs, idxs))


def test_one_bad_index_costs_its_file_a_scan(three):
    recs, idxs = zip(*three, strict=True)
    good = open_table(recs, idxs)
    Path(idxs[1]).write_text("5\t0\n6\t999999\n")
    with pytest.warns(GpuioWarning, match=r"f3.idx is not used .*beyond the end"):
        assert same(reindexed(recs, idxs), good)
    Path(idxs[2]).unlink()
    with (
        pytest.warns(GpuioWarning, match="f3.idx is not used"),
        pytest.warns(GpuioWarning, match="f4.idx is not used .cannot read the index"),
    ):
        assert same(reindexed(recs, idxs), good)


def test_the_record_file_is_no_excuse(three):
    recs, idxs = zip(*three, strict=True)
    with pytest.raises(FormatError, match="3 record files and 1 index files"):
        reindexed(recs, idxs[:1])
    Path(recs[0]).write_bytes(b"\0" * 40)
    with pytest.raises(FormatError, match="magic"):
        reindexed(recs, idxs)
    Path(recs[0]).unlink()
    with pytest.raises(StorageError, match=r"f2\.rec"):
        reindexed(recs, idxs)


def test_a_file_without_records_among_others_is_no_error(three, tmp_path):
    empty = write_rec(tmp_path, [], name="empty")
    recs, idxs = zip(*three, empty, strict=True)
    assert same(reindexed(recs, idxs), open_table(recs, idxs))
    with pytest.raises(EmptyDatasetError):
        reindexed(empty[:1], empty[1:])
