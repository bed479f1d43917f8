"""A saved state is taken back only by an iterator that hands out the same sequence."""

import json
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import StateError
from gpuio.recordio.sniff import spread
from support.faceset import keep_lines
from support.making import flat, write_rec


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """Records of 64 KiB, 10 MiB in all: several chunks without an index."""
    blobs = [flat(i) + bytes(65000) for i in range(160)]
    return write_rec(tmp_path_factory.mktemp("big"), blobs)


BASE = {"batch_size": 7, "shuffle": True, "num_parts": 2, "seed": 3}
# option: another value of it, and whether the base has an index
OTHERS = [
    ("batch_size", 8, True),
    ("num_parts", 3, True),
    ("part_index", 1, True),
    ("shuffle", False, True),
    ("seed", 4, True),
    ("seed", 4, False),
    ("round_batch", False, True),
    ("last_batch", "discard", True),
    ("last_batch", "partial", True),
    ("shuffle_chunk_size", 1, False),
    ("shuffle_chunk_seed", 9, False),
]


def open_it(paths, *, index, **options):
    options = {"data_shape": (3, 8, 8), "verbose": False, "ctx": "cpu", **BASE, **options}
    if index:
        options["path_imgidx"] = paths[1]
    return mx.io.ImageRecordIter(path_imgrec=paths[0], **options)


def sequence(it):
    """Ids and pads of two epochs."""
    made = []
    for _ in range(2):
        made += [(batch.index.tolist(), batch.pad) for batch in it]
        it.reset()
    return made


@pytest.mark.parametrize(("name", "value", "index"), OTHERS)
def test_an_option_that_moves_records_refuses_the_state(big, name, value, index):
    extra = {"shuffle_chunk_size": 1} if name == "shuffle_chunk_seed" else {}
    with (
        open_it(big, index=index, **extra) as one,
        open_it(big, index=index, **{**extra, name: value}) as other,
    ):
        assert sequence(one) != sequence(other)
        named = "last_batch" if name == "round_batch" else name
        with pytest.raises(StateError, match=f"{named}: saved"):
            other.load_state_dict(one.state_dict())


def test_a_state_with_and_without_the_index_is_another(big):
    with (
        open_it(big, index=True) as one,
        open_it(big, index=False) as other,
        open_it(big, index=False, reindex=True) as same,
    ):
        same.load_state_dict(one.state_dict())
        with pytest.raises(StateError, match="indexed: saved True, here False"):
            other.load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    ("name", "value"),
    [("preprocess_threads", 1), ("prefetch_buffer", 2), ("data_name", "x"), ("mean_r", 5.0)],
)
def test_other_options_take_the_state(big, name, value):
    with open_it(big, index=True) as one, open_it(big, index=True, **{name: value}) as other:
        next(one)
        other.load_state_dict(json.loads(json.dumps(one.state_dict())))
        assert next(other).index.tolist() == next(one).index.tolist()


def test_another_set_of_the_same_size_is_another_source(tmp_path):
    blobs = [flat(i).ljust(200, b"\0") for i in range(20)]  # all of one length
    one, two = (write_rec(tmp_path, blobs, name=name) for name in ("one", "two"))
    three = write_rec(tmp_path, blobs[::-1], name="three")
    with (
        open_it(one, index=True) as first,
        open_it(two, index=True) as same,
        open_it(three, index=True) as other,
    ):
        same.load_state_dict(first.state_dict())  # the files' names are not looked at
        with pytest.raises(StateError, match="digest: saved") as raised:
            other.load_state_dict(first.state_dict())
        assert "records" not in str(raised.value)


def test_another_selection_of_the_same_file_is_another_source(tmp_path):
    paths = [write_rec(tmp_path, [flat(i) for i in range(20)], name=name) for name in "ab"]
    for (_, idx), keep in zip(paths, ([*range(18)], [*range(2, 20)]), strict=True):
        keep_lines(idx, keep)
    with pytest.warns(mx.GpuioWarning, match="18 of 20"):
        first, other = (open_it(each, index=True) for each in paths)
    with first, other, pytest.raises(StateError, match="digest"):
        other.load_state_dict(first.state_dict())


def test_a_state_with_the_checksum_of_the_first_version_is_loaded(tmp_path):
    blobs = [flat(i) for i in range(20)]
    with open_it(write_rec(tmp_path, blobs), index=True) as it:
        next(it)
        state, table = it.state_dict(), it._machine().table
        made = 0
        for array in (table.file, table.offset, table.length, table.key):
            made = zlib.crc32(np.ascontiguousarray(array).data, made)
        data = Path(table.paths[0]).read_bytes()
        for row in spread(0, 20, 16).tolist():
            begin = int(table.offset[row])
            made = zlib.crc32(data[begin : begin + min(int(table.length[row]), 256)], made)
        state["source"]["digest"] = f"{made:08x}"
        it.reset()
        it.load_state_dict(state)
        assert it.state_dict()["samples"] == state["samples"]
        state["source"]["digest"] = f"{made ^ 1:08x}"
        with pytest.raises(StateError, match="digest: saved"):
            it.load_state_dict(state)


def test_what_was_opened_is_logged(big, caplog):
    caplog.set_level(logging.INFO, "gpuio")
    open_it(big, index=True, verbose=True).close()
    (line,) = [one.getMessage() for one in caplog.records if "records in" in one.getMessage()]
    assert "160 records" in line
    assert "part 0 of 2: 80" in line
