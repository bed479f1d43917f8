"""mx.image.detection (also mx.image.det): everything for detection under MXNet's module name."""

from gpuio.image.detaugment import (
    DetAugmenter,
    DetBorrowAug,
    DetHorizontalFlipAug,
    DetRandomSelectAug,
)
from gpuio.image.detcrop import DetRandomCropAug, DetRandomPadAug
from gpuio.image.detiter import ImageDetIter
from gpuio.image.detrecipes import CreateDetAugmenter, CreateMultiRandCropAugmenter

__all__ = [
    "CreateDetAugmenter",
    "CreateMultiRandCropAugmenter",
    "DetAugmenter",
    "DetBorrowAug",
    "DetHorizontalFlipAug",
    "DetRandomCropAug",
    "DetRandomPadAug",
    "DetRandomSelectAug",
    "ImageDetIter",
]
