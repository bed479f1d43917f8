"""Fuzz image decoding: mutants of every kind of image among good records, in a child process.

    python tests/fuzz/images.py --cases 20000 --seed 1

Nothing may crash, hang, lose or change a good record, or take more than 1 GiB. A mutant that does
is kept as FOLDER/found-*; what is fixed joins tests/data/corpus. Mutants of new outcomes become
parents of later ones.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from image_mutants import generator, mutate
from image_reader import SIDE, at_work

from gpuio import recordio
from support import kinds
from support.making import jpeg, photo, png

TESTS = Path(__file__).parents[1]
A_FILE = 240  # mutants in one record file
LARGEST = 200_000  # bytes of a mutant
POOL = 600
POLICIES = ("zero", "skip", "replace", "raise")


def seeds():
    """Return the first parents: every kind of file the decode tests make."""
    found = [blob for blob, *_ in kinds.decoded().values()]
    found += [blob for name, (blob, _) in kinds.refused().items() if name.startswith("jpeg")]
    return [*found, jpeg(photo(200, 300, 3)), png(photo(100, 90, 4))]


def good_records():
    """Return 12 good blobs and their pixels, uint8[12, 3, side, side] in R, G, B."""
    import cv2

    blobs = [(jpeg if n % 2 else png)(photo(SIDE, SIDE, n)) for n in range(12)]
    pixels = [cv2.imdecode(np.frombuffer(blob, np.uint8), 1)[:, :, ::-1] for blob in blobs]
    return blobs, np.stack(pixels).transpose(0, 3, 1, 2)


def outcome(reason):
    """Return the class of a result: the message without its numbers."""
    return re.sub(r"(starting |\()[0-9a-f]+|\d+|b(['\"]).*?\2", "#", reason or "ok")


class Child:
    """The process that reads, started again whenever it dies."""

    def __init__(self, folder, way, address_space_mib):
        self.watched, self.noise = folder / "watched", folder / "stderr"
        self._arguments = [
            str(TESTS / "fuzz" / "image_reader.py"),
            str(self.watched),
            way,
            str(address_space_mib),
        ]
        self._process = None

    def ask(self, job, image_seconds, seconds):
        """Return its answer, or a sentence and the blobs it had when it died or was too slow."""
        process = self._started()
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + seconds
        while not select.select([process.stdout], [], [], 0.2)[0]:
            busy = at_work(self.watched)
            slow = [blob for since, blob in busy if since > image_seconds]
            if slow or time.monotonic() > deadline:
                process.kill()
                self.close()
                what = f"over {image_seconds} s on one image" if slow else f"no end in {seconds} s"
                return what, slow or [blob for _, blob in busy]
        line = process.stdout.readline()
        if line:
            return json.loads(line), []
        status = process.wait()
        self.close()
        said = self.noise.read_bytes()[-600:].decode(errors="replace")
        return f"died of {status}, saying ...{said}", [blob for _, blob in at_work(self.watched)]

    def close(self):
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def _started(self):
        if self._process is None:
            self.watched.write_bytes(bytes(2 << 20))
            path = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
            with self.noise.open("ab") as noise:
                self._process = subprocess.Popen(
                    [sys.executable, *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=noise,
                    text=True,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(path),
                        "MALLOC_ARENA_MAX": "1",
                    },
                )
        return self._process


class Fuzzer:
    """Make mutants, have them read, keep what goes wrong."""

    def __init__(self, args, folder):
        self._args, self._folder = args, folder
        self._child = Child(folder, args.way, args.address_space)
        self._good, pixels = good_records()
        np.save(folder / "expected.npy", pixels)
        self._pool = seeds()
        self.cases, self.largest = 0, 0.0
        self.seen = collections.Counter()
        self.found = []

    def run(self):
        """Fuzz until the cases or the hours are used up."""
        end = time.monotonic() + 3600 * self._args.hours if self._args.hours else None
        number = 0
        while self.cases < self._args.cases if end is None else time.monotonic() < end:
            count = A_FILE if end else min(A_FILE, self._args.cases - self.cases)
            self._file(number, count)
            number += 1
        self._child.close()

    def _file(self, number, count):
        """Write one record file and have it read under two policies."""
        mutants = []
        for case in range(self.cases, self.cases + count):
            rng = generator(self._args.seed, case)
            parent = self._pool[int(rng.integers(len(self._pool)))]
            mutants.append(mutate(rng, parent, self._pool)[:LARGEST])
        self.cases += count
        rec, good = self._folder / "mutants.rec", {}
        with recordio.MXRecordIO(str(rec), "w") as writer:
            key = 0
            for mutant in mutants:
                writer.write(recordio.pack((0, -1.0, key, 0), mutant))
                key += 1
                for _ in range(2):  # so many that 'replace' finds one in its 16 tries
                    good[key] = (float(key), key % len(self._good))
                    blob = self._good[key % len(self._good)]
                    writer.write(recordio.pack((0, float(key), key, 0), blob))
                    key += 1
        bad_keys = [k for k in range(key) if k not in good]
        job = {"rec": str(rec), "good": good, "expected": str(self._folder / "expected.npy")}
        for policy in ("zero", POLICIES[1 + number % 3]):
            job |= {"policy": policy, "truncated": ("raise", "accept")[number % 2]}
            answer, blobs = self._child.ask(job, self._args.image_seconds, 120)
            if isinstance(answer, str):
                self._keep(answer, blobs or mutants)
                return
            self.largest = max(self.largest, answer["resident"])
            if answer["wrong"]:
                self._keep("; ".join(answer["wrong"][:5]), mutants)
            if answer["resident"] > self._args.resident:
                self._keep(f"held {answer['resident']:.0f} MiB", mutants)
                self._child.close()
            if policy == "zero":
                self._learn(mutants, [answer["failed"].get(str(k)) for k in bad_keys])

    def _learn(self, mutants, reasons):
        """Count outcomes; a mutant with a new one becomes a parent, and some that decode do."""
        for blob, reason in zip(mutants, reasons, strict=True):
            kind = outcome(reason)
            new = kind not in self.seen or (kind == "ok" and self.seen[kind] % 50 == 0)
            if new and len(self._pool) < POOL:
                self._pool.append(blob)
            if new and self._args.corpus and len(blob) < 4000:
                name = hashlib.sha256(blob).hexdigest()[:12]
                (self._args.corpus / name).write_bytes(blob)
            self.seen[kind] += 1

    def _keep(self, what, blobs):
        """Name mutants and write them down."""
        self._args.keep.mkdir(parents=True, exist_ok=True)
        names = []
        for blob in blobs:
            path = self._args.keep / f"found-{hashlib.sha256(blob).hexdigest()[:12]}"
            path.write_bytes(blob)
            names.append(path.name)
        self.found.append(f"{what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
        print(self.found[-1], file=sys.stderr, flush=True)


def main(argv=None):
    """Run the command; 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000, help="mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=0, help="run so long instead of --cases")
    parser.add_argument("--way", default="cpu", choices=["cpu", "dali", "nvimgcodec"])
    parser.add_argument("--image-seconds", type=float, default=10, help="limit for one image")
    parser.add_argument("--resident", type=float, default=1024, help="limit of memory, MiB")
    parser.add_argument("--address-space", type=int, default=4096, help="of the child, MiB; 0: any")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for finds")
    parser.add_argument("--corpus", type=Path, help="existing folder for mutants of new outcomes")
    parser.add_argument("--classes", action="store_true", help="print every class of outcome")
    args = parser.parse_args(argv)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(args, Path(folder))
        fuzzer.run()
    if args.classes:
        for kind, count in fuzzer.seen.most_common():
            print(f"{count:8d} {kind[:150]}")
    print(
        f"{fuzzer.cases} mutants in {time.monotonic() - begun:.0f} s: {len(fuzzer.seen)} outcomes, "
        f"{fuzzer.seen['ok']} ok, at most {fuzzer.largest:.0f} MiB; {len(fuzzer.found)} found"
    )
    return 1 if fuzzer.found else 0


if __name__ == "__main__":
    sys.exit(main())
