"""Record files in Ray: read and written as datasets of Ray Data, and work done by tasks.

A dataset is for transforming and packing; to train, every rank opens an iterator of its own, which
can be resumed and shuffled.

Invariant: what is written does not depend on the order in which tasks end, nor on tasks that were
killed and tried again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, GpuioError, OptionError, RecordError, StorageError
from gpuio.recordio.described import describe_part
from gpuio.recordio.framing import encode, unframe
from gpuio.recordio.header import IRHeader, pack, parse_image_record
from gpuio.recordio.index import write_index
from gpuio.recordio.manifest import (
    Part,
    index_path,
    is_manifest,
    write_manifest,
)
from gpuio.recordio.parts import check_etag
from gpuio.recordio.record_ranges import RecordRange, record_ranges
from gpuio.recordio.sniff import sniff
from gpuio.storage.atomic import check_target, writing
from gpuio.storage.files import open_stored
from gpuio.storage.paths import absolute

__all__ = ["read_rec", "run_tasks", "write_rec"]

Int64 = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 256  # records of a block: far below Ray's 128 MiB
_TRIES = 3  # of a task whose worker dies


def _ray() -> Any:
    """Return Ray; ImportError names the extra."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'gpuio[ray]'") from error
    return ray


def run_tasks(
    function: Callable[[Any], Any], jobs: Iterable[Any], *, num_cpus: float = 1
) -> Iterator[Any]:
    """Yield ``function(job)`` for every job, in the order in which Ray's tasks end.

    Parameters
    ----------
    function : callable         of a module that the workers can import; may be called again for a
                                job whose worker died, even while the first call goes on
    jobs : iterable             taken as tasks begin: some are waiting, not all
    num_cpus : float            of a task

    Raises
    ------
    GpuioError                  what a task raised
    StorageError                a task's worker died, and died again each time it was tried
    ImportError                 without Ray: pip install 'gpuio[ray]'
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task = ray.remote(function).options(num_cpus=num_cpus, max_retries=_TRIES)
    most = 2 * max(int(ray.cluster_resources().get("CPU", 1) / max(num_cpus, 1e-3)), 1)
    left = iter(jobs)
    waiting: list[Any] = []
    try:
        while True:
            while len(waiting) < most and (job := next(left, waiting)) is not waiting:
                waiting.append(task.remote(job))
            if not waiting:
                return
            ready, waiting = ray.wait(waiting, num_returns=1)
            yield ray.get(ready[0])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, GpuioError):
            raise error.cause from None
        raise
    except ray.exceptions.WorkerCrashedError as error:
        raise StorageError(
            f"a worker of Ray died {_TRIES + 1} times over the same piece of work: {error}"
        ) from error
    finally:
        for one in waiting:
            ray.cancel(one)


def _schema(*, several: bool) -> Any:
    """Return the columns of encoded records."""
    import pyarrow as pa

    return pa.schema(
        [
            ("position", pa.int64()),
            ("key", pa.int64()),
            ("id", pa.uint64()),
            ("label", pa.list_(pa.float32()) if several else pa.float32()),
            ("image", pa.large_binary()),
            ("path", pa.string()),
            ("offset", pa.int64()),
        ]
    )


def _read(one: RecordRange, *, several: bool, decoded: bool) -> Iterator[Any]:
    """Yield the records of a range, some at a time, as blocks of Ray."""
    offset, length, key = one.places()
    with open_stored(one.path) as file:
        if file.size != one.file_size:
            raise StorageError(
                f"file changed: {one.file_size} bytes then, {file.size} now", path=one.path
            )
        check_etag(file, one.tag, "its manifest")
        for first in range(0, len(offset), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            framed = file.read_ranges(offset[rows], length[rows])
            places = zip(key[rows].tolist(), offset[rows].tolist(), framed, strict=True)
            parsed = [_parsed(one.path, *place, several=several) for place in places]
            columns: dict[str, Any] = {
                "position": np.arange(len(parsed)) + one.position + first,
                "key": key[rows],
                "id": np.array([row[0] for row in parsed], np.uint64),
                "label": [row[1] for row in parsed],
                "image": [row[2] for row in parsed],
                "path": [one.path] * len(parsed),
                "offset": offset[rows],
            }
            yield _decoded_block(columns) if decoded else _encoded_block(columns, several)


def _parsed(
    path: str, key: int, offset: int, framed: memoryview, *, several: bool
) -> tuple[int, Any, bytes]:
    """Return a record's id, label and image."""
    try:
        _, label, identity, _, blob = parse_image_record(unframe(framed))
    except (FormatError, RecordError) as error:
        raise type(error)(error.message, path=path, key=key, offset=offset) from None
    labels = np.atleast_1d(np.asarray(label, np.float32))
    if several:
        return identity, labels.tolist(), bytes(blob)
    if len(labels) != 1:
        raise RecordError(
            f"this record has {len(labels)} labels, the first ones of the set have one: "
            "give labels='several'",
            path=path,
            key=key,
            offset=offset,
        )
    return identity, float(labels[0]), bytes(blob)


