"""`keys` of a large index does what a list of the keys does, and makes none before it must."""
# the operations as scripts write them, and all of their errors, are what is tested
# ruff: noqa: BLE001, E711, PLC3002, RUF005, RUF007, RUF061, SIM300

import array
import bisect
import copy
import pickle
import random
from collections import deque
from decimal import Decimal
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest

from gpuio.recordio.index_entries import Entries
from gpuio.recordio.key_list import KeyList, key_digest

KEYS = {
    "from 0": list(range(9000)),
    "from 1": list(range(1, 9001)),
    "any order": [7, 3, 10**14, -2, 5, *range(100, 9100, 2)],
    "repeated": [7, 3, 7, 3, 5, *range(100, 5000)],
    "one": [4],
    "none": [],
}


def key_list(keys):
    consecutive = keys == list(range(keys[0], keys[0] + len(keys))) if keys else True
    held = range(keys[0] if keys else 0, (keys[0] if keys else 0) + len(keys))
    held = held if consecutive else np.array(keys, np.int64)
    return KeyList(Entries(held, 8 * np.arange(len(keys))))


def outcome(operation, value):
    """What an operation returns or raises, and what it leaves behind."""
    try:
        found = operation(value)
    except Exception as error:
        found = (type(error), str(error))
    return found, list(value)


