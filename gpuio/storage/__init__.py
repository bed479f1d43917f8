"""Where bytes come from; how remote files are reached."""

from __future__ import annotations

from gpuio.storage.connections import configure, connect

__all__ = ["configure", "connect"]
