"""Pack the images of a list into a .rec and .idx, in the list's order, on several threads.

Invariant: the files get their names complete or not at all, the index last. Until then they are
NAME.rec.part and a journal, from which a killed run can be resumed to the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from gpuio.pipeline.framed_image import PackOptions, frame_image
from gpuio.pipeline.journal import Journal
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.lists import read_list
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import read_whole, remove
from gpuio.storage.part import lock
from gpuio.storage.paths import open_regular, unusable
from gpuio.storage.urls import beside, name_of

__all__ = ["Packed", "alone", "pack_behind_url", "pack_list"]

_AT_ONCE = 8 << 20  # bytes that are copied to a server at once


@attrs.define
class Packed:
    """The result of packing.

    Attributes
    ----------
    records : int               written
    several : int               lines with more than one label
    problems : list of str      a sentence for each item left out
    """

    records: int = 0
    several: int = 0
    problems: list[str] = attrs.field(factory=list)


def pack_list(
    path: str | os.PathLike[str],
    root: str,
    options: PackOptions,
    *,
    threads: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write LIST.rec and LIST.idx beside a list.

    Parameters
    ----------
    path : path                     of the list
    root : str                      folder that the list's paths are relative to
    options : PackOptions
    threads : int                   that read and encode; the files are the same for any number
    resume : bool                   continue where a killed run of the same list and options stopped
    progress : callable(done, total)

    Raises
    ------
    StorageError                    the list cannot be read, the files cannot be written, or another
                                    process packs this list

    Notes
    -----
    Where no item can be packed nothing is written, and older files stay.
    """
    list_path = Path(path)
    check_target(list_path.with_suffix(".idx"))
    with alone(list_path):
        return _pack(list_path, root, options, threads, resume=resume, progress=progress)


def pack_behind_url(
    url: str,
    root: str,
    options: PackOptions,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write LIST.rec and LIST.idx beside a list that lies behind a URL.

    They are made in a temporary folder, which needs room for them, and then written there, the
    index last; an older index goes before the new records come. Parameters and errors as
    `pack_list`.
    """
    rec, idx = beside(url, suffix=".rec"), beside(url, suffix=".idx")
    check_target(idx)
    with tempfile.TemporaryDirectory(prefix="gpuio-im2rec-") as folder:
        local = Path(folder, name_of(url))
        local.write_bytes(read_whole(url, "cannot read the list"))
        made = pack_list(local, root, options, threads=threads, progress=progress)
        if made.records:
            remove(idx)
            for place, suffix in ((rec, ".rec"), (idx, ".idx")):
                with (
                    local.with_suffix(suffix).open("rb") as file,
                    writing(place, record=suffix == ".rec") as out,
                ):
                    shutil.copyfileobj(file, out, _AT_ONCE)
    return made


@contextlib.contextmanager
def alone(list_path: Path) -> Iterator[None]:
    """Lock a list: two runs would write the same unfinished files."""
    try:
        file = open(list_path, "rb", opener=open_regular)  # noqa: SIM115
    except OSError as error:
        raise unusable("cannot read the list", error, list_path) from error
    with file:
        lock(file.fileno(), "cannot pack this list", str(list_path))
        yield


def _pack(
    list_path: Path,
    root: str,
    options: PackOptions,
    threads: int,
    *,
    resume: bool,
    progress: Callable[[int, int], None] | None,
) -> Packed:
    """Write the files of a list that nobody else packs."""
    made = Packed()
    items = list(read_list(list_path, made.problems, signed=False))
    made.several = sum(len(item.labels) > 1 for item in items)
    journal = Journal(list_path, _fingerprint(list_path, options))
    start = journal.recover(made.problems) if resume else 0
    if not journal.finished:
        with journal.writing(resume=start > 0):
            with Prefetcher(
                lambda pair: frame_image(pair[1], root, options),
                enumerate(items[start:]),
                depth=4 * threads,
                workers=threads,
                name="gpuio-pack",
            ) as ahead:
                for position, (framed, problem) in enumerate(ahead, start):
                    if framed is None:
                        journal.add_problem(position, problem)
                        made.problems.append(problem)
                    else:
                        journal.add(items[position].index, position, framed)
                    if progress is not None:
                        progress(position + 1, len(items))
            journal.finish()
    if journal.empty:
        journal.discard()
        return made
    made.records = journal.publish()
    return made


def _fingerprint(list_path: Path, options: PackOptions) -> str:
    """Return what a run must have in common with the run that it resumes."""
    listed = hashlib.sha256(read_whole(list_path, "cannot read the list")).hexdigest()
    return json.dumps([listed, attrs.astuple(options)])
