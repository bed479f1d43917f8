"""One peer of a benchmark, alone in its process; driven over a pipe by `peers.py`.

Run by the peer's own Python, which need not be gpuio's. Each line on stdin is an order in JSON:
``open`` (the peer's name and its work), ``round`` (do all of the work once, timed) or ``check``
(save the first images). A round opens everything anew, takes the first batch untimed, times the
rest, and closes: at both ends of the clock the peer has the same work under way, and between rounds
none. ``round`` and ``check`` may change options for themselves alone.
"""

import importlib
import importlib.util
import json
import os
import resource
import sys
import time
import warnings
from contextlib import contextmanager

import numpy as np

PEERS = {  # to a module beside this file, and its class
    "gpuio": "peer_iterators:Gpuio",
    "mxnet": "peer_iterators:Mxnet",
    "dali": "peer_iterators:Dali",
    "dali decode": "peer_iterators:DaliDecode",
    "torchvision": "peer_iterators:Torchvision",
    "cached": "peer_cache:Cached",
    "host only": "peer_iterators:HostOnly",
    "host only gpu": "peer_no_gpu:HostOnlyGpu",
    "pread": "peer_iterators:Pread",
    "records": "peer_iterators:Records",
    "offsets": "peer_iterators:Offsets",
    "cv2": "peer_decoders:Pool",
    "decoder": "peer_decoders:Decoder",
}


def peer_class(name):
    """Return the class of a peer."""
    module, _, found = PEERS[name].partition(":")
    return getattr(importlib.import_module(module), found)


def cpu_s():
    """Return the CPU seconds of this process, all its threads, and its children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ended = sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)
    return ended + living_cpu_s(os.getpid())


def living_cpu_s(parent):
    """Return the CPU seconds of the living children of a process; 0 where Linux does not tell."""
    try:
        with open("/proc/{0}/task/{0}/children".format(parent)) as file:  # noqa: UP032
            children = [int(word) for word in file.read().split()]
    except OSError:
        return 0.0
    spent = 0.0
    for child in children:
        try:
            with open("/proc/{}/stat".format(child)) as file:  # noqa: UP032
                words = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        spent += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        spent += living_cpu_s(child)
    return spent


@contextmanager
def changed(peer, options):
    """Change some options of a peer for a while."""
    usual = getattr(peer, "options", {})
    peer.options = dict(usual, **options)
    try:
        yield
    finally:
        peer.options = usual


def one_round(peer):
    """Do the work once, the first batch untimed."""
    batches = peer.batches()
    next(batches)
    count, cpu, wall = 0, cpu_s(), time.perf_counter()
    for images, _ in batches:
        count += images
    return {"images": count, "wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu}


def check(peer, count, out):
    """Save the first `count` images as arrays 0, 1, ..."""
    images = []
    batches = peer.batches()
    for valid, batch in batches:
        images += peer.to_numpy(batch)[:valid]
        if len(images) >= count:
            break
    batches.close()
    np.savez(out, **{str(i): image for i, image in enumerate(images[:count])})
    return {"images": min(count, len(images))}


def obey(peer, order):
    """Do one order; return the peer and the answer."""
    if order["do"] == "open":
        try:
            peer = peer_class(order["name"])(order["work"])
        except (ImportError, OSError) as error:
            told = getattr(error, "name", None) or " ".join(str(error).split())
            return None, {"absent": "{}: {}".format(type(error).__name__, told)}  # noqa: UP032
        try:
            from importlib.metadata import version

            found = version(peer.package)
        except Exception:  # noqa: BLE001 -- the package may be installed under another name
            found = "unknown"
        file = getattr(getattr(peer, "mx", None), "__file__", "")
        torch = importlib.util.find_spec("torch") is not None
        return peer, {"package": peer.package, "version": found, "file": file, "torch": torch}
    with changed(peer, order["options"]):
        if order["do"] == "round":
            return peer, one_round(peer)
        return peer, check(peer, order["images"], order["out"])


def main():
    """Obey orders until stdin ends."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    peer = None
    for line in sys.stdin:
        try:
            peer, answer = obey(peer, json.loads(line))
        except Exception as error:  # noqa: BLE001 -- whatever a peer says belongs to the order
            answer = {"error": "{}: {}".format(type(error).__name__, error)}  # noqa: UP032
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
