"""Augmenters that move pixels: resize, crop, flip, cast, and sequences of augmenters.

An augmenter works in two steps. `draw` takes an image's *shape* and makes every random number;
`apply` takes the pixels and those numbers and draws nothing. Calling the augmenter does both. So an
iterator can draw in order on one thread and apply on many threads, with the results of one thread.
"""

# ruff: noqa: D102 -- dumps, is_random, draw and apply are documented on Augmenter

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuio.errors import OptionError
from gpuio.forking import working
from gpuio.image import geometry, ops
from gpuio.image.draws import GLOBAL, Draws, Rng, as_draws
from gpuio.nd import NDArray, host_array

__all__ = [
    "Augmenter",
    "CastAug",
    "CenterCropAug",
    "ForceResizeAug",
    "HorizontalFlipAug",
    "RandomCropAug",
    "RandomOrderAug",
    "RandomSizedCropAug",
    "ResizeAug",
    "SequentialAug",
]

Shape = tuple[int, ...]


def plain_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Turn arrays into lists, so that `dumps` can write them as JSON."""
    return {
        name: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        for name, value in kwargs.items()
    }


def shown(augmenter: Any) -> str:
    """Return an augmenter as it would be written: "ResizeAug(size=256, interp=2)"."""
    held = (getattr(augmenter, name, None) for name in ("ts", "aug_list", "augmenter"))
    parts = [f"{one!r}" for one in held if one is not None]
    if not parts:
        given = getattr(augmenter, "_kwargs", {})
        parts = [f"{name}={value!r}" for name, value in given.items()]
    return f"{type(augmenter).__name__}({', '.join(parts)})"


class Augmenter:
    """Base of every image augmenter: a callable from image to image.

    Parameters
    ----------
    **kwargs                what `dumps` returns about this augmenter

    Notes
    -----
    Your subclass gives either ``__call__(src) -> image``, as in MXNet, or `draw` and `apply`; with
    the latter two, iterators run it on their worker threads. `draws` is the augmenter's own
    generator, None for the global ones.
    """

    draws: Draws | None = None

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = plain_kwargs(kwargs)

    def __repr__(self) -> str:
        return shown(self)

    def dumps(self) -> Any:
        """Return name and arguments as JSON text; sequences return a list of such texts."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    @property
    def is_random(self) -> bool:
        """Whether `draw` draws anything."""
        return True

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        """Draw the numbers for one image.

        Parameters
        ----------
        shape : (height, width, channels)       of the image that `apply` will get
        draws : Draws                           used unless the augmenter has a generator of its own

        Returns
        -------
        plan                    whatever `apply` needs
        shape                   of the image that `apply` will return
        """
        raise NotImplementedError("Must override implementation.")

    def apply(self, src: Any, plan: Any) -> Any:
        """Carry out what `draw` planned; safe to call from several threads at once."""
        raise NotImplementedError("Must override implementation.")

    def __call__(self, src: Any) -> Any:
        plan, _ = self.draw(tuple(src.shape), self.draws or GLOBAL)
        return self.apply(src, plan)


def own_draws(rng: Rng) -> Draws | None:
    """Return the generator an augmenter keeps: none of its own when `rng` is None."""
    return None if rng is None else as_draws(rng)


class SequentialAug(Augmenter):
    """Apply augmenters one after the other.

    Parameters
    ----------
    ts : list of Augmenter
    """

    def __init__(self, ts: Sequence[Any]) -> None:
        super().__init__()
        self.ts = list(ts)

    def dumps(self) -> list[Any]:
        return [type(self).__name__.lower(), [aug.dumps() for aug in self.ts]]

    @property
    def is_random(self) -> bool:
        return any(aug.is_random for aug in self.ts)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        return draw_all(self.ts, shape, self.draws or draws)

    def apply(self, src: Any, plan: Any) -> Any:
        for aug, part in plan:
            src = aug.apply(src, part)
        return src

    def __call__(self, src: Any) -> Any:
        for aug in self.ts:
            src = aug(src)
        return src


