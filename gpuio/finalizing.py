"""What is done when an object is dropped; inside of a garbage collection on a thread of its own.

A collection may begin at any line of any thread, also where that thread holds a lock of Python's
own: of a thread that is being started, a queue, a log. Whoever waits there for another thread may
wait for ever, as the other one may need that lock. So it is waited for a second, and no longer;
after that the collection waits for nothing more that it drops.
"""

from __future__ import annotations

import _thread
import gc
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from gpuio.forking import forks_now, works_now

__all__ = ["collects", "finalize", "finish", "put_off"]

_PATIENCE_S = 1.0
_collector = 0  # the thread that collects garbage now
_waits = True  # until it has waited in vain
_late: set[Any] = set()  # locks, each held until what was put off is done


def finalize(owner: Any, close: Callable[[], Any]) -> weakref.finalize[..., Any]:
    """Return a finalizer that calls `close`, which may wait for threads, when `owner` is dropped.

    Called by itself, it calls `close` at once; inside of a collection on a thread of its own, for
    which it waits a second at most. A worker that collects does not wait: it may be one of those
    that `close` waits for.

    Parameters
    ----------
    owner : object
    close : callable()      called once; it must not hold `owner`

    Returns
    -------
    weakref.finalize        to be called, or left alone
    """
    if _note not in gc.callbacks:  # the first one, or somebody has cleared them
        gc.callbacks.append(_note)
    return weakref.finalize(owner, _let_go, close, weakref.ref(owner))


def _note(phase: str, _info: dict[str, int]) -> None:
    """Note who collects; there is one collection at a time."""
    global _collector, _waits
    _collector, _waits = (threading.get_ident() if phase == "start" else 0), True


def _let_go(close: Callable[[], Any], owner: weakref.ref[Any]) -> None:
    """Call `close` where that may wait."""
    watched = _note in gc.callbacks  # else whatever drops the owner may be a collection
    inside = collects() if watched else owner() is None
    if not inside or forks_now():
        close()
    else:
        put_off(close)


def collects() -> bool:
    """Say whether this thread is inside of a garbage collection, such as in a user's `__del__`."""
    return _collector == threading.get_ident()


def put_off(close: Callable[[], Any]) -> None:
    """Call what may wait for threads on a thread of its own, and wait for it as `finalize` says."""
    global _waits
    done = _thread.allocate_lock()
    done.acquire()
    _late.add(done)
    try:
        _thread.start_new_thread(_call, (close, done))  # `Thread.start` waits for the thread
    except RuntimeError:  # the system has no more: what is open stays open until the end
        _call(lambda: None, done)
    if (_waits or not collects()) and not works_now():
        _waits = done.acquire(timeout=_PATIENCE_S)
        if _waits:
            done.release()


def _call(close: Callable[[], Any], done: Any) -> None:
    try:
        close()
    finally:
        _forget_thread()
        _late.discard(done)
        done.release()


def _forget_thread() -> None:
    """Take this thread out of Python's list: whoever asks for its name is in it for ever."""
    lock, active = threading._active_limbo_lock, threading._active  # type: ignore[attr-defined]  # noqa: SLF001
    with lock:
        if isinstance(active.get(threading.get_ident()), threading._DummyThread):  # noqa: SLF001
            del active[threading.get_ident()]


def finish() -> None:
    """Wait for what was put off."""
    for done in list(_late):
        with done:
            pass


def _begin_anew() -> None:
    """In a child: forget the other threads, and that one of them was collecting."""
    global _collector
    _late.clear()
    if not collects():
        _collector = 0  # a thread of the child may get the number of that one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
