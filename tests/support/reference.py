"""Execute a plan with plain NumPy: slow, obviously right, the standard of the other two.

Images are uint8[h, w, C] arrays between all steps. Nothing here is used outside tests.
Source of the resize arithmetic: OpenCV, modules/imgproc/src/resize.cpp.
"""

from __future__ import annotations

import numpy as np

from gpuio.kernels import normalise
from gpuio.kernels.cpu.warp import warp_weights
from gpuio.kernels.plan.interpolation import CODES
from gpuio.kernels.plan.layout import (
    AREA,
    AUTOCONTRAST,
    BILINEAR,
    NEAREST,
    POSTERIZE,
    PRE_COLOUR_GAIN,
    PRE_COLOUR_HLS,
    SATURATION,
    SHARPNESS,
    SOLARIZE,
)
from gpuio.kernels.taps import area_taps, rounded_values, taps, triangle_taps

__all__ = ["augment", "hls", "jitter", "orient", "resize", "tone", "warp", "window"]

TRIANGLE = CODES["TRIANGLE"]


def resize(image, height, width, method):
    """Resize an image as OpenCV does, with TRIANGLE as Pillow does.

    Parameters
    ----------
    image : uint8[h, w, C]
    height, width : int         of the result, >= 1
    method : {0, 1, 2, 3, 4, 5} nearest, bilinear, bicubic, area, Lanczos; Pillow's bilinear

    Returns
    -------
    uint8[height, width, C]
    """
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    if method == NEAREST:
        y = np.minimum(np.floor(np.arange(height) * (1 / (height / h))), h - 1).astype(int)
        x = np.minimum(np.floor(np.arange(width) * (1 / (width / w))), w - 1).astype(int)
        return image[y][:, x]
    if method == BILINEAR and (h, w) == (2 * height, 2 * width):
        method = AREA
    if method == AREA and h >= height and w >= width:
        return _shrink_area(image, height, width)
    if method == TRIANGLE:
        wide = _filter_triangle(image.transpose(1, 0, 2), width).transpose(1, 0, 2)
        return _filter_triangle(wide, height)
    x_index, x_weight = taps(width, w, method, clamp=True)
    y_index, y_weight = taps(height, h, method, clamp=False)
    columns = np.clip(x_index, 0, w - 1)
    rows = np.clip(y_index, 0, h - 1)
    wide = np.zeros((h, width, image.shape[2]), np.int32)
    for k in range(x_weight.shape[1]):
        wide += image[:, columns[:, k]].astype(np.int32) * x_weight[:, k, None]
    if x_weight.shape[1] == 2:
        upper, lower = ((wide[rows[:, k]] >> 4) * y_weight[:, k, None, None] >> 16 for k in (0, 1))
        return ((upper + lower + 2) >> 2).astype(np.uint8)
    total = np.zeros((height, width, image.shape[2]), np.int32)
    for k in range(y_weight.shape[1]):
        total += wide[rows[:, k]] * y_weight[:, k, None, None]
    total = ((total + (1 << 21)) >> 22).reshape(height, -1)
    rounded = rounded_values(width, image.shape[2], method)
    if rounded:
        share = y_weight.astype(np.float32) / np.float32(1 << 22)
        summed = np.zeros(wide[rows[:, 0]].shape, np.float32)
        for k in range(4):
            summed += wide[rows[:, k]].astype(np.float32) * share[:, k, None, None]
        total[:, :rounded] = np.rint(summed).reshape(height, -1)[:, :rounded]
    return np.clip(total, 0, 255).reshape(height, width, -1).astype(np.uint8)


def _filter_triangle(image, length):
    """Resize the first axis."""
    first, count, weight = triangle_taps(length, len(image))
    total = np.full((length, *image.shape[1:]), 1 << 21, np.int32)
    for k in range(weight.shape[1]):
        source = np.where(k < count, first + k, 0)
        total += image[source].astype(np.int32) * weight[:, k, None, None]
    return np.clip(total >> 22, 0, 255).astype(np.uint8)


