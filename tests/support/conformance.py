"""What every DataIter must do; `tests/test_conformance.py` runs it over all of them.

A check takes a `Case`. To put an iterator of your own under the suite, make a case for it and run
``for check in CHECKS: check(case)``.
"""

import collections
import contextlib
import json
import os
import pickle
import sys
import threading
import warnings

import attrs
import numpy as np
import pytest

from gpuio.errors import ClosedError, StateError
from gpuio.io import DataBatch

CHECKS = []


@attrs.frozen
class Case:
    """An iterator under test.

    Attributes
    ----------
    make : callable             a fresh iterator, the same one every time; at least two batches
    pad : str                   "end", "front", "none" or "anywhere": the batches of an epoch that
                                may hold padding
    sized : bool                has an exact len()
    resumes : bool              saves its state
    pickles : bool
    repeats : bool              a second epoch has the batches of the first
    draws : bool                an epoch's order comes from numpy's global generator
    described : bool            provide_data holds DataDesc, with dtypes
    shared : bool               several threads may share it
    closes : bool               after close() it gives ClosedError
    forks : bool                a forked child can continue it
    """

    make: object
    pad: str = "end"
    sized: bool = True
    resumes: bool = True
    pickles: bool = True
    repeats: bool = True
    draws: bool = False
    described: bool = True
    shared: bool = True
    closes: bool = True
    forks: bool = True


def check(function):
    CHECKS.append(function)
    return function


def arrays_of(batch):
    """Return a batch as plain arrays and numbers that can be compared."""
    index = None if batch.index is None else np.array(batch.index).tolist()
    data = batch.data if isinstance(batch.data, (list, tuple)) else [batch.data]
    label = batch.label if isinstance(batch.label, (list, tuple)) else [batch.label]
    return [a.asnumpy() for a in data], [a.asnumpy() for a in label], batch.pad, index


def same(one, other):
    """Tell whether two lists of batches are equal, bit for bit."""
    return len(one) == len(other) and all(
        a[2:] == b[2:]
        and len(a[0]) == len(b[0])
        and len(a[1]) == len(b[1])
        and all(np.array_equal(x, y) for x, y in zip(a[0] + a[1], b[0] + b[1], strict=True))
        for a, b in zip(one, other, strict=True)
    )


def rest_of(it):
    return [arrays_of(batch) for batch in it]


def ours():
    return [t for t in threading.enumerate() if t.name.startswith("gpuio")]


@check
def batches_are_as_provide_data_and_provide_label_say(case):
    it = case.make()
    batches = list(it)
    assert len(batches) >= 2
    for batch in batches:
        assert isinstance(batch, DataBatch)
        for arrays, provided in ((batch.data, it.provide_data), (batch.label, it.provide_label)):
            assert [tuple(a.shape) for a in arrays] == [tuple(shape) for _, shape in provided]
            if case.described:
                assert [np.dtype(a.dtype) for a in arrays] == [np.dtype(p.dtype) for p in provided]
                assert all(p.shape[0] == it.batch_size for p in provided)
    it.close()


@check
def iter_returns_the_iterator_and_does_not_reset_it(case):
    it = case.make()
    assert iter(it) is it
    whole = rest_of(case.make())
    next(it)
    assert same(rest_of(it), whole[1:])
    it.close()


@check
def the_end_stays_the_end_until_reset(case):
    it = case.make()
    assert rest_of(it)
    for _ in range(3):
        with pytest.raises(StopIteration):
            it.next()
        with pytest.raises(StopIteration):
            next(it)
    assert rest_of(it) == []
    it.reset()
    assert rest_of(it)
    it.close()


@check
def reset_starts_another_epoch(case):
    it = case.make()
    first = rest_of(it)
    it.reset()
    second = rest_of(it)
    assert second
    if case.repeats:
        assert same(first, second)
    it.close()


@check
def a_loop_left_early_can_be_started_again(case):
    it = case.make()
    whole = rest_of(case.make())
    for _ in it:
        break
    it.reset()
    again = rest_of(it)
    assert again
    if case.repeats:
        assert same(again, whole)
    it.close()


@check
def iter_next_and_the_getters_agree_with_next(case):
    it = case.make()
    whole = rest_of(case.make())
    for expected in whole:
        assert it.iter_next()
        data, label, pad, index = it.getdata(), it.getlabel(), it.getpad(), it.getindex()
        assert same([arrays_of(DataBatch(_list(data), _list(label), pad, index))], [expected])
    it.close()


def _list(arrays):
    return arrays if isinstance(arrays, (list, tuple)) else [arrays]


@check
def pad_counts_rows_that_are_not_the_epochs(case):
    it = case.make()
    for number, batch in enumerate(batches := list(it)):
        assert isinstance(batch.pad, int)
        assert 0 <= batch.pad < it.batch_size or batch.pad == 0
        padded = {"none": [], "end": [len(batches) - 1], "front": [0], "anywhere": [number]}
        assert batch.pad == 0 or number in padded[case.pad]
    it.close()


@check
def len_is_the_number_of_batches_of_each_epoch(case):
    it = case.make()
    if not case.sized:
        with pytest.raises(TypeError):
            len(it)
        return
    for _ in range(3):
        said = len(it)
        assert said == sum(1 for _ in it)
        it.reset()
    it.close()


@check
def batches_stay_as_they_were_handed_out(case):
    it = case.make()
    held = list(it)
    before = [arrays_of(batch) for batch in held]
    it.reset()
    list(it)
    it.close()
    assert same([arrays_of(batch) for batch in held], before)


