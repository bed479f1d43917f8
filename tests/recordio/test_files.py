"""MXRecordIO and MXIndexedRecordIO write what MXNet writes and behave as it does."""

import contextlib
import copy
import gc
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import ClosedError, FormatError, GpuioError, ModeError, OptionError, StorageError
from gpuio.recordio import IRHeader, MXIndexedRecordIO, MXRecordIO, pack, unpack
from gpuio.recordio.index import open_table
from gpuio.recordio.index_text import write_index
from support.leaks import open_files
from support.payloads import MAGIC, PAYLOADS, RECORDS

GOLDEN = Path(__file__).parent.parent / "data" / "recordio"


def write_all(folder):
    rec, idx = folder / "mine.rec", folder / "mine.idx"
    writer = MXIndexedRecordIO(str(idx), str(rec), "w")
    for key, payload in enumerate(PAYLOADS):
        writer.write_idx(10 * key, payload)
    for key, (label, identity, id2, blob) in enumerate(RECORDS):
        writer.write_idx(1000 + key, pack(IRHeader(0, label, identity, id2), blob))
    writer.close()
    return rec, idx


@pytest.fixture
def five(tmp_path):
    rec, idx = str(tmp_path / "five.rec"), str(tmp_path / "five.idx")
    writer = MXIndexedRecordIO(idx, rec, "w")
    for i in range(5):
        writer.write_idx(10 * i, b"record %d" % i)
    writer.close()
    return rec, idx


def test_files_are_mxnets_byte_for_byte(tmp_path):
    rec, idx = write_all(tmp_path)
    assert rec.read_bytes() == (GOLDEN / "golden.rec").read_bytes()
    assert idx.read_bytes() == (GOLDEN / "golden.idx").read_bytes()


def test_mxnets_file_reads_back_in_order_and_by_key():
    with MXIndexedRecordIO(str(GOLDEN / "golden.idx"), str(GOLDEN / "golden.rec"), "r") as reader:
        for key, payload in enumerate(PAYLOADS):
            assert reader.read_idx(10 * key) == payload
        for key, (label, identity, id2, blob) in enumerate(RECORDS):
            header, image = unpack(reader.read_idx(1000 + key))
            assert (header.id, header.id2, image) == (identity, id2, blob)
            stored = header.label.tolist() if header.flag else header.label
            flat = (
                [x for row in label for x in row]
                if label and isinstance(label, list) and isinstance(label[0], list)
                else label
            )
            assert stored == (flat or 0.0)
    with MXRecordIO(str(GOLDEN / "golden.rec"), "r") as reader:
        assert [reader.read() for _ in PAYLOADS] == PAYLOADS


def test_the_end_is_none_and_seeking_goes_on(five):
    with MXIndexedRecordIO(five[1], five[0], "r") as reader:
        while reader.read() is not None:
            pass
        assert reader.read() is None
        assert reader.read_idx(20) == b"record 2"
        assert reader.read() == b"record 3"
        reader.reset()
        assert reader.read() == b"record 0"


def test_keys_and_offsets_are_open_to_see(five):
    with MXIndexedRecordIO(five[1], five[0], "r") as reader:
        assert reader.keys == [0, 10, 20, 30, 40]
        assert reader.idx == {0: 0, 10: 16, 20: 32, 30: 48, 40: 64}
        with pytest.raises(KeyError):
            reader.read_idx(5)
        with pytest.raises(AssertionError):
            reader.tell()


def test_keys_may_be_of_any_type(tmp_path):
    rec, idx = str(tmp_path / "a.rec"), str(tmp_path / "a.idx")
    with MXIndexedRecordIO(idx, rec, "w", key_type=str) as writer:
        writer.write_idx("cat", b"meow")
        assert writer.tell() == 12
        writer.write_idx("dog", b"woof")
    with MXIndexedRecordIO(idx, rec, "r", key_type=str) as reader:
        assert reader.read_idx("dog") == b"woof"


@pytest.mark.parametrize("flag", ["a", "rb", ""])
def test_any_other_flag_is_a_value_error(tmp_path, flag):
    with pytest.raises(ValueError, match=f"Invalid flag {flag}"):
        MXRecordIO(str(tmp_path / "x.rec"), flag)


