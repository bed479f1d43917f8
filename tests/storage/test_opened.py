"""Many files of which few are open: no more than allowed, none closed under a reader."""

import os
import resource
from pathlib import Path

import pytest

from gpuio.errors import ClosedError, StorageError
from gpuio.storage.opened import OpenFiles, open_at_once


@pytest.fixture
def paths(tmp_path):
    made = [str(tmp_path / f"{number}.rec") for number in range(5)]
    for number, path in enumerate(made):
        Path(path).write_bytes(bytes([number]) * 8)
    return made


def descriptors(paths):
    """Return which of some files this process holds open, by number, one entry each time."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    held = [os.readlink(link) for link in links if os.path.exists(link)]
    return sorted(paths.index(path) for path in held if path in paths)


def test_only_the_files_used_last_stay_open(paths):
    files = OpenFiles(paths, most=2)
    assert descriptors(paths) == []
    assert [file.read(0, 1)[0] for file in files] == [0, 1, 2, 3, 4]
    assert descriptors(paths) == [3, 4]
    assert files[3].read(7, 1) == b"\3"  # used again, so 4 is the older one
    assert files[0].read(7, 1) == b"\0"
    assert descriptors(paths) == [0, 3]
    files.close()
    assert descriptors(paths) == []
    files.close()
    with pytest.raises(ClosedError, match=r"0\.rec"):
        files[0]


def test_a_file_that_is_read_is_not_closed_under_its_reader(paths):
    files = OpenFiles(paths, most=1)
    held = files[0]
    assert files[1].read(0, 1) == b"\1"
    assert held.read(0, 1) == b"\0"
    assert descriptors(paths) == [0, 1]
    del held
    assert descriptors(paths) == [1]


def test_a_file_is_checked_when_it_is_first_opened(paths):
    seen = []
    files = OpenFiles(paths, lambda number, file: seen.append((number, file.path)), most=1)
    files.open_each()
    files.open_each()
    assert seen == list(enumerate(paths))
    assert [file.path for file in files[1:3]] == paths[1:3]
    with pytest.raises(IndexError):
        files[5]


def test_what_a_check_refuses_is_closed_and_refused_again(paths):
    def check(number, file):
        raise StorageError("no", path=file.path)

    files = OpenFiles(paths, check)
    for _ in range(2):
        with pytest.raises(StorageError, match="no"):
            files[0]
    assert descriptors(paths) == []


def test_a_file_that_was_replaced_meanwhile_is_an_error(paths):
    files = OpenFiles(paths, most=1)
    files.open_each()
    files.check_unchanged()
    Path(paths[0]).write_bytes(b"123")
    with pytest.raises(StorageError, match=r"changed while it was in use: 8 bytes then, 3 now"):
        files[0]
    with pytest.raises(StorageError, match=r"changed.*0\.rec"):
        files.check_unchanged()


def test_a_path_that_cannot_be_opened_is_told_each_time(paths):
    files = OpenFiles([*paths, "\0"])
    with pytest.raises(StorageError, match="missing"):
        OpenFiles([f"{paths[0]}.missing"])[0]
    with pytest.raises(ValueError, match="null"):
        files[5]


def test_half_of_the_limit_of_descriptors_may_be_files(monkeypatch):
    def limit(soft):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 4096))
        return open_at_once()

    soft = [1, 64, 256, 512, 100_000, resource.RLIM_INFINITY]
    assert [limit(one) for one in soft] == [1, 32, 128, 256, 256, 256]
