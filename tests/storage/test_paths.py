"""Paths: what is not a file is refused at once, and what is missing is a FileNotFoundError, too."""

import errno
import os
import pickle
import signal
import struct

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import GpuioError, MissingFileError, OptionError, StorageError
from gpuio.storage.paths import check_regular, unusable
from gpuio.tools import cli
from support.making import flat, write_rec

IMAGES = {"data_shape": (3, 8, 8), "batch_size": 1, "verbose": False}


@pytest.fixture(autouse=True)
def at_once():
    """Fail where something waits: for a writer of a pipe, say."""

    def late(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 120)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path):
    """A folder with a record file, what reads it needs, and nothing named `there`."""
    write_rec(tmp_path, [flat(1), flat(2)])
    (tmp_path / "labels").write_bytes(struct.pack(">II2B", 0x801, 2, 0, 1))
    return tmp_path


def records(folder, **options):
    mx.io.ImageRecordIter(**{"path_imgrec": f"{folder}/data.rec", **IMAGES, **options})


def faulty(folder, there):
    """Log into `there`: the only record is bad."""
    write_rec(folder, [b"bad"], name="bad")
    it = mx.io.ImageRecordIter(
        path_imgrec=f"{folder}/bad.rec", on_error="zero", error_log=there, **IMAGES
    )
    next(it)


def listed(folder, there):
    image = mx.image.ImageIter(
        1, (3, 8, 8), imglist=[[0.0, os.path.basename(there)]], path_root=str(folder), aug_list=[]
    )
    next(image)


def writer(idx, rec):
    mx.recordio.MXIndexedRecordIO(idx, rec, "w").close()


READERS = {
    "a record file": lambda _, there: mx.recordio.MXRecordIO(there, "r"),
    "an index": lambda folder, there: mx.recordio.MXIndexedRecordIO(
        there, f"{folder}/data.rec", "r"
    ),
    "an index of strings": lambda folder, there: mx.recordio.MXIndexedRecordIO(
        there, f"{folder}/data.rec", "r", key_type=str
    ),
    "an index to share": lambda _, there: mx.recordio.share_index(there),
    "path_imgrec": lambda folder, there: records(folder, path_imgrec=there),
    "path_imgidx": lambda folder, there: records(folder, path_imgidx=there),
    "path_imglist": lambda folder, there: records(folder, path_imglist=there),
    "checksum": lambda folder, there: records(folder, checksum=there),
    "ImageIter, path_imgrec": lambda _, there: mx.image.ImageIter(1, (3, 8, 8), path_imgrec=there),
    "ImageIter, path_imgidx": lambda folder, there: mx.image.ImageIter(
        1, (3, 8, 8), path_imgrec=f"{folder}/data.rec", path_imgidx=there
    ),
    "ImageIter, path_imglist": lambda _, there: mx.image.ImageIter(
        1, (3, 8, 8), path_imglist=there, path_root="."
    ),
    "ImageIter, an image": listed,
    "imread": lambda _, there: mx.image.imread(there),
    "nd.load": lambda _, there: mx.nd.load(there),
    "pairs": lambda _, there: mx.recordio.read_pairs(there),
    "CSVIter": lambda _, there: mx.io.CSVIter(data_csv=there, data_shape=(1,), batch_size=1),
    "LibSVMIter": lambda _, there: mx.io.LibSVMIter(
        data_libsvm=there, data_shape=(1,), batch_size=1
    ),
    "MNISTIter": lambda folder, there: mx.io.MNISTIter(image=there, label=f"{folder}/labels"),
}
WRITERS = {
    "MXRecordIO": lambda _, there: mx.recordio.MXRecordIO(there, "w"),
    "an index": lambda folder, there: writer(there, f"{folder}/new.rec"),
    "a record file with an index": lambda folder, there: writer(f"{folder}/new.idx", there),
    "nd.save": lambda _, there: mx.nd.save(there, mx.nd.zeros((1,))),
    "error_log": faulty,
}
NOT_FILES = {
    "pipe": os.mkfifo,
    "device": lambda path: os.symlink("/dev/zero", path),
    "folder": os.mkdir,
}
COMMANDS = {
    "rec2idx": ("rec2idx", "data.rec", "there"),
    "rec2idx of": ("rec2idx", "there", "new.idx"),
    "cat": ("cat", "data.rec", "0", "--out", "there"),
    "ls": ("ls", "data.rec", "--idx", "there"),
    "show": ("show", "data.rec", "--out", "there.png"),
    "checksum": ("checksum", "data.rec", "--out", "there"),
    "verify": ("verify", "data.rec", "--idx", "there"),
    "repair": ("repair", "data.rec", "there.rec"),
}


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_what_is_not_a_file(folder, reader, kind):
    there = str(folder / "there")
    NOT_FILES[kind](there)
    if kind == "folder" and reader in ("path_imgrec", "CSVIter", "LibSVMIter"):
        with open(f"{there}/pipe", "x"):
            pass  # a folder means its files
    with pytest.raises(GpuioError, match=f"it is a (named )?{kind}|files? (is|are) empty"):
        READERS[reader](folder, there)


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_refuses_what_is_not_a_file(folder, writer, kind):
    there = str(folder / "there")
    NOT_FILES[kind](there)
    before = os.lstat(there).st_ino
    with pytest.raises((StorageError, OptionError), match=f"it is a (named )?{kind}"):
        WRITERS[writer](folder, there)
    assert os.lstat(there).st_ino == before
    assert not (folder / "new.rec").exists()


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_what_is_not_a_file(folder, capsys, command, kind):
    words = [str(folder / word) if "." in word or word == "there" else word
             for word in COMMANDS[command]]  # fmt: skip
    there = next(word for word in words if "there" in word)
    NOT_FILES[kind](there)
    before = os.lstat(there).st_ino
    assert cli.main(words) in (2, 3)
    said = capsys.readouterr().err
    assert kind in said or "exists" in said  # repair takes nothing's place
    assert os.lstat(there).st_ino == before