def _shrink_area(image, height, width):
    """Average the source area of each pixel: integers for whole factors, else float32."""
    h, w, C = image.shape
    if h % height == 0 and w % width == 0:
        fy, fx = h // height, w // width
        total = image.reshape(height, fy, width, fx, C).sum((1, 3), dtype=np.int32)
        if (fy, fx) == (2, 2):
            return ((total + 2) >> 2).astype(np.uint8)
        share = np.float32(1) / np.float32(fy * fx)
        return np.rint(total.astype(np.float32) * share).astype(np.uint8)
    x_to, x_from, x_share = area_taps(width, w)
    y_to, y_from, y_share = area_taps(height, h)
    wide = np.zeros((h, width, C), np.float32)
    for to, source, share in zip(x_to, x_from, x_share, strict=True):
        wide[:, to] += image[:, source] * share
    total = np.zeros((height, width, C), np.float32)
    for to, source, share in zip(y_to, y_from, y_share, strict=True):
        total[to] += wide[source] * share
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def orient(image, orientation):
    """Turn an image upright from its EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def warp(image, matrix, height, width, method, fill):
    """Warp an image; `matrix` (float64[6]) maps destination to source."""
    h, w, C = image.shape
    weights = warp_weights(method)
    k = max(round(weights.shape[1] ** 0.5), 1)
    before, half = (0, 512) if k == 1 else (k // 2 - 1, 16)
    colour = np.array([fill, fill, fill, 0][:C], np.int32)
    y, x = np.arange(height, dtype=float)[:, None], np.arange(width, dtype=float)[None]
    m = np.asarray(matrix, float)
    X = (np.rint((m[1] * y + m[2]) * 1024) + half + np.rint(m[0] * x * 1024)).astype(np.int64)
    Y = (np.rint((m[4] * y + m[5]) * 1024) + half + np.rint(m[3] * x * 1024)).astype(np.int64)
    left = np.clip(X >> 10, -32768, 32767) - before
    top = np.clip(Y >> 10, -32768, 32767) - before
    weight = weights[(Y >> 5 & 31) * 32 + (X >> 5 & 31)].astype(np.int32)
    total = np.full((height, width, C), 1 << 14, np.int32)
    for v in range(k):
        for u in range(k):
            inside = (left + u >= 0) & (left + u < w) & (top + v >= 0) & (top + v < h)
            taken = image[np.clip(top + v, 0, h - 1), np.clip(left + u, 0, w - 1)]
            value = np.where(inside[..., None], taken.astype(np.int32), colour)
            if k == 1:
                return value.astype(np.uint8)
            total += value * weight[..., v * k + u, None]
    return np.clip(total >> 15, 0, 255).astype(np.uint8)


def _pad(image, pad, fill):
    h, w, C = image.shape
    made = np.empty((h + 2 * pad, w + 2 * pad, C), np.uint8)
    made[:] = np.array([fill, fill, fill, 0][:C], np.uint8)
    made[pad : pad + h, pad : pad + w] = image
    return made


def _expand(image, row):
    """Tint, flip and frame an image."""
    if row["pre_colour"] & PRE_COLOUR_HLS:
        image = hls(image, row["pre_colour_hls"])
    if row["pre_colour"] & PRE_COLOUR_GAIN:
        image = _bytes(image.astype(np.float32) * np.float32(row["pre_colour_gain"]))
    if row["flip"]:
        image = image[:, ::-1]
    if row["expand_h"] > 0:
        (h, w, C), y, x, fill = image.shape, row["expand_y"], row["expand_x"], row["fill"]
        made = np.empty((row["expand_h"], row["expand_w"], C), np.uint8)
        made[:] = np.array([fill, fill, fill, 0][:C], np.uint8)
        made[y : y + h, x : x + w] = image
        return made
    return image


def _letterbox(image, height, width):
    """Paste an image at the top left of a zero-filled output."""
    made = np.zeros((height, width, image.shape[2]), np.uint8)
    made[: image.shape[0], : image.shape[1]] = image
    return made


def _bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def jitter(image, order, gain):
    """Change brightness (0), contrast (1) and saturation (2) of a B G R (A) image."""
    image = image.copy()
    for step in order:
        alpha = np.float32(gain[step])
        rest = np.float32(1) - alpha
        gray = image[..., :3].astype(np.int32) @ np.array([4899, 9617, 1868], np.int32)
        gray = ((gray + 8192) >> 14).astype(np.float32)
        value = image.astype(np.float32)
        if step == 0:
            image = _bytes(value * alpha)
        elif step == 1:
            mean = np.float32(int(gray.astype(np.int64).sum()) * (1.0 / gray.size))
            image = _bytes(value * alpha + rest * mean)
        else:
            image[..., :3] = _bytes((gray * rest)[..., None] + value[..., :3] * alpha)
    return image


def tone(image, op, value):
    """Change the tones of a B G R (A) image by one of the ops of `gpuio.kernels.plan.layout`."""
    if op <= SATURATION:
        return jitter(image, [op], {op: value})
    image = image.copy()
    part = image[..., :3]
    if op == POSTERIZE:
        part &= np.uint8(0xFF << (8 - int(value)) & 0xFF)
    elif op == SOLARIZE:
        part[:] = np.where(part >= value, 255 - part, part)
    elif op == SHARPNESS:
        _sharpen(part, value)
    else:
        for c in range(3):
            table = (_stretched if op == AUTOCONTRAST else _equalized)(part[..., c])
            part[..., c] = table[part[..., c]]
    return image


def _sharpen(image, factor):
    """Blend an image with its mean of 3 x 3 pixels, the middle one five times; in place."""
    h, w = image.shape[:2]
    whole = image.astype(np.int32)
    total = 4 * whole[1:-1, 1:-1]
    for y in range(3):
        for x in range(3):
            total = total + whole[y : max(h - 2 + y, y), x : max(w - 2 + x, x)]
    smooth = np.rint(total / 13).astype(np.int32)
    by = np.float32(factor) * (whole[1:-1, 1:-1] - smooth).astype(np.float32)
    image[1:-1, 1:-1] = np.clip(smooth.astype(np.float32) + by, 0, 255).astype(np.uint8)


def _stretched(channel):
    """Return the table that takes a channel's darkest byte to 0 and its brightest to 255."""
    low, high = int(channel.min()), int(channel.max())
    if low == high:
        return np.arange(256, dtype=np.uint8)
    scale = 255.0 / (high - low)
    return np.clip([int(k * scale + -low * scale) for k in range(256)], 0, 255).astype(np.uint8)


