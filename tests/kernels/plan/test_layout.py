"""The C struct that PLAN generates has PLAN's offsets, as gcc lays it out."""

import re
import shutil
import subprocess

import pytest

from gpuio.kernels.plan.layout import PLAN, c_struct


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_gcc_puts_every_field_where_numpy_does(tmp_path):
    prints = "\n".join(
        f'printf("%zu %zu\\n", offsetof(struct Plan, {name}), sizeof(((struct Plan*)0)->{name}));'
        for name in PLAN.names
    )
    source = tmp_path / "layout.c"
    source.write_text(
        f"#include <stdio.h>\n#include <stddef.h>\n{c_struct()}\n"
        f'int main(void) {{ {prints} printf("%zu\\n", sizeof(struct Plan)); return 0; }}\n'
    )
    subprocess.run(["gcc", "-o", tmp_path / "layout", source], check=True, timeout=300)
    told = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, timeout=300)
    *fields, whole = told.stdout.decode().splitlines()
    for name, line in zip(PLAN.names, fields, strict=True):
        dtype, offset = PLAN.fields[name][:2]
        assert line == f"{offset} {dtype.itemsize}", name
    assert int(whole) == PLAN.itemsize


def test_the_struct_declares_every_field_once_under_the_name_asked_for():
    text = c_struct("Row")
    assert text.startswith("struct Row {")
    assert re.findall(r"(?:int|float|double) (\w+)", text) == list(PLAN.names)
