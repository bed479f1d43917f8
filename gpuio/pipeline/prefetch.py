"""The one primitive that makes threads: call a function on items ahead of the consumer, in order.

Invariants, which need no other lock than the two named here:

- A *cell* is the place of one result. The consumer makes cells, `depth` of them at first and a new
  one for each result it takes, and keeps them in order; so at most `depth` items are pulled and
  not yet handed out.
- Cells wait in a queue. A worker takes a cell and pulls an item in one go, under `_pulling`, so
  the order of the cells is the order of the items. It then calls the function outside that lock
  and fills the cell. A cell that was taken is always filled by the worker that took it.
- `Prefetcher` is what the user holds; the threads know only `_Machine`. So dropping the
  `Prefetcher` stops the threads. If `fn` or `items` holds a reference to the `Prefetcher`, dropping
  it does not stop the threads: call close().
- The consumer takes its turn under `_turn`, and changes the number of threads under `_resizing`;
  workers touch neither lock.
- A worker pulls and calls inside of `working`: a fork waits until it is between two items. Whatever
  waits for a worker does so inside of `waiting`.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any, Generic, Self, TypeVar

from gpuio.errors import BackendError, ClosedError, OptionError
from gpuio.finalizing import collects, finalize, finish, put_off
from gpuio.forking import forks_now, waiting, working

__all__ = ["Prefetcher"]

T = TypeVar("T")
R = TypeVar("R")

_open: set[_Machine] = set()  # those with threads; closed before the interpreter joins threads


class Prefetcher(Iterator[R], Generic[T, R]):
    """Yield ``fn(item)`` for every item, in order, computed ahead on threads of its own.

    Parameters
    ----------
    fn : callable               called on worker threads, several at a time if ``workers > 1``
    items : iterable            pulled on worker threads, one item at a time, never more than
                                `depth` ahead of the consumer; may block; may itself be a
                                `Prefetcher`, which is then closed with this one, as a generator is
    depth : int                 most items pulled and not yet handed out, >= 1
    workers : int               threads, >= 1; more than `depth` would idle and are not made
    name : str                  of the threads; a number is appended

    Raises
    ------
    OptionError                 at construction: depth or workers below 1
    BackendError                at construction: the system starts no more threads
    ClosedError                 from ``next()`` after `close()`, or when closed while waiting
    Exception                   from ``next()``: what `fn` or `items` raised, at its place in the
                                order and with its own traceback; the sequence ends there

    Notes
    -----
    Threads start at construction and end at the last item, at the first exception, at `close()`,
    when the object is dropped, and at interpreter exit (when the main thread ends). They are no
    daemons and are joined. In a forked child the object is closed. An interrupt (Ctrl-C) while
    ``next()`` waits loses nothing: ``next()`` may be called again.
    """

    def __init__(
        self,
        fn: Callable[[T], R],
        items: Iterable[T],
        *,
        depth: int,
        workers: int,
        name: str = "gpuio",
    ) -> None:
        for option, value in (("depth", depth), ("workers", workers)):
            if value < 1:
                raise OptionError(f"{option}={value}: expected at least 1")
        self._machine = _Machine(fn, items, depth)
        finalizer = finalize(self, self._machine.drop)
        finalizer.atexit = False  # `_close_all` comes earlier
        self._machine.start(min(depth, workers), name)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R:
        value: R = self._machine.next()
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def ready(self) -> int:
        """How many results could be taken now without waiting."""
        return self._machine.ready()

    @property
    def workers(self) -> int:
        """Threads that work, or are about to start or to end as `resize` asked them to."""
        return self._machine.workers

    def resize(self, workers: int) -> int:
        """Work with another number of threads from now on; order and results stay the same.

        Threads that are to end finish what they have in hand. Where the system starts no more
        threads, those that there are go on.

        Parameters
        ----------
        workers : int           >= 1; more than `depth` are not made

        Returns
        -------
        int                     how many there are

        Raises
        ------
        OptionError             workers below 1
        """
        if workers < 1:
            raise OptionError(f"workers={workers}: expected at least 1")
        return self._machine.resize(workers)

    def close(self) -> None:
        """Stop and join the threads and drop what was made ahead; from any thread, any number
        of times. Waits for calls of `fn` that are under way, never for a consumer; inside of a
        garbage collection (in a `__del__`) as `finalize` does.
        """
        if collects() and not forks_now():
            put_off(self._machine.close)
        else:
            self._machine.close()


class _Cell:
    """The place of one result; `gate` is locked until `done`."""

    __slots__ = ("done", "error", "gate", "last", "value")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.done = False
        self.last = False  # the items were exhausted before this place
        self.error: BaseException | None = None
        self.value: Any = None

    def fill(
        self, value: Any = None, error: BaseException | None = None, *, last: bool = False
    ) -> None:
        """Give the place its outcome, once."""
        self.value, self.error, self.last = value, error, last
        self.done = True
        self.gate.release()


class _Leave:
    """In the place of a cell: the thread that takes it ends."""


_LEAVE = _Leave()


class _Worker(threading.Thread):
    """A thread of ours, so that a finalizer can tell where it runs."""


class _Machine:
    """Threads, cells and the items; knows nothing of the `Prefetcher` in front of it."""

    def __init__(self, fn: Callable[[Any], Any], items: Iterable[Any], depth: int) -> None:
        self._fn = fn
        self._source = items
        self._items = iter(items)
        self._pid = os.getpid()
        self._stopping = self._ended = self._closed = False
        self._pulling, self._turn = threading.Lock(), threading.Lock()
        self._resizing = threading.RLock()  # held where threads are added or taken away
        self._threads: list[_Worker] = []
        self._depth, self._name, self._made = depth, "", 0
        self.workers = 0
        self._tickets: queue.SimpleQueue[_Cell | _Leave | None] = queue.SimpleQueue()
        self._pending: collections.deque[_Cell] = collections.deque()
        for _ in range(depth):
            self._issue()

    def start(self, workers: int, name: str) -> None:
        """Start the threads; all or none."""
        self._name = name
        _open.add(self)
        try:
            while self.workers < workers:
                self._add_thread()
        except BaseException:
            self.close()
            raise

    def _add_thread(self) -> None:
        """Start one more thread.

        Raises
        ------
        BackendError        the system starts no more
        """
        thread = _Worker(target=self._work, name=f"{self._name}-{self._made}", daemon=False)
        self._threads.append(thread)
        self._made += 1
        self.workers += 1
        _start(thread)

    def resize(self, workers: int) -> int:
        """Start threads, or let some end, until there are so many."""
        wanted = min(workers, self._depth)
        with self._resizing:
            if self._stopping or os.getpid() != self._pid:
                return self.workers
            self._threads = [one for one in self._threads if one.is_alive()]
            while self.workers > wanted:
                self.workers -= 1
                self._tickets.put(_LEAVE)
            try:
                while self.workers < wanted:
                    self._add_thread()
            except BackendError:
                self._threads.pop()  # it never ran
                self.workers -= 1
            return self.workers

    def ready(self) -> int:
        """Return how many places, from the first on, have their outcome."""
        count = 0
        for cell in tuple(self._pending):  # a copy in one go: the consumer takes places away
            if not cell.done:
                break
            count += 1
        return count

    def _issue(self) -> None:
        """Make the next place and offer it to the workers."""
        cell = _Cell()
        self._pending.append(cell)
        self._tickets.put(cell)

    def next(self) -> Any:
        """Wait for the first place's outcome and take it."""
        if os.getpid() != self._pid:
            raise ClosedError("threads do not survive a fork: make the iterator in this process")
        with waiting(), self._turn:
            if self._ended:
                raise StopIteration
            try:
                cell = self._pending[0]
                if not cell.done:
                    cell.gate.acquire()
                if self._closed:
                    raise IndexError
                if not cell.last and cell.error is None:
                    self._pending.popleft()
                    self._issue()
                    return cell.value
            except IndexError:  # `close` takes the places away, perhaps just now
                raise ClosedError("the look-ahead was closed: make a new one") from None
            self._ended = True
        self.close()
        error, cell.error = cell.error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _work(self) -> None:
        """Do one item after the other; a worker's whole life."""
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Take a cell, pull an item, call the function, fill the cell; false when it is over.

        A call of its own, so that a waiting worker's frame keeps no result alive.
        """
        with self._pulling:
            cell = self._tickets.get()
            if cell is None or isinstance(cell, _Leave):
                return False
            if self._stopping:
                cell.fill(last=True)
                return False
            try:
                with working:
                    item = next(self._items)
            except StopIteration:
                return self._stop_at(cell, None)
            except BaseException as error:  # noqa: BLE001 -- it belongs to the consumer
                return self._stop_at(cell, error)
        try:
            with working:
                value = self._fn(item)
        except StopIteration as error:
            return self._stop_at(cell, _not_the_end(error))
        except BaseException as error:  # noqa: BLE001 -- it belongs to the consumer
            return self._stop_at(cell, error)
        cell.fill(value)
        return True

    def _stop_at(self, cell: _Cell, error: BaseException | None) -> bool:
        """Make a place the last one, with the error that ended the sequence, if one did."""
        self._stop()
        cell.fill(error=error, last=error is None)
        return False

    def _stop(self) -> None:
        """Let every worker end at its next look at the queue."""
        self._stopping = True
        for _ in range(self._made):
            self._tickets.put(None)

    def close(self) -> None:
        """Stop, join, drop results; on a worker of this machine, which cannot join, only stop."""
        if os.getpid() != self._pid:
            return
        self._closed = True
        self._stop()
        if isinstance(self._source, Prefetcher):
            self._source.close()  # a worker may be waiting for it
        if threading.current_thread() not in self._threads:
            with self._resizing:  # after it none is added any more
                self._stop()  # one that was added just now, too
                threads = list(self._threads)
            with waiting():
                for thread in threads:
                    if thread.ident is not None:  # else its start was interrupted
                        thread.join()
            if isinstance(self._items, GeneratorType):
                self._items.close()
            _open.discard(self)
        with contextlib.suppress(queue.Empty):
            while True:  # the places nobody will fill: a consumer may be waiting at one
                cell = self._tickets.get_nowait()
                if isinstance(cell, _Cell):
                    cell.fill(last=True)
        self._stop()  # again: the threads that were not joined have yet to find it in the queue
        self._pending.clear()

    def drop(self) -> None:
        """Close for a user who let go of the iterator.

        This may be called on a worker in the middle of its work or inside of a fork, too, where
        waiting for another thread could wait for ever: there, only say stop.
        """
        if os.getpid() != self._pid:
            return
        if isinstance(threading.current_thread(), _Worker) or forks_now():
            self._closed = True
            self._stop()
            _open.discard(self)
        else:
            self.close()


def _start(thread: threading.Thread) -> None:
    """Start a thread, or say that the system has no more."""
    try:
        thread.start()
    except RuntimeError as error:  # what Python makes of the system's refusal
        raise BackendError(
            f"no thread can be started beside {threading.active_count()} others: {error}; use "
            "fewer preprocess_threads, or raise the limits of this process (ulimit -u, memory)"
        ) from error


def _not_the_end(error: StopIteration) -> RuntimeError:
    """Return what a generator would raise in its place: it must not look like the items' end."""
    wrong = RuntimeError("the function raised StopIteration")
    wrong.__cause__ = error
    return wrong


def _close_all() -> None:
    """Close whatever is open when the main thread has ended."""
    finish()
    for machine in list(_open):
        machine.close()


# `atexit` would run only after the interpreter has joined every thread, and ours would wait for
# ever; concurrent.futures uses this hook for the same reason.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001
