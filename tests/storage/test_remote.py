"""What a server may do wrong: the right bytes come, or a StorageError within the deadline."""

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio import forking
from gpuio.errors import MissingFileError, StorageError
from gpuio.storage.connections import configure, connect
from gpuio.storage.files import exists, open_stored, read_whole, status
from gpuio.storage.remote import RemoteObject, listed
from support.making import jpeg, photo, write_rec
from support.remote import as_before, served, url

SCHEMES = ("s3", "http")
TIMEOUT_S, DEADLINE_S = 0.4, 1.0
MOST_TRIES = 8  # of a request: tries begin within 0.6 s, at least 0.1 s apart; else there are 13
COUNT = 40


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    blobs = [jpeg(photo(32, 32, i)) for i in range(COUNT)]
    return write_rec(tmp_path_factory.mktemp("rec"), blobs)[:2]


@pytest.fixture(scope="module")
def serving(paths):
    """Be patient: a machine that is busy may not answer within a second."""
    with served(paths, timeout_s=TIMEOUT_S, deadline_s=60) as made:
        yield made


@pytest.fixture
def server(serving):
    yield serving
    serving.wrong("")


@contextlib.contextmanager
def hasty():
    """What is opened here has one second for a read."""
    with as_before():
        configure(timeout_s=TIMEOUT_S, deadline_s=DEADLINE_S)
        yield


def at_last(call):
    """Call again until nothing is wrong any more."""
    for _ in range(60):
        with contextlib.suppress(StorageError):
            return call()
    return call()


def the_index(server, paths, scheme):
    return read_whole(url(server, paths[1], scheme))


def some_ranges(server, paths, scheme):
    with open_stored(url(server, paths[0], scheme)) as file:
        return [bytes(one) for one in file.read_ranges([0, 20_000], [5000, 3000])]


def one_record(server, paths, scheme):
    with mx.recordio.MXRecordIO(url(server, paths[0], scheme), "r") as file:
        return file.read()


def a_batch(server, paths, scheme):
    options = {"data_shape": (3, 32, 32), "batch_size": 4, "verbose": False, "ctx": "cpu"}
    with mx.io.ImageRecordIter(path_imgrec=url(server, paths[0], scheme), **options) as it:
        return next(it).data[0].asnumpy().tobytes()


