"""The CPU kernels equal the plain NumPy reference bit for bit, whatever the plan."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numba import types
from numba.core.registry import cpu_target

from gpuio.kernels import jit, normalise
from gpuio.kernels.cpu import augment
from gpuio.kernels.cpu.vector import wide
from gpuio.kernels.plan.layout import PLAN
from support import reference

MEAN = np.array([123.68, 116.779, 103.939, 99.5], np.float32)
STD = np.array([58.393, 57.12, 57.375, 60.25], np.float32)


def size(rng, kind):
    """Draw a length: mostly moderate, often tiny, sometimes 1."""
    return int(rng.choice([1, rng.integers(1, 6), rng.integers(1, 90)], p=kind))


def draw_case(rng, steps):
    """Return (pixels, plan row, height, width) of a random plan that fits its image."""
    kind = [[0.1, 0.2, 0.7], [0.4, 0.4, 0.2]][int(rng.random() < 0.2)]
    C = int(rng.choice([1, 3, 4]))
    h, w, H, W = (size(rng, kind) for _ in range(4))
    if rng.random() < 0.2:
        h, w = h * int(rng.integers(1, 4)), w * int(rng.integers(1, 4))
    pixels = rng.integers(0, 256, (h, w, C), np.uint8)
    if rng.random() < 0.3:
        pixels[:] = cv2.blur(pixels, (5, 5)).reshape(pixels.shape)
    row = np.zeros(1, PLAN)
    row["src_h"], row["src_w"], row["gain"], row["fill"] = h, w, 1, rng.integers(0, 256)
    row["mirror"] = rng.integers(0, 2)
    if "orient" in steps and rng.random() < 0.5:
        row["orient"] = rng.integers(1, 9)
        if row["orient"] > 4:
            h, w = w, h
    for name in ("resize", "warp", "pad", "upscale1", "upscale2"):
        if name not in steps or rng.random() < 0.4:
            continue
        if name == "pad":
            row["pad"] = pad = int(rng.integers(1, 9))
            h, w = h + 2 * pad, w + 2 * pad
            continue
        factor = rng.choice([0.5, 1, 2, rng.uniform(0.3, 3)])
        h, w = max(1, int(h * factor)), max(1, int(w * rng.choice([factor, rng.uniform(0.3, 3)])))
        row[f"{name}_h"], row[f"{name}_w"], row[f"{name}_inter"] = h, w, rng.integers(0, 5)
        if name == "warp":
            turn = rng.normal(0, 1, (2, 2)) if rng.random() < 0.5 else np.eye(2)
            row["warp"][0] = np.column_stack([turn, rng.uniform(-h, w, 2)]).ravel()
    ch, cw = int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1))
    row["crop_h"], row["crop_w"], row["crop_inter"] = ch, cw, rng.integers(0, 5)
    row["crop_y"], row["crop_x"] = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    if rng.random() < 0.5:
        H, W = ch, cw
    if C > 1 and "colour" in steps:
        row["jitter"], row["hls_on"], row["pca_on"] = rng.integers(0, 2, 3)
        row["jitter_order"], row["jitter_gain"] = rng.permutation(3), rng.uniform(0, 2.5, 3)
        row["hls"], row["pca"] = rng.integers(-90, 91, 3), rng.normal(0, 40, 3)
    if "gain" in steps:
        row["gain"], row["shift"] = rng.uniform(0.3, 2), rng.normal(0, 30)
    return pixels, row, H, W


def check(rng, steps, scratch):
    pixels, row, H, W = draw_case(rng, steps)
    C = pixels.shape[2]
    dtype, layout = str(rng.choice(normalise.DTYPES)), str(rng.choice(["NCHW", "NHWC"]))
    scale = float(rng.choice([1, 1 / 255, 0.3]))
    mean_image = None
    if rng.random() < 0.2:
        mean_image = rng.uniform(0, 255, (C, H, W)).astype(np.float32)
    how = augment.Normalisation(dtype, MEAN[:C], STD[:C], scale, layout, mean_image)
    want = reference.augment(pixels, row[0], H, W, dtype, MEAN[:C], STD[:C], scale, mean_image)
    want = want if layout == "NCHW" else want.transpose(1, 2, 0)
    out = np.full(want.shape, 77, how.storage)
    given = pixels[:, :, 0] if C == 1 and rng.random() < 0.5 else pixels
    augment.augment(given, row, how, out, scratch)
    assert out.tobytes() == np.ascontiguousarray(want).tobytes(), (row[0], dtype, layout)


STEPS = {
    "nothing but a crop": (),
    "a resize": ("resize",),
    "gain and shift": ("resize", "gain"),
    "orientation": ("orient", "resize"),
    "a warp": ("warp",),
    "a warp, a border and fits": ("resize", "warp", "pad", "upscale1", "upscale2"),
    "colour": ("colour",),
    "everything": ("orient", "resize", "warp", "pad", "upscale1", "upscale2", "colour", "gain"),
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_a_random_plan_equals_the_reference(steps):
    rng = np.random.default_rng([11, len(steps), len("".join(steps))])
    scratch = augment.Scratch()
    for _ in range(150):
        check(rng, steps, scratch)


def plan(pixels, **fields):
    """Return a plan row for an image: a crop of all of it unless `fields` say otherwise."""
    row = np.zeros(1, PLAN)
    h, w = pixels.shape[:2]
    given = {"src_h": h, "src_w": w, "crop_h": h, "crop_w": w, "gain": 1}
    for name, value in (given | fields).items():
        row[name] = value
    return row


def ramp(h, w, C=3):
    return (np.arange(h * w * C).reshape(h, w, C) * 7 % 256).astype(np.uint8)


def run(pixels, row, H, W, dtype="uint8", **how):
    C = 1 if pixels.ndim == 2 else pixels.shape[2]
    normalisation = augment.Normalisation(dtype, MEAN[:C], STD[:C], 1.0, **how)
    out = np.zeros((C, H, W), normalisation.storage)
    augment.augment(pixels, row, normalisation, out, augment.Scratch())
    return out


@pytest.mark.parametrize("method", range(5))
def test_a_resize_equals_opencv(method):
    rng = np.random.default_rng(method)
    with_ipp = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    different = values = 0
    try:
        for _ in range(150):
            C = int(rng.choice([1, 3, 4]))
            h, w, H, W = (int(v) for v in rng.integers(1, 70, 4))
            if rng.random() < 0.2:
                h, w = H * int(rng.integers(1, 4)), W * int(rng.integers(1, 4))
            pixels = rng.integers(0, 256, (h, w, C), np.uint8)
            resized = {"resize_h": H, "resize_w": W, "resize_inter": method}
            if rng.random() < 0.5:
                resized = {"crop_inter": method}
            row = plan(pixels, **resized)
            if "resize_h" in resized:
                row["crop_h"], row["crop_w"] = H, W
            want = cv2.resize(pixels, (W, H), interpolation=method).reshape(H, W, C)
            got = run(pixels, row, H, W)
            want = want[..., [2, 1, 0, 3][:C] if C > 1 else [0]].transpose(2, 0, 1)
            apart = np.abs(got.astype(int) - want)
            assert apart.max(initial=0) <= (1 if method == 2 else 0)
            different, values = different + np.count_nonzero(apart), values + apart.size
    finally:
        cv2.ipp.setUseIPP(with_ipp)
    assert different <= 2e-5 * values  # bicubic alone: later OpenCVs sum from the other end


def test_a_large_photo_is_resized_as_opencv_does():
    rng = np.random.default_rng(3)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (1201, 1603, 3), np.uint8), (9, 9), 3)
    row = plan(
        pixels, resize_h=256, resize_w=341, resize_inter=1, crop_y=16, crop_x=58, crop_h=224,
        crop_w=224, mirror=1,
    )  # fmt: skip
    want = cv2.resize(pixels, (341, 256))[16:240, 58:282][:, ::-1, ::-1].transpose(2, 0, 1)
    assert np.array_equal(run(pixels, row, 224, 224), want)


@pytest.mark.parametrize("C", [1, 3, 4])
@pytest.mark.parametrize("method", range(5))
def test_a_warp_of_a_photo_equals_the_reference_inside_outside_and_at_the_edges(method, C):
    rng = np.random.default_rng([method, C])
    scratch = augment.Scratch()
    how = augment.Normalisation("uint8", MEAN[:C], STD[:C], 1.0)
    for number, angle in enumerate((0, 0.1, 0.8, -2.5)):
        pixels = rng.integers(0, 256, (121, 163, C), np.uint8)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = [cos, sin, -9.3 * number, -sin, 0.9 * cos, 7.7 * number]
        row = plan(pixels, warp_h=130, warp_w=150, warp_inter=method, warp=matrix, fill=93)
        row["crop_y"], row["crop_h"], row["crop_w"], row["crop_inter"] = 3, 110, 141, 1
        row["mirror"] = number % 2
        for H, W in ((110, 141), (60, 50)):
            want = reference.augment(pixels, row[0], H, W, "uint8", MEAN[:C], STD[:C], 1.0, None)
            out = np.zeros((C, H, W), np.uint8)
            augment.augment(pixels, row, how, out, scratch)
            assert np.array_equal(out, want)


def test_a_mean_image_is_subtracted_before_the_flip():
    pixels = ramp(4, 6)
    mean_image = np.random.default_rng(0).uniform(0, 255, (3, 4, 6)).astype(np.float32)
    row = plan(pixels, mirror=1)
    got = run(pixels, row, 4, 6, "float32", mean_image=mean_image)
    plain = pixels[..., ::-1].transpose(2, 0, 1).astype(np.float32) - mean_image
    want = plain[:, :, ::-1] * (np.float32(1) / STD[:3, None, None])
    assert np.array_equal(got, want)


def test_int8_subtracts_the_rounded_mean_image_and_uint8_ignores_it():
    pixels = ramp(4, 6)
    mean_image = np.random.default_rng(0).uniform(0, 255, (3, 4, 6)).astype(np.float32)
    plain = pixels[..., ::-1].transpose(2, 0, 1)
    got = run(pixels, plan(pixels), 4, 6, "int8", mean_image=mean_image)
    assert np.array_equal(got, np.clip(plain - np.floor(mean_image + 0.5), -128, 127))
    got = run(pixels, plan(pixels), 4, 6, "uint8", mean_image=mean_image)
    assert np.array_equal(got, plain)


def test_the_decoded_pixels_are_left_alone():
    pixels = ramp(20, 30)
    kept = pixels.copy()
    pixels.flags.writeable = False
    row = plan(pixels, jitter=1, jitter_gain=0.5, hls_on=1, hls=9, pca_on=1, pca=5, pad=2)
    run(pixels, row, 20, 30)
    assert np.array_equal(pixels, kept)


def test_a_scratch_may_serve_images_of_any_size_in_turn():
    scratch = augment.Scratch()
    how = augment.Normalisation("uint8", MEAN[:3], STD[:3], 1.0)
    for h, w in ((3, 5), (900, 2100), (1, 1), (40, 3000)):
        pixels = ramp(h, w)
        row = plan(pixels, resize_h=7, resize_w=2500, resize_inter=1, crop_h=7, crop_w=2500)
        out = np.empty((3, 7, 2500), np.uint8)
        augment.augment(pixels, row, how, out, scratch)
        want = cv2.resize(pixels, (2500, 7))[..., ::-1].transpose(2, 0, 1)
        assert np.array_equal(out, want)


@pytest.mark.parametrize(
    "fields",
    [
        {"crop_y": 1},
        {"crop_x": -1},
        {"crop_h": 0},
        {"src_h": 9},
        {"src_w": 0},
        {"resize_h": 5, "resize_w": 12},
        {"resize_h": 20, "resize_w": 0},
        {"resize_h": 20, "resize_w": 20, "resize_inter": 7},
        {"resize_h": 20, "resize_w": 20, "crop_h": 2**30, "crop_w": 2**30},
        {"warp_h": 5, "warp_w": 5},
        {"pad": 1, "crop_y": 9},
        {"orient": 9},
        {"orient": 6},
    ],
    ids=str,
)
def test_a_plan_that_does_not_fit_its_image_is_refused(fields):
    pixels = ramp(10, 12)
    with pytest.raises(ValueError, match="does not fit"):
        run(pixels, plan(pixels, **fields), 10, 12)


def test_colour_steps_on_a_gray_image_are_refused():
    pixels = ramp(4, 4, 1)
    with pytest.raises(ValueError, match="3 or 4 channels"):
        run(pixels, plan(pixels, pca_on=1), 4, 4)


def test_an_unknown_dtype_or_layout_is_refused():
    with pytest.raises(ValueError, match="float64"):
        augment.Normalisation("float64", [0], [1], 1)
    with pytest.raises(ValueError, match="HWCN"):
        augment.Normalisation("uint8", [0], [1], 1, "HWCN")


def test_an_output_that_cannot_be_written_in_place_is_refused():
    pixels = ramp(4, 6)
    how = augment.Normalisation("uint8", MEAN[:3], STD[:3], 1.0)
    for out in (np.zeros((3, 4, 6), np.int8), np.zeros((4, 6, 3), np.uint8).transpose(2, 0, 1)):
        with pytest.raises(ValueError, match="C order"):
            augment.augment(pixels, plan(pixels), how, out, augment.Scratch())


def test_an_output_of_another_shape_than_the_means_is_refused():
    pixels = ramp(4, 6)
    with pytest.raises(ValueError, match="mean image"):
        run(pixels, plan(pixels), 4, 6, "float32", mean_image=np.zeros((3, 6, 4)))
    how = augment.Normalisation("uint8", [0], [1], 1.0)
    with pytest.raises(ValueError, match="1 means"):
        augment.augment(pixels, plan(pixels), how, np.zeros((3, 4, 6), np.uint8), augment.Scratch())


def test_threads_with_a_scratch_each_make_the_same_pixels():
    rng = np.random.default_rng(9)
    cases = [draw_case(rng, STEPS["everything"]) for _ in range(60)]

    def make(_):
        scratch = augment.Scratch()
        made = []
        for pixels, row, H, W in cases:
            C = pixels.shape[2]
            how = augment.Normalisation("float32", MEAN[:C], STD[:C], 1.0)
            out = np.empty((C, H, W), np.float32)
            augment.augment(pixels, row, how, out, scratch)
            made.append(out.tobytes())
        return made

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(make, range(8))
    assert all(other == first for other in others)


def test_wide_loops_are_made_where_the_processor_keeps_its_clock():
    def doubled(values):
        wide()
        for i in range(values.size):
            values[i] *= np.float32(2)

    made = jit._dispatcher(doubled, allocates=False)  # not kept on disk, so compiled
    made.compile(types.void(types.float32[::1]))
    values = np.arange(40, dtype=np.float32)
    made(values)
    assert (values == 2 * np.arange(40)).all()
    (text,) = made.inspect_llvm().values()
    calm = "+avx512vbmi2" in cpu_target.target_context.codegen()._tm_features
    assert ('"prefer-vector-width"="512"' in text) == calm
