"""Sound record files, and every way of reading a damaged one, with what must hold of each."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import warnings
from pathlib import Path

from mutants import MAGIC, Mutant, mutate, mutate_text
from promises import Expected, record_end

POLICIES = ("raise", "skip", "zero", "replace")
SIDE = 4  # of an image, pixels


class Base:
    """A sound record file in memory: its bytes, its records, its index, list and checksums."""

    def __init__(self, folder, name, payloads, labels, ids):
        from gpuio.recordio.checksum import write_checksums
        from gpuio.recordio.framing import encode

        framed = [encode(payload) for payload in payloads]
        self.at = [sum(map(len, framed[:i])) for i in range(len(framed))]
        self.size = list(map(len, framed))
        self.nested = name == "nested"
        self.payloads, self.labels, self.ids = payloads, labels, ids
        self.rec = b"".join(framed)
        self.idx = "".join(f"{7 * i}\t{at}\n" for i, at in enumerate(self.at)).encode()
        self.lst = "".join(f"{i}\t{label + 100}\tx\n" for i, label in zip(ids, labels)).encode()  # noqa: B905
        path = Path(folder) / f"{name}.rec"
        path.write_bytes(self.rec)
        write_checksums(path)
        self.sums = Path(f"{path}.crc32").read_bytes()

    def gray(self, number):
        """The gray value of a record's image."""
        return 3 + 8 * number


def make_bases(folder):
    """Files that differ in what surrounds the images: nothing, magics at every alignment, bulk."""
    from gpuio.recordio import IRHeader, pack
    from support.making import flat

    def base(name, count, tail, identity):
        ids = [identity(i) for i in range(count)]
        labels = [float(i + 1) for i in range(count)]
        blobs = [flat(3 + 8 * i, SIDE, SIDE) + tail(i) for i in range(count)]
        payloads = [
            pack(IRHeader(0, label, i, 0), blob)
            for label, i, blob in zip(labels, ids, blobs, strict=True)
        ]
        return Base(folder, name, payloads, labels, ids)

    rng = random.Random(0)
    magic_id = struct.unpack("<I", MAGIC)[0]
    return [
        base("plain", 12, lambda i: b"", lambda i: i),
        # the magic at each alignment, and as an id, which makes a record of several parts
        base(
            "magics",
            14,
            lambda i: b"x" * (i % 4) + MAGIC * (i % 3) + b"y" * (i % 5) + MAGIC + b"tail",
            lambda i: magic_id if i == 5 else 1000 + i,
        ),
        base("bulk", 8, lambda i: rng.randbytes(rng.randrange(400)), lambda i: i),
        # payloads that look like record files, off the multiples of four
        base(
            "nested",
            9,
            lambda i: b"z" * (i % 4) + (MAGIC + struct.pack("<I", 4 * (i % 3)) + bytes(8)) * 3,
            lambda i: i,
        ),
        base("two", 2, lambda i: b"", lambda i: i),
    ]


class BrokenPromiseError(AssertionError):
    """What must hold does not."""


def need(holds, *what):
    if not holds:
        raise BrokenPromiseError(*what)