def in_two_steps(aug: Any) -> bool:
    """Whether an augmenter gives `draw` and `apply`, and a call does just these two.

    False for callables of other kinds and for subclasses that override ``__call__``.
    """
    if isinstance(aug, SequentialAug):
        own = type(aug).__call__ in (SequentialAug.__call__, RandomOrderAug.__call__)
        return own and all(in_two_steps(member) for member in aug.ts)
    if not isinstance(aug, Augmenter):
        return False
    return type(aug).__call__ is Augmenter.__call__ and type(aug).draw is not Augmenter.draw


def draw_all(augs: Sequence[Any], shape: Shape, draws: Draws) -> tuple[list[Any], Shape]:
    """Draw for each augmenter in turn; the plan is a list of (augmenter, its plan)."""
    plan = []
    for aug in augs:
        part, shape = aug.draw(shape, aug.draws or draws)
        plan.append((aug, part))
    return plan, shape


class RandomOrderAug(SequentialAug):
    """Apply augmenters in a random order.

    Parameters
    ----------
    ts : list of Augmenter      shuffled in place at every call, from the order of the call before
    rng : optional              see `gpuio.image.draws`; of the order, not of the members
    """

    def __init__(self, ts: Sequence[Any], *, rng: Rng = None) -> None:
        super().__init__(ts)
        self.draws = own_draws(rng)

    @property
    def is_random(self) -> bool:
        return True

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        order = (self.draws or draws).shuffle(self.ts)
        return draw_all(order, shape, draws)

    def __call__(self, src: Any) -> Any:
        (self.draws or GLOBAL).shuffle(self.ts)
        return super().__call__(src)


class _Resizing(Augmenter):
    """An augmenter whose plan is a `geometry.Resize`."""

    def __init__(self, size: Any, interp: int, rng: Rng) -> None:
        super().__init__(size=size, interp=interp)
        self.size, self.interp, self.draws = size, interp, own_draws(rng)

    @property
    def is_random(self) -> bool:
        return self.interp == geometry.RANDOM

    def apply(self, src: Any, plan: Any) -> NDArray:
        return ops.imresize(src, *plan)


