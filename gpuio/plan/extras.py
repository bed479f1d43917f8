"""Draw what MXNet does not have into a plan: random erasing, and the policies of random operations.

Each draws from a Philox stream of its own, keyed by (seed, its tag, pass, record), a fixed number
of words a record, after MXNet's draws are done: switching one on moves no other.

Sources: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020; Cubuk et al., "RandAugment",
NeurIPS 2020; Mueller and Hutter, "TrivialAugment", ICCV 2021; magnitudes as in torchvision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.kernels.plan import layout
from gpuio.options.image_record import ImageRecordOptions
from gpuio.plan.settings import seed_bits

__all__ = ["OPERATIONS", "Extras", "check_extras", "extra_seed"]

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)  # torchvision's, in its order
_MOVES = OPERATIONS[1:6]
_FACTORS = OPERATIONS[6:10]
_BINS = 31  # of magnitudes, as in torchvision
_TRIES = 10  # rectangles drawn until one fits
_TAGS = {"erase": 0x6572617365, "auto": 0x6175746F, "mix": 0x6D6978}
_WORD = float(1 << 32)


def extra_seed(options: ImageRecordOptions, purpose: str) -> int:
    """Return the key of one purpose's streams: "erase", "auto" or "mix"."""
    seed = options.seed if options.seed_aug is None else options.seed_aug
    return (seed ^ (_TAGS[purpose] << 20)) & 0xFFFFFFFFFFFFFFFF


def check_extras(options: ImageRecordOptions) -> None:
    """Check the options of erasing and of the policies.

    Raises
    ------
    OptionError     naming the options in conflict
    """
    name = options.auto_augment
    if name is not None and options.data_shape[0] != 3:
        raise OptionError(f"auto_augment: works on three channels, not {options.data_shape[0]}")
    if name != "randaugment":
        for other in ("auto_augment_num_ops", "auto_augment_magnitude"):
            if getattr(options, other) is not None:
                raise OptionError(f"{other}: belongs to auto_augment='randaugment', not {name!r}")
    if options.aug_seq == "" and (name is not None or options.erase_prob > 0):
        raise OptionError("auto_augment, erase_prob: need an augmenter, but aug_seq=''")
    if options.erase_prob > 0:
        if options.erase_area[0] <= 0 or options.erase_ratio[0] <= 0:
            raise OptionError("erase_area, erase_ratio: expected numbers above 0")
        if options.erase_value == "mean" and options.mean_img:
            raise OptionError("erase_value: 'mean' means mean_r to mean_a; mean_img has no colour")
        count = len(options.erase_value) if isinstance(options.erase_value, tuple) else 1
        if count not in (1, options.data_shape[0]):
            raise OptionError(
                f"erase_value: expected 1 or {options.data_shape[0]} numbers, got {count}"
            )


def _words(
    seed: int, pass_index: npt.NDArray[np.int64], record: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.uint32]:
    """Return the first words of each row's own stream, uint32[B, count]."""
    from gpuio.kernels.plan.philox import philox_words

    words = np.empty((len(record), count), np.uint32)
    passes = np.ascontiguousarray(pass_index, np.int64)
    philox_words(seed_bits(seed), passes, np.ascontiguousarray(record, np.int64), words)
    return words


