"""Every field of the settings is filled, from an option that exists."""

import numpy as np
import pytest

from gpuio.kernels.plan import settings as codes
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.plan import planner, planner_det
from gpuio.plan.settings import fill, of_options
from support.tables import options

DTYPE = np.dtype([("a", np.int64), ("b", np.float32)])


@pytest.mark.parametrize("values", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "bb": 2}])
def test_a_field_without_a_value_and_a_value_without_a_field_are_refused(values):
    with pytest.raises(TypeError, match=r"differ in [bc]"):
        fill(DTYPE, values)


def test_a_misspelt_option_is_refused():
    with pytest.raises(AttributeError, match="rand_miror"):
        of_options(options(), [("rand_miror", np.int64)], np.float32)


def test_a_field_that_is_added_and_not_filled_is_refused(monkeypatch):
    for name, make in (
        ("SETTINGS", lambda: planner.Planner(options())),
        ("DET_SETTINGS", lambda: planner_det.DetPlanner(detection())),
    ):
        make()
        more = np.dtype([*getattr(codes, name).descr, ("added", np.int64)])
        monkeypatch.setattr(codes, name, more)
        with pytest.raises(TypeError, match="added"):
            make()


def detection(**given):
    return ImageDetRecordOptions(data_shape=(3, 8, 8), batch_size=1, **given)


def another(value):
    """Return another value of an option."""
    return (not value) if isinstance(value, bool) else 9 if value != 9 else 10


@pytest.mark.parametrize("name", [name for name, _ in codes.OPTIONS])
def test_an_option_reaches_its_field(name):
    value = another(getattr(options(), name))
    made = planner._settings(options(**{name: value}))
    assert made[name] == value != planner._settings(options())[name]


@pytest.mark.parametrize("name", [name for name, _ in codes.DET_OPTIONS])
def test_an_option_of_detection_reaches_its_field(name):
    value = 0.5 if name.endswith("_prob") else another(getattr(detection(), name))
    made = planner_det._settings(detection(**{name: value}))
    assert made[name] == value != planner_det._settings(detection())[name]


@pytest.mark.parametrize("method", [1, 9, 10])
def test_an_option_of_resizing_replaces_one_interpolation(method):
    for given, expected in (({}, [0, 1, 2, 3, 4]), ({"antialias": True}, [0, 5, 2, 3, 4])):
        for made in (
            planner._settings(options(inter_method=method, **given)),
            planner_det._settings(detection(inter_method=method, **given)),
        ):
            assert made["resized_by"][0].tolist() == expected
