"""Mutate record files, their indexes and lists, and read them in every way.

    python tests/fuzz/framing.py --cases 100000 --seed 1
    python tests/fuzz/framing.py --hours 8
    python tests/fuzz/framing.py --seed 1 --case 4711        one case again, in this process

A case is one mutant: of the .rec mostly, of the .idx, .lst or checksums sometimes. Every mutant is
read record by record, scanned and searched; in turn it goes through an iterator (without and with
an index, under each on_error, with a list, with checksums), `gpuio verify`, `gpuio repair` or
`gpuio rec2idx`. What must hold:

- No crash, no hang (60 s a case), no error but gpuio's own, at most 1 GiB of address space.
- Every *intact* record is delivered as it was. A record is intact if all its bytes, heads included,
  stand in the mutant in their order and no damaged record hides it: one that begins before it and
  whose length still ends at a head or at the end of the file. (Reading all bytes finds those, too,
  unless they lie off the multiples of four.) Where bytes were lost or added, the records behind are
  promised if another record follows them, nothing shifts them back, and payloads do not look like
  record files. With an index: a record that still stands where the index says.
- With checksums nothing but the original records gets through, and `verify` notices every change.
- What `repair` writes is sound and holds every intact record.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# of a child that starts: else each thread takes 64 MiB of address space
os.environ.setdefault("MALLOC_ARENA_MAX", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from readings import Worker  # noqa: E402

SECONDS_A_CASE = 60  # 0.01 as a rule; other work may have the machine
ADDRESS_SPACE = 1 << 30


def work(args):
    """Run every `--step`-th case from `--first` on in this process; say what came of it."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="gpuio-fuzz-", dir=shared)
    wrong, done, number = [], 0, args.first
    began = time.monotonic()
    try:
        worker = Worker(folder)
        for number in range(args.first, args.cases, args.step):
            if args.hours and time.monotonic() - began > 3600 * args.hours:
                break
            if done % 64 == 0:
                print(json.dumps({"at": number}), flush=True)
            signal.setitimer(signal.ITIMER_REAL, SECONDS_A_CASE)
            try:
                worker.run(args.seed, number)
            except Exception as error:  # noqa: BLE001 -- any but the expected ones is a finding
                text = f"case {number}: {type(error).__name__}: {error}"
                wrong.append(text)
                print(json.dumps({"wrong": text}), flush=True)
                if len(wrong) >= 20:
                    break
            done += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(folder, ignore_errors=True)
    # getrusage counts what the parent held, too
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    told = {"done": done, "ways": worker.counts, "peak_mib": int(peak) >> 10}
    print(json.dumps(told), flush=True)


def one(args):
    """Run one case here, its traceback shown."""
    with tempfile.TemporaryDirectory(prefix="gpuio-fuzz-") as folder:
        Worker(folder).run(args.seed, args.case)
    print(f"case {args.case}: nothing wrong")
    return 0


def main():
    """Run cases in processes of their own; return 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=0.0, help="stop then; cases without an end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--case", type=int, help="run this one alone, in this process")
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hours:
        args.cases = 1 << 39
    if args.first is not None:
        work(args)
        return 0
    if args.case is not None:
        return one(args)
    began = time.monotonic()
    command = [sys.executable, str(Path(__file__).resolve())]
    command += ["--cases", str(args.cases), "--hours", str(args.hours), "--seed", str(args.seed)]
    # what decoders say about broken images goes to files; a crash's traceback is shown from them
    logs = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(args.jobs)]  # noqa: SIM115
    children = [
        subprocess.Popen(
            [*command, "--first", str(first), "--step", str(args.jobs)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        for first, log in enumerate(logs)
    ]
    wrong, done, peak, ways = [], 0, 0, {}
    for child, log in zip(children, logs, strict=True):
        at, ended = "before the first case", False
        for line in child.stdout:
            said = json.loads(line)
            at = said.get("at", at)
            wrong += [said["wrong"]] if "wrong" in said else []
            if "done" in said:
                ended, done, peak = True, done + said["done"], max(peak, said["peak_mib"])
                for way, count in said["ways"].items():
                    ways[way] = ways.get(way, 0) + count
        if child.wait() or not ended:
            wrong.append(f"a process ended with {child.returncode} at case {at} or in the 64 after")
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)
        log.close()
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps(
            {
                "cases": done,
                "seed": args.seed,
                "seconds": seconds,
                "peak_mib": peak,
                "ways": ways,
                "wrong": wrong,
            }
        )
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