def test_what_cannot_be_opened_is_named(tmp_path):
    for path in (tmp_path / "no.rec", tmp_path):
        with pytest.raises(mx.MXNetError, match=str(path)):
            MXRecordIO(str(path), "r")
    with pytest.raises(StorageError, match="no/such"):
        MXRecordIO(str(tmp_path / "no/such/file.rec"), "w")


def test_a_missing_index_leaves_no_file_open(five):
    before = open_files()
    with pytest.raises(GpuioError, match="rec2idx"):
        MXIndexedRecordIO(five[1] + ".no", five[0], "r")
    gc.collect()
    assert not open_files() - before


def test_only_bytes_are_written_and_only_by_writers(five, tmp_path):
    with MXRecordIO(str(tmp_path / "w.rec"), "w") as writer:
        for wrong in ("text", bytearray(b"x")):
            with pytest.raises(TypeError):
                writer.write(wrong)
        with pytest.raises(AssertionError):
            writer.read()
    with MXRecordIO(five[0], "r") as reader, pytest.raises(AssertionError):
        reader.write(b"x")


def test_use_after_close_is_refused_as_mxnet_refuses_it(five):
    reader = MXRecordIO(five[0], "r")
    reader.close()
    reader.close()
    with pytest.raises(RuntimeError, match="Forbidden operation in multiple processes"):
        reader.read()


def test_a_reset_writer_starts_an_empty_file(tmp_path):
    path = str(tmp_path / "w.rec")
    with MXRecordIO(path, "w") as writer:
        writer.write(b"gone")
        writer.reset()
        writer.write(b"kept")
    with MXRecordIO(path, "r") as reader:
        assert [reader.read(), reader.read()] == [b"kept", None]


def test_pickling_closes_the_original_and_opens_the_copy(five):
    reader = MXIndexedRecordIO(five[1], five[0], "r")
    reader.read()
    again = pickle.loads(pickle.dumps(reader))
    assert not reader.is_open
    assert again.is_open
    assert again.read_idx(40) == b"record 4"
    assert again.keys == [0, 10, 20, 30, 40]
    assert not pickle.loads(pickle.dumps(reader)).is_open
    again.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_until_it_seeks(five):
    reader = MXIndexedRecordIO(five[1], five[0], "r")
    reader.read()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                reader.read()
            except RuntimeError as error:
                code = 2 if "Forbidden operation" in str(error) else 1
            if code == 2 and reader.read_idx(30) == b"record 3" and reader.read() == b"record 4":
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reader.read() == b"record 1"
    reader.close()


def test_errors_name_path_and_offset(five):
    data = bytearray(Path(five[0]).read_bytes())
    data[32] ^= 0xFF
    Path(five[0]).write_bytes(data)
    with MXRecordIO(five[0], "r") as reader:
        reader.read(), reader.read()
        with pytest.raises(FormatError, match="Invalid RecordIO File") as raised:
            reader.read()
        assert (raised.value.path, raised.value.offset) == (five[0], 32)
        assert isinstance(raised.value, RuntimeError)


@pytest.mark.parametrize("cut", [3, 9, 15])
def test_a_file_cut_in_its_last_record(five, cut):
    Path(five[0]).write_bytes(Path(five[0]).read_bytes()[: 64 + cut])
    with MXIndexedRecordIO(five[1], five[0], "r") as reader:
        assert reader.read_idx(30) == b"record 3"
        with pytest.raises(FormatError) as raised:
            reader.read()
        assert raised.value.offset == 64


def test_records_beyond_four_gib(tmp_path):
    rec, idx = tmp_path / "huge.rec", tmp_path / "huge.idx"
    from gpuio.recordio.framing import encode

    place = (5 << 30) + 4
    payload = b"far away" + MAGIC
    with rec.open("wb") as file:
        file.write(encode(b"near"))
        file.seek(place)
        file.write(encode(payload))
    idx.write_text(f"0\t0\n1\t{place}\n")
    with MXIndexedRecordIO(str(idx), str(rec), "r") as reader:
        assert reader.read_idx(1) == payload
        assert reader.read() is None
        assert reader.read_idx(0) == b"near"


def test_a_dropped_writer_has_written_everything(tmp_path):
    path = str(tmp_path / "w.rec")
    writer = MXRecordIO(path, "w")
    writer.write(b"x" * 10)
    del writer
    gc.collect()
    with MXRecordIO(path, "r") as reader:
        assert reader.read() == b"x" * 10


