"""Objects behind a URL: through obstore, fsspec or pyarrow.fs, with one set of errors.

Invariant: whatever goes wrong is a StorageError, made in `_failure` alone. Nothing is called in a
forked child of a process that has called something before: obstore's threads are not there, and its
first call would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from gpuio.errors import MissingFileError, StorageError
from gpuio.forking import lock, waiting
from gpuio.storage.connections import Limits, connection_of, limits
from gpuio.storage.request_cost import RequestCost
from gpuio.storage.stores import (
    ARROW_SCHEMES,
    OBJECT_STORES,
    Sink,
    Store,
    Version,
    make_store,
)
from gpuio.storage.urls import divided, scheme_of, shown

__all__ = ["Listed", "RemoteObject", "listed"]

_SHOWN = 400  # characters of a library's error

# bytes that may lie between ranges of one request: at least, until it is known, at most
_GAPS = 8 << 10, 32 << 10, 256 << 10

_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]+)")

_stores: dict[tuple[str, int, Limits], Any] = {}  # by host, connection and limits
_making = lock()
_first_pid = 0


@attrs.frozen
class Listed:
    """One thing in a remote folder: its URL, its size in bytes, whether it is a folder."""

    url: str
    size: int
    folder: bool = False


class RemoteObject:
    """An object behind a URL, which may not be there.

    Parameters
    ----------
    url : str

    Raises
    ------
    StorageError        the scheme is unknown, the library for it is missing or cannot be set up

    Attributes
    ----------
    cost : RequestCost  of requests to its host
    """

    def __init__(self, url: str) -> None:
        self.url = url
        _check_fork(url)
        with _translated("cannot open", url):
            self._store, self._key, self.cost = _store_of(url)

    def head(self, what: str = "cannot open") -> Version:
        """Return which version is there.

        Raises
        ------
        MissingFileError    none is
        StorageError        the server does not say
        """
        if not self._key and scheme_of(self.url) in ("s3", "s3a", "gs", "gcs", "az"):
            raise MissingFileError(
                "the URL names a bucket and no file in it; with a slash at its end it is a folder",
                path=self.url,
            )
        found: Version = self._call(what, lambda: self._store.head(self._key))
        return found

    def get(self, start: int, stop: int, version: Version) -> Any:
        """Return bytes start .. stop-1 of a version, as an object with the buffer protocol.

        Raises
        ------
        StorageError        they cannot be had within the deadline; or another version is there
        """
        what = f"cannot read {stop - start:,} bytes"
        try:
            data, found = self._call(
                what, lambda: self._store.get(self._key, start, stop, version), start
            )
        except _ChangedError:
            found = self.head("file changed while it was open, and is gone")
            raise self._changed(version, found) from None
        if not found.is_of(version):
            raise self._changed(version, found)
        if len(memoryview(data)) != stop - start:
            raise StorageError(
                f"{what}: {len(memoryview(data)):,} came", path=self.url, offset=start
            )
        return data

    def check_fork(self) -> None:
        """Raise StorageError in a forked child of a process that has read from a network."""
        _check_fork(self.url)

    @property
    def pins(self) -> bool:
        """Whether `get` is of one version, wherever the server names versions."""
        return self._store.pins

    def check(self, version: Version) -> None:
        """Raise StorageError if another version is there now."""
        found = self.head("file is gone")
        if not found.is_of(version):
            raise self._changed(version, found)

    def _changed(self, version: Version, found: Version) -> StorageError:
        """Return the error of an object that is no longer what was opened."""
        return StorageError(
            f"file changed while it was open: {_named(version)} then, {_named(found)} now; make a "
            "new iterator",
            path=self.url,
        )

    def exists(self) -> bool:
        """Whether something is there."""
        try:
            self.head()
        except MissingFileError:
            return False
        return True

    def sink(self, *, new: bool = False) -> Sink:
        """Begin to write; `new`: nothing may be there.

        Raises
        ------
        StorageError        it cannot be written
        """
        return _Checked(
            self, self._call("cannot write", lambda: self._store.sink(self._key, new=new))
        )

    def delete(self) -> None:
        """Remove it; nothing need be there."""
        with contextlib.suppress(MissingFileError):
            self._call("cannot remove", lambda: self._store.delete(self._key))

    def _call(self, what: str, call: Callable[[], Any], offset: int | None = None) -> Any:
        """Call a library; a fork need not wait for it."""
        _check_fork(self.url)
        with _translated(what, self.url, offset), waiting():
            return call()


class _ChangedError(Exception):
    """The server has another version than the one that was asked for."""


class _Checked:
    """A sink whose errors are ours."""

    def __init__(self, to: RemoteObject, sink: Sink) -> None:
        self._to, self._sink = to, sink

    def write(self, data: Any) -> int:
        """Append bytes."""
        self._to._call("cannot write", lambda: self._sink.write(data))  # noqa: SLF001
        return len(memoryview(data))

    def close(self) -> None:
        """Let the object appear."""
        self._to._call("cannot write", self._sink.close)  # noqa: SLF001

    def abandon(self) -> None:
        """Let nothing appear; what went wrong before is the error to be told about."""
        with contextlib.suppress(StorageError):
            self._to._call("cannot write", self._sink.abandon)  # noqa: SLF001


def listed(url: str) -> list[Listed]:
    """Return what lies in a remote folder, sorted; nothing where there is none.

    Raises
    ------
    StorageError        it cannot be listed
    """
    folder = RemoteObject(url.rstrip("/") + "/")
    base = folder.url
    store, key = folder._store, folder._key  # noqa: SLF001
    found = folder._call("cannot list the folder", lambda: list(store.names(key)))  # noqa: SLF001
    return sorted((Listed(base + name, size, sub) for name, size, sub in found), key=_by_url)


def _by_url(one: Listed) -> str:
    return one.url


def _named(version: Version) -> str:
    """Name a version."""
    return f"{version.size:,} bytes" + (f", etag {version.etag}" if version.etag else "")


def _check_fork(url: str) -> None:
    """Raise StorageError in a forked child of a process that has read from a network."""
    global _first_pid
    pid = os.getpid()
    if not _first_pid:
        _first_pid = pid
    elif _first_pid != pid:
        raise StorageError(
            "this process was forked after remote reading began, and can read nothing remote: "
            "start processes by spawn or forkserver, or fork before a remote file is opened",
            path=url,
        )


@contextlib.contextmanager
def _translated(what: str, url: str, offset: int | None = None) -> Iterator[None]:
    """Turn a library's errors into ours."""
    try:
        yield
    except (StorageError, _ChangedError):
        raise
    except Exception as error:  # noqa: BLE001 -- obstore's have no base of their own
        if type(error).__name__ == "PreconditionError":
            raise _ChangedError from None
        made = _failure(what, error, url, offset)
        # a library's text may hold a signature, and so may the traceback that shows it
        raise made from (error if shown(str(error)) == str(error) else None)