@pytest.mark.parametrize("beside", ["data.idx.bin", "property"])
def test_a_pipe_beside_a_record_file_is_not_waited_for(folder, beside):
    os.mkfifo(folder / beside)
    with mx.io.ImageRecordIter(
        path_imgrec=f"{folder}/data.rec", path_imgidx=f"{folder}/data.idx", **IMAGES
    ) as it:
        assert it.num_classes is None
        assert len(it) == 2


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_a_file_not_found_error(folder, reader):
    there = str(folder / "there")
    with pytest.raises(FileNotFoundError) as raised:
        READERS[reader](folder, there)
    assert isinstance(raised.value, MissingFileError)
    assert raised.value.errno == errno.ENOENT
    assert raised.value.filename == raised.value.path == there


def test_a_missing_mean_image_folder_is_named(folder):
    with pytest.raises(MissingFileError, match="cannot write"):
        records(folder, mean_img=f"{folder}/none/mean.bin")


def test_a_link_that_leads_nowhere_says_where_to(folder):
    (folder / "dead.rec").symlink_to("gone.rec")
    for reader in ("path_imgrec", "a record file", "imread"):
        with pytest.raises(FileNotFoundError, match=r"a link to gone\.rec, where nothing is"):
            READERS[reader](folder, f"{folder}/dead.rec")


def test_an_error_is_not_its_own_cause(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError) as raised:
        check_regular(tmp_path / "pipe")
    copy = unusable("cannot read", raised.value, tmp_path)
    assert copy is not raised.value
    assert str(copy) == str(raised.value)


def test_a_missing_file_error_travels(tmp_path):
    error = pickle.loads(pickle.dumps(MissingFileError("nothing", path="a")))
    assert (type(error), str(error), error.filename) == (
        MissingFileError, "nothing [path=a]", "a",
    )  # fmt: skip
    assert np.all(error.errno == errno.ENOENT)
