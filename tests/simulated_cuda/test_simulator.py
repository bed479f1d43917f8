"""The simulated CUDA by itself: work runs late, in CUDA's order; what CUDA refuses is seen."""

import ctypes
import os
import threading
import time

import numpy as np
import pytest
from simulated_cuda import install

TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3
OK, NO_MEMORY, BAD_HANDLE, NOT_READY, ILLEGAL = 0, 2, 400, 600, 700
NON_BLOCKING = 1
LATE = 40_000_000  # cycles of `spin`: 20 ms

pytestmark = pytest.mark.skipif(
    os.environ.get("GPUIO_SIMULATED_CUDA") == "1", reason="the device is in use"
)


class Cuda:
    """The calls, handles as integers."""

    def __init__(self):
        self.simulator = install.simulator()

    def __call__(self, name, *args, expected=OK):
        function = getattr(self.simulator, f"sim_cuda{name}")
        function.argtypes = [
            ctypes.c_size_t if isinstance(arg, int) else ctypes.c_void_p for arg in args
        ]
        assert function(*args) == expected

    def made(self, name, *args, expected=OK):
        """Call what makes something and return it."""
        out = ctypes.c_size_t()
        self(name, ctypes.addressof(out), *args, expected=expected)
        return out.value

    def hold(self, stream):
        """Keep a stream busy until `let_go`, and for a while then."""
        assert self.simulator.sim_hold(ctypes.c_void_p(stream)) == OK
        self.spin(stream)

    def let_go(self):
        self.simulator.sim_let_go()

    def spin(self, stream):
        """Keep a stream busy for a while."""
        spin, argument = self.simulator.sim_spin, ctypes.c_uint64(LATE)
        assert spin(ctypes.c_void_p(stream), argument) == OK


@pytest.fixture
def cuda():
    try:
        made = Cuda()
    except RuntimeError as error:
        pytest.skip(str(error))
    install.set_up()
    made.simulator.sim_forgive()
    yield made
    made.let_go()
    made("DeviceSynchronize")
    install.set_up()
    made.simulator.sim_forgive()


@pytest.fixture
def stream(cuda):
    handle = cuda.made("StreamCreateWithFlags", NON_BLOCKING)
    yield handle
    cuda("StreamDestroy", handle)


@pytest.fixture
def block(cuda):
    address = cuda.made("Malloc", 64)
    yield address
    cuda("Free", address)


def read(cuda, address, stream=0):
    values = np.empty(64, np.uint8)
    cuda("MemcpyAsync", values.ctypes.data, address, 64, TO_HOST, stream)
    return values


def test_queued_work_is_done_later_and_in_its_order(cuda, stream, block):
    cuda.hold(stream)
    cuda("MemsetAsync", block, 7, 64, stream)
    cuda("StreamQuery", stream, expected=NOT_READY)
    assert (read(cuda, block) == 0xA5).all()  # on another stream, not ordered behind it
    cuda.let_go()
    assert (read(cuda, block, stream) == 7).all()
    cuda("StreamQuery", stream)


def test_a_stream_waits_for_an_event_as_it_was_recorded_last(cuda, stream, block):
    other, event = cuda.made("StreamCreateWithFlags", NON_BLOCKING), cuda.made("EventCreate")
    cuda("EventRecord", event, other)
    cuda.hold(other)
    cuda("MemsetAsync", block, 3, 64, other)
    cuda("EventRecord", event, other)
    cuda("EventQuery", event, expected=NOT_READY)
    cuda.let_go()
    cuda("StreamWaitEvent", stream, event, 0)
    cuda("EventDestroy", event)  # the order stands
    assert (read(cuda, block, stream) == 3).all()
    cuda("StreamDestroy", other)


def test_the_default_stream_is_ordered_with_blocking_streams_only(cuda, stream, block):
    blocking = cuda.made("StreamCreate")
    cuda.spin(blocking)
    cuda("MemsetAsync", block, 5, 64, blocking)
    assert (read(cuda, block, 0) == 5).all()
    cuda.hold(0)
    cuda("MemsetAsync", block, 6, 64, 0)
    assert (read(cuda, block, stream) == 5).all()
    cuda.let_go()
    assert (read(cuda, block, blocking) == 6).all()
    cuda("StreamDestroy", blocking)


def test_page_locked_memory_is_read_when_the_copy_runs_other_memory_at_the_call(cuda, stream):
    locked, plain = cuda.made("HostAlloc", 64, 0), np.zeros(64, np.uint8)
    first, second = cuda.made("Malloc", 64), cuda.made("Malloc", 64)
    ctypes.memset(locked, 0, 64)
    cuda.hold(stream)
    cuda("MemcpyAsync", first, locked, 64, TO_DEVICE, stream)
    cuda("MemcpyAsync", second, plain.ctypes.data, 64, TO_DEVICE, stream)
    ctypes.memset(locked, 9, 64)
    plain[:] = 9
    cuda.let_go()
    assert (read(cuda, first, stream) == 9).all()
    assert (read(cuda, second, stream) == 0).all()
    for address in (first, second):
        cuda("Free", address)
    cuda("FreeHost", locked)


