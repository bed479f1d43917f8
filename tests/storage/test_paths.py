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
from gpuio.storage.paths import absolute, absolute_uri, check_regular, unusable
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
    if kind == "folder" and reader in ("path_imgrec", "path_imgidx", "CSVIter", "LibSVMIter"):
        with open(f"{there}/data.idx", "x"):
            pass  # a folder means its files
    with pytest.raises(GpuioError, match=f"it is a (named )?{kind}|files? (is|are) empty|no rec"):
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


@pytest.mark.parametrize("reader", ["path_imgrec", "path_imgidx", "a record file", "imread"])
def test_a_missing_file_whose_writer_was_not_closed_is_named(folder, reader):
    there = f"{folder}/there"
    (folder / "there.part").write_bytes(b"some")
    with pytest.raises(FileNotFoundError, match=r"there\.part is there: .* close\(\) gives it"):
        READERS[reader](folder, there)


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


def by_list(folder):
    """A list of the images of `pictures`, by paths relative to the folder."""
    (folder / "pictures").mkdir()
    for number in (1, 2):
        (folder / "pictures" / f"{number}.png").write_bytes(flat(number))
    lines = [f"{number}\t{number}\tpictures/{number}.png\n" for number in (1, 2)]
    (folder / "a.lst").write_text("".join(lines))


def indexed():
    return mx.recordio.MXIndexedRecordIO("data.idx", "data.rec", "r")


ITERATORS = {
    "path_imgrec": lambda: mx.io.ImageRecordIter(path_imgrec="data.rec", **IMAGES),
    "a list, a pattern": lambda: mx.io.ImageRecordIter(path_imgrec=["./dat*.rec"], **IMAGES),
    "file://": lambda: mx.io.ImageRecordIter(path_imgrec="file://data.rec", **IMAGES),
    "all files": lambda: mx.io.ImageRecordIter(
        path_imgrec="data.rec;data.rec", path_imgidx="data.idx;data.idx", path_imglist="a.lst",
        mean_img="mean.bin", checksum="data.rec.crc32;data.rec.crc32", error_log="log", **IMAGES,
    ),
    "ImageIter, a record file": lambda: mx.image.ImageIter(
        1, (3, 8, 8), path_imgrec="data.rec", path_imgidx="data.idx"
    ),
    "ImageIter, without index": lambda: mx.image.ImageIter(1, (3, 8, 8), path_imgrec="data.rec"),
    "ImageIter, a list": lambda: mx.image.ImageIter(
        1, (3, 8, 8), path_imglist="a.lst", path_root="."
    ),
    "ImageIter, a list without root": lambda: mx.image.ImageIter(
        1, (3, 8, 8), path_imglist="a.lst", path_root=None
    ),
    "CSVIter": lambda: mx.io.CSVIter(
        data_csv="a.csv?delimiter=;", data_shape=(2,), label_csv="b.csv", batch_size=1
    ),
    "LibSVMIter": lambda: mx.io.LibSVMIter(data_libsvm="a.svm", data_shape=(2,), batch_size=1),
    "MNISTIter": lambda: mx.io.MNISTIter(image="images", label="labels", batch_size=1),
}  # fmt: skip


@pytest.fixture
def everything(folder, monkeypatch):
    """The folder that is worked in, with all that `ITERATORS` read."""
    by_list(folder)
    (folder / "a.csv").write_text("1;2\n3;4\n")
    (folder / "b.csv").write_text("1\n2\n")
    (folder / "a.svm").write_text("1 0:1\n2 1:2\n")
    (folder / "images").write_bytes(struct.pack(">4I2B", 0x803, 2, 1, 1, 8, 9))
    # the ids of the records are 0 and 1
    (folder / "a.lst").write_text("0\t0\tpictures/1.png\n1\t1\tpictures/2.png\n")
    assert cli.main(["checksum", str(folder / "data.rec")]) == 0
    (folder / "else" / "where").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def values(it):
    return [np.asarray(mx.nd.asnumpy(batch.data[0])).tolist() for batch in it]


