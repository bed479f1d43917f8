"""merge: write the images of several record files into one."""

from __future__ import annotations

import argparse
from os.path import expanduser

import numpy as np

from gpuio.errors import OptionError
from gpuio.tools.classnames import copy_names, shared_names
from gpuio.tools.entries import add_files_arguments, named_files, open_file
from gpuio.tools.progress import add_progress
from gpuio.tools.rewriting import Choice, add_target_arguments, images_of, rewrite, tell

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio merge part_0.rec part_1.rec --out all.rec", "gpuio merge parts --out all.rec")
EXITS = {1: "a source is damaged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_files_arguments(parser)
    parser.add_argument(
        "--out", type=expanduser, required=True, help="the .rec file to write, with its .idx"
    )
    parser.add_argument(
        "--keep-keys",
        action="store_true",
        help="each record keeps its key, which no other may have; else keys are 0, 1, 2, ...",
    )
    parser.add_argument(
        "--different-classes",
        action="store_true",
        help="merge also where the files have different names of classes; none are written then",
    )
    add_target_arguments(parser, renumber=False)
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the images, the files in the order given, each in its own order.

    Returns
    -------
    int         0 done, 1 a source is damaged, 2 the arguments do not fit, 3 a file could not be
                read or written
    """
    files = named_files(args)
    names, same = shared_names([path for path, _ in files])
    if not (same or args.different_classes):
        raise OptionError(
            "the files have different names of classes (.classes.json), so that one label means "
            "different things: pack them again, or merge with --different-classes"
        )
    found = [images_of(open_file(path, idx, "auto", args.progress)) for path, idx in files]
    parts = [choice for choice, _ in found]
    merged = Choice(
        tuple(path for one in parts for path in one.paths),
        np.repeat(np.arange(len(parts), dtype=np.int32), [len(one) for one in parts]),
        np.concatenate([one.offset for one in parts]),
        np.concatenate([one.length for one in parts]),
        np.concatenate([one.keys for one in parts]),
    )
    if args.keep_keys:
        keys, counts = np.unique(merged.keys.astype(str), return_counts=True)
        if counts.max(initial=1) > 1:
            raise OptionError(
                f"--keep-keys: {np.count_nonzero(counts > 1)} keys stand in several files, such as "
                f"{keys[counts.argmax()]}: leave it out, and keys are 0, 1, 2, ..."
            )
    else:
        merged = merged.renumbered()
    rewrite(
        merged,
        args.out,
        ["merge", args.keep_keys],
        force=args.force,
        resume=args.resume,
        how=args.progress,
    )
    if same and names:
        copy_names(files[0][0], [args.out])
    tell(args, [(args.out, len(merged))], sum(left for _, left in found))
    return 0