class ResizeAug(_Resizing):
    """Bring the shorter edge to `size` pixels.

    Parameters
    ----------
    size : int                  pixels, >= 1
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; used by interp 10 only
    """

    def __init__(self, size: int, interp: int = 2, *, rng: Rng = None) -> None:
        super().__init__(size, interp, rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        plan = geometry.plan_resize_short(shape, self.size, self.interp, self.draws or draws)
        return plan, (plan.height, plan.width, *shape[2:])


class ForceResizeAug(_Resizing):
    """Resize to exactly `size`; the aspect ratio is not kept.

    Parameters
    ----------
    size : (width, height)      pixels
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; used by interp 10 only
    """

    def __init__(self, size: Sequence[int], interp: int = 2, *, rng: Rng = None) -> None:
        super().__init__(size, interp, rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        width, height = self.size
        plan = geometry.plan_resize(shape, width, height, self.interp, self.draws or draws)
        return plan, (height, width, *shape[2:])


class _Cropping(Augmenter):
    """An augmenter whose plan is a `geometry.Crop`."""

    def __init__(self, size: Any, interp: int, rng: Rng, **kwargs: Any) -> None:
        super().__init__(size=size, **kwargs, interp=interp)
        self.size, self.interp, self.draws = size, interp, own_draws(rng)

    def plan(self, shape: Shape, draws: Draws) -> geometry.Crop:
        """Choose the window."""
        raise NotImplementedError

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        plan = self.plan(shape, self.draws or draws)
        return plan, plan.shape(shape)

    def apply(self, src: Any, plan: Any) -> NDArray:
        return host_array(ops.crop(np.asarray(src), plan))


class RandomCropAug(_Cropping):
    """Crop `size` at a random place; see `random_crop`.

    Parameters
    ----------
    size : (width, height)      pixels
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`
    """

    def __init__(self, size: Sequence[int], interp: int = 2, *, rng: Rng = None) -> None:
        super().__init__(size, interp, rng)

    def plan(self, shape: Shape, draws: Draws) -> geometry.Crop:
        return geometry.plan_random_crop(shape, self.size, self.interp, draws)


class CenterCropAug(_Cropping):
    """Crop `size` around the centre; see `center_crop`.

    Parameters
    ----------
    size : (width, height)      pixels
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional              see `gpuio.image.draws`; used by interp 10 only
    """

    def __init__(self, size: Sequence[int], interp: int = 2, *, rng: Rng = None) -> None:
        super().__init__(size, interp, rng)

    @property
    def is_random(self) -> bool:
        return self.interp == geometry.RANDOM

    def plan(self, shape: Shape, draws: Draws) -> geometry.Crop:
        return geometry.plan_center_crop(shape, self.size, self.interp, draws)


class RandomSizedCropAug(_Cropping):
    """Crop a window of random area and aspect ratio to `size`; see `random_size_crop`.

    Parameters
    ----------
    size : (width, height)          pixels
    area : float or (low, high)     fraction of the image's area
    ratio : (low, high)             width / height
    interp : {0, 1, 2, 3, 4, 9, 10}, default 2 (cubic)
    rng : optional                  see `gpuio.image.draws`
    min_area                        MXNet's old name of `area`
    """

    def __init__(
        self,
        size: Sequence[int],
        area: Any,
        ratio: Sequence[float],
        interp: int = 2,
        *,
        rng: Rng = None,
        **kwargs: Any,
    ) -> None:
        # as in MXNet, dumps returns the argument as it was given, not what min_area made of it
        super().__init__(size, interp, rng, area=area, ratio=ratio)
        self.area = geometry.take_min_area(area, kwargs, "RandomSizedCropAug")
        self.ratio = ratio

    def plan(self, shape: Shape, draws: Draws) -> geometry.Crop:
        return geometry.plan_random_size_crop(
            shape, self.size, self.area, self.ratio, self.interp, draws
        )


class HorizontalFlipAug(Augmenter):
    """Flip left to right with probability `p`.

    Parameters
    ----------
    p : float               in [0, 1]
    rng : optional          see `gpuio.image.draws`
    """

    def __init__(self, p: float, *, rng: Rng = None) -> None:
        super().__init__(p=p)
        self.p, self.draws = p, own_draws(rng)

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:
        return (self.draws or draws).random() < self.p, shape

    def apply(self, src: Any, plan: Any) -> Any:
        return flip_columns(src) if plan else src


def flip_columns(src: Any) -> NDArray:
    """Return the mirror image as a new array."""
    with working:
        import cv2

    image = np.asarray(src)
    if image.dtype in (np.uint8, np.float32) and image.ndim == 3 and image.shape[2] <= 4:
        return host_array(cv2.flip(image, 1).reshape(image.shape))
    return host_array(np.ascontiguousarray(image[:, ::-1]))


class CastAug(Augmenter):
    """Cast to another dtype; fractions are cut off, as numpy does.

    Parameters
    ----------
    typ : dtype, default "float32"
    """

    def __init__(self, typ: str = "float32") -> None:
        super().__init__(type=typ)
        self.typ = typ

    @property
    def is_random(self) -> bool:
        return False

    def draw(self, shape: Shape, draws: Draws) -> tuple[Any, Shape]:  # noqa: ARG002
        return None, shape

    def apply(self, src: Any, plan: Any) -> NDArray:  # noqa: ARG002
        try:
            return host_array(np.asarray(src).astype(self.typ))
        except TypeError as error:
            raise OptionError(f"CastAug(typ={self.typ!r}): {error}") from error