class Extras:
    """Draws random erasing and RandAugment or TrivialAugment into a plan.

    Parameters
    ----------
    options : ImageRecordOptions    erase_prob, auto_augment and what belongs to them; data_shape,
                                    means, seed, seed_aug

    Raises
    ------
    OptionError                     options that conflict: see `check_extras`
    """

    def __init__(self, options: ImageRecordOptions) -> None:
        check_extras(options)
        self._options = options
        self._tables = _Magnitudes(options) if options.auto_augment is not None else None

    def draw(
        self,
        plan: npt.NDArray[np.void],
        pass_index: npt.NDArray[np.int64],
        record: npt.NDArray[np.int64],
    ) -> None:
        """Fill turn, tone and erase of PLAN[B], in place, from each row's pass and record."""
        if self._tables is not None:
            self._draw_operations(self._tables, plan, pass_index, record)
        if self._options.erase_prob > 0:
            self._draw_erasing(plan, pass_index, record)

    def _draw_erasing(self, plan: Any, pass_index: Any, record: Any) -> None:
        """Take the first of some rectangles that fits, with the probability asked for."""
        options = self._options
        C, H, W = options.data_shape
        seed, count = extra_seed(options, "erase"), 3 + 2 * _TRIES + 4
        words = _words(seed, pass_index, record, count)
        unit = words / _WORD
        area, ratio = unit[:, 3 : 3 + _TRIES], unit[:, 3 + _TRIES : 3 + 2 * _TRIES]
        (least, most), (low, high) = options.erase_area, options.erase_ratio
        area = H * W * (least + area * (most - least))
        ratio = np.exp(math.log(low) + ratio * (math.log(high) - math.log(low)))
        h, w = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (h < H) & (w < W) & (h > 0) & (w > 0)
        rows = np.flatnonzero((unit[:, 0] < options.erase_prob) & fits.any(1))
        first = fits[rows].argmax(1)
        h, w = h[rows, first].astype(np.int32), w[rows, first].astype(np.int32)
        plan["erase_h"][rows], plan["erase_w"][rows] = h, w
        plan["erase_y"][rows] = (unit[rows, 1] * (H - h + 1)).astype(np.int32)
        plan["erase_x"][rows] = (unit[rows, 2] * (W - w + 1)).astype(np.int32)
        plan["erase_value"][rows, :C] = self._colours(words[rows, 3 + 2 * _TRIES :] >> 24)

    def _colours(self, drawn: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """Return the bytes of erased rectangles, int32[n, C], B, G, R (, A) or gray."""
        options = self._options
        C = options.data_shape[0]
        value = options.erase_value
        if value == "random":
            given = drawn[:, :C].astype(np.float64)
        elif value == "mean":
            given = np.array([[getattr(options, f"mean_{c}") for c in "rgba"[:C]]])
        else:
            given = np.broadcast_to(np.array(value, np.float64).reshape(1, -1), (1, C))
        made = np.clip(np.rint(given), 0, 255).astype(np.int32)
        return made[:, [2, 1, 0, 3][:C]] if C > 1 else made

    def _draw_operations(
        self, tables: _Magnitudes, plan: Any, pass_index: Any, record: Any
    ) -> None:
        """Draw a policy's operations: moves are joined into one turn, tones keep their order."""
        count = tables.count
        words = _words(extra_seed(self._options, "auto"), pass_index, record, 3 * count)
        op, sign, level = (words[:, k::3] / _WORD for k in range(3))
        op = (op * len(OPERATIONS)).astype(np.int64)
        level = (level * _BINS).astype(np.int64)
        if tables.level is not None:
            level[:] = tables.level
        side = (sign < 0.5).astype(np.int64)
        turn = np.broadcast_to(np.eye(3), (len(plan), 3, 3))
        for k in range(count):
            turn = turn @ tables.matrix[op[:, k], side[:, k], level[:, k]]
            kind = tables.tone[op[:, k]]
            rows = np.flatnonzero(kind >= 0)
            at = plan["tone_count"][rows]
            plan["tone_op"][rows, at] = kind[rows]
            plan["tone_arg"][rows, at] = tables.argument[op[:, k], side[:, k], level[:, k]][rows]
            plan["tone_count"][rows] += 1
        moved = (turn != np.eye(3)).any((1, 2))
        plan["post_affine_on"][moved] = 1
        plan["post_affine"][moved] = turn[moved, :2].reshape(-1, 6)


class _Magnitudes:
    """What each operation does at each level, tabled.

    Attributes
    ----------
    count : int                                 operations an image
    level : int or None                         of every operation; None: drawn
    matrix : float64[operations, 2, 31, 3, 3]   destination to source, by sign and level
    argument : float32[operations, 2, 31]       of the tones
    tone : int64[operations]                    the tone's code, -1 for none
    """

    def __init__(self, options: ImageRecordOptions) -> None:
        _, height, width = options.data_shape
        wide = options.auto_augment == "trivialaugment"
        self.count = 1 if wide else options.auto_augment_num_ops or 2
        given = options.auto_augment_magnitude
        self.level = None if wide else 9 if given is None else given
        self.matrix = np.tile(np.eye(3), (len(OPERATIONS), 2, _BINS, 1, 1))
        self.argument = np.zeros((len(OPERATIONS), 2, _BINS), np.float32)
        self.tone = np.array([_TONE.get(name, -1) for name in OPERATIONS])
        for level in range(_BINS):
            share = level / (_BINS - 1)
            most = {
                "shear_x": 0.99 if wide else 0.3,
                "shear_y": 0.99 if wide else 0.3,
                "translate_x": 32.0 if wide else 150 / 331 * width,
                "translate_y": 32.0 if wide else 150 / 331 * height,
                "rotate": 135.0 if wide else 30.0,
            }
            for number, name in enumerate(OPERATIONS):
                for side, sign in enumerate((-1, 1)):
                    if name in _MOVES:
                        reach = sign * share * most[name]
                        self.matrix[number, side, level] = _move(name, reach, height, width)
                    elif name == "posterize":
                        self.argument[number, side, level] = 8 - round(share * (6 if wide else 4))
                    elif name == "solarize":
                        self.argument[number, side, level] = 255 * (1 - share)
                    elif name in _FACTORS:
                        reach = sign * share * (0.99 if wide else 0.9)
                        self.argument[number, side, level] = 1 + reach


_TONE = {
    "brightness": layout.BRIGHTNESS,
    "contrast": layout.CONTRAST,
    "saturation": layout.SATURATION,
    "sharpness": layout.SHARPNESS,
    "posterize": layout.POSTERIZE,
    "solarize": layout.SOLARIZE,
    "autocontrast": layout.AUTOCONTRAST,
    "equalize": layout.EQUALIZE,
}


def _move(name: str, reach: float, height: int, width: int) -> npt.NDArray[np.float64]:
    """Return the map from destination to source of one move, float64[3, 3]."""
    made = np.eye(3)
    if name == "shear_x":
        made[0, 1] = reach
    elif name == "shear_y":
        made[1, 0] = reach
    elif name == "translate_x":
        made[0, 2] = -math.trunc(reach)
    elif name == "translate_y":
        made[1, 2] = -math.trunc(reach)
    else:
        cos, sin = math.cos(math.radians(reach)), math.sin(math.radians(reach))
        y, x = (height - 1) / 2, (width - 1) / 2
        made[:2] = (
            (cos, -sin, x - cos * x + sin * y),
            (sin, cos, y - sin * x - cos * y),
        )
    return made
