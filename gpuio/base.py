"""mx.base: where MXNet's scripts look for its error."""

from __future__ import annotations

from gpuio.errors import MXNetError

__all__ = ["MXNetError"]
