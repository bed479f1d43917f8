"""Remote files by position: the bytes of the local file, by few requests."""

import contextlib
import threading
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import ClosedError, EmptyDatasetError, MissingFileError, OptionError, StorageError
from gpuio.recordio.uri import expand
from gpuio.storage.connections import configure
from gpuio.storage.files import open_stored, read_whole
from gpuio.storage.opened import OpenFiles
from gpuio.storage.remote_file import RemoteFile
from gpuio.storage.request_cost import RequestCost
from gpuio.tools.cli import main
from support.making import jpeg, photo, write_rec
from support.remote import as_before, served, url

SCHEMES = ("s3", "http")
COUNT = 60
OPTIONS = {"data_shape": (3, 24, 24), "batch_size": 7, "verbose": False, "ctx": "cpu"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rec")
    made = write_rec(folder, [jpeg(photo(32, 32, i)) for i in range(COUNT)])[:2]
    listed = folder / "data.lst"
    listed.write_text("".join(f"{i}\t{COUNT - i}\tx\n" for i in range(COUNT)))
    return (*made, str(listed))


@pytest.fixture(scope="module")
def server(paths):
    with served(paths) as made:
        yield made


@pytest.fixture
def large():
    """Return a server of 40 MiB, and the bytes."""
    data = np.random.default_rng(0).bytes(40 << 20)
    with served() as made:
        made.objects["bkt/large"] = data
        yield made, data


def read(it):
    """Return two epochs of an iterator as arrays."""
    made = []
    with it:
        for _ in range(2):
            for batch in it:
                made += [batch.data[0].asnumpy(), batch.label[0].asnumpy(), batch.index]
            it.reset()
    return made


CASES = {
    "one after the other": {},
    "by an index": {"path_imgidx": 1},
    "shuffled": {"path_imgidx": 1, "shuffle": True, "seed": 3},
    "labels of a list": {"path_imgidx": 1, "path_imglist": 2, "label_width": 1},
    "a part": {"path_imgidx": 1, "num_parts": 3, "part_index": 1},
    "borrowed rows": {"last_batch": "borrow", "shuffle": True},
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("case", CASES)
def test_an_iterator_makes_the_batches_of_the_local_file(server, paths, case, scheme):
    def made(places):
        options = {
            name: places[value] if name.startswith("path") else value
            for name, value in CASES[case].items()
        }
        return read(mx.io.ImageRecordIter(path_imgrec=places[0], **OPTIONS, **options))

    remote = made([url(server, path, scheme) for path in paths])
    local = made(paths)
    assert len(remote) == len(local)
    for one, other in zip(remote, local, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_records_by_key_and_in_order(server, paths, scheme):
    rec, idx, _ = [url(server, path, scheme) for path in paths]
    with mx.recordio.MXIndexedRecordIO(idx, rec, "r") as remote:
        local = mx.recordio.MXIndexedRecordIO(paths[1], paths[0], "r")
        assert remote.keys == local.keys
        for key in (5, 0, COUNT - 1):
            assert remote.read_idx(key) == local.read_idx(key)
        local.close()
    with mx.recordio.MXRecordIO(rec, "r") as remote, mx.recordio.MXRecordIO(paths[0], "r") as local:
        for _ in range(COUNT + 1):
            assert remote.read() == local.read()


def test_image_iter_reads_urls(server, paths):
    rec, idx, lst = [url(server, path) for path in paths]
    options = {"path_imgrec": rec, "path_imgidx": idx, "path_imglist": lst}
    local = dict(zip(options, paths, strict=True))
    made, expected = (mx.image.ImageIter(4, (3, 24, 24), **given) for given in (options, local))
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one.data[0].asnumpy(), other.data[0].asnumpy())
        np.testing.assert_array_equal(one.label[0].asnumpy(), other.label[0].asnumpy())


def test_a_state_goes_on_behind_a_url_and_here(server, paths):
    def opened(place):
        return mx.io.ImageRecordIter(path_imgrec=place, shuffle=True, **OPTIONS)

    with opened(paths[0]) as local, opened(url(server, paths[0])) as remote:
        next(local)
        remote.load_state_dict(local.state_dict())
        np.testing.assert_array_equal(next(remote).data[0].asnumpy(), next(local).data[0].asnumpy())


def test_folders_and_patterns(server):
    assert expand("s3://bkt/", ".rec") == ["s3://bkt/data.rec"]
    assert expand("s3://bkt", ".rec") == ["s3://bkt/data.rec"]
    for last in ("data.r*", r"d.*\.rec", "data.rec"):
        assert expand(f"s3://bkt/{last}") == ["s3://bkt/data.rec"]
    assert expand("s3://bkt/data.rec;s3://bkt/data.lst") == [
        "s3://bkt/data.rec",
        "s3://bkt/data.lst",
    ]


@pytest.mark.parametrize("name", ["no.rec", "no*.rec", "[", "x/no.rec"])
def test_nothing_there_is_said(server, name):
    with pytest.raises(MissingFileError, match="no such file") as raised:
        expand(f"s3://bkt/{name}")
    assert raised.value.path == f"s3://bkt/{name}"


def test_an_empty_object_and_a_cache_suffix(server):
    server.objects["bkt/empty.rec"] = b""
    with pytest.raises(EmptyDatasetError):
        expand("s3://bkt/empty.rec")
    assert read_whole("s3://bkt/empty.rec") == b""
    del server.objects["bkt/empty.rec"]
    with pytest.raises(OptionError, match="block_cache"):
        expand("s3://bkt/data.rec#cache")


def test_names_with_blanks_and_percent_signs(server):
    server.objects["bkt/a b%20ü.bin"] = b"found"
    assert read_whole("s3://bkt/a b%20ü.bin") == b"found"
    assert read_whole(f"{server.url}/bkt/a%20b%2520%C3%BC.bin") == b"found"
    del server.objects["bkt/a b%20ü.bin"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("a+b://x/a.rec", r"a\+b:// is not a scheme that is known"),
        ("s3:/bkt/a.rec", "two slashes"),
        ("hdfs://nowhere:1/a.rec", "cannot open"),
    ],
)
def test_what_cannot_be_read_is_said(place, said):
    with pytest.raises(StorageError, match=said):
        mx.io.ImageRecordIter(path_imgrec=place, **OPTIONS)
    with pytest.raises(StorageError, match=said):
        mx.recordio.MXRecordIO(place, "r")


def test_near_ranges_are_one_request_and_requests_have_a_cap(large):
    server, data = large
    starts = np.array([9 << 20, 0, 20 << 10, 30 << 20, (9 << 20) + 50])
    lengths = np.array([100, 50, 50, 10 << 20, 10])
    for get in ("read_ranges", "read_packed"):
        configure(memory_bytes=0)
        with open_stored("s3://bkt/large") as file:
            server.requests.clear()
            if get == "read_ranges":
                found = file.read_ranges(starts, lengths)
            else:
                memory, at = file.read_packed(starts, lengths, lambda n: np.empty(n, np.uint8))
                found = [memory[a : a + n] for a, n in zip(at, lengths, strict=True)]
        expected = [data[a : a + n] for a, n in zip(starts, lengths, strict=True)]
        assert [bytes(one) for one in found] == expected
        asked = sorted(one[2] for one in server.requests if one[0] == "GET")
        assert asked == [
            "bytes=0-20529", "bytes=31457280-41943039", f"bytes={9 << 20}-{(9 << 20) + 99}",
        ]  # fmt: skip


def asked_bytes(server):
    """Return how many bytes the requests for parts of files asked for."""
    parts = [one[2].removeprefix("bytes=").split("-") for one in server.requests if one[2]]
    return sum(int(high) + 1 - int(low) for low, high in parts)


def epochs(it, count):
    """Return the ids of some epochs."""
    ids = []
    for _ in range(count):
        for batch in it:
            ids += batch.index.tolist()
        it.reset()
    return ids


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """Return a record file of 6 MB and its index: small images with zeros behind them."""
    images = [jpeg(photo(16, 16, i)) + bytes(30_000 + 97 * i) for i in range(170)]
    return write_rec(tmp_path_factory.mktemp("padded"), images)[:2]


SHUFFLED = {**OPTIONS, "shuffle": True, "seed": 1}


def test_a_small_file_is_transferred_once_however_it_is_shuffled(padded):
    size = Path(padded[0]).stat().st_size
    with served(padded) as server:
        rec, idx = (url(server, path) for path in padded)
        with mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **SHUFFLED) as it:
            server.requests.clear()
            remote = epochs(it, 3)
            assert asked_bytes(server) <= size
            server.requests.clear()
            remote += epochs(it, 1)
            assert asked_bytes(server) == 0
    with mx.io.ImageRecordIter(path_imgrec=padded[0], path_imgidx=padded[1], **SHUFFLED) as it:
        assert epochs(it, 4) == remote


