"""A file under construction: its name, other writers, forks."""

import os
import subprocess
import sys

import pytest

from gpuio.errors import ClosedError, MissingFileError, StorageError
from gpuio.storage.part import PartFile


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(b"older")
    path.chmod(0o640)
    part = PartFile(path)
    part.file.write(b"newer")
    part.flush()
    assert path.read_bytes() == b"older"
    part.publish()
    assert path.read_bytes() == b"newer"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.rec"]


def test_an_abandoned_part_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.rec"
    path.write_bytes(b"older")
    part = PartFile(path)
    part.file.write(b"newer")
    part.abandon()
    part.abandon()
    assert path.read_bytes() == b"older"
    assert (tmp_path / "a.rec.part").read_bytes() == b"newer"


def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "there.rec"
    link = tmp_path / "link.rec"
    link.symlink_to(target)
    part = PartFile(link)
    part.file.write(b"through it")
    part.publish()
    assert link.is_symlink()
    assert target.read_bytes() == b"through it"


def test_of_two_writers_in_one_process_the_newer_has_the_file(tmp_path):
    older = PartFile(tmp_path / "a.rec")
    newer = PartFile(tmp_path / "a.rec")
    with pytest.raises(ClosedError, match="another writer of this process"):
        older.publish()
    newer.file.write(b"newer")
    newer.publish()
    assert (tmp_path / "a.rec").read_bytes() == b"newer"


def test_another_process_cannot_write_the_same_file(tmp_path):
    path = tmp_path / "a.rec"
    code = (
        "import sys; from gpuio.storage.part import PartFile; part = PartFile(sys.argv[1])\n"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(StorageError, match="another process is writing this file") as caught:
            PartFile(path)
        assert caught.value.path == str(path)
        other.stdin.close()
    PartFile(path).abandon()


def test_what_a_fork_holds_is_not_written_twice(tmp_path):
    part = PartFile(tmp_path / "a.rec")
    part.file.write(b"once")
    child = os.fork()
    if child == 0:
        part.file.flush()
        os._exit(part.ours)
    assert os.waitpid(child, 0)[1] == 0
    part.publish()
    assert (tmp_path / "a.rec").read_bytes() == b"once"


def test_what_cannot_be_made_is_a_storage_error(tmp_path):
    with pytest.raises(MissingFileError, match="cannot write"):
        PartFile(tmp_path / "nowhere" / "a.rec")
    with pytest.raises(StorageError, match="it is a folder"):
        PartFile(tmp_path)
