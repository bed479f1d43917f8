"""NVTX ranges are there where the package is, and cost nothing where it is not."""

import importlib.machinery
import sys
import types

import pytest

from gpuio.pipeline import ranges


@pytest.fixture
def said(monkeypatch):
    """A package `nvtx` that notes what it is told."""
    seen = []

    class Annotate:
        def __init__(self, message, domain):
            self.name = f"{domain}:{message}"

        def __enter__(self):
            seen.append(f"+{self.name}")

        def __exit__(self, *exc_info):
            seen.append(f"-{self.name}")

    nvtx = types.ModuleType("nvtx")
    nvtx.annotate = Annotate
    nvtx.__spec__ = importlib.machinery.ModuleSpec("nvtx", None)
    monkeypatch.setitem(sys.modules, "nvtx", nvtx)
    return seen


def test_each_range_is_pushed_and_popped(said):
    opened = ranges.open_ranges()
    assert set(opened) == set(ranges.RANGES)
    for _ in range(2):
        with opened["read"], opened["make"]:
            pass
    assert said == ["+gpuio:read", "+gpuio:make", "-gpuio:make", "-gpuio:read"] * 2


def test_unwanted_ones_do_nothing(said):
    with ranges.open_ranges(wanted=False)["read"]:
        pass
    assert said == []


def test_without_the_package_they_do_nothing(monkeypatch):
    monkeypatch.setattr(ranges.importlib.util, "find_spec", lambda name: None)
    with ranges.open_ranges()["next"], ranges.open_ranges()["make"]:
        pass