def test_of_a_larger_file_little_more_comes_than_is_wanted(padded, monkeypatch):
    monkeypatch.setattr(RequestCost, "note", lambda *_: None)  # what this machine takes says little
    size = Path(padded[0]).stat().st_size
    with served(padded, memory_bytes=size - 1) as server, open_stored(url(server, padded[0])) as it:
        server.requests.clear()
        rng, wanted = np.random.default_rng(0), 0
        for _ in range(8):  # groups of batches, of a twelfth of the file each
            starts = rng.choice(size // 10_000 - 1, 50, replace=False) * 10_000
            it.read_packed(starts, np.full(50, 10_000), lambda n: np.empty(n, np.uint8))
            wanted += 50 * 10_000
        assert asked_bytes(server) < 2 * wanted


def test_a_small_file_that_changes_is_an_error_at_the_next_epoch(padded):
    with served(padded) as server:
        rec, idx = (url(server, path) for path in padded)
        with mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **SHUFFLED) as it:
            epochs(it, 2)
            data = server.objects["bkt/" + Path(rec).name]
            server.objects["bkt/" + Path(rec).name] = data[:-1] + b"x"
            with pytest.raises(StorageError, match=r"file changed .* etag .* etag"):
                epochs(it, 3)


def test_files_that_do_not_fit_together_are_not_all_kept_and_closing_makes_room(padded):
    size = Path(padded[0]).stat().st_size
    whole = np.array([0]), np.array([size]), lambda n: np.empty(n, np.uint8)
    with served(padded, memory_bytes=size + 10) as server:
        place = url(server, padded[0])

        def again(file):
            """Return how many bytes come when the file is read a second time."""
            file.read_packed(*whole)
            server.requests.clear()
            file.read_packed(*whole)
            return asked_bytes(server)

        server.objects["bkt/other"] = server.objects["bkt/data.rec"]
        with open_stored(place) as one, open_stored("s3://bkt/other") as other:
            assert (again(one), again(other)) == (0, size)
            with open_stored(place) as same:
                server.requests.clear()
                same.read_packed(*whole)
                assert server.requests == []
            assert again(one) == 0
        with open_stored("s3://bkt/other") as other:
            assert again(other) == 0
        with pytest.raises(ClosedError):
            one.read_packed(*whole)


