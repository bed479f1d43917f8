"""convert: between record files and WebDataset's tar files, class folders, Parquet, data sets.

Encoded images go from one to the other as they are. Invariant: a file gets its name when it is
complete, and none that is there is replaced, unless --force says so.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from os.path import expanduser
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gpuio.decode.formats import probe
from gpuio.errors import GpuioError, OptionError, StorageError
from gpuio.pipeline.journal import Journal
from gpuio.recordio.framing import encode
from gpuio.recordio.header import IRHeader, pack
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import open_stored, read_whole
from gpuio.storage.part import lock
from gpuio.storage.paths import unusable
from gpuio.storage.urls import is_url
from gpuio.tools.arguments import at_least
from gpuio.tools.classnames import class_names, write_names
from gpuio.tools.entries import Entry, Records, entries, open_file
from gpuio.tools.mending import repair_line
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.rewriting import add_target_arguments, check_free
from gpuio.tools.sample import SUFFIXES, Foreign, Sample, whole_label

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio convert train.rec train.tar --shard-records 5000",
    "gpuio convert shards train.rec --from webdataset",
    "gpuio convert photos train.rec",
    "gpuio convert train.rec train.parquet",
    "gpuio convert data train.rec --dataset torchvision.datasets:CIFAR10",
)
EXITS = {1: "some samples were left out, each is named; or the source is damaged"}

_KINDS = ("record", "webdataset", "folders", "parquet", "dataset")
_BY_SUFFIX = {".rec": "record", ".tar": "webdataset", ".parquet": "parquet"}
_NAMED = {"webdataset": "tar files", "folders": "class folders", "parquet": "Parquet files"}
_SHOWN = 50
_LOOKED_AT = 1000  # records that tell whether labels are classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source",
        type=expanduser,
        help="a .rec file; or a .tar or .parquet file, a folder of those, or of class folders",
    )
    parser.add_argument(
        "target",
        type=expanduser,
        help="a .rec file; or NAME.tar or NAME.parquet, which become NAME-000000.tar and so on; or "
        "the folder for class folders",
    )
    parser.add_argument(
        "--from", dest="source_kind", choices=_KINDS, help="what SOURCE is; default: by its name"
    )
    parser.add_argument("--to", dest="target_kind", choices=_KINDS[:-1], help="the same of TARGET")
    parser.add_argument(
        "--idx", type=expanduser, help="the .rec file's index; default: the .idx beside it"
    )
    parser.add_argument(
        "--shard-records", type=at_least(1), default=10_000, help="records per .tar or .parquet"
    )
    parser.add_argument(
        "--label-lists",
        action="store_true",
        help="Parquet's column of labels holds lists, also where the first records have one class",
    )
    parser.add_argument("--image-column", help="of Parquet; default: image, or a like name")
    parser.add_argument("--label-column", help="of Parquet; default: label, or a like name")
    parser.add_argument(
        "--dataset",
        metavar="MODULE:CLASS",
        help="SOURCE is what this class takes; its items are (image, label)",
    )
    parser.add_argument(
        "--encoding", default=".png", choices=[".png", ".jpg"], help="of a data set's pixels"
    )
    parser.add_argument("--quality", type=at_least(1), default=95, help="of --encoding .jpg")
    parser.add_argument(
        "--keep-keys",
        action="store_true",
        help="a record's key is its sample's name, where all are whole numbers; else 0, 1, 2, ...",
    )
    add_target_arguments(parser, renumber=False)
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Convert.

    Returns
    -------
    int         0 all done, 1 some samples were left out, or the source is damaged, 2 the arguments
                do not fit, 3 a file could not be read or written
    """
    source = "dataset" if args.dataset else args.source_kind or _kind(args.source)
    target = args.target_kind or _kind(args.target)
    if (source == "record") == (target == "record"):
        raise OptionError(
            f"from {source} to {target}: expected a record file on one side; --from and --to say "
            "what SOURCE and TARGET are, where their names do not"
        )
    for name, kind in ((args.source, source), (args.target, target)):
        if is_url(name) and kind not in {"record", "dataset"}:
            raise OptionError(
                f"{name}: {_NAMED[kind]} are read and written on a disk only; a record file may "
                "lie behind a URL"
            )
    if target == "record" and is_url(args.target):
        raise OptionError(f"{args.target}: expected a path on a disk: copy the record file then")
    if target == "record":
        count, problems = _import(args, _foreign(args, source))
    else:
        count, problems = _export(args, target)
    if args.json:
        told = {"target": args.target, "samples": count, "left_out": problems}
        print(json.dumps(told, indent=1))
    else:
        print(f"{args.target}: {count:,} samples", file=sys.stderr)
        for problem in problems[:_SHOWN]:
            print(f"  left out: {problem}", file=sys.stderr)
        if len(problems) > _SHOWN:
            print(f"  and {len(problems) - _SHOWN} more", file=sys.stderr)
        if problems and source == "record":
            print(repair_line(args.source), file=sys.stderr)
    return 1 if problems else 0


