"""Positional reads: exact, merged where near, safe in children, errors with their place."""

import errno
import itertools
import os
import pickle
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuio.errors import ClosedError, StorageError
from gpuio.storage import local
from gpuio.storage.atomic import writing
from gpuio.storage.local import LocalFile
from support.leaks import open_files

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


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 100_000)), max_size=20))
def test_merged_reads_say_where_each_range_lies(path, ranges):
    ranges = [(at, min(size, len(DATA) - at)) for at, size in ranges]
    with LocalFile(path) as file:
        buffers, number, start = file.read_merged(
            [at for at, _ in ranges], [size for _, size in ranges]
        )
    assert (number.dtype, start.dtype) == (np.int64, np.int64)
    assert sorted(set(number.tolist())) == [*range(len(buffers))]
    for which, begin, (at, size) in zip(number.tolist(), start.tolist(), ranges, strict=True):
        assert buffers[which][begin : begin + size] == DATA[at : at + size]


def test_no_merged_read_is_larger_than_a_mebibyte_unless_a_range_is(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(bytes(5 << 20))
    with LocalFile(path) as file:
        starts = np.arange(0, 4 << 20, 50_000)
        buffers, number, start = file.read_merged(starts, np.full(len(starts), 50_000))
        assert [len(buffer) for buffer in buffers] == [1_000_000] * 4 + [200_000]
        assert start[number == 1].tolist() == [*range(0, 1_000_000, 50_000)]
        assert [len(one) for one in file.read_merged([0, 2 << 20], [2 << 20, 10])[0]] == [
            2 << 20,
            10,
        ]


def test_a_merged_read_tries_again_and_names_the_place(path, monkeypatch, waits):
    with LocalFile(path) as file:
        failing(monkeypatch, errno.EIO, 3)
        assert file.read_merged([64], [8])[0] == [DATA[64:72]]
        assert len(waits) == 3
        with pytest.raises(StorageError, match="file ends at byte") as raised:
            file.read_merged([10, len(DATA) - 10], [5, 20])
    assert raised.value.offset == len(DATA) - 10


class Memory:
    """What `read_packed` was given to write to."""

    def __init__(self):
        self.made = []

    def __call__(self, nbytes):
        self.made.append(np.full(nbytes, 0xEE, np.uint8))
        return self.made[-1]


def tell(monkeypatch, clock):
    """Let the module read another clock."""
    told = SimpleNamespace(perf_counter=clock, sleep=lambda wait_s: time.sleep(wait_s))  # noqa: PLW0108 -- `waits` may replace it
    monkeypatch.setattr(local, "time", told)


def waiting(monkeypatch, waits):
    """Let compiled reads say how often they waited."""
    real = local._compiled()
    fake = SimpleNamespace(
        lay_out=real.lay_out, read_ranges=lambda *a: (real.read_ranges(*a)[0], next(waits))
    )
    monkeypatch.setattr(local, "_compiled", lambda: fake)


@pytest.fixture(params=["compiled", "Python", "compiled, from a disk"])
def packed(request, monkeypatch):
    """Return a function that opens a file whose ranges are read in one of three ways."""
    if request.param == "Python":
        monkeypatch.setattr(local, "_compiled", lambda: None)
    # time that stands still, or takes ages
    now = itertools.count(step=1000 if "disk" in request.param else 0)
    tell(monkeypatch, lambda: next(now))
    if "disk" in request.param:
        waiting(monkeypatch, itertools.repeat(100))
    return LocalFile


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 100_000)), max_size=20))
def test_packed_ranges_are_exact(path, packed, ranges):
    ranges = [(at, min(size, len(DATA) - at)) for at, size in ranges]
    with packed(path) as file:
        for _ in range(2):
            memory, start = file.read_packed(
                [r[0] for r in ranges], [r[1] for r in ranges], Memory()
            )
            assert (memory.dtype, start.dtype) == (np.uint8, np.int64)
            for begin, (at, size) in zip(start.tolist(), ranges, strict=True):
                assert memory[begin : begin + size].tobytes() == DATA[at : at + size]


