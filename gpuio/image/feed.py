"""The stream of samples behind ImageIter, fetched one by one or decoded on threads ahead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpuio.image.chain import Chain, check_row, decode
from gpuio.image.source import Sample, SampleSource
from gpuio.pipeline.prefetch import Prefetcher

__all__ = ["Feed", "Loader"]


class Loader:
    """What a worker thread does with a sample.

    It holds no reference to the iterator, so that dropping the iterator stops the threads.

    Parameters
    ----------
    source : SampleSource
    chain : Chain or None           None: decode only
    data_shape : (3, H, W)
    """

    def __init__(
        self, source: SampleSource, chain: Chain | None, data_shape: tuple[int, ...]
    ) -> None:
        self._source, self._chain, self._data_shape = source, chain, data_shape

    def __call__(self, sample: Sample) -> Sample:
        """Fetch, decode and augment as far as allowed; errors wait for the sample's turn."""
        if sample.error is not None:
            return sample
        try:
            self._source.fetch(sample)
            sample.pixels = decode(sample, self._source.limits)
            if self._chain is not None:
                self._chain.begin(sample)
                if self._chain.ahead and sample.skip is None:
                    self._chain.draw(sample)
                    if sample.skip is None:
                        self.finish(sample)
        except Exception as error:  # noqa: BLE001 -- raised when the sample's turn comes
            sample.error = error
        return sample

    def finish(self, sample: Sample) -> Sample:
        """Apply what was drawn and write the result as a row of the batch."""
        assert self._chain is not None
        try:
            self._chain.finish(sample)
            sample.row = check_row(
                np.asarray(sample.pixels).transpose(2, 0, 1), self._data_shape, sample
            )
            sample.pixels = None
        except Exception as error:  # noqa: BLE001 -- raised when the sample's turn comes
            sample.error = error
        return sample


class Feed:
    """Samples in their order.

    Parameters
    ----------
    samples : iterator of Sample        not yet fetched, or fetched if there is no loader
    loader : Loader or None             prepares them on worker threads
    threads : int                       0: the loader works on the caller's thread
    depth : int                         samples made ahead

    Attributes
    ----------
    decodes : bool                      whether samples come decoded
    """

    def __init__(
        self, samples: Iterator[Sample], loader: Loader | None, threads: int, depth: int
    ) -> None:
        self.decodes, self.depth = loader is not None, depth
        self._loader, self._threads = loader, threads
        self._stream: Iterator[Sample] = samples
        if loader is not None and threads:
            self._stream = Prefetcher(
                loader, samples, depth=depth, workers=threads, name="gpuio-image"
            )
        elif loader is not None:
            self._stream = map(loader, samples)

    def __next__(self) -> Sample:
        return next(self._stream)

    def finish(self, samples: list[Sample]) -> None:
        """Apply what was drawn for each sample, on several threads."""
        assert self._loader is not None
        workers = min(self._threads, len(samples))
        if workers < 2:
            for sample in samples:
                self._loader.finish(sample)
            return
        finishing = self._loader.finish
        with Prefetcher(
            finishing, samples, depth=len(samples), workers=workers, name="gpuio-image-finish"
        ) as finished:
            for _ in finished:
                pass

    def close(self) -> None:
        """Stop the threads; may be called twice."""
        if isinstance(self._stream, Prefetcher):
            self._stream.close()
