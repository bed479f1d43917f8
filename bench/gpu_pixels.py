"""Measure how far an engine's pixels are from OpenCV's, by subsampling, share and chroma filter.

    python bench/gpu_pixels.py --images FOLDER --out results.json
    python bench/gpu_pixels.py --toy --cpu

The photos are encoded anew in each subsampling. A share of 1 leaves all to the JPEG hardware, 0 all
to the CUDA decoder. The file is written after each measurement. `within` says whether the largest
difference is at most 4 levels and the mean at most half a level, which is what the tests ask for.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from gpu_data import add_data, load_photos, save
from gpu_engines import Bare
from gpu_overrides import Under, fancy_upsampling

SUBSAMPLINGS = {"4:2:0": 0x221111, "4:4:4": 0x111111, "4:2:2": 0x211111, "4:4:0": 0x121111}
IMAGES = 16
_LARGEST, _MEAN = 4, 0.5  # levels


def encoded(blobs, subsampling):
    """Return the pictures as JPEG files of one subsampling."""
    import cv2

    how = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling]
    made = []
    for blob in blobs:
        pixels = cv2.imdecode(blob_array(blob), cv2.IMREAD_COLOR)
        made.append(cv2.imencode(".jpg", pixels, how)[1].tobytes())
    return made


def blob_array(blob):
    """Return bytes as OpenCV wants them."""
    import numpy as np

    return np.frombuffer(blob, np.uint8)


def differences(engine, blobs, device, share, fancy):
    """Return the largest and the mean difference, and the share of values that differ."""
    # DALI has the filter as an option of its own, which its engine turns on
    context = fancy_upsampling(fancy) if engine == "nvimgcodec" else contextlib.nullcontext()
    competitor = Under(
        lambda: Bare(engine, blobs, len(blobs), device, share=share, engines=1), context
    )
    found = competitor.pixels
    competitor.close()
    within = found["largest_difference"] <= _LARGEST and found["mean_difference"] <= _MEAN
    return {**found, "within": within}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--cpu", action="store_true", help="the engine's CPU mode")
    parser.add_argument("--toy", action="store_true", help="two photos")
    parser.add_argument("--engine", choices=("nvimgcodec", "dali"), default="nvimgcodec")
    parser.add_argument("--out", help="JSON file, written after every measurement")
    args = parser.parse_args(argv)
    result = {"question": __doc__.splitlines()[0], "engine": args.engine, "results": {}}
    save(args.out, result)
    device = None
    if not args.cpu:
        from gpuio.backend.gpu.cuda import CudaDevice

        device = CudaDevice(0)
    with tempfile.TemporaryDirectory() as name:
        blobs = load_photos(args.images, Path(name), 2 if args.toy else IMAGES)
    files = {name: encoded(blobs, code) for name, code in SUBSAMPLINGS.items()}
    shares = (0.0,) if args.cpu else (1.0, 0.0)
    for fancy in (True, False) if args.engine == "nvimgcodec" else (True,):
        for share in shares:
            for name, some in files.items():
                key = f"{name}, {share:.0%} hardware, fancy {'on' if fancy else 'off'}"
                try:
                    found = differences(args.engine, some, device, share, fancy)
                except Exception as error:  # noqa: BLE001 -- the others still count
                    found = {"failed": f"{type(error).__name__}: {error}"[:400]}
                result["results"][key] = found
                save(args.out, result)
                print(f"{key}: {found}", flush=True)
    return result


if __name__ == "__main__":
    main()
