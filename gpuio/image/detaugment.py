"""Detection augmenters: callables from (image, label) to (image, label).

A label is float[objects, 5 or more]: id, xmin, ymin, xmax, ymax as fractions of the image, extras.
Like image augmenters they work in two steps: `draw` takes the image's shape and the label, makes
every random number and moves the label; `apply` moves the pixels.
"""

# ruff: noqa: D102 -- dumps, is_random, draw and apply are documented on DetAugmenter

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from gpuio.image.augment import (
    Augmenter,
    Shape,
    flip_columns,
    in_two_steps,
    own_draws,
    plain_kwargs,
    shown,
)
from gpuio.image.draws import GLOBAL, Draws, Rng

__all__ = ["DetAugmenter", "DetBorrowAug", "DetHorizontalFlipAug", "DetRandomSelectAug"]

Label = npt.NDArray[Any]


class DetAugmenter:
    """Base of every detection augmenter.

    Parameters
    ----------
    **kwargs                what `dumps` returns about this augmenter

    Notes
    -----
    Your subclass gives either ``__call__(src, label) -> (src, label)``, as in MXNet, or
    `draw` and `apply`.
    """

    draws: Draws | None = None

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = plain_kwargs(kwargs)

    def __repr__(self) -> str:
        return shown(self)

    def dumps(self) -> Any:
        """Return name and arguments as JSON text; those that hold others return a list."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    @property
    def is_random(self) -> bool:
        """Whether `draw` draws anything."""
        return True

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        """Draw the numbers for one image and move its label.

        Parameters
        ----------
        shape : (height, width, channels)       of the image that `apply` will get
        label : float[objects, 5 or more]
        draws : Draws                           used unless the augmenter has its own

        Returns
        -------
        plan, shape, label      for `apply`; of the image it will return; and that image's label
        """
        raise NotImplementedError("Must override implementation.")

    def apply(self, src: Any, plan: Any) -> Any:
        """Carry out what `draw` planned on the pixels; safe to call from several threads."""
        raise NotImplementedError("Must override implementation.")

    def __call__(self, src: Any, label: Label) -> tuple[Any, Label]:
        plan, _, label = self.draw(tuple(src.shape), label, self.draws or GLOBAL)
        return self.apply(src, plan), label


def det_in_two_steps(aug: Any) -> bool:
    """Whether a detection augmenter gives `draw` and `apply`, and a call does just these two."""
    if isinstance(aug, DetBorrowAug) and not in_two_steps(aug.augmenter):
        return False
    if isinstance(aug, DetRandomSelectAug) and not all(map(det_in_two_steps, aug.aug_list)):
        return False
    if not isinstance(aug, DetAugmenter):
        return False
    own = (DetAugmenter.__call__, DetBorrowAug.__call__, DetRandomSelectAug.__call__)
    return type(aug).__call__ in own and type(aug).draw is not DetAugmenter.draw


def draw_all_det(
    augs: Sequence[Any], shape: Shape, label: Label, draws: Draws
) -> tuple[list[Any], Shape, Label]:
    """Draw for each augmenter in turn; the plan is a list of (augmenter, its plan)."""
    plan = []
    for aug in augs:
        part, shape, label = aug.draw(shape, label, aug.draws or draws)
        plan.append((aug, part))
    return plan, shape, label


class DetBorrowAug(DetAugmenter):
    """Use an image augmenter that leaves the label alone: colours, or a resize of the whole.

    Parameters
    ----------
    augmenter : Augmenter

    Raises
    ------
    TypeError               it is not an `Augmenter`
    """

    def __init__(self, augmenter: Augmenter) -> None:
        if not isinstance(augmenter, Augmenter):
            raise TypeError(f"Borrowing from invalid Augmenter: {type(augmenter).__name__}")
        super().__init__(augmenter=augmenter.dumps())
        self.augmenter = augmenter

    def dumps(self) -> list[Any]:
        return [type(self).__name__.lower(), self.augmenter.dumps()]

    @property
    def is_random(self) -> bool:
        return self.augmenter.is_random

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        plan, shape = self.augmenter.draw(shape, self.augmenter.draws or draws)
        return plan, shape, label

    def apply(self, src: Any, plan: Any) -> Any:
        return self.augmenter.apply(src, plan)

    def __call__(self, src: Any, label: Label) -> tuple[Any, Label]:
        return self.augmenter(src), label


class DetRandomSelectAug(DetAugmenter):
    """Apply one of several augmenters, or none.

    Parameters
    ----------
    aug_list : list of DetAugmenter, or one     shuffled in place at every use; the first is taken
    skip_prob : float, default 0                probability of applying none, in [0, 1]; an empty
                                                list always skips
    rng : optional                              see `gpuio.image.draws`; of the choice alone

    Raises
    ------
    ValueError                                  a member is not a `DetAugmenter`
    """

    def __init__(self, aug_list: Any, skip_prob: float = 0, *, rng: Rng = None) -> None:
        super().__init__(skip_prob=skip_prob)
        members = list(aug_list) if isinstance(aug_list, (list, tuple)) else [aug_list]
        for member in members:
            if not isinstance(member, DetAugmenter):
                raise ValueError(  # noqa: TRY004 -- MXNet's type
                    f"Allow DetAugmenter in list only: got {type(member).__name__}"
                )
        self.aug_list = members
        self.skip_prob = skip_prob if members else 1
        self.draws = own_draws(rng)

    def dumps(self) -> list[Any]:
        return [type(self).__name__.lower(), [aug.dumps() for aug in self.aug_list]]

    def _choose(self, draws: Draws) -> Any:
        """Return the member to apply, None to skip."""
        if draws.random() < self.skip_prob:
            return None
        return draws.shuffle(self.aug_list)[0]

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        chosen = self._choose(self.draws or draws)
        if chosen is None:
            return None, shape, label
        plan, shape, label = chosen.draw(shape, label, chosen.draws or draws)
        return (chosen, plan), shape, label

    def apply(self, src: Any, plan: Any) -> Any:
        return src if plan is None else plan[0].apply(src, plan[1])

    def __call__(self, src: Any, label: Label) -> tuple[Any, Label]:
        chosen = self._choose(self.draws or GLOBAL)
        return (src, label) if chosen is None else chosen(src, label)


class DetHorizontalFlipAug(DetAugmenter):
    """Flip image and boxes left to right with probability `p`.

    Parameters
    ----------
    p : float               in [0, 1]
    rng : optional          see `gpuio.image.draws`

    Notes
    -----
    The label is changed in place, as MXNet does.
    """

    def __init__(self, p: float, *, rng: Rng = None) -> None:
        super().__init__(p=p)
        self.p, self.draws = p, own_draws(rng)

    def draw(self, shape: Shape, label: Label, draws: Draws) -> tuple[Any, Shape, Label]:
        flip = (self.draws or draws).random() < self.p
        if flip:
            label[:, (1, 3)] = 1.0 - label[:, (3, 1)]
        return flip, shape, label

    def apply(self, src: Any, plan: Any) -> Any:
        return flip_columns(src) if plan else src
