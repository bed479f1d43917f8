"""Slots are found as they were noted, and what became of them since is noticed."""

import numpy as np
import pytest

from gpuio.kernels import slots
from gpuio.kernels.image_header import HEADER

HEAD = np.frombuffer(b"what stands in front of an image: 40 by.", np.uint8)
PIXELS = 1000


@pytest.fixture
def noted():
    """Three slots of one piece of memory: their offsets, the memory, what they hold."""
    size = slots.FRONT + 64 + 1024
    memory = np.full(4 * size, 7, np.uint8)
    base = -(-memory.ctypes.data // 64) * 64
    offsets = np.arange(3) * size
    headers = np.zeros(3, HEADER)
    headers["height"], headers["sampling"] = [4, 5, 6], 0x221111
    slots.note_slots(
        np.arange(3),
        base + offsets,
        np.array([5, 0, 2]),
        np.full(3, PIXELS),
        np.array([[HEAD.ctypes.data, HEAD.size, 12345]] * 3),
        headers.view(np.int32).reshape(3, -1),
    )
    slots.sum_slots(base + offsets)
    return memory, base, offsets


def look(base, offsets, states, positions, apart=()):
    found = np.empty((4, len(positions)), np.int64)
    count = slots.find_slots(
        base,
        offsets,
        states,
        np.array(apart, np.int64),
        np.array(positions, np.int64),
        *found,
    )
    return count, *found


def test_what_is_ready_is_found(noted):
    memory, base, offsets = noted
    of_rows = np.zeros(7, np.int64)
    of_rows[[5, 0, 2]] = offsets
    states = np.array([2, 0, 1, 2, 3, 2, 0], np.uint8)
    count, place, heads, lengths, pixels = look(base, of_rows, states, [5, -1, 2, 0, 1, 4])
    assert count == 2
    assert np.flatnonzero(place).tolist() == [0, 3]
    assert lengths.tolist() == [12345, 0, 0, 12345, 0, 0]
    at = heads[0] - memory.ctypes.data
    assert memory[at : at + HEAD.size].tobytes() == HEAD.tobytes()
    assert pixels[0] == heads[0] + 64
    assert slots.sizes(place[[0, 3]]).tolist() == [PIXELS, PIXELS]
    slot = memory[place[0] - memory.ctypes.data :][: slots.SLOT.itemsize].view(slots.SLOT)[0]
    assert (slot["row"], slot["height"], slot["sampling"]) == (5, 4, 0x221111)
    apart = np.arange(7) * 1000
    assert look(base, of_rows, states, [5, 0], apart)[4].tolist() == [5000, 0]


def checked(base, offsets, rows=(5, 0, 2), room=1 << 20):
    wrong = np.full(3, 9, np.uint8)
    rooms = np.full(3, room, np.int64)
    count = slots.check_slots(base + offsets, np.array(rows), rooms, wrong)
    assert count == wrong.sum()
    return wrong.tolist()


def test_a_changed_byte_anywhere_is_noticed(noted):
    memory, base, offsets = noted
    assert checked(base, offsets) == [0, 0, 0]
    start, size = base - memory.ctypes.data, slots.FRONT + 64 + 1024
    for at in range(0, size, 13):
        memory[start + at] ^= 0x10
        assert checked(base, offsets) == [1, 0, 0], at
        memory[start + at] ^= 0x10
    # two words that changed places
    words = memory[start + 640 : start + 656].view(np.uint64)
    memory[start + 640 : start + 648] = 1
    slots.sum_slots(base + offsets)
    words[:] = words[::-1].copy()
    assert checked(base, offsets) == [1, 0, 0]


def test_a_slot_of_another_row_or_without_room_is_wrong(noted):
    _, base, offsets = noted
    assert checked(base, offsets, rows=(5, 2, 0)) == [0, 1, 1]
    assert checked(base, offsets, room=slots.FRONT + 64 + 1023) == [1, 1, 1]
    assert checked(base, offsets, room=0) == [1, 1, 1]
    assert slots.check_slots(np.zeros(3, np.int64), offsets, offsets, np.zeros(3, np.uint8)) == 0


def test_every_page_is_touched(noted):
    memory, _, _ = noted
    memory[:] = 0
    memory[0] = memory[-1] = 1
    assert slots.touch(np.array([memory.ctypes.data, 0]), np.array([memory.size, 5])) == 2
