"""obstore, fsspec and pyarrow.fs behind one set of calls; errors are theirs.

Invariant: these libraries are imported here alone, when a URL needs one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

import attrs

from gpuio.errors import StorageError
from gpuio.forking import lock
from gpuio.storage.connections import Connection, limits

__all__ = ["ARROW_SCHEMES", "OBJECT_STORES", "Sink", "Store", "Version", "make_store"]

OBJECT_STORES = (
    *("s3", "s3a", "gs", "gcs", "http", "https"),
    *("az", "adl", "azure", "abfs", "abfss"),
)
ARROW_SCHEMES = ("hdfs", "viewfs")
_PART_BYTES = 8 << 20  # of an object that is written, in memory and in one request
_PARTS = 4  # of them on their way at once
_RETRIES = 12  # of a request, within the deadline
_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0  # before the second try, and before any
_OPEN = 64  # files of a pyarrow file system that stay open


@attrs.frozen
class Version:
    """Which version of an object it is.

    Attributes
    ----------
    size : int          bytes
    etag : str          the server's name of it; "" where there is none
    modified_ns : int   time of last change; 0 where that is not known
    """

    size: int
    etag: str = ""
    modified_ns: int = 0

    @property
    def pinned(self) -> bool:
        """Whether a server can be asked for this version and no other."""
        return bool(self.etag) and not self.etag.startswith("W/")

    def is_of(self, other: Version) -> bool:
        """Whether two answers are about one version, as far as can be told."""
        if self.size != other.size:
            return False
        if self.etag and other.etag:
            return self.etag == other.etag
        return not (self.modified_ns and other.modified_ns) or self.modified_ns == other.modified_ns


class Sink(Protocol):
    """An object that is written: it appears at `close`, and never after `abandon`."""

    def write(self, data: Any) -> Any:
        """Append bytes."""

    def close(self) -> None:
        """Let the object appear."""

    def abandon(self) -> None:
        """Let nothing appear."""


class Store(Protocol):
    """What all three libraries can do; errors are theirs."""

    pins: bool  # whether `get` is of one version

    def head(self, key: str) -> Version:
        """Return which version is there."""

    def get(self, key: str, start: int, stop: int, version: Version) -> tuple[Any, Version]:
        """Return bytes start .. stop-1, and of which version they are."""

    def names(self, folder: str) -> Iterator[tuple[str, int, bool]]:
        """Yield what is in a folder: name, size in bytes, whether it is a folder."""

    def sink(self, key: str, *, new: bool) -> Sink:
        """Begin to write; `new`: nothing may be there."""

    def delete(self, key: str) -> None:
        """Remove a file."""


def make_store(root: str, scheme: str, said: Connection | None) -> Store:
    """Make what reads the URLs of a host."""
    options = dict(said.options) if said is not None else {}
    if said is not None and said.filesystem is not None:
        if hasattr(said.filesystem, "get_file_info"):
            return ArrowStore(said.filesystem)
        return FsspecStore(said.filesystem)
    if scheme in OBJECT_STORES:
        return ObjectStore(root, options)
    if scheme in ARROW_SCHEMES:
        from pyarrow.fs import FileSystem

        return ArrowStore(FileSystem.from_uri(root + "/")[0], "/")
    import fsspec

    if scheme not in fsspec.available_protocols():
        raise StorageError(
            f"{scheme}:// is not a scheme that is known: expected s3, gs, az, http, https, hf, "
            "hdfs, one of fsspec's, or one that gpuio.storage.connect was told of",
            path=root,
        )
    return FsspecStore(fsspec.filesystem(scheme, skip_instance_cache=True, **options))


class ObjectStore:
    """Objects through obstore, which tries requests again by itself."""

    pins = True

    def __init__(self, root: str, options: dict[str, Any]) -> None:
        from obstore.store import HTTPStore, from_url

        taken = limits()
        client: dict[str, Any] = {
            "timeout": timedelta(seconds=taken.timeout_s),
            "connect_timeout": timedelta(seconds=min(5.0, taken.timeout_s)),
        }
        endpoint = str(options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", ""))
        if root.startswith("http://") or endpoint.startswith("http://"):
            client["allow_http"] = True
        client |= options.pop("client_options", {})
        retry = {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=max(taken.deadline_s - taken.timeout_s, 0)),
            "backoff": {
                "init_backoff": timedelta(seconds=_WAIT_S),
                "max_backoff": timedelta(seconds=_LONGEST_WAIT_S),
                "base": 2,
            },
        }
        make = HTTPStore.from_url if root.startswith("http") else from_url
        self._store = make(
            root.replace("gcs://", "gs://"), client_options=client, retry_config=retry, **options
        )

    def head(self, key: str) -> Version:
        import obstore

        return _version(obstore.head(self._store, key))

    def get(self, key: str, start: int, stop: int, version: Version) -> tuple[Any, Version]:
        import obstore

        options: dict[str, Any] = {"range": (start, stop)}
        if version.pinned:
            options["if_match"] = version.etag
        answer = obstore.get(self._store, key, options=options)
        found = _version(answer.meta)
        if tuple(answer.range) != (start, stop) and found.is_of(version):
            raise OSError(f"bytes {answer.range[0]} to {answer.range[1]} came")
        return answer.bytes(), found

    def names(self, folder: str) -> Iterator[tuple[str, int, bool]]:
        import obstore

        answer = obstore.list_with_delimiter(self._store, folder.rstrip("/") or None)
        for one in answer["objects"]:
            yield one["path"].rpartition("/")[2], one["size"], False
        for prefix in answer["common_prefixes"]:
            yield prefix.rstrip("/").rpartition("/")[2], 0, True

    def sink(self, key: str, *, new: bool) -> Sink:
        import obstore

        if new:
            return _WholeSink(lambda data: obstore.put(self._store, key, data, mode="create"))
        return _ObjectSink(
            obstore.open_writer(self._store, key, buffer_size=_PART_BYTES, max_concurrency=_PARTS)
        )

    def delete(self, key: str) -> None:
        import obstore

        obstore.delete(self._store, key)


def _version(meta: Any) -> Version:
    """Return what obstore says of an object."""
    modified: datetime = meta["last_modified"]
    return Version(meta["size"], meta["e_tag"] or "", int(modified.timestamp()) * 10**9)


class _ObjectSink:
    """What is written through obstore."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, data: Any) -> Any:
        return self._writer.write(bytes(data))

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        del self._writer  # what is dropped unclosed never appears


