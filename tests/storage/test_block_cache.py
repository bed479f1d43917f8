"""Blocks on disk: fetched once for all processes, checked whenever they are read, within a cap."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gpuio.storage.block_cache import BlockCache
from gpuio.storage.connections import configure
from gpuio.storage.files import open_stored
from gpuio.storage.remote_file import BLOCK_BYTES
from gpuio.storage.stores import Version
from support.remote import served

DATA = np.random.default_rng(0).bytes(3 * BLOCK_BYTES + 1000)
VERSION = Version(len(DATA), '"e"')
SIZE = 300_000  # of the blocks of tests that need no server


@pytest.fixture
def server():
    with served() as made:
        made.objects["bkt/large"] = DATA
        yield made


def cache(folder, max_bytes=100 << 20):
    return BlockCache(str(folder), max_bytes, 10.0)


class Source:
    """Blocks that differ, and how often each was fetched."""

    def __init__(self):
        self.fetched = []

    def block(self, number):
        return np.random.default_rng(number).bytes(SIZE)

    def take(self, cache, number, part=(0, SIZE), version=VERSION):
        def fetch():
            self.fetched.append(number)
            return self.block(number)

        return bytes(cache.take("s3://b/x", version, number, part, fetch))


def blocks(folder):
    return [path for path in Path(folder).glob("*/*") if path.name.isdigit()]


def test_a_block_is_fetched_once_and_read_in_parts(tmp_path):
    source, one = Source(), cache(tmp_path)
    for part in ((0, SIZE), (5, 10), (SIZE - 3, SIZE), (65_535, 65_537), (100_000, 250_000)):
        assert source.take(one, 1, part) == source.block(1)[slice(*part)]
    assert source.fetched == [1]
    assert source.take(cache(tmp_path), 1, (7, 9)) == source.block(1)[7:9]
    assert source.fetched == [1]


def test_another_version_is_another_block(tmp_path):
    source, one = Source(), cache(tmp_path)
    for version in (VERSION, Version(len(DATA), '"f"'), Version(len(DATA), "", 5)):
        source.take(one, 1, version=version)
    assert source.fetched == [1, 1, 1]
    for _ in range(2):  # nothing tells this one's versions apart
        source.take(one, 1, version=Version(len(DATA)))
    assert source.fetched == [1] * 5


def damage_cut(path):
    os.truncate(path, path.stat().st_size - 1)


def damage_short(path):
    os.truncate(path, 10)


def damage_empty(path):
    os.truncate(path, 0)


def flip(at):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return damage


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_short, damage_empty, flip(0), flip(SIZE - 1), flip(SIZE + 2), flip(-1)],
)
def test_a_damaged_block_is_fetched_again(tmp_path, damage):
    source, one = Source(), cache(tmp_path)
    source.take(one, 1)
    damage(blocks(tmp_path)[0])
    assert source.take(one, 1) == source.block(1)
    assert source.fetched == [1, 1]
    assert source.take(one, 1) == source.block(1)
    assert source.fetched == [1, 1]


def test_the_cap_is_held_and_what_was_not_used_for_longest_goes(tmp_path):
    source, most = Source(), 10 * SIZE
    one = cache(tmp_path, most)
    for number in range(30):
        source.take(one, number)
        held = blocks(tmp_path)
        assert sum(path.stat().st_size for path in held) <= most
        os.utime(next(path for path in held if path.name == str(number)), (number, number))
    assert {int(path.name) for path in blocks(tmp_path)} >= {29, 28, 27}
    assert len(source.fetched) == 30
    assert not list(tmp_path.glob("*/*.lock")) + list(tmp_path.glob("*/*.part"))


def test_a_count_that_is_wrong_is_put_right(tmp_path):
    source, one = Source(), cache(tmp_path, 5 * SIZE)
    (tmp_path / ".bytes").write_text("nonsense")
    source.take(one, 1)
    (tmp_path / ".bytes").write_text("999999999999")
    source.take(one, 2)
    assert {path.name for path in blocks(tmp_path)} == {"1", "2"}
    assert int((tmp_path / ".bytes").read_text()) < 3 * SIZE


def test_a_block_larger_than_the_cap_is_not_kept(tmp_path):
    source, one = Source(), cache(tmp_path, SIZE)
    assert source.take(one, 1) == source.block(1)
    assert blocks(tmp_path) == []


def test_a_full_disk_is_said_once_and_reading_goes_on(tmp_path, monkeypatch, caplog):
    source, one = Source(), cache(tmp_path)
    source.take(one, 1)
    real = Path.open

    def full(path, mode="r", *args, **options):
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    for number in (1, 2, 3, 2):
        assert source.take(one, number) == source.block(number)
    assert source.fetched == [1, 2, 3, 2]
    assert [one.getMessage().partition(":")[2] for one in caplog.records] == [
        " No space left on device; reading goes on without it"
    ]


def test_a_folder_that_cannot_be_used_is_said_and_reading_goes_on(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    source, one = Source(), cache(tmp_path / "file")
    assert source.take(one, 1) == source.block(1)
    assert "cannot be used" in caplog.text


def test_the_folder_is_this_users_alone(tmp_path):
    (tmp_path / "c").mkdir(mode=0o777)
    Source().take(cache(tmp_path / "c"), 1)
    for path in (tmp_path / "c", *(tmp_path / "c").iterdir()):
        assert path.stat().st_mode & 0o077 == 0 or path.name == ".bytes"


def test_threads_fetch_a_block_once(tmp_path):
    source, one, found = Source(), cache(tmp_path), []
    started = threading.Barrier(4)

    def read():
        started.wait()
        found.append(source.take(one, 1))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [source.block(1)] * 4
    assert source.fetched == [1]


def test_two_processes_download_a_block_once(server, tmp_path):
    server.latency_s = 0.05
    code = (
        "import sys, zlib\nfrom gpuio.storage import connect\nfrom gpuio.storage.files import *\n"
        f"connect('s3://bkt', endpoint={server.url!r}, skip_signature=True, region='x')\n"
        "with open_stored('s3://bkt/large') as file:\n"
        "    sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read(1)\n"
        "    print(zlib.crc32(file.read(0, file.size)))\n"
    )
    said = os.environ | {"GPUIO_BLOCK_CACHE": str(tmp_path / "blocks")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code], env=said, **pipes) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    server.requests.clear()
    for one in both:
        one.stdin.write("x")
        one.stdin.flush()
    sums = {one.communicate(timeout=120)[0] for one in both}
    assert len(sums) == 1
    gets = [range_ for method, _, range_ in server.requests if method == "GET"]
    assert len(gets) == len(set(gets)) == 4


def test_a_file_is_read_through_the_cache(server, tmp_path):
    configure(block_cache=tmp_path / "blocks")
    starts = np.array([3 * BLOCK_BYTES + 900, 5, BLOCK_BYTES - 10])
    lengths = np.array([100, 50, BLOCK_BYTES + 20])
    expected = [DATA[a : a + n] for a, n in zip(starts, lengths, strict=True)]
    for fetched in (4, 0):
        server.requests.clear()
        with open_stored("s3://bkt/large") as file:
            assert [bytes(one) for one in file.read_ranges(starts, lengths)] == expected
            assert file.read(BLOCK_BYTES - 3, 6) == DATA[BLOCK_BYTES - 3 : BLOCK_BYTES + 3]
            memory, at = file.read_packed(starts, lengths, lambda n: np.empty(n, np.uint8))
        for one, begin, length in zip(expected, at, lengths, strict=True):
            assert memory[begin : begin + length].tobytes() == one
        assert sum(one[0] == "GET" for one in server.requests) == fetched
