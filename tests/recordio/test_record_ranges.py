"""A set is cut into ranges that cover every record once and can be read apart."""

import numpy as np
import pytest

from gpuio.errors import FormatError, OptionError
from gpuio.recordio.index import open_table
from gpuio.recordio.record_ranges import record_ranges
from support.parts import manifest_of, write_parts

COUNTS = [40, 1, 25]


@pytest.fixture
def recs(tmp_path):
    return write_parts(tmp_path, COUNTS, first_key=7)


def named(recs, how):
    if how == "manifest":
        return str(manifest_of(recs)), ""
    paths = [str(rec) for rec in recs]
    return paths, [str(rec.with_suffix(".idx")) for rec in recs] if how == "index" else ""


@pytest.mark.parametrize("how", ["manifest", "index", "scan"])
@pytest.mark.parametrize("pieces", [None, 1, 2, 7, 66, 1000])
def test_ranges_cover_every_record_once(recs, how, pieces):
    paths, idxs = named(recs, how)
    ranges = record_ranges(paths, idxs, pieces)
    whole = open_table([str(rec) for rec in recs], idxs if how == "index" else ())
    assert min(pieces or 1, 66) <= len(ranges) <= min((pieces or 1) + len(recs), 66)
    row = 0
    for one in ranges:
        offset, length, key = one.places()
        stop = row + len(offset)
        assert (one.position, one.stop - one.first) == (row, len(offset))
        np.testing.assert_array_equal(offset, whole.offset[row:stop])
        np.testing.assert_array_equal(length, whole.length[row:stop])
        expected = whole.key[row:stop] if how != "manifest" else np.arange(row, stop) + 7
        np.testing.assert_array_equal(key, expected)
        assert one.path == str(recs[whole.file[row]])
        assert one.size == length.sum() > 0
        row = stop
    assert row == 66


def test_what_does_not_fit_is_refused(recs):
    paths, _ = named(recs, "manifest")
    with pytest.raises(OptionError, match="path_imgidx"):
        record_ranges(paths, "a.idx")
    with pytest.raises(OptionError, match="at least one range, got 0"):
        record_ranges(paths, "", 0)
    (one, *_) = record_ranges(paths, "")
    recs[0].with_suffix(".idx").write_text("1\t0\n")
    with pytest.raises(FormatError, match="not the one that the manifest was made with"):
        one.places()
