"""Labels are measured from the beginnings of records alone, and damaged records are ignored."""

import struct

import numpy as np
import pytest

from gpuio import recordio
from gpuio.errors import FormatError, OptionError
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.recordio.index import open_table
from gpuio.storage.local import LocalFile
from gpuio.tasks.box_labels import LabelSizes, measure_labels
from support import boxes, making


def measure(paths, rows=None, **options):
    table = open_table(paths, [])
    files = [LocalFile(path) for path in paths]
    try:
        rows = np.arange(len(table.offset)) if rows is None else np.array(rows)
        given = ImageDetRecordOptions(data_shape=(3, 8, 8), batch_size=1, **options)
        return measure_labels(table, files, rows, given)
    finally:
        for file in files:
            file.close()


def test_the_widest_label_of_the_rows_and_the_widest_object(tmp_path):
    one, _ = boxes.write(tmp_path, 5, name="a")
    two, _ = boxes.write(tmp_path, 3, name="b", header=(1,), width=7)
    assert measure([one, two]) == (LabelSizes(3 + 3 * 7, 7), None)
    assert measure([one, two], rows=range(5)) == (LabelSizes(17, 5), None)
    assert measure([one, two], rows=[0, 3]) == (LabelSizes(7, 5), None)


def test_a_record_in_parts_is_joined_first(tmp_path):
    magic = struct.unpack("<f", struct.pack("<I", 0xCED7230A))[0]
    label = boxes.label([(0, 0.1, 0.1, 0.2, 0.2)] * 4, width=6)
    label[0] = magic  # stands at a multiple of four bytes, so the record is split before it
    path = str(tmp_path / "split.rec")
    with recordio.MXRecordIO(path, "w") as writer:
        writer.write(recordio.pack(recordio.IRHeader(0, label, 0, 0), b"image"))
    assert measure([path]) == (LabelSizes(26, 6), None)


def test_the_objects_of_an_image_without_any_are_not_measured(tmp_path):
    blobs = [making.png(boxes.scene(6, 8, ()))] * 3
    rec, _ = making.write_rec(tmp_path, blobs, [[2, 60], [2, 5, 0, 0, 0, 1, 1], [3, 7, 0]])
    assert measure([rec]) == (LabelSizes(7, 5), None)


def test_damage_is_no_label(tmp_path):
    rec, idx = boxes.write(tmp_path, 3)
    offset = making.offsets(idx)
    with open(rec, "r+b") as file:
        file.seek(offset[2] + 8)
        file.write(struct.pack("<I", 2**31))  # says two billion labels
        file.seek(offset[1] + 36)
        file.write(struct.pack("<f", np.inf))
    assert measure([rec]) == (LabelSizes(12, 5), None)


def test_a_width_that_is_too_small_names_the_record(tmp_path):
    rec, idx = boxes.write(tmp_path, 3)
    with pytest.raises(
        OptionError, match=rf"12 is smaller than 17.*offset={making.offsets(idx)[2]}"
    ):
        measure([rec], label_pad_width=12)
    assert measure([rec], label_pad_width=17)[0].width == 17


def test_a_list_is_measured_instead(tmp_path):
    rec, _ = boxes.write(tmp_path, 3)
    lst = tmp_path / "a.lst"
    lst.write_text("0 2 6 0 .1 .1 .2 .2 9 a.png\n\n1 " + "0 " * 30 + "b.png\n")
    sizes, labels = measure([rec], path_imglist=str(lst))
    assert sizes == LabelSizes(30, 6)
    assert labels[0].tolist() == np.float32([2, 6, 0, 0.1, 0.1, 0.2, 0.2, 9]).tolist()
    with pytest.raises(FormatError, match=r"line 1 .* 8 label\(s\).*label_width asks for 7"):
        measure([rec], path_imglist=str(lst), label_width=7)
    lst.write_text("\n")
    with pytest.raises(FormatError, match="holds no line"):
        measure([rec], path_imglist=str(lst))
    lst.write_text("0 only.png\n")
    with pytest.raises(FormatError, match=r"a whole number, the label\(s\) and a path"):
        measure([rec], path_imglist=str(lst))
