"""Blocks of a JPEG to pixels at an eighth of its size, to the bit as libjpeg makes them.

A block of luma is one pixel; one of 4:2:0's chroma is 2 x 2. Arithmetic has 32 bits; numbers that
libjpeg-turbo's vector code, with 16, or its tables would cut off are reported, and no picture has
them. Written in portable IR, as `vector`, and for its reasons.

Kernels that use this module name it as a source, and `vector`. Source: libjpeg-turbo 3.0,
jidctred.c, jdcolor.c.
"""

# ruff: noqa: ARG001 -- Numba hands an intrinsic its types by name
from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gpuio.kernels.cpu.vector import lanes, mask

__all__ = ["DOUBLED", "ONE_ROW", "PIXELS", "TWO_ROWS", "colours", "mean_pixels", "small_block"]

ONE_ROW, DOUBLED, TWO_ROWS = range(3)  # see `mean_pixels`
PIXELS = 16  # that are made at a time

_int = types.int64
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FIRST_SHIFT, _SECOND_SHIFT = 13, 20  # behind a column, and behind a row
_SAFE = 14  # bits of a number between them, without its sign: its sums have 32


def _all(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def _vector(builder, address, kind, index=0):
    """Return a pointer to vector `index` at an address."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [_I64(index)])


def _spread(builder, value, kind):
    """Return a whole number in all lanes."""
    none = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(none, builder.trunc(value, kind.element), _I32(0))
    return builder.shuffle_vector(one, none, mask(*[0] * kind.count))


def _reduced(builder, vector, how):
    """Return one number of a vector's: "add" or "or"."""
    kind = vector.type
    name = f"llvm.vector.reduce.{how}.v{kind.count}i{kind.element.width}"
    function = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(kind.element, [kind]))
    return builder.call(function, [vector])


def _beyond(builder, vector, bits):
    """Return what is not 0 where a number is not within [-2**bits, 2**bits)."""
    kind = vector.type
    moved = builder.add(vector, _all(kind, 1 << bits))
    return builder.lshr(moved, _all(kind, bits + 1))


def _cut(builder, vector):
    """Return whole numbers cut to 0 to 255, as bytes."""
    for order, limit in (("<", 0), (">", 255)):
        end = _all(vector.type, limit)
        vector = builder.select(builder.icmp_signed(order, vector, end), end, vector)
    return builder.trunc(vector, lanes(8, vector.type.count))