def _encoded_block(columns: dict[str, Any], several: bool) -> Any:
    """Return columns as an Arrow table."""
    import pyarrow as pa

    return pa.table(columns, schema=_schema(several=several))


def _decoded_block(columns: dict[str, Any]) -> Any:
    """Return columns as a block, the images as arrays uint8[height, width, 3], RGB."""
    from ray.data.block import BlockAccessor

    from gpuio.decode.opencv import decode

    images = np.empty(len(columns["image"]), object)
    for row, blob in enumerate(columns["image"]):
        try:
            images[row] = np.ascontiguousarray(decode(blob, 3)[..., ::-1])
        except GpuioError as error:
            raise type(error)(
                error.message,
                path=columns["path"][row],
                key=int(columns["key"][row]),
                offset=int(columns["offset"][row]),
            ) from None
    label = np.empty(len(images), object)
    label[:] = columns["label"]
    several = isinstance(columns["label"][0], list)
    columns["label"] = label if several else np.array(columns["label"], np.float32)
    return BlockAccessor.batch_to_arrow_block({**columns, "image": images})


def read_rec(
    path_imgrec: str | os.PathLike[str] | Sequence[str],
    path_imgidx: str | Sequence[str] = "",
    *,
    decode: bool = False,
    labels: str = "auto",
    tasks: int | None = None,
    **options: Any,
) -> Any:
    """Return the records of a set as a dataset of Ray Data.

    Parameters
    ----------
    path_imgrec, path_imgidx : as `ImageRecordIter` has them, a manifest included
    decode : bool               ``image`` as an array uint8[height, width, 3], RGB, not as bytes
    labels : {"auto", "one", "several"}     ``label`` as a number, or as a list of numbers; "auto":
                                as the first record has them
    tasks : int, optional       that read, about; None: one for each 64 MiB
    options                     of ``ray.data.read_datasource``, such as concurrency

    Returns
    -------
    ray.data.Dataset            a row per record: ``position``, its number in the set; ``key``, of
                                the index; ``id``, ``label`` and ``image``, of the record; ``path``
                                and ``offset``, where it lies. Ray hands rows out in the order in
                                which its tasks end, unless its DataContext says preserve_order

    Raises
    ------
    StorageError, FormatError   the set cannot be opened. What is wrong with a record is an error
                                when the dataset is consumed
    OptionError                 an option is not one of those above
    ImportError                 without Ray: pip install 'gpuio[ray]'
    """
    _ray()
    from ray.data import Datasource, read_datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    if labels not in ("auto", "one", "several"):
        raise OptionError(f"labels: expected 'auto', 'one' or 'several', got {labels!r}")
    if isinstance(path_imgrec, os.PathLike):
        path_imgrec = os.fspath(path_imgrec)
    ranges = record_ranges(path_imgrec, path_imgidx, tasks)
    several = _several(ranges[0]) if labels == "auto" else labels == "several"
    schema = None if decode else _schema(several=several)

    class RecDatasource(Datasource):  # type: ignore[misc]
        """Ranges of record files."""

        def __init__(self) -> None:
            super().__init__()

        def get_name(self) -> str:
            return "Rec"

        def estimate_inmemory_data_size(self) -> int:
            return sum(one.size for one in ranges)

        def get_read_tasks(
            self,
            parallelism: int,  # noqa: ARG002 -- the ranges are cut before
            per_task_row_limit: int | None = None,
            data_context: Any = None,  # noqa: ARG002
        ) -> list[Any]:
            return [
                ReadTask(
                    lambda one=one: _read(one, several=several, decoded=decode),
                    BlockMetadata(
                        num_rows=one.stop - one.first,
                        size_bytes=one.size,
                        input_files=[one.path],
                        exec_stats=None,
                    ),
                    schema=schema,
                    per_task_row_limit=per_task_row_limit,
                )
                for one in ranges
            ]

    return read_datasource(RecDatasource(), override_num_blocks=len(ranges), **options)


