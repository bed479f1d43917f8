"""gpuio stats counts what records hold; with --shuffle the different labels of batches."""

import json

import numpy as np
import pytest

from gpuio.recordio import IRHeader, MXRecordIO, pack
from gpuio.tools import cli
from support import making


@pytest.fixture(scope="module")
def ordered(tmp_path_factory):
    """2,000 records of 200 labels, ten of each in a row."""
    folder = tmp_path_factory.mktemp("stats")
    blob = making.flat(3).ljust(968, b"\x01")
    labels = [float(i // 10) for i in range(2000)]
    return making.write_rec(folder, [blob] * 2000, labels, name="ordered")


def stats(capsys, *args):
    assert cli.main(["stats", "--shuffle", "--json", "--quiet", *map(str, args)]) == 0
    return json.loads(capsys.readouterr().out)


def test_labels_per_batch_are_counted_for_each_shuffle(ordered, capsys):
    sizes = ["--block-size", 10 / 1024, "--pool-size", 100 / 1024]  # ten records, ten blocks
    found = stats(capsys, ordered[0], "--batch-size", 50, *sizes)
    assert (found["records"], found["labels"], found["batches"]) == (2000, 200, 40)
    assert (found["indexed"], found["block_records"]) == (True, 10)
    shuffles = found["shuffles"]
    assert shuffles["False"]["distinct"] == 5  # five labels of ten records
    expected = 200 * (1 - (1 - 1 / 200) ** 50)  # of 50 drawn labels
    assert abs(shuffles["'full'"]["distinct"] - expected) < 1.5
    assert abs(shuffles["True"]["distinct"] - expected) < 1.5
    assert 5 < shuffles["'block'"]["distinct"] < 20  # 50 of the 100 records of a pool
    assert shuffles["'full'"]["of_full"] == 1
    larger = stats(capsys, ordered[0], "--batch-size", 50, "--block-size", 10 / 1024)
    assert larger["shuffles"]["'block'"]["of_full"] > 0.95  # a pool of all records


def test_an_epoch_a_seed_and_fewer_batches_can_be_chosen(ordered, capsys):
    few = ["--batch-size", 50, "--batches", 3]
    found = [
        stats(capsys, ordered[0], *few, *more)["shuffles"]["'full'"]["distinct"]
        for more in ([], ["--epoch", 3], ["--seed", 1], [])
    ]
    assert found[0] == found[3]
    assert len(set(found)) > 1
    assert stats(capsys, ordered[0], "--batch-size", 5000)["batch_size"] == 2000


def test_a_table_is_printed(ordered, capsys):
    assert cli.main(["stats", ordered[0], "--shuffle", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2,000 records, 200 labels, with an index" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == [
        *("shuffle", "False", "True", "'block'", "'full'")
    ]
    assert lines[-1].endswith("100.0%  record by record")


def test_files_without_an_index_are_one_set(tmp_path, capsys):
    for name in ("a", "b"):
        with MXRecordIO(str(tmp_path / f"{name}.rec"), "w") as writer:
            for i in range(60):
                header = IRHeader(0, float(i // 10 + 6 * (name == "b")), i, 0)
                writer.write(pack(header, making.flat(1)))
    found = stats(capsys, tmp_path, "--batch-size", 40)
    assert (found["records"], found["labels"], found["indexed"]) == (120, 12, False)
    assert found["shuffles"]["'full'"]["distinct"] > 11


def test_what_has_no_labels_and_sizes_that_make_no_pool_are_errors(tmp_path, ordered, capsys):
    with MXRecordIO(str(tmp_path / "raw.rec"), "w") as writer:
        for _ in range(9):
            writer.write(making.jpeg(np.zeros((8, 8, 3), np.uint8)))
    assert cli.main(["stats", str(tmp_path / "raw.rec"), "--shuffle"]) == 2
    assert "bare images" in capsys.readouterr().err
    assert cli.main(["stats", ordered[0], "--shuffle", "--pool-size", "1"]) == 2
    assert "shuffle_pool_size: a pool of 1 MiB holds no block" in capsys.readouterr().err


def test_without_shuffle_the_records_are_counted(tmp_path, capsys):
    blobs = [making.flat(1), making.jpeg(making.photo(20, 30, 1)), making.flat(1), b"no image"]
    rec, _ = making.write_rec(tmp_path, blobs, [0.0, 1.0, 0.0, 2.0])
    (tmp_path / "data.classes.json").write_text('{"cat": 0}')
    assert cli.main(["stats", rec, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["labels"], found["copies"]) == ({"0": 2, "1": 1}, 1)
    assert found["equal"] == [["key 0", "key 2"]]
    assert found["unusable"][0]["name"] == "key 3"
    assert cli.main(["stats", rec]) == 1
    said = capsys.readouterr().out
    assert "  0 cat                        2 ####################" in said
    assert "key 0 = key 2" in said
    assert cli.main(["stats", rec, "--sample", "2"]) == 1
    assert "2 records looked at: 1 images" in capsys.readouterr().out
    other, _ = making.write_rec(tmp_path, blobs[:2], name="other")
    assert cli.main(["stats", other, other, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 2
