"""Detection: labels are boxes, which move with the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.order.epochs import Order
from gpuio.plan.planner_det import DetPlanner
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import Contents, recognise
from gpuio.recordio.parts import check_few
from gpuio.storage.stored import StoredFile
from gpuio.tasks.box_labels import BoxLabels, measure_labels
from gpuio.tasks.task import Draws

__all__ = ["Detect"]


@attrs.frozen
class Detect:
    """The task of `ImageDetRecordIter`: see `Task`."""

    declared: ClassVar[type[ImageDetRecordOptions]] = ImageDetRecordOptions
    options: ImageDetRecordOptions

    @property
    def classes(self) -> int | None:
        """None: the options state none."""
        return None

    def draws(self) -> Draws:
        """Return the planner; with aug_stream='mxnet' it follows the order of all records."""
        planner = DetPlanner(self.options)
        follow = planner.follow if self.options.aug_stream == "mxnet" else None
        return Draws(planner, follow=follow)

    def contents(self, table: RecordTable) -> Contents:
        """Return image records, one per image."""
        return recognise(table, "plain", "image_record")

    def open_labels(
        self, contents: Contents, files: Sequence[StoredFile], order: Order
    ) -> BoxLabels:
        """Measure the part's labels, or those of path_imglist: see `measure_labels`."""
        if not self.options.path_imglist:
            check_few(contents.table, "ImageDetRecordIter")
        sizes, listed = measure_labels(contents.table, files, order.rows(), self.options)
        return BoxLabels(self.options, sizes, listed)

    def subtracted(
        self, mean: npt.NDArray[np.float32], mean_image: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32] | None:
        """Return the mean image unless there are means: these come first."""
        return None if mean.any() else mean_image

    def unmixed(self, **changes: Any) -> Self:
        """Return the task with some options changed; there are no mixtures of images."""
        return attrs.evolve(self, options=attrs.evolve(self.options, **changes))
