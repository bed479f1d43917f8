"""Fingerprints of files and arrays: what differs is told, and nothing large is read."""

import numpy as np
import pytest

from gpuio.recordio.fingerprint import SAMPLES, sampled_array, sampled_file, some
from gpuio.storage.local import LocalFile


def test_places_are_spread_and_hold_both_ends():
    assert some(0) == []
    assert some(1) == [0] * SAMPLES
    assert some(1000)[0] == 0
    assert some(1000)[-1] == 999


@pytest.mark.parametrize("change", [b"longer", None, "first", "last"])
def test_a_file_of_another_size_or_other_bytes_differs(tmp_path, change):
    path = tmp_path / "data"
    content = bytearray(range(256)) * 4
    path.write_bytes(content)
    with LocalFile(path) as file:
        made = sampled_file(file)
    if isinstance(change, bytes):
        content += change
    elif change:
        content[0 if change == "first" else -1] ^= 1
    path.write_bytes(content)
    with LocalFile(path) as file:
        assert (sampled_file(file) == made) is (change is None)
        assert sampled_file(file, [0, 5]) != sampled_file(file, [0, 6])


def test_little_is_read_of_a_large_file(tmp_path, monkeypatch):
    path = tmp_path / "data"
    path.write_bytes(bytes(1 << 20))
    read = []
    with LocalFile(path) as file:
        whole = file.read
        monkeypatch.setattr(file, "read", lambda at, n: read.append(n) or whole(at, n))
        sampled_file(file)
    assert sum(read) <= SAMPLES * 256


def test_arrays_of_other_shape_type_or_values_differ():
    array = np.arange(40).reshape(10, 4)
    others = [array.T, array.astype(np.float64), array[:9], array + 1, np.float32(3)]
    made = {sampled_array(one) for one in (array, *others)}
    assert len(made) == 6
    assert sampled_array(array.copy()) == sampled_array(np.asfortranarray(array))
