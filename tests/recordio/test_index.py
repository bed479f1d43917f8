"""Index files in every state are read, or refused by line; tables hold every record once."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuio.errors import EmptyDatasetError, FormatError, GpuioWarning, StorageError
from gpuio.recordio import MXRecordIO
from gpuio.recordio.framing import encode, unframe
from gpuio.recordio.index import build_index, open_table, read_index, write_index
from support.making import write_rec


@pytest.fixture
def six(tmp_path):
    return write_rec(tmp_path, [b"x" * (5 * i) for i in range(6)])


@pytest.mark.parametrize(
    "text",
    [
        "0\t0\n7\t16\n",
        "0\t0\r\n7\t16\r\n",
        "0 0\n7 16",
        "\ufeff0\t0\n7\t16\n",
        "0\t0\n\n \n7\t16\n",
        "0\t0\textra\n7\t16\tfield\n",
        "0\t0\n7\t16\n\0\0\0",
        " 0\t0 \n 7\t16",
    ],
)
def test_lines_of_every_habit_are_read(tmp_path, text):
    path = tmp_path / "a.idx"
    path.write_bytes(text.encode())
    assert read_index(path) == ([0, 7], [0, 16])


@pytest.mark.parametrize("line", ["7", "x\t16", "7\tx", "7\t1.5", "7\t-16"])
def test_a_line_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "a.idx"
    path.write_text(f"0\t0\n{line}\n")
    with pytest.raises(FormatError, match="index line 2"):
        read_index(path)


def test_an_index_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.idx"
    write_index(path, ["a", "b"], [0, 16])
    assert path.read_text() == "a\t0\nb\t16\n"

    def fail():
        yield 0
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_index(path, ["c", "d"], fail())
    assert path.read_text() == "a\t0\nb\t16\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.idx"]
    with pytest.raises(StorageError, match="no/such"):
        write_index(tmp_path / "no/such/a.idx", [], [])


def test_a_built_index_is_the_one_that_was_written(six, tmp_path):
    built = tmp_path / "built.idx"
    assert build_index(six[0], built) == 6
    assert built.read_bytes() == Path(six[1]).read_bytes()


def test_a_table_is_the_same_with_and_without_an_index(six):
    scanned, indexed = open_table([six[0]]), open_table([six[0]], [six[1]])
    for name in ("offset", "length", "key", "file", "sizes"):
        assert np.array_equal(getattr(scanned, name), getattr(indexed, name)), name
    assert (scanned.indexed, indexed.indexed, len(indexed)) == (False, True, 6)


def test_consecutive_keys_and_the_file_take_no_memory(six, tmp_path):
    table = open_table([six[0]], [six[1]])
    assert table.file.strides == (0,)
    assert (table.file.dtype, table.key.dtype) == (np.int32, np.int64)
    assert table.key is not table.key
    for _ in range(20):
        assert table.key.tolist() == [0, 1, 2, 3, 4, 5]
    assert table.key is table.key  # asked for so often that it is kept
    assert table.take(slice(2, 4)).key.tolist() == [2, 3]
    assert table.take(slice(None, None, 2)).key.tolist() == [0, 2, 4]
    assert table.take(np.array([5, 0])).key.tolist() == [5, 0]
    assert table.take(slice(2, 5)).take(slice(1, 2)).key.tolist() == [3]
    assert table.take(slice(2, 4)).file.tolist() == [0, 0]


def test_files_follow_each_other(six, tmp_path):
    other = write_rec(tmp_path, [b"1", b"22"], name="other")
    table = open_table([other[0], six[0]])
    assert table.file.tolist() == [0, 0, *[1] * 6]
    assert table.paths == (other[0], six[0])
    with pytest.raises(FormatError, match="2 record files and 1 index files"):
        open_table([other[0], six[0]], [six[1]])


def test_order_is_by_offset_whatever_the_lines(six):
    lines = Path(six[1]).read_text().splitlines()
    Path(six[1]).write_text("\n".join(reversed(lines)))
    assert open_table([six[0]], [six[1]]).key.tolist() == [0, 1, 2, 3, 4, 5]


def test_keys_that_are_no_numbers_are_numbered_by_line(six):
    offsets = [line.split("\t")[1] for line in Path(six[1]).read_text().splitlines()]
    Path(six[1]).write_text("".join(f"k{i}\t{o}\n" for i, o in enumerate(offsets)))
    assert open_table([six[0]], [six[1]]).key.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_repeated_offset_warns_and_counts_once(six):
    text = Path(six[1]).read_text()
    Path(six[1]).write_text(text + text.splitlines()[2] + "\n")
    with pytest.warns(GpuioWarning, match="1 lines repeat an offset"):
        table = open_table([six[0]], [six[1]])
    assert len(table) == 6


def test_a_repeated_key_warns_and_all_records_stay(six):
    text = Path(six[1]).read_text().splitlines()
    text[3] = text[3].replace("3\t", "1\t")
    Path(six[1]).write_text("\n".join(text))
    with pytest.warns(GpuioWarning, match="1 keys stand at more than one record, the first is 1"):
        table = open_table([six[0]], [six[1]])
    assert table.key.tolist() == [0, 1, 2, 1, 4, 5]


def test_the_lines_beyond_the_file_are_named(six):
    text = Path(six[1]).read_text()
    Path(six[1]).write_text("9\t6000\n" + text + "8\t5000\n")
    with pytest.raises(FormatError, match=r"key 8 lies at byte 5,000 \(line 8\), .*1 more do"):
        open_table([six[0]], [six[1]])


@pytest.mark.parametrize(("offset", "where"), [(5000, "beyond"), (0, "beyond"), (-4, "too near")])
def test_a_line_for_which_the_file_is_too_short_is_said_to_be_the_only_one(six, offset, where):
    size = Path(six[0]).stat().st_size
    offset = offset if offset > 0 else size + offset
    with Path(six[1]).open("a") as index:
        index.write(f"8\t{offset}\n")
    said = (
        f"key 8 lies at byte {offset:,} (line 7), {where} the end of the record file ({size} bytes)"
    )
    with pytest.raises(FormatError, match=f"{re.escape(said)};"):
        open_table([six[0]], [six[1]])
    with pytest.warns(GpuioWarning, match=f"{re.escape(said)}$"):
        assert len(open_table([six[0]], [six[1]], past_damage=True)) == 6


def test_a_table_of_some_records_keeps_all_files(six, tmp_path):
    other = write_rec(tmp_path, [b"1", b"22"], name="other")
    table = open_table([other[0], six[0]]).take(np.array([1, 4]))
    assert (table.key.tolist(), table.file.tolist(), len(table)) == ([1, 2], [0, 1], 2)
    assert (table.paths, len(table.sizes)) == ((other[0], six[0]), 2)


@pytest.mark.parametrize("offset", [10**6, 2**63 - 1, 2**64 - 1])
def test_an_offset_beyond_the_file_is_refused(six, offset):
    with Path(six[1]).open("a") as index:
        index.write(f"9\t{offset}\n")
    with pytest.raises(FormatError, match="beyond"):
        open_table([six[0]], [six[1]])


def test_an_offset_inside_a_record_is_refused(six):
    text = Path(six[1]).read_text().splitlines()
    text[3] = "3\t" + str(int(text[3].split("\t")[1]) + 4)
    Path(six[1]).write_text("\n".join(text))
    with pytest.raises(FormatError, match="no record starts where key 3 points") as raised:
        open_table([six[0]], [six[1]])
    assert raised.value.key == 3


@pytest.mark.parametrize("keep", [[0, 2, 4], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4]])
def test_a_partial_index_warns_and_keeps_its_records(six, keep):
    lines = Path(six[1]).read_text().splitlines()
    whole = open_table([six[0]])
    Path(six[1]).write_text("".join(lines[i] + "\n" for i in keep))
    with pytest.warns(GpuioWarning, match=f"lists {len(keep)} of 6 records"):
        table = open_table([six[0]], [six[1]])
    assert table.key.tolist() == keep
    assert table.length.tolist() == whole.length[keep].tolist()


@pytest.mark.parametrize("hit", [[0], [3], [5], [1, 2], [0, 1, 3, 4, 5]])
@pytest.mark.parametrize("edit", [(0, b"\0" * 12), (0, b"\x0b"), (7, b"\x20"), (4, b"\xff" * 3)])
def test_with_an_index_damage_costs_the_records_that_were_hit(six, hit, edit):
    whole = open_table([six[0]], [six[1]])
    data = bytearray(Path(six[0]).read_bytes())
    for number in hit:
        at = int(whole.offset[number]) + edit[0]
        data[at : at + len(edit[1])] = edit[1]
    Path(six[0]).write_bytes(data)
    table = open_table([six[0]], [six[1]])
    assert table.key.tolist() == [0, 1, 2, 3, 4, 5]
    assert table.offset.tolist() == whole.offset.tolist()
    for number in range(6):
        framed = bytes(data[int(table.offset[number]) :][: int(table.length[number])])
        if number in hit:
            with pytest.raises(FormatError):
                unframe(framed)
        else:
            assert table.length[number] == whole.length[number]
            assert bytes(unframe(framed))[24:] == b"x" * (5 * number)


def test_an_index_reaches_records_that_a_damaged_length_hides(six):
    whole = open_table([six[0]], [six[1]])
    data = bytearray(Path(six[0]).read_bytes())
    at = int(whole.offset[1])
    data[at + 4 : at + 8] = int(whole.offset[4] - at - 8).to_bytes(4, "little")
    Path(six[0]).write_bytes(data)
    table = open_table([six[0]], [six[1]])
    assert table.length.tolist() == whole.length.tolist()
    data[int(whole.offset[5])] ^= 1  # the heads of the file are looked at
    Path(six[0]).write_bytes(data)
    table = open_table([six[0]], [six[1]])
    assert table.length.tolist() == whole.length.tolist()


def test_records_that_moved_are_lost_to_the_index_and_no_others(tmp_path):
    rec, idx = write_rec(tmp_path, [b"y" * 40 for _ in range(12)])
    at = open_table([rec], [idx]).offset.tolist()
    data = Path(rec).read_bytes()
    # eight bytes too few in record 1, and too many in record 4
    moved = data[: at[1] + 40] + data[at[1] + 48 : at[4] + 40] + bytes(8) + data[at[4] + 40 :]
    Path(rec).write_bytes(moved)
    with pytest.warns(GpuioWarning, match="does not list 3 of the records found"):
        table = open_table([rec], [idx])
    assert table.offset.tolist() == at
    sound = []
    for key, offset, length in zip(table.key, table.offset, table.length, strict=True):
        with contextlib.suppress(FormatError):
            payload = bytes(unframe(moved[offset : offset + length]))
            sound += [int(key)] * (payload[24:] == b"y" * 40)
    assert sound == [0, 5, 6, 7, 8, 9, 10, 11]


def test_an_index_of_a_file_that_was_cut(six):
    whole = open_table([six[0]], [six[1]])
    data = Path(six[0]).read_bytes()
    Path(six[0]).write_bytes(data[: int(whole.offset[5]) + 20])
    assert len(open_table([six[0]], [six[1]])) == 6  # reading the last one fails, it alone
    Path(six[0]).write_bytes(data[: int(whole.offset[4]) + 3])
    with pytest.raises(FormatError, match=r"key 4 lies .* resync=True reads what is left"):
        open_table([six[0]], [six[1]])
    with pytest.warns(GpuioWarning, match="with 2 records"):
        table = open_table([six[0]], [six[1]], past_damage=True)
    assert table.key.tolist() == [0, 1, 2, 3]
    (lost,) = table.skipped
    assert (lost.begin, lost.end) == (int(whole.offset[4]), int(whole.offset[5]))
    Path(six[0]).write_bytes(data[: int(whole.offset[5]) + 3])
    with pytest.warns(GpuioWarning, match="with 1 records"):
        table = open_table([six[0]], [six[1]], past_damage=True)
    (lost,) = table.skipped
    assert (lost.begin, lost.end) == (int(whole.offset[5]), int(whole.offset[5]) + 3)


def test_junk_behind_the_last_indexed_record_is_a_warning(six):
    whole = open_table([six[0]], [six[1]])
    with Path(six[0]).open("ab") as file:
        file.write(b"123456789")
    for index in ([], [six[1]]):
        with pytest.warns(GpuioWarning, match="9 trailing bytes"):
            table = open_table([six[0]], index)
        assert table.length.tolist() == whole.length.tolist()


def test_an_index_none_of_whose_records_is_there_is_refused(six):
    Path(six[0]).write_bytes(b"\x07" * 5000)
    with pytest.raises(FormatError, match="no record starts where key 0 points"):
        open_table([six[0]], [six[1]])


def test_an_empty_file_holds_no_record(tmp_path):
    path = tmp_path / "empty.rec"
    path.touch()
    with pytest.raises(EmptyDatasetError, match="no record"):
        open_table([str(path)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.randoms())
def test_every_record_is_in_the_table_once(tmp_path_factory, blobs, random):
    folder = tmp_path_factory.mktemp("table")
    path = folder / "a.rec"
    path.write_bytes(b"".join(map(encode, blobs)))
    build_index(path, folder / "a.idx")
    lines = (folder / "a.idx").read_text().splitlines()
    random.shuffle(lines)
    (folder / "a.idx").write_text("\n".join(lines))
    table = open_table([str(path)], [str(folder / "a.idx")])
    data = path.read_bytes()
    assert [data[o : o + n] for o, n in zip(table.offset, table.length, strict=True)] == [
        encode(blob) for blob in blobs
    ]


def test_an_index_of_many_lines_is_read_in_good_time(tmp_path):
    import time

    rec, idx = tmp_path / "a.rec", tmp_path / "a.idx"
    writer = MXRecordIO(str(rec), "w")
    for _ in range(1000):
        writer.write(b"")
    writer.close()
    # a sparse index of a sparse file: lines are what is measured
    with idx.open("w") as file:
        file.writelines(f"{i}\t{8 * i}\n" for i in range(200_000))
    with rec.open("r+b") as file:
        file.write(encode(b"") * 200_000)
    begun = time.process_time()
    assert len(open_table([str(rec)], [str(idx)])) == 200_000
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("key", ["\u00b2", "--5", "\u0663", "9" * 30])
def test_a_key_that_only_looks_like_a_number_is_numbered_by_its_line(six, tmp_path, key):
    at = open_table([six[0]], [six[1]]).offset.tolist()
    lines = "".join(f"{number or key}\t{one}\n" for number, one in enumerate(at))
    (tmp_path / "odd.idx").write_text(lines, encoding="utf-8")
    assert open_table([six[0]], [str(tmp_path / "odd.idx")]).key.tolist() == list(range(len(at)))
