"""How many records a second come out of a .rec file, and how fast is one without an index scanned?

Reading: records of 4 KiB, one by one, one thread. Scanning: a million records of 64 bytes, their
offsets. Both from the page cache, beside MXNet's MXRecordIO.
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers import open_peers
from report import save
from rounds import conclude, interleave
from workload import parser

NAME = "framing"


def write_records(path: Path, count: int, size: int) -> None:
    """Write records of random bytes, `size` each."""
    from gpuio.recordio.framing import encode

    rng = np.random.default_rng(0)
    payloads = [encode(rng.bytes(size)) for _ in range(1000)]
    block = b"".join(payloads)
    with path.open("wb") as file:
        for _ in range(count // 1000):
            file.write(block)


def measure(kind: str, rec: Path, rounds: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what `conclude` concludes, and versions."""
    wanted = {
        label: (kind, {"rec": str(rec), "module": label.split()[0]}) for label in ("gpuio", "mxnet")
    }
    peers, absent = open_peers(wanted)
    measured = interleave(peers, rounds)
    for peer in peers:
        peer.close()
    versions = {name: value for peer in peers for name, value in peer.versions.items()}
    return {**conclude(measured, unit="records"), "absent": absent}, versions


def main() -> None:
    """Measure and write."""
    args = parser(__doc__).parse_args()
    reads, scans, rounds = (2000, 10_000, 2) if args.toy else (50_000, 1_000_000, args.rounds)
    with tempfile.TemporaryDirectory(prefix="gpuio-bench-") as folder:
        rec = Path(folder) / "records.rec"
        write_records(rec, reads, 4096)
        read, versions = measure("records", rec, rounds)
        write_records(rec, scans, 64)
        scanned, _ = measure("offsets", rec, rounds)
    for label, one in read["peers"].items():
        one["mb_per_s"] = round(one["records_per_s"]["median"] * 4096 / 1e6, 1)
        scanned["peers"][label]["seconds_a_million"] = round(
            1e6 / scanned["peers"][label]["records_per_s"]["median"], 4
        )
    save(
        args.out,
        NAME,
        __doc__,
        {"threads": 1, "read": [reads, 4096], "scanned": [scans, 64], "rounds": rounds},
        {"reading": read, "scanning": scanned},
        page_cache="warm",
        versions=versions,
    )


if __name__ == "__main__":
    main()