def test_many_small_files_are_asked_for_together_whether_they_changed(padded, monkeypatch):
    data = Path(padded[0]).read_bytes()[:100]
    with served() as server:
        server.objects |= {f"bkt/{number}": data for number in range(16)}
        with contextlib.closing(OpenFiles([f"s3://bkt/{number}" for number in range(16)])) as files:
            for file in files:
                file.read_packed([0], [50], lambda n: np.empty(n, np.uint8))
            server.requests.clear()
            files.check_unchanged()
            assert len(server.requests) == 16
            server.objects["bkt/7"] = data + b"x"
            with pytest.raises(StorageError, match="file changed"):
                files.check_unchanged()
            together = threading.Barrier(8)
            monkeypatch.setattr(RemoteFile, "check_unchanged", lambda _: together.wait(60))
            files.check_unchanged()


def test_ranges_that_lie_apart_are_on_their_way_together(large, monkeypatch):
    _, data = large
    starts = np.random.default_rng(1).permutation(70) * (550 << 10)
    lengths = np.where(np.arange(70) == 40, 9 << 20, 10)
    lengths[69] = 0
    waits = []
    fetch = RemoteFile._fetch_each
    monkeypatch.setattr(
        RemoteFile, "_fetch_each", lambda file, some: waits.append(len(some)) or fetch(file, some)
    )
    starts[40] = 0
    with open_stored("s3://bkt/large") as file:
        found = [bytes(one) for one in file.read_each(starts, lengths)]
    assert found == [data[a : a + n] for a, n in zip(starts, lengths, strict=True)]
    assert len(waits) <= 5  # 32, 8, the large one, 29
    assert max(waits) >= 20


