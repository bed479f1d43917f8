"""A framework that is not there is named with the command that installs it."""

import sys

import numpy as np
import pytest

from gpuio.adapters import jax, torch

ROW = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("torch", lambda: torch.to_torch(ROW)),
        ("torch", lambda: torch.to_classes(ROW)),
        ("jax", lambda: jax.to_jax(ROW)),
        ("jax", lambda: jax.to_classes(ROW)),
    ],
)
def test_a_framework_that_is_missing_is_named_with_its_extra(monkeypatch, name, use):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install 'gpuio\[{name}\]'") as raised:
        use()
    assert raised.value.name == name
