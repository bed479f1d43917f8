"""Damaged images do what they did; new mutants give no crash, no hang and no wrong sample."""

import json
import re
import sys
from pathlib import Path

import pytest

from support.making import write_rec

sys.path.insert(0, str(Path(__file__).parent))
import images

CORPUS = Path(__file__).parents[1] / "data" / "corpus"


def kind_of(reason):
    """Return the class of a result as the table has it: "ok" or the error's name."""
    return (reason or "ok").split(":")[0]


def read_corpus(folder, way):
    """Read every file of the corpus in a child with 4 GiB of address space and 10 s an image."""
    names = sorted(path.name for path in CORPUS.iterdir() if path.name != "table.json")
    rec, _ = write_rec(folder, [(CORPUS / name).read_bytes() for name in names])
    _, pixels = images.good_records()
    images.np.save(folder / "expected.npy", pixels)
    job = {"rec": rec, "good": {}, "expected": str(folder / "expected.npy")}
    child = images.Child(folder, way, 4096 if way == "cpu" else 0)
    try:
        answer, _ = child.ask(job | {"policy": "zero", "truncated": "raise"}, 10, 60)
    finally:
        child.close()
    assert isinstance(answer, dict), answer
    assert answer["wrong"] == []
    assert answer["resident"] < 1024
    return {name: kind_of(answer["failed"].get(str(key))) for key, name in enumerate(names)}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cpu", "dali", "nvimgcodec"])
def test_the_corpus_gives_the_outcomes_of_its_table(tmp_path, way):
    if way != "cpu":
        pytest.importorskip("nvidia.dali")
        pytest.importorskip("nvidia.nvimgcodec")
    table = json.loads((CORPUS / "table.json").read_text())
    assert len(table) >= 60
    assert set(table.values()) == {"ok", "DecodeError", "RecordError"}
    assert read_corpus(tmp_path, way) == table


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 200_000


@pytest.mark.slow
def test_thousands_of_mutants_harm_nothing(tmp_path, capsys):
    arguments = ["--cases", "4000", "--seed", "11", "--keep", str(tmp_path / "found")]
    code = images.main(arguments)
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "4000 mutants" in said.out


def test_the_fuzzer_finds_what_there_is_to_find(tmp_path, monkeypatch, capsys):
    """A child that holds too much is found, and its mutants kept."""
    arguments = ["--cases", "60", "--seed", "1", "--keep", str(tmp_path / "found")]
    assert images.main([*arguments, "--resident", "10"]) == 1
    assert "held" in capsys.readouterr().err
    assert len(list((tmp_path / "found").iterdir())) > 30


def change_jobs(monkeypatch, **change):
    real = images.Child.ask
    monkeypatch.setattr(
        images.Child, "ask", lambda self, job, *limits: real(self, job | change, *limits)
    )


def test_the_fuzzer_names_what_a_child_died_of(tmp_path, monkeypatch, capsys):
    change_jobs(monkeypatch, truncated="no such thing")
    assert images.main(["--cases", "20", "--keep", str(tmp_path / "found")]) == 1
    assert re.search(r"died of 1, saying (.|\n)*OptionError: truncated", capsys.readouterr().err)


def test_the_fuzzer_stops_an_image_that_takes_too_long(tmp_path, monkeypatch, capsys):
    change_jobs(monkeypatch, hang=True)
    keep = tmp_path / "found"
    assert images.main(["--cases", "20", "--image-seconds", "0.3", "--keep", str(keep)]) == 1
    assert "over 0.3 s on one image" in capsys.readouterr().err
    assert [path.read_bytes() for path in keep.iterdir()] == [b"hang"]
