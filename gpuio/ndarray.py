"""``import gpuio.ndarray``: another name of `gpuio.nd`, and the very same module."""

import sys

from gpuio import nd

__all__: list[str] = []

sys.modules[__name__] = nd
for _part in ("random", "sparse"):
    sys.modules[f"{__name__}.{_part}"] = sys.modules[f"{nd.__name__}.{_part}"]