def test_packed_ranges_try_again_and_name_the_place(path, packed, monkeypatch, waits):
    ask = Memory()
    # one read of three fails in compiled code, and Python's own try fails three times
    if local._compiled() is not None:
        real = local._compiled().read_ranges
        fake = SimpleNamespace(
            lay_out=local._compiled().lay_out,
            read_ranges=lambda fd, low, high, first, memory: (
                (1, 0)
                if first <= 1 and real(fd, low[:1], high[:1], first, memory)[0] == 1
                else real(fd, low, high, first, memory)
            ),
        )
        monkeypatch.setattr(local, "_compiled", lambda: fake)
    with packed(path) as file:
        failing(monkeypatch, errno.EIO, 3)
        memory, start = file.read_packed([0, 400_000, 800_000], [10, 20, 30], ask)
        assert memory is ask.made[0]
        assert len(memory) == 60
        for at, begin, size in zip(
            [0, 400_000, 800_000], start.tolist(), [10, 20, 30], strict=True
        ):
            assert memory[begin : begin + size].tobytes() == DATA[at : at + size]
        assert len(waits) == 3
        with pytest.raises(StorageError, match="file ends at byte") as raised:
            file.read_packed([10, len(DATA) - 10], [5, 20], Memory())
    assert raised.value.offset == len(DATA) - 10
    with pytest.raises(ClosedError):
        file.read_packed([0], [1], Memory())


def test_what_is_near_is_larger_where_a_disk_is_waited_for(path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *a: asked.append(a[1:3]))
    tell(monkeypatch, lambda: 0.0)
    ranges = [0, 50_000, 500_000], [100, 100, 100]
    with LocalFile(path) as file:  # of one just opened nothing is known
        memory, _ = file.read_packed(*ranges, Memory())
        assert len(memory) == 50_200
        assert asked == [(0, 50_100), (500_000, 100)]
        memory, _ = file.read_packed(*ranges, Memory())
        assert len(memory) == 300
        assert len(asked) == 2
        now = itertools.count()
        tell(monkeypatch, lambda: next(now))  # a second a read
        for waits in (0, 1):  # another process had the core: this one did not wait
            waiting(monkeypatch, itertools.repeat(waits))
            memory, _ = file.read_packed(*ranges, Memory())
            assert len(memory) == 300
        for waits in (2, -1):  # of 3 reads; -1: the system does not tell
            file._far = False
            waiting(monkeypatch, itertools.repeat(waits))
            file.read_packed(*ranges, Memory())
            memory, _ = file.read_packed(*ranges, Memory())
            assert len(memory) == 50_200


def test_a_file_that_is_closed_while_it_is_read_keeps_its_descriptor(path, monkeypatch):
    """Its number may be another file's at once."""
    real = local._compiled()
    file = LocalFile(path)
    assert open_files()[path] == 1

    def read_ranges(fd, *rest):
        file.close()
        with Path("/dev/null").open("rb"):  # takes the number
            return real.read_ranges(fd, *rest)

    fake = SimpleNamespace(lay_out=real.lay_out, read_ranges=read_ranges)
    monkeypatch.setattr(local, "_compiled", lambda: fake)
    memory, _ = file.read_packed([5], [10], Memory())
    assert memory.tobytes() == DATA[5:15]
    assert open_files()[path] == 0


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
        calls.clear()
        # what is near a range that goes far is near, too
        file.read_ranges([0, 100, 250_000], [200_000, 10, 10])
        assert calls == [(250_010, 0)]


def test_a_read_past_the_end_names_the_place(path):
    with LocalFile(path) as file, pytest.raises(StorageError, match="file ends at byte") as raised:
        file.read(len(DATA) - 10, 20)
    assert (raised.value.path, raised.value.offset) == (path, len(DATA) - 10)


def test_short_reads_are_completed(path, monkeypatch):
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: real(fd, min(size, 7), at))
    with LocalFile(path) as file:
        assert file.read(5, 100) == DATA[5:105]


@pytest.fixture
def waits(monkeypatch):
    """Let waiting take no time, and note how long it would have been."""
    noted = []
    monkeypatch.setattr(time, "sleep", noted.append)
    return noted


