"""The plan of a batch for detection: its random numbers, and its labels moved with the images.

Invariant: with aug_stream='record' a row depends on the image's size, its label, the options and
(seed, pass, record), on no other row. With aug_stream='mxnet' it depends on every record before it
as well, and on nothing else: see `gpuio.order.det_stream`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpuio.errors import RecordError
from gpuio.kernels.plan import settings as codes
from gpuio.kernels.plan.layout import PLAN
from gpuio.options.convert import mxnet_float32
from gpuio.options.image_det_record import SAMPLER_RANGES, ImageDetRecordOptions
from gpuio.order.det_stream import DetStream
from gpuio.order.epochs import Order
from gpuio.plan.planner import plan_faults
from gpuio.plan.request import Look, PlanRequest
from gpuio.plan.settings import fill, of_options, seed_bits

__all__ = ["DetPlanner"]

_MODES = {"force": codes.FORCE, "shrink": codes.SHRINK, "fit": codes.FIT}
_SHORT = ("scale", "ratio", "overlap", "sample", "object")  # fields of SAMPLERS

_Labels = npt.NDArray[np.float32]


class DetPlanner:
    """Draws the plans of batches for detection.

    Parameters
    ----------
    options : ImageDetRecordOptions     all of the augmentation, data_shape, seed, max_pixels,
                                        label_pad_value

    Notes
    -----
    How label rows lie: `gpuio.kernels.plan.box_label`.
    """

    def __init__(self, options: ImageDetRecordOptions) -> None:
        from gpuio.kernels.plan.draw_det import draw_det
        from gpuio.kernels.plan.random_bits import STATE_WORDS

        self._options = options
        self._draw = draw_det
        self._state_words = STATE_WORDS
        self._settings = _settings(options)
        self._samplers = _samplers(options)
        self._stream: DetStream | None = None

    def follow(self, order: Order, look: Look) -> None:
        """Draw from one generator that runs on through all records, as MXNet does.

        Parameters
        ----------
        order : Order
        look : callable     positions, int64[n], to heights and widths, int32[n], and labels,
                            float32[n, W], of the records there
        """
        self._stream = DetStream(order, look, self._fill)

    def draw(self, request: PlanRequest) -> npt.NDArray[np.void]:
        """Return the plan of a batch, PLAN[B], and move its labels: see `PlanMaker`."""
        passes, record, labels = request.pass_index, request.record, request.labels
        if self._stream is not None:
            return self._stream.draw(passes, record, labels)
        state = np.zeros(self._state_words, np.uint32)  # seeded anew for each row
        return self._fill(state, request.heights, request.widths, passes, record, labels)

    def _fill(
        self,
        state: npt.NDArray[np.uint32],
        heights: npt.NDArray[np.int32],
        widths: npt.NDArray[np.int32],
        pass_index: npt.NDArray[np.int64],
        record: npt.NDArray[np.int64],
        labels: _Labels,
    ) -> npt.NDArray[np.void]:
        """Run the compiled function over some rows."""
        plan = np.zeros(len(heights), PLAN)
        self._draw(
            self._settings,
            self._samplers,
            state,
            np.ascontiguousarray(heights, np.int32),
            np.ascontiguousarray(widths, np.int32),
            np.ascontiguousarray(pass_index, np.int64),
            np.ascontiguousarray(record, np.int64),
            labels,
            plan,
        )
        return plan

    def faults(self, plan: npt.NDArray[np.void]) -> list[tuple[int, RecordError]]:
        """Return each row that could not be planned, and why: see `plan_faults`."""
        return plan_faults(plan, self._options)


def _settings(options: ImageDetRecordOptions) -> npt.NDArray[np.void]:
    """Return the options as the kernel reads them, DET_SETTINGS[1]."""
    plain = of_options(options, codes.DET_OPTIONS, mxnet_float32)
    colours = ("hue", "saturation", "illumination", "contrast")
    made = {
        "continuing": options.aug_stream == "mxnet",
        "seed": seed_bits(options.seed),
        "channels": options.data_shape[0],
        "height": options.data_shape[1],
        "width": options.data_shape[2],
        "augment": options.aug_seq != "",
        "resize_on": options.resize != -1,
        "resized_by": options.resized_by(),
        "colour_on": any(plain[f"random_{name}_prob"] > 0 for name in colours),
        "resize_mode": _MODES[options.resize_mode],
        "emit_overlap": options.crop_emit_mode == "overlap",
    }
    return fill(codes.DET_SETTINGS, plain | made)


def _samplers(options: ImageDetRecordOptions) -> npt.NDArray[np.void]:
    """Return the crop samplers, SAMPLERS[num_crop_sampler]."""
    made = np.zeros(options.num_crop_sampler, codes.SAMPLERS)
    made["trials"] = options.each("max_crop_trials")
    for field, name in zip(_SHORT, SAMPLER_RANGES, strict=True):
        for end in ("min", "max"):
            made[f"{end}_{field}"] = options.each(f"{end}_crop_{name}")
    return made
