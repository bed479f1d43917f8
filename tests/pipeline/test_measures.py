"""Seconds become shares, rates and stages."""

import json

import pytest

from gpuio.backend.protocol import Work
from gpuio.errors import DecodeError
from gpuio.pipeline import stats as stats_module
from gpuio.pipeline.measures import STAGES, measures
from gpuio.pipeline.report import report
from gpuio.pipeline.stats import Stats


def turns(stats, epochs, *, wait=0.02, own=0.03, pause=5.0, start=100.0):
    """Let a consumer take batches of ten images; epochs as numbers of batches."""
    now = start
    for batches in epochs:
        for number in range(batches):
            stats.add_file(0.006, {"local": 1200})
            stats.add_read(0.010, 0.001, 1000)
            work = Work(True, 0.024, 0.012, {"turbojpeg": 9, "opencv": 1})
            stats.add_made(0.040, 0.005, work)
            stats.add_taken(10, wait, 0, (1, 3))
            stats.hand_out(now, now + wait + 0.001, first=number == 0)
            now += wait + 0.001 + own
        now += pause - own
    return stats


def told(stats, **changed):
    given = {
        "threads": 2,
        "wanted_threads": 2,
        "prefetch_buffer": 4,
        "together": 1,
        "cores": 2,
        "mixes": False,
    }
    return measures(stats.since_first(), **{**given, **changed})


def test_shares_are_of_the_time_after_the_first_batch_and_inside_of_epochs():
    found = told(turns(Stats(), [11]))
    # ten batches after the first, each 0.02 waited, 0.001 handed over, 0.03 the consumer's
    assert found["measured_batches"] == 10
    assert found["elapsed_s"] == pytest.approx(0.51)
    assert found["waits"] == pytest.approx(0.2 / 0.51)
    assert found["consumes"] == pytest.approx(0.3 / 0.51)
    assert found["hand_overs"] == pytest.approx(0.01 / 0.51)
    assert found["starved"] == pytest.approx(0.05 / 0.51)
    assert found["images_per_s"] == pytest.approx(100 / 0.51)
    assert found["read_bytes_per_s"] == pytest.approx(12000 / 0.06)
    assert found["look_ahead"] == {"read": 1.0, "made": 3.0, "room": 4}
    stages = found["stages"]
    assert list(stages) == [name for name in STAGES if name != "mixing"]
    assert {name: one["seconds"] for name, one in stages.items()} == pytest.approx(
        {
            "reading": 0.11,
            "read": 0.066,
            "headers": 0.033,
            "plan": 0.011,
            "making": 0.44,
            "decode": 0.264,
            "kernels": 0.132,
            "hand_over": 0.011,
        }
    )
    assert stages["making"]["busy"] == pytest.approx(0.4 / 2 / 0.51)
    assert stages["reading"]["busy"] == pytest.approx(0.1 / 0.51)
    assert stages["decode"]["images_per_s"] == pytest.approx(100 / (0.24 / 2))
    assert found["decoders"] == {"turbojpeg": 99, "opencv": 11}
    assert found["read_bytes"] == {"local": 13200}


def test_threads_that_came_later_were_not_idle_before():
    stats = Stats()
    for number, threads in enumerate([1, 1, 1, 1, 1, 4, 4, 4, 4, 4, 4]):
        if number:
            stats.add_made(threads * 0.1, 0.0, Work(True, threads * 0.1, 0.0, {}))
        stats.add_taken(10, 0.1, 0, (0, 0))
        now = 100.0 + 0.1 * number
        stats.hand_out(now - 0.1, now, first=number == 0, threads=threads)
    making = told(stats, threads=4, wanted_threads=4, cores=4)["stages"]["making"]
    assert making["threads"] == 4
    assert making["busy"] == pytest.approx(1.0)  # not 2.8 / 4
    assert making["images_per_s"] == pytest.approx(100 / 2.8 * 4)


def test_the_time_between_epochs_counts_nothing():
    once, twice = told(turns(Stats(), [11])), told(turns(Stats(), [6, 6]))
    assert twice["between_epochs_s"] == pytest.approx(5.0)
    assert once["between_epochs_s"] == 0
    assert twice["elapsed_s"] == pytest.approx(11 * 0.021 + 10 * 0.03)
    assert twice["waits"] == pytest.approx(11 * 0.02 / twice["elapsed_s"])


