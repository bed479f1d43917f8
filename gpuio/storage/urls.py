"""What is a URL and not a path of this machine, and the parts of one.

Invariant: this is the only module that takes a URL apart. Elsewhere a place is a text, and what is
to be known of it is asked here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from gpuio.errors import StorageError

__all__ = ["begins_with", "beside", "checked", "divided", "is_url", "name_of", "scheme_of", "shown"]

_Path = str | os.PathLike[str]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_ONE_SLASH = re.compile(r"(s3|s3a|gs|gcs|az|abfss?|adl|azure|https?|hf|hdfs):/(?!/)")
_USER = re.compile(r"(://)[^/@]*:[^/@]*@")
_QUERY = re.compile(r"\?[^\s\"')>,]*")
_OVER_HTTP = ("http", "https")


def is_url(path: _Path) -> bool:
    """Whether a text names a scheme other than file://."""
    text = path if isinstance(path, str) else os.fspath(path)
    if ":" not in text:
        return False
    found = _URL.match(text)
    return found is not None and found[1].lower() != "file"


def scheme_of(url: str) -> str:
    """Return a URL's scheme in lower case; "" for a path."""
    found = _URL.match(url)
    return found[1].lower() if found else ""


def checked(path: str) -> str:
    """Return a text that may be a URL as it is; of file://PATH the path.

    Raises
    ------
    StorageError        a URL with one slash, without a host or bucket, or with a password or a
                        signature in it
    """
    if ":" not in path:
        return path
    short = _ONE_SLASH.match(path)
    if short and not Path(path[: short.end() - 1]).is_dir():
        rest = path[short.end() :]
        raise StorageError(
            f"a URL has two slashes behind its scheme: {short[1]}://{rest}", path=path
        )
    found = _URL.match(path)
    if found is None:
        return path
    scheme, rest = found[1].lower(), path[found.end() :]
    if scheme == "file":
        return rest
    if _USER.match(path, found.end(1)):
        raise StorageError(
            "the URL holds a password, which errors, logs and pickles would show: leave it out and "
            "give it to gpuio.storage.connect",
            path=shown(path),
        )
    if scheme in _OVER_HTTP and "?" in rest:
        raise StorageError(
            "the URL holds a query, in which signatures are, and errors, logs and pickles would "
            "show them: leave it out; gpuio.storage.connect takes headers and credentials",
            path=shown(path),
        )
    if rest[:1] in ("", "/") and scheme in ("s3", "s3a", "gs", "gcs", "az", *_OVER_HTTP):
        raise StorageError("the URL names no bucket or host", path=path)
    return path


def shown(text: str) -> str:
    """Return a text without what may be a credential in its URLs: passwords and queries."""
    return _QUERY.sub("?...", _USER.sub(r"\1...@", text))


def divided(url: str) -> tuple[str, str]:
    """Return where a URL's objects are, ``scheme://host``, and the key of this one.

    Keys are as the service has them, not percent-encoded; but over HTTP, whose URLs are encoded.
    """
    found = _URL.match(url)
    assert found is not None
    host, _, key = url[found.end() :].partition("/")
    scheme = found[1].lower()
    return f"{scheme}://{host}", unquote(key) if scheme in _OVER_HTTP else key


def begins_with(url: str, prefix: str) -> bool:
    """Whether a URL lies below another one, or is it."""
    return url == prefix or url.startswith(prefix if prefix.endswith("/") else prefix + "/")


def name_of(path: _Path) -> str:
    """Return the last part of a path or a URL."""
    return os.fspath(path).rstrip("/").rpartition("/")[2]


def beside(path: _Path, *, name: str = "", suffix: str = "") -> str:
    """Return the place beside a file, of another name, or of its name with another suffix.

    Parameters
    ----------
    path : path or URL      of a file
    name : str              of the other file
    suffix : str            with its dot
    """
    text = os.fspath(path)
    if not is_url(text):
        made = Path(text).with_name(name) if name else Path(text).with_suffix(suffix)
        return str(made)
    folder, slash, own = text.rpartition("/")
    return folder + slash + (name or str(PurePosixPath(own).with_suffix(suffix)))
