"""Iterators' numbers for Prometheus: ``pip install 'gpuio[prometheus]'``.

::

    from prometheus_client import start_http_server
    from gpuio.adapters import prometheus

    prometheus.register(train, "train")
    prometheus.register(val, "val")
    start_http_server(9100)

Numbers are read when Prometheus asks for them; between two of its visits nothing is done. An
iterator that was closed or let go of is left out.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from gpuio.adapters.metrics import COUNTERS, GAUGES, metrics
from gpuio.errors import BackendError, ClosedError, OptionError

__all__ = ["Collector", "register", "text"]


class Collector:
    """What a registry of prometheus_client asks; holds iterators without keeping them alive."""

    def __init__(self) -> None:
        self._iterators: dict[str, weakref.ref[Any]] = {}
        self._most: dict[str, dict[str, float]] = {}  # of counters: what was told before

    def add(self, iterator: Any, name: str) -> None:
        """Add an iterator, under a name that no living one has.

        Raises
        ------
        OptionError         it has no `stats()`, or the name is taken
        """
        metrics(iterator)  # whether it has some
        known = self._iterators.get(name)
        if known is not None and known() not in (None, iterator):
            raise OptionError(f"name: another iterator is called {name!r}: give each its own")
        if known is None or known() is not iterator:
            self._most[name] = {}
        self._iterators[name] = weakref.ref(iterator)

    def collect(self) -> Iterator[Any]:
        """Yield prometheus_client's metrics, as its registry asks for them."""
        library = _library().metrics_core
        found = self._found()
        for table, family in (
            (COUNTERS, library.CounterMetricFamily),
            (GAUGES, library.GaugeMetricFamily),
        ):
            for name, (what, label) in table.items():
                labels = ["iterator", label] if label else ["iterator"]
                made = family(f"gpuio_{name}", what, labels=labels)
                for iterator, numbers in found.items():
                    for key, value in numbers.items():
                        base, _, labelled = key.partition(".")
                        if base == name:
                            told = self._grown(iterator, key, value) if table is COUNTERS else value
                            made.add_metric([iterator, labelled] if label else [iterator], told)
                yield made

    def _grown(self, iterator: str, key: str, value: float) -> float:
        """Return a counter that never falls: a stage whose time is a difference may, for a moment.

        Prometheus takes a counter that falls for one that began at 0 again.
        """
        most = self._most.setdefault(iterator, {})
        most[key] = max(value, most.get(key, value))
        return most[key]

    def _found(self) -> dict[str, dict[str, float]]:
        """Return the numbers of each iterator that is still open."""
        found = {}
        for name, reference in list(self._iterators.items()):
            iterator = reference()
            try:
                if iterator is not None:
                    found[name] = metrics(iterator)
                    continue
            except ClosedError:
                pass
            self._iterators.pop(name, None)
            self._most.pop(name, None)
        return found


_collectors: weakref.WeakKeyDictionary[Any, Collector] = weakref.WeakKeyDictionary()


def register(iterator: Any, name: str = "iterator", registry: Any = None) -> None:
    """Let Prometheus see an iterator's numbers, labelled ``iterator="name"``.

    Parameters
    ----------
    iterator : ImageRecordIter, or any other that has `stats()`
    name : str                      of its own
    registry : CollectorRegistry    prometheus_client's; None: its default one

    Raises
    ------
    BackendError                    prometheus_client is not there
    OptionError                     the iterator has no `stats()`, or the name is taken
    """
    registry = _library().REGISTRY if registry is None else registry
    collector = _collectors.get(registry)
    if collector is None:
        collector = Collector()
        collector.add(iterator, name)
        registry.register(collector)
        _collectors[registry] = collector
    else:
        collector.add(iterator, name)


def text(**iterators: Any) -> str:
    """Return iterators' numbers in Prometheus's text format: ``text(train=it)``.

    Raises
    ------
    BackendError, OptionError       as `register`
    """
    library = _library()
    registry = library.CollectorRegistry()
    collector = Collector()
    for name, iterator in iterators.items():
        collector.add(iterator, name)
    registry.register(collector)
    made: bytes = library.generate_latest(registry)
    return made.decode()


def _library() -> Any:
    """Import prometheus_client."""
    try:
        import prometheus_client
        import prometheus_client.metrics_core
    except ImportError as error:
        raise BackendError(
            "prometheus_client is not installed: pip install 'gpuio[prometheus]'"
        ) from error
    return prometheus_client