def failing(monkeypatch, number, times):
    """Let the next calls of pread fail; return what is left of them."""
    left = [number] * times
    real = os.pread

    def pread(*args):
        if left:
            code = left.pop()
            raise OSError(code, os.strerror(code))
        return real(*args)

    monkeypatch.setattr(os, "pread", pread)
    return left


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT])
def test_a_read_that_fails_is_tried_three_times_more(path, monkeypatch, waits, number):
    with LocalFile(path) as file:
        left = failing(monkeypatch, number, 3)
        assert file.read(64, 800) == DATA[64:864]
        assert (left, waits) == ([], sorted(waits))
        assert len(waits) == 3
        left = failing(monkeypatch, number, 5)
        with pytest.raises(StorageError, match=re.escape(os.strerror(number))) as raised:
            file.read(64, 8)
        assert len(left) == 1
        left.clear()
        assert file.read(64, 8) == DATA[64:72]  # the file is still open
    assert (raised.value.path, raised.value.offset) == (path, 64)
    assert isinstance(raised.value.__cause__, OSError)


def test_an_error_that_will_not_pass_is_raised_at_once(path, monkeypatch, waits):
    with LocalFile(path) as file:
        failing(monkeypatch, errno.EBADF, 1)
        with pytest.raises(StorageError, match="Bad file descriptor"):
            file.read(64, 8)
    assert waits == []


def test_a_stale_handle_is_opened_anew_for_every_thread(tmp_path, monkeypatch, waits):
    path = tmp_path / "a"
    path.write_bytes(b"12345678")
    with LocalFile(str(path)) as file:
        other = tmp_path / "b"
        other.write_bytes(b"abcdefgh")
        os.utime(other, ns=(0, file.mtime_ns))
        other.replace(path)  # of the same size and time: a server's handle of the same file
        before = os.fstat(file._fd).st_ino
        failing(monkeypatch, errno.ESTALE, 1)
        assert file.read(0, 4) == b"abcd"
        assert os.fstat(file._fd).st_ino == path.stat().st_ino != before
        assert not os.get_inheritable(file._fd)
        path.write_bytes(b"something else")
        failing(monkeypatch, errno.ESTALE, 1)
        with pytest.raises(StorageError, match="changed while it was open"):
            file.read(0, 4)
        path.unlink()
        failing(monkeypatch, errno.ESTALE, 4)
        with pytest.raises(StorageError, match=r"[Ss]tale"):
            file.read(0, 4)


def test_a_read_that_ends_early_is_tried_again_if_the_file_does_not(path, monkeypatch, waits):
    real, answers = os.pread, [b"", b"", b""]
    monkeypatch.setattr(os, "pread", lambda *args: answers.pop() if answers else real(*args))
    with LocalFile(path) as file:
        assert file.read(64, 800) == DATA[64:864]
        assert len(waits) == 3
        answers[:] = [b""] * 4
        with pytest.raises(StorageError, match="file ends at byte 64") as raised:
            file.read(64, 8)
    assert raised.value.offset == 64


def test_a_file_cut_while_it_is_open_is_an_error_at_once(tmp_path, waits):
    path = tmp_path / "a"
    path.write_bytes(DATA)
    with LocalFile(str(path)) as file:
        os.truncate(path, 1000)
        with pytest.raises(StorageError, match="cut after it was opened") as raised:
            file.read(900, 200)
    assert (raised.value.offset, waits) == (900, [])


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


def test_a_file_whose_size_cannot_be_had_is_not_left_open(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"abc")

    def stale(_):
        raise OSError(errno.ESTALE, "Stale file handle")

    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", stale)
        with pytest.raises(StorageError, match="cannot open: Stale file handle"):
            LocalFile(tmp_path / "a")
    assert not open_files() - before


def test_a_file_closed_while_it_waits_to_be_opened_anew_takes_no_ones_number(path, monkeypatch):
    file, stranger = LocalFile(path), Path(path).with_name("stranger")
    stranger.write_bytes(b"stranger")
    opened = []

    def sleep(_):
        number = file._fd
        file.close()
        opened.append(os.open(stranger, os.O_RDONLY))
        assert opened == [number]

    monkeypatch.setattr("gpuio.storage.local.time.sleep", sleep)
    failing(monkeypatch, errno.ESTALE, 1)
    with pytest.raises(ClosedError):
        file.read(0, 4)
    assert os.read(opened[0], 8) == b"stranger"
    os.close(opened[0])


def test_a_file_that_nobody_holds_is_closed(path):
    file = LocalFile(path)
    fd = file._fd
    os.fstat(fd)
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(ValueError, match="null"):
        LocalFile("\0")
    with pytest.raises(TypeError):
        LocalFile(None)
