"""What the options of all record iterators have in common: declarations, checks, forms.

An option that all of them have is declared once, in one of these mixins.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import OptionError
from gpuio.options import convert
from gpuio.options.cache import CacheOptions
from gpuio.options.declare import arranged
from gpuio.options.files import DamageOptions, FileOptions
from gpuio.options.geometry import GeometryOptions, ResampleOptions
from gpuio.options.launcher import launched
from gpuio.options.machine import GPU_ONLY, DecoderOptions, FormOptions, MachineOptions
from gpuio.options.normalise import NormaliseOptions
from gpuio.options.order import BLOCK_MIB, POOL_MIB, OrderOptions
from gpuio.storage.urls import is_url

__all__ = ["RecordOptions"]


_FILES = frozenset(["mean_img", "path_imglist"])
# all options of these, but for the few that are about pixels or labels after all; and one limit
_NO_PIXELS = frozenset(
    field.name
    for mixin in (
        *(FileOptions, OrderOptions, MachineOptions, DamageOptions, DecoderOptions, CacheOptions),
    )
    for field in attrs.fields(mixin)
    if field.name not in ("data_shape", "dtype", "path_imglist", "cache_resize")
) | {"max_scans"}


@attrs.frozen(kw_only=True, slots=False, field_transformer=arranged())
class RecordOptions(
    FileOptions,
    OrderOptions,
    MachineOptions,
    GeometryOptions,
    NormaliseOptions,
    DamageOptions,
    FormOptions,
    DecoderOptions,
    ResampleOptions,
    CacheOptions,
):
    """The options that every record iterator has.

    Attributes
    ----------
    order_seed : int        MXNet's constant, added to `seed` for the order
    ratio : bool            the normalisation divides by std, then multiplies by scale; False: it
                            multiplies by scale / std
    """

    order_seed: ClassVar[int]
    ratio: ClassVar[bool]

    def check(self) -> None:
        """Check the source, the order and the device.

        Raises
        ------
        OptionError     naming the option
        """
        if not self.path_imgrec:
            raise OptionError("path_imgrec: required, the .rec file to read")
        for name in ("data_shape", "batch_size"):
            if getattr(self, name) is None:
                raise OptionError(f"{name}: required")
        if self.num_parts == "auto":  # type: ignore[comparison-overlap]  # until now
            parts, index = launched()
            if self.part_index not in (0, index):
                raise OptionError(
                    f"part_index: {self.part_index} beside num_parts='auto', by which this process "
                    f"is part {index} of {parts}: leave it out"
                )
            object.__setattr__(self, "num_parts", parts)
            object.__setattr__(self, "part_index", index)
        if self.part_index >= self.num_parts:
            raise OptionError(
                f"part_index: expected 0 <= part_index < num_parts={self.num_parts}, "
                f"got {self.part_index}"
            )
        if self.inter_method in (5, 6, 7, 8):
            raise OptionError(f"inter_method: expected 0 to 4, 9 or 10, got {self.inter_method}")
        if self.shuffle_chunk_size and (self.path_imgidx or self.reindex):
            raise OptionError(
                "shuffle_chunk_size: works without path_imgidx and reindex only; with an index, "
                "shuffle=True permutes all records"
            )
        self._check_shuffle()
        self._check_cache()
        if self.ctx in ("cpu", "cpu_pinned"):
            for field in attrs.fields(type(self)):
                if field.name in GPU_ONLY and getattr(self, field.name) != field.default:
                    raise OptionError(f"{field.name}: a setting of the GPU, but ctx={self.ctx!r}")

    def _check_shuffle(self) -> None:
        """Check what belongs to one kind of shuffle."""
        if self.shuffle in ("full", "block") and self.shuffle_chunk_size:
            raise OptionError(
                f"shuffle_chunk_size: belongs to MXNet's shuffle, not to {self.shuffle!r}; "
                "shuffle_block_size is the size of the blocks of 'block'"
            )
        for name, usual in (("shuffle_block_size", BLOCK_MIB), ("shuffle_pool_size", POOL_MIB)):
            size = getattr(self, name)
            if size <= 0:
                raise OptionError(f"{name}: expected a number above 0, got {size:g}")
            if self.shuffle != "block" and size != usual:
                raise OptionError(f"{name}: belongs to shuffle='block', not {self.shuffle!r}")
        if self.shuffle_pool_size < self.shuffle_block_size:
            raise OptionError(
                f"shuffle_pool_size: a pool of {self.shuffle_pool_size:g} MiB holds no block of "
                f"shuffle_block_size={self.shuffle_block_size:g} MiB"
            )

    def _check_cache(self) -> None:
        """Check the options of the cache against each other."""
        if self.cache == "off":
            for name in ("cache_dir", "cache_resize"):
                if getattr(self, name):
                    raise OptionError(f"{name}: an option of the cache, but cache='off'")
            return
        if self.cache == "device" and self.cache_dir:
            raise OptionError(
                "cache_dir: has no use with cache='device', which is the GPU's memory"
            )
        if is_url(self.cache_dir):
            raise OptionError(
                "cache_dir: its file is mapped into memory, so that a URL cannot hold it: name a "
                "folder of this machine",
                path=self.cache_dir,
            )
        if self.cache == "disk" and not self.cache_dir:
            raise OptionError("cache_dir: required with cache='disk', the folder of its file")
        if self.decode_scale != "off":
            raise OptionError(
                "cache: whole images are kept, and decode_scale='auto' decodes each as small as "
                "its crop allows: leave out one of them, or use cache_resize"
            )

    def normalisation(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], float]:
        """Return mean and std (float32[channels], R, G, B (, A) or gray) and scale that apply."""
        mean, std = (
            np.array([convert.mxnet_float32(getattr(self, f"{name}_{c}")) for c in "rgba"])
            for name in ("mean", "std")
        )
        mean, std = self.applied(mean, std)
        C = self.data_shape[0]
        return mean[:C], std[:C], float(convert.mxnet_float32(self.scale))

    def applied(
        self, mean: npt.NDArray[np.float32], std: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return means and divisors, float32[4], as they apply."""
        return mean, std

    @property
    def ending(self) -> str:
        """What becomes of the last batch: `last_batch`, or what round_batch means."""
        return self.last_batch or ("borrow" if self.round_batch else "pad")

    def pixel_options(self) -> dict[str, Any]:
        """Return the options that change pixels or labels, where they differ from their defaults.

        As JSON types; of a file, whether there is one: its path says little on another machine.
        """
        found = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if field.name in _NO_PIXELS or value == field.default:
                continue
            if field.name in _FILES:
                value = True
            found[field.name] = list(value) if isinstance(value, tuple) else value
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, and the required ones."""
        return {
            field.name: getattr(self, field.name)
            for field in attrs.fields(type(self))
            if getattr(self, field.name) != field.default
        }
