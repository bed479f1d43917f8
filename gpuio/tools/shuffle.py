"""shuffle: write the images of a record file in a random order, which plain reading then has."""

from __future__ import annotations

import argparse
from os.path import expanduser

import numpy as np

from gpuio.tools.arguments import at_least
from gpuio.tools.classnames import copy_names
from gpuio.tools.entries import open_file
from gpuio.tools.progress import add_progress
from gpuio.tools.rewriting import add_target_arguments, images_of, rewrite, tell

__all__ = ["add_arguments", "run"]

EXAMPLES = ("gpuio shuffle train.rec train_shuffled.rec --seed 7",)
EXITS = {1: "the source is damaged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=expanduser, help="the .rec file")
    parser.add_argument("target", type=expanduser, help="the .rec file to write, with its .idx")
    parser.add_argument(
        "--idx", type=expanduser, help="the source's index; default: the .idx beside it"
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="of the order; the same seed, the same file"
    )
    add_target_arguments(parser)
    add_progress(parser)


def run(args: argparse.Namespace) -> int:
    """Write the images in the order of ``numpy.random.RandomState(seed).permutation``.

    Returns
    -------
    int         0 done, 1 the source is damaged, 2 the target may not be written, 3 a file could not
                be read or written
    """
    choice, left_out = images_of(open_file(args.source, args.idx, "auto", args.progress))
    order = np.random.RandomState(args.seed % 2**32).permutation(len(choice))
    chosen = choice.take(order)
    if args.renumber:
        chosen = chosen.renumbered()
    rewrite(
        chosen,
        args.target,
        ["shuffle", args.seed, args.renumber],
        force=args.force,
        resume=args.resume,
        how=args.progress,
    )
    copy_names(args.source, [args.target])
    tell(args, [(args.target, len(chosen))], left_out)
    return 0
