"""Settings that gpuio does not offer, for comparisons: changed where the libraries take them.

Each is a context; what is opened inside, and while it lasts, has the setting.
"""

from __future__ import annotations

import contextlib

_FANCY = "fancy_upsampling="


@contextlib.contextmanager
def fancy_upsampling(on):
    """Make nvImageCodec's decoders use the triangular chroma filter, as ours do, or not."""
    from nvidia import nvimgcodec

    made = nvimgcodec.Decoder

    def decoder(*args, options="", **settings):
        kept = [word for word in options.split() if _FANCY not in word]
        return made(*args, options=" ".join([f":{_FANCY}{int(on)}", *kept]), **settings)

    nvimgcodec.Decoder = decoder
    try:
        yield
    finally:
        nvimgcodec.Decoder = made


@contextlib.contextmanager
def blocking_events(on):
    """Make waits for CUDA events sleep, or spin on a core."""
    import cupy

    made = cupy.cuda.Event

    class Event(made):
        def __init__(self, block=False, **settings):  # noqa: ARG002 -- it is what is overridden
            super().__init__(block=on, **settings)

    cupy.cuda.Event = Event
    try:
        yield
    finally:
        cupy.cuda.Event = made


class Under:
    """A competitor that lives in some contexts.

    Parameters
    ----------
    open_it : callable      opens the competitor
    contexts : contexts     entered before
    """

    def __init__(self, open_it, *contexts):
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            self.inner = open_it()
            stack.callback(self.inner.close)
            self.stack = stack.pop_all()

    @property
    def pixels(self):
        """What the competitor says of its pixels."""
        return getattr(self.inner, "pixels", None)

    def prepare(self):
        """Prepare the next epoch."""
        getattr(self.inner, "prepare", lambda: None)()

    def run(self):
        """Run an epoch; return its number of images."""
        return self.inner.run()

    def close(self):
        """Close the competitor and leave the contexts."""
        self.stack.close()
