"""Positional reads: exact, merged where near, safe in children, errors with their place."""

import errno
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import ClosedError, StorageError
from gpuio.storage.atomic import writing
from gpuio.storage.local import LocalFile

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("local") / "data.bin"
    made.write_bytes(DATA)
    return str(made)


def test_size_and_exact_reads(path):
    with LocalFile(path) as file:
        assert file.size == len(DATA)
        assert file.read(1000, 300) == DATA[1000:1300]
        assert file.read(len(DATA), 0) == b""


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 100_000)), max_size=20))
def test_ranges_in_any_order_and_overlap_are_exact(path, ranges):
    ranges = [(at, min(size, len(DATA) - at)) for at, size in ranges]
    with LocalFile(path) as file:
        found = file.read_ranges([at for at, _ in ranges], [size for _, size in ranges])
    assert [bytes(part) for part in found] == [DATA[at : at + size] for at, size in ranges]


def test_near_ranges_share_a_read_and_far_ones_do_not(path, monkeypatch):
    calls = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: calls.append(a[1:]) or real(*a))
    with LocalFile(path) as file:
        file.read_ranges([0, 1000, 3000], [500, 500, 500])
        assert calls == [(3500, 0)]
        calls.clear()
        file.read_ranges([900_000, 0], [10, 10])
        assert sorted(calls) == [(10, 0), (10, 900_000)]


def test_a_read_past_the_end_names_the_place(path):
    with LocalFile(path) as file, pytest.raises(StorageError, match="file ends at byte") as raised:
        file.read(len(DATA) - 10, 20)
    assert (raised.value.path, raised.value.offset) == (path, len(DATA) - 10)


def test_short_reads_are_completed(path, monkeypatch):
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 7), at))
    with LocalFile(path) as file:
        assert file.read(5, 100) == DATA[5:105]


def test_a_system_error_is_a_storage_error_with_its_cause(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    with LocalFile(path) as file:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(StorageError, match="Input/output error") as raised:
            file.read(64, 8)
    assert raised.value.offset == 64
    assert isinstance(raised.value.__cause__, OSError)


def test_what_cannot_be_opened(tmp_path):
    for wrong in (tmp_path / "no", tmp_path):
        with pytest.raises(StorageError, match=str(wrong)):
            LocalFile(str(wrong))


def test_a_closed_file_says_so(path):
    file = LocalFile(path)
    file.close()
    file.close()
    with pytest.raises(ClosedError):
        file.read(0, 1)


def test_a_pickled_file_opens_itself_again(path):
    with LocalFile(path) as file:
        copy = pickle.loads(pickle.dumps(file))
        assert copy.read(3, 4) == DATA[3:7]
        assert file.read(3, 4) == DATA[3:7]
        copy.close()


def test_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    with LocalFile(str(path)) as file:
        file.check_unchanged()
        path.write_bytes(b"12345")
        with pytest.raises(StorageError, match="4 bytes then, 5 now"):
            file.check_unchanged()
        path.unlink()
        with pytest.raises(StorageError, match="gone"):
            file.check_unchanged()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    with writing(path) as file:
        file.write(b"old")
        assert not path.exists()
    assert path.read_bytes() == b"old"
    with pytest.raises(KeyError), writing(path) as file:  # noqa: PT012
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(StorageError, match="No space left") as raised, writing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.path == str(path)
    assert path.read_bytes() == b"old"
