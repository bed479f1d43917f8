"""Which records of a damaged file must be found, reckoned apart from gpuio's own reader."""

from __future__ import annotations

import struct

import numpy as np
from mutants import MAGIC


def record_end(data, at):
    """Return the end of the record at a place, or None: written apart from gpuio's own reader."""
    first = True
    while at + 8 <= len(data):
        magic, word = struct.unpack_from("<II", data, at)
        flag, length = word >> 29, word & 0x1FFFFFFF
        at += 8 + (length + 3) // 4 * 4
        if magic != 0xCED7230A or at > len(data) or flag not in ((0, 1) if first else (2, 3)):
            return None
        if flag in (0, 3):
            return at
        first = False
    return None


class Expected:
    """Which records of a mutant must be found, and where."""

    def __init__(self, base, mutant):
        self.data = mutant.data.tobytes()
        origin = mutant.origin
        starts = np.flatnonzero(np.isin(origin, base.at))
        where = dict(zip(origin[starts].tolist(), starts.tolist(), strict=True))
        self.intact = {}
        for number, (at, size) in enumerate(zip(base.at, base.size, strict=True)):
            place = where.get(at)
            if place is not None and np.array_equal(
                origin[place : place + size], np.arange(at, at + size)
            ):
                self.intact[number] = place
        copied = self._find_hidden(base)
        self._promise(base, sorted({*where.values(), *copied}))

    def _find_hidden(self, base):
        """Note which intact records a damaged one hides, from hopping and from reading.

        Return where other records than the intact ones begin that a head or the end follows.
        """
        places = set(self.intact.values())
        spans = {place: place + base.size[number] for number, place in self.intact.items()}
        others = []
        at = self.data.find(MAGIC)
        while at >= 0:
            end = None if at in places else record_end(self.data, at)
            # what stands in an intact record's payload is no damaged record
            if end is not None and not any(a < at < b for a, b in spans.items()):
                others.append((at, end))
            at = self.data.find(MAGIC, at + 1)
        self.hidden, self.hidden_deep = set(), set()
        for number, place in self.intact.items():
            for begin, end in others:
                if begin < place < end:
                    if (place - begin) % 4:
                        self.hidden_deep.add(number)
                        self.hidden.add(number)
                    elif self._lands(end):
                        self.hidden.add(number)
        return [begin for begin, end in others if self._lands(end)]

    def _lands(self, end):
        if end + 8 > len(self.data):
            return end == len(self.data)
        magic, word = struct.unpack_from("<II", self.data, end)
        fits = end + 8 + (word & 0x1FFFFFFF) <= len(self.data)
        return magic == 0xCED7230A and word >> 29 in (0, 1) and fits

    def _promise(self, base, heads):
        """Note which intact records shifts leave findable; `heads`: where records still begin."""
        places = sorted(self.intact.values())
        residues = [place % 4 for place in heads]
        self.findable = set(self.intact)
        if not any(residues) and not (base.nested and len(self.data) % 4):
            return
        if base.nested:
            self.findable = set()  # what looks like a record may be part of a payload
            return
        steady = {0, len(self.data) % 4}
        turns = sum(a != b for a, b in zip([0, *residues], residues))  # noqa: B905
        first = next((place for place in heads if place % 4), len(self.data))
        for number, place in self.intact.items():
            end = place + base.size[number]
            chained = end == len(self.data) or end in places
            lost = turns > 1 and end > first
            if lost or place % 4 not in steady or not chained:
                self.findable.discard(number)

    def by_hopping(self):
        """Records that a search beside damage finds."""
        return self.findable - self.hidden

    def by_reading(self):
        """Records that reading every byte finds."""
        return self.findable - self.hidden_deep

    def in_place(self, base):
        """Records that still stand where the index says."""
        return {number for number, place in self.intact.items() if place == base.at[number]}
