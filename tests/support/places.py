"""Where tests that are the same everywhere make their batches: the CPU, or the rehearsal's GPU."""

import os

__all__ = ["PLACES", "SIMULATED", "there"]

SIMULATED = os.environ.get("GPUIO_SIMULATED_CUDA") == "1"

_ROOM = 8 << 20  # bytes on a GPU, whose memory is touched in the simulator as it is given
# name -> options; `cache` is what cache="host" becomes there
PLACES = {"cpu": {"ctx": "cpu", "cache": "host"}}
if SIMULATED:
    PLACES = {
        f"{decoder} {cache}": {"ctx": "gpu", "decoder": decoder, "cache": cache}
        for decoder, cache in (("dali", "device"), ("nvimgcodec", "device"), ("nvimgcodec", "host"))
    }


def there(place, options):
    """Return an iterator's options with those of a place."""
    made = {**options, **PLACES[place]}
    if "cache" not in options:
        del made["cache"]
    elif options["cache"] != "host":
        made["cache"] = options["cache"]
    elif made["cache"] == "device":
        made.setdefault("cache_size", _ROOM)
    return made