def test_where_an_epoch_is_one_batch_the_time_between_is_the_consumers():
    found = told(turns(Stats(), [1] * 11, pause=0.3))
    assert found["consumes"] == pytest.approx(3.0 / (3.0 + 0.21))
    assert found["between_epochs_s"] == 0


def test_a_new_beginning_forgets_what_was_before():
    stats = turns(Stats(), [5])
    stats.begin_again()
    turns(stats, [3], start=500.0)
    found = told(stats)
    assert found["measured_batches"] == 2
    assert found["elapsed_s"] == pytest.approx(2 * 0.051)
    assert stats.as_dict()["batches"] == 8


@pytest.mark.parametrize("batches", [0, 1])
def test_before_two_batches_there_is_nothing_to_tell(batches):
    found = told(turns(Stats(), [batches]))
    assert found["elapsed_s"] == found["waits"] == found["images_per_s"] == 0
    assert found["stages"]["making"]["images_per_s"] is None
    assert found["limit"]["stage"] == "unknown"
    json.dumps(found)


def test_cores_are_counted_from_the_cpu_time_of_the_process(monkeypatch):
    clock = iter([10.0, 10.3, 10.9])
    monkeypatch.setattr(stats_module.time, "process_time", lambda: next(clock))
    stats = Stats()
    for now in (1.0, 1.2, 1.25, 1.5):  # the third one comes too early to look again
        stats.hand_out(now - 0.01, now, first=False)
    assert told(stats)["cores_used"] == pytest.approx((10.9 - 10.0) / 0.5)


def test_the_report_is_one_table_and_one_sentence():
    stats = turns(Stats(), [11])
    stats.add_fault(DecodeError("not a readable image", path="a.rec", key=3))
    cache = {"kind": "host", "hits": 1200, "misses": 30, "images": 9, "bytes": 5e6}
    given = {**stats.as_dict(), **told(stats), "cache": cache}
    lines = report(given, "ImageRecordIter over a.rec").splitlines()
    assert lines[0] == "ImageRecordIter over a.rec"
    assert lines[1] == "110 images in 11 batches; 196 images/s over 0.51 s since the first one"
    rows = {line[:18].strip(): line[18:].split() for line in lines[4:12]}
    assert rows["decoding"] == ["2", "0.264", "24", "%", "833"]
    assert rows["files"] == ["1", "0.066", "12", "%", "1,667"]
    assert "decoded by: TurboJPEG 99, OpenCV 11" in lines
    assert "damage: bad records 1" in lines
    assert "cache: host, 1,200 hits, 30 misses, 5.0 MB" in lines
    assert "read: 0.0 MB local, 0 MB/s" in lines
    assert lines[-1].startswith("the look-ahead is too short: you waited 39 % of the time")


def test_the_report_of_what_was_not_measured_says_so():
    assert report(Stats(timed=False).as_dict(), "x").splitlines() == [
        "x",
        "0 images in 0 batches",
        "stages were not measured: stats=False",
    ]


def test_what_other_threads_fetch_counts_by_the_clock(monkeypatch):
    clock = iter([1.0, 3.0, 10.0, 12.0, 13.0])
    monkeypatch.setattr(stats_module.time, "perf_counter", lambda: next(clock))
    stats = Stats()
    with stats.fetching():
        with stats.fetching():
            pass
        stats.add_file(1.5, {"s3": 1000})
        stats.add_file(1.9, {"s3": 1000})
    stats.add(fetched_s=0.25)
    stats.add_read(0.5, 0.1, 1000)
    stats.add_taken(10, 0.2, 0, (1, 3))
    since = stats.since_first()
    assert since.totals["fetch_s"] == pytest.approx(2.0)  # not the threads' 3.4 seconds
    found = told(stats, fetches=True)
    seconds = {name: found["stages"][name]["seconds"] for name in ("reading", "read", "headers")}
    assert seconds == pytest.approx({"reading": 0.5, "read": 0.25, "headers": 0.15})
    with stats.fetching():
        assert stats.since_first().totals["fetch_s"] == pytest.approx(4.0)  # what is under way, too
