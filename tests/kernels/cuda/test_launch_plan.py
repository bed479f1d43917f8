"""What stands in front of the CUDA source is the plan's and the views' own; no file copies it."""

import re
from pathlib import Path

import numpy as np
import pytest

from gpuio.kernels.cuda import launch_plan, stage
from gpuio.kernels.plan import layout

CU_FILES = sorted(Path(launch_plan.__file__).parent.glob("*.cu"))


def generated():
    """Return the codes and sizes in front of the source, by name."""
    found = re.findall(r"\b([A-Z]\w*) = (\d+)", launch_plan.declarations())
    assert len(dict(found)) == len(found), "a name stands twice"
    return {name: int(value) for name, value in found}


def copied(text):
    """Return what a CUDA file declares by hand, or compares with a number, of generated codes."""
    names = "|".join(generated())
    by_hand = rf"\benum\b|\b(?:{names})\s*=(?!=)|#define (?:{names})\b"
    return re.findall(rf"{by_hand}|\b(?:kind|inter|tone_op)\s*[=!<>]=?\s*\d", text)


def test_every_code_of_the_plan_and_of_the_views_is_in_front_of_the_source():
    codes = generated()
    for module in (layout, stage):
        values = {name: value for name, value in vars(module).items() if type(value) is int}
        assert {name: codes.get(name) for name in values if name not in ("OPEN", "TONES")} == {
            name: value for name, value in values.items() if name not in ("OPEN", "TONES")
        }
    assert codes["SUMS"] == 1 + layout.TONES
    assert codes["BLOCK"] == launch_plan.BLOCK


@pytest.mark.parametrize("path", CU_FILES, ids=lambda path: path.name)
def test_a_cuda_file_holds_no_copy_of_a_code(path):
    assert copied(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["enum { A };", "const int CUBIC = 2;", "#define TILE 32", "if (v.kind == 10) {", "inter >= 3"],
)
def test_a_copy_of_a_code_is_seen(text):
    assert copied(text)


def test_more_rows_than_a_grid_counts_are_refused():
    rows = np.zeros(launch_plan.MAX_ROWS + 1, layout.PLAN)
    with pytest.raises(ValueError, match="65536 rows: one launch takes 65535"):
        launch_plan.LaunchPlan(
            rows,
            np.zeros(len(rows), np.uint64),
            channels=3,
            height=1,
            width=1,
            dtype="uint8",
            layout="NHWC",
            mean=[0, 0, 0],
            std=[1, 1, 1],
            scale=1.0,
        )