def _kind(name: str) -> str:
    """Return what a path is, by its name, and of a folder by what it holds."""
    path = Path(name)
    if path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix]
    if path.is_dir():
        for suffix in (".tar", ".parquet"):
            if any(path.glob(f"*{suffix}")):
                return _BY_SUFFIX[suffix]
    return "folders"


def _foreign(args: argparse.Namespace, kind: str) -> Foreign:
    """Open a source that is not a record file."""
    if kind == "webdataset":
        from gpuio.tools.tarsets import read_tars

        return read_tars(args.source)
    if kind == "parquet":
        from gpuio.tools.parquetsets import read_parquet

        return read_parquet(args.source, args.image_column, args.label_column)
    if kind == "dataset":
        if not args.dataset:
            raise OptionError("--from dataset needs --dataset MODULE:CLASS")
        from gpuio.tools.datasets import read_dataset

        return read_dataset(args.source, args.dataset, args.encoding, args.quality)
    from gpuio.tools.foldersets import read_folders

    return read_folders(args.source)


def _import(args: argparse.Namespace, foreign: Foreign) -> tuple[int, list[str]]:
    """Write a record file of another format's samples; return its records and what was left out."""
    check_free(args.target, [], force=args.force, resume=args.resume)
    target = Path(args.target)
    note = target.with_suffix(".idx.part")
    if target.exists() and not args.force and not note.exists():
        raise OptionError(f"{target} exists, and no stopped run is there to go on with")
    problems: list[str] = []
    journal = Journal(target, json.dumps([foreign.made_of, args.keep_keys]))
    with _alone(target):
        start = journal.recover(problems) if args.resume else 0
        if not journal.finished:
            seen: set[int] | None = set() if args.keep_keys else None
            with (
                journal.writing(resume=start > 0),
                progress(f"packing {target.name}", args.progress) as advance,
            ):
                for position, sample in enumerate(foreign.samples):
                    advance(position + 1, max(foreign.count, position + 1))
                    key = position if seen is None else _own_key(sample, seen)
                    if position < start:
                        continue
                    problem = sample.problem or _unusable(sample.blob)
                    if problem:
                        problems.append(f"{sample.name}: {problem}")
                        journal.add_problem(position, problems[-1])
                    else:
                        journal.add(key, position, _framed(sample, key))
                journal.finish()
        if journal.empty:
            journal.discard()
            raise StorageError(
                "no sample can become a record: nothing is written", path=args.target
            )
        count = journal.publish()
    if foreign.names:
        write_names(args.target, foreign.names)
    return count, problems


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lock the unfinished file: two runs would write the same one."""
    part = target.with_suffix(".idx.part")
    try:
        with part.open("ab") as file:
            lock(file.fileno(), "cannot write", str(part))
            yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise unusable("cannot write", error, part) from error


def _own_key(sample: Sample, seen: set[int]) -> int:
    """Return the whole number that a sample's name is.

    Raises
    ------
    OptionError         it is none, or another sample had it
    """
    name = Path(sample.name).stem if "/" in sample.name else sample.name
    if not (name.isascii() and name.isdecimal()) or int(name) in seen:
        why = "stands there twice" if name.isdecimal() else "is not a whole number"
        raise OptionError(f"--keep-keys: the name {sample.name} {why}: leave it out")
    seen.add(int(name))
    return int(name)


def _unusable(blob: bytes | memoryview) -> str:
    """Return why bytes are not an image; "" if they are."""
    try:
        return "not an image" if probe(blob).format == "unknown" else ""
    except GpuioError as error:
        return error.message


def _framed(sample: Sample, key: int) -> bytes:
    label = sample.labels if len(sample.labels) != 1 else float(sample.labels[0])
    return encode(pack(IRHeader(0, label, key, 0), bytes(sample.blob)))


def _export(args: argparse.Namespace, kind: str) -> tuple[int, list[str]]:
    """Write a record file's images in another format; return how many, and what was left out."""
    records = open_file(args.source, args.idx, "auto", args.progress)
    names = class_names(args.source)
    problems: list[str] = []
    if kind == "folders":
        return _into_folders(args, records, names, problems), problems
    if kind == "webdataset":
        from gpuio.tools.tarsets import write_tar

        write: Callable[[Iterable[Sample], BinaryIO], None] = write_tar
    else:
        from gpuio.tools.parquetsets import write_parquet

        several = args.label_lists or not _are_classes(records)

        def write(samples: Iterable[Sample], file: BinaryIO) -> None:
            write_parquet(samples, file, names, several=several)

    count = _into_shards(args, records, write, problems)
    if names:
        write_names(args.target, names)
    return count, problems


