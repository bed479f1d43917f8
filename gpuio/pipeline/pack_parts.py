"""Pack a list into parts, each by itself: NAME-00000-of-00004.rec and .idx, and a manifest.

Invariant: a part is a function of the list, the options, and its number alone, and gets its name
complete or not at all; so it does not matter who packs it, when, or how often. The manifest is
written last.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from gpuio.errors import GpuioError
from gpuio.pipeline.framed_image import PackOptions, frame_image
from gpuio.pipeline.packing import Packed, alone
from gpuio.pipeline.prefetch import Prefetcher
from gpuio.recordio.described import describe_part
from gpuio.recordio.index import write_index
from gpuio.recordio.lists import ListItem, read_list
from gpuio.recordio.manifest import Part, index_path, is_manifest, write_manifest
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import read_whole, remove
from gpuio.storage.paths import absolute, unusable
from gpuio.storage.urls import beside, is_url

__all__ = ["PartJob", "PartMade", "Run", "manifest_path", "pack_in_parts", "pack_part"]


@attrs.frozen
class PartJob:
    """One part to pack.

    Attributes
    ----------
    folder, name : str          where the part goes: FOLDER/NAME.rec
    root : str                  folder that the items' paths are relative to
    items : tuple of ListItem
    options : PackOptions
    threads : int               that read and encode
    resume : bool               take the part of an earlier run of the same items and options
    """

    folder: str
    name: str
    root: str
    items: tuple[ListItem, ...]
    options: PackOptions
    threads: int
    resume: bool

    @property
    def path(self) -> str:
        """Where the part's record file goes."""
        return f"{self.folder}/{self.name}.rec"

    @property
    def done(self) -> str:
        """Where it is written down, until the manifest is there, that the part is complete."""
        return f"{self.folder}/{self.name}.done"

    def digest(self) -> str:
        """Return what two runs must have in common to make the same part."""
        told = [attrs.astuple(self.options), *map(attrs.astuple, self.items)]
        text = json.dumps(told).encode()
        return hashlib.blake2b(text, digest_size=16).hexdigest()


@attrs.frozen
class PartMade:
    """A part that was packed.

    Attributes
    ----------
    name : str
    part : Part or None             None where no item became a record: nothing is written
    problems : tuple of str         a sentence for each item left out
    """

    name: str
    part: Part | None
    problems: tuple[str, ...]


# packs some jobs, and yields what was made in any order
Run = Callable[[Callable[[PartJob], PartMade], Iterable[PartJob]], Iterable[PartMade]]


def manifest_path(list_path: str | os.PathLike[str]) -> str:
    """Return where the manifest of a list's parts goes."""
    return beside(list_path, suffix=".manifest.json")


def pack_in_parts(
    list_path: str | os.PathLike[str],
    root: str,
    options: PackOptions,
    parts: int,
    *,
    threads: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    run: Run = map,
) -> Packed:
    """Write the parts of a list and LIST.manifest.json beside it.

    Parameters
    ----------
    list_path : path or URL         parts and manifest go beside the list
    root, options, threads          as `pack_list` has them
    parts : int                     into which the list is divided, by numbers of items
    resume : bool                   keep the parts that an earlier run has completed
    progress : callable(done, total)        of items
    run : callable                  carries out the jobs

    Raises
    ------
    StorageError                    the list cannot be read, a file cannot be written, or another
                                    process packs this list, if it lies on a disk

    Notes
    -----
    A part without a record has no files, and is not in the manifest. Where no item at all can be
    packed there is no manifest.
    """
    list_path = absolute(list_path)
    target = manifest_path(list_path)
    check_target(target, own=is_manifest)
    made = Packed()
    with contextlib.nullcontext() if is_url(list_path) else alone(Path(list_path)):
        items = list(read_list(list_path, made.problems, signed=False))
        made.several = sum(len(item.labels) > 1 for item in items)
        jobs = list(_jobs(list_path, root, items, options, parts, threads, resume=resume))
        sizes = {job.name: len(job.items) for job in jobs}
        _remove(target)  # it must not lie beside other parts
        found: dict[str, PartMade] = {}
        done = 0
        for one in run(pack_part, jobs):
            found[one.name] = one
            done += sizes[one.name]
            if progress is not None:
                progress(done, len(items))
        _settle(jobs, found, made, target)
    return made