@pytest.mark.parametrize("kind", ITERATORS)
def test_another_working_folder_changes_no_file(everything, monkeypatch, kind):
    expected = values(ITERATORS[kind]())
    it = ITERATORS[kind]()
    monkeypatch.chdir(everything / "else" / "where")
    assert values(it) == expected
    it.reset()
    assert len(values(it)) == len(expected)
    it.reset()
    copy = pickle.loads(pickle.dumps(it))
    assert values(copy)[0] == values(it)[0]
    if hasattr(it, "options"):
        assert len(values(type(it)(**it.options.as_dict()))) == len(expected)


def test_a_reader_and_a_writer_stay_with_their_files(everything, monkeypatch):
    reader, writer = indexed(), mx.recordio.MXIndexedRecordIO("new.idx", "new.rec", "w")
    expected = reader.read_idx(1)
    monkeypatch.chdir("else/where")
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.read_idx(1) == expected
    copy.reset()
    assert copy.read() == indexed_at(everything).read()
    writer.reset()
    writer.write_idx(5, b"abc")
    writer.close()
    assert (everything / "new.idx").read_text() == "5\t0\n"
    assert not list((everything / "else" / "where").iterdir())


def indexed_at(folder):
    return mx.recordio.MXIndexedRecordIO(f"{folder}/data.idx", f"{folder}/data.rec", "r")


def test_a_log_and_a_mean_image_stay_where_they_were_named(everything, monkeypatch):
    write_rec(everything, [flat(1), b"bad"], name="bad")
    it = mx.io.ImageRecordIter(
        path_imgrec="bad.rec", on_error="zero", error_log="log", prefetch_buffer=1, **IMAGES
    )
    monkeypatch.chdir("else/where")
    assert len(values(it)) == 2
    assert (everything / "log").exists()
    assert not list((everything / "else" / "where").iterdir())


def test_the_home_folder_is_understood(everything, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(everything))
    monkeypatch.chdir("else/where")
    assert len(values(mx.io.ImageRecordIter(path_imgrec="~/data.rec", **IMAGES))) == 2
    assert mx.recordio.MXRecordIO("~/data.rec", "r").read()
    assert mx.recordio.read_pairs.__module__  # reads whole files, as nd.load does
    mx.nd.save("~/one.nd", mx.nd.zeros((1,)))
    assert mx.nd.load("~/one.nd")[0].shape == (1,)
    assert mx.image.imread("~/pictures/1.png").shape == (8, 8, 3)
    assert mx.recordio.share_index("~/data.idx") == f"{everything}/data.idx.bin"
    it = mx.image.ImageIter(1, (3, 8, 8), path_imglist="~/a.lst", path_root="~")
    assert len(values(it)) == 2
    assert cli.main(["show", "~/data.rec", "--out=~/sheet.png", "--idx=~/data.idx"]) == 0
    assert (everything / "sheet.png").exists()
    assert cli.main(["verify", "~/data.rec"]) == 0
    assert "framing, index" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a;b", "a[1]", "~", "a b"])
def test_the_working_folder_may_have_any_name(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    write_rec(tmp_path / name, [flat(1)])
    monkeypatch.chdir(tmp_path / name)
    for path in ("data.rec", "*.rec", r".*\.rec", "./data.rec;data.rec"):
        it = mx.io.ImageRecordIter(path_imgrec=path, path_imgidx="", **IMAGES)
        assert len(values(it)) == 1 + path.count(";")


def test_paths_are_made_absolute_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("") == ""
    assert absolute("/x/../y") == "/x/../y"
    assert absolute("./a/../b") == f"{tmp_path}/a/../b"
    assert absolute_uri("a;/b;s3://c;file://d") == f"{tmp_path}/a;/b;s3://c;{tmp_path}/d"
