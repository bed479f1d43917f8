"""What a user's path names: several in one text, a file, something that is not a file, nothing.

Invariant: a path is made absolute where it is taken, so that a later change of the working folder,
in this process or in the one that unpickles a copy, changes no file.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from gpuio.errors import MissingFileError, StorageError
from gpuio.storage.urls import checked, is_url

__all__ = ["absolute", "absolute_uri", "check_regular", "divide", "open_regular", "unusable"]

_Path = str | os.PathLike[str]

_NAMES = 10_000  # of a folder, that a missing file's is compared with


def divide(uri: str | Iterable[str]) -> list[str]:
    """Return the pieces of a URI: a list's items, each split at ";".

    An absolute path whose folder is there is one piece, whatever the folder's name holds.
    """
    each = [uri] if isinstance(uri, str) else uri
    return [piece for one in each for piece in _pieces(one) if piece]


def _pieces(one: str) -> list[str]:
    """Split a text of one path or several."""
    folder, _, name = one.rpartition("/")
    whole = ";" in folder and ";" not in name and one.startswith("/")
    return [one] if whole and Path(folder).is_dir() else one.split(";")


def absolute(path: _Path) -> str:
    """Return an absolute path: ~ is the home folder, and a relative path starts where we are.

    Links and ".." stay as they are. "" stays "". A URL stays, and of file:// the path is returned.

    Raises
    ------
    StorageError        a URL that cannot be read, as `gpuio.storage.urls.checked`
    """
    text = os.path.expanduser(os.fspath(path))  # noqa: PTH111 -- pathlib's raises without a home
    if not text or text.startswith("/"):
        return text
    text = checked(text)
    if is_url(text):
        return text
    try:
        return str(Path(os.getcwd(), text))  # noqa: PTH109
    except OSError:  # this folder was removed
        return text


def absolute_uri(uri: str) -> str:
    """Return a URI, which may name several paths, with each of them made absolute."""
    return ";".join(absolute(piece) for piece in divide(uri))


def check_regular(path: _Path, what: str = "cannot open") -> None:
    """Refuse what is there and is not a file, without opening it: that could block, or act.

    Parameters
    ----------
    path : path         nothing may be there: then opening it says so
    what : str          how the message begins

    Raises
    ------
    StorageError        a folder, a named pipe, a device or a socket
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 -- on the hot path of opening many files
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        raise StorageError(f"{what}: not a regular file: {_special(mode)}", path=os.fspath(path))


def _special(mode: int) -> str:
    """Say what is at a path that is not a file, and what to do."""
    if stat.S_ISDIR(mode):
        return "it is a folder; name a file in it"
    kind = "a named pipe" if stat.S_ISFIFO(mode) else "a device or socket"
    return f"it is {kind}, which cannot be read by position; write its content into a file"


def open_regular(path: str, flags: int) -> int:
    """Open a file as ``open(opener=...)`` asks for it, and nothing but a file.

    Raises
    ------
    StorageError        as `check_regular`
    OSError             the system's
    """
    check_regular(path)
    # O_NONBLOCK: should a pipe take the file's place now, nobody waits for it
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)


def unusable(what: str, error: OSError, path: _Path, advice: str = "") -> StorageError:
    """Return the system's error as one of ours, and one of ours as what it is.

    Parameters
    ----------
    what : str          how the message begins, such as "cannot read"
    error : OSError
    path : path         that it is about
    advice : str        how the message ends

    Returns
    -------
    StorageError        a `MissingFileError` where nothing is at the path
    """
    if isinstance(error, StorageError):  # a copy: an error must not be its own cause
        return type(error)(error.message, path=error.path)
    reason = error.strerror or str(error)
    if not isinstance(error, FileNotFoundError):
        return StorageError(f"{what}: {reason}{advice}", path=os.fspath(path))
    reason = _leads(path) or reason + (_unfinished(path) or _near(path))
    return MissingFileError(f"{what}: {reason}{advice}", path=os.fspath(path))


def _unfinished(path: _Path) -> str:
    """Say that a writer left a part of a missing file, and what to do; "" where none did."""
    part = os.fspath(path) + ".part"
    if not isinstance(part, str) or not Path(part).is_file():
        return ""
    return (
        f"; {part} is there: its writer is still at work, or was not closed, so that the file may "
        "be cut. A writer's close() gives it its name; `gpuio im2rec --resume` ends a killed run"
    )


def _near(path: _Path) -> str:
    """Say what is there instead of a missing file: a name like it, or not even its folder."""
    import difflib

    missing = Path(os.fsdecode(path))
    there = next((one for one in missing.parents if one.is_dir()), None)
    try:
        if there is None or missing.exists():  # by now
            return ""
        if there != missing.parent:
            name = missing.relative_to(there).parts[0]
            return f"; {there} has no folder {name}; the working directory is {Path.cwd()}"
        with os.scandir(there) as found:
            names = [one.name for one in itertools.islice(found, _NAMES)]
    except OSError:
        return ""
    close = difflib.get_close_matches(missing.name, names, 1, 0.8)
    return f"; did you mean {close[0]}?" if close else ""


def _leads(path: _Path) -> str:
    """Say where a link that leads nowhere leads; "" for anything else."""
    try:
        return f"it is a link to {os.readlink(path)}, where nothing is"  # noqa: PTH115 -- any path
    except (OSError, ValueError):
        return ""
