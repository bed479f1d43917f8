"""Some rows of a batch in one call without the GIL: decode, window, colours, values.

Whatever it does not do itself it calls by address: so it is compiled once for every decoder and
every output, and what a job does not need is not compiled at all. Rows that it leaves are made by
`augment`, which knows every plan.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types

from gpuio.kernels.cpu.clock import now_ns
from gpuio.kernels.cpu.window import COLOUR, DONE
from gpuio.kernels.image_header import HEADER
from gpuio.kernels.jit import inner, kernel
from gpuio.kernels.plan.layout import BILINEAR, NEAREST, PLAN
from gpuio.kernels.pointers import caller, view

__all__ = [
    "BYTES",
    "CENTRED",
    "DECODE",
    "DOUBTED",
    "FINISH",
    "FLOATS",
    "HALVES",
    "HEADERS",
    "HLS",
    "IMAGE",
    "JITTER",
    "JOB",
    "LEFT",
    "MADE",
    "MARGIN",
    "NO_IMAGE",
    "PCA",
    "RATIOS",
    "WARNED",
    "WINDOW",
    "make_share",
    "plain_sampling",
    "region",
    "rows_decoded",
]

MARGIN = 2  # pixels beyond those needed: chroma upsampling looks at its neighbours
MADE, LEFT, NO_IMAGE, WARNED, DOUBTED = range(5)  # what became of a row
FLOATS, HALVES, BYTES, CENTRED, RATIOS = range(5)  # how values are written: see FINISH

JOB = np.dtype(
    [
        ("decode", np.int64),  # address of a DECODE; 0: rows are decoded already
        ("window", np.int64),  # address of make_window
        ("finish", np.int64),  # address of a FINISH
        (
            "image",
            np.int64,
        ),  # address of an IMAGE, which makes crops of images; 0: they get a window
        ("jitter", np.int64),  # addresses of the colour steps; 0: rows that need one are left
        ("hls", np.int64),
        ("pca", np.int64),
        ("handle", np.int64),  # this thread's decoder
        ("pixels", np.int64),  # address of the pixels' memory
        ("out", np.int64),  # address of the first row's values
        ("out_step", np.int64),  # bytes from row to row
        ("kind", np.int64),  # of FINISH
        ("channels", np.int64),
        ("height", np.int64),
        ("width", np.int64),
        ("by_c", np.int64),  # strides of the values, in elements
        ("by_y", np.int64),
        ("by_x", np.int64),
        ("past", np.int64),  # FLOATS are written past the caches
        ("brain", np.int64),  # HALVES are bfloat16
        ("wide", np.int64),  # RATIOS have a mean image
        ("own", np.int64),  # a row's gain and shift take part
        ("low", np.int64),  # BYTES are clamped to these
        ("high", np.int64),
        ("clock", np.int64),  # address of the C library's clock; 0: nothing is timed
    ],
    align=True,
)

_LONG = 4096  # bytes of an encoded image that is timed always; of shorter ones
_TIMED = 8  # one row in so many is, and stands for all: reading a clock may be slow

_int = types.int64
_bytes, _floats = types.uint8[::1], types.float32[::1]
_table, _image = types.float32[:, ::1], types.float32[:, :, ::1]
_pixels = types.uint32[::1]
_plan = numba.from_dtype(PLAN)[::1]
HEADERS = numba.from_dtype(HEADER)[::1]
_shape = (_int,) * 6

# the signatures of what is called by address
DECODE = types.int64(*(_int,) * 14)
WINDOW = types.int64(
    _plan, _int, _bytes, _int, _int, _int, _bytes, types.int32[::1], types.int16[::1], _bytes
)
FINISH = {
    FLOATS: types.void(_pixels, _table, types.boolean, _floats, *_shape),
    HALVES: types.void(_pixels, _table, types.boolean, types.uint16[::1], *_shape),
    BYTES: types.void(_pixels, types.int32[::1], _int, _int, _bytes, *_shape),
    CENTRED: types.void(_pixels, _image, _table, types.boolean, _floats, *_shape),
    RATIOS: types.void(_pixels, _image, types.boolean, _table, types.boolean, _floats, *_shape),
}
IMAGE = types.void(_bytes, _int, _int, types.boolean, _table, types.boolean, _floats, _int, _int)
JITTER = types.void(_pixels, _int, types.int32[::1], _floats)
HLS = types.void(_pixels, types.int32[::1])
PCA = types.void(_pixels, _floats)

_decode, _make_window = caller(DECODE), caller(WINDOW)
_finish_32, _finish_16, _finish_8 = (caller(FINISH[kind]) for kind in (FLOATS, HALVES, BYTES))
_image_32 = caller(IMAGE)
_finish_centred, _finish_ratio = caller(FINISH[CENTRED]), caller(FINISH[RATIOS])
_jitter, _hls, _pca = caller(JITTER), caller(HLS), caller(PCA)
_bytes_at, _halves_at = view(types.uint8), view(types.uint16)
_floats_at = view(types.float32)


@inner
def _is_window(row, height, width):
    """Say whether a row is one window of one resize, and colour steps at most."""
    if row.orient > 1 or row.warp_h > 0 or row.pad > 0 or row.upscale1_h > 0 or row.upscale2_h > 0:
        return False
    if row.pre_colour != 0 or row.flip != 0 or row.expand_h > 0 or row.letterbox_h > 0:
        return False
    if row.post_affine_on != 0 or row.tone_count != 0 or row.erase_h > 0:
        return False
    if row.src_h < 1 or row.src_w < 1 or row.crop_h < 1 or row.crop_w < 1:
        return False
    dst_h, dst_w, inter = row.resize_h, row.resize_w, row.resize_inter
    if dst_h == 0:
        dst_h, dst_w = row.src_h, row.src_w
    bottom, right = np.int64(row.crop_y) + row.crop_h, np.int64(row.crop_x) + row.crop_w
    if row.crop_y < 0 or row.crop_x < 0 or bottom > dst_h or right > dst_w:
        return False
    src_h, src_w = row.src_h, row.src_w
    if row.crop_h != height or row.crop_w != width:
        if dst_h != src_h or dst_w != src_w:
            return False
        src_h, src_w, dst_h, dst_w = row.crop_h, row.crop_w, height, width
        inter = row.crop_inter
    if dst_h == src_h and dst_w == src_w:
        return True
    half = src_h == 2 * dst_h and src_w == 2 * dst_w
    return inter == NEAREST or (inter == BILINEAR and not half)


@inner
def _span(start, count, src, dst):
    """Return the pixels [first, last) that `count` of a resize read; a few more."""
    if src == dst:
        return start, start + count
    scale = float(src) / float(dst)
    first, last = math.floor(start * scale) - 1, math.ceil((start + count) * scale) + 2
    return max(first, 0), min(last, src)


@inner
def _rows_needed(row, height, width):
    """Return how many rows of the image its plan reads, from the top; 0 if it may be all.

    The backend's rule for plans of one window: what lies below is not looked at, damaged or not.
    """
    stop = np.int64(row.crop_y) + row.crop_h
    reach = stop
    if row.resize_h != 0:
        if row.crop_h != height or row.crop_w != width:
            return np.int64(0)
        scale = float(row.src_h) / float(row.resize_h)
        reach = np.int64(math.ceil(stop * scale)) + 2
    return reach if 64 * reach < 63 * np.int64(row.src_h) else np.int64(0)


@inner
def plain_sampling(header):
    """Return a JPEG's sampling factors if the decoder may have it, else 0.

    Parameters
    ----------
    header : HEADER[()]
    """
    sequential = header.frame == 0xC0 or header.frame == 0xC1
    if not sequential or header.bits != 8 or header.one_scan == 0:
        return np.int64(0)
    if header.channels != 1 and header.channels != 3:
        return np.int64(0)
    return np.int64(header.sampling)


@inner
def region(row, height, width):
    """Return what the window of a row reads: top, stop, left, right, as DECODE takes them.

    `stop` is 0 where what lies below is looked at, damaged or not. Rows that are not a window of
    one resize read the whole image: 0, 0, 0, src_w.
    """
    if not _is_window(row, height, width):
        return _int(0), _int(0), _int(0), _int(row.src_w)
    dst_h, dst_w = row.resize_h, row.resize_w
    if dst_h == 0:
        dst_h, dst_w = row.src_h, row.src_w
    top, _ = _span(np.int64(row.crop_y), row.crop_h, row.src_h, dst_h)
    left, right = _span(np.int64(row.crop_x), row.crop_w, row.src_w, dst_w)
    return _int(top), _rows_needed(row, height, width), _int(left), _int(right)


@inner
def rows_decoded(blob, sampling, early, top, stop, scale, full, height):
    """Return the rows [first, last) that a DECODE writes.

    Parameters
    ----------
    blob : uint8[length]        the encoded image
    sampling, early, top, stop, scale
                                of the DECODE
    full : int                  height that the header says
    height : int                of the image at 1 / scale
    """
    last, tall = height, 1
    for c in range(4):
        tall = max(tall, (sampling >> (8 * c)) & 15)
    if stop > 0 and early != 0 and blob[blob.size - 2] == 0xFF and blob[blob.size - 1] == 0xD9:
        # as far as a shortened JPEG is decoded, and where shortening is worth it only
        reach = stop if scale == 1 else (stop + MARGIN) * scale
        block = 8 * tall
        keep = (reach + MARGIN + block - 1) // block * block
        if 64 * keep <= 63 * full:
            last = min(height, stop + MARGIN)
    return max(_int(0), top - MARGIN), last


@inner
def _decoded(job, row, blob, length, header, scale):
    """Decode what a row's window reads to its place in the pixels' memory; 0 if it was done."""
    top, stop, left, right = region(row, job.height, job.width)
    return _decode(
        job.decode,
        (
            job.handle, blob, length, np.int64(row.src_h), np.int64(row.src_w), job.channels,
            plain_sampling(header), np.int64(header.shortens), top, stop, left, right, scale,
            job.pixels,
        ),
    )  # fmt: skip


@inner
def _decoded_to(job, row, blob, length, header, place):
    """Decode all of an image to a place; 0 if it was done."""
    zero = np.int64(0)
    height, width = np.int64(row.src_h), np.int64(row.src_w)
    return _decode(
        job.decode,
        (
            job.handle, blob, length, height, width, job.channels, plain_sampling(header),
            zero, zero, zero, zero, width, np.int64(1), place,
        ),
    )  # fmt: skip


@inner
def _coloured(job, row, window, order, number):
    """Take the colour steps of a row, in place; False if one of them is not there."""
    if job.channels == 1:
        return False
    if (row.jitter != 0 and job.jitter == 0) or (row.hls_on != 0 and job.hls == 0):
        return False
    if row.pca_on != 0 and job.pca == 0:
        return False
    if row.jitter != 0:
        for k in range(3):
            order[k], number[k] = row.jitter_order[k], row.jitter_gain[k]
        _jitter(job.jitter, (window, job.channels, order, number))
    if row.hls_on != 0:
        for k in range(3):
            order[k] = row.hls[k]
        _hls(job.hls, (window, order))
    if row.pca_on != 0:
        for k in range(3):
            number[k] = row.pca[k]
        _pca(job.pca, (window, number))
    return True


@inner
def _fill_terms(job, row, given, terms):
    """Fill in mean, factor and shift of each channel for a row."""
    gain, shift = np.float32(1), np.float32(0)
    if job.own != 0:
        gain, shift = row.gain, row.shift
    for k in range(job.channels):
        terms[0, k] = given[0, k]
        terms[1, k] = np.float32(gain * given[2, k]) / given[1, k]
        terms[2, k] = np.float32(shift * given[2, k]) / given[1, k]


@inner
def _write_crop(job, row, source, out, given, terms):
    """Write the values of a row that is a crop of its image; return False where it is not one."""
    if job.image == 0 or row.crop_h != job.height or row.crop_w != job.width:
        return False
    if row.resize_h != 0 and (row.resize_h != row.src_h or row.resize_w != row.src_w):
        return False
    if row.jitter != 0 or row.hls_on != 0 or row.pca_on != 0:
        return False
    pitch = 3 * np.int64(row.src_w)
    base = row.crop_y * pitch + 3 * np.int64(row.crop_x)
    if (row.crop_y + job.height) * pitch > source.size:
        return False
    _fill_terms(job, row, given, terms)
    values = _floats_at(out, 3 * job.height * job.width)
    _image_32(
        job.image,
        (
            source, base, pitch, row.mirror != 0, terms, job.past != 0, values,
            job.height, job.width,
        ),
    )  # fmt: skip
    return True


@inner
def _write(job, row, window, out, given, whole, centre, terms):
    """Write a finished window as values."""
    kind, size = job.kind, job.channels * job.height * job.width
    shape = job.channels, job.height, job.width, job.by_c, job.by_y, job.by_x
    c, h, w, by_c, by_y, by_x = shape
    if kind == BYTES:
        _finish_8(
            job.finish,
            (window, whole, job.low, job.high, _bytes_at(out, size), c, h, w, by_c, by_y, by_x),
        )
        return
    mirror = row.mirror != 0
    if kind == RATIOS:
        values = _floats_at(out, size)
        _finish_ratio(
            job.finish,
            (window, centre, job.wide != 0, given[1:], mirror, values, c, h, w, by_c, by_y, by_x),
        )
        return
    _fill_terms(job, row, given, terms)
    if kind == FLOATS:
        values = _floats_at(out, size)
        _finish_32(job.finish, (window, terms, job.past != 0, values, c, h, w, by_c, by_y, by_x))
    elif kind == HALVES:
        halves = _halves_at(out, size)
        _finish_16(job.finish, (window, terms, job.brain != 0, halves, c, h, w, by_c, by_y, by_x))
    else:
        values = _floats_at(out, size)
        _finish_centred(
            job.finish, (window, centre, terms, mirror, values, c, h, w, by_c, by_y, by_x)
        )


@inner
def _weight(job, i, length):
    """Return for how many rows the time of row `i` stands; 0: it is not timed."""
    if job.clock == 0:
        return np.int64(0)
    if length >= _LONG:
        return np.int64(1)
    return np.int64(_TIMED if i % _TIMED == 0 else 0)


@kernel(
    types.int64(
        numba.from_dtype(JOB)[::1],
        _plan,
        types.int64[::1],
        types.int64[::1],
        HEADERS,
        types.int64[::1],
        _bytes,
        _bytes,
        _pixels,
        types.int32[::1],
        types.int16[::1],
        _bytes,
        _table,
        types.int32[::1],
        _image,
        _table,
        types.int32[::1],
        _floats,
        types.int64[::1],
        _bytes,
        types.int64[::1],
        types.int64[::1],
        types.boolean[::1],
    ),
    "../pointers",
    "clock",
    "window",
)
def make_share(
    jobs, rows, blobs, lengths, headers, scales, pixels, window_bytes, window, taps, lanes, tail,
    given, whole, centre, terms, order, number, spent, done, known, keep, kept,
):  # fmt: skip
    """Make rows of a batch; rows of other plans, and those that a decoder refuses, are left.

    Parameters
    ----------
    jobs : JOB[1]
    rows : PLAN[n]
    blobs : int64[n]            addresses of the encoded images, 0 where a row has none; or, where
                                JOB.decode is 0, of pixels, uint8[size], as `make_window` wants them
    lengths : int64[n]          bytes of each
    headers : HEADER[n]         of the encoded images
    scales : int64[n]           each is decoded at 1 / scale, which makes it src_h x src_w
    pixels : uint8[m]           scratch, at JOB.pixels: rows of larger images are left
    window_bytes, window : uint8[height * width * 4], uint32[height * width]
                                scratch, the same memory
    taps, lanes, tail           scratch, as of `make_window`; rows that need more are left
    given : float32[3, C]       mean, std and scale of each output channel
    whole : int32[C]            what BYTES are less by
    centre : float32[C, H, W] or [C, 1, 1]
                                what CENTRED and RATIOS are less by
    terms : float32[3, C]       scratch
    order, number : int32[3], float32[3]
                                scratch
    spent : int64[2]            receives nanoseconds of decoding, and of all else, where JOB.clock
                                is given: of rows with long images, and of one of eight others,
                                eight times
    done : uint8[n]             receives MADE, LEFT, NO_IMAGE, or WARNED: left, because the decoder
                                warns of the image's data; or DOUBTED: left for another reason, and
                                the decoder warns of data that the window does not need
    known : int64[n]            addresses of images that were decoded before, uint8[src_h, src_w,
                                channels]: blobs and lengths are not looked at; 0 for the others
    keep : int64[n]             addresses at which whole decoded images are to stay; 0: none. Not
                                looked at where JOB.decode is 0
    kept : bool[n]              receives true where one does; rows that are left may have one, too

    Returns
    -------
    int     how many rows are not MADE
    """
    job = jobs[0]
    left, begun, decoded = 0, np.int64(0), np.int64(0)
    spent[:] = 0
    for i in range(rows.size):
        row = rows[i]
        left += 1
        done[i] = NO_IMAGE
        if blobs[i] == 0 and known[i] == 0:
            continue
        done[i] = LEFT
        keeps = job.decode != 0 and known[i] == 0 and keep[i] != 0
        windowed = _is_window(row, job.height, job.width)
        if not windowed and not keeps:
            continue
        weight = _weight(job, i, lengths[i])
        if weight != 0:
            begun = now_ns(job.clock)
        size = np.int64(row.src_h) * row.src_w * job.channels
        if keeps:
            code = _decoded_to(job, row, blobs[i], lengths[i], headers[i], keep[i])
            kept[i] = code == 0
            if code == WARNED:
                done[i] = DOUBTED
            if weight != 0:
                decoded = now_ns(job.clock)
                spent[0] += weight * (decoded - begun)
                begun = decoded
        if not windowed:
            continue
        if known[i] != 0:
            source = _bytes_at(known[i], size)
        elif kept[i]:
            source = _bytes_at(keep[i], size)
        elif job.decode != 0:
            if size > pixels.size:
                continue
            code = _decoded(job, row, blobs[i], lengths[i], headers[i], scales[i])
            if weight != 0:
                decoded = now_ns(job.clock)
                spent[0] += weight * (decoded - begun)
                begun = decoded
            if code != 0:
                if code == WARNED:
                    done[i] = WARNED
                continue
            source = pixels[:size]
        else:
            source = _bytes_at(blobs[i], lengths[i])
        out = job.out + i * job.out_step
        if not _write_crop(job, row, source, out, given, terms):
            code = _make_window(
                job.window,
                (
                    rows, i, source, job.channels, job.height, job.width,
                    window_bytes, taps, lanes, tail,
                ),
            )  # fmt: skip
            if code == COLOUR:
                if not _coloured(job, row, window, order, number):
                    continue
            elif code != DONE:
                continue
            _write(job, row, window, out, given, whole, centre, terms)
        if weight != 0:
            spent[1] += weight * (now_ns(job.clock) - begun)
        done[i] = MADE
        left -= 1
    return left
