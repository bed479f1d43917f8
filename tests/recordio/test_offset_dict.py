"""`idx` of a large index does what a dict of the offsets does, and makes none before it must."""
# the operations as scripts write them, and all of their errors, are what is tested
# ruff: noqa: BLE001, C420, PLC3002, RUF061, SIM118, SIM300

import copy
import pickle
from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from gpuio.recordio.index_entries import Entries
from gpuio.recordio.offset_dict import OffsetDict

KEYS = {
    "from 0": list(range(9000)),
    "from 1": list(range(1, 9001)),
    "any order": [7, 3, 10**14, -2, 5, *range(100, 9100, 2)],
    "dense": [7, 3, 5, *range(100, 9100, 2)],
    "repeated": [7, 3, 7, 3, 5, *range(100, 5000)],
    "repeated, far": [7, 3, 10**15, 7, 3, 5],
    "one": [4],
    "none": [],
}


def both(keys):
    """An OffsetDict and the dict of the same items."""
    offsets = [8 * row for row in range(len(keys))]
    first = keys[0] if keys else 0
    consecutive = keys == list(range(first, first + len(keys)))
    held = range(first, first + len(keys)) if consecutive else np.array(keys, np.int64)
    made = OffsetDict(Entries(held, np.array(offsets, np.int64)))
    return made, dict(zip(keys, offsets, strict=True))


def outcome(operation, value):
    try:
        found = operation(value)
    except Exception as error:
        found = (type(error), str(error))
    return found, list(value.items())


def changed_while(x, change):
    for number, key in enumerate(x):
        if number == 1:
            change(x, key)
    return dict(x)


ASKED = {
    "len": len,
    "bool": bool,
    "[]": lambda x: [x[key] for key in list(x)],
    "[], equal": lambda x: [x[key] for key in (7.0, np.int64(7), np.float32(7))],
    "[], missing": lambda x: x[6_000],
    "[], missing float": lambda x: x[7.5],
    "[], text": lambda x: x["a"],
    "[], None": lambda x: x[None],
    "[], list": lambda x: x[[1]],
    "[], array": lambda x: x[np.array(7)],
    "[], huge": lambda x: x[1 << 80],
    "[], nan": lambda x: x.get(float("nan")),
    "get": lambda x: [x.get(7), x.get(-1), x.get(-1, 5), x.get("7"), x.get(True)],
    "get list": lambda x: x.get([1]),
    "in": lambda x: [key in x for key in (7, 3, 10**14, -2, -3, 9000, 7.0, 7.5, "7", None, (7,))],
    "in, exotic": lambda x: [key in x for key in (7 + 0j, Fraction(7), Decimal(7), np.True_)],
    "in, list": lambda x: [7] in x,
    "list": list,
    "sorted": sorted,
    "items": lambda x: list(x.items()),
    "keys": lambda x: list(x.keys()),
    "values": lambda x: list(x.values()),
    "sizes": lambda x: [len(x.keys()), len(x.values()), len(x.items())],
    "in views": lambda x: [7 in x.keys(), 16 in x.values(), 5 in x.values(), (7, 0) in x.items()],
    "set of keys": lambda x: [x.keys() & {7, 3, -1}, x.keys() - {7}, {7} <= x.keys()],
    "set of items": lambda x: x.items() & {(7, 0), (3, 0)},
    "keys ==": lambda x: [x.keys() == set(x), x.keys() == set(), x.items() == set(x.items())],
    "views": lambda x: [repr(x.keys()), repr(x.values()), repr(x.items())],
    "reversed": lambda x: list(reversed(x)),
    "reversed views": lambda x: [list(reversed(v)) for v in (x.keys(), x.values(), x.items())],
    "dict": dict,
    "dict of items": lambda x: dict(x.items()),
    "OrderedDict": OrderedDict,
    "Counter": Counter,
    "double star": lambda x: {**x, "a": 1},
    "update": lambda x: (lambda made: (made.update(x), made))({"a": 1}),
    "== dict": lambda x: x == dict(x),
    "== others": lambda x: [
        x == {},
        x == {**x, -9: 1},
        x == {key: 1 for key in x},
        x == [],
        x == 5,
    ],
    "dict ==": lambda x: [dict(x) == x, {} == x, dict(x) != x, x != dict(x), x != {-9: 1}],
    "|": lambda x: x | {"a": 1, 7: 2},
    "dict |": lambda x: {"a": 1, 7: 2} | x,
    "| list": lambda x: x | [1],
    "repr": repr,
    "copy": lambda x: x.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda x: [pickle.loads(pickle.dumps(x, p)) for p in (0, 2, 5)],
    "isinstance": lambda x: [isinstance(x, dict), isinstance(x, list), x.__class__.__name__],
    "min": lambda x: min(x, default=None),
    "max by": lambda x: max(x, key=x.get, default=None),
    "types": lambda x: {type(one) for pair in x.items() for one in pair},
    "hash": lambda x: pytest.raises(TypeError, hash, x).type,
}
CHANGED = {
    "set": lambda x: x.__setitem__(7, 1),
    "set new": lambda x: x.__setitem__("a", 1),
    "del": lambda x: x.__delitem__(7),
    "del missing": lambda x: x.__delitem__(-9),
    "pop": lambda x: x.pop(7),
    "pop default": lambda x: [x.pop(7, None), x.pop(-9, None)],
    "pop missing": lambda x: x.pop(-9),
    "popitem": lambda x: x.popitem(),
    "update": lambda x: x.update({7: 1, "a": 2}),
    "|=": lambda x: x.__ior__({7: 1, "a": 2}),
    "clear": lambda x: x.clear(),
}
EITHER = {
    "setdefault": lambda x: [x.setdefault(7, 5), x.setdefault(-9, 5)],
    "set in a loop": lambda x: changed_while(x, lambda x, key: x.__setitem__(key, 5)),
    "add in a loop": lambda x: changed_while(x, lambda x, key: x.__setitem__("new", 5)),
    "del in a loop": lambda x: changed_while(x, lambda x, key: x.__delitem__(key)),
    "update itself": lambda x: x.update(x),
    "|= itself": lambda x: x.__ior__(x),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_of_it(name, keys):
    made, expected = both(keys)
    if name == "[], array" and keys:  # torch's and NumPy's arrays are never keys
        pytest.raises(TypeError, ASKED[name], made)
    expected = outcome(ASKED[name], expected)
    assert outcome(ASKED[name], made) == expected
    if "reversed" not in name and name != "in, exotic" and made._entries is not None:
        assert made._made is None, "a dict was made"
    made._dict()
    assert outcome(ASKED[name], made) == expected  # and of the dict inside


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("name", [*CHANGED, *EITHER])
def test_what_changes_it(name, keys):
    change = (CHANGED | EITHER)[name]
    made, expected = both(keys)
    assert outcome(change, made) == outcome(change, expected)
    if name in CHANGED:
        assert made._entries is None
    again = pickle.loads(pickle.dumps(made))
    assert dict(again) == dict(copy.deepcopy(made)) == dict(made)
    copied = copy.copy(made)
    copied["new one"] = 1
    assert "new one" not in made


def test_distinct_keys_need_no_dict():
    for name in ("from 0", "from 1", "any order", "dense", "one"):
        made, expected = both(KEYS[name])
        assert list(made.items()) == list(expected.items())
        assert made._made is None
