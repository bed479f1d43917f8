"""Options that an iterator does not have: refused by name, with the one that was probably meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

from gpuio.errors import UnknownOptionError

__all__ = ["parameters", "refuse_unknown", "suggestion"]

# what other loaders call it, and what it is called here: the first that an iterator has
_MEANT: dict[str, tuple[str, ...]] = {
    "batch batchsize bs": ("batch_size",),
    "num_workers n_workers workers num_threads n_threads threads nthreads py_num_workers": (
        "preprocess_threads",
        "prefetch_buffer",
        "depth",
    ),
    "prefetch prefetch_factor prefetch_depth prefetch_queue_depth": ("prefetch_buffer", "depth"),
    "drop_last drop_remainder": (
        "last_batch='discard'",
        "last_batch_handle='discard'",
        "round_batch",
    ),
    "last_batch last_batch_handle last_batch_policy": (
        "last_batch",
        "last_batch_handle",
        "round_batch",
    ),
    "device context devices": ("ctx",),
    "rank shard shard_id shard_index local_rank": ("part_index",),
    "world_size num_shards num_replicas shard_count": ("num_parts",),
    "image_size img_size input_size crop_size target_size size": ("data_shape",),
    "path rec rec_path path_rec record filename file root": (
        "path_imgrec",
        "data_csv",
        "data_libsvm",
        "image",
        "data",
    ),
    "idx idx_path path_idx": ("path_imgidx",),
    "lst lst_path path_lst path_imglst": ("path_imglist",),
    "random_crop": ("rand_crop",),
    "random_mirror random_flip random_horizontal_flip hflip flip mirror": ("rand_mirror",),
    "random_resize rand_resized_crop random_resized_crop": ("random_resized_crop", "rand_resize"),
    "mean": ("mean", "mean_r"),
    "std": ("std", "std_r"),
    "interpolation interp": ("inter_method",),
    "transform transforms augmenters augs": ("aug_list",),
    "generator random_state random_seed seed rng": ("seed", "rng"),
}
_WORDS = {word: meant for words, meant in _MEANT.items() for word in words.split()}


@functools.cache
def parameters(function: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names that a function or an ``__init__`` takes; None if it takes any."""
    found = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in found):
        return None
    return frozenset(one.name for one in found if one.kind is not one.VAR_POSITIONAL) - {"self"}


def suggestion(name: str, known: Collection[str]) -> str:
    """Return the option that was meant, perhaps with its value; "" if none comes to mind."""
    for meant in _WORDS.get(name.lower(), ()):
        if meant.partition("=")[0] in known:
            return meant
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    return near[0] if near else ""


def refuse_unknown(
    given: Iterable[str], known: Collection[str], others: Collection[str] = ()
) -> None:
    """Refuse keywords that are not known.

    Parameters
    ----------
    given : names           of the keywords
    known : names           that may be given
    others : names          that may be suggested, too

    Raises
    ------
    UnknownOptionError      naming the first unknown one and, if there is one, what was meant
    """
    for name in given:
        if name not in known:
            meant = suggestion(name, [*known, *others])
            raise UnknownOptionError(
                f"{name}: no such option" + (f"; did you mean {meant}?" if meant else "")
            )
