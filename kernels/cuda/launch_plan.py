"""What a batch asks of the CUDA kernels: its tables, its scratch memory, and the launches in order.

Everything that does not depend on a pixel is worked out here, for all rows at once: which steps an
image has, where each reads and writes, the taps' scale. The kernels read one `VIEW` an image and a
stage. A step that only crops is folded into the step before it, so the common chains (one resize,
one crop, a flip) are a single launch; an image with more resamplings, or with a contrast change,
which needs the mean of the whole window first, takes a stage for each. A tone step that reads more
of the window than one pixel has a launch of its own, and a plan of the colour steps before it; the
last step's plan has those after it. A batch of common chains
alone is worked out by `common_views`, compiled; what is here defines what that has to find.

Addresses are plain integers: nothing here knows what kind of memory they point into.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpuio.kernels import normalise
from gpuio.kernels.cuda import stage
from gpuio.kernels.cuda.stage import (
    BORDER,
    COMMON,
    COPY,
    EXPAND,
    LETTERBOX,
    OPEN,
    POST_AFFINE,
    PRE_COLOUR,
    VIEW,
    WARP,
    Taps,
    oriented,
    settle,
)
from gpuio.kernels.cuda.validate import goal, invalid_rows
from gpuio.kernels.plan import layout as plan_layout
from gpuio.kernels.plan.interpolation import CODES, cuda_cases
from gpuio.kernels.plan.layout import BILINEAR, CONTRAST, SOLARIZE, TONES, c_enum, c_struct

__all__ = ["BLOCK", "JOB", "MAX_ROWS", "Launch", "LaunchPlan", "compiled_pass", "declarations"]

JOB = np.dtype(
    [
        ("plans", np.uint64),  # const Plan*
        ("views", np.uint64),  # const View*
        ("terms", np.uint64),  # const float[n][3][4]: mean, factor, shift
        ("sums", np.uint64),  # unsigned long long[n][1 + TONES]: of the window's gray values
        ("mean_image", np.uint64),  # const float[C][H][W], or 0
        ("out", np.uint64),
        ("height", np.int32),
        ("width", np.int32),
        ("slot", np.int32),  # which of an image's sums `gray_sum` makes
    ],
    align=True,
)

BLOCK = 256  # threads
MAX_ROWS = 65_535  # blocks along y or z of a grid
_TILE, _TILE_THREADS = 32, 64  # the last step's: pixels per side and threads per block
_SUM_BLOCKS = 8  # of gray_sum, per image
_ALIGN = 256  # bytes: between tables, and between images in scratch memory
# codes that the CUDA source names beside the interpolations: tones, bits, kinds of a view
_CODES = (
    ("BRIGHTNESS CONTRAST SATURATION POSTERIZE SOLARIZE", plan_layout),
    ("SHARPNESS AUTOCONTRAST EQUALIZE", plan_layout),
    ("PRE_COLOUR_HLS PRE_COLOUR_GAIN", plan_layout),
    ("COPY HALVE WARP BORDER SHRINK SHRINK_WHOLE POST_AFFINE PRE_COLOUR EXPAND LETTERBOX", stage),
)
_STEPS = ("resize", "expand", "warp", "pad", "upscale1", "upscale2")


def compiled_pass() -> Any:
    """Return the function that makes the views of common rows; loads or compiles it once."""
    from gpuio.kernels.cuda.common_views import common_views  # noqa: PLC0415 -- loads Numba

    return common_views


class Launch(NamedTuple):
    """One kernel launch: name, grid and block as CUDA counts them (x first), arguments."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int]
    args: tuple[np.uint64]


class _Task(NamedTuple):
    """One launch before the last step: the views it reads, the plans, and the sum it makes."""

    kernel: str
    views: int
    plans: int
    slot: int


