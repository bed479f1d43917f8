"""augment.cu: compiles for GPUs that are not here, and as host C++ equals the CPU kernels' bits."""

import functools
import re
import shutil
import subprocess

import numpy as np
import pytest

from gpuio.kernels import normalise
from gpuio.kernels.cuda.compile import source
from gpuio.kernels.cuda.launch_plan import JOB, declarations
from gpuio.kernels.cuda.nvrtc import locate
from gpuio.kernels.cuda.stage import VIEW
from gpuio.kernels.plan.layout import AUTOCONTRAST, CONTRAST, EQUALIZE, PLAN, SHARPNESS
from support import elf, reference
from support.host_batches import execute, on_cpu, placed
from support.nvrtc import CompileError, compile_only, compile_source
from support.plans import DETECTION_STEPS, EXTRAS, STEPS, plain, random_plan

COLOUR = {"jitter", "hls", "pca", "tone", "pre_colour"}


def random_case(rng, steps, inters):
    """Draw an output, pictures and plans for them."""
    channels = int(rng.choice([1, 3, 4]))
    height, width = map(int, rng.integers(1, 40 if rng.random() < 0.9 else 100, 2))
    if rng.random() < 0.4:
        width = 16 * int(rng.integers(1, 3))
    shapes = [tuple(map(int, rng.integers(1, 70, 2))) for _ in range(4)]
    pictures = [placed(rng, rng.integers(0, 256, (*s, channels), dtype=np.uint8)) for s in shapes]
    allowed = set(steps) - (COLOUR if channels == 1 else set())
    rows = np.concatenate([random_plan(rng, *s, height, width, allowed, inters) for s in shapes])
    how = {
        "dtype": str(rng.choice(normalise.DTYPES)),
        "layout": str(rng.choice(["NCHW", "NHWC"])),
        "mean": rng.uniform(0, 255, channels).astype(np.float32),
        "std": rng.uniform(0.3, 60, channels).astype(np.float32),
        "scale": float(np.float32(rng.uniform(0.5, 2))),
    }
    if rng.random() < 0.2:
        how["mean_image"] = rng.uniform(0, 255, (channels, height, width)).astype(np.float32)
    how["ratio"] = bool(rng.random() < 0.3)
    return rows, pictures, (height, width, channels), how


@pytest.mark.parametrize(
    ("steps", "inters", "count"),
    [
        ({"resize", "crop", "mirror", "gain"}, (0, 1), 250),
        ({"resize", "crop", "jitter", "hls", "pca", "mirror"}, (1,), 150),
        ({"resize", "warp", "fit", "pad", "crop", "mirror", "orient"}, (0, 1, 2, 3, 4), 200),
        (set(STEPS), (0, 1, 2, 3, 4, 5), 250),
        ({"resize", "fit", "crop", "mirror", "orient", "pad"}, (5,), 150),
        ({"crop", "mirror", "jitter", *EXTRAS}, (1,), 200),
        ({*STEPS, *EXTRAS}, (0, 1, 2, 3, 4, 5), 200),
        ({"resize", "crop", "orient", "mirror", *DETECTION_STEPS}, (0, 1, 2, 3, 4), 250),
        ({*STEPS, *EXTRAS, *DETECTION_STEPS}, (0, 1, 2, 3, 4, 5), 200),
    ],
    ids=[
        "common",
        "colours",
        "geometry",
        "everything",
        "antialias",
        "extras",
        "all",
        "detection",
        "all and detection",
    ],
)
def test_random_plans_give_the_bits_of_the_cpu_kernels(steps, inters, count):
    rng = np.random.default_rng(count)
    for _ in range(count):
        rows, pictures, size, how = random_case(rng, steps, inters)
        swapped = rng.random(len(rows)) < 0.3 if size[2] == 3 else np.zeros(len(rows), bool)
        stored = [
            placed(rng, p[..., ::-1]) if rgb else p
            for p, rgb in zip(pictures, swapped, strict=True)
        ]
        ours, work, _ = execute(rows, stored, *size, swapped=swapped, **how)
        assert work.invalid == []
        theirs = on_cpu(rows, pictures, ours.shape, how)
        for k in range(len(rows)):
            assert ours[k].tobytes() == theirs[k].tobytes(), (k, how, rows[k])


