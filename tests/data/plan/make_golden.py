"""Write golden.json: pixels that MXNet 1.9.1 makes of drawn pictures, for many options.

Run `GPUIO_MXNET_PYTHON=/path/to/python python tests/data/plan/make_golden.py`. Every case is one
batch of the pictures of `planned.PICTURES`, with an index and seed_aug, so that row j draws from
the generator seeded 111 + seed_aug + j. Pixels are kept as the hexadecimal bytes of the array.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import cv2

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from gpuio import recordio  # noqa: E402
from parity.oracle import Oracle  # noqa: E402
from support.planned import PICTURES, picture  # noqa: E402

RRC = {
    "random_resized_crop": True,
    "min_random_area": 0.08,
    "max_random_area": 1.0,
    "min_aspect_ratio": 0.75,
    "max_aspect_ratio": 1.4,
}
SMALL = {"data_shape": [3, 6, 8], "resize": 24}
FLOAT = {"dtype": "float32", "resize": 24, "data_shape": [3, 4, 4]}

CASES = [
    {},
    {"resize": 24},
    {"resize": 24, "rand_crop": True, "rand_mirror": True},
    {"rand_crop": True, "mirror": True, "rand_mirror": True},
    {"resize": 9, "inter_method": 0},
    {"resize": 24, "inter_method": 9},
    {"data_shape": [3, 60, 6], "rand_crop": True},
    {"data_shape": [3, 6, 70], "rand_crop": True},
    {"data_shape": [3, 9, 8], "pad": 7, "fill_value": 9, "rand_crop": True},
    {"resize": 24, "max_crop_size": 22, "min_crop_size": 5, "rand_crop": True},
    {"resize": 24, "max_crop_size": 22, "min_crop_size": 5, "inter_method": 9},
    {"resize": 24, "max_crop_size": 9, "min_crop_size": 9},
    RRC,
    {**RRC, "rand_mirror": True, "inter_method": 9},
    {**RRC, "min_random_area": 1.0, "inter_method": 0},
    {**RRC, "min_random_area": 1.5, "max_random_area": 2.0, "rand_mirror": True},
    {"random_resized_crop": True, "rand_mirror": True},
    {"random_resized_crop": True, "max_aspect_ratio": 0.25},
    {**RRC, "max_rotate_angle": 20, "max_shear_ratio": 0.2},
    {"max_rotate_angle": 30, "resize": 24, "fill_value": 0},
    {"rotate": 37, "max_rotate_angle": 30, "resize": 24, "rand_crop": True},
    {"rotate": -37, "resize": 24, "rand_crop": True},
    {"rotate_list": "0,90,-45,180,270", "rotate": 3, "resize": 24},
    {"max_shear_ratio": 0.3, "resize": 24, "rand_mirror": True},
    {"max_aspect_ratio": 0.3, "resize": 24},
    {"min_aspect_ratio": 0.6, "max_aspect_ratio": 1.4, "resize": 24, "rand_crop": True},
    {"min_random_scale": 0.6, "max_random_scale": 1.7, "resize": 24, "rand_crop": True},
    {"max_random_scale": 2.0, "max_img_size": 40.5, "min_img_size": 33.3, "resize": 24},
    {"max_rotate_angle": 9, "max_random_scale": 1.3, "inter_method": 3, "resize": 24},
    {**SMALL, "brightness": 0.4},
    {**SMALL, "contrast": 0.4},
    {**SMALL, "saturation": 0.4},
    {**SMALL, "brightness": 0.4, "contrast": 0.3, "saturation": 0.9, "rand_mirror": True},
    {**SMALL, "pca_noise": 0.1, "rand_mirror": True},
    {**SMALL, "pca_noise": 1.0},
    {**SMALL, "random_h": 36, "random_s": 50, "random_l": 50, "rand_mirror": True},
    {**SMALL, "random_l": 90},
    {"data_shape": [1, 6, 8], "resize": 24, "rand_crop": True, "rand_mirror": True},
    {"data_shape": [3, 6, 8], "aug_seq": "", "rand_mirror": True, "pictures": [[6, 8]] * 5},
    {**FLOAT, "max_random_contrast": 0.3, "rand_mirror": True},
    {**FLOAT, "max_random_illumination": 20.0, "scale": 0.25, "std_r": 3.0, "mean_g": 7.0},
    {
        **RRC,
        **FLOAT,
        "max_random_contrast": 0.5,
        "max_random_illumination": 9.0,
        "max_rotate_angle": 10,
        "brightness": 0.2,
        "pca_noise": 0.1,
        "rand_mirror": True,
    },
    {**FLOAT, "dtype": "int8", "rand_crop": True, "rand_mirror": True, "mean_b": 99.5},
]


def write(folder, sizes, channels):
    """Write the pictures as PNG records with an index; return both paths."""
    rec, idx = str(folder / "p.rec"), str(folder / "p.idx")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for number, size in enumerate(sizes):
            png = cv2.imencode(".png", picture(*size, channels))[1].tobytes()
            writer.write_idx(number, recordio.pack(recordio.IRHeader(0, 0.0, number, 0), png))
    return rec, idx


def main():
    answers = []
    with tempfile.TemporaryDirectory() as folder, Oracle(os.environ["GPUIO_MXNET_PYTHON"]) as mxnet:
        for number, case in enumerate(CASES):
            given = {"data_shape": [3, 6, 8], "dtype": "uint8", "seed_aug": 7 * number - 40, **case}
            sizes = given.pop("pictures", PICTURES)
            rec, idx = write(Path(folder), sizes, given["data_shape"][0])
            made = mxnet.iterate(
                path_imgrec=rec,
                path_imgidx=idx,
                batch_size=len(sizes),
                preprocess_threads=1,
                verbose=False,
                batches=1,
                **given,
            )
            answers.append(
                {"options": given, "pictures": sizes, "pixels": made.data[0].tobytes().hex()}
            )
        lines = ",\n".join(json.dumps(each) for each in answers)
        head = json.dumps({"versions": mxnet.versions})[:-1]
        (HERE / "golden.json").write_text(f'{head},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