def test_no_file_stays_open(five):
    before = open_files()
    for _ in range(20):
        reader = MXIndexedRecordIO(five[1], five[0], "r")
        reader.read()
        del reader
    gc.collect()
    assert not open_files() - before


LARGE = 300_000  # records


@pytest.fixture(params=[False, True], ids=["consecutive", "any order"])
def large(request, tmp_path):
    """A large file of empty records; keys and paths."""
    from gpuio.recordio.framing import encode

    rec, idx = tmp_path / "large.rec", tmp_path / "large.idx"
    rec.write_bytes(encode(b"") * LARGE)
    keys = list(range(LARGE))
    if request.param:
        keys = np.random.default_rng(1).permutation(LARGE).tolist()
    idx.write_text("".join(f"{key}\t{8 * row}\n" for row, key in enumerate(keys)))
    return keys, str(idx), str(rec)


def test_a_large_index_stays_in_arrays(large):
    keys, idx, rec = large
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        assert isinstance(reader.keys, list)
        assert isinstance(reader.idx, dict)
        assert (len(reader.keys), len(reader.idx)) == (LARGE, LARGE)
        assert [reader.read_idx(keys[row]) for row in (0, 5, -1)] == [b""] * 3
        assert reader.idx[keys[-1]] == 8 * (LARGE - 1)
        with pytest.raises(KeyError, match="300000"):
            reader.read_idx(LARGE)
        assert reader.keys._made is None
        assert reader.idx._made is None
        assert list(reader.keys) == keys
        assert dict(reader.idx.items()) == {key: 8 * row for row, key in enumerate(keys)}


def test_what_a_script_changes_is_its_own_until_the_reader_is_reset(large):
    keys, idx, rec = large
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        reader.keys.remove(keys[3])
        reader.idx["mine"] = 8
        del reader.idx[keys[0]]
        assert reader.read_idx("mine") == b""
        with pytest.raises(KeyError):
            reader.read_idx(keys[0])
        assert len(reader.keys) == LARGE - 1
        reader.reset()
        assert len(reader.keys) == len(reader.idx) == LARGE
        assert reader.read_idx(keys[0]) == b""


def test_a_reset_reads_an_index_again_only_if_it_changed(large, monkeypatch):
    from gpuio.recordio import files

    _, idx, rec = large
    read = []
    real = files.open_entries
    monkeypatch.setattr(files, "open_entries", lambda path: (read.append(path), real(path))[1])
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        reader.reset()
        assert read == [idx]
        with Path(idx).open("a") as file:
            file.write("999999\t0\n")
        assert len(reader.keys) == LARGE
        reader.reset()
        assert read == [idx, idx]
        assert reader.keys[-1] == 999999


def test_an_index_file_of_another_kind_replaces_the_arrays(large):
    _, idx, rec = large
    with MXIndexedRecordIO(idx, rec, "r") as reader:
        Path(idx).write_text("0\t0\textra\n")
        reader.reset()
        assert (reader.keys, reader.idx) == ([0], {0: 0})
        Path(idx).write_text("0\tx\n")
        with pytest.raises(FormatError, match="index line 1 is"):
            reader.reset()


def test_a_pickled_reader_is_small_and_opens_anew(large):
    keys, idx, rec = large
    reader = MXIndexedRecordIO(idx, rec, "r")
    data = pickle.dumps(reader)
    assert len(data) < 1000
    with pickle.loads(data) as again:
        assert again.keys == keys
        assert again.read_idx(keys[1]) == b""
    closed = pickle.loads(pickle.dumps(reader))  # the first one closed it
    assert closed.keys == keys
    assert closed.idx[keys[1]] == 8


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_open_writer_is_not_copied(tmp_path, duplicate):
    paths = str(tmp_path / "w.idx"), str(tmp_path / "w.rec")
    for writer in (MXIndexedRecordIO(*paths, "w"), MXRecordIO(str(tmp_path / "v.rec"), "w")):
        writer.write(b"one")
        with pytest.raises(TypeError, match=r"an open writer cannot be .*rec; close it first"):
            duplicate(writer)
        writer.write(b"two")  # it is open still
        writer.close()
        with MXRecordIO(writer._path, "r") as reader:
            assert [reader.read(), reader.read(), reader.read()] == [b"one", b"two", None]
        duplicate(writer)
        assert Path(writer._path).stat().st_size


