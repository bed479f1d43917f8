"""Options are declared once, and put together without a name that nobody knows."""

import ast
from collections import Counter
from pathlib import Path

import attrs
import pytest

import gpuio.options
from gpuio.errors import OptionError
from gpuio.options import convert
from gpuio.options.declare import arranged, convert_option, describe, option
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.options.image_record import ImageRecordOptions
from gpuio.options.record import RecordOptions


def declared():
    """Count the declarations of each option in the package."""
    found = Counter()
    for path in Path(gpuio.options.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AnnAssign) and " = option(" in ast.unparse(node):
                found[node.target.id] += 1
    return found


def names(cls):
    return {field.name for field in attrs.fields(cls)}


def test_what_both_iterators_have_is_declared_once():
    count, shared = declared(), names(RecordOptions)
    assert len(shared) > 45
    assert {name: count[name] for name in shared} == dict.fromkeys(shared, 1)
    # of the same name, but of another type or meaning
    both = names(ImageRecordOptions) & names(ImageDetRecordOptions)
    assert both - shared == {
        *("aug_seq", "label_width"),
        *("max_random_contrast", "max_random_illumination"),
    }


def test_every_declaration_is_an_option_of_an_iterator():
    assert set(declared()) == names(ImageRecordOptions) | names(ImageDetRecordOptions)


@attrs.frozen(kw_only=True, slots=False)
class One:
    a: int = option(1, convert.integer(), "The a.")
    b: int = option(2, convert.integer(), "The b.")


@attrs.frozen(kw_only=True, slots=False)
class Two:
    c: int = option(3, convert.integer(), "The c.")


def put_together(*chains, **changes):
    @attrs.frozen(kw_only=True, slots=False, field_transformer=arranged(*chains, **changes))
    class Both(One, Two):
        d: int = option(4, convert.integer(), "The d.")

    return Both


def test_bases_stand_as_they_are_listed_unless_moved():
    assert [one["name"] for one in describe(put_together())] == ["a", "b", "c", "d"]
    assert [one["name"] for one in describe(put_together(("a", Two, "d")))] == ["a", "c", "d", "b"]


def test_a_change_names_what_differs_and_leaves_the_rest():
    made = put_together(b={"default": 7, "meaning": "Another b."})
    (b,) = [one for one in describe(made) if one["name"] == "b"]
    assert (b["default"], b["meaning"], b["ours"]) == (7, "Another b.", False)
    assert (made().b, One().b) == (7, 2)


@pytest.mark.parametrize(
    ("chains", "changes"),
    [
        ((), {"bb": {"default": 7}}),
        ((), {"b": {"meanings": "Another b."}}),
        ((("aa", "b"),), {}),
        ((("a", "bb"),), {}),
    ],
)
def test_a_misspelt_name_is_refused_where_the_class_is_made(chains, changes):
    with pytest.raises((KeyError, ValueError)):
        put_together(*chains, **changes)


def test_options_are_converted_and_named():
    assert convert_option("size", convert.positive, "3") == 3
    with pytest.raises(OptionError, match="size: expected a whole number"):
        convert_option("size", convert.positive, "x")
