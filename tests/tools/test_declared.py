"""Options of iterators that have no declaration come from their signatures and docstrings."""

import inspect

import pytest

import gpuio as mx
from gpuio.tools.declared import ITERATORS, rows_of


def test_every_iterator_is_known():
    known = {name for name in mx.io.__all__ if name.endswith("Iter") and name != "DataIter"}
    known |= {name for name in mx.image.__all__ if name.endswith("Iter")}
    assert set(ITERATORS) == known


@pytest.mark.parametrize("name", ITERATORS)
def test_every_option_has_a_row(name):
    cls = getattr(getattr(mx, ITERATORS[name]), name)
    rows = rows_of(name)
    names = [row["name"] for row in rows]
    expected = [
        one.name
        for one in inspect.signature(cls).parameters.values()
        if one.kind is not one.VAR_KEYWORD
    ]
    if name in ("ImageRecordUInt8Iter", "ImageRecordInt8Iter"):
        expected.remove("dtype")
    assert set(expected) <= set(names)
    assert len(set(names)) == len(names)
    assert [row["name"] for row in rows if not row["meaning"] and not row["type"]] == []


def test_a_docstrings_parts_are_told_apart():
    rows = {row["name"]: row for row in rows_of("CSVIter")}
    label = rows["label_csv"]
    assert (label["type"], label["default"]) == ("str", "NULL")
    assert label["meaning"].startswith("file of labels")
    assert rows["batch_size"]["default"] == "required"
    assert rows["data_csv"]["meaning"].startswith("A file; several separated")
    images = {row["name"]: row for row in rows_of("ImageIter")}
    assert images["resize"]["meaning"].endswith("(CreateAugmenter)")
    boxes = {row["name"]: row for row in rows_of("ImageDetIter")}
    assert boxes["shuffle"]["type"] == "bool"  # as its base says
