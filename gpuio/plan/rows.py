"""The rows of a plan, as a batch hands them out: an array that a notebook shows as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuio import hooks

__all__ = ["PlanRows"]


class PlanRows(np.ndarray[Any, Any]):
    """PLAN[n]: the fields and the order of the steps are those of `gpuio.kernels.plan.layout`."""

    def _repr_html_(self) -> str:
        text: str = hooks.call("plan_html", self)
        return text