def declarations() -> str:
    """Return what stands in front of the CUDA source: structs, codes and sizes."""
    sizes = {"BLOCK": BLOCK, "TILE": _TILE, "TILE_THREADS": _TILE_THREADS, "SUMS": 1 + TONES}
    return "".join(
        [
            c_struct("Plan"),
            c_struct("View", VIEW),
            c_struct("Job", JOB),
            c_enum(" ".join(CODES), CODES),
            cuda_cases(),
            *(c_enum(names, vars(module)) for names, module in _CODES),
            *(f"const int {name} = {value};\n" for name, value in sizes.items()),
        ]
    )


class LaunchPlan:
    """One batch's work.

    Parameters
    ----------
    rows : PLAN[n]
    addresses : uint64[n]           decoded uint8[src_h, src_w, C], packed; 0 = no image
    channels, height, width : int   of an output image
    swapped : bool[n], optional     whose images have their 3 channels in R, G, B order, not B, G, R
    dtype : {"float32", "float16", "bfloat16", "uint8", "int8"}
    layout : {"NCHW", "NHWC"}
    mean, std : float32[C]
    scale : float
    mean_image : float32[C, H, W], optional
    ratio : bool                    values of floats are ``(p - mean) / std * scale``

    Attributes
    ----------
    invalid : list of int           rows whose plan does not fit its image; left zero
    table_bytes, scratch_bytes : int
                                    device memory that `bind` needs

    Raises
    ------
    ValueError                      more than `MAX_ROWS` rows, or a `mean_image` of another shape
                                    than the output
    """

    def __init__(
        self,
        rows: Any,
        addresses: Any,
        *,
        channels: int,
        height: int,
        width: int,
        dtype: str,
        layout: str,
        mean: Any,
        std: Any,
        scale: float,
        mean_image: Any = None,
        ratio: bool = False,
        swapped: Any = False,
    ) -> None:
        if len(rows) > MAX_ROWS:
            raise ValueError(f"{len(rows)} rows: one launch takes {MAX_ROWS}")
        self._rows = np.ascontiguousarray(rows)
        self._channels, self._height, self._width = channels, height, width
        ratio = ratio and dtype not in ("uint8", "int8")
        self._kernel = f"{dtype}{'_ratio' * ratio}_{layout.lower()}_{channels}"
        self._mean_image = self._centre(mean_image, dtype)
        self.scratch_bytes = 0
        self.invalid: list[int] = []
        self._tasks: list[_Task] = []
        self._views: list[npt.NDArray[Any]] = []  # of tasks; the last step's are in _now
        self._plans = [self._rows]  # as given, of each tone launch, of the last step
        self._taps = Taps()
        given = _given(dtype, mean, std, scale, ratio)
        self._common = self._make_common(addresses, swapped, *given)
        if not self._common:
            self._terms = _terms(self._rows, *given)
            self._now = oriented(self._rows, addresses, channels, swapped)
            self.invalid = self._refuse()
            self._walk()
            self._sum(self._plans[-1])
        self._parts = self._tables()
        starts = [0]
        for part in self._parts:
            starts.append(starts[-1] + -(-part.nbytes // _ALIGN) * _ALIGN)
        self.table_bytes = starts.pop()
        self._starts = starts

    def _make_common(
        self,
        addresses: Any,
        swapped: Any,
        given: npt.NDArray[np.float32],
        scale: np.float32,
        own: int,
    ) -> bool:
        """Make views and terms in one compiled pass; False if a row is not a common one."""
        common_views = compiled_pass()
        count = len(self._rows)
        self._now, self._terms = np.zeros(count, VIEW), np.empty((count, 3, 4), np.float32)
        marks = np.empty(count, np.bool_)
        marks[:] = swapped
        made: int = common_views(
            self._rows,
            np.ascontiguousarray(addresses, np.uint64),
            marks,
            self._channels,
            self._height,
            self._width,
            self._mean_image is not None,
            given,
            scale,
            own,
            self._now,
            self._terms,
        )
        return made == count

    def bind(
        self,
        tables_address: int,
        scratch_address: int,
        out_address: int,
        memory: npt.NDArray[np.uint8] | None = None,
    ) -> tuple[npt.NDArray[np.uint8], list[Launch]]:
        """Return what to copy to `tables_address` and what to launch after that.

        Parameters
        ----------
        tables_address, scratch_address, out_address : int
                                    of device memory
        memory : uint8[table_bytes], optional
                                    host; receives what is to be copied, and is returned

        Returns
        -------
        uint8[table_bytes]          host
        list of Launch              for one stream, in order
        """
        host = np.empty(self.table_bytes, np.uint8) if memory is None else memory
        stops = [*self._starts[1:], self.table_bytes]
        at = [tables_address + start for start in self._starts]
        jobs, *_, views = self._parts
        centre = at[4] if self._mean_image is not None else 0
        jobs[:] = at[1], at[-1], at[2], at[3], centre, out_address, self._height, self._width, 0
        for job, task in zip(jobs, self._tasks, strict=False):
            job["views"] += np.uint64(task.views * views[0].nbytes)
            self._use(job, task.plans)
            job["slot"] = task.slot
        if self._tasks:
            jobs["views"][-1] += np.uint64(len(self._views) * views[0].nbytes)
            self._use(jobs[-1], len(self._plans) - 1)
        for start, stop, part in zip(self._starts, stops, self._parts, strict=True):
            end = start + part.nbytes
            if part.size:
                host[start:end] = part.reshape(-1).view(np.uint8)
            if end < stop:
                host[end:stop] = 0
        if self.scratch_bytes or self._parts[5].size:
            views = host[self._starts[-1] :][: views.nbytes].view(VIEW)
            settle(views, ("source", "target"), scratch_address)
            settle(views, ("taps_y", "taps_x"), at[5])
        return host, self._launches(at[0])

    def _use(self, job: Any, number: int) -> None:
        """Let a job, JOB[()], read the plans of that number, and their sums."""
        job["plans"] += np.uint64(number * self._rows.nbytes)
        job["sums"] += np.uint64(number * len(self._rows) * (1 + TONES) * 8)

    def _centre(self, mean_image: Any, dtype: str) -> npt.NDArray[np.float32] | None:
        """Return the mean image as the kernels read it, or None: uint8 ignores it, int8 rounds."""
        if mean_image is None or dtype == "uint8":
            return None
        shape = (self._channels, self._height, self._width)
        if np.shape(mean_image) != shape:
            raise ValueError(f"the mean image is {np.shape(mean_image)}, the output {shape}")
        values = normalise.round_half_away(mean_image) if dtype == "int8" else mean_image
        return np.ascontiguousarray(values, np.float32)

    def _tables(self) -> list[npt.NDArray[Any]]:
        """Return the tables, addresses open: jobs, plans, terms, sums, mean image, taps, views.

        Jobs are those of the tasks and of the last step; views, plans and sums of plans lie one
        after the other.
        """
        count = len(self._rows)
        return [
            np.zeros(len(self._tasks) + 1, JOB),
            self._rows if len(self._plans) == 1 else np.concatenate(self._plans),
            self._terms,
            np.zeros(len(self._plans) * count * (1 + TONES), np.uint64),
            np.zeros(0) if self._mean_image is None else self._mean_image,
            np.concatenate(self._taps.parts),
            np.stack([*self._views, self._now]) if self._views else self._now[None],
        ]

    def _launches(self, jobs: int) -> list[Launch]:
        """Return the launches: those of the tasks, the last step."""
        count = len(self._rows)
        args = [(np.uint64(jobs + k * JOB.itemsize),) for k in range(len(self._tasks) + 1)]
        launches = []
        for task, arg in zip(self._tasks, args, strict=False):
            blocks = 1
            if task.kernel == "stage":
                views = self._views[task.views]
                largest = int((views["h"].astype(np.int64) * views["w"]).max())
                blocks = min(max(-(-largest // BLOCK), 1), 4096)
            elif task.kernel == "gray_sum":
                blocks = _SUM_BLOCKS
            name = f"{task.kernel}_{self._channels}"
            launches.append(Launch(name, (blocks, count), (BLOCK,), arg))
        tiles = -(-self._width // _TILE), -(-self._height // _TILE)
        grid = (*tiles, count)
        launches.append(Launch(f"finish_{self._kernel}", grid, (_TILE_THREADS,), args[-1]))
        return launches

    def _sum(self, rows: npt.NDArray[Any]) -> None:
        """Make the sums that somebody needs of the next views by the last plans: jitter, tones.

        A sum needs those before it.
        """
        sums = [rows["jitter"].any(), *np.atleast_1d(_contrasts(rows).any(0))]
        for slot in np.flatnonzero(sums).tolist():
            self._tasks.append(_Task("gray_sum", len(self._views), len(self._plans) - 1, slot))

    def _refuse(self) -> list[int]:
        """Take out the rows that ask for what is not there, and return them."""
        now = self._now
        size = now["dst_h"].astype(np.int64), now["dst_w"].astype(np.int64)
        bad = invalid_rows(self._rows, *size, self._channels, self._height, self._width)
        bad &= now["source"] != 0
        now["source"][bad] = 0
        return np.flatnonzero(bad).tolist()

    def _walk(self) -> None:
        """Go through the steps: a stage for each that another reads, the last one in `_now`."""
        rows, now = self._rows, self._now
        has = np.stack([rows["pad" if name == "pad" else f"{name}_h"] > 0 for name in _STEPS])
        has[_STEPS.index("expand")] |= (rows["pre_colour"] != 0) | (rows["flip"] != 0)
        goal_h, goal_w = goal(self._rows, self._height, self._width)
        fits = (rows["crop_h"] == goal_h) & (rows["crop_w"] == goal_w)
        corner_y, corner_x = rows["crop_y"].copy(), rows["crop_x"].copy()
        order = np.arange(1, len(_STEPS) + 1)[:, None]
        last = np.where(fits, (has * order).max(axis=0), len(_STEPS) + 1)
        alive = now["source"] != 0
        for step, name in enumerate(_STEPS, 1):
            mine = has[step - 1] & alive
            if not mine.any():
                continue
            if name == "expand":
                cut = mine & ~fits & ~has[step:].any(axis=0)
                self._expand(mine, cut)
                mine &= rows["expand_h"] > 0
                cut &= mine
                corner_y[cut] = corner_x[cut] = 0
            else:
                self._aim(name, mine)
            self._store(mine & (last > step))
        now["y"], now["x"] = corner_y, corner_x
        self._crop(~fits & alive)
        self._letterbox((rows["letterbox_h"] > 0) & alive)
        now["h"], now["w"] = self._height, self._width
        self._post_affine((rows["post_affine_on"] != 0) & alive)
        # the last step knows the common kinds only, and reads a contrast's window twice
        wide = _wide(rows) & alive[:, None]
        twice = (rows["jitter"] != 0) | _contrasts(rows).any(1) | wide.any(1)
        self._store(alive & (twice | ~np.isin(now["kind"], COMMON)))
        if wide.any():
            self._tone(alive)
        now["plain"] = self._plain()

    def _plain(self) -> npt.NDArray[np.bool_]:
        """Say of which rows the last step does no more than resample and normalise neighbours."""
        rows, now = self._rows, self._now
        wide = np.where(now["kind"] == COPY, now["dst_w"], now["src_w"]) > 1
        neighbours = wide & (np.abs(now["step_x"]) == self._channels)
        more = sum(
            rows[name] != 0 for name in ("jitter", "hls_on", "pca_on", "tone_count", "erase_h")
        )
        plain: npt.NDArray[np.bool_] = neighbours & (more == 0) & (self._mean_image is None)
        return plain

    def _expand(self, mine: npt.NDArray[np.bool_], cut: npt.NDArray[np.bool_]) -> None:
        """Tint, flip and frame what some rows read; of those in `cut` their crop alone."""
        coloured = mine & (self._rows["pre_colour"] != 0)
        now = self._now[coloured]
        now["kind"], now["src_h"], now["src_w"] = PRE_COLOUR, now["dst_h"], now["dst_w"]
        now["h"], now["w"], now["y"], now["x"] = now["dst_h"], now["dst_w"], 0, 0
        self._now[coloured] = now
        self._store(coloured)
        flipped = mine & (self._rows["flip"] != 0)
        now = self._now[flipped]
        now["source"] += ((now["dst_w"] - 1) * now["step_x"]).astype(np.uint64)
        now["step_x"] = -now["step_x"]
        self._now[flipped] = now
        expanded = mine & (self._rows["expand_h"] > 0)
        now, rows, cut = self._now[expanded], self._rows[expanded], cut[expanded]
        now["kind"], now["src_h"], now["src_w"] = EXPAND, now["dst_h"], now["dst_w"]
        now["dst_h"], now["dst_w"] = rows["expand_h"], rows["expand_w"]
        for name, whole in (("h", "dst_h"), ("w", "dst_w"), ("y", None), ("x", None)):
            now[name] = np.where(cut, rows[f"crop_{name}"], now[whole] if whole else 0)
        self._now[expanded] = now

    def _letterbox(self, mine: npt.NDArray[np.bool_]) -> None:
        """Let the view of some rows lay its window in the upper left of the output."""
        if not mine.any():
            return
        goal_h, goal_w = goal(self._rows, self._height, self._width)
        self._now["h"][mine], self._now["w"][mine] = goal_h[mine], goal_w[mine]
        self._store(mine)
        now = self._now[mine]
        now["kind"], now["src_h"], now["src_w"] = LETTERBOX, now["dst_h"], now["dst_w"]
        now["dst_h"], now["dst_w"] = self._height, self._width
        self._now[mine] = now

    def _aim(self, name: str, mine: npt.NDArray[np.bool_]) -> None:
        """Let the view of some rows make step `name` of what it reads, all of it."""
        now, rows = self._now[mine], self._rows[mine]
        now["src_h"], now["src_w"] = now["dst_h"], now["dst_w"]
        if name == "pad":
            now["dst_h"] += 2 * rows["pad"]
            now["dst_w"] += 2 * rows["pad"]
            now["kind"] = BORDER
        else:
            now["dst_h"], now["dst_w"] = rows[f"{name}_h"], rows[f"{name}_w"]
            now["inter"] = rows[f"{name}_inter"]
            now["kind"] = WARP
            if name == "warp":
                self._taps.warp(now)
            else:
                self._taps.resize(now, self._channels)
        now["h"], now["w"], now["y"], now["x"] = now["dst_h"], now["dst_w"], 0, 0
        self._now[mine] = now

    def _crop(self, mine: npt.NDArray[np.bool_]) -> None:
        """Let the view of some rows resize their crop to the output."""
        now, rows = self._now[mine], self._rows[mine]
        now["source"] += (now["y"] * now["step_y"] + now["x"] * now["step_x"]).astype(np.uint64)
        now["y"], now["x"] = 0, 0
        now["src_h"], now["src_w"] = rows["crop_h"], rows["crop_w"]
        goal_h, goal_w = goal(self._rows, self._height, self._width)
        now["dst_h"], now["dst_w"] = goal_h[mine], goal_w[mine]
        now["inter"] = rows["crop_inter"]
        self._taps.resize(now, self._channels)
        self._now[mine] = now

    def _post_affine(self, mine: npt.NDArray[np.bool_]) -> None:
        """Let the view of some rows warp the window that they make."""
        if not mine.any():
            return
        self._store(mine)
        now = self._now[mine]
        now["src_h"], now["src_w"] = self._height, self._width
        now["kind"], now["inter"] = POST_AFFINE, BILINEAR
        self._taps.warp(now)
        self._now[mine] = now

    def _tone(self, alive: npt.NDArray[np.bool_]) -> None:
        """Make the tone steps that read more than a pixel, and all colours before the last one.

        Each time the first one of every row that still has one is made.
        """
        rest = self._rows.copy()
        while (wide := _wide(rest) & alive[:, None]).any():
            mine, first = np.asarray(wide.any(1)), wide.argmax(1)
            turn = rest.copy()
            turn["tone_count"] = np.where(mine, first + 1, 0)
            turn["jitter"][~mine] = 0
            self._plans.append(turn)
            self._sum(turn)
            self._store(mine, "tone")
            for name in ("jitter", "hls_on", "pca_on"):
                rest[name][mine] = 0
            rest["tone_count"][mine] -= first[mine] + 1
            ahead = np.minimum(np.arange(TONES) + first[:, None] + 1, TONES - 1)[mine]
            for name in ("tone_op", "tone_arg"):
                rest[name][mine] = np.take_along_axis(rest[name][mine], ahead, 1)
        self._plans.append(rest)

    def _store(self, mine: npt.NDArray[np.bool_], kernel: str = "stage") -> None:
        """Make a stage of the views of some rows, and let their views read its result.

        A tone step has room for two images: the second is the one that it reads.

        Addresses in scratch memory have their highest bit set until `bind` knows where it is.
        """
        if not mine.any():
            return
        now = self._now[mine]
        size = now["h"].astype(np.int64) * now["w"] * self._channels
        size *= 2 if kernel == "tone" else 1
        ends = np.cumsum(-(-size // _ALIGN) * _ALIGN)
        starts = self.scratch_bytes + ends - (-(-size // _ALIGN) * _ALIGN)
        self.scratch_bytes += int(ends[-1])
        now["target"] = starts.astype(np.uint64) | np.uint64(OPEN)
        stage = np.zeros(len(self._rows), VIEW)
        stage[mine] = now
        self._tasks.append(_Task(kernel, len(self._views), len(self._plans) - 1, 0))
        self._views.append(stage)
        now["source"], now["target"], now["swap"] = now["target"], 0, 0
        now["step_y"], now["step_x"] = now["w"].astype(np.int64) * self._channels, self._channels
        now["dst_h"], now["dst_w"] = now["h"], now["w"]
        now["kind"], now["y"], now["x"] = COPY, 0, 0
        self._now[mine] = now


def _given(
    dtype: str, mean: Any, std: Any, scale: float, ratio: bool
) -> tuple[npt.NDArray[np.float32], np.float32, int]:
    """Return what the terms of all rows have in common.

    Returns
    -------
    float32[3, 4]       mean; std where it divides, alone or with a row's own; scale
    float32             scale
    int                 channels whose factor and shift are made of a row's gain and shift
    """
    made = np.zeros((3, 4), np.float32)
    mean, by = np.asarray(mean, np.float32), np.float32(scale)
    count = len(mean)
    if dtype == "int8":
        made[0, :count] = normalise.round_half_away(mean)
        return made, by, 0
    made[0, :count], made[1, :count] = mean, std
    if ratio:
        made[2, :count] = by
    return made, by, 0 if ratio else count


def _terms(
    rows: npt.NDArray[Any], given: npt.NDArray[np.float32], scale: np.float32, own: int
) -> npt.NDArray[np.float32]:
    """Return mean, factor and shift, or mean, std and scale, of each row, float32[n, 3, 4]."""
    made = np.tile(given, (len(rows), 1, 1))
    std = given[1, :own]
    made[:, 1, :own] = (rows["gain"] * scale)[:, None] / std
    made[:, 2, :own] = (rows["shift"] * scale)[:, None] / std
    return made


def _contrasts(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which tone steps change contrast, bool[n, TONES]."""
    taken = np.arange(TONES) < rows["tone_count"][:, None]
    return np.asarray(taken & (rows["tone_op"] == CONTRAST))


def _wide(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which tone steps need more of the window than the pixel they change, bool[n, TONES]."""
    taken = np.arange(TONES) < rows["tone_count"][:, None]
    return np.asarray(taken & (rows["tone_op"] > SOLARIZE))