class Worker:
    """Runs cases, one folder for their files."""

    def __init__(self, folder):
        from gpuio.errors import GpuioError, GpuioWarning

        warnings.simplefilter("ignore", GpuioWarning)
        self.folder = Path(folder)
        self.bases = make_bases(folder)
        self.refused = GpuioError
        self.rec = str(self.folder / "case.rec")
        self.idx = str(self.folder / "case.idx")
        self.lst = str(self.folder / "case.lst")
        self.out = str(self.folder / "out" / "clean.rec")
        (self.folder / "out").mkdir()
        self.counts = {}
        self.ways = (
            *(self.iterate, self.iterate_indexed, self.iterate_checked, self.iterate_listed),
            *(self.verify, self.repair, self.read_keys, self.make_index),
            *(self.verify, self.repair, self.read_keys, self.make_index),
        )

    def run(self, seed, number):
        """Run one case."""
        rng = random.Random(seed << 40 | number)
        base = rng.choice(self.bases)
        whole = rng.random() < 0.02
        mutant = Mutant(base.rec) if whole else mutate(rng, base.rec, base.at)
        expected = Expected(base, mutant)
        Path(self.rec).write_bytes(expected.data)
        self.read_in_order(base, expected)
        self.search(base, expected)
        way = self.ways[number % len(self.ways)]
        way(rng, base, expected)
        self.counts[way.__name__] = self.counts.get(way.__name__, 0) + 1

    def write_idx(self, rng, base, often=0.3):
        """Write the index, or a mutant of it; say whether it is the index."""
        sound = rng.random() >= often
        Path(self.idx).write_bytes(base.idx if sound else mutate_text(rng, base.idx))
        return sound

    def read_in_order(self, base, expected):
        """Read one record after the other, up to the first fault."""
        from gpuio.recordio import MXRecordIO

        found = []
        with contextlib.suppress(self.refused), MXRecordIO(self.rec, "r") as reader:
            while (payload := reader.read()) is not None:
                found.append(payload)
        for number, payload in enumerate(base.payloads):
            if expected.intact.get(number) != base.at[number]:
                break
            need(found[number : number + 1] == [payload], "record", number, "read in order")

    def search(self, base, expected):
        """Scan, and search behind damage, beside it and in every byte."""
        from gpuio.recordio.framing import scan
        from gpuio.recordio.resync import resync
        from gpuio.storage.local import LocalFile

        with LocalFile(self.rec) as file:
            try:
                found = scan(file)[0].tolist()
            except self.refused:
                found = None
            if expected.data == base.rec:
                need(found == base.at, "scan of a sound file", found)
            for thorough in (False, True):
                offsets, lengths, skipped = resync(file, thorough=thorough)
                spans = [
                    *zip(offsets.tolist(), (offsets + lengths).tolist(), strict=True),
                    *((one.begin, one.end) for one in skipped),
                ]
                edges = [edge for span in sorted(spans) for edge in span]
                need(edges[::2] == [0, *edges[1:-1:2]][: len(spans)], "ranges do not touch", edges)
                need(not edges or edges[-1] == len(expected.data), "ranges do not end", edges)
                at = set(offsets.tolist())
                wanted = expected.by_reading() if thorough else expected.by_hopping()
                lost = [n for n in sorted(wanted) if expected.intact[n] not in at]
                need(not lost, "records lost", lost, "thorough", thorough)

    def read_keys(self, rng, base, expected):
        """Read every key of an index."""
        from gpuio.recordio import MXIndexedRecordIO

        sound = self.write_idx(rng, base)
        found = {}
        with (
            contextlib.suppress(self.refused),
            MXIndexedRecordIO(self.idx, self.rec, "r") as reader,
        ):
            for key in reader.keys:
                with contextlib.suppress(self.refused):
                    found[key] = reader.read_idx(key)
        for number in expected.in_place(base) if sound else ():
            need(found.get(7 * number) == base.payloads[number], "key", 7 * number)

    def make_index(self, rng, base, expected):
        """Make an index of what can be read."""
        from gpuio.recordio.index import build_index, read_index

        # of another case, and perhaps with a record's first bytes: an index would not replace that
        Path(self.idx).unlink(missing_ok=True)
        with contextlib.suppress(self.refused):
            build_index(self.rec, self.idx)
        try:
            build_index(self.rec, self.idx, past_damage=True)
        except self.refused:
            need(not expected.by_hopping(), "no index of a file with records")
            return
        at = set(read_index(self.idx)[1])
        need({expected.intact[n] for n in expected.by_hopping()} <= at, "not in the index")

    def iterate(self, rng, base, expected):
        """Iterate without an index."""
        policy = rng.choice(POLICIES)
        with contextlib.suppress(self.refused):
            self.epoch(base, on_error="raise")
        rows, error = self.epoch(base, on_error=policy, resync=True, shuffle=rng.random() < 0.3)
        wanted = expected.by_hopping()
        need(not (wanted and policy in ("skip", "zero")) or error is None, "refused", error)
        self.compare(base, rows, wanted if error is None else (), policy)

    def iterate_indexed(self, rng, base, expected):
        """Iterate with an index, sound or not."""
        policy = rng.choice(POLICIES)
        sound = self.write_idx(rng, base)
        resync = rng.random() < 0.5
        rows, error = self.epoch(base, on_error=policy, path_imgidx=self.idx, resync=resync)
        wanted = expected.in_place(base)
        whole_size = len(expected.data) == len(base.rec)
        if sound and wanted and whole_size and not expected.hidden and policy in ("skip", "zero"):
            hides = any(
                record_end(expected.data, at) is None and expected.data[at : at + 4] != MAGIC
                for at in base.at
            )
            need(error is None or hides, "refused", error)
        self.compare(base, rows, wanted if sound and error is None else (), policy)

    def iterate_checked(self, rng, base, expected):
        """Iterate with checksums: nothing but original records gets through."""
        sums = base.sums if rng.random() < 0.9 else mutate(rng, base.sums, []).data.tobytes()
        Path(self.rec + ".crc32").write_bytes(sums)
        rows, error = self.epoch(base, on_error="skip", resync=True, checksum=True)
        if error is None:
            need({label for label, _, _ in rows} <= set(base.labels), "a wrong label", rows)
            self.compare(base, rows, {base.labels.index(label) for label, _, _ in rows}, "skip")
            if sums == base.sums:
                wanted = expected.in_place(base) & expected.by_hopping()
                self.compare(base, rows, wanted, "skip")
        elif sums == base.sums and expected.in_place(base) & expected.by_hopping():
            need(False, "refused", error)

    def iterate_listed(self, rng, base, expected):
        """Iterate with labels from a list, sound or not."""
        sound = rng.random() < 0.4
        Path(self.lst).write_bytes(base.lst if sound else mutate_text(rng, base.lst))
        rows, error = self.epoch(base, on_error="skip", resync=True, path_imglist=self.lst)
        if sound and error is None:
            rows = [(label - 100, gray, identity) for label, gray, identity in rows]
            self.compare(base, rows, expected.by_hopping(), "skip")

    def epoch(self, base, **options):
        """Return (label, gray value or None, id) of the rows of an epoch, and the error if any."""
        from gpuio.io import ImageRecordIter

        rows = []
        try:
            with ImageRecordIter(
                path_imgrec=self.rec,
                data_shape=(3, SIDE, SIDE),
                batch_size=5,
                verbose=False,
                ctx="cpu",
                dtype="uint8",
                last_batch="pad",
                max_bad=10**6,
                preprocess_threads=1,
                prefetch_buffer=1,
                **options,
            ) as iterator:
                for batch in iterator:
                    data, label = batch.data[0].asnumpy(), batch.label[0].asnumpy()
                    for row in range(len(label) - batch.pad):
                        gray = int(data[row, 0, 0, 0])
                        even = bool((data[row] == gray).all())
                        rows.append(
                            (float(label[row]), gray if even else None, int(batch.index[row]))
                        )
        except self.refused as error:
            return rows, error
        return rows, None

    def compare(self, base, rows, wanted, policy):
        """Check that the wanted records are among the rows, label, id and pixels together."""
        there = set(rows)
        for number in wanted if policy != "raise" else ():
            row = (base.labels[number], base.gray(number), base.ids[number])
            need(row in there, "record", number, "not delivered as it is", policy)

    def command(self, *words):
        """Run a command of gpuio's; return its exit code and what it said."""
        from gpuio.tools import cli

        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = cli.main([*words, "--quiet", "--threads", "1"])
        return code, out.getvalue()

    def verify(self, rng, base, expected):
        """Every change is noticed with checksums, and nothing in a sound file."""
        sound = self.write_idx(rng, base, often=0.1)
        Path(self.rec + ".crc32").write_bytes(base.sums)
        depth = rng.choice(([], ["--headers"], ["--decode"]))
        code, said = self.command("verify", self.rec, "--json", "--checksum", *depth)
        changed = expected.data != base.rec
        need(code in (0, 1), "exit code", code)
        need(code == 1 if changed else (code == 0 or not sound), "verify said", said)

    def repair(self, rng, base, expected):
        """The copy is sound and holds every intact record."""
        self.write_idx(rng, base)
        depth = rng.choice(([], [], ["--headers"], ["--decode"]))
        code, said = self.command("repair", self.rec, self.out, "--force", *depth)
        wanted = expected.by_reading()
        need(code in ((0, 1) if wanted else (0, 1, 3)), "exit code", code, said)
        if code == 3:
            return
        copy = Path(self.out).read_bytes()
        at, pieces = 0, set()
        while at < len(copy):
            end = record_end(copy, at)
            need(end is not None, "the copy is damaged at", at)
            pieces.add(copy[at:end])
            at = end
        for number in wanted:
            piece = base.rec[base.at[number] :][: base.size[number]]
            need(piece in pieces, "record", number, "is not in the copy")
        code, said = self.command("verify", self.out)
        need(code == 0, "the copy is not sound", said)