class _WholeSink:
    """A small object that is put in one request."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put, self._parts = put, []  # type: ignore[var-annotated]

    def write(self, data: Any) -> None:
        self._parts.append(bytes(data))

    def close(self) -> None:
        self._put(b"".join(self._parts))

    def abandon(self) -> None:
        self._parts.clear()


def _patiently(call: Callable[[], Any]) -> Any:
    """Call a library that does not try again by itself, until the deadline."""
    deadline, wait_s = time.monotonic() + limits().deadline_s, _WAIT_S
    for _ in range(_RETRIES):
        try:
            return call()
        except (FileNotFoundError, PermissionError, FileExistsError):
            raise
        except OSError:
            if time.monotonic() + wait_s > deadline:
                raise
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
    return call()


class FsspecStore:
    """Files through an fsspec file system, whose reads name no version."""

    pins = False

    def __init__(self, filesystem: Any) -> None:
        self._files = filesystem

    def _path(self, key: str) -> str:
        path: str = self._files._strip_protocol(key)  # noqa: SLF001 -- fsspec's own way
        return path

    def head(self, key: str) -> Version:
        path = self._path(key)
        self._files.invalidate_cache()
        found = _patiently(lambda: self._files.info(path))
        if found.get("type") == "directory":
            raise FileNotFoundError(path)
        etag = found.get("ETag") or found.get("etag") or found.get("blob_id") or ""
        return Version(int(found["size"]), str(etag))

    def get(self, key: str, start: int, stop: int, version: Version) -> tuple[Any, Version]:
        path = self._path(key)
        data = _patiently(lambda: self._files.cat_file(path, start=start, end=stop))
        return data, version

    def names(self, folder: str) -> Iterator[tuple[str, int, bool]]:
        self._files.invalidate_cache()
        try:
            found = _patiently(lambda: self._files.ls(self._path(folder), detail=True))
        except FileNotFoundError:
            return
        for one in found:
            name = one["name"].rstrip("/").rpartition("/")[2]
            yield name, int(one.get("size") or 0), one.get("type") == "directory"

    def sink(self, key: str, *, new: bool) -> Sink:
        path = self._path(key)
        if new and self._files.exists(path):
            raise FileExistsError(path)
        parent = path.rpartition("/")[0]
        if parent:
            self._files.makedirs(parent, exist_ok=True)
        part = f"{path}.part"
        return _RenamedSink(
            self._files.open(part, "wb"),
            lambda: self._files.mv(part, path),
            lambda: self._files.rm_file(part),
        )

    def delete(self, key: str) -> None:
        self._files.rm_file(self._path(key))


class ArrowStore:
    """Files through a pyarrow file system, whose reads name no version."""

    pins = False

    def __init__(self, filesystem: Any, root: str = "") -> None:
        self._files, self._root = filesystem, root
        self._open: dict[str, Any] = {}
        self._opening = lock()

    def _status(self, key: str) -> Any:
        return self._files.get_file_info(self._root + key)

    def head(self, key: str) -> Version:
        found = _patiently(lambda: self._status(key))
        with self._opening:
            self._open.pop(key, None)
        if not found.is_file:
            raise FileNotFoundError(key)
        return Version(found.size, "", found.mtime_ns or 0)

    def get(self, key: str, start: int, stop: int, version: Version) -> tuple[Any, Version]:
        return _patiently(lambda: self._read(key, start, stop)), version

    def _read(self, key: str, start: int, stop: int) -> Any:
        with self._opening:
            file = self._open.get(key)
            if file is None or file.closed:
                while len(self._open) >= _OPEN:
                    del self._open[next(iter(self._open))]
                file = self._open[key] = self._files.open_input_file(self._root + key)
        return file.read_at(stop - start, start)

    def names(self, folder: str) -> Iterator[tuple[str, int, bool]]:
        from pyarrow.fs import FileSelector, FileType

        chosen = FileSelector(self._root + folder.rstrip("/"), allow_not_found=True)
        for one in _patiently(lambda: self._files.get_file_info(chosen)):
            yield one.base_name, one.size or 0, one.type == FileType.Directory

    def sink(self, key: str, *, new: bool) -> Sink:
        path = self._root + key
        if new and self._status(key).is_file:
            raise FileExistsError(path)
        parent = path.rpartition("/")[0]
        if parent:
            self._files.create_dir(parent, recursive=True)
        part = f"{path}.part"
        return _RenamedSink(
            self._files.open_output_stream(part),
            lambda: self._files.move(part, path),
            lambda: self._files.delete_file(part),
        )

    def delete(self, key: str) -> None:
        self._files.delete_file(self._root + key)


class _RenamedSink:
    """A file that is written under another name, and gets its own at last."""

    def __init__(self, file: Any, rename: Callable[[], Any], remove: Callable[[], Any]) -> None:
        self._file, self._rename, self._remove = file, rename, remove

    def write(self, data: Any) -> Any:
        return self._file.write(bytes(data))

    def close(self) -> None:
        self._file.close()
        self._rename()

    def abandon(self) -> None:
        self._file.close()
        self._remove()