def _several(one: RecordRange) -> bool:
    """Say whether the first record has an array of labels of several numbers."""
    offset, length, _ = attrs.evolve(one, stop=one.first + 1).places()
    with open_stored(one.path) as file:
        return sniff(file, int(offset[0]), int(length[0])).flag > 1


def write_rec(
    dataset: Any,
    folder: str | os.PathLike[str],
    *,
    name: str = "part",
    **options: Any,
) -> str:
    """Write a dataset as record files: FOLDER/NAME-000000.rec, its index, ..., and a manifest.

    Parameters
    ----------
    dataset : ray.data.Dataset      columns ``image``, encoded bytes; ``label``, a number or a list
                                    of numbers; optional ``key``, of the index (default: the row's
                                    number in its part), and ``id``, of the record (default: the
                                    key). With ``position``, as `read_rec` gives it, the records of
                                    a part, and the parts of the manifest, are in its order
    folder : path                   is made; parts of the same names are replaced
    name : str                      with which the files' names begin
    options                         of ``Dataset.write_datasink``, such as concurrency

    Returns
    -------
    str                             the path of the manifest, FOLDER/NAME.manifest.json

    Raises
    ------
    StorageError                    a file cannot be written
    OptionError                     a column is missing
    ImportError                     without Ray: pip install 'gpuio[ray]'

    Notes
    -----
    A part is written by one task, under the number of the task: a task that is tried again writes
    the same file again, not another one.
    """
    _ray()
    from ray.data import Datasink
    from ray.data.block import BlockAccessor

    folder = absolute(folder)
    target = f"{folder}/{name}.manifest.json"
    check_target(target, own=is_manifest)
    Path(folder).mkdir(parents=True, exist_ok=True)
    columns = dataset.schema().names
    for column in ("image", "label"):
        if column not in columns:
            raise OptionError(f"the dataset has no column {column!r}, but {columns}")

    class RecDatasink(Datasink):  # type: ignore[misc]
        """Record files in a folder."""

        def get_name(self) -> str:
            return "Rec"

        def on_write_start(self, schema: Any = None) -> None:  # noqa: ARG002
            Path(target).unlink(missing_ok=True)

        def write(self, blocks: Iterable[Any], ctx: Any) -> tuple[int, Part] | None:
            path = f"{folder}/{name}-{ctx.task_idx:06d}.rec"
            tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
            return _write_part(path, tables)

        def on_write_complete(self, write_result: Any) -> None:
            made = sorted(
                (one for one in write_result.write_returns if one is not None),
                key=lambda one: (one[0], one[1].name),
            )
            write_manifest(target, [part for _, part in made], "image_record")
            for stale in Path(folder).glob(f".{name}-*"):  # of tasks that were killed
                stale.unlink(missing_ok=True)

    dataset.write_datasink(RecDatasink(), **options)
    return target


def _write_part(path: str, tables: list[Any]) -> tuple[int, Part] | None:
    """Write one part; return the position of its first record, and what the manifest says."""
    import pyarrow as pa

    filled = [table for table in tables if len(table)]
    if not filled:
        return None
    rows = pa.concat_tables(filled)
    first = 0
    if "position" in rows.column_names:
        rows = rows.sort_by("position")
        first = rows["position"][0].as_py()
    keys = rows["key"] if "key" in rows.column_names else pa.array(range(len(rows)))
    ids = rows["id"] if "id" in rows.column_names else keys
    offsets, at = [], 0
    with writing(path, record=True) as file:
        for identity, label, image in zip(ids, rows["label"], rows["image"], strict=True):
            labels = label.as_py()
            if isinstance(labels, list) and len(labels) == 1:
                labels = labels[0]
            framed = encode(pack(IRHeader(0, labels, identity.as_py(), 0), image.as_py()))
            file.write(framed)
            offsets.append(at)
            at += len(framed)
        Path(index_path(path)).unlink(missing_ok=True)  # it must not lie beside other records
    write_index(index_path(path), keys.to_pylist(), offsets)
    part = describe_part(path, os.path.basename(path))[0]  # noqa: PTH119
    return first, attrs.evolve(part, tag="")
