"""Which images of a batch are mixed, with which and how much: mixup and cutmix, drawn on the host.

Invariant: a mix is a pure function of (seed, pass, number of the batch, rows with an image); it
takes no number from any other stream. Partners are rows of one batch, so that other numbers of
parts or rows make other mixes.

Sources: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019; the box as torchvision.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError, RecordError
from gpuio.options.image_record import ImageRecordOptions
from gpuio.plan.extras import extra_seed

__all__ = ["Mix", "Mixer"]

_FLOATS = ("float32", "float16", "bfloat16")


@attrs.frozen(eq=False)
class Mix:
    """What happens to one batch.

    Attributes
    ----------
    share : float                   of a row's own image and label, 0 to 1; the rest is its
                                    partner's. For cutmix the part of the image outside the box
    partner : int64[B]              the row that each row is mixed with; itself: not mixed
    box : (y, x, height, width) or None
                                    cutmix: what is taken from the partner; None: mixup
    """

    share: float
    partner: npt.NDArray[np.int64]
    box: tuple[int, int, int, int] | None


class Mixer:
    """Draws mixes and makes soft labels.

    Parameters
    ----------
    options : ImageRecordOptions    num_classes (set), mixup_alpha, cutmix_alpha, dtype,
                                    label_width, data_shape, seed, seed_aug

    Raises
    ------
    OptionError                     options that conflict
    """

    def __init__(self, options: ImageRecordOptions) -> None:
        self.num_classes = options.num_classes or 0
        self.alphas = options.mixup_alpha, options.cutmix_alpha
        self._seed = extra_seed(options, "mix")
        self._size = options.data_shape[1:]
        for name in ("mixup_alpha", "cutmix_alpha"):
            if getattr(options, name) == 0:
                continue
            if options.num_classes is None:
                raise OptionError(f"{name}: needs num_classes, for the soft labels")
            if options.dtype not in _FLOATS:
                raise OptionError(f"{name}: needs a dtype of floats, not {options.dtype!r}")
        if options.num_classes is not None and options.label_width not in (1, "auto"):
            raise OptionError(
                f"num_classes: needs one label per record, but label_width={options.label_width}"
            )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed; else the labels alone change."""
        return self.alphas != (0, 0)

    def draw(self, pass_index: int, number: int, present: npt.NDArray[np.bool_]) -> Mix | None:
        """Return the mix of a batch, or None if there is nothing to mix.

        Parameters
        ----------
        pass_index, number : int        of the epoch, and of the batch in it, from 0; with
                                        shard="even" its first place in the pass, so that parts draw
                                        mixes of their own
        present : bool[B]               the rows that hold an image; the others stay as they are
        """
        rows = np.flatnonzero(present)
        if not self.mixes or len(rows) == 0:
            return None
        # RandomState's streams are frozen for good, those of NumPy's Generator are not
        bits = np.random.Philox(key=self._seed, counter=[0, number, pass_index, 0])
        random = np.random.RandomState(bits)
        both = all(alpha > 0 for alpha in self.alphas)
        cut = random.random_sample() < 0.5 if both else self.alphas[1] > 0
        alpha = self.alphas[1 if cut else 0]
        share = float(random.beta(alpha, alpha))
        partner = np.arange(len(present))
        partner[rows] = rows[random.permutation(len(rows))]
        if not cut:
            return Mix(share, partner, None)
        height, width = self._size
        reach = 0.5 * math.sqrt(1 - share)
        y, x = random.randint(height), random.randint(width)
        top, bottom = _span(y, int(reach * height), height)
        left, right = _span(x, int(reach * width), width)
        area = (bottom - top) * (right - left)
        box = (top, left, bottom - top, right - left)
        return Mix(1 - area / (height * width), partner, box)

    def first_invalid_label(
        self, labels: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]
    ) -> tuple[int, RecordError] | None:
        """Return the first row whose label is not a class, with its error; None if all are valid.

        Parameters
        ----------
        labels : float32[B]             numbers of classes
        present : bool[B]               the rows to look at
        """
        classes = self.num_classes
        good = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
        if (good | ~present).all():
            return None
        row = int(np.flatnonzero(present & ~good)[0])
        return row, RecordError(
            f"label {labels[row]:g} is not a class: num_classes={classes} asks for a whole number "
            f"in 0..{classes - 1}"
        )

    def soften(
        self,
        labels: npt.NDArray[np.float32],
        present: npt.NDArray[np.bool_],
        mix: Mix | None,
    ) -> npt.NDArray[np.float32]:
        """Return labels as weights of the classes.

        Parameters
        ----------
        labels : float32[B]             numbers of classes, where `present`
        present : bool[B]               the rows that hold an image; the others become zeros
        mix : Mix, optional

        Returns
        -------
        float32[B, num_classes]         rows sum to one
        """
        made = np.zeros((len(labels), self.num_classes), np.float32)
        rows = np.flatnonzero(present)
        made[rows, labels[rows].astype(np.int64)] = 1
        if mix is None:
            return made
        share = np.float32(mix.share)
        mixed: npt.NDArray[Any] = made * share + made[mix.partner] * (np.float32(1) - share)
        alone = mix.partner == np.arange(len(labels))
        mixed[alone] = made[alone]
        return mixed


def _span(centre: int, reach: int, length: int) -> tuple[int, int]:
    """Return where a box begins and ends on one axis, clipped."""
    return max(centre - reach, 0), min(centre + reach, length)