@check
def writing_into_a_batch_changes_no_other_one(case):
    whole = rest_of(case.make())
    it = case.make()
    for batch, expected in zip(it, whole, strict=True):
        assert same([arrays_of(batch)], [expected])
        for array in (*batch.data, *batch.label):
            target = array.data if getattr(array, "stype", "") == "csr" else array
            target[...] = 0
    if case.repeats:
        it.reset()
        assert same(rest_of(it), whole)
    it.close()


@check
def close_may_be_called_twice_and_afterwards_nothing_hangs(case):
    it = case.make()
    next(it)
    it.close()
    it.close()
    with contextlib.suppress(ClosedError, StopIteration):
        next(it)
    assert ours() == []


@check
def with_closes(case):
    with case.make() as it:
        next(it)
    assert ours() == []


@check
def dropping_an_iterator_leaves_no_thread(case):
    it = case.make()
    next(it)
    del it
    assert ours() == []


@check
def a_state_taken_anywhere_goes_on_as_if_nothing_had_been(case):
    if not case.resumes:
        with pytest.raises(NotImplementedError):
            case.make().state_dict()
        return
    length = len(rest_of(case.make()))
    for epoch in (0, 1):
        for taken in range(length + 2):  # the last one has seen the end
            it, other = case.make(), case.make()
            if epoch:
                list(it)
                it.reset()
            for _ in range(taken):
                next(it, None)
            state = json.loads(json.dumps(it.state_dict()))
            if taken % 2:
                next(other)  # a state replaces whatever the iterator did before
            other.load_state_dict(state)
            assert same(rest_of(other), rest_of(it)), (epoch, taken)
            if not case.draws:
                it.reset()
                other.reset()
                assert same(rest_of(other), rest_of(it)), (epoch, taken)
            assert it.state_dict() == other.state_dict() or case.draws
            it.close()
            other.close()


@check
def taking_a_state_changes_nothing(case):
    if not case.resumes:
        return
    whole = rest_of(case.make())
    it = case.make()
    got = []
    for _ in range(len(whole)):
        assert it.state_dict() == it.state_dict()
        got.append(arrays_of(next(it)))
    assert same(got, whole)
    it.close()


@check
def a_foreign_state_is_refused_and_changes_nothing(case):
    if not case.resumes:
        return
    it = case.make()
    whole = rest_of(case.make())
    next(it)
    state = it.state_dict()
    for foreign in (
        {},
        None,
        {**state, "version": -1},
        {**state, "source": dict.fromkeys(state["source"], "other")},
    ):
        with pytest.raises(StateError):
            it.load_state_dict(foreign)
    assert same(rest_of(it), whole[1:])
    it.close()


@check
def a_damaged_state_is_refused_by_its_field_and_changes_nothing(case):
    if not case.resumes:
        return
    it = case.make()
    whole = rest_of(case.make())
    next(it)
    state = it.state_dict()
    for name in state.keys() - {"version", "kind", "pixels", "source"}:
        wrong = [float("nan"), "x", -(10**30), 10**30, {"a": 1}, [[0, 0]]]
        damaged = [{**state, name: value} for value in wrong]
        damaged.append({key: state[key] for key in state if key != name})
        if not isinstance(state[name], bool):
            damaged.append({**state, name: True})
        for one in damaged:
            with pytest.raises(
                StateError, match="version|inner|not a state" if name == "inner" else name
            ):
                it.load_state_dict(one)
    assert same(rest_of(it), whole[1:])
    it.close()


@check
def a_pickled_iterator_goes_on_where_it_stood(case):
    if not case.pickles:
        with pytest.raises(TypeError):
            pickle.dumps(case.make())
        return
    it = case.make()
    next(it)
    other = pickle.loads(pickle.dumps(it))
    assert same(rest_of(other), rest_of(it))
    it.close()
    other.close()


@contextlib.contextmanager
def hasty():
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@check
def threads_that_share_it_lose_no_batch_and_get_none_twice(case):
    if not case.shared:
        return
    whole = rest_of(case.make())
    it, got, wrong = case.make(), [], []
    begin = threading.Barrier(4)

    def take():
        try:
            begin.wait(60)
            got.extend(arrays_of(batch) for batch in iter(it.next, None))
        except StopIteration:
            pass
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=take, name="user") for _ in range(4)]
    with hasty():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
    assert collections.Counter(map(str, got)) == collections.Counter(map(str, whole))
    it.close()


@check
def closing_it_while_another_thread_takes_batches_leaves_no_thread(case):
    if not case.closes:
        return
    for taken in (0, 1):
        it, wrong = case.make(), []
        one = threading.Event()

        def take(it=it, one=one, taken=taken, wrong=wrong):
            try:
                for _ in range(taken):
                    it.next()
                one.set()
                while True:
                    try:
                        it.next()
                    except StopIteration:
                        it.reset()
            except ClosedError:
                pass
            except BaseException as error:  # noqa: BLE001 -- asserted below
                wrong.append(error)

        thread = threading.Thread(target=take, name="user", daemon=True)
        with hasty():
            thread.start()
            assert one.wait(60)
            it.close()
            thread.join(60)
        assert not thread.is_alive()
        assert not wrong
        assert ours() == []


@check
def a_forked_child_goes_on_where_its_parent_stood(case):
    it = case.make()
    next(it)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        outcome = 1
        with contextlib.suppress(BaseException):
            rest = rest_of(case.make())[1:]
            outcome = 0 if same(rest_of(it), rest) else 2
        os._exit(outcome)
    rest = rest_of(it)
    assert os.waitpid(child, 0)[1] == 0 or not case.forks
    assert same(rest, rest_of(case.make())[1:])
    it.close()