READS = [the_index, some_ranges, one_record, a_batch]
PASSING = ["503", "429", "reset", "short", "stall", "drip"]
LASTING = ["whole", "shifted", "changed", "deaf", "refused"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("read", READS, ids=lambda one: one.__name__)
def test_what_passes_is_tried_again(server, paths, read, scheme):
    expected = read(server, paths, scheme)
    for fault in PASSING:
        server.wrong(fault, times=1)
        assert read(server, paths, scheme) == expected, fault
        assert server.times == 0, fault


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fault", PASSING + LASTING)
def test_what_stays_wrong_is_an_error_within_the_deadline(server, paths, fault, scheme):
    with hasty():
        file = at_last(lambda: open_stored(url(server, paths[0], scheme)))
    server.wrong(fault)
    before = len(server.requests)
    with pytest.raises(StorageError) as raised:
        file.read_ranges([0], [5000])
    assert len(server.requests) - before <= MOST_TRIES
    assert raised.value.path == file.path
    assert "secret" not in str(raised.value)
    server.wrong("")
    assert len(at_last(lambda: file.read(0, 100))) == 100


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_iterator_hands_out_no_wrong_sample(server, paths, fault, scheme):
    options = {"data_shape": (3, 32, 32), "batch_size": 4, "verbose": False, "ctx": "cpu"}
    with mx.io.ImageRecordIter(path_imgrec=url(server, paths[0], scheme), **options) as it:
        server.wrong(fault)
        with pytest.raises(StorageError):
            next(it)
        server.wrong("")
        good = next(it).data[0].asnumpy()
    with mx.io.ImageRecordIter(path_imgrec=paths[0], **options) as it:
        np.testing.assert_array_equal(good, next(it).data[0].asnumpy())


@pytest.mark.parametrize("fault", ["changed", "deaf"])
def test_a_file_that_changed_is_named_by_both_etags(server, paths, fault):
    with open_stored(url(server, paths[0])) as file:
        etag = status(file.path)[2]
        server.wrong(fault)
        with pytest.raises(StorageError, match="changed while it was open") as raised:
            file.read(0, 10)
        assert etag in str(raised.value)


def test_a_replaced_file_is_not_read_on(server, paths):
    """The server has another object: 412, and the error names what is there now."""
    name = "bkt/replaced.rec"
    server.objects[name] = b"a" * 100_000
    with open_stored("s3://bkt/replaced.rec") as file:
        file.check_unchanged()
        server.objects[name] = b"b" * 100_001
        with pytest.raises(StorageError, match=r"100,000 bytes, etag .* then, 100,001 bytes, etag"):
            file.read(70_000, 10)
        del server.objects[name]
        with pytest.raises(MissingFileError, match="file changed while it was open, and is gone"):
            RemoteObject(file.path).head("file changed while it was open, and is gone")


def test_a_weak_etag_is_compared_and_not_asked_for(server):
    server.wrong("weak")
    server.objects["bkt/weak"] = b"a" * 200_000
    with open_stored("s3://bkt/weak") as file:
        assert len(file.read(0, 10)) == 10
        file.check_unchanged()
        server.objects["bkt/weak"] = b"b" * 200_000
        for again in (lambda: file.read(150_000, 10), file.check_unchanged):
            with pytest.raises(StorageError, match=r"changed while it was open.*etag W/"):
                again()
    del server.objects["bkt/weak"]


def test_access_that_is_refused_says_where_credentials_come_from(server, paths):
    with open_stored(url(server, paths[0])) as file:
        server.wrong("refused")
        with pytest.raises(StorageError, match=r"access is refused.*gpuio\.storage\.connect"):
            file.read(0, 10)


def test_nobody_there_is_an_error_within_the_deadline(serving):
    with hasty():
        connect("s3://nobody", endpoint="http://127.0.0.1:9", skip_signature=True)
        with pytest.raises(StorageError, match=r"cannot open.*after \d+ retries") as raised:
            open_stored("s3://nobody/x.rec")
    assert int(re.search(r"after (\d+) retries", str(raised.value))[1]) < MOST_TRIES


def test_a_bucket_without_a_key_is_not_an_empty_file(server):
    with pytest.raises(StorageError, match="names a bucket and no file"):
        open_stored("s3://bkt")


def test_what_is_there(server, paths):
    assert exists("s3://bkt/data.rec")
    assert not exists("s3://bkt/no.rec")
    assert [(one.url, one.folder) for one in listed("s3://bkt/")] == [
        ("s3://bkt/data.idx", False), ("s3://bkt/data.rec", False),
    ]  # fmt: skip


def in_a_fork(body):
    """Run a function in a forked child; return its exit code."""
    pid = os.fork()
    if not pid:
        signal.alarm(60)  # a child that waits for ever
        code = 9
        try:
            code = body()
        finally:
            os._exit(code)
    _, state = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(state)


def refused(call):
    """Return 0 if a call raises the error of a fork."""
    try:
        call()
    except StorageError as error:
        return 0 if "forked after remote reading began" in str(error) else 1
    return 2


def test_a_forked_child_is_refused_at_once(server, paths):
    file = open_stored(url(server, paths[0]))
    it = mx.io.ImageRecordIter(
        path_imgrec=url(server, paths[0]), data_shape=(3, 32, 32), batch_size=4,
        verbose=False, ctx="cpu",
    )  # fmt: skip
    next(it)
    for call in (
        lambda: file.read(30_000, 9_000),
        lambda: file.read_ranges([0, 30_000], [10, 10]),
        lambda: open_stored(url(server, paths[0], "http")),
        lambda: [next(it) for _ in range(COUNT)],
        lambda: connect("memory://", skip=1) or open_stored("memory://x"),
    ):
        assert in_a_fork(lambda call=call: refused(call)) == 0
    assert len(file.read(30_000, 9_000)) == 9_000  # and this process reads on
    next(it)
    it.close()


def test_a_fork_does_not_wait_for_a_server(server, paths, monkeypatch, caplog):
    """A child that reads nothing remote lives, while a request of its parent is on its way."""
    monkeypatch.setattr(forking, "_PATIENCE_S", 10.0)
    with as_before():
        configure(timeout_s=60, deadline_s=60)  # the request waits longer than the fork would
        it = mx.io.ImageRecordIter(
            path_imgrec=url(server, paths[0]), data_shape=(3, 32, 32), batch_size=4,
            verbose=False, ctx="cpu",
        )  # fmt: skip
    with it, ThreadPoolExecutor(1) as thread:
        server.wrong("stall", times=1)
        batch = thread.submit(it.next)
        try:
            assert server.stalled.wait(60)
            assert in_a_fork(lambda: 0) == 0
            assert not batch.done()
        finally:
            server.goes_on = True
        assert batch.result(60).data[0].shape == (4, 3, 32, 32)
    assert "os.fork() goes on while" not in caplog.text


def test_spawned_processes_read(server, paths, tmp_path):
    """By spawn and by forkserver, after this process has read; the environment says how."""
    rec, idx = (url(server, path) for path in paths)
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from gpuio.recordio import MXIndexedRecordIO\n"
        "def read(file):\n    return file.read_idx(3)\n"
        "if __name__ == '__main__':\n"
        f"    file = MXIndexedRecordIO({idx!r}, {rec!r}, 'r')\n"
        "    first = file.read_idx(3)\n"
        "    for method in ('spawn', 'forkserver'):\n"
        "        with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "            print(pool.apply(read, (file,)) == first)\n"
        "        file.open()\n"
    )
    said = {"AWS_ENDPOINT_URL": server.url, "AWS_SKIP_SIGNATURE": "true", "AWS_REGION": "x"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | said,
    )  # fmt: skip
    assert (done.stderr, done.stdout) == ("", "True\nTrue\n")


