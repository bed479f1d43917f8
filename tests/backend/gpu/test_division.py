"""Which images the host decodes: a function of the batch's place and the share."""

import numpy as np
import pytest

from gpuio.backend.gpu.division import HOST_PIXELS, HostDivision, for_host, work_of
from gpuio.backend.protocol import Encoded
from gpuio.kernels.image_header import HEADER
from support.plans import plain

FROZEN = [0, 1, 3, 6, 9, 10]

JPEG, BASELINE, PROGRESSIVE = 1, 0xC0, 0xC2


def batch_of(sizes, lengths=None):
    """Return records of these (height, width), baseline JPEGs, and their plans."""
    count = len(sizes)
    rng = np.random.default_rng(7)
    headers = np.zeros(count, HEADER)
    headers["kind"], headers["channels"], headers["bits"] = JPEG, 3, 8
    headers["frame"], headers["one_scan"], headers["ended"] = BASELINE, 1, 1
    headers["scans"] = 1
    headers["sampling"] = 0x221111
    headers["height"], headers["width"] = np.transpose(sizes)
    if lengths is None:
        lengths = rng.integers(20_000, 200_000, count)
    zeros = np.zeros(count, np.int64)
    records = Encoded([], zeros, zeros, np.array(lengths, np.int64), zeros + 1, headers)
    return records, np.concatenate([plain(*size) for size in sizes])


def photos(count, seed=0):
    rng = np.random.default_rng(seed)
    return batch_of(rng.integers(300, 600, (count, 2)).tolist())


def chosen(batch, share, place=(0, 0, 0), small=HOST_PIXELS, channels=3):
    return for_host(*batch, channels, share=share, place=place, small=small)


def part(batch, host):
    records, plan = batch
    work = work_of(records.length, plan["src_h"].astype("i8") * plan["src_w"])
    return work[host].sum() / work.sum()


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("count", [8, 64])
def test_the_host_gets_its_share_of_the_work_over_many_batches(share, count):
    batch = photos(count)
    work = work_of(batch[0].length, batch[1]["src_h"].astype("i8") * batch[1]["src_w"])
    largest = work.max() / work.sum()
    got = [part(batch, chosen(batch, share, (2, 0, number))) for number in range(200)]
    assert np.abs(np.array(got) - share).max() <= largest + 1e-9
    assert abs(np.mean(got) - share) < 0.1 * largest
    # and soon: what engines and cores have in work at a time is a few batches
    assert np.abs(np.convolve(got, np.ones(4) / 4, "valid") - share).max() < 0.75 * largest


def test_which_images_is_a_function_of_place_and_share():
    batch = photos(32)
    places = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 5, 0)]
    first = [chosen(batch, 0.5, place) for place in places]
    again = [chosen(batch, 0.5, place) for place in places]
    assert np.array_equal(first, again)
    assert len({one.tobytes() for one in first}) == len(places)
    # frozen: a state is loaded by other versions, too
    assert np.flatnonzero(chosen(photos(12), 0.5, (3, 0, 17))).tolist() == FROZEN


def test_a_larger_share_takes_nothing_back():
    batch = photos(40)
    before = chosen(batch, 0.02)
    for share in np.arange(0.04, 1.0, 0.02):
        after = chosen(batch, share)
        assert not (before & ~after).any()
        before = after


def test_0_and_1_are_one_decoder_whatever_the_sizes():
    batch = batch_of([(100, 100), (400, 500), (30, 30)])
    assert chosen(batch, 0.0, small=0).tolist() == [False, False, False]
    assert chosen(batch, 1.0).tolist() == [True, True, True]
    assert chosen(batch, 0.01).tolist()[::2] == [True, True]


def test_what_the_engine_does_not_take_is_the_hosts_and_counts():
    batch = photos(10)
    batch[0].headers["frame"][:4] = PROGRESSIVE
    assert chosen(batch, 0.0, small=0).tolist() == [True] * 4 + [False] * 6
    host = chosen(batch, 0.1)
    assert np.flatnonzero(host).tolist() == [0, 1, 2, 3]  # more than its share already
    assert part(batch, chosen(batch, 0.7)) == pytest.approx(0.7, abs=0.15)
    assert chosen(batch, 0.0, small=0, channels=4).all()


def test_rows_without_an_image_are_no_work():
    batch = photos(10)
    batch[0].length[3:] = -1
    some = chosen(batch, 0.5)
    assert some[3:].all()
    assert 0 < some[:3].sum() < 3
    batch[0].length[:] = -1
    assert chosen(batch, 0.5).all()


def division(share, small=None, log=None):
    return HostDivision(
        share, small, 2, lambda: log.append("renewed") if log is not None else None, verbose=True
    )


def test_small_images_are_the_hosts_between_0_and_1_unless_a_limit_is_given():
    batch = batch_of([(255, 255), (256, 256)])
    for share, small, host in [
        (0.0, None, [False, False]),
        (0.001, None, [True, False]),
        (1.0, None, [True, True]),
        (0.0, 256 * 256, [True, False]),
        (0.001, 0, [False, False]),
    ]:
        made = division(share, small)
        team = made.team((0, 0, 0), 2, 4)
        assert made.for_host(*batch, 3, team).tolist() == host, (share, small)


def test_helpers_and_threads_for_engines_are_there_where_something_is_divided():
    for share, helpers, engines in [(0.0, 0, 0), (0.5, 4, 2), (None, 4, 2), (1.0, 4, 0)]:
        made = division(share)
        assert (made.helpers(64, 4), made.helpers(3, 4), made.engines) == (
            helpers,
            min(helpers, 3),
            engines,
        )


def test_engines_are_renewed_where_their_part_changes_by_much(caplog):
    log = []
    made = division(None, log=log)
    assert (made.share, made.assumed) == (None, 0.5)
    with made.measuring(0.5):
        assert (made.assumed, log) == (0.5, [])
    with made.measuring(0.52):
        assert (made.assumed, log) == (0.52, [])
    with made.measuring(0.2):
        assert log == ["renewed"]
    with caplog.at_level("INFO", "gpuio"):
        made.decide(0.21, "both end together")
    assert (made.share, made.assumed, log) == (0.21, 0.21, ["renewed"])
    assert "host_share=0.21: both end together" in caplog.text
    assert made.as_dict()["host_share"] == 0.21