def test_opening_and_looking_into_a_file_waits_a_few_times(tmp_path, monkeypatch, capsys):
    padded = [jpeg(photo(32, 32, i)) + bytes(5000) for i in range(200)]
    rec, idx, *_ = write_rec(tmp_path, padded)
    waits = []
    read = RemoteFile.read
    monkeypatch.setattr(
        RemoteFile, "read", lambda file, *what: waits.append(what) or read(file, *what)
    )
    with served([rec, idx]) as server:
        there = [url(server, path) for path in (rec, idx)]
        mx.io.ImageRecordIter(path_imgrec=there[0], path_imgidx=there[1], **OPTIONS).close()
        assert len(waits) < 12, waits
        sheet = ["--out", str(tmp_path / "sheet.png"), "--quiet"]
        for command in (["cat", there[0], "7", *sheet[:2]], ["show", there[0], "--random", *sheet]):
            waits.clear()
            assert main(command) == 0
            assert len(waits) < 24, waits
    capsys.readouterr()


def test_a_long_read_is_several_requests(large):
    server, data = large
    with open_stored("s3://bkt/large") as file:
        server.requests.clear()
        assert file.read(5, 20 << 20) == data[5 : 5 + (20 << 20)]
        assert len(server.requests) == 3


def test_reading_on_asks_for_more_each_time(large):
    server, data = large
    with open_stored("s3://bkt/large") as file:
        server.requests.clear()
        for at in range(0, 8 << 20, 4096):
            assert file.read(at, 8) == data[at : at + 8]
        assert len(server.requests) < 8
        server.requests.clear()
        assert file.read(30 << 20, 8) == data[30 << 20 : (30 << 20) + 8]
        assert server.requests[-1][2] == f"bytes={30 << 20}-{(30 << 20) + (64 << 10) - 1}"


def test_the_end_of_the_file_is_an_error_and_none_of_a_server(large):
    server, data = large
    with open_stored("s3://bkt/large") as file:
        server.requests.clear()
        assert file.read(len(data), 0) == b""
        for at, length in ((len(data) - 1, 2), (len(data), 1), (-1, 1)):
            with pytest.raises(StorageError, match="file ends at byte 41,943,040"):
                file.read(at, length)
            with pytest.raises(StorageError, match="file ends"):
                file.read_ranges([at], [length])
        assert server.requests == []
    with pytest.raises(ClosedError):
        file.read(0, 1)
    assert isinstance(file, RemoteFile)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shuffle": True, "path_imgidx": 1}, True),
        ({"shuffle": "full"}, True),
        ({"shuffle": True}, False),
        ({"shuffle": "block"}, False),
        ({}, False),
    ],
)
def test_a_shuffle_of_single_records_is_doubted(server, paths, caplog, options, said):
    for place in (paths, [url(server, path) for path in paths]):
        given = {n: place[v] if n.startswith("path") else v for n, v in options.items()}
        with as_before():
            configure(memory_bytes=1000)
            with mx.io.ImageRecordIter(path_imgrec=place[0], **OPTIONS, **given):
                pass
        assert ("shuffle='block'" in caplog.text) is (said and place is not paths)
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == said


def test_what_is_made_beside_a_set_may_lie_there_too(server, paths):
    """A mean image, and a set of gluon's; a log cannot."""
    place = url(server, paths[0])
    mean = "s3://bkt/mean.bin"
    for _ in range(2):  # made, then read
        with mx.io.ImageRecordIter(path_imgrec=place, mean_img=mean, **OPTIONS) as it:
            made = next(it).data[0].asnumpy()
    del server.objects["bkt/mean.bin"]
    assert made.any()
    assert len(mx.gluon.data.RecordFileDataset(place)) == COUNT
    with pytest.raises(OptionError, match="error_log: lines are appended"):
        mx.io.ImageRecordIter(path_imgrec=place, error_log="s3://bkt/log", **OPTIONS)


def test_a_block_shuffle_is_read_in_blocks(server, paths):
    options = {"shuffle": "block", "seed": 5, **OPTIONS}
    remote = read(mx.io.ImageRecordIter(path_imgrec=url(server, paths[0]), **options))
    local = read(mx.io.ImageRecordIter(path_imgrec=paths[0], **options))
    for one, other in zip(remote, local, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_of_a_group_keeps_its_rows(server, paths):
    """Rows of padding, of two files, in one group."""
    both = f"{url(server, paths[0])};{url(server, paths[0], 'http')}"
    options = {"last_batch": "pad", "shuffle": True, "seed": 1, **OPTIONS}
    remote = read(mx.io.ImageRecordIter(path_imgrec=both, **options))
    local = read(mx.io.ImageRecordIter(path_imgrec=f"{paths[0]};{paths[0]}", **options))
    for one, other in zip(remote, local, strict=True):
        np.testing.assert_array_equal(one, other)