ASKED = {
    "len": len,
    "bool": bool,
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "star": lambda x: [*x],
    "dict.fromkeys": dict.fromkeys,
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "negative": lambda x: x[-4],
    "numpy place": lambda x: x[np.int64(2)],
    "true place": lambda x: x[True],
    "beyond": lambda x: x[10**6],
    "below": lambda x: x[-(10**6)],
    "slice": lambda x: x[2:9000:7],
    "backwards": lambda x: x[::-1],
    "all": lambda x: x[:],
    "nothing": lambda x: x[5:2],
    "text place": lambda x: x["a"],
    "float place": lambda x: x[1.0],
    "places": lambda x: x[[1, 2]],
    "type of slice": lambda x: type(x[:3]).__name__,
    "type of item": lambda x: {type(one) for one in [*x[:2], *x, *x[-1:]]},
    "reversed": lambda x: list(reversed(x)),
    "in": lambda x: [one in x for one in (7, -2, 0, 8999, 9000, 10**30, -(10**30))],
    "in, equal": lambda x: [one in x for one in (7.0, 7.5, True, np.int32(7), np.float64(7))],
    "in, odd": lambda x: [one in x for one in ("7", b"7", None, (7,), float("nan"), float("inf"))],
    "in, exotic": lambda x: [one in x for one in (7 + 0j, Fraction(7), Decimal(7), [7], mock.ANY)],
    "in, numpy": lambda x: [one in x for one in (np.bool_(True), np.str_("7"), np.array(7))],
    "index": lambda x: x.index(7),
    "index from": lambda x: x.index(7, 1),
    "index from to": lambda x: x.index(7, -(10**5), 2),
    "index to": lambda x: x.index(3, 0, -1),
    "index of none": lambda x: x.index("a"),
    "index missing": lambda x: x.index(-1),
    "count": lambda x: [x.count(one) for one in (7, 3, -1, "a", 7.0, 7.5)],
    "== list": lambda x: x == list(x),
    "== other": lambda x: [x == [], x == [*list(x), 1], x == [-9, *list(x)[1:]], x == tuple(x)],
    "list ==": lambda x: [list(x) == x, [] == x, [-9, *list(x)[1:]] == x],
    "!=": lambda x: [x != list(x), x != [], list(x) != x, x != None],
    "<": lambda x: [x < [5], x <= list(x), x > [5], x >= [5], [5] < x],
    "< number": lambda x: x < 5,
    "+": lambda x: x + [1],
    "list +": lambda x: [1] + x,
    "+ tuple": lambda x: x + (1,),
    "*": lambda x: [x * 2, 2 * x, x * 0],
    "repr": repr,
    "str": lambda x: f"{x}",
    "copy": lambda x: x.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda x: [pickle.loads(pickle.dumps(x, p)) for p in (0, 2, 5)],
    "isinstance": lambda x: [isinstance(x, list), isinstance(x, tuple), x.__class__.__name__],
    "enumerate": lambda x: list(enumerate(x))[-3:],
    "zip": lambda x: list(zip(x, x[1:], strict=False)),
    "array.array": lambda x: array.array("q", x),
    "deque": deque,
    "bisect": lambda x: bisect.bisect_left(x, 50),
    "sample": lambda x: random.Random(1).sample(x, 3),
    "choice": lambda x: random.Random(1).choice(x),
    "sum": sum,
    "hash": lambda x: pytest.raises(TypeError, hash, x).type,
    "extend": lambda x: (lambda made: (made.extend(x), made))([1]),
    "+=": lambda x: (lambda made: made.__iadd__(x))([1]),
    "assigned": lambda x: (lambda made: (made.__setitem__(slice(0, 1), x), made))([1, 2]),
}
CHANGED = {
    "set": lambda x: x.__setitem__(2, "a"),
    "set slice": lambda x: x.__setitem__(slice(1, 3), [5]),
    "set itself": lambda x: x.__setitem__(slice(1, 3), x),
    "set beyond": lambda x: x.__setitem__(10**6, 1),
    "del": lambda x: x.__delitem__(0),
    "del slice": lambda x: x.__delitem__(slice(1, None)),
    "append": lambda x: x.append("a"),
    "extend": lambda x: x.extend([1, 2]),
    "extend itself": lambda x: x.extend(x),
    "insert": lambda x: x.insert(1, 5),
    "pop": lambda x: x.pop(),
    "pop first": lambda x: x.pop(0),
    "pop beyond": lambda x: x.pop(10**6),
    "remove": lambda x: x.remove(7),
    "remove missing": lambda x: x.remove("a"),
    "reverse": lambda x: x.reverse(),
    "sort": lambda x: x.sort(),
    "sort by": lambda x: x.sort(key=lambda key: -key, reverse=True),
    "clear": lambda x: x.clear(),
    "shuffle": lambda x: random.Random(3).shuffle(x) if len(x) > 1 else x.sort(),
    "+=": lambda x: x.__iadd__([1]),
    "*=": lambda x: x.__imul__(2),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_of_it(name, keys):
    made = key_list(keys)
    found, expected = outcome(ASKED[name], made), outcome(ASKED[name], list(keys))
    assert repr(found) == repr(expected) if name == "deque" else found == expected
    if name not in ("in, exotic", "in, numpy"):
        assert made._made is None, "a list was made"
    made._list()
    found = outcome(ASKED[name], made)  # and of the list inside
    assert repr(found) == repr(expected) if name == "deque" else found == expected


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_it(name, keys):
    made = key_list(keys)
    assert outcome(CHANGED[name], made) == outcome(CHANGED[name], list(keys))
    assert made._entries is None
    assert type(copy.copy(made)) is KeyList
    again = pickle.loads(pickle.dumps(made))
    assert list(again) == list(copy.deepcopy(made)) == list(made)
    copy.copy(made).append(1)
    assert len(again) == len(made)


def test_a_copy_is_its_own():
    made = key_list(KEYS["from 0"])
    copied = copy.copy(made)
    copied.append(5)
    assert (len(made), len(copied)) == (9000, 9001)
    assert made != copied
    assert made == copy.copy(made)


def test_a_loop_sees_changes_as_that_of_a_list_does():
    for keys in KEYS.values():
        seen = []
        for values in (key_list(keys), list(keys)):
            seen.append([])
            for key in values:
                seen[-1].append(key)
                if len(seen[-1]) == 3:
                    values.pop()
                if len(seen[-1]) == 5:
                    values.append("new")
        assert seen[0] == seen[1]


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_numpy_takes_it_as_a_list(keys):
    made = key_list(keys)
    for as_array in (np.array, np.asarray, np.unique, np.sort):
        found, expected = as_array(made), as_array(np.array(keys, np.int64))
        assert found.dtype == np.int64
        assert np.array_equal(found, expected)
        found[:1] = 99  # a copy
    assert list(made) == keys
    assert np.array(made, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(made, copy=False)
    assert made._made is None
    made._list()
    assert np.array(made, np.int64).tolist() == keys


def test_pickles_are_small():
    assert len(pickle.dumps(key_list(KEYS["from 0"]))) < 100_000  # 72 kB of offsets
    assert len(pickle.dumps(key_list(KEYS["any order"]))) < 100_000


@pytest.mark.parametrize("keys", KEYS.values(), ids=list(KEYS))
def test_a_digest_is_that_of_the_list(keys):
    offsets = np.arange(len(keys), dtype=np.int64) * 100
    consecutive = bool(keys) and keys == list(range(keys[0], keys[0] + len(keys)))
    held = range(keys[0], keys[0] + len(keys)) if consecutive else np.array(keys, np.int64)
    made = key_digest(KeyList(Entries(held, offsets)))
    assert made == key_digest(keys)
    assert made != key_digest([*keys, 8])
    assert key_digest(["a", "b"]) != key_digest(["a", "c"])
