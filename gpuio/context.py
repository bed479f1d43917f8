"""mx.context: where arrays live, and what new ones take."""

from gpuio.hooks import missing
from gpuio.nd.context import Context, cpu, cpu_pinned, current_context, gpu, num_gpus

__all__ = ["Context", "cpu", "cpu_pinned", "current_context", "gpu", "num_gpus"]


def __getattr__(name: str) -> None:
    raise missing("gpuio.context", name)
