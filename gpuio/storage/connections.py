"""How remote files are reached: what a process says once, and every URL is opened with.

Invariant: credentials are kept here and nowhere else. A file, an iterator and their pickles hold
URLs only; another process says for itself how they are opened.
"""

from __future__ import annotations

import os
from typing import Any

import attrs

from gpuio.errors import OptionError
from gpuio.storage.paths import absolute
from gpuio.storage.urls import begins_with, checked, is_url

__all__ = ["Connection", "Limits", "configure", "connect", "connection_of", "limits"]

_GIB, _MIB = 1 << 30, 1 << 20


@attrs.frozen(repr=False, eq=False)
class Connection:
    """What the URLs below a prefix are opened with."""

    prefix: str
    filesystem: Any
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"Connection({self.prefix!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a connection may hold credentials, and cannot be pickled")


@attrs.frozen
class Limits:
    """What reading remote files may take.

    Attributes
    ----------
    timeout_s : float           seconds for one request with its answer
    deadline_s : float          seconds for a read with all tries of its request
    in_flight : int             requests at once, of one read
    block_cache : str           folder of blocks that are kept on disk; "": none are
    block_cache_bytes : int     most bytes in it
    memory_bytes : int          most bytes of small files that stay in memory; 0: none do
    """

    timeout_s: float = 20.0
    deadline_s: float = 60.0
    in_flight: int = 32
    block_cache: str = ""
    block_cache_bytes: int = 64 * _GIB
    memory_bytes: int = 128 * _MIB


_connections: list[Connection] = []
_limits: list[Limits] = []


def connect(prefix: str, filesystem: Any = None, **options: Any) -> None:
    """Say how the URLs below a prefix are opened, in this process.

    Where nothing is said, credentials come from the environment, as each service has them
    (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME, HF_TOKEN, ...).

    Parameters
    ----------
    prefix : str            "s3://bucket", "https://host/folder", "hdfs://", ...; of several that
                            fit a URL the longest counts
    filesystem : optional   a ``pyarrow.fs.FileSystem`` or an fsspec file system, whose paths are
                            the URLs without the prefix
    options                 of the file system else: obstore's, such as ``endpoint``, ``region``,
                            ``access_key_id``, ``skip_signature``, ``credential_provider`` and
                            ``client_options``, or fsspec's of the protocol

    Raises
    ------
    OptionError             the prefix is not a URL, or both a file system and options are given

    Notes
    -----
    Files that are open stay as they are. Nothing of this is in a pickle: a process that is spawned
    calls it again.
    """
    checked(prefix)
    if not is_url(prefix):
        raise OptionError(f"prefix={prefix!r}: expected a URL such as 's3://bucket'")
    if filesystem is not None and options:
        raise OptionError(f"{next(iter(options))}: has no effect beside filesystem: give one")
    _connections[:] = [one for one in _connections if one.prefix != prefix]
    _connections.append(Connection(prefix, filesystem, options))
    _connections.sort(key=lambda one: len(one.prefix), reverse=True)


def connection_of(url: str) -> Connection | None:
    """Return what was said of a URL, None where nothing was."""
    return next((one for one in _connections if begins_with(url, one.prefix)), None)


def configure(
    *,
    timeout_s: float | None = None,
    deadline_s: float | None = None,
    in_flight: int | None = None,
    block_cache: str | os.PathLike[str] | None = None,
    block_cache_bytes: int | None = None,
    memory_bytes: int | None = None,
) -> Limits:
    """Set what reading remote files may take, in this process; what is not given stays.

    Parameters
    ----------
    timeout_s : float           seconds for one request with its answer (20)
    deadline_s : float          seconds for a read with all tries of its request (60)
    in_flight : int             requests at once, of one read (32)
    block_cache : path          folder in which blocks of what is read are kept, for all processes
                                of this machine; "": none. Else that of the environment,
                                GPUIO_BLOCK_CACHE
    block_cache_bytes : int     most bytes in it (64 GiB); else GPUIO_BLOCK_CACHE_BYTES
    memory_bytes : int          most bytes, of all files together, that iterators keep in memory of
                                files which fit (128 MiB); 0: none. With a block cache none are

    Returns
    -------
    Limits                      what is in force

    Raises
    ------
    OptionError                 a number below its range

    Notes
    -----
    Files that are open stay as they are.
    """
    given: dict[str, Any] = {
        "timeout_s": timeout_s,
        "deadline_s": deadline_s,
        "in_flight": in_flight,
        "block_cache_bytes": block_cache_bytes,
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if not value > 0:
            raise OptionError(f"{name}={value}: expected more than 0")
    if memory_bytes is not None:
        if memory_bytes < 0:
            raise OptionError(f"memory_bytes={memory_bytes}: expected 0 or more")
        given["memory_bytes"] = memory_bytes
    if block_cache is not None:
        given["block_cache"] = _folder("block_cache", block_cache)
    made = attrs.evolve(limits(), **given)
    if made.deadline_s < made.timeout_s:
        raise OptionError(
            f"deadline_s={made.deadline_s:g}: expected at least timeout_s={made.timeout_s:g}"
        )
    _limits[:] = [made]
    return made


def _folder(name: str, path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a folder of this machine; OptionError for a URL."""
    if is_url(path):
        raise OptionError(
            f"{name}: blocks of what is read are kept in a folder of this machine, got {path}"
        )
    return absolute(path)


def limits() -> Limits:
    """Return what is in force."""
    return _limits[0] if _limits else _of_environment()


def _of_environment() -> Limits:
    """Return the defaults, and what the environment says."""
    given: dict[str, Any] = {}
    folder = os.environ.get("GPUIO_BLOCK_CACHE", "")
    if folder:
        given["block_cache"] = _folder("GPUIO_BLOCK_CACHE", folder)
    text = os.environ.get("GPUIO_BLOCK_CACHE_BYTES", "")
    if text:
        if not (text.isascii() and text.isdigit() and int(text)):
            raise OptionError(f"GPUIO_BLOCK_CACHE_BYTES={text!r}: expected a number of bytes")
        given["block_cache_bytes"] = int(text)
    return Limits(**given)
