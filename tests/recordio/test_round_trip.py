"""What is written is read back: records, labels, ids, indexes; parts and resumed readers agree."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuio as mx
from gpuio.order.part import part
from gpuio.recordio import IRHeader, MXIndexedRecordIO, MXRecordIO, pack, unpack
from gpuio.recordio.index import build_index, open_table
from gpuio.recordio.resync import resync
from gpuio.storage.local import LocalFile
from support.making import flat, write_rec

MAGIC = bytes.fromhex("0a23d7ce")
MAGIC_NUMBER = struct.unpack("<I", MAGIC)[0]
MAGIC_FLOAT = struct.unpack("<f", MAGIC)[0]

ids = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([MAGIC_NUMBER, MAGIC_NUMBER << 32]))
numbers = st.one_of(st.floats(width=32, allow_nan=False), st.just(MAGIC_FLOAT))
labels = st.one_of(numbers, st.lists(numbers, max_size=5))
# the magic at each of the four alignments, alone, twice, cut, and where a length would follow
pieces = st.one_of(
    st.binary(max_size=9),
    st.sampled_from([MAGIC, MAGIC * 2, MAGIC[:3], MAGIC + struct.pack("<I", 8)]),
)
blobs = st.tuples(st.integers(0, 3), st.lists(pieces, max_size=8)).map(
    lambda made: b"s" * made[0] + b"".join(made[1])
)
records = st.tuples(labels, ids, ids, blobs)


@settings(max_examples=120, deadline=None)
@given(st.lists(records, max_size=20))
def test_records_labels_and_ids_come_back_and_a_rebuilt_index_is_the_written_one(
    tmp_path_factory, many
):
    folder = tmp_path_factory.mktemp("trip")
    rec, idx, again = (str(folder / name) for name in ("a.rec", "a.idx", "again.idx"))
    with MXIndexedRecordIO(idx, rec, "w") as writer:
        for number, (label, identity, id2, blob) in enumerate(many):
            writer.write_idx(number, pack(IRHeader(0, label, identity, id2), blob))
    with MXRecordIO(rec, "r") as reader:
        read = [unpack(payload) for payload in iter(reader.read, None)]
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        by_key = [unpack(reader.read_idx(key)) for key in reversed(range(len(many)))][::-1]
    assert len(read) == len(by_key) == len(many)
    for (label, identity, id2, blob), *both in zip(many, read, by_key, strict=True):
        for header, found in both:
            assert (header.id, header.id2, found) == (identity, id2, blob)
            expected = np.float32(label if np.ndim(label) == 0 or len(label) else 0.0)
            assert np.array_equal(np.float32(header.label), expected)
    assert build_index(rec, again) == len(many)
    assert Path(again).read_bytes() == Path(idx).read_bytes()
    with LocalFile(rec) as file:
        for thorough in (False, True):
            offsets, _, skipped = resync(file, thorough=thorough)
            assert (offsets.tolist(), skipped) == (list(writer.idx.values()), ())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=40), st.integers(1, 8))
def test_parts_are_disjoint_and_together_the_whole(tmp_path_factory, sizes, parts):
    rec, idx = write_rec(tmp_path_factory.mktemp("parts"), [bytes(size) for size in sizes])
    for index in ([], [idx]):
        table = open_table([rec], index)
        rows = [list(range(len(sizes)))[part(table, parts, number)] for number in range(parts)]
        assert [row for one in rows for row in one] == list(range(len(sizes)))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_rec(tmp_path_factory.mktemp("images"), [flat(i) for i in range(40)])


@pytest.mark.parametrize("parts", range(1, 9))
@pytest.mark.parametrize("shuffle", [False, True])
def test_resuming_at_every_batch_of_every_part_goes_on_as_if_never_stopped(images, parts, shuffle):
    seen = []
    for part_index in range(parts):
        options = {
            "path_imgrec": images[0],
            "path_imgidx": images[1],
            "data_shape": (3, 8, 8),
            "batch_size": 2,
            "num_parts": parts,
            "part_index": part_index,
            "shuffle": shuffle,
            "seed": 3,
            "last_batch": "partial",
            "verbose": False,
            "ctx": "cpu",
            "preprocess_threads": 1,
        }
        states, labels = [], []
        with mx.io.ImageRecordIter(**options) as whole:
            for epoch in range(2):
                if epoch:
                    whole.reset()
                for _ in range(len(whole)):
                    states.append(json.loads(json.dumps(whole.state_dict())))
                    labels.append(next(whole).label[0].asnumpy().tolist())
            half = len(labels) // 2
        seen += [label for batch in labels[:half] for label in batch]
        with mx.io.ImageRecordIter(**options) as resumed:
            for place, state in enumerate(states):
                resumed.load_state_dict(state)
                left = [
                    next(resumed).label[0].asnumpy().tolist()
                    for _ in range(min(2, half - place % half))
                ]
                assert left == labels[place : place + len(left)]
    assert sorted(seen) == list(range(40))
