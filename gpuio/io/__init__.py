"""mx.io: iterators, batches, and their descriptions."""

from gpuio.io.base import DataBatch, DataDesc, DataIter

__all__ = ["DataBatch", "DataDesc", "DataIter"]
