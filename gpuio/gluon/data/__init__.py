"""mx.gluon.data: sets over record files, which PyTorch's DataLoader takes, too."""

from gpuio.gluon.data import vision
from gpuio.gluon.data.dataset import Dataset, RecordFileDataset
from gpuio.gluon.data.vision import ImageRecordDataset
from gpuio.hooks import missing

__all__ = ["Dataset", "ImageRecordDataset", "RecordFileDataset", "vision"]


def __getattr__(name: str) -> None:
    raise missing("gpuio.gluon.data", name)
