"""A cache's file: shared while it is used, of one source, whole or not there."""

import contextlib
import errno
import fcntl
import logging
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from gpuio.cache import mapped
from gpuio.cache.mapped import open_mapped, remove_stale
from gpuio.cache.store import HEADS, NO_ROOM, Store
from gpuio.decode.formats import FORMATS
from gpuio.errors import StorageError
from gpuio.kernels.image_header import HEADER
from support.leaks import open_files

ROWS = 6
FRONT = np.frombuffer(b"front", np.uint8)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "one.gpuio-cache")


@contextlib.contextmanager
def opened(path, key="key", *, rows=ROWS, kept=True, size=1 << 20):
    memory = open_mapped(path, key, rows, size, kept=kept)
    store = Store(memory)
    try:
        yield store
    finally:
        store.close()


def heads_of(rows):
    heads = np.zeros(rows, HEADS)
    heads["address"], heads["size"], heads["length"] = FRONT.ctypes.data, FRONT.size, 99
    return heads


def claimed(store, positions):
    positions = np.array(positions, np.int64)
    sizes = np.full(len(positions), 300, np.int64)
    return store.claim(positions, sizes, heads_of(len(positions)), np.zeros(len(positions), HEADER))


def put(store, positions, value=1):
    """Store images of 300 bytes at some rows; return the claim."""
    claim = claimed(store, positions)
    if claim is not None:
        for row in claim.rows.tolist():
            at = int(claim.pixels[row] - store.memory.base)
            pixels_of(store)[at : at + 300] = value
        store.settle(claim, claim.pixels != 0, tried=True)
    return claim


def pixels_of(store):
    return np.frombuffer(store.memory._map, np.uint8)


def held(store):
    """The rows that are ready, and the first byte of each one's pixels."""
    found = store.find(np.arange(ROWS))
    if found is None:
        return {}
    data = pixels_of(store)
    rows = np.flatnonzero(found.slots)
    return {row: int(data[found.pixels[row] - store.memory.base]) for row in rows.tolist()}


def test_what_is_kept_is_found_again(path):
    with opened(path) as store:
        assert held(store) == {}
        put(store, [1, 4], 7)
    with opened(path) as store:
        assert held(store) == {1: 7, 4: 7}
        put(store, [0, 1], 9)
        assert held(store) == {0: 9, 1: 7, 4: 7}


def test_two_users_see_each_others_images_and_the_last_one_removes_the_file(path):
    with opened(path, kept=False) as one:
        with opened(path, kept=False) as other:
            put(one, [2])
            assert held(other) == {2: 1}
            put(other, [2, 3])
            assert held(one) == {2: 1, 3: 1}
        assert Path(path).exists()
    assert not Path(path).exists()


@pytest.mark.parametrize("other", [{"key": "new"}, {"rows": ROWS + 1}])
def test_another_source_gets_a_file_of_its_own(path, other):
    with opened(path) as old:
        put(old, [1], 5)
        with opened(path, **other) as store:
            assert held(store) == {}
            put(store, [1], 6)
        assert held(old) == {1: 5}  # not cut, not written over
    with opened(path, **other) as store:
        assert held(store) == {1: 6}