def test_freed_memory_is_spoilt_and_counted(cuda):
    before = install.counts()
    address = cuda.made("Malloc", 1 << 20)
    assert install.counts().used == before.used + (1 << 20)
    cuda("Free", address)
    assert install.counts().used == before.used
    cuda("Free", address, expected=17)
    assert "frees" in install.complaint()


def test_a_full_device_has_no_memory(cuda):
    install.set_up(room=1 << 20)
    assert cuda.made("Malloc", 2 << 20, expected=NO_MEMORY) == 0
    assert install.complaint() == ""  # a program may well ask


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("MemcpyAsync", (8, 8, 64, ON_DEVICE, 0)),
        ("MemsetAsync", (8, 0, 64, 0)),
        ("StreamSynchronize", (8,)),
        ("StreamDestroy", (8,)),
        ("EventRecord", (8, 0)),
        ("EventSynchronize", (8,)),
        ("StreamWaitEvent", (0, 8, 0)),
    ],
)
def test_what_does_not_exist_is_refused(cuda, name, args):
    expected = ILLEGAL if name.startswith("Mem") else BAD_HANDLE
    cuda(name, *args, expected=expected)
    assert install.complaint()


def test_a_copy_that_leaves_its_allocation_is_refused(cuda, block):
    values = np.zeros(65, np.uint8)
    cuda("MemcpyAsync", block, values.ctypes.data, 65, TO_DEVICE, 0, expected=ILLEGAL)
    cuda("MemcpyAsync", values.ctypes.data, block, 65, TO_HOST, 0, expected=ILLEGAL)
    cuda("MemcpyAsync", block + 1, values.ctypes.data, 63, TO_DEVICE, 0)


def test_each_device_has_its_memory_its_default_stream_and_its_current_threads(cuda, block):
    there = {}

    def use_the_other():
        cuda("SetDevice", 1)
        before = install.counts(1)
        there["block"] = cuda.made("Malloc", 64)
        there["used"] = install.counts(1).used - before.used
        cuda.hold(0)
        cuda("MemsetAsync", there["block"], 4, 64, 0)

    thread = threading.Thread(target=use_the_other)
    thread.start()
    thread.join()
    assert there["used"] == 64
    device = ctypes.c_int(9)
    cuda("GetDevice", ctypes.addressof(device))
    assert device.value == 0
    cuda("MemsetAsync", block, 6, 64, 0)
    cuda("StreamSynchronize", 1)
    assert (read(cuda, block) == 6).all()
    assert (read(cuda, there["block"]) == 0xA5).all()  # of the other default stream
    cuda.let_go()
    cuda("SetDevice", 1)
    assert (read(cuda, there["block"]) == 4).all()
    cuda("Free", there["block"])
    cuda("SetDevice", 0)
    cuda("SetDevice", 2, expected=101)


def test_an_event_is_recorded_on_streams_of_its_device_only_and_waited_for_anywhere(cuda, stream):
    cuda("SetDevice", 1)
    theirs = cuda.made("EventCreate")
    cuda("EventRecord", theirs, stream, expected=BAD_HANDLE)
    assert "another device's event" in install.complaint()
    cuda("EventRecord", theirs, 1)
    cuda("SetDevice", 0)
    cuda("EventRecord", theirs, 1, expected=BAD_HANDLE)
    cuda("StreamWaitEvent", stream, theirs, 0)
    cuda("StreamSynchronize", stream)
    cuda("EventDestroy", theirs)


@pytest.mark.parametrize("blocks", [False, True])
def test_waiting_for_an_event_keeps_a_core_busy_unless_it_blocks(cuda, stream, blocks):
    event, used = cuda.made("EventCreateWithFlags", int(blocks)), []
    for _ in range(20):  # on a busy machine a thread that spins gets no core now and then
        began, until = time.thread_time(), time.perf_counter() + 0.2
        while time.perf_counter() < until:
            os.sched_yield()
        spun = time.thread_time() - began
        for _ in range(10):
            cuda.spin(stream)
        cuda("EventRecord", event, stream)
        began = time.thread_time()
        cuda("EventSynchronize", event)
        used.append((time.thread_time() - began, spun))
        if (used[-1][0] < 0.01) if blocks else (used[-1][0] > 0.25 * spun):
            break
    else:
        pytest.fail(f"CPU seconds of a wait, and of as long a spin: {used}")
    cuda("EventDestroy", event)