@pytest.mark.parametrize("name", ["no/such.idx", ".", "{rec}", "other.rec", "link", "./{rec}"])
def test_a_writer_whose_index_cannot_be_written_empties_nothing(five, tmp_path, name):
    rec = Path(shutil.copy(five[0], tmp_path / "a.rec"))
    shutil.copy(five[0], tmp_path / "other.rec")
    (tmp_path / "link").symlink_to(rec)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    index = f"{tmp_path}/{name.format(rec=rec.name)}"
    with pytest.raises(StorageError) as raised:
        MXIndexedRecordIO(index, str(rec), "w")
    assert raised.value.path == str(Path(index)) or raised.value.path == index
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_writer_whose_record_file_cannot_be_written_empties_nothing(five, tmp_path):
    idx = Path(shutil.copy(five[1], tmp_path / "a.idx"))
    for index in (idx, tmp_path / "new.idx"):
        with pytest.raises(StorageError):
            MXIndexedRecordIO(str(index), str(tmp_path / "no/such.rec"), "w")
    assert idx.read_bytes() == Path(five[1]).read_bytes()
    assert not (tmp_path / "new.idx").exists()


def test_the_same_new_path_for_both_files_is_refused(tmp_path):
    with pytest.raises(StorageError, match="same path"):
        MXIndexedRecordIO(str(tmp_path / "a"), str(tmp_path / "." / "a"), "w")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_replaces_what_was_there(five, tmp_path):
    rec, idx = shutil.copy(five[0], tmp_path / "a.rec"), shutil.copy(five[1], tmp_path / "a.idx")
    with MXIndexedRecordIO(idx, rec, "w") as writer:
        writer.write_idx(7, b"x")
    assert Path(idx).read_text() == "7\t0\n"
    assert Path(rec).stat().st_size == 12


