"""split: divide the images of a record file among several, by shares or into equal parts."""

from __future__ import annotations

import argparse
from os.path import expanduser

import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.recordio.classes import labels_of
from gpuio.tools.arguments import at_least
from gpuio.tools.classnames import copy_names
from gpuio.tools.entries import open_file
from gpuio.tools.progress import add_progress, progress
from gpuio.tools.rewriting import add_target_arguments, check_free, images_of, rewrite, tell

__all__ = ["add_arguments", "run"]

EXAMPLES = (
    "gpuio split all.rec set --shares 0.9 0.1 --names train val --by-label",
    "gpuio split train.rec part --parts 8",
)
EXITS = {1: "the source is damaged"}

_ROUNDING = 1e-9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=expanduser, help="the .rec file")
    parser.add_argument(
        "prefix", type=expanduser, help="of the files to write: PREFIX_NAME.rec with their .idx"
    )
    parser.add_argument(
        "--idx", type=expanduser, help="the source's index; default: the .idx beside it"
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--shares", type=float, nargs="+", help="of the images that each file gets; their sum is 1"
    )
    how.add_argument("--parts", type=at_least(1), help="number of files of one size")
    parser.add_argument("--names", nargs="+", help="of the files; default: 0, 1, 2, ...")
    parser.add_argument(
        "--consecutive",
        action="store_true",
        help="cut the file where it is; else it is drawn which image goes where, and each file "
        "keeps the order",
    )
    parser.add_argument(
        "--by-label",
        action="store_true",
        help="divide the images of each label by themselves, so that all files have all labels",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of what is drawn")
    add_target_arguments(parser)
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the files; every image is in one of them.

    Returns
    -------
    int         0 done, 1 the source is damaged, 2 the arguments do not fit, 3 a file could not be
                read or written
    """
    count = args.parts or len(args.shares)
    shares = [1 / count] * count if args.parts else args.shares
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise OptionError(f"--shares {' '.join(map(str, shares))}: expected shares that make 1")
    names = args.names or [str(number) for number in range(count)]
    if len(names) != count or len(set(names)) < count:
        raise OptionError(f"--names {' '.join(names)}: expected {count} different names")
    for name in names:
        if "/" in name:
            raise OptionError(f"--names {name}: a name has no slash; PREFIX says the folder")
    targets = [f"{args.prefix}_{name}.rec" for name in names]
    choice, left_out = images_of(open_file(args.source, args.idx, "auto", args.progress))
    for target in targets:  # before the first is written
        check_free(target, choice.paths, force=args.force, resume=args.resume)
    labels = np.zeros(len(choice), np.float32)
    if args.by_label:
        with progress(f"reading labels of {args.source}", args.progress) as advance:
            labels = labels_of(choice.table(), advance=advance)
    part = divide(labels, shares, seed=None if args.consecutive else args.seed)
    counts = np.bincount(part, minlength=count)
    if not counts.all():
        raise OptionError(
            f"{targets[int(counts.argmin())]} would get none of the {len(choice):,} images: ask "
            "for fewer files, or for larger shares"
        )
    written = []
    for number, target in enumerate(targets):
        chosen = choice.take(part == number)
        if args.renumber:
            chosen = chosen.renumbered()
        asked = ["split", number, shares, args.consecutive, args.by_label, args.seed]
        rewrite(
            chosen,
            target,
            [*asked, args.renumber],
            force=args.force,
            resume=args.resume,
            how=args.progress,
        )
        written.append((target, len(chosen)))
    copy_names(args.source, targets)
    tell(args, written, left_out)
    return 0


def divide(
    labels: npt.NDArray[np.float32], shares: list[float], *, seed: int | None
) -> npt.NDArray[np.int64]:
    """Return the part of each image, int64[N].

    Parameters
    ----------
    labels : float32[N]     images of one label are divided by themselves
    shares : list of float  of each part; their sum is 1
    seed : int or None      of what is drawn; None: consecutive images go together
    """
    part = np.empty(len(labels), np.int64)
    random = None if seed is None else np.random.RandomState(seed % 2**32)
    edges = np.cumsum(shares)[:-1]
    for label in np.unique(labels):
        same = np.isnan(labels) if np.isnan(label) else labels == label
        rows = np.flatnonzero(same)
        if random is not None:
            rows = random.permutation(rows)
        cuts = np.floor(edges * len(rows) + 0.5 + _ROUNDING).astype(np.int64)
        for number, some in enumerate(np.split(rows, cuts)):
            part[some] = number
    return part
