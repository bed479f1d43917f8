"""What each side did, counted; or, while somebody measures, handed to them."""

from gpuio.backend import Sample
from gpuio.backend.gpu.tally import Tally


def test_calls_are_counted_by_side():
    tally = Tally()
    tally.add("engine", 3, 300, 9.0, 0.5)
    tally.add("engine", 1, 50, 2.0, 0.25)
    tally.add("host", 2, 70, 3.0, 0.125)
    assert tally.as_dict() == {
        "engine_images": 4,
        "engine_bytes": 350,
        "engine_s": 0.75,
        "host_images": 2,
        "host_bytes": 70,
        "host_s": 0.125,
    }


def test_calls_that_are_measured_are_not_counted():
    tally = Tally()
    with tally.measuring() as samples:
        assert tally.measures
        tally.add("host", 2, 70, 3.0, 0.125)
    tally.add("host", 1, 10, 1.0, 0.5)
    assert samples == [Sample("host", 2, 3.0, 0.125)]
    assert not tally.measures
    assert tally.as_dict()["host_images"] == 1
    with tally.measuring() as others:
        assert others == []
    assert len(samples) == 1
