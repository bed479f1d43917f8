"""Pack, and die at a random moment, again and again; run as a program, on behalf of test_kills.py.

The modules are loaded once; each packing is a fork of this process, killed with SIGKILL.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from gpuio.tools import im2rec


def packed(folder, arguments):
    """Pack in a fork of this process; return its pid."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            code = im2rec.main([str(folder / "set"), str(folder / "photos"), *arguments])
            os._exit(code)
        os._exit(99)
    return pid


def result(folder):
    """The bytes of both files; None for one that is not there."""
    found = [folder / "set.rec", folder / "set.idx"]
    return [path.read_bytes() if path.exists() else None for path in found]


def put_old(folder):
    """Lay an older pair of files where the new ones will be."""
    for name, data in zip(("set.rec", "set.idx"), OLD, strict=True):
        (folder / name).write_bytes(data)


OLD = [b"older records", b"older index"]


def main(folder, kills, seed, *arguments):
    """Kill `kills` packings; print how it went as JSON."""
    folder, rng = Path(folder), random.Random(int(seed))
    begun = time.perf_counter()
    assert os.waitpid(packed(folder, arguments), 0)[1] == 0
    once = time.perf_counter() - begun
    whole = result(folder)
    allowed = {
        "untouched": OLD,
        "old records, no index": [OLD[0], None],
        "new records, no index": [whole[0], None],
        "finished": whole,
    }
    counts = {"killed": 0, "resumed": 0, "wrong": [], **dict.fromkeys(allowed, 0)}
    put_old(folder)
    while counts["killed"] < int(kills):
        began_with_part = (folder / "set.idx.part").exists()
        pid = packed(folder, [*arguments, "--resume"])
        time.sleep(rng.uniform(0, 1.1 * once))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        in_time = os.WIFSIGNALED(status)
        once *= 1.1 if in_time else 0.8  # what was measured may have been a pause of the machine
        counts["killed"] += in_time
        counts["resumed"] += began_with_part
        state = [name for name, files in allowed.items() if files == result(folder)]
        if state:
            counts[state[0]] += 1
        else:
            counts["wrong"].append("files that do not belong together")
        if state == ["finished"]:
            put_old(folder)
    pid = packed(folder, [*arguments, "--resume"])
    if os.waitpid(pid, 0)[1] != 0 or result(folder) != whole:
        counts["wrong"].append("the last resumption differs from an undisturbed run")
    left = {path.name for path in folder.iterdir()} - {"photos", "set.lst", "set.rec", "set.idx"}
    if left:
        counts["wrong"].append(f"left behind: {sorted(left)}")
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
