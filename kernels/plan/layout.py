"""PLAN: one row says everything that happens to one image between decoding and the batch.

The dtype is the ABI: Numba reads its rows as records, and the C struct in front of the CUDA source
is generated from it. Every random number of a batch is already in it; executing a plan draws
nothing.

The steps, in order; each has the field by which it is skipped:

1. resize: the decoded image (src_h, src_w) to (resize_h, resize_w). Skipped if resize_h == 0.
2. pre_colour: with PRE_COLOUR_HLS add pre_colour_hls[0..2] to hue, lightness, saturation; then with
   PRE_COLOUR_GAIN multiply every channel by pre_colour_gain, rounded. Skipped if pre_colour == 0.
3. flip: left to right. Skipped if flip == 0.
4. expand: lay the image at (expand_y, expand_x) of a canvas (expand_h, expand_w) of value `fill`.
   Skipped if expand_h == 0.
5. warp: one affine warp to (warp_h, warp_w). Skipped if warp_h == 0.
6. pad: a border of `pad` pixels of value `fill` on all four sides. Skipped if pad == 0.
7. upscale1, upscale2: up to two enlargements of an image smaller than the output. Skipped if
   upscale1_h == 0.
8. crop: the window (crop_y, crop_x, crop_h, crop_w) of the image as it is now, resized to the
   output (H, W) with crop_inter if it is not already of that size; with letterbox_h > 0 resized to
   (letterbox_h, letterbox_w) instead, the output's upper left, all else of it 0.
9. post_affine: one bilinear affine warp of the output's window onto itself. Skipped if
   post_affine_on == 0.
10. jitter: brightness (0), contrast (1), saturation (2) in `jitter_order`. Skipped if jitter == 0.
11. hls: add hls[0..2] to hue, lightness, saturation. Skipped if hls_on == 0.
12. pca: add pca[0..2] to B, G, R. Skipped if pca_on == 0.
13. tone: the first `tone_count` of tone_op with tone_arg, in order. Skipped if tone_count == 0.
14. mirror: flip left to right. Skipped if mirror == 0.
15. erase: fill (erase_y, erase_x, erase_h, erase_w) of the flipped window with the bytes
    erase_value of B, G, R (, A) or gray. Skipped if erase_h == 0.
16. normalise: ``(p - mean) * (gain * scale / std) + shift * scale / std``, float32, one rounding
    per operation; gain and shift are this image's own, without `scale`: 1 and 0 = no change. uint8
    is the byte itself, int8 ``clamp(p - round(mean))``. Where the output asks for ratios it is
    ``(p - mean) / std * scale``, and gain and shift have no part in it.

Detection has pre_colour, flip, expand and letterbox instead of jitter, hls, pca and mirror: its
colours change before its geometry. MXNet has no post_affine, tone and erase. Tones: BRIGHTNESS,
CONTRAST, SATURATION by a factor, as jitter makes them; POSTERIZE keeps the upper tone_arg bits of a
byte, SOLARIZE inverts bytes of at least tone_arg. SHARPNESS moves a pixel away from (tone_arg > 1)
or towards the mean of its 3 x 3 neighbours, itself five times; the outermost pixels stay.
AUTOCONTRAST stretches each channel of the window to 0..255, EQUALIZE spreads its histogram. All but
the factors' three leave alpha alone.

Images are uint8 between all steps, as MXNet rounds there; channels are B, G, R (, A) until the
last step writes R, G, B (, A). Heights stand before widths, y before x.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "AREA",
    "AUTOCONTRAST",
    "BILINEAR",
    "BRIGHTNESS",
    "CONTRAST",
    "CUBIC",
    "EQUALIZE",
    "LANCZOS4",
    "NEAREST",
    "PLAN",
    "POSTERIZE",
    "PRE_COLOUR_GAIN",
    "PRE_COLOUR_HLS",
    "SATURATION",
    "SHARPNESS",
    "SOLARIZE",
    "TONES",
    "c_enum",
    "c_struct",
]

# MXNet's inter_method, OpenCV's own codes; `interpolation` has the others
NEAREST, BILINEAR, CUBIC, AREA, LANCZOS4 = range(5)
# of tone_op; the last three need more of the window than the pixel that they change
BRIGHTNESS, CONTRAST, SATURATION, POSTERIZE, SOLARIZE, SHARPNESS, AUTOCONTRAST, EQUALIZE = range(8)
TONES = 4  # at most, per image
PRE_COLOUR_HLS, PRE_COLOUR_GAIN = 1, 2  # bits of pre_colour

PLAN = np.dtype(
    [
        ("src_h", np.int32),  # size of the decoded image, before `orient` is applied
        ("src_w", np.int32),
        ("orient", np.int32),  # EXIF orientation 1..8 still to apply; 1 = none
        ("resize_h", np.int32),
        ("resize_w", np.int32),
        ("resize_inter", np.int32),
        ("warp_h", np.int32),
        ("warp_w", np.int32),
        ("warp_inter", np.int32),
        ("pad", np.int32),
        ("fill", np.int32),
        ("upscale1_h", np.int32),
        ("upscale1_w", np.int32),
        ("upscale1_inter", np.int32),
        ("upscale2_h", np.int32),
        ("upscale2_w", np.int32),
        ("upscale2_inter", np.int32),
        ("crop_y", np.int32),
        ("crop_x", np.int32),
        ("crop_h", np.int32),
        ("crop_w", np.int32),
        ("crop_inter", np.int32),
        ("mirror", np.int32),
        ("jitter", np.int32),
        ("jitter_order", np.int32, (3,)),
        ("jitter_gain", np.float32, (3,)),  # of brightness, contrast, saturation: 1 = no change
        ("hls_on", np.int32),
        ("hls", np.int32, (3,)),
        ("pca_on", np.int32),
        ("pca", np.float32, (3,)),
        ("gain", np.float32),
        ("shift", np.float32),
        ("warp", np.float64, (6,)),  # destination to source, row major 2 x 3, as OpenCV inverts it
        ("post_affine", np.float64, (6,)),  # the same, of the output's window
        ("post_affine_on", np.int32),
        ("tone_count", np.int32),
        ("tone_op", np.int32, (TONES,)),
        ("tone_arg", np.float32, (TONES,)),
        ("erase_y", np.int32),
        ("erase_x", np.int32),
        ("erase_h", np.int32),
        ("erase_w", np.int32),
        ("erase_value", np.int32, (4,)),
        ("pre_colour", np.int32),
        ("pre_colour_hls", np.int32, (3,)),
        ("pre_colour_gain", np.float32),
        ("flip", np.int32),
        ("expand_y", np.int32),
        ("expand_x", np.int32),
        ("expand_h", np.int32),
        ("expand_w", np.int32),
        ("letterbox_h", np.int32),
        ("letterbox_w", np.int32),
    ],
    align=True,
)


def c_enum(names: str, codes: Mapping[str, Any]) -> str:
    """Return the C declaration of codes, so that a source needs no copy of their values.

    Parameters
    ----------
    names : str             the codes' names, a space between two
    codes : mapping         their values, int32, by name; a module's `vars`

    Returns
    -------
    str     ``enum { NEAREST = 0, BILINEAR = 1 };``
    """
    return "enum { " + ", ".join(f"{name} = {codes[name]}" for name in names.split()) + " };\n"


_C_TYPES = {
    "i4": "int",
    "f4": "float",
    "f8": "double",
    "i8": "long long",
    "u8": "unsigned long long",
}


def c_struct(name: str = "Plan", dtype: np.dtype = PLAN) -> str:
    """Return the C declaration of a row, with padding where NumPy put it.

    Parameters
    ----------
    name : str
    dtype : structured dtype made with ``align=True``, of 32-bit and 64-bit numbers

    Returns
    -------
    str     ``struct Plan { int src_h; ... };``; offsets agree with `PLAN` for every C compiler
            whose double is aligned to 8 bytes
    """
    lines = []
    for field in dtype.names or ():
        base, shape = dtype[field].base, dtype[field].shape
        dims = "".join(f"[{n}]" for n in shape)
        lines.append(f"  {_C_TYPES[base.str[1:]]} {field}{dims};")
    return f"struct {name} {{\n" + "\n".join(lines) + "\n};\n"