def _jobs(
    list_path: str,
    root: str,
    items: list[ListItem],
    options: PackOptions,
    parts: int,
    threads: int,
    *,
    resume: bool,
) -> Iterator[PartJob]:
    """Divide a list."""
    digits = max(5, len(str(parts)))
    folder, _, own = list_path.rpartition("/")
    for number in range(parts):
        first, stop = number * len(items) // parts, (number + 1) * len(items) // parts
        name = f"{PurePosixPath(own).stem}-{number:0{digits}d}-of-{parts:0{digits}d}"
        some = tuple(items[first:stop])
        yield PartJob(folder, name, root, some, options, threads, resume)


def _settle(jobs: list[PartJob], found: dict[str, PartMade], made: Packed, target: str) -> None:
    """Write the manifest of what was packed; remove what was written beside the parts."""
    listed = [found[job.name].part for job in jobs]
    kept = [part for part in listed if part is not None]
    for job in jobs:
        made.problems += found[job.name].problems
    made.records = sum(part.records for part in kept)
    if kept:
        write_manifest(target, kept, "image_record")
    for job in jobs:
        _remove(job.done)
        if not is_url(job.folder):
            for stale in Path(job.folder).glob(f".{glob.escape(job.name)}.*"):
                _remove(stale)  # of a run, or a try, that was killed


def _remove(path: str | os.PathLike[str]) -> None:
    """Remove a file; StorageError says why it cannot be."""
    try:
        remove(path)
    except OSError as error:
        raise unusable("cannot remove", error, path) from error


def pack_part(job: PartJob) -> PartMade:
    """Pack one part: its record file, its index, and NAME.done, in this order.

    Raises
    ------
    StorageError            a file cannot be written
    """
    digest = job.digest()
    if job.resume and (kept := _completed(job, digest)) is not None:
        return kept
    keys: list[int] = []
    offsets: list[int] = []
    problems: list[str] = []
    with contextlib.ExitStack() as stack:
        frames = stack.enter_context(
            Prefetcher(
                lambda item: (item.index, *frame_image(item, job.root, job.options)),
                job.items,
                depth=4 * job.threads,
                workers=job.threads,
                name="gpuio-pack",
            )
        )
        file: Any = None
        at = 0
        for key, framed, problem in frames:
            if framed is None:
                problems.append(problem)
                continue
            if file is None:
                file = stack.enter_context(writing(job.path, record=True))
            file.write(framed)
            keys.append(key)
            offsets.append(at)
            at += len(framed)
        _remove(index_path(job.path))  # it must not lie beside other records
    part = None
    if keys:
        write_index(index_path(job.path), keys, offsets)
        part = attrs.evolve(describe_part(job.path, f"{job.name}.rec")[0], tag="")
    made = PartMade(job.name, part, tuple(problems))
    with writing(job.done) as file:
        told = {"digest": digest, "problems": problems, "part": part and attrs.asdict(part)}
        file.write(json.dumps(told).encode())
    return made


def _completed(job: PartJob, digest: str) -> PartMade | None:
    """Return the part as an earlier run made it; None if it is not complete."""
    try:
        told = json.loads(read_whole(job.done))
        if told["digest"] != digest:
            return None
        part = Part(**told["part"]) if told["part"] else None
        if part is not None and part != attrs.evolve(describe_part(job.path, part.name)[0], tag=""):
            return None
        return PartMade(job.name, part, tuple(told["problems"]))
    except (GpuioError, ValueError, KeyError, TypeError):
        return None