def test_random_plans_give_the_windows_of_the_reference():
    rng = np.random.default_rng(5)
    for _ in range(40):
        rows, pictures, (height, width, channels), _ = random_case(
            rng, {*STEPS, *EXTRAS, *DETECTION_STEPS}, (0, 1, 2, 3, 4, 5)
        )
        how = {
            "dtype": "uint8",
            "layout": "NHWC",
            "mean": np.zeros(channels, np.float32),
            "std": np.ones(channels, np.float32),
            "scale": 1.0,
        }
        ours, _, _ = execute(rows, pictures, height, width, channels, **how)
        for k, picture in enumerate(pictures):
            window = reference.window(picture, rows[k], height, width)
            order = [2, 1, 0, 3][:channels] if channels >= 3 else [0]
            assert np.array_equal(ours[k], window[..., order]), rows[k]


def test_a_common_plan_is_one_launch_and_a_contrast_change_three():
    picture = np.zeros((40, 50, 3), np.uint8)
    row = plain(40, 50)
    row["resize_h"], row["resize_w"], row["resize_inter"] = 32, 36, 1
    row["crop_h"], row["crop_w"], row["mirror"] = 24, 24, 1
    how = {"dtype": "float16", "layout": "NCHW", "mean": [0] * 3, "std": [1] * 3, "scale": 1.0}
    _, work, launches = execute(row, [picture], 24, 24, 3, **how)
    assert [launch.name for launch in launches] == ["finish_float16_nchw_3"]
    assert work.scratch_bytes == 0
    row["jitter"] = 1
    _, _, launches = execute(row, [picture], 24, 24, 3, **how)
    assert [launch.name for launch in launches] == [
        "stage_3",
        "gray_sum_3",
        "finish_float16_nchw_3",
    ]


def test_each_tone_of_the_window_is_a_launch_with_the_sums_before_it():
    rng = np.random.default_rng(6)
    picture = placed(rng, rng.integers(0, 200, (40, 50, 3), dtype=np.uint8))
    rows = np.concatenate([plain(40, 50)] * 4)
    rows["crop_h"], rows["crop_w"], rows["crop_inter"], rows["mirror"] = 30, 32, 1, 1
    rows["tone_count"] = 4, 0, 1, 2
    rows["tone_op"] = (
        (EQUALIZE, CONTRAST, SHARPNESS, CONTRAST),
        (EQUALIZE, EQUALIZE, EQUALIZE, EQUALIZE),
        (CONTRAST, SHARPNESS, SHARPNESS, SHARPNESS),
        (CONTRAST, AUTOCONTRAST, SHARPNESS, SHARPNESS),
    )
    rows["tone_arg"], rows["jitter"] = 1.6, (1, 0, 1, 0)
    how = {"dtype": "uint8", "layout": "NCHW", "mean": [0] * 3, "std": [1] * 3, "scale": 1.0}
    ours, _, launches = execute(rows, [picture] * 4, 24, 24, 3, **how)
    assert ours.tobytes() == on_cpu(rows, [picture] * 4, ours.shape, how).tobytes()
    first = ["gray_sum_3", "gray_sum_3", "tone_3"]  # of the jitter, and the last row's contrast
    second = ["gray_sum_3", "tone_3"]  # the first row's contrast and sharpness
    last = ["gray_sum_3", "gray_sum_3", "finish_uint8_nchw_3"]
    names = [launch.name for launch in launches]
    assert names == ["stage_3", *first, *second, *last]


