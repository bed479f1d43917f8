"""Classification: labels are numbers of a record, whatever happens to its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.options.image_record import ImageRecordOptions
from gpuio.order.epochs import Order
from gpuio.plan.mix import Mixer
from gpuio.plan.planner import Planner
from gpuio.recordio.index import RecordTable
from gpuio.recordio.layouts import Contents, recognise
from gpuio.storage.stored import StoredFile
from gpuio.tasks.labelling import open_labels
from gpuio.tasks.labels import RecordLabels
from gpuio.tasks.task import Draws

__all__ = ["Classify"]


@attrs.frozen
class Classify:
    """The task of `ImageRecordIter`: see `Task`."""

    declared: ClassVar[type[ImageRecordOptions]] = ImageRecordOptions
    options: ImageRecordOptions

    @property
    def classes(self) -> int | None:
        """The option num_classes."""
        return self.options.num_classes

    def draws(self) -> Draws:
        """Return the planner, and the mixer where soft labels are asked for."""
        planner, mixer = Planner(self.options), Mixer(self.options)
        return Draws(planner, mixer if self.options.num_classes is not None else None)

    def contents(self, table: RecordTable) -> Contents:
        """Return what the records are, as record_layout and payload say or let be found out."""
        return recognise(table, self.options.record_layout, self.options.payload)

    def open_labels(
        self,
        contents: Contents,
        files: Sequence[StoredFile],  # noqa: ARG002 -- opened where they must be looked at
        order: Order,  # noqa: ARG002 -- all of the set is asked, not a part
    ) -> RecordLabels:
        """Decide how labels are made: see `labelling.open_labels`."""
        return open_labels(self.options, contents)

    def subtracted(
        self,
        mean: npt.NDArray[np.float32],  # noqa: ARG002 -- replaced by the image
        mean_image: npt.NDArray[np.float32] | None,
    ) -> npt.NDArray[np.float32] | None:
        """Return the mean image, which is subtracted instead of the means."""
        return mean_image

    def unmixed(self, **changes: Any) -> Self:
        """Return the task with some options changed, and without mixtures of images."""
        changes |= {"num_classes": None, "mixup_alpha": 0.0, "cutmix_alpha": 0.0}
        return attrs.evolve(self, options=attrs.evolve(self.options, **changes))
