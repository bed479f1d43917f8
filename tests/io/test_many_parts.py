"""Sets of more files than a process may open."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from support.parts import write_parts

PARTS, EACH = 300, 4


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Record files of a few records each, with their indexes; ids count through them."""
    folder = tmp_path_factory.mktemp("parts")
    write_parts(folder, [EACH] * PARTS)
    return folder


@pytest.fixture
def few_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = 2 * len(os.listdir("/proc/self/fd")) + 80  # other tests of this process may hold some
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    yield soft
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def held(folder):
    """Which files of a folder this process holds open."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.exists(link)]
    return sorted(Path(path).name for path in found if Path(path).parent == folder)


def open_it(rec, idx="", kind=mx.io.ImageRecordIter, **options):
    given = {
        "path_imgrec": rec if isinstance(rec, list) else str(rec),
        "path_imgidx": idx,
        "data_shape": (3, 1, 1),
        "batch_size": 4,
        "preprocess_threads": 1,
        "verbose": False,
        "ctx": "cpu",
    }
    return kind(**{**given, **options})


def files_of(folder):
    recs = sorted(map(str, folder.glob("*.rec")))
    return recs, [rec[:-3] + "idx" for rec in recs]


def ids(it):
    """Return the ids of an epoch, and how many files were open at once."""
    made, most = [], 0
    for batch in it:
        made += batch.index[: len(batch.index) - batch.pad].tolist()
        most = max(most, len(held(Path(it._opened.table.paths[0]).parent)))
    return made, most


def test_more_files_are_read_than_may_be_open(parts, few_descriptors):
    named = files_of(parts)
    allowed = few_descriptors // 2 + 4  # those beside: being read from
    with open_it(*named, batch_size=64) as it:
        made, most = ids(it)
        assert made == list(range(PARTS * EACH))
        it.reset()  # looks whether the files changed
        assert 4 < max(most, len(held(parts))) <= allowed < PARTS
    with open_it(*named, batch_size=64, shuffle=True, num_parts=2, part_index=1) as it:
        made, most = ids(it)
        assert made != sorted(made)
        np.testing.assert_array_equal(np.sort(made), np.arange(PARTS * EACH // 2, PARTS * EACH))
        assert most <= allowed
    assert held(parts) == []