@pytest.mark.parametrize("dtype", normalise.DTYPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shift_bytes", [0, 4])
def test_aligned_and_unaligned_outputs_hold_the_same_values(dtype, layout, shift_bytes):
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    how = {
        "dtype": dtype,
        "layout": layout,
        "mean": np.array([1, 2, 3], np.float32),
        "std": np.array([4, 5, 6], np.float32),
        "scale": 1.0,
    }
    for height, width in ((32, 32), (31, 31), (70, 96), (33, 65)):  # parts of tiles, and several
        row = plain(96, 96)
        row["crop_h"], row["crop_w"] = height, width
        ours, _, _ = execute(row, [picture], height, width, 3, shift_bytes, **how)
        assert ours.tobytes() == on_cpu(row, [picture], ours.shape, how).tobytes()


def test_rows_without_an_image_are_zero():
    rng = np.random.default_rng(3)
    picture = rng.integers(1, 256, (20, 20, 3), dtype=np.uint8)
    rows = np.concatenate([plain(20, 20)] * 3)
    rows["jitter"] = 1
    how = {"dtype": "float32", "layout": "NCHW", "mean": [9] * 3, "std": [1] * 3, "scale": 1.0}
    ours, work, _ = execute(rows, [None, picture, None], 20, 20, 3, **how)
    assert work.invalid == []
    assert not ours[0].any()
    assert not ours[2].any()
    assert ours[1].any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop_y", 1),
        ("crop_x", -1),
        ("crop_h", 0),
        ("src_h", 0),
        ("orient", 9),
        ("resize_inter", 7),
        ("resize_w", 0),
        ("warp_inter", 5),
        ("tone_count", 5),
        ("tone_op", 9),
        ("erase_y", 20),
        ("erase_w", 0),
        ("expand_y", 1),
        ("expand_x", -1),
        ("letterbox_h", 21),
        ("letterbox_w", 0),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_and_reads_nothing(field, value):
    picture = np.ones((20, 20, 3), np.uint8)
    rows = np.concatenate([plain(20, 20)] * 2)
    rows["resize_h"], rows["resize_w"] = 20, 20
    rows["erase_h"], rows["erase_w"], rows["erase_value"] = 1, 1, 1
    if field == "warp_inter":
        rows["warp_h"], rows["warp_w"] = 20, 20
        rows["warp"] = 1, 0, 0, 0, 1, 0
    if field.startswith("expand"):
        rows["expand_h"], rows["expand_w"] = 20, 20
    if field == "letterbox_w":
        rows["letterbox_h"], rows["letterbox_w"] = 20, 20
    if field == "letterbox_h":
        rows["letterbox_w"] = 20
    if field == "tone_op":
        rows["tone_count"], rows["tone_arg"] = 1, 1
    rows[field][1] = value
    how = {"dtype": "uint8", "layout": "NCHW", "mean": [0] * 3, "std": [1] * 3, "scale": 1.0}
    ours, work, _ = execute(rows, [picture, picture], 20, 20, 3, **how)
    assert work.invalid == [1]
    assert ours[0].all()
    assert not ours[1].any()


def test_a_mean_image_of_another_shape_is_refused():
    how = {"dtype": "float32", "layout": "NCHW", "mean": [0] * 3, "std": [1] * 3, "scale": 1.0}
    picture = np.ones((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"mean image is \(3, 5, 4\)"):
        execute(plain(4, 4), [picture], 4, 4, 3, mean_image=np.zeros((3, 5, 4)), **how)


def test_colour_steps_of_a_gray_image_are_refused():
    picture = np.ones((4, 4, 1), np.uint8)
    row = plain(4, 4)
    row["pca_on"] = 1
    how = {"dtype": "uint8", "layout": "NCHW", "mean": [0], "std": [1], "scale": 1.0}
    assert execute(row, [picture], 4, 4, 1, **how)[1].invalid == [0]


@functools.cache
def everything(arch):
    """Compile all kernels, once."""
    return compile_only(arch)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
def test_it_compiles_for_a_gpu_that_is_not_here(arch):
    if not locate():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    cubin = everything(arch)
    assert cubin[:4] == b"\x7fELF"
    for dtype in normalise.DTYPES:
        assert f"finish_{dtype}_nhwc_3".encode() in cubin
    assert b"gray_sum_4" in cubin
    used = {name: use for name, use in elf.resources(cubin).items() if name.startswith("finish_")}
    assert len(used) == (5 + 3) * 2 * 3  # types and ratios, layouts, numbers of channels
    for name, (registers, stack_bytes) in used.items():
        assert registers <= (64 if name.endswith("_4") else 48), name  # 20 blocks of 64 threads
        assert stack_bytes == 0, name


@pytest.mark.slow
def test_products_and_sums_stay_two_roundings_and_results_leave_in_16_bytes():
    if not locate():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    ptx = compile_only("compute_90").decode()
    assert "fma.rn" not in ptx
    assert ".ftz" not in ptx
    assert "div.approx" not in ptx
    assert "mul.f32" in ptx or "mul.rn.f32" in ptx
    finishes = [part for part in ptx.split(".entry ") if part.startswith("finish_")]
    assert len(finishes) == (5 + 3) * 2 * 3  # types and ratios, layouts, numbers of channels
    for part in finishes:
        assert re.search(r"\bst\.(?:global\.)?v4\.[bu]32", part), part[:40]
        assert not re.search(r"\.local\b", part), part[:40]  # no array in memory
        assert "ld.global.nc.u8" in part, part[:40]


@pytest.mark.parametrize(
    "kernel",
    [
        "stage_3",
        "gray_sum_4",
        "tone_3",
        "finish_float32_nchw_3",
        "finish_bfloat16_ratio_nhwc_1",
        "finish_int8_nhwc_4",
        "rows_mix_float16",
        "rows_paste_2",
    ],
)
def test_a_kernel_is_compiled_alone_to_what_it_is_among_all(kernel):
    if not locate():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    assert elf.code(compile_only("sm_90", kernel)) == {
        kernel: elf.code(everything("sm_90"))[kernel]
    }


def test_a_name_of_no_known_form_is_refused():
    with pytest.raises(ValueError, match="no kernel is called window_3"):
        source("window_3")


def test_what_nvrtc_refuses_is_an_error_with_its_log():
    if not locate():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    with pytest.raises(CompileError, match=r"wrong\.cu"):
        compile_source("__global__ void f() { nothing; }", "wrong.cu", ["-arch=sm_90"])


@pytest.mark.parametrize(("name", "dtype"), [("Plan", PLAN), ("View", VIEW), ("Job", JOB)])
def test_c_lays_structs_out_as_numpy_does(name, dtype, tmp_path):
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    fields = ", ".join(f"offsetof({name}, {field})" for field in dtype.names)
    program = f"""#include <cstddef>
#include <cstdio>
{declarations()}
int main() {{
  size_t offsets[] = {{{fields}, sizeof({name})}};
  for (size_t offset : offsets) std::printf("%zu ", offset);
}}
"""
    (tmp_path / "layout.cpp").write_text(program)
    subprocess.run(
        [compiler, str(tmp_path / "layout.cpp"), "-o", str(tmp_path / "layout")], check=True
    )
    said = subprocess.run([str(tmp_path / "layout")], capture_output=True, check=True).stdout
    expected = [dtype.fields[field][1] for field in dtype.names] + [dtype.itemsize]
    assert list(map(int, said.split())) == expected


def test_the_unit_names_no_type_that_a_host_compiler_lacks():
    assert "cuda_fp16" not in source()


@pytest.mark.parametrize("seed", [12, 107, 125])
def test_swapped_channels_are_summed_as_those_of_the_other_order(seed):
    """OpenCV's vector loop ends within a pixel; a few values in a million tell how it summed.

    The seeds' pictures hold such values in the one pixel of a row that it leaves unfinished.
    """
    picture = np.random.default_rng(seed).integers(0, 256, (2000, 4, 3), dtype=np.uint8)
    how = {"dtype": "uint8", "layout": "NHWC", "mean": [0] * 3, "std": [1] * 3, "scale": 1.0}
    row = plain(2000, 4)
    row["crop_h"], row["crop_w"], row["crop_inter"] = 2000, 4, 2
    stored = np.ascontiguousarray(picture[..., ::-1])
    ours, _, _ = execute(row, [stored], 3000, 3, 3, swapped=[True], **how)
    assert np.array_equal(ours, on_cpu(row, [picture], ours.shape, how))
