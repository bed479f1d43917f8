"""The machine on a backend of forty lines, whose pixels are the record's bytes."""

import json
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from gpuio.backend import Encoded, Fault, Output
from gpuio.errors import DecodeError, StorageError, Where
from gpuio.kernels.plan.layout import PLAN
from gpuio.order.epochs import BatchOrder
from gpuio.pipeline.error_policy import ErrorPolicy
from gpuio.pipeline.pipeline import BatchPosition, Pipeline
from gpuio.pipeline.reader import Records
from gpuio.pipeline.stats import Stats

TOGETHER = 1  # batches that are made as one


@pytest.fixture(params=[1, 2, 5], autouse=True, ids="{} together".format)
def _together(request, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TOGETHER", request.param)


class FakeBackend:
    """Writes a record's first byte into every pixel; blobs b"bad" cannot be decoded."""

    name, device_id, division = "fake", 0, None

    def __init__(self, share=2, together=1):
        self.rows_a_share, self.calls, self.lock = share, 0, threading.Lock()
        self.batches = together

    def share(self, batch_size, threads):
        return min(self.rows_a_share, batch_size)

    def together(self, batch_size, output):
        return self.batches

    def allocate(self, shape, dtype):
        return np.full(shape, 255, dtype)

    def make(self, records, plan, output, out, team=None):
        with self.lock:
            self.calls += 1
        faults = []
        for row, blob in enumerate(records.blobs):
            out[row] = 0 if blob in (None, b"bad") else blob[0]
            if blob == b"bad":
                faults.append(Fault(row, DecodeError("not a readable image")))
        return faults

    def put(self, host):
        return host

    def fence(self, batch):
        pass

    def close(self):
        pass


class FakeReader:
    """Record i holds the byte i; `broken` positions fail as storage does."""

    mean_length = 1 << 30  # batches are read alone, or as they are made

    def __init__(self, bad=(), broken=()):
        self.bad, self.broken, self.looked = set(bad), set(broken), 0

    def read(self, positions):
        if self.broken & set(positions.tolist()):
            raise StorageError("input/output error", path="data.rec")
        rows = len(positions)
        ones = np.ones(rows, np.int32)
        encoded = Encoded.empty(rows)
        for row, p in enumerate(positions):
            if p >= 0:
                encoded.put(row, b"bad" if p in self.bad else bytes([p]))
        return Records(
            encoded,
            np.zeros((rows, 1), np.float32),
            positions.astype(np.uint64),
            ones,
            ones,
            ones,
            np.zeros(1, np.float32),
        )

    def check_unchanged(self):
        self.looked += 1

    def where(self, position):
        return Where("data.rec", position, 100 * position)


class FakeOrder:
    """Sequential epochs of n records that borrow from the next."""

    def __init__(self, n, batch_size):
        self.n_records, self.batch_size = n, batch_size

    def epoch(self, pass_index, start):
        batches = -(-(self.n_records - start) // self.batch_size)
        pad = batches * self.batch_size - (self.n_records - start)
        return SimpleNamespace(batches=batches, pad=pad, next_start=pad)

    def record(self, pass_index, place):
        return place

    def batch(self, pass_index, start, number):
        at = start + number * self.batch_size + np.arange(self.batch_size)
        pad = max(0, int(at[-1]) + 1 - self.n_records)
        return BatchOrder(
            position=at % self.n_records,
            pad=pad,
            mx_index=at * 0,
            pass_index=pass_index + at // self.n_records,
        )

    def batches(self, pass_index, start, first, stop):
        made = [self.batch(pass_index, start, number) for number in range(first, stop)]
        names = ("position", "pass_index", "mx_index")
        rows = (np.concatenate([getattr(one, name) for one in made]) for name in names)
        return made, BatchOrder(*rows, pad=0)


class FakePlanner:
    def draw(self, request):
        return np.zeros(len(request.heights), PLAN)

    def faults(self, plan):
        return []


def pipeline(
    n=10,
    batch_size=4,
    *,
    bad=(),
    broken=(),
    share=2,
    threads=2,
    prefetch=2,
    on_error="raise",
    max_bad=1000,
    log="",
):
    output = Output(1, 2, 2, "uint8", "NCHW", np.zeros(1, "f4"), np.ones(1, "f4"), 1.0)
    stats = Stats()
    return Pipeline(
        FakeOrder(n, batch_size),
        FakePlanner(),
        FakeReader(bad, broken),
        FakeBackend(share, TOGETHER),
        output,
        ErrorPolicy(on_error, max_bad, str(log), stats),
        stats,
        threads=threads,
        prefetch=prefetch,
    )


def rows(made):
    return made.data[:, 0, 0, 0].tolist()


def walk(machine, count):
    """The rows of the next batches, epochs following each other."""
    seen = []
    for where, _ in zip(machine.positions(BatchPosition(0, 0, 0)), range(count), strict=False):
        seen.append(rows(machine.next(where)))
    machine.stop()
    return seen


@pytest.mark.parametrize("share", [1, 2, 3, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order_over_epochs(share, threads):
    got = walk(pipeline(share=share, threads=threads), 5)
    assert got == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]


def test_the_stream_goes_on_into_the_next_epoch_without_a_restart():
    machine = pipeline()
    machine.next(BatchPosition(0, 0, 2))
    stream = machine._stream
    machine.next(BatchPosition(1, 2, 0))
    assert machine._stream is stream
    machine.stop()


def test_asking_for_another_place_starts_there():
    machine = pipeline()
    assert rows(machine.next(BatchPosition(0, 0, 0))) == [0, 1, 2, 3]
    assert rows(machine.next(BatchPosition(1, 0, 1))) == [4, 5, 6, 7]
    machine.stop()


def test_no_more_is_made_ahead_than_asked_for():
    machine = pipeline(n=1000, batch_size=4, share=4, threads=1, prefetch=3)
    machine.next(BatchPosition(0, 0, 0))
    for _ in range(100):
        if machine.backend.calls >= 4:
            break
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    assert machine.backend.calls <= 1 + 3 + 1  # the one asked for, three ahead, one in the making
    machine.stop()


def test_a_bad_row_is_raised_by_name():
    machine = pipeline(bad=[5])
    with pytest.raises(DecodeError) as raised:
        machine.next(BatchPosition(0, 0, 1))
    error = raised.value
    assert (error.path, error.key, error.offset) == ("data.rec", 5, 500)
    assert machine.stats.as_dict()["failed_records"][0]["key"] == 5


def test_zero_leaves_the_row_zeros_and_costs_no_other():
    machine = pipeline(bad=[5], on_error="zero")
    made = machine.next(BatchPosition(0, 0, 1))
    machine.stop()
    assert rows(made) == [4, 0, 6, 7]
    assert made.pad == 0


@pytest.mark.parametrize(
    ("bad", "number", "left", "pad"),
    [
        ([5], 1, [4, 6, 7, 0], 1),
        ([4, 7], 1, [5, 6, 0, 0], 2),
        ([9], 2, [8, 0, 1, 0], 3),
        ([0], 2, [8, 9, 1, 0], 2),
        ([4, 5, 6, 7], 1, [0, 0, 0, 0], 4),
    ],
)
def test_skip_moves_good_rows_up_and_counts_the_freed_ones(bad, number, left, pad):
    machine = pipeline(bad=bad, on_error="skip")
    made = machine.next(BatchPosition(0, 0, number))
    machine.stop()
    assert rows(made) == left
    assert made.pad == pad
    assert made.index.tolist() == [*left[: 4 - len(set(bad) & set(range(10)))], 0, 0, 0, 0][:4]


def test_replace_takes_another_record_and_always_the_same():
    got = []
    for threads in (1, 3):
        machine = pipeline(bad=[5, 6], on_error="replace", threads=threads)
        made = machine.next(BatchPosition(0, 0, 1))
        machine.stop()
        got.append((rows(made), made.index.tolist()))
        assert made.pad == 0
    assert got[0] == got[1]
    (a, b, c, d), index = got[0]
    assert (a, d) == (4, 7)
    assert b not in (5, 6)
    assert c not in (5, 6)
    assert index == [a, b, c, d]


def test_replace_gives_up_when_every_record_is_bad():
    machine = pipeline(bad=range(10), on_error="replace")
    with pytest.raises(DecodeError):
        machine.next(BatchPosition(0, 0, 0))


def test_too_many_bad_records_stop_the_run():
    machine = pipeline(bad=[0, 5, 6], on_error="zero", max_bad=2)
    machine.next(BatchPosition(0, 0, 0))
    with pytest.raises(DecodeError, match="3 bad records, more than max_bad=2"):
        machine.next(BatchPosition(0, 0, 1))


def test_a_bad_record_is_counted_once_and_logged_once(tmp_path):
    log = tmp_path / "bad.jsonl"
    machine = pipeline(bad=[5], on_error="zero", log=log)
    for _ in range(3):
        machine.next(BatchPosition(0, 0, 1))
    machine.stop()
    (line,) = [json.loads(text) for text in log.read_text().splitlines()]
    assert (line["path"], line["key"], line["offset"]) == ("data.rec", 5, 500)
    assert (line["error"], line["policy"]) == ("DecodeError", "zero")
    assert machine.stats.as_dict()["faults"] == 1


def test_storage_that_fails_raises_at_its_batch_and_is_tried_again():
    machine = pipeline(broken=[6])
    assert rows(machine.next(BatchPosition(0, 0, 0))) == [0, 1, 2, 3]
    with pytest.raises(StorageError, match="input/output error"):
        machine.next(BatchPosition(0, 0, 1))
    machine.reader.broken.clear()
    assert rows(machine.next(BatchPosition(0, 0, 1))) == [4, 5, 6, 7]
    machine.stop()


def test_every_epoch_begins_with_a_look_at_the_files():
    machine = pipeline(prefetch=1)
    machine.next(BatchPosition(0, 0, 1))
    machine.stop()
    before = machine.reader.looked
    machine.next(BatchPosition(1, 0, 0))
    machine.stop()
    assert machine.reader.looked > before


def test_counts_are_of_batches_handed_out():
    machine = pipeline()
    walk(machine, 3)
    counts = machine.stats.as_dict()
    assert (counts["batches"], counts["images"]) == (3, 10)


def test_places_end_where_no_epoch_has_a_batch():
    machine = pipeline()
    machine.order.epoch = lambda pass_index, start: SimpleNamespace(batches=0, pad=0, next_start=0)
    assert list(machine.positions(BatchPosition(0, 0, 0))) == []
