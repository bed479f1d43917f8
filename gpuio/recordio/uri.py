"""The forms of path_imgrec: one path or several, a folder, a pattern, here or behind a URL."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gpuio.errors import EmptyDatasetError, MissingFileError, OptionError, StorageError
from gpuio.storage.files import status
from gpuio.storage.paths import absolute, divide, unusable
from gpuio.storage.urls import is_url, name_of

__all__ = ["expand", "expand_indexes"]


def expand(uri: str | Iterable[str], suffix: str = "") -> list[str]:
    """Return the files that a URI names.

    Parameters
    ----------
    uri : str or iterable of str
        a path; several separated by ";" or in a list; a folder, meaning its files that are not
        empty, sorted; a path whose last component is a regular expression that complete names must
        match; or, if none does, a pattern with *, ? and [] as shells have it. The same behind a
        URL; HTTP servers do not list their folders
    suffix : str
        of a folder, take the files that end in it, if there are any

    Raises
    ------
    StorageError            nothing is there, or the scheme is unknown
    EmptyDatasetError       every file is empty
    OptionError             a ``#cachefile`` suffix, which has no use for local files
    """
    found = [one for piece in divide(uri) for one in _one(absolute(piece), suffix)]
    if not found:
        raise StorageError("no file is named", path=str(uri))
    filled = [path for path, size in found if size]
    if not filled:
        raise EmptyDatasetError(
            "the file is empty" if len(found) == 1 else f"all {len(found)} files are empty",
            path=found[0][0],
        )
    return filled


def expand_indexes(uri: str | Iterable[str], records: Sequence[str]) -> list[str]:
    """Return the indexes that a URI names for some record files.

    Parameters
    ----------
    uri : str or iterable of str
        paths, one per record file and in their order; or one folder, or one pattern with *, ? and
        [], from which each record file gets the index of its own name, NAME.idx for NAME.rec
    records : sequence of str
        as `expand` returns them

    Returns
    -------
    list of str             those of a folder or a pattern may be missing: opening them says so

    Raises
    ------
    OptionError             a folder among several paths; or two record files of one name, which
                            a folder cannot tell apart
    """
    pieces = divide(uri)
    folders = [piece for piece in pieces if Path(absolute(piece)).is_dir()]
    if len(pieces) > 1 and folders:
        raise OptionError(
            f"path_imgidx: {folders[0]} is a folder among several paths: expected one folder, "
            "or one .idx file for each record file, in their order"
        )
    if len(pieces) != 1:
        return pieces
    if is_url(pieces[0]):
        folder, _, last = pieces[0].rpartition("/")
        if last and not glob.has_magic(last):
            return pieces
        return [f"{folder}/{Path(name_of(record)).stem}.idx" for record in records]
    path = Path(absolute(pieces[0]))
    pattern = not path.exists() and glob.has_magic(path.name)
    if not folders and not pattern:
        return pieces
    names = [f"{Path(record).stem}.idx" for record in records]
    if len(set(names)) != len(names):
        double = next(name for number, name in enumerate(names) if name in names[:number])
        raise OptionError(
            f"path_imgidx: two record files would have {double} of {path}: name one .idx file for "
            "each record file, in their order"
        )
    if folders:
        return [str(path / name) for name in names]
    taken = [name for name in names if fnmatch.fnmatchcase(name, path.name)]
    return [str(path.parent / name) for name in (names if taken else [path.name])]


def _one(piece: str, suffix: str) -> list[tuple[str, int]]:
    """Return the files of one piece, with their sizes."""
    if is_url(piece):
        return _behind_url(piece, suffix)
    return [(str(one), one.stat().st_size if one.is_file() else 1) for one in _here(piece, suffix)]


def _behind_url(url: str, suffix: str) -> list[tuple[str, int]]:
    """Return the files that a URL names."""
    if "#" in url:
        raise OptionError(
            f"path_imgrec: {url!r} asks for a cache file behind '#': "
            "gpuio.storage.configure(block_cache=...) keeps what is read, leave it out"
        )
    missing = None
    if not url.endswith("/"):
        try:
            return [(url, status(url)[0])]
        except MissingFileError as error:
            missing = error
    inside = _files_in(url, missing)
    if inside:
        return [one for one in inside if suffix and one[0].lower().endswith(suffix)] or inside
    folder, _, last = url.rpartition("/")
    matching: list[tuple[str, int]] = []
    if missing is not None:
        beside = _files_in(folder, missing)
        with contextlib.suppress(re.error):
            name = re.compile(last)
            matching = [one for one in beside if name.fullmatch(one[0].rpartition("/")[2])]
        matching = matching or [
            one for one in beside if fnmatch.fnmatchcase(one[0].rpartition("/")[2], last)
        ]
    if not matching:
        raise missing or StorageError("the folder holds no file", path=url)
    return matching


def _files_in(folder: str, missing: MissingFileError | None) -> list[tuple[str, int]]:
    """Return the files of a folder behind a URL; a server that lists nothing has what it has."""
    from gpuio.storage.remote import listed

    try:
        return [(one.url, one.size) for one in listed(folder) if not one.folder]
    except StorageError:
        if missing is not None:
            raise missing from None
        raise


def _here(piece: str, suffix: str) -> list[Path]:
    """Return the files of one piece that is a path."""
    if "#" in piece and not Path(piece).exists():
        raise OptionError(
            f"path_imgrec: {piece!r} asks for a cache file behind '#'; local files need none, "
            "leave it out"
        )
    path = Path(piece)
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.is_file())
        if not inside:
            raise StorageError("the folder holds no file", path=str(path))
        return [one for one in inside if suffix and one.suffix.lower() == suffix] or inside
    if path.exists():
        return [path]
    try:
        name = re.compile(path.name)
        matching = sorted(one for one in path.parent.iterdir() if name.fullmatch(one.name))
    except (re.error, OSError):
        matching = []
    if not matching and glob.has_magic(str(path)):
        # a folder that is there may have a name that reads as a pattern
        root = next((one for one in path.parents if one.is_dir()), Path())
        pattern = str(path.relative_to(root))
        matching = [root / one for one in sorted(glob.glob(pattern, root_dir=root))]  # noqa: PTH207
        matching = [one for one in matching if one.is_file()]
        if not matching:
            raise MissingFileError(
                "no such file, nor does a name match: expected * and ? for any characters, as in "
                r"*.rec, or a regular expression for the last part, as in .*\.rec",
                path=str(path),
            )
    if not matching:
        missing = FileNotFoundError(errno.ENOENT, "no such file")
        raise unusable("cannot open", missing, path)
    return matching
