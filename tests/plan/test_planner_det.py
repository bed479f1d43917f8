"""Plans of detection fit their images, whatever the options and the boxes; so do labels."""

import numpy as np
import pytest

from gpuio.kernels.cpu import augment
from gpuio.options.image_det_record import ImageDetRecordOptions
from gpuio.plan.planner_det import DetPlanner
from gpuio.plan.request import PlanRequest
from support import reference


def draw_options(rng):
    """Draw options of every kind."""

    def unit():
        return float(rng.choice([0, 1, rng.uniform()]))

    count = int(rng.integers(1, 4))
    low, high = np.sort(rng.uniform(0, 1, (2, count)), 0)
    ratio = np.sort(rng.uniform(0, 3, (2, count)), 0)
    overlap = np.sort(rng.uniform(0, 1, (2, count)), 0) * rng.integers(0, 2)
    return ImageDetRecordOptions(
        data_shape=(3, int(rng.integers(1, 50)), int(rng.integers(1, 50))),
        batch_size=1,
        seed=int(rng.integers(0, 1000)),
        resize=int(rng.choice([-1, rng.integers(1, 50)])),
        max_random_hue=18,
        random_hue_prob=unit(),
        max_random_contrast=0.5,
        random_contrast_prob=unit(),
        rand_mirror_prob=unit(),
        rand_pad_prob=unit(),
        max_pad_scale=float(rng.uniform(1, 4)),
        rand_crop_prob=unit(),
        num_crop_sampler=count,
        min_crop_scales=low,
        max_crop_scales=high,
        min_crop_aspect_ratios=ratio[0],
        max_crop_aspect_ratios=ratio[1],
        min_crop_overlaps=overlap[0],
        max_crop_overlaps=np.maximum(overlap[1], overlap[0]),
        crop_emit_mode=str(rng.choice(["center", "overlap"])),
        resize_mode=str(rng.choice(["force", "shrink", "fit"])),
        inter_method=int(rng.choice([0, 1, 2, 3, 4, 9, 10])),
    )


def draw_label(rng, out):
    """Write a label into a row: boxes in and beyond the image, some without area, some NaN."""
    head, width, count = int(rng.integers(2, 5)), int(rng.integers(5, 8)), int(rng.integers(0, 5))
    label = np.zeros(head + count * width, np.float32)
    label[:2] = head, width
    rows = label[head:].reshape(count, width)
    rows[:] = rng.choice([rng.uniform(-0.5, 1.5, rows.shape), rng.uniform(0, 1, rows.shape)])
    rows[rng.random(rows.shape) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
    out[:] = -1
    out[:4] = 0, 0, 0, len(label)
    out[4 : 4 + len(label)] = label
    return head, width


def test_random_plans_fit_and_labels_stay_labels():
    rng = np.random.default_rng(3)
    scratch, how = augment.Scratch(), augment.Normalisation("uint8", [0] * 3, [1] * 3, 1.0, "NHWC")
    kept = 0
    for _ in range(250):
        options = draw_options(rng)
        _, H, W = options.data_shape
        h, w = map(int, rng.integers(1, 60, 2))
        labels = np.zeros((1, 4 + 32), np.float32)
        head, width = draw_label(rng, labels[0])
        before = labels[0].copy()
        row, size = np.zeros(1, np.int64), (np.int32([h]), np.int32([w]))
        plan = DetPlanner(options).draw(PlanRequest(*size, row, row, row, labels))
        label = labels[0]
        if plan["crop_h"][0] < 0:  # fit and shrink may leave nothing of a flat image
            assert options.resize_mode != "force"
            continue
        assert label[0] == 3
        assert (label[1:3] >= 1).all()
        assert (label[1:3] <= (H, W)).all()
        assert label[4 : 4 + head].tobytes() == before[4 : 4 + head].tobytes()
        count = (label[3] - head) / width
        assert count == int(count)
        assert count <= (before[3] - head) / width
        assert (label[4 + int(label[3]) :] == -1).all()
        kept += int(count)
        image = rng.integers(0, 256, (h, w, 3), np.uint8)
        out = np.zeros((H, W, 3), np.uint8)
        augment.augment(image, plan, how, out, scratch)
        assert np.array_equal(out, reference.window(image, plan[0], H, W)[..., ::-1])
        assert not out[int(label[1]) :].any()
        assert not out[:, int(label[2]) :].any()
    assert kept > 100


@pytest.mark.parametrize("mode", ["center", "overlap"])
def test_a_crop_meets_what_its_sampler_asks_for(mode):
    options = ImageDetRecordOptions(
        data_shape=(3, 10, 10),
        batch_size=1,
        rand_crop_prob=1.0,
        min_crop_scales=0.2,
        min_crop_overlaps=0.4,
        min_crop_object_coverages=0.5,
        max_crop_trials=200,
        crop_emit_mode=mode,
    )
    box = np.float32([0.2, 0.3, 0.7, 0.9])
    rows = np.arange(200)
    labels = np.full((200, 15), -1, np.float32)
    labels[:, 3] = 7
    labels[:, 4:11] = [2, 5, 0, *box]
    sizes = np.full(200, 1000, np.int32)
    plan = DetPlanner(options).draw(PlanRequest(sizes, sizes, rows * 0, rows, rows, labels))
    cropped = plan["crop_h"] < 1000
    assert cropped.sum() > 150
    y, x, h, w = (plan[f"crop_{name}"][cropped] / 1000 for name in "yxhw")
    both = (np.minimum(x + w, box[2]) - np.maximum(x, box[0])) * (
        np.minimum(y + h, box[3]) - np.maximum(y, box[1])
    )
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert (both / area > 0.49).all()
    assert (both / (area + h * w - both) > 0.39).all()
    left, top, right, bottom = labels[cropped, 7:11].T
    assert np.abs(left - np.maximum((box[0] - x) / w, 0)).max() < 0.01
    assert np.abs(bottom - np.minimum((box[3] - y) / h, 1)).max() < 0.01
    assert (left < right).all()
    assert (top < bottom).all()


def test_a_crop_without_a_pixel_is_drawn_again():
    options = ImageDetRecordOptions(
        data_shape=(3, 10, 10),
        batch_size=1,
        rand_crop_prob=1.0,
        max_crop_scales=0.5,
        min_crop_aspect_ratios=0.2,
        max_crop_aspect_ratios=5.0,
    )
    rows = np.arange(500)
    labels = np.full((500, 15), -1, np.float32)
    labels[:, 3:6] = 2, 2, 5  # no object: any crop would do
    sizes = np.full(500, 4, np.int32)  # crops of less than a quarter have no pixel
    plan = DetPlanner(options).draw(PlanRequest(sizes, sizes, rows * 0, rows, rows, labels))
    assert plan["crop_h"].min() == plan["crop_w"].min() == 1
    assert (plan["crop_h"] == 1).sum() > 100
