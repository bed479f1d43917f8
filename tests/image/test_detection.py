from __future__ import annotations

from gpuio import image


def test_mxnets_module_names_hold_everything_for_detection():
    assert image.det is image.detection
    for name in image.detection.__all__:
        assert getattr(image, name) is getattr(image.detection, name)
