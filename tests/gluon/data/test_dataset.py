"""RecordFileDataset, and what `transform` makes of a set."""

import operator
import pickle

import pytest

import gpuio as mx
from gpuio.errors import StorageError
from gpuio.gluon.data import Dataset, RecordFileDataset


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "a.b.rec")
    with mx.recordio.MXIndexedRecordIO(str(tmp_path / "a.b.idx"), path, "w") as out:
        for key in (7, 3, 5):
            out.write_idx(key, bytes([key]))
    return path


def test_records_come_in_the_order_of_the_index(path):
    records = RecordFileDataset(path)
    assert len(records) == 3
    assert [records[number] for number in (0, 1, 2, -1)] == [b"\7", b"\3", b"\5", b"\5"]
    assert records.idx_file.endswith("a.b.idx")
    with pytest.raises(IndexError):
        records[3]
    copy = pickle.loads(pickle.dumps(records))
    records.close()
    assert copy[0] == b"\7"
    assert list(copy) == [b"\7", b"\3", b"\5"]


def test_a_missing_index_is_named(tmp_path):
    mx.recordio.MXRecordIO(str(tmp_path / "x.rec"), "w").close()
    with pytest.raises(StorageError) as raised:
        RecordFileDataset(tmp_path / "x.rec")
    assert raised.value.path == str(tmp_path / "x.idx")


class Pairs(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, number):
        return number, 10 * number


def test_a_transform_gets_the_parts_of_a_sample(path):
    assert list(map(Pairs().transform(operator.add).__getitem__, (0, 1))) == [0, 11]
    assert Pairs().transform_first(str)[1] == ("1", 10)
    assert RecordFileDataset(path).transform_first(len)[0] == 1
    assert pickle.loads(pickle.dumps(Pairs().transform_first(str)))[1] == ("1", 10)


def test_transforming_at_once_calls_the_function_once():
    calls = []
    made = Pairs().transform(lambda *sample: calls.append(sample) or sample, lazy=False)
    assert (len(made), made[1], made[1], calls) == (2, (1, 10), (1, 10), [(0, 0), (1, 10)])
