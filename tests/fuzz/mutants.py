"""Damage done to bytes, and where each byte of the result came from."""

from __future__ import annotations

import struct

import numpy as np

MAGIC = bytes.fromhex("0a23d7ce")


class Mutant:
    """Bytes on their way to damage; `origin` says which byte of the original each one is, or -1."""

    def __init__(self, data):
        self.data = np.frombuffer(data, np.uint8).copy()
        self.origin = np.arange(len(data))

    def put(self, at, new):
        """Overwrite bytes."""
        new = np.frombuffer(bytes(new), np.uint8)[: max(0, len(self.data) - at)]
        self.data[at : at + len(new)] = new
        self.origin[at : at + len(new)] = -1

    def splice(self, at, end, new=b""):
        """Replace [at, end) by other bytes."""
        new = np.frombuffer(bytes(new), np.uint8)
        self.data = np.concatenate([self.data[:at], new, self.data[end:]])
        gap = np.full(len(new), -1)
        self.origin = np.concatenate([self.origin[:at], gap, self.origin[end:]])

    def swap(self, a, b, c, d):
        """Exchange the blocks [a, b) and [c, d), b <= c."""
        order = np.r_[0:a, c:d, b:c, a:b, d : len(self.data)]
        self.data, self.origin = self.data[order], self.origin[order]


def mutate(rng, data, heads):
    """Return a mutant of a record file, of one to three changes."""
    mutant = Mutant(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        size = len(mutant.data)
        if size == 0:
            break
        at = rng.choice(heads) if heads and rng.random() < 0.4 else rng.randrange(size)
        at = min(at + rng.choice((0, 0, 0, 1, 4, 5, 7, 8)), size - 1)
        count = min(rng.choice((1, 2, 3, 4, 8, 20, 64, 300)), size - at)
        CHANGES[rng.randrange(len(CHANGES))](rng, mutant, at, count, heads)
    return mutant


def _flip(rng, mutant, at, count, heads):
    mutant.put(at, [mutant.data[at] ^ (1 << rng.randrange(8))])


def _noise(rng, mutant, at, count, heads):
    mutant.put(at, rng.randbytes(count))


def _zeros(rng, mutant, at, count, heads):
    mutant.put(at, bytes(count))


def _cut(rng, mutant, at, count, heads):
    mutant.splice(at, at + count)


def _cut_end(rng, mutant, at, count, heads):
    mutant.splice(at, len(mutant.data))


def _insert(rng, mutant, at, count, heads):
    kinds = (bytes(count), rng.randbytes(count), MAGIC, MAGIC + struct.pack("<I", count), MAGIC * 3)
    mutant.splice(at, at, rng.choice(kinds))


def _append(rng, mutant, at, count, heads):
    end = len(mutant.data)
    mutant.splice(end, end, rng.choice((bytes(count), rng.randbytes(count), MAGIC[: count % 5])))


def _copy(rng, mutant, at, count, heads):
    source = rng.randrange(len(mutant.data))
    mutant.put(at, mutant.data[source : source + count].tobytes())


def _repeat(rng, mutant, at, count, heads):
    source = rng.choice(heads) if heads else at
    mutant.splice(at, at, mutant.data[source : source + count].tobytes())


def _swap(rng, mutant, at, count, heads):
    places = sorted(rng.choice(heads) if heads else rng.randrange(at + 1) for _ in range(3))
    a, b, c = (min(place + rng.choice((0, 0, 0, 3)), len(mutant.data)) for place in places)
    mutant.swap(a, b, max(b, c), min(max(b, c) + count, len(mutant.data)))


def _length(rng, mutant, at, count, heads):
    head = rng.choice(heads) if heads else at
    other = rng.choice(heads) if heads else at
    value = rng.choice((0, 1, count, max(other - head - 8, 0), 0x1FFFFFFF, rng.getrandbits(29)))
    old = struct.unpack("<I", mutant.data[head + 4 : head + 8].tobytes().ljust(4, b"\0"))[0]
    near = max(0, old + rng.choice((-8, -4, -1, 1, 4, 8, 40)))
    mutant.put(head + 4, struct.pack("<I", rng.choice((value, near & 0xFFFFFFFF))))


def _flag(rng, mutant, at, count, heads):
    head = rng.choice(heads) if heads else at
    if head + 8 <= len(mutant.data):
        low = int(mutant.data[head + 7]) & 0x1F
        mutant.put(head + 7, [low | rng.randrange(8) << 5])


CHANGES = (
    *(_flip, _noise, _zeros, _cut, _cut_end, _insert, _append, _copy, _repeat, _swap),
    *(_length, _length, _flag),
)


def mutate_text(rng, text):
    """Return a mutant of an index, a list or a file of checksums."""
    lines = text.split(b"\n")
    kind = rng.randrange(5)
    if kind == 0:
        rng.shuffle(lines)
    elif kind == 1:
        del lines[rng.randrange(len(lines))]
    elif kind == 2:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    elif kind == 3:
        words = (
            b"",
            b"\0\0",
            b"-1\t-1",
            b"1\t99999999999999999999",
            b"a b c",
            b"\xff\xfe",
            b"0 0 0",
        )
        lines[rng.randrange(len(lines))] = rng.choice(words)
    text = b"\n".join(lines)
    return mutate(rng, text, []).data.tobytes() if kind == 4 else text
