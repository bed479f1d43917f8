"""The forms of path_imgrec."""

import pytest

from gpuio.errors import EmptyDatasetError, OptionError, StorageError
from gpuio.recordio.uri import expand, expand_indexes
from gpuio.storage.paths import divide


@pytest.fixture
def folder(tmp_path):
    for name in ("b.rec", "a.rec", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty.rec").touch()
    return tmp_path


def names(found):
    return [path.rsplit("/", 1)[1] for path in found]


def test_one_path_several_and_a_list(folder):
    a, b = str(folder / "a.rec"), str(folder / "b.rec")
    assert expand(b) == [b]
    assert expand(f"{b};{a}") == [b, a]
    assert expand([b, a]) == [b, a]
    assert expand(f"file://{a}") == [a]
    assert divide(f"{a};;{b}") == [a, b]
    assert divide("") == []


def test_a_folder_and_a_pattern_are_sorted_and_leave_empty_files_out(folder):
    assert names(expand(str(folder))) == ["a.rec", "b.rec", "c.txt"]
    assert names(expand(str(folder / r".*\.rec"))) == ["a.rec", "b.rec"]


def test_a_folder_of_record_files_may_hold_others(folder):
    assert names(expand(str(folder), ".rec")) == ["a.rec", "b.rec"]
    assert names(expand(str(folder), ".bin")) == ["a.rec", "b.rec", "c.txt"]


@pytest.mark.parametrize("pattern", ["*.rec", "?.rec", "[ab].r*", "../{name}*/[ab].rec"])
def test_a_pattern_of_shells_is_understood(folder, pattern):
    assert names(expand(f"{folder}/{pattern.format(name=folder.name)}")) == ["a.rec", "b.rec"]


def test_a_pattern_that_nothing_matches_says_what_may_be_written(folder):
    with pytest.raises(StorageError, match=r"no such file.*as in \*\.rec, or .*as in \.\*\\\.rec"):
        expand(f"{folder}/train_*.rec")


@pytest.mark.parametrize("name", ["no.rec", "[", "nowhere/.*"])
def test_nothing_there_is_a_storage_error(folder, name):
    with pytest.raises(StorageError, match="no such file"):
        expand(str(folder / name))


def test_only_empty_files_are_an_empty_data_set(folder):
    with pytest.raises(EmptyDatasetError, match="the file is empty"):
        expand(str(folder / "empty.rec"))


def test_a_cache_file_is_refused(folder):
    with pytest.raises(OptionError, match="cache file"):
        expand(str(folder / "a.rec") + "#cache")


def test_a_folder_of_indexes_has_one_for_each_record_file_by_its_name(folder):
    records = [str(folder / name) for name in ("b.rec", "a.rec")]
    expected = [str(folder / name) for name in ("b.idx", "a.idx")]
    assert expand_indexes(str(folder), records) == expected
    assert expand_indexes([f"{folder}/"], records) == expected
    assert expand_indexes(f"{folder}/*.idx", records) == expected
    assert expand_indexes(f"{folder}/*.txt", records) == [f"{folder}/*.txt"]
    assert expand_indexes("", records) == []
    assert expand_indexes("b.idx;a.idx", records) == ["b.idx", "a.idx"]


def test_indexes_that_a_folder_cannot_tell_are_refused(folder):
    with pytest.raises(OptionError, match="is a folder among several paths"):
        expand_indexes(f"a.idx;{folder}", [str(folder / "a.rec")] * 2)
    with pytest.raises(OptionError, match=r"two record files would have a\.idx of"):
        expand_indexes(str(folder), ["x/a.rec", "y/a.rec"])
