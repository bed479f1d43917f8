"""Bad input gives a typed error that names path, key and byte offset, and the process lives."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio import recordio
from gpuio.errors import (
    DecodeError,
    FormatError,
    GpuioError,
    OptionError,
    RecordError,
    StorageError,
)
from support.making import flat, jpeg, offsets, photo, write_rec


def reader(rec, **options):
    return mx.io.ImageRecordIter(
        **{
            "path_imgrec": rec,
            "data_shape": (3, 8, 8),
            "batch_size": 2,
            "verbose": False,
            "ctx": "cpu",
            **options,
        }
    )


def fails(kind, rec, key=None, offset=None, text="", **options):
    """Read all batches; the error must be of a kind, name its place, and be the only thing left."""
    with pytest.raises(kind) as raised:  # noqa: PT012 -- at construction or at a batch
        it = reader(rec, **options)
        try:
            list(it)
        finally:
            it.close()
    error = raised.value
    assert re.search(text, str(error)), str(error)
    assert error.path == rec or str(rec) in str(error)
    assert key is None or error.key == key
    assert offset is None or error.offset == offset
    assert not [t for t in threading.enumerate() if t.name.startswith("gpuio")]
    return error


def good(count=5):
    return [flat(i) for i in range(count)]


def test_a_missing_file(tmp_path):
    fails(StorageError, str(tmp_path / "no.rec"))


def test_a_directory_without_records(tmp_path):
    fails(GpuioError, str(tmp_path))


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.rec"
    path.touch()
    fails(FormatError, str(path))


@pytest.mark.skipif("os.geteuid() == 0", reason="root reads every file")
def test_a_file_that_may_not_be_read(tmp_path):
    rec, _ = write_rec(tmp_path, good())
    Path(rec).chmod(0)
    fails(StorageError, rec)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_file_cut_inside_its_last_record(tmp_path, cut):
    rec, idx = write_rec(tmp_path, good())
    whole = Path(rec).read_bytes()
    last = offsets(idx)[-1]
    Path(rec).write_bytes(whole[: last + 8 + cut])
    fails(FormatError, rec, offset=last)


def test_bad_magic_in_the_middle(tmp_path):
    rec, idx = write_rec(tmp_path, good())
    data = bytearray(Path(rec).read_bytes())
    at = offsets(idx)[2]
    data[at] ^= 0xFF
    Path(rec).write_bytes(data)
    fails(FormatError, rec, offset=at, text="(?i)magic")


def test_bad_magic_with_an_index_names_the_record(tmp_path):
    rec, idx = write_rec(tmp_path, good(200))
    data = bytearray(Path(rec).read_bytes())
    at = offsets(idx)[101]
    data[at] ^= 0xFF
    Path(rec).write_bytes(data)
    error = fails(FormatError, rec, offset=at, path_imgidx=idx)
    assert error.key in (None, 101)


def test_a_length_beyond_the_end_of_the_file(tmp_path):
    rec, idx = write_rec(tmp_path, good())
    data = bytearray(Path(rec).read_bytes())
    at = offsets(idx)[3]
    data[at + 4 : at + 8] = (0x1FFFFFFF).to_bytes(4, "little")
    Path(rec).write_bytes(data)
    fails(FormatError, rec, offset=at)


def test_a_missing_index(tmp_path):
    rec, idx = write_rec(tmp_path, good())
    with pytest.raises(GpuioError, match="rec2idx"):
        reader(rec, path_imgidx=idx + ".no")


def test_the_index_of_another_file(tmp_path):
    rec, _ = write_rec(tmp_path, good())
    _, other = write_rec(tmp_path, [jpeg(photo(30, 30, i)) for i in range(5)], name="other")
    with pytest.raises(FormatError, match=re.escape(other)):
        reader(rec, path_imgidx=other)


def test_an_index_of_half_the_file_warns(tmp_path):
    rec, idx = write_rec(tmp_path, good(6))
    half = Path(idx).with_name("half.idx")
    half.write_text("".join(line + "\n" for line in Path(idx).read_text().splitlines()[::2]))
    with pytest.warns(mx.GpuioWarning, match="3 of 6 records"):
        it = reader(rec, path_imgidx=str(half), batch_size=3)
    with it:
        assert next(it).label[0].tolist() == [0, 2, 4]


@pytest.mark.parametrize("resize", [-1, 16])
def test_a_payload_that_is_no_image(tmp_path, resize):
    rec, idx = write_rec(tmp_path, [flat(1), flat(2), b"this is no image", flat(3)])
    fails(DecodeError, rec, key=2, offset=offsets(idx)[2], path_imgidx=idx, resize=resize)


def test_an_empty_image(tmp_path):
    rec, idx = write_rec(tmp_path, [flat(1), b"", flat(3)])
    fails(DecodeError, rec, key=1, offset=offsets(idx)[1], text="image is empty")


@pytest.mark.parametrize("keep", [100, 0.5, 0.98])
def test_a_truncated_jpeg(tmp_path, keep, capfd):
    whole = jpeg(photo(64, 64))
    part = whole[: keep if keep > 1 else int(keep * len(whole))]
    rec, idx = write_rec(tmp_path, [jpeg(photo(64, 64, 1)), part])
    fails(DecodeError, rec, key=1, offset=offsets(idx)[1])
    capfd.readouterr()


def test_a_record_shorter_than_its_header(tmp_path):
    rec = str(tmp_path / "short.rec")
    writer = recordio.MXRecordIO(rec, "w")
    writer.write(recordio.pack((0, 1.0, 0, 0), flat(1)))
    second = 8 + (-(-(24 + len(flat(1))) // 4) * 4)
    writer.write(b"0123456789")
    writer.close()
    fails(RecordError, rec, offset=second, text="10")


def test_a_label_count_beyond_the_record(tmp_path):
    rec = str(tmp_path / "labels.rec")
    writer = recordio.MXRecordIO(rec, "w")
    payload = bytearray(recordio.pack((0, 1.0, 0, 0), flat(1)))
    payload[:4] = (100_000).to_bytes(4, "little")
    writer.write(bytes(payload))
    writer.close()
    fails(RecordError, rec, offset=0, text="100,?000")


def test_a_label_width_that_differs(tmp_path):
    rec = str(tmp_path / "wide.rec")
    writer = recordio.MXRecordIO(rec, "w")
    writer.write(recordio.pack((0, [1.0, 2.0, 3.0], 0, 0), flat(1)))
    writer.close()
    fails(
        RecordError,
        rec,
        key=0,
        offset=0,
        text="record has 3 labels, label_width asks for 2",
        label_width=2,
    )


def test_a_list_without_the_records_id(tmp_path):
    rec, _ = write_rec(tmp_path, good())
    lst = tmp_path / "a.lst"
    lst.write_text("0\t1\ta\n1\t1\tb\n")
    fails(RecordError, rec, key=2, text="no label for id 2", path_imglist=str(lst))


def test_an_image_larger_than_the_limit(tmp_path):
    rec, _ = write_rec(tmp_path, [flat(1), jpeg(photo(40, 50))])
    fails(
        DecodeError, rec, key=1, text="50x40 pixels, more than the limit of 1,000", max_pixels=1000
    )


def test_crops_larger_than_the_image(tmp_path):
    rec, idx = write_rec(tmp_path, [jpeg(photo(40, 50)), jpeg(photo(20, 20))])
    fails(GpuioError, rec, key=1, offset=offsets(idx)[1], max_crop_size=30, min_crop_size=30)


def test_the_error_stands_at_its_batch_and_asking_again_tries_again(tmp_path):
    blobs = [flat(i) for i in range(10)]
    blobs[5] = b"broken"
    rec, idx = write_rec(tmp_path, blobs)
    with reader(rec, path_imgidx=idx) as it:
        assert [next(it).label[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
        for _ in range(3):
            with pytest.raises(DecodeError) as raised:
                next(it)
            assert (raised.value.key, raised.value.offset) == (5, offsets(idx)[5])
            assert "batch 2 of the epoch" in raised.value.__notes__[0]
        assert it.stats()["failed_records"][0]["key"] == 5


@pytest.mark.parametrize(
    "options",
    [
        {"random_resized_crop": True, "rand_crop": True},
        {"random_resized_crop": True, "max_random_scale": 2},
        {"random_resized_crop": True, "max_crop_size": 5},
    ],
)
def test_conflicting_options_are_refused_at_construction(tmp_path, options):
    rec, _ = write_rec(tmp_path, good())
    with pytest.raises(OptionError, match="random_resized_crop"):
        reader(rec, **options)


def test_eleven_kinds_of_rubbish_then_a_good_file(tmp_path, capfd):
    rng = np.random.default_rng(1)
    for number in range(10):
        rec, _ = write_rec(tmp_path, [rng.bytes(50 + number)], name=f"bad{number}")
        with pytest.raises(GpuioError):
            next(reader(rec, batch_size=1))
    rec, _ = write_rec(tmp_path, good())
    with reader(rec) as it:
        assert next(it).label[0].tolist() == [0, 1]
    capfd.readouterr()