def _failure(what: str, error: Exception, url: str, offset: int | None) -> StorageError:
    """Return a library's error as one of ours."""
    if isinstance(error, ImportError):
        return StorageError(f"{what}: {_extra(url)}: {error}", path=url)
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError) or kind in ("NotFoundError", "EntryNotFoundError"):
        return MissingFileError(f"{what}: no such file", path=url)
    text = shown(str(error)).strip()
    status = _STATUS.search(text)
    said = text.split("\n\nDebug source")[0].split("\n")[0][:_SHOWN] or kind
    if kind in ("UnauthenticatedError", "PermissionDeniedError") or isinstance(
        error, PermissionError
    ):
        answer = f" ({status[1].strip()})" if status else ""
        return StorageError(
            f"{what}: access is refused{answer}: credentials come from the environment, or from "
            "gpuio.storage.connect",
            path=url,
        )
    if kind == "AlreadyExistsError" or isinstance(error, FileExistsError):
        return StorageError(f"{what}: a file is there already", path=url)
    return StorageError(f"{what}: {said}", path=url, offset=offset)


def _extra(url: str) -> str:
    """Say which extra is to be installed for a URL."""
    scheme = scheme_of(url)
    extra = "hdfs" if scheme in ARROW_SCHEMES else "remote"
    also = " and huggingface_hub" if scheme == "hf" else ""
    return f"reading {scheme}:// needs pip install gpuio[{extra}]{also}"


def _store_of(url: str) -> tuple[Store, str, RequestCost]:
    """Return what reads a URL, the key there, and what requests cost; but for the key, by host."""
    said = connection_of(url)
    scheme = scheme_of(url)
    if said is not None and said.filesystem is not None:
        root, key = said.prefix, url[len(said.prefix) :]
    else:
        root, key = divided(url)
        if scheme not in OBJECT_STORES and scheme not in ARROW_SCHEMES:
            root, key = f"{scheme}://", url
    name = root, id(said) if said is not None else 0, limits()
    with _making:
        if name not in _stores:
            _stores[name] = (
                make_store(root, scheme, said),
                said,  # kept, so that its id stays its own
                RequestCost(*_GAPS),
            )
        store, _, cost = _stores[name]
        return store, key, cost
