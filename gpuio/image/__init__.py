"""mx.image: functions on images, augmenters, ImageIter and ImageDetIter, with MXNet's names.

Nothing here loads OpenCV before the first image is decoded or resized. `mx.image.image`, where
MXNet keeps the functions, is this module itself.
"""

import sys

from gpuio.hooks import missing
from gpuio.image import detection
from gpuio.image import detection as det
from gpuio.image.augment import (
    Augmenter,
    CastAug,
    CenterCropAug,
    ForceResizeAug,
    HorizontalFlipAug,
    RandomCropAug,
    RandomOrderAug,
    RandomSizedCropAug,
    ResizeAug,
    SequentialAug,
)
from gpuio.image.codec import imdecode, imread
from gpuio.image.color import (
    BrightnessJitterAug,
    ColorJitterAug,
    ColorNormalizeAug,
    ContrastJitterAug,
    HueJitterAug,
    LightingAug,
    RandomGrayAug,
    SaturationJitterAug,
)
from gpuio.image.detaugment import (
    DetAugmenter,
    DetBorrowAug,
    DetHorizontalFlipAug,
    DetRandomSelectAug,
)
from gpuio.image.detcrop import DetRandomCropAug, DetRandomPadAug
from gpuio.image.detiter import ImageDetIter
from gpuio.image.detrecipes import CreateDetAugmenter, CreateMultiRandCropAugmenter
from gpuio.image.iter import ImageIter
from gpuio.image.ops import (
    center_crop,
    color_normalize,
    copyMakeBorder,
    fixed_crop,
    imresize,
    random_crop,
    random_size_crop,
    resize_short,
    scale_down,
)
from gpuio.image.recipes import CreateAugmenter
from gpuio.image.rotate import imrotate, random_rotate

__all__ = [
    "Augmenter",
    "BrightnessJitterAug",
    "CastAug",
    "CenterCropAug",
    "ColorJitterAug",
    "ColorNormalizeAug",
    "ContrastJitterAug",
    "CreateAugmenter",
    "CreateDetAugmenter",
    "CreateMultiRandCropAugmenter",
    "DetAugmenter",
    "DetBorrowAug",
    "DetHorizontalFlipAug",
    "DetRandomCropAug",
    "DetRandomPadAug",
    "DetRandomSelectAug",
    "ForceResizeAug",
    "HorizontalFlipAug",
    "HueJitterAug",
    "ImageDetIter",
    "ImageIter",
    "LightingAug",
    "RandomCropAug",
    "RandomGrayAug",
    "RandomOrderAug",
    "RandomSizedCropAug",
    "ResizeAug",
    "SaturationJitterAug",
    "SequentialAug",
    "center_crop",
    "color_normalize",
    "copyMakeBorder",
    "det",
    "detection",
    "fixed_crop",
    "image",
    "imdecode",
    "imread",
    "imresize",
    "imrotate",
    "random_crop",
    "random_rotate",
    "random_size_crop",
    "resize_short",
    "scale_down",
]

image = sys.modules[__name__]
sys.modules[f"{__name__}.image"] = image


def __getattr__(name: str) -> None:
    raise missing("gpuio.image", name)
