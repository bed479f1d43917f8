"""Options take MXNet's texts, refuse what is wrong by name, and keep MXNet's names and defaults."""

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

from gpuio.errors import OptionError
from gpuio.options.declare import describe, parse_options
from gpuio.options.image_record import ImageRecordOptions

REQUIRED = {"path_imgrec": "a.rec", "data_shape": (3, 224, 224), "batch_size": 4}


def options(**keywords):
    return parse_options(ImageRecordOptions, {**REQUIRED, **keywords})


@pytest.mark.parametrize(
    ("name", "given", "held"),
    [
        ("shuffle", "True", True),
        ("shuffle", 0, False),
        ("shuffle", "false", False),
        ("data_shape", "(3, 32, 48)", (3, 32, 48)),
        ("data_shape", [1, 8, 8], (1, 8, 8)),
        ("batch_size", "7", 7),
        ("batch_size", np.int64(7), 7),
        ("seed_aug", "None", None),
        ("seed_aug", -3, -3),
        ("min_aspect_ratio", None, None),
        ("min_aspect_ratio", "0.75", 0.75),
        ("rotate_list", "0,90", (0, 90)),
        ("rotate_list", [90], (90,)),
        ("dtype", None, "float32"),
        ("dtype", np.uint8, "uint8"),
        ("dtype", np.dtype("int8"), "int8"),
        ("path_imgrec", Path("/x/y.rec"), "/x/y.rec"),
        ("path_imgrec", ["/a", "b"], ("/a", f"{Path.cwd()}/b")),
        ("mean_r", "123.68", 123.68),
    ],
)
def test_values_and_texts_become_the_options_type(name, given, held):
    value = getattr(options(**{name: given}), name)
    assert value == held
    assert type(value) is type(held)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("batch_size", 1.0, "batch_size: expected a whole number, got 1.0"),
        ("batch_size", 0, "batch_size: expected a whole number in 1.., got 0"),
        ("shuffle", "yes", "shuffle: expected True or False, got 'yes'"),
        ("data_shape", (2, 8, 8), "data_shape: expected 1, 3 or 4 channels, got 2"),
        ("data_shape", (3, 8), "data_shape: expected three numbers"),
        ("data_shape", "3x8x8", "data_shape: expected"),
        ("dtype", "int32", "dtype: expected one of 'float32'"),
        ("std_g", 0, "std_g: expected a number other than 0"),
        ("std_r", 1e-46, "std_r: expected a number other than 0"),
        ("mean_r", float("nan"), "mean_r: expected a finite number"),
        ("mean_b", 1e39, "mean_b: expected a number that float32 holds, got 1e+39"),
        ("scale", "-3.5e38", "scale: expected a number that float32 holds, got '-3.5e38'"),
        ("inter_method", 7, "inter_method: expected 0 to 4, 9 or 10, got 7"),
        ("part_index", 1, "part_index: expected 0 <= part_index < num_parts=1"),
        ("fill_value", 256, "fill_value: expected a whole number in 0..255"),
        ("max_rotate_angle", True, "max_rotate_angle: expected a whole number, got True"),
    ],
)
def test_a_wrong_value_is_refused_by_the_options_name(name, given, says):
    with pytest.raises(OptionError) as raised:
        options(**{name: given})
    assert says in str(raised.value)


def test_an_unknown_option_is_refused_with_a_suggestion():
    with pytest.raises(OptionError, match=r"rand_miror: no such option; .* rand_mirror\?"):
        options(rand_miror=True)


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_a_required_option_is_asked_for(missing):
    with pytest.raises(OptionError, match=f"{missing}: required"):
        options(**{missing: None if missing != "path_imgrec" else ""})


def test_every_text_of_a_value_gives_the_value_again():
    given = options(rand_crop=True, mean_g=1.5, rotate_list=(0, 90), seed_aug=3)
    for field in attrs.fields(ImageRecordOptions):
        value = getattr(given, field.name)
        assert getattr(options(**{field.name: str(value)}), field.name) == value, field.name


def test_every_option_is_documented():
    for one in describe(ImageRecordOptions):
        assert one["meaning"].endswith("."), one["name"]
        assert not one["differs"] or one["differs"].endswith("."), one["name"]


def test_names_and_defaults_are_mxnets():
    dump = json.loads((Path(__file__).parent.parent / "data/mxnet_options.json").read_text())
    theirs = dump["ImageRecordIter"]
    ours = {one["name"]: one for one in describe(ImageRecordOptions) if not one["ours"]}
    assert set(theirs) - set(ours) == set()
    # taken by MXNet's Python wrapper, and one that its registry does not describe
    assert set(ours) - set(theirs) == {"data_name", "label_name", "rotate_list"}
    differ = {
        name: (ours[name]["default"], default)
        for name, default in theirs.items()
        if not same_default(ours[name]["default"], default)
    }
    # auto takes the GPU where there is one, None what the machine has
    assert differ == {"ctx": ("auto", "gpu"), "preprocess_threads": (None, "4")}


def same_default(ours, theirs):
    """Compare a default with the text MXNet's registry prints for it."""
    if theirs in ("required", "None"):
        return ours is None or ours == "float32"  # what dtype=None means
    if isinstance(ours, bool):
        return ours == bool(int(theirs))
    if isinstance(ours, (int, float)):
        return float(ours) == float(theirs)
    return str(ours) == theirs
