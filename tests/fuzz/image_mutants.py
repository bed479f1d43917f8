"""Damage encoded images: blind edits of bytes, and edits that keep the format's frame intact."""

import struct
import zlib

import numpy as np

_WORDS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF)
_LONGS = (0, 1, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_PNG = b"\x89PNG\r\n\x1a\n"


def mutate(rng, blob, pool):
    """Return `blob` after 1 to 6 random edits, mostly few; `pool` gives material to splice in."""
    data = bytearray(blob)
    for _ in range(min(6, int(rng.geometric(0.5)))):
        if not data:
            return bytes(data)
        edit = _EDITS[int(rng.integers(len(_EDITS)))]
        edit(rng, data, pool)
    if data[:8] == _PNG and rng.random() < 0.8:
        return _with_checksums(bytes(data))
    return bytes(data)


def _at(rng, data):
    """A place in the data: half of the time in its headers."""
    high = min(len(data), 700) if rng.random() < 0.5 else len(data)
    return int(rng.integers(high))


def _span(rng, data):
    start = _at(rng, data)
    return start, min(len(data), start + 1 + int(rng.integers(64)) ** 2 // 16)


def _flip(rng, data, _):
    data[_at(rng, data)] ^= 1 << int(rng.integers(8))


def _byte(rng, data, _):
    data[_at(rng, data)] = int(rng.integers(256))


def _word(rng, data, _):
    at, order = _at(rng, data), "><"[int(rng.integers(2))]
    data[at : at + 2] = struct.pack(f"{order}H", int(rng.choice(_WORDS)))


def _long(rng, data, _):
    at, order = _at(rng, data), "><"[int(rng.integers(2))]
    data[at : at + 4] = struct.pack(f"{order}I", int(rng.choice(_LONGS)))


def _cut(rng, data, _):
    del data[_at(rng, data) :]


def _remove(rng, data, _):
    start, stop = _span(rng, data)
    del data[start:stop]


def _repeat(rng, data, _):
    start, stop = _span(rng, data)
    data[stop:stop] = bytes(data[start:stop]) * int(rng.choice([1, 1, 2, 40]))


def _noise(rng, data, _):
    start, stop = _span(rng, data)
    data[start:stop] = rng.bytes(stop - start)


def _zeros(rng, data, _):
    start, stop = _span(rng, data)
    data[start:stop] = bytes(stop - start)


def _swap(rng, data, _):
    (a, b), (c, d) = sorted((_span(rng, data), _span(rng, data)))
    if b <= c:
        data[a:d] = data[c:d] + data[b:c] + data[a:b]


def _splice(rng, data, pool):
    other = pool[int(rng.integers(len(pool)))]
    if other:
        data[_at(rng, data) :] = other[_at(rng, other) :]


def _marker(rng, data, _):
    """Change a JPEG marker, or put one in."""
    found = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1]]
    marker = int(rng.choice([0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xCA, 0xD0, 0xD8, 0xD9, 0xDA,
                             0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE, 0x00, 0xFF]))  # fmt: skip
    if found and rng.random() < 0.7:
        data[found[int(rng.integers(len(found)))] + 1] = marker
    else:
        at = _at(rng, data)
        data[at:at] = bytes([0xFF, marker])


def _scan(rng, data, _):
    """Repeat a JPEG's last scan."""
    at = data.rfind(b"\xff\xda")
    if at >= 0:
        data[-2:-2] = bytes(data[at:-2]) * int(rng.choice([1, 3, 30, 120]))


def _size(rng, data, _):
    """Change the size in a JPEG's frame header, or a PNG's."""
    small = [0, 1, 3, 17, 55, 57, 200, 3000, 65500, 65535]
    for marker in (b"\xff\xc0", b"\xff\xc2", b"\xff\xc9", b"\xff\xca"):
        at = data.find(marker)
        if at >= 0:
            place = at + int(rng.choice([5, 7]))
            data[place : place + 2] = struct.pack(">H", int(rng.choice(small)))
            return
    if data[:8] == _PNG and len(data) > 24:
        place = int(rng.choice([16, 20]))
        data[place : place + 4] = struct.pack(">I", int(rng.choice([*small, 2**31 - 1, 2**32 - 1])))


_EDITS = (_flip, _flip, _byte, _byte, _word, _long, _cut, _remove, _repeat, _noise, _zeros, _swap,
          _splice, _marker, _scan, _size)  # fmt: skip


def _with_checksums(png):
    """Put the right checksum behind each chunk that is still whole."""
    made, at = bytearray(png), 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        stop = at + 8 + length
        if stop + 4 > len(png):
            break
        struct.pack_into(">I", made, stop, zlib.crc32(bytes(made[at + 4 : stop])))
        at = stop + 4
    return bytes(made)


def generator(seed, number):
    """The generator of one case: a case is the same whatever ran before it."""
    return np.random.default_rng([seed, number])