def test_pickles_and_reprs_hold_no_credential(server, paths):
    with as_before():
        connect(
            "s3://bkt", endpoint=server.url, access_key_id="KEY-secret", region="us-east-1",
            secret_access_key="secret-KEY", session_token="more-secret",
        )  # fmt: skip
        rec, idx = (url(server, path) for path in paths)
        file = open_stored(rec)
        record = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
        it = mx.io.ImageRecordIter(
            path_imgrec=rec, data_shape=(3, 32, 32), batch_size=4, verbose=False, ctx="cpu"
        )
        next(it)
        for one in (file, it, record):
            assert b"ecret" not in pickle.dumps(one)
            assert "ecret" not in repr(one) + repr(vars(one))
        assert "ecret" not in repr(mx.storage.connections._connections)
        with pytest.raises(TypeError):
            pickle.dumps(mx.storage.connections._connections)
        assert pickle.loads(pickle.dumps(file)).read(0, 8) == file.read(0, 8)
        it.close()


class TestOtherLibraries:
    """fsspec's file systems, and pyarrow's."""

    def same(self, place, paths):
        options = {"data_shape": (3, 32, 32), "batch_size": 16, "verbose": False, "ctx": "cpu"}
        rec, idx = f"{place}/data.rec", f"{place}/data.idx"
        made = mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **options)
        expected = mx.io.ImageRecordIter(path_imgrec=paths[0], **options)
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(one.data[0].asnumpy(), other.data[0].asnumpy())
        made.close()
        assert [one.url for one in listed(place)] == [idx, rec]
        with pytest.raises(MissingFileError):
            open_stored(f"{place}/no.rec")
        with pytest.raises(MissingFileError):
            open_stored(place)

    def test_a_scheme_of_fsspec(self, paths):
        import fsspec

        files = fsspec.filesystem("memory")
        for path in paths:
            files.pipe_file(f"/folder/{os.path.basename(path)}", Path(path).read_bytes())
        self.same("memory://folder", paths)

    def test_a_file_system_of_fsspec(self, paths):
        from fsspec.implementations.dirfs import DirFileSystem
        from fsspec.implementations.local import LocalFileSystem

        with as_before():
            folder = os.path.dirname(paths[0])
            connect("mine://", DirFileSystem(os.path.dirname(folder), LocalFileSystem()))
            self.same(f"mine://{os.path.basename(folder)}", paths)

    def test_a_file_system_of_pyarrow(self, paths):
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        with as_before():
            folder = os.path.dirname(paths[0])
            connect(
                "hdfs://cluster/",
                SubTreeFileSystem(os.path.dirname(folder), LocalFileSystem()),
            )
            self.same(f"hdfs://cluster/{os.path.basename(folder)}", paths)

    def test_a_file_that_changed_is_noticed_where_a_version_can_be_told(self, tmp_path):
        from pyarrow.fs import LocalFileSystem

        (tmp_path / "a").write_bytes(b"x" * 100)
        with as_before():
            connect("tree://", LocalFileSystem())
            file = open_stored(f"tree://{tmp_path}/a")
            assert file.read(0, 4) == b"xxxx"
            (tmp_path / "a").write_bytes(b"y" * 101)
            with pytest.raises(StorageError, match="changed while it was open"):
                file.check_unchanged()

    def test_a_missing_library_names_the_extra(self, monkeypatch):
        for module, place, extra in (
            ("obstore.store", "gs://b/x", r"gpuio\[remote\]"),
            ("fsspec", "ftp://h/x", r"gpuio\[remote\]"),
            ("pyarrow.fs", "hdfs://h/x", r"gpuio\[hdfs\]"),
        ):
            monkeypatch.setitem(sys.modules, module, None)
            with pytest.raises(StorageError, match=f"pip install {extra}"):
                open_stored(place)
