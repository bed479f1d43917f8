"""How fast are faces read from a server 20 ms away, beside the same file on the local disk?

Both sides make batches in one thread. The server runs in a process of its own and is idle beside
the local side; its CPU time and its requests are counted. `in order` reads the file as it lies,
`block` with shuffle="block".
"""  # noqa: D400 -- a question ends as one

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jobs import JOBS
from peers import Measured
from report import save
from rounds import conclude, quartiles
from workload import parser

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "remote"
SERVER = Path(__file__).parents[1] / "tests" / "support" / "object_server.py"
LATENCY_S = 0.02
ORDERS: dict[str, dict[str, Any]] = {"in order": {"shuffle": False}, "block": {"shuffle": "block"}}


class Server:
    """The server of a folder's files, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(SERVER), str(LATENCY_S), str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def spent(self) -> tuple[float, int]:
        """Return its CPU seconds and requests so far."""
        with urllib.request.urlopen(f"{self.url}/_spent") as answer:
            cpu_s, requests = answer.read().split()
        return float(cpu_s), int(requests)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def epochs(it: Any, count: int) -> Measured:
    """Drain some epochs."""
    wall, cpu, images = time.perf_counter(), time.process_time(), 0
    for _ in range(count):
        for batch in it:
            images += len(batch.index) - batch.pad
        it.reset()
    return Measured(images, time.perf_counter() - wall, time.process_time() - cpu)


@contextmanager
def iterators(job: Any, order: str, data: Any, server: Server, *, toy: bool) -> Iterator[Any]:
    """Open the local and the remote iterator, which make equal batches."""
    import gpuio as mx

    options = job.all_options(1, toy=toy) | ORDERS[order]
    options |= {"preprocess_threads": 1, "verbose": False, "ctx": "cpu"}
    mx.storage.connect("s3://data", endpoint=server.url, skip_signature=True, region="us-east-1")
    url = f"s3://data/{Path(data.rec).name}"
    with (
        mx.io.ImageRecordIter(path_imgrec=data.rec, path_imgidx=data.idx, **options) as local,
        mx.io.ImageRecordIter(path_imgrec=url, path_imgidx=url[:-3] + "idx", **options) as remote,
    ):
        for one, other in zip(local, remote, strict=True):
            np.testing.assert_array_equal(one.data[0].asnumpy(), other.data[0].asnumpy())
        local.reset()
        remote.reset()
        yield local, remote


def measure(job: Any, order: str, args: Any, data: Any, server: Server) -> dict[str, Any]:
    """Return what is concluded of one order."""
    count, rounds = (1, 2) if args.toy else (args.epochs, args.rounds)
    measured: dict[str, list[Measured]] = {"local": [], "remote": []}
    requests, server_ms = [], []
    with iterators(job, order, data, server, toy=args.toy) as (local, remote):
        for _ in range(rounds):
            time.sleep(0 if args.toy else 0.5)  # what was asked for ahead has come
            measured["local"].append(epochs(local, count))
            before = server.spent()
            measured["remote"].append(epochs(remote, count))
            cpu_s, asked = np.subtract(server.spent(), before)
            images = measured["remote"][-1].images
            requests.append(1000 * asked / images)
            server_ms.append(1000 * cpu_s / images)
    return {
        **conclude(measured, subject="remote"),
        "requests_per_1000_images": quartiles(requests),
        "server_cpu_ms_per_image": quartiles(server_ms),
    }


def main() -> None:
    """Measure and write."""
    made = parser(__doc__)
    made.add_argument("--epochs", type=int, default=3, help="of each side in a round")
    args = made.parse_args()
    job = JOBS["faces"]
    with job.data(args.images, toy=args.toy) as data:
        server = Server(Path(data.rec).parent)
        try:
            results = {order: measure(job, order, args, data, server) for order in ORDERS}
        finally:
            server.close()
    save(
        args.out,
        NAME,
        __doc__,
        {"threads": 1, "latency_ms": LATENCY_S * 1e3, "batch": job.batch, "data": data.about},
        results,
        page_cache="warm",
    )


if __name__ == "__main__":
    main()
