"""A file of another kind is named, by whatever opens it, and a damaged record file is not."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuio as mx
from gpuio.errors import FormatError, StorageError
from gpuio.recordio.foreign import foreign_kind
from gpuio.recordio.framing import encode
from gpuio.tools import cli
from support.faceset import record
from support.making import flat, jpeg, photo, png, reader, write_rec

# a TFRecord of 3 bytes: length, masked CRC-32C of the length, the data, and a wrong CRC of them
TFRECORD = bytes.fromhex("0300000000000000b099490e") + b"abc" + bytes(4)


def saved(write):
    made = io.BytesIO()
    write(made)
    return made.getvalue()


def tar():
    def write(file):
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.jpg"))

    return saved(write)


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")


KINDS = {
    "this is text": b"0 1 a b.jpg\n" * 20,
    "PDF document": b"%PDF-1.4" + bytes(40),
    "JPEG image": jpeg(photo(20, 30)),
    "PNG image": png(photo(20, 30)),
    "GIF image": b"GIF89a" + bytes(40),
    "WebP image": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20),
    "image list": b"7\t1.000000\ta/b c.jpg\n8\t0.000000\td.jpg\n",
    "index": b"0\t0\n1\t5032\n",
    "web page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
    "zip archive": saved(zipped),
    "gzip file": gzip.compress(b"a" * 100),
    "bzip2 file": bz2.compress(b"a" * 100),
    "xz file": lzma.compress(b"a" * 100),
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "TFRecord file": TFRECORD,
    "tar archive": tar(),
    "pickle": pickle.dumps(([b"a"], [True]), 4),
    "NumPy array": saved(lambda file: np.save(file, np.zeros(3))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(tmp_path, capsys, kind):
    path = str(tmp_path / "data.rec")
    (tmp_path / "data.rec").write_bytes(KINDS[kind])
    index = str(tmp_path / "data.idx")
    (tmp_path / "data.idx").write_text("0\t0\n1\t40\n")

    def sequentially():
        with mx.recordio.MXRecordIO(path, "r") as file:
            file.read()

    for use in (
        lambda: reader((path, index), index=False),
        lambda: reader((path, index), index=False, resync=True),
        lambda: reader((path, index)),
        sequentially,
    ):
        with pytest.raises(FormatError, match=kind) as raised:
            use()
        assert "not a record file" in str(raised.value)
        assert "damaged" not in str(raised.value)
        assert raised.value.path == path
        assert raised.value.offset == 0
    for command in (["info", path], ["ls", path], ["rec2idx", path, index], ["verify", path]):
        assert cli.main(command) == 1
        said = capsys.readouterr()
        assert kind in said.out + said.err
        assert "damaged" not in said.out + said.err


@pytest.mark.parametrize("kind", ["JPEG image", "git LFS pointer", "record file"])
def test_an_index_of_another_kind_is_named(tmp_path, kind):
    rec, idx = write_rec(tmp_path, [flat(1)])
    content = KINDS["git lfs pull"] if "git" in kind else KINDS.get(kind)
    (tmp_path / "data.idx").write_bytes(content or (tmp_path / "data.rec").read_bytes())
    with pytest.raises(FormatError, match=f"this is a {kind}.*, not an index") as raised:
        reader((rec, idx))
    assert raised.value.path == idx


@given(st.binary(min_size=1, max_size=2), st.integers(0, 8))
def test_a_damaged_record_file_is_not_named(change, at):
    framed = bytearray(encode(record(1.0, flat(1))))
    framed[at : at + len(change)] = change
    assert foreign_kind(bytes(framed)) == ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (os.mkfifo, "it is a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    ],
)
def test_what_is_no_file_is_named_at_once(tmp_path, capsys, make, said):
    path = tmp_path / "a.rec"
    make(path)
    if not path.is_dir():
        with pytest.raises(StorageError, match=said):
            reader((str(path), ""), index=False)
    with pytest.raises(StorageError, match=said):
        mx.recordio.MXRecordIO(str(path), "r")
    assert cli.main(["info", str(path)]) == 3
    told = capsys.readouterr().err
    assert said in told or (path.is_dir() and "the folder holds no file" in told)


def test_a_folder_of_im2rec_is_read(tmp_path):
    write_rec(tmp_path, [flat(1), flat(2)], name="a")
    write_rec(tmp_path, [flat(3), flat(4)], name="b")
    (tmp_path / "a.lst").write_text("0\t0\tx.jpg\n")
    with reader((str(tmp_path), ""), index=False, batch_size=4) as it:
        assert next(it).data[0][:, 0, 0, 0].tolist() == [1, 2, 3, 4]
