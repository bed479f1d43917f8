"""Options of detection: MXNet's names and defaults, shared declarations, checks by name."""

import json
from pathlib import Path

import attrs
import pytest

from gpuio.errors import OptionError
from gpuio.options.declare import describe, parse_options
from gpuio.options.image_det_record import SAMPLER_RANGES, ImageDetRecordOptions
from gpuio.options.image_record import ImageRecordOptions
from gpuio.options.machine import GPU_ONLY

REQUIRED = {"data_shape": (3, 300, 300), "batch_size": 4}


def options(**keywords):
    return parse_options(ImageDetRecordOptions, {**REQUIRED, **keywords})


def test_names_and_defaults_are_mxnets():
    dump = json.loads((Path(__file__).parent.parent / "data/mxnet_options.json").read_text())
    theirs = dump["ImageDetRecordIter"]
    ours = {one["name"]: one for one in describe(ImageDetRecordOptions) if not one["ours"]}
    assert set(ours) - set(theirs) == {"data_name", "label_name"}  # MXNet's wrapper takes them
    assert set(theirs) - set(ours) == set()
    differ = {
        name: (ours[name]["default"], text)
        for name, text in theirs.items()
        if not same_default(ours[name]["default"], text)
    }
    assert differ == {"ctx": ("auto", "gpu"), "preprocess_threads": (None, "4")}


def same_default(ours, theirs):
    """Compare a default with the text MXNet's registry prints for it."""
    if theirs in ("required", "None"):
        return ours is None or ours == "float32"
    if isinstance(ours, bool):
        return ours == bool(int(theirs))
    if isinstance(ours, tuple):
        return list(ours) == json.loads(theirs)
    if isinstance(ours, (int, float)):
        return abs(float(ours) - float(theirs)) < 1e-7  # 0.3 is printed as a float32
    return str(ours) == theirs


def test_every_text_of_a_value_gives_the_value_again():
    given = options(min_crop_scales=(0.1, 0.25), max_crop_scales=1, num_crop_sampler=2)
    for field in attrs.fields(ImageDetRecordOptions):
        value = getattr(given, field.name)
        again = (
            options(num_crop_sampler=2, **{field.name: str(value)})
            if (field.name != "num_crop_sampler")
            else given
        )
        assert getattr(again, field.name) == value, field.name


def test_every_option_is_documented():
    for one in describe(ImageDetRecordOptions):
        assert one["meaning"].endswith("."), one["name"]
        assert not one["differs"] or one["differs"].endswith("."), one["name"]


def test_shared_options_are_those_of_the_other_iterator():
    theirs = {one["name"]: one for one in describe(ImageRecordOptions)}
    ours = {one["name"]: one for one in describe(ImageDetRecordOptions)}
    for name in ("batch_size", "on_error", "prefetch_buffer", "inter_method"):
        assert ours[name] == theirs[name]
    assert set(GPU_ONLY) <= set(ours)  # what every record iterator hands to its backend


@pytest.mark.parametrize("text", ["(0.1, 0.2)", "[0.1,0.2]", "0.1,0.2", (0.1, 0.2), [0.1, 0.2]])
def test_samplers_take_a_value_each_or_one_for_all(text):
    made = options(num_crop_sampler=2, min_crop_scales=text)
    assert made.min_crop_scales == made.each("min_crop_scales") == (0.1, 0.2)
    assert options(num_crop_sampler=3, min_crop_scales=0.1).each("min_crop_scales") == (0.1,) * 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"min_crop_scales": (0.1, 0.2)}, "min_crop_scales: expected 1 value"),
        ({"max_crop_trials": ()}, "max_crop_trials: expected one number or more"),
        ({"min_crop_scales": 0.5, "max_crop_scales": 0.5}, "min_crop_scales, max_crop_scales"),
        ({"max_crop_scales": 1.5}, "0 <= min < max <= 1, got 0 and 1.5"),
        ({"min_crop_overlaps": 0.5, "max_crop_overlaps": 0.4}, "expected min <= max"),
        ({"min_crop_aspect_ratios": -1}, "min_crop_aspect_ratios: expected a number of at least"),
        ({"rand_crop_prob": 1.5}, "rand_crop_prob: expected a number in 0..1"),
        ({"max_pad_scale": 0.5}, "max_pad_scale: expected a number of at least 1"),
        ({"inter_method": 7}, "inter_method"),
        ({"resize": 0}, "resize"),
        ({"resize_mode": "crop"}, "resize_mode: expected one of 'force', 'shrink', 'fit'"),
        ({"rand_mirror": True}, "rand_mirror: no such option; did you mean rand_mirror_prob"),
        ({"aug_stream": "mxnet", "path_imgidx": "a.idx"}, "aug_stream: 'mxnet' works without"),
        (
            {"data_shape": (1, 9, 9), "max_random_hue": 9, "random_hue_prob": 0.5},
            "max_random_hue: works on three channels only",
        ),
        ({"antialias": True, "inter_method": 2}, "antialias: belongs to bilinear"),
        ({"decoder": "dali", "ctx": "cpu"}, "decoder: a setting of the GPU"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_by_name(given, says):
    with pytest.raises(OptionError, match=says):
        options(**given)


@pytest.mark.parametrize("name", SAMPLER_RANGES)
def test_every_range_of_a_sampler_reaches_it(name):
    from gpuio.plan.planner_det import _samplers

    made = _samplers(options(**{f"min_crop_{name}": 0.25, f"max_crop_{name}": 0.75}))
    plain = _samplers(options())
    changed = [field for field in made.dtype.names if made[field] != plain[field]]
    assert [float(made[field][0]) for field in changed] == [0.25, 0.75]
