"""Plans against a live MXNet 1.9.1: options drawn at random, executed by the NumPy reference."""

import random

import cv2
import numpy as np
import pytest

from gpuio import recordio
from support.planned import PICTURES, execute, picture
from support.tables import options

pytestmark = pytest.mark.mxnet


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of the .rec and .idx of the drawn pictures, as PNG."""
    folder = tmp_path_factory.mktemp("drawn")
    rec, idx = str(folder / "p.rec"), str(folder / "p.idx")
    with recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for number, size in enumerate(PICTURES):
            png = cv2.imencode(".png", picture(*size))[1].tobytes()
            writer.write_idx(number, recordio.pack(recordio.IRHeader(0, 0.0, number, 0), png))
    return rec, idx


def some(draw, **choices):
    """Return each choice with probability one half."""
    return {name: draw.choice(values) for name, values in choices.items() if draw.random() < 0.5}


def drawn(seed):
    """Return options of geometry, colour and normalisation."""
    draw = random.Random(seed)
    crop = draw.choice(["fixed", "square", "resized"])
    given = {
        "data_shape": [3, draw.randrange(1, 40), draw.randrange(1, 40)],
        "dtype": draw.choice(["uint8", "uint8", "float32", "int8"]),
        "seed_aug": draw.randrange(-200, 10_000),
        "inter_method": draw.choice([0, 1, 1, 1, 3, 9]),
        **some(draw, resize=[20, 33, 48], rand_mirror=[True], fill_value=[0, 77]),
        **some(draw, brightness=[0.1, 0.9], contrast=[0.4], saturation=[0.3], pca_noise=[0.05, 1]),
        **some(draw, max_random_contrast=[0.2], max_random_illumination=[5.5], scale=[0.5]),
        **some(draw, mean_r=[3.5], mean_b=[99.0], std_g=[2.3], pad=[1, 6]),
    }
    if crop == "resized":
        given["random_resized_crop"] = True
        given |= some(draw, min_random_area=[0.1, 0.8], max_random_area=[1.0, 1.6])
        given |= {"min_aspect_ratio": draw.choice([0.5, 1.0]), "max_aspect_ratio": 1.3}
    elif crop == "square":
        low = draw.randrange(3, 15)
        given |= {"resize": 20, "min_crop_size": low, "max_crop_size": draw.randrange(low, 16)}
    if crop != "resized":
        given |= some(draw, rand_crop=[True])
    if draw.random() < 0.5:
        given["inter_method"] = draw.choice([1, 3])  # MXNet 1.9.1 refuses nearest here
        given |= some(draw, max_rotate_angle=[9, 170], max_shear_ratio=[0.3], rotate=[-4, 50])
        given |= some(draw, rotate_list=["0,90,180", "-30"])
        if crop == "fixed":
            given |= some(draw, max_random_scale=[1.4], min_random_scale=[0.7])
            given |= some(draw, max_img_size=[45.5], min_img_size=[20.2])
            given |= some(draw, max_aspect_ratio=[0.3])
    return given


@pytest.mark.parametrize("seed", range(60))
def test_executed_plans_give_mxnets_pixels(mxnet, pictures, seed):
    given = drawn(seed)
    rec, idx = pictures
    size = len(PICTURES)
    theirs = mxnet.iterate(
        path_imgrec=rec,
        path_imgidx=idx,
        batch_size=size,
        preprocess_threads=1,
        verbose=False,
        batches=1,
        **given,
    ).data[0]
    ours = execute(options(**given, batch_size=size), PICTURES)
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
