"""Options drawn at random, all of them together: what no list of single cases covers."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.cases import EXACT, HLS, Case


def draw_case(rng: np.random.Generator) -> Case:
    """Draw options that MXNet accepts for images of at least 100 pixels a side."""

    def chance(share: float) -> bool:
        return bool(rng.random() < share)

    def between(low: float, high: float) -> float:
        # multiples of 1/256: MXNet's parser rounds a text such as 1.195 twice, to another float32
        return round(float(rng.uniform(low, high)) * 256) / 256

    options: dict[str, Any] = {
        "data_shape": [3, int(rng.integers(20, 70)), int(rng.integers(20, 70))],
        "seed_aug": int(rng.integers(0, 1000)),
    }
    if chance(0.7):
        options["resize"] = int(rng.integers(72, 130))
    affine = chance(0.4)
    options |= _drawn_affine(chance, between) if affine else {}
    # MXNet 1.9.1 refuses nearest, and with it a method drawn at random, in the affine step
    methods = [1, 1, 1, 2, 3, 4, 9] if affine else [0, 1, 1, 2, 3, 4, 9, 10]
    options["inter_method"] = int(rng.choice(methods))
    if chance(0.3):
        options |= {"pad": int(rng.integers(1, 12)), "fill_value": int(rng.integers(0, 256))}
    options |= _drawn_crop(rng, chance, between, narrow=affine)
    colour = chance(0.5)
    options |= _drawn_colour(rng, chance, between) if colour else {}
    if chance(0.5):
        options["mirror" if chance(0.2) else "rand_mirror"] = True
    options |= _drawn_output(rng, chance, between)
    # nothing comes after HLS but noise that is added, so its differences do not grow
    return Case(options, HLS if "random_h" in options else EXACT)


def draw_order(rng: np.random.Generator) -> dict[str, Any]:
    """Draw options of the order, and "indexed": whether there is an index."""
    return {
        "indexed": bool(rng.random() < 0.7),
        "batch_size": int(rng.integers(3, 20)),
        "round_batch": bool(rng.random() < 0.5),
        "shuffle": bool(rng.random() < 0.5),
        "seed": int(rng.integers(0, 1000)),
    }


def _drawn_affine(chance: Any, between: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"fill_value": int(between(0, 255))}
    if chance(0.5):
        made["max_rotate_angle"] = int(between(1, 45))
    if chance(0.2):
        made["rotate_list"] = "10,80,200"
    if chance(0.4):
        made["max_shear_ratio"] = between(0.05, 0.3)
    if chance(0.4):
        made |= {"min_random_scale": between(0.8, 1), "max_random_scale": between(1, 1.3)}
    return made


def _drawn_crop(rng: Any, chance: Any, between: Any, *, narrow: bool) -> dict[str, Any]:
    kind = rng.integers(4)
    if kind == 0 and not narrow:
        return {
            "random_resized_crop": True,
            "min_random_area": between(0.05, 0.4),
            "max_random_area": between(0.5, 1),
            "min_aspect_ratio": between(0.5, 0.9),
            "max_aspect_ratio": between(1, 1.6),
        }
    made: dict[str, Any] = {"rand_crop": chance(0.6)}
    if kind == 1 and not narrow:
        made |= {"min_crop_size": int(rng.integers(20, 40)), "max_crop_size": 60}
    return made


def _drawn_colour(rng: Any, chance: Any, between: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        name: between(0.05, 0.4) for name in ("brightness", "contrast", "saturation") if chance(0.5)
    }
    if chance(0.3):
        made |= {f"random_{letter}": int(rng.integers(1, 40)) for letter in "hls"}
    if chance(0.4):
        made["pca_noise"] = between(0.05, 0.2)
    return made


def _drawn_output(rng: Any, chance: Any, between: Any) -> dict[str, Any]:
    dtype = str(rng.choice(["uint8", "float32", "int8"]))
    made: dict[str, Any] = {"dtype": dtype}
    if dtype != "uint8" and chance(0.7):
        made |= {f"mean_{letter}": between(80, 140) for letter in "rgb"}
    if dtype == "float32" and chance(0.5):
        made |= {f"std_{letter}": between(40, 70) for letter in "rgb"}
        made["scale"] = between(0.01, 2)
    if dtype == "float32" and chance(0.3):
        made |= {"max_random_contrast": 0.2, "max_random_illumination": 15.0}
    return made


def level_of(options: dict[str, Any]) -> float:
    """Return what one level of 0..255 is worth at most in the batch of a drawn case."""
    if options["dtype"] != "float32":
        return 1.0
    contrast = 1 + options.get("max_random_contrast", 0)
    std = min(options.get(f"std_{letter}", 1.0) for letter in "rgb")
    return options.get("scale", 1.0) * contrast / std