def _equalized(channel):
    """Return the table that makes all bytes of a channel as frequent as they can be."""
    count = np.bincount(channel.reshape(-1), minlength=256)
    step = int((channel != channel.max()).sum()) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    darker = [int(count[:k].sum()) for k in range(256)]
    return np.array([min((step // 2 + n) // step, 255) for n in darker], np.uint8)


def hls(image, shift):
    """Shift hue, lightness and saturation of a B G R (A) image."""
    f = np.float32
    unit = f(1) / f(255)
    b, g, r = (image[..., c].astype(f) * unit for c in range(3))
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    spread, light = high - low, (high + low) * f(0.5)
    colourful = spread > np.finfo(f).eps
    safe = np.where(colourful, spread, f(1))
    below = np.where(light < f(0.5), high + low, f(2) - (high + low))
    satur = np.where(colourful, spread / np.where(colourful, below, f(1)), f(0))
    turn = f(60) / safe
    hue = np.where(
        high == r,
        (g - b) * turn,
        np.where(high == g, (b - r) * turn + f(120), (r - g) * turn + f(240)),
    )
    hue = np.where(colourful, np.where(hue < 0, hue + f(360), hue), f(0)) * f(0.5)
    parts = [_bytes(hue), _bytes(light * f(255)), _bytes(satur * f(255))]
    limits = (180, 255, 255)
    h, l, s = (
        np.clip(part.astype(int) + by, 0, limit).astype(f)
        for part, by, limit in zip(parts, shift, limits, strict=True)
    )
    made = image.copy()
    made[..., :3] = _bytes(_colour_of(h, l * unit, s * unit) * f(255))
    return made


def _colour_of(hue, light, satur):
    """Return B, G, R (0 to 1) from hue (0 to 180), lightness and saturation (0 to 1)."""
    f = np.float32
    p2 = np.where(light <= f(0.5), light * (f(1) + satur), light + satur - light * satur)
    p1 = f(2) * light - p2
    turned = hue * (f(6) / f(180))
    turned = np.where(turned >= 6, turned - f(6), turned)
    sector = np.floor(turned).astype(int)
    part = turned - sector.astype(f)
    choice = np.stack([p2, p1, p1 + (p2 - p1) * (f(1) - part), p1 + (p2 - p1) * part])
    which = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])[sector]
    made = np.take_along_axis(choice, np.moveaxis(which, -1, 0), 0)
    return np.moveaxis(np.where(satur == 0, light, made), 0, -1)


def window(image, row, height, width):
    """Execute a plan's row up to its normalisation.

    Parameters
    ----------
    image : uint8[src_h, src_w, C]
    row : PLAN[()]
    height, width : int         of the output

    Returns
    -------
    uint8[height, width, C]     B, G, R (, A) or gray
    """
    image = orient(image, row["orient"])
    for name in ("resize", "expand", "warp", "pad", "upscale1", "upscale2"):
        if name == "expand":
            image = _expand(image, row)
        elif name == "pad":
            image = _pad(image, row["pad"], row["fill"]) if row["pad"] > 0 else image
        elif row[f"{name}_h"] > 0:
            h, w, method = (row[f"{name}_{part}"] for part in ("h", "w", "inter"))
            if name == "warp":
                image = warp(image, row["warp"], h, w, method, row["fill"])
            else:
                image = resize(image, h, w, method)
    y, x, h, w = (row[f"crop_{part}"] for part in "yxhw")
    image = image[y : y + h, x : x + w]
    if row["letterbox_h"] > 0:
        image = resize(image, row["letterbox_h"], row["letterbox_w"], row["crop_inter"])
        image = _letterbox(image, height, width)
    else:
        image = resize(image, height, width, row["crop_inter"])
    if row["post_affine_on"]:
        image = warp(image, row["post_affine"], height, width, BILINEAR, row["fill"])
    if row["jitter"]:
        image = jitter(image, row["jitter_order"], row["jitter_gain"])
    if row["hls_on"]:
        image = hls(image, row["hls"])
    if row["pca_on"]:
        image = image.copy()
        moved = image[..., :3].astype(np.float32) + row["pca"].astype(np.float32)
        image[..., :3] = np.clip(np.trunc(moved), 0, 255).astype(np.uint8)
    for op, value in list(zip(row["tone_op"], row["tone_arg"], strict=True))[: row["tone_count"]]:
        image = tone(image, op, value)
    image = image[:, ::-1] if row["mirror"] else image
    if row["erase_h"] > 0:
        y, x, h, w = (row[f"erase_{part}"] for part in "yxhw")
        image = image.copy()
        image[y : y + h, x : x + w] = row["erase_value"][: image.shape[2]]
    return image


def augment(image, row, height, width, dtype, mean, std, scale, mean_image=None, ratio=False):
    """Execute a plan's row.

    Parameters
    ----------
    image, row, height, width : as in `window`
    dtype, mean, std, scale, mean_image, ratio : as in `gpuio.kernels.cpu.augment.Normalisation`

    Returns
    -------
    storage(dtype)[C, height, width]    R, G, B (, A) or gray
    """
    pixels = window(image, row, height, width)
    C = pixels.shape[2]
    pixels = pixels[..., [2, 1, 0, 3][:C] if C > 1 else [0]]
    gain, shift = row["gain"], row["shift"]
    less = mean_image[:, :, :: -1 if row["mirror"] else 1] if mean_image is not None else None
    if dtype == "int8" and mean_image is not None:
        whole = pixels.transpose(2, 0, 1) - normalise.round_half_away(less)
        return np.clip(whole, -128, 127).astype(np.int8)
    if mean_image is None or dtype == "uint8":
        table = normalisation(dtype, mean, std, scale, gain, shift, ratio=ratio)
        return np.stack([table[c][pixels[..., c]] for c in range(C)])
    _, factor, plus = normalise.terms(mean, std, scale, gain, shift)[:, :, None, None]
    value = pixels.transpose(2, 0, 1).astype(np.float32) - less
    if ratio:
        value = value / np.asarray(std, np.float32)[:, None, None] * np.float32(scale)
    else:
        value = value * factor + plus
    if dtype == "bfloat16":
        return normalise.bfloat16(value)
    return value.astype(np.float16).view(np.uint16) if dtype == "float16" else value


def normalisation(dtype, mean, std, scale, gain=1.0, shift=0.0, ratio=False):
    """Return the output value of each byte of each channel.

    Parameters
    ----------
    dtype : {"float32", "float16", "bfloat16", "uint8", "int8"}
    mean, std, scale, gain, shift : as in `normalise.terms`
    ratio : bool                ``(p - mean) / std * scale``, without gain and shift

    Returns
    -------
    normalise.storage(dtype)[C, 256]      host

    Notes
    -----
    uint8 is the byte itself and int8 is ``clamp(p - round(mean))``: as in MXNet, they ignore std,
    scale, gain and shift. The halves are the float32 value rounded half to even.
    """
    mean = np.asarray(mean, np.float32)
    p = np.arange(256)
    if dtype == "uint8":
        return np.tile(p.astype(np.uint8), (len(mean), 1))
    if dtype == "int8":
        return np.clip(p - normalise.round_half_away(mean)[:, None], -128, 127).astype(np.int8)
    less, factor, plus = normalise.terms(mean, std, scale, gain, shift)[:, :, None]
    value = p.astype(np.float32) - less
    if ratio:
        value = value / np.asarray(std, np.float32)[:, None] * np.float32(scale)
    else:
        value = value * factor + plus
    if dtype == "bfloat16":
        return normalise.bfloat16(value)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return value.astype(np.float16).view(np.uint16)
    return value