@intrinsic(prefer_literal=True)
def mean_pixels(typing, order, means, quantum, to, pitch):
    """Make the pixels of 16 blocks, or of 32.

    Parameters
    ----------
    order : {ONE_ROW, DOUBLED, TWO_ROWS}
                        a constant: a block is a pixel; it is two, side by side; the blocks are
                        those of 8 units of 2 x 2, one unit after the other
    means : int         address of int32[16], or, for two rows, [32]
    quantum : int
    to : int            address of 16 or 32 bytes; of two rows 16 each
    pitch : int         bytes from the first row to the second

    Returns
    -------
    int                 0, or not 0 where one is no pixel's
    """
    shape = order.literal_value

    def generate(context, builder, signature, args):
        _, means, quantum, to, pitch = args
        kind = lanes(32, PIXELS)
        quanta = _spread(builder, quantum, kind)
        made, bad = [], []
        for part in range(2 if shape == TWO_ROWS else 1):
            mean = builder.load(_vector(builder, means, kind, part), align=4)
            value = builder.add(builder.mul(mean, quanta), _all(kind, 4))
            value = builder.ashr(value, _all(kind, 3))
            bad += [_beyond(builder, mean, 15), _beyond(builder, value, 9)]
            made.append(_cut(builder, builder.add(value, _all(kind, 128))))
        if shape == ONE_ROW:
            rows = made
        elif shape == DOUBLED:
            index = [k // 2 for k in range(2 * PIXELS)]
            rows = [builder.shuffle_vector(made[0], made[0], mask(*index))]
        else:
            units = [range(row, 2 * PIXELS, 4) for row in (0, 2)]
            rows = [
                builder.shuffle_vector(*made, mask(*(k + j for k in unit for j in range(2))))
                for unit in units
            ]
        for row in rows:
            builder.store(row, _vector(builder, to, row.type), align=1)
            to = builder.add(to, pitch)
        total = bad[0]
        for one in bad[1:]:
            total = builder.or_(total, one)
        return builder.zext(_reduced(builder, total, "or"), _I64)

    return _int(order, _int, _int, _int, _int), generate


@intrinsic
def small_block(typing, block, to, pitch):
    """Make the 2 x 2 pixels of a block, and leave zeros in it.

    Parameters
    ----------
    block : int         address of int32[5, 8]: the rows 0, 1, 3, 5, 7 of its coefficients; of the
                        columns 2, 4, 6 zeros
    to, pitch : int     address of two bytes, and how many behind it two more go

    Returns
    -------
    int                 0, or not 0 where a number is too large
    """

    def generate(context, builder, signature, args):
        block, to, pitch = args
        kind = lanes(32, 8)
        rows = [builder.load(_vector(builder, block, kind, k), align=4) for k in range(5)]
        for k in range(5):
            builder.store(_all(kind, 0), _vector(builder, block, kind, k), align=4)
        odd = None
        for row, factor in zip(rows[1:], (29692, -10426, 6967, -5906), strict=True):
            part = builder.mul(row, _all(kind, factor))
            odd = part if odd is None else builder.add(odd, part)
        even = builder.shl(rows[0], _all(kind, 15))
        even = builder.add(even, _all(kind, 1 << (_FIRST_SHIFT - 1)))
        shift = _all(kind, _FIRST_SHIFT)
        halves = [
            builder.ashr(half, shift) for half in (builder.add(even, odd), builder.sub(even, odd))
        ]
        bad = builder.or_(*(_beyond(builder, half, _SAFE) for half in halves))
        bad = _reduced(builder, bad, "or")
        factors = (29692, 0, -10426, 0, 6967, 0, -5906)
        for half in halves:
            for sign in (1, -1):
                factor = ir.Constant(kind, [1 << 15, *(sign * one for one in factors)])
                total = _reduced(builder, builder.mul(half, factor), "add")
                total = builder.add(total, _I32(1 << (_SECOND_SHIFT - 1)))
                value = builder.ashr(total, _I32(_SECOND_SHIFT))
                moved = builder.add(value, _I32(512))
                bad = builder.or_(bad, builder.lshr(moved, _I32(10)))
                value = builder.add(value, _I32(128))
                for order, limit in (("<", _I32(0)), (">", _I32(255))):
                    below = builder.icmp_signed(order, value, limit)
                    value = builder.select(below, limit, value)
                place = builder.inttoptr(to, ir.IntType(8).as_pointer())
                place = builder.gep(place, [_I64(0 if sign == 1 else 1)])
                builder.store(builder.trunc(value, ir.IntType(8)), place)
            to = builder.add(to, pitch)
        return builder.zext(bad, _I64)

    return _int(_int, _int, _int), generate


@intrinsic
def colours(typing, y, blue, red, to):
    """Write 16 pixels B G R of 16 values of each component.

    Parameters
    ----------
    y, blue, red : int      addresses of Y, Cb, Cr, 16 bytes each
    to : int                address of 48 bytes
    """

    def generate(context, builder, signature, args):
        byte, half, word = (lanes(width, PIXELS) for width in (8, 16, 32))

        def values(place, less):
            value = builder.load(_vector(builder, place, byte), align=1)
            return builder.sub(builder.zext(value, half), _all(half, less))

        y, blue, red = values(args[0], 0), values(args[1], 128), values(args[2], 128)

        def scaled(value, factor):
            """Return (value * factor + 32768) >> 16, factor below 32768 either way."""
            twice = builder.sext(builder.add(value, value), word)
            high = builder.ashr(builder.mul(twice, _all(word, factor)), _all(word, 16))
            high = builder.add(builder.trunc(high, half), _all(half, 1))
            return builder.ashr(high, _all(half, 1))

        of_red = builder.add(red, scaled(red, 91881 - 65536))
        of_blue = builder.add(builder.add(blue, blue), scaled(blue, 116130 - 131072))
        green = builder.add(
            builder.mul(builder.sext(blue, word), _all(word, -22554)),
            builder.mul(builder.sext(red, word), _all(word, 65536 - 46802)),
        )
        green = builder.ashr(builder.add(green, _all(word, 32768)), _all(word, 16))
        green = builder.sub(builder.trunc(green, half), red)
        made = [_cut(builder, builder.add(y, one)) for one in (of_blue, green, of_red)]
        for part in range(3):
            first, second = [], []
            for k in range(PIXELS * part, PIXELS * (part + 1)):
                pixel, c = divmod(k, 3)
                first.append(pixel + PIXELS * c if c < 2 else 0)
                second.append(k % PIXELS if c < 2 else PIXELS + pixel)
            some = builder.shuffle_vector(made[0], made[1], mask(*first))
            some = builder.shuffle_vector(some, made[2], mask(*second))
            builder.store(some, _vector(builder, args[3], byte, part), align=1)
        return context.get_dummy_value()

    return types.void(_int, _int, _int, _int), generate
