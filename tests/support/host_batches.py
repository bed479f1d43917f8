"""Batches made by the host-compiled GPU kernels, and by the CPU's: the two that must agree.

Under the address sanitizer all memory that kernels see is cut to the byte, images to the word: a
word that holds a byte of an image may be read whole.
"""

import ctypes

import numpy as np

from gpuio.kernels import normalise
from gpuio.kernels.cpu import augment
from gpuio.kernels.cuda.launch_plan import LaunchPlan
from support import host_kernels


class _Cut:
    """Memory of the C library, whose end the sanitizer knows; freed with its last view."""

    def __init__(self, nbytes):
        address, libc = ctypes.c_void_p(), ctypes.CDLL(None)
        wanted = ctypes.c_size_t(max(nbytes, 1))
        assert not libc.posix_memalign(ctypes.byref(address), ctypes.c_size_t(256), wanted)
        self.free = libc.free
        self.address = address.value
        self.__array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (self.address, False),
            "version": 3,
        }

    def __del__(self):
        self.free(ctypes.c_void_p(self.address))


def cut_to_the_byte():
    """Say whether memory ends where its last byte does."""
    return host_kernels.SANITIZER == "address"


def arena(nbytes):
    """Return uint8[nbytes] aligned to 256 bytes, poisoned."""
    if cut_to_the_byte():
        exact = np.asarray(_Cut(nbytes))
        exact[:] = 0xA5
        return exact
    memory = np.full(nbytes + 256, 0xA5, np.uint8)
    start = -memory.ctypes.data % 256
    return memory[start : start + nbytes]


def execute(rows, pictures, height, width, channels, shift_bytes=0, **how):
    """Run a batch on the host-compiled kernels; return the values, the work and its launches."""
    addresses = np.array([0 if p is None else p.ctypes.data for p in pictures], np.uint64)
    work = LaunchPlan(rows, addresses, channels=channels, height=height, width=width, **how)
    storage = normalise.storage(how["dtype"])
    shape = (len(rows), channels, height, width)
    if how["layout"] == "NHWC":
        shape = (len(rows), height, width, channels)
    size = int(np.prod(shape)) * storage.itemsize
    table, scratch = arena(work.table_bytes), arena(work.scratch_bytes)
    out = arena(shift_bytes + size)[shift_bytes : shift_bytes + size]
    host, launches = work.bind(table.ctypes.data, scratch.ctypes.data, out.ctypes.data)
    table[:] = host
    for launch in launches:
        host_kernels.launch(*launch)
    return out.view(storage).reshape(shape), work, launches


def placed(rng, picture, around=None):
    """Return a picture's copy at any address, odd ones too, among bytes of any or a given value."""
    size, start = picture.size, int(rng.integers(16, 24))
    if cut_to_the_byte():
        start %= 4
        exact = arena(-(-(start + size) // 4) * 4)[start : start + size]
        exact[:] = picture.reshape(-1)
        return exact.reshape(picture.shape)
    memory = rng.integers(0, 256, size + 48, dtype=np.uint8)
    if around is not None:
        memory[:] = around
    memory[start : start + size] = picture.reshape(-1)
    return memory[start : start + size].reshape(picture.shape)


def on_cpu(rows, pictures, shape, how):
    """Make the same batch with the CPU kernels."""
    normalisation = augment.Normalisation(
        how["dtype"],
        how["mean"],
        how["std"],
        how["scale"],
        how["layout"],
        how.get("mean_image"),
        ratio=how.get("ratio", False),
    )
    out = np.zeros(shape, normalise.storage(how["dtype"]))
    scratch = augment.Scratch()
    for k, picture in enumerate(pictures):
        augment.augment(picture, rows[k : k + 1], normalisation, out[k], scratch)
    return out
