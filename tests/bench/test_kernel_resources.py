"""bench/kernel_resources.py: cuobjdump's words become a table, what is beyond a limit is named."""

import importlib
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SAID = """
Resource usage:
 Common:
  GLOBAL:20 CONSTANT[4]:40
 Function finish_float32_nchw_3:
  REG:48 STACK:0 SHARED:{shared} LOCAL:0 CONSTANT[0]:360 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function stage_1:
  REG:{registers} STACK:16 SHARED:0 LOCAL:{local} CONSTANT[0]:904 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("kernel_resources")
    sys.modules.pop("kernel_resources")


def test_a_row_is_a_kernel_and_a_column_an_architecture(bench):
    used = {
        arch: bench.parse(SAID.format(shared=shared, registers=80, local=0))
        for arch, shared in (("sm_80", 14336), ("sm_90", 15360))
    }
    page = bench.table(used)
    assert "| `finish_float32_nchw_3` | 15,360 | 48 | 48 |" in page
    assert "| `stage_1` | 0 | 80 + 16 | 80 + 16 |" in page
    assert bench.excesses(used) == []


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"registers": 129}, "sm_80 stage_1: registers 129, the limit is 128"),
        ({"local": 8}, "sm_80 stage_1: local 8, the limit is 0"),
        ({"shared": 15361}, "sm_80 finish_float32_nchw_3: shared 15361, the limit is 14336"),
    ],
)
def test_a_kernel_beyond_a_limit_is_named(bench, numbers, says):
    used = bench.parse(SAID.format(**{"shared": 14336, "registers": 80, "local": 0, **numbers}))
    assert bench.excesses({"sm_80": used}) == [says]