def damage(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("at", [0, 16, 80, 88, 96, 104])
def test_a_damaged_beginning_is_another_file(path, at):
    with opened(path) as store:
        put(store, [1])
    damage(path, at, b"\xff" * 8)
    with opened(path) as store:
        assert held(store) == {}
        put(store, [1])
        assert held(store) == {1: 1}


def test_a_file_that_was_cut_is_made_anew(path):
    with opened(path) as store:
        put(store, [1])
    os.truncate(path, 5000)
    with opened(path) as store:
        assert held(store) == {}
    Path(path).write_bytes(b"")
    with opened(path) as store:
        assert held(store) == {}


def test_damaged_images_are_noticed_once_they_are_asked_for(path, caplog):
    with opened(path) as store:
        claim = put(store, [1, 2, 3])
        at = int(claim.pixels[1] - store.memory.base)
    damage(path, at + 100, b"x")
    with opened(path) as store, caplog.at_level(logging.WARNING, "gpuio"):
        assert held(store) == {1: 1, 3: 1}
        assert "damaged" in caplog.text
        put(store, [2], 8)
        assert held(store) == {1: 1, 2: 8, 3: 1}


def test_many_damaged_images_are_one_line_of_the_log(path, caplog):
    with opened(path) as store:
        claim = put(store, [1, 2, 3])
        places = claim.pixels - store.memory.base
    for at in places.tolist():
        damage(path, at + 100, b"x")
    with opened(path) as store, caplog.at_level(logging.WARNING, "gpuio"):
        assert [store.find(np.array([row])) for row in (3, 1, 2)] == [None] * 3
    (line,) = caplog.messages
    assert f"{path} are damaged, record 3 " in line


@pytest.mark.parametrize("value", [8, 1 << 50, -8])
def test_a_damaged_index_leads_nowhere(path, value):
    with opened(path) as store:
        put(store, [1, 2])
    damage(path, 4096 + 8, np.int64(value).tobytes())
    with opened(path) as store:
        assert held(store) == {2: 1}


def test_an_index_that_names_another_rows_slot_is_noticed(path):
    with opened(path) as store:
        put(store, [1, 2])
        store.memory.offsets[1] = store.memory.offsets[2]
    with opened(path) as store:
        assert held(store) == {2: 1}


def test_claims_of_a_process_that_ended_are_taken_back(path):
    with opened(path) as store:
        assert claimed(store, [3, 4]) is not None
        taken = store.memory.nbytes
        with opened(path) as other:
            assert put(other, [3]) is None  # they are being made
    with opened(path) as store:
        assert put(store, [3, 4]) is not None
        assert store.memory.nbytes == taken  # in the same place


def test_of_one_share_each_row_is_claimed_once_and_no_row_never(path):
    with opened(path) as store:
        claim = claimed(store, [3, -1, 1, 3, 1])
        assert claim.rows.tolist() == [0, 2]
        assert np.flatnonzero(claim.pixels).tolist() == [0, 2]
        assert claimed(store, [1, 3]) is None
        store.settle(claim, np.array([True, False, False, False, False]), tried=True)
        assert list(held(store)) == [3]  # and row 1 cannot be decoded, nobody tries again
        assert claimed(store, [1, 3]) is None


@pytest.mark.parametrize(("ended", "count"), [(1, 2), (0, 1)])
def test_a_jpeg_without_its_end_is_not_kept(path, ended, count):
    headers = np.zeros(2, HEADER)
    headers["kind"], headers["ended"] = [FORMATS.index("jpeg"), FORMATS.index("png")], [ended, 0]
    with opened(path) as store:
        claim = store.claim(np.arange(2), np.full(2, 300), heads_of(2), headers)
        assert len(claim.rows) == count


def test_a_share_is_the_same_rows_evenly_spread(path):
    with opened(path, rows=1000) as store:
        zeros = np.zeros(1000, HEADER)
        claim = store.claim(np.arange(1000), np.full(1000, 300), heads_of(1000), zeros, 0.3)
        kept = claim.positions[claim.rows]
        assert len(kept) == 300
        assert set(np.diff(kept).tolist()) == {3, 4}


def test_room_ends(path):
    with opened(path, rows=20, size=10 << 10) as store:
        put(store, range(20))
        assert store.ready == 8
        assert put(store, range(20)) is None
        assert store.memory.take(*np.array([[1 << 20], [0], [0]])).tolist() == [NO_ROOM]


def test_a_full_disk_ends_the_filling_with_a_warning(path, monkeypatch, caplog):
    monkeypatch.setattr(mapped, "_PIECE", 512)
    with opened(path) as store, caplog.at_level(logging.WARNING, "gpuio"):
        put(store, [1])
        real = os.posix_fallocate

        def full(fd, at, size):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        assert put(store, [2, 3, 4]) is None
        monkeypatch.setattr(os, "posix_fallocate", real)
        assert put(store, [2, 3, 4]) is None  # not tried again and again
        assert held(store) == {1: 1}
    assert caplog.text.count("No space left") == 1


def test_no_room_for_the_beginning_is_an_error_and_leaves_nothing(path, monkeypatch):
    def full(fd, at, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left"):
        open_mapped(path, "key", ROWS, 1 << 20, kept=True)
    assert list(Path(path).parent.iterdir()) == []


def test_a_folder_without_links_between_files(path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with opened(path) as store:
        put(store, [1])
    with opened(path) as store:
        assert held(store) == {1: 1}


@pytest.fixture
def no_writing(monkeypatch):
    """A file system that lets nothing be written."""
    real = os.open

    def refuse(path, flags, *args, **more):
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return real(path, flags, *args, **more)

    def begin():
        monkeypatch.setattr(mapped.os, "open", refuse)

    return begin


def test_what_is_in_a_file_that_cannot_be_written_is_used(path, no_writing, caplog):
    with opened(path) as store:
        at = put(store, [1, 2, 3]).pixels[1] - store.memory.base
        store.settle(claimed(store, [4]), np.zeros(1, bool), tried=False)  # it has a place
        claimed(store, [5])  # and so has this, whose process ends
        store.memory.offsets[3] = 1 << 40
    damage(path, int(at), b"x")
    before = Path(path).read_bytes()
    no_writing()
    with opened(path) as store, caplog.at_level(logging.WARNING, "gpuio"):
        assert "the 2 images that are in it are used" in caplog.text
        assert held(store) == {1: 1}  # that 2 is damaged is noticed once it is asked for
        assert claimed(store, [0, 2, 3, 4, 5]) is None
    assert Path(path).read_bytes() == before


def test_a_file_of_another_source_that_cannot_be_written_is_left(path, no_writing, monkeypatch):
    with opened(path) as store:
        put(store, [1])
    before = Path(path).read_bytes()
    no_writing()

    def refuse(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(mapped.os, "unlink", refuse)
    with pytest.raises(StorageError, match="Read-only"), opened(path, "other"):
        pass
    assert Path(path).read_bytes() == before


def test_another_users_file_is_not_used(path, monkeypatch):
    with opened(path):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StorageError, match="another user"):
        open_mapped(path, "key", ROWS, 1 << 20, kept=True)
    monkeypatch.undo()
    link = f"{path}.link"
    os.symlink(path, link)
    with pytest.raises(StorageError):
        open_mapped(link, "key", ROWS, 1 << 20, kept=True)


def test_stale_files_are_removed_and_used_ones_are_not(tmp_path):
    names = ["gpuio-host-a.gpuio-cache", "gpuio-host-b.gpuio-cache", "gpuio-disk-c.gpuio-cache"]
    with opened(str(tmp_path / names[0]), kept=False):
        for name in names[1:]:
            with opened(str(tmp_path / name)):
                pass
        (tmp_path / "gpuio-host-b.gpuio-cache.xyz.new").write_bytes(b"a beginning")
        remove_stale(str(tmp_path), "gpuio-host-")
        assert {one.name for one in tmp_path.iterdir()} == {names[0], names[2]}


def test_a_new_file_that_another_process_takes_for_a_stale_one_is_made_again(tmp_path, monkeypatch):
    path, made, make = str(tmp_path / "gpuio-host-one"), [], mapped.tempfile.mkstemp

    def not_yet_locked(**given):
        fd, temporary = make(**given)
        made.append(temporary)
        if len(made) == 1:  # another one opens a cache here, and tidies up
            remove_stale(str(tmp_path), "gpuio-host-")
        return fd, temporary

    monkeypatch.setattr(mapped.tempfile, "mkstemp", not_yet_locked)
    open_mapped(path, "key", ROWS, 1 << 20, kept=False).close()
    assert len(made) == 2


@pytest.mark.parametrize("work", ["take", "close", "look for stale ones", "open"])
def test_threads_of_one_process_wait_for_each_other(path, tmp_path, work):
    """lockf keeps no thread of the process out, and any closing of the file lets it go."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)  # another path of the same file
    with opened(path, kept=False) as one, contextlib.ExitStack() as stack:
        other = stack.enter_context(opened(str(link / Path(path).name), kept=False))
        works = {
            "take": lambda: put(other, [1]),
            "close": other.close,
            "look for stale ones": lambda: remove_stale(str(tmp_path), "one"),
            "open": lambda: open_mapped(path, "key", ROWS + 1, 1 << 20, kept=False).close(),
        }
        thread = threading.Thread(target=works[work])
        with one.memory.alone():
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()
        thread.join(60)
        assert not thread.is_alive()


def test_no_descriptor_and_no_lock_stays(path):
    before = open_files()
    for _ in range(3):
        with opened(path) as store:
            put(store, [1])
    assert not open_files() - before
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
