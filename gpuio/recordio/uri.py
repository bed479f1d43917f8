"""The forms of path_imgrec: one path or several, a folder, a pattern, file://."""

from __future__ import annotations

import errno
import fnmatch
import glob
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gpuio.errors import EmptyDatasetError, MissingFileError, OptionError, StorageError
from gpuio.storage.paths import absolute, divide, unusable

__all__ = ["expand", "expand_indexes"]


def expand(uri: str | Iterable[str], suffix: str = "") -> list[str]:
    """Return the files that a URI names.

    Parameters
    ----------
    uri : str or iterable of str
        a path; several separated by ";" or in a list; a folder, meaning its files that are not
        empty, sorted; a path whose last component is a regular expression that complete names must
        match; or, if none does, a pattern with *, ? and [] as shells have it
    suffix : str
        of a folder, take the files that end in it, if there are any

    Raises
    ------
    StorageError            nothing is there, or this version does not read the scheme
    EmptyDatasetError       every file is empty
    OptionError             a ``#cachefile`` suffix, which has no use for local files
    """
    found = [path for piece in divide(uri) for path in _one(piece, suffix)]
    if not found:
        raise StorageError("no file is named", path=str(uri))
    filled = [path for path in found if not path.is_file() or path.stat().st_size]
    if not filled:
        raise EmptyDatasetError(
            "the file is empty" if len(found) == 1 else f"all {len(found)} files are empty",
            path=str(found[0]),
        )
    return [str(path) for path in filled]


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


def _one(piece: str, suffix: str) -> list[Path]:
    """Return the files of one piece."""
    if "#" in piece and not Path(piece).exists():
        raise OptionError(
            f"path_imgrec: {piece!r} asks for a cache file behind '#'; local files need none, "
            "leave it out"
        )
    scheme = re.match(r"(\w+)://", piece)
    if scheme and scheme.group(1) != "file":
        raise StorageError(
            f"{scheme.group(1)}:// is not read by this version: copy the file to a disk",
            path=piece,
        )
    path = Path(absolute(piece.removeprefix("file://")))
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
