"""What stands under the engines' real classes on a GPU that is full, failing as the libraries do.

nvImageCodec lets no exception out of a decode: images are None. DALI gives an allocator's failure
inside nvJPEG the words of a damaged image.
"""

from nvidia.dali import backend as dali

from gpuio.decode.dali import DaliEngine
from gpuio.decode.nvimgcodec import NvImageCodecEngine

__all__ = ["full_dali", "full_nvimgcodec"]

DALI_SAYS = """Error in MIXED operator `nvidia.dali.fn.decoders.image`:

nvImageCodec failure: '#8'

Failed to decode sample #0
Current pipeline object is no longer valid."""


class _Decoder:
    """nvImageCodec's decoder."""

    def __init__(self, decoder, fits, given):
        self._decoder, self._fits, self._given = decoder, fits, given

    def decode(self, streams, **how):
        self._given.append(len(streams))
        if self._fits(len(streams)):
            return self._decoder.decode(streams, **how)
        return [None] * len(streams)


class _Pipeline:
    """A pipeline of DALI's."""

    def __init__(self, pipeline, fits, given):
        self._pipeline, self._fits, self._given = pipeline, fits, given

    def __getattr__(self, name):
        return getattr(self._pipeline, name)

    def feed_input(self, name, encoded):
        self._given.append(len(encoded))
        self._pipeline.feed_input(name, encoded)

    def share_outputs(self, **how):
        if not self._fits(self._given[-1]):
            raise RuntimeError(DALI_SAYS)
        return self._pipeline.share_outputs(**how)


def full_nvimgcodec(fits, given):
    """Return an engine of nvImageCodec's.

    Parameters
    ----------
    fits : callable     number of images -> whether the memory for them is there
    given : list        to which the number of images of each call is appended
    """
    engine = NvImageCodecEngine(None, 1)
    engine._decoder = _Decoder(engine._decoder, fits, given)
    return engine


# the simulated CUDA puts a function in the class's place, for devices
_OfTheHost = getattr(DaliEngine, "args", (DaliEngine,))[-1]


class _DaliEngine(_OfTheHost):
    def __init__(self, fits, given):
        self._how = fits, given
        super().__init__(None, 1)

    def _build(self, channels):
        return _Pipeline(super()._build(channels), *self._how)

    def close(self):
        self._pipelines.clear()
        dali.ReleaseUnusedMemory()


def full_dali(fits, given):
    """Return an engine of DALI's; see `full_nvimgcodec`."""
    return _DaliEngine(fits, given)