def _samples(
    records: Records, rows: Any, problems: list[str], advance: Callable[[int, int], None]
) -> Iterator[Sample]:
    """Yield the images of some records; name those that hold none."""
    for number, entry in zip(rows, entries(records, np.array(rows)), strict=True):
        advance(number + 1, len(records.table))
        if entry.info is None:
            reason = "no image" if entry.error is None else entry.error.message
            problems.append(f"{entry.name} at byte {entry.offset}: {reason}")
        else:
            yield Sample(_name(entry), entry.labels, entry.blob, SUFFIXES[entry.info.format])


def _name(entry: Entry) -> str:
    """Return the name of a record's sample: its key, digits enough to be sorted."""
    key = entry.number if entry.key is None else entry.key
    return f"{key:08d}" if isinstance(key, int) else key.replace("/", "_").replace(".", "_")


def _are_classes(records: Records) -> bool:
    """Whether the first records have one whole number each for a label."""
    rows = np.arange(min(len(records.table), _LOOKED_AT))
    return all(
        entry.info is None or whole_label(entry.labels) is not None
        for entry in entries(records, rows)
    )


def _into_folders(
    args: argparse.Namespace, records: Records, names: dict[int, str], problems: list[str]
) -> int:
    """Write class folders."""
    from gpuio.tools.foldersets import write_into_folder

    folder, count = Path(args.target), 0
    if folder.exists() and any(folder.iterdir()) and not (args.resume or args.force):
        raise OptionError(f"{folder} is not empty: name another folder, or go on with --resume")
    with progress(f"writing {folder.name}", args.progress) as advance:
        for sample in _samples(records, range(len(records.table)), problems, advance):
            write_into_folder(sample, folder, names, resume=args.resume)
            count += 1
    return count


def _into_shards(
    args: argparse.Namespace,
    records: Records,
    write: Callable[[Iterable[Sample], BinaryIO], None],
    problems: list[str],
) -> int:
    """Write NAME-000000.EXT and so on, each complete; a stopped run goes on behind the last."""
    target, each, total = Path(args.target), args.shard_records, len(records.table)
    with open_stored(args.source) as source:
        asked = [args.source, source.size, source.mtime_ns, each, args.label_lists]
    note = target.with_name(f"{target.name}.part")
    paths = [
        target.with_name(f"{target.stem}-{number:06d}{target.suffix}")
        for number in range(-(-total // each))
    ]
    goes_on = args.resume and note.is_file() and read_whole(note) == json.dumps(asked).encode()
    for path in paths:
        check_target(path, [args.source])
        if path.exists() and not (goes_on or args.force):
            raise OptionError(f"{path} exists: name another target, or replace it with --force")
    with writing(note) as file:
        file.write(json.dumps(asked).encode())
    count = 0
    with progress(f"writing {target.name}", args.progress) as advance:
        for number, path in enumerate(paths):
            rows = range(number * each, min((number + 1) * each, total))
            if goes_on and path.exists():
                count += len(rows)
                continue
            bad = len(problems)
            samples = _samples(records, rows, problems, advance)
            first = next(samples, None)
            if first is not None:
                with writing(path) as file:
                    write(itertools.chain([first], samples), file)
            count += len(rows) - (len(problems) - bad)  # the others are named
    note.unlink()
    if count == 0:
        raise StorageError("no record holds an image: nothing is written", path=args.target)
    return count