def private_kib():
    """Memory of this process alone, KiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("binary", [False, True])
def test_a_forked_worker_shares_the_index(tmp_path, binary):
    from gpuio.recordio import share_index
    from gpuio.recordio.framing import encode

    count = 1_500_000
    rec, idx = str(tmp_path / "a.rec"), str(tmp_path / "a.idx")
    Path(rec).write_bytes(encode(b"") * count)
    keys = np.arange(count)
    keys[[5, 9]] = keys[[9, 5]]  # so that keys are stored, too: 24 MB of arrays
    Path(idx).write_text("".join(f"{key}\t{8 * row}\n" for row, key in enumerate(keys.tolist())))
    if binary:
        share_index(idx)
    reader = MXIndexedRecordIO(idx, rec, "r")
    reader.read_idx(0)
    child = os.fork()
    if child == 0:
        code = 1
        gc.disable()  # a collection writes into every object of the parent's
        try:
            before = private_kib()
            found = [reader.read_idx(key) for key in range(0, count, 500)]
            total = sum(reader.idx[key] for key in range(0, count, 50))
            grown = private_kib() - before
            code = 0 if found == [b""] * len(found) and total and grown < 6 << 10 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    reader.close()


BAD_KEYS = ["", "a\tb", "a\nb", "\r", " a", "a ", "a\u2003", "\0a", "\ufeffa", "\ud800"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_cannot_be_read_back_is_refused(tmp_path, key):
    rec, idx = tmp_path / "a.rec", tmp_path / "a.idx"
    with MXIndexedRecordIO(idx, rec, "w", key_type=str) as writer:
        writer.write_idx("first", b"one")
        with pytest.raises(OptionError, match="cannot be read back") as raised:
            writer.write_idx(key, b"two")
        assert raised.value.path == str(idx)
        writer.write_idx("last", b"three")
    with MXIndexedRecordIO(idx, rec, "r", key_type=str) as reader:
        assert reader.keys == ["first", "last"]
        assert [reader.read() for _ in range(3)] == [b"one", b"three", None]
    with pytest.raises(OptionError, match="cannot be read back"):
        write_index(tmp_path / "b.idx", ["first", key], [0, 12])
    assert not (tmp_path / "b.idx").exists()


@pytest.mark.parametrize(
    "key", ["a b", "a/b.jpg", "\u00e4", "a\x0bb", "a\u2028b", "-", "007", "\u00b2"]
)
def test_any_other_text_is_a_key(tmp_path, key):
    rec, idx = tmp_path / "a.rec", tmp_path / "a.idx"
    with MXIndexedRecordIO(idx, rec, "w", key_type=str) as writer:
        writer.write_idx("first", b"one")
        writer.write_idx(key, b"two")
    with MXIndexedRecordIO(idx, rec, "r", key_type=str) as reader:
        assert (reader.keys, reader.read_idx(key)) == (["first", key], b"two")
    assert len(open_table([str(rec)], [str(idx)])) == 2


def test_the_wrong_mode_is_a_typed_error(five, tmp_path):
    with MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer:
        for use in (writer.read, lambda: writer.read_idx(0), lambda: writer.seek(0)):
            with pytest.raises(ModeError, match=r"needs a reader: .*flag='r' \[path=.*a\.rec"):
                use()
    with pytest.raises(ClosedError):
        writer.write(b"x")
    with MXIndexedRecordIO(five[1], five[0], "r") as reader:
        uses = (lambda: reader.write(b"x"), lambda: reader.write_idx(9, b"x"), reader.tell)
        for use in uses:
            with pytest.raises(ModeError, match=r"needs a writer: .*flag='w'"):
                use()
        pid, reader.pid = reader.pid, 1  # as in a forked child
        with pytest.raises(GpuioError, match="fork"):
            reader.read()
        reader.pid = pid
    with pytest.raises(OptionError, match="Invalid flag a: expected 'r' or 'w'"):
        MXRecordIO(five[0], "a")


def test_an_older_pair_stays_until_close(tmp_path):
    older = write_pair(tmp_path, [b"older"])
    writer = MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w")
    writer.write_idx(7, b"newer")
    assert read_pair(tmp_path) == older
    writer.close()
    assert read_pair(tmp_path) == {7: b"newer"}
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_a_block_that_ends_by_an_exception_keeps_the_older_pair(tmp_path):
    older = write_pair(tmp_path, [b"older"])
    with (
        contextlib.suppress(ZeroDivisionError),
        MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer,
    ):
        writer.write_idx(7, b"newer")
        raise ZeroDivisionError
    assert read_pair(tmp_path) == older
    assert (tmp_path / "a.rec.part").exists()


def test_a_forked_child_neither_writes_nor_publishes_its_parents_records(tmp_path):
    writer = MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w")
    writer.write_idx(1, b"one")
    child = os.fork()
    if child == 0:
        writer.close()
        del writer
        gc.collect()
        os._exit(len(os.listdir(tmp_path)) != 2)
    assert os.waitpid(child, 0)[1] == 0
    writer.write_idx(2, b"two")
    writer.close()
    assert read_pair(tmp_path) == {1: b"one", 2: b"two"}


def test_of_two_writers_of_one_pair_the_older_raises(tmp_path):
    older = MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w")
    older.write_idx(1, b"older")
    newer = MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w")
    newer.write_idx(2, b"newer")
    with pytest.raises(ClosedError, match="another writer of this process"):
        older.write_idx(3, b"lost")
    with pytest.raises(ClosedError, match="another writer of this process"):
        older.close()
    newer.close()
    assert read_pair(tmp_path) == {2: b"newer"}


def write_pair(folder, payloads):
    """Write a.rec and a.idx with keys from 0; return what `read_pair` does."""
    with MXIndexedRecordIO(folder / "a.idx", folder / "a.rec", "w") as writer:
        for key, payload in enumerate(payloads):
            writer.write_idx(key, payload)
    return read_pair(folder)


def read_pair(folder):
    """Return key to payload."""
    with MXIndexedRecordIO(folder / "a.idx", folder / "a.rec", "r") as reader:
        return {key: reader.read_idx(key) for key in reader.keys}


@pytest.mark.parametrize("key", [1.5, np.float32(0.5)])
def test_a_key_that_would_become_another_is_refused(tmp_path, key):
    with MXIndexedRecordIO(tmp_path / "a.idx", tmp_path / "a.rec", "w") as writer:
        with pytest.raises(OptionError, match="whole number"):
            writer.write_idx(key, b"x")
        writer.write_idx(2.0, b"y")
    assert read_pair(tmp_path) == {2: b"y"}
