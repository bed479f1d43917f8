"""InsightFace's loaders of arcface_torch, over gpuio: change one import of the training script.

``from gpuio.adapters.insightface import get_dataloader`` takes the place of ``from dataset import
get_dataloader``. Batches are those of arcface_torch/dataset.py: images float32[B, 3, 112, 112] from
-1 to 1, mirrored at random, and labels int64[B], on the process's GPU where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpuio.adapters.grain import RecordSource
from gpuio.adapters.loader import Loader
from gpuio.adapters.torch import import_torch, to_classes, to_torch
from gpuio.errors import OptionError, StorageError
from gpuio.io.array import NDArrayIter
from gpuio.io.base import DataIter
from gpuio.io.record import ImageRecordIter
from gpuio.io.wrap import ResizeIter
from gpuio.storage.urls import is_url

__all__ = ["DataLoaderX", "MXFaceDataset", "dali_data_iter", "get_dataloader"]

_SIDE = 112  # pixels
_HALF = (127.5, 127.5, 127.5)
_SYNTHETIC = 1_000_000  # samples of the set called "synthetic"


def _files(root_dir: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the paths of a set's record file and index."""
    root = os.fspath(root_dir)
    if is_url(root):
        return f"{root.rstrip('/')}/train.rec", f"{root.rstrip('/')}/train.idx"
    rec, idx = Path(root, "train.rec"), Path(root, "train.idx")
    if not rec.exists():
        raise StorageError(
            "no train.rec here: expected a set as InsightFace's are downloaded. Of a folder of "
            "images, one folder per identity, `gpuio im2rec` makes one",
            path=root,
        )
    return os.fspath(rec), os.fspath(idx)


def _ranks() -> tuple[int | str, int]:
    """Return how many ranks there are and which this is: PyTorch's group, else the launcher's."""
    distributed = import_torch().distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size(), distributed.get_rank()
    return "auto", 0


def _to_device(local_rank: int) -> Callable[[Any], Any]:
    """Return what moves a tensor to this process's GPU, where there is one."""
    torch = import_torch()

    if not torch.cuda.is_available():
        return lambda tensor: tensor
    device = torch.device("cuda", local_rank)
    return lambda tensor: tensor.to(device, non_blocking=True)


class _FaceLoader(Loader):
    """Tensors of a set of faces, on the process's device; the iterator is the loader's own."""

    def __init__(self, iterator: DataIter, local_rank: int) -> None:
        move = _to_device(local_rank)
        super().__init__(
            iterator,
            lambda array: move(to_torch(array)),
            convert_label=lambda label: move(to_classes(label)),
        )
        self.local_rank = local_rank

    def reset(self) -> None:
        """Do nothing: every loop begins an epoch by itself. Scripts call it after DALI's epochs."""

    def close(self) -> None:
        """Close the iterator; may be called twice."""
        self.iterator.close()


def _faces(
    rec: str,
    idx: str,
    batch_size: int,
    *,
    threads: int,
    seed: int | None,
    ranks: tuple[int | str, int] | None = None,
    mean: Sequence[float] = _HALF,
    std: Sequence[float] = _HALF,
    **options: Any,
) -> ImageRecordIter:
    """Return an iterator over this rank's share of every step."""
    num_parts, part_index = _ranks() if ranks is None else ranks
    return ImageRecordIter(
        path_imgrec=rec,
        path_imgidx=idx,
        data_shape=(3, _SIDE, _SIDE),
        batch_size=batch_size,
        num_parts=num_parts,
        part_index=part_index,
        shard="even",
        rand_mirror=True,
        label_column=0,
        preprocess_threads=max(threads, 1),
        seed=0 if seed is None else seed,
        verbose=False,
        **{f"mean_{name}": value for name, value in zip("rgb", mean, strict=True)},
        **{f"std_{name}": value for name, value in zip("rgb", std, strict=True)},
        **options,
    )


def get_dataloader(
    root_dir: str | os.PathLike[str],
    local_rank: int,
    batch_size: int,
    dali: bool = False,
    dali_aug: bool = False,
    seed: int | None = 2048,
    num_workers: int = 2,
) -> Loader:
    """Return the loader of a training set, as arcface_torch's function of this name.

    Parameters
    ----------
    root_dir : path or URL  a folder with train.rec and train.idx; "synthetic": one image of noise
                            with the label 1, 1,000,000 times, to measure training without loading
    local_rank : int        the process's GPU, where there is one
    batch_size : int        of a rank
    dali : bool             True: `dali_data_iter`, decoding on the GPU where that can be had;
                            False: on the CPU, and batches are copied
    dali_aug : bool         True is an OptionError: its blur and resizes are not here
    seed : int, optional    of the order and the mirroring; None is 0
    num_workers : int       threads that make batches, without `dali`; 0 means 1

    Returns
    -------
    Loader                  yields (images, labels); has `sampler.set_epoch`, `state_dict`,
                            `load_state_dict`, `reset` and `close`

    Raises
    ------
    OptionError             an argument cannot be used
    StorageError, FormatError       the set is missing or damaged
    ImportError             without PyTorch: pip install 'gpuio[torch]'

    Notes
    -----
    Of N records P ranks get ``N // (P * batch_size)`` batches each: what does not fill a step is
    left out, where the original repeats a record to make the ranks equal and leaves out less than
    a batch of each. With `dali` the last step is completed by records of the next epoch.
    """
    if not isinstance(dali_aug, (bool, np.bool_)):
        raise OptionError(
            f"dali_aug: expected True or False, got {dali_aug!r}. Where scripts pass the seed in "
            "this place, as older ones do, write seed=..., num_workers=..."
        )
    if dali_aug:
        raise OptionError(
            "dali_aug: its blur and resizes are not here; ImageRecordIter has options of its own "
            "(docs/beyond_mxnet.md), such as brightness, saturation, random_h and auto_augment"
        )
    if os.fspath(root_dir) == "synthetic":
        return _synthetic(local_rank, batch_size)
    rec, idx = _files(root_dir)
    if dali:
        return dali_data_iter(batch_size, rec, idx, 2, local_rank=local_rank, seed=seed)
    faces = _faces(
        rec,
        idx,
        batch_size,
        threads=num_workers,
        seed=seed,
        shuffle="full",
        last_batch="discard",
        ctx="cpu",
    )
    return _FaceLoader(faces, local_rank)


def dali_data_iter(
    batch_size: int,
    rec_file: str | os.PathLike[str],
    idx_file: str | os.PathLike[str],
    num_threads: int,
    initial_fill: int = 32768,
    random_shuffle: bool = True,
    prefetch_queue_depth: int = 1,
    local_rank: int = 0,
    name: str = "reader",
    mean: Sequence[float] = _HALF,
    std: Sequence[float] = _HALF,
    dali_aug: bool = False,
    *,
    seed: int | None = 2048,
) -> Loader:
    """Return a loader that decodes on the GPU where it can, as arcface_torch's of this name.

    Parameters
    ----------
    batch_size : int                of a rank
    rec_file, idx_file : path
    num_threads : int               of the CPU, that make batches
    initial_fill : int              how many records DALI mixes; here all are mixed, which no
                                    number changes
    random_shuffle : bool           False: records come as they are stored
    prefetch_queue_depth : int      batches made in advance
    local_rank : int                the process's GPU
    name : str                      of the data in the iterator's description
    mean, std : three numbers each  of R, G, B, in units of pixels from 0 to 255
    dali_aug : bool                 True is an OptionError, as in `get_dataloader`
    seed : int, optional            ours: of the order and the mirroring

    Returns
    -------
    Loader                          see `get_dataloader`; the last step of an epoch is completed by
                                    records of the next

    Raises
    ------
    OptionError, StorageError, FormatError, ImportError     as `get_dataloader`
    """
    if dali_aug:
        raise OptionError("dali_aug: its blur and resizes are not here: see get_dataloader")
    if initial_fill < 1:
        raise OptionError(f"initial_fill: expected at least 1, got {initial_fill}")
    options: dict[str, Any] = {
        "shuffle": "full" if random_shuffle else False,
        "last_batch": "borrow",
        "prefetch_buffer": prefetch_queue_depth,
        "data_name": name,
        "ctx": "auto",
        "device_id": local_rank,
    }
    faces = _faces(
        os.fspath(rec_file),
        os.fspath(idx_file),
        batch_size,
        threads=num_threads,
        seed=seed,
        mean=mean,
        std=std,
        **options,
    )
    return _FaceLoader(faces, local_rank)


def _synthetic(local_rank: int, batch_size: int) -> Loader:
    """Return a loader of one image, as often as the original's."""
    from gpuio.options.launcher import launched

    ranks, _ = _ranks()
    if ranks == "auto":
        ranks, _ = launched()
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, _SIDE, _SIDE))
    image = ((pixels / 255 - 0.5) / 0.5).astype(np.float32)
    data = np.repeat(image, batch_size, axis=0)
    one = NDArrayIter(data, np.ones(batch_size, np.float32), batch_size)
    return _FaceLoader(ResizeIter(one, -(-_SYNTHETIC // int(ranks)) // batch_size), local_rank)


class MXFaceDataset:
    """The faces of a set by number, as arcface_torch's class: a data set for PyTorch's DataLoader.

    ``dataset[n]`` is (image, label): float32[3, height, width] from -1 to 1, mirrored at random by
    PyTorch's generator; int64. A set of `DataLoaderX`, or of a DataLoader with worker processes.

    Parameters
    ----------
    root_dir : path or URL      a folder with train.rec and train.idx
    local_rank : int            kept, as in the original

    Raises
    ------
    StorageError, FormatError   at construction: the set is missing or damaged
    RecordError, DecodeError    from ``dataset[n]``, naming file and key
    """

    def __init__(self, root_dir: str | os.PathLike[str], local_rank: int) -> None:
        self.root_dir, self.local_rank = root_dir, local_rank
        self._faces = RecordSource(*_files(root_dir))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root_dir!r}, {len(self)} images)"

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        torch = import_torch()

        sample = self._faces[index]
        image = torch.from_numpy(sample["image"]).permute(2, 0, 1)
        if torch.rand(1) < 0.5:  # as torchvision's RandomHorizontalFlip(0.5) draws
            image = image.flip(-1)
        image = image.contiguous().to(torch.float32).div(255).sub_(0.5).div_(0.5)
        return image, torch.tensor(int(np.ravel(sample["label"])[0]), dtype=torch.long)

    def close(self) -> None:
        """Close the files; may be called twice."""
        self._faces.close()


class DataLoaderX(_FaceLoader):
    """The loader of a `MXFaceDataset`, with arcface_torch's arguments: threads, not processes.

    Parameters
    ----------
    local_rank : int            the process's GPU, where there is one
    dataset : MXFaceDataset     whose files are read, not its items
    batch_size : int            of a rank
    sampler : DistributedSampler, optional      its ranks, rank, shuffle and seed are taken, and not
                                its order; None: PyTorch's group or the launcher says the ranks
    shuffle : bool              without a sampler: False is the order of the file
    num_workers : int           threads that make batches; 0 means 1
    pin_memory : bool           no other memory is wanted: batches are copied as they are
    drop_last : bool            must be True, so that ranks have whole batches, equally many
    worker_init_fn : callable   never called, since there are no worker processes

    Raises
    ------
    TypeError                   `dataset` or `sampler` is of another kind
    OptionError                 drop_last=False

    Notes
    -----
    ``loader.sampler.set_epoch(epoch)`` goes to an epoch; that of the sampler given here does not.
    """

    def __init__(
        self,
        local_rank: int,
        *,
        dataset: MXFaceDataset,
        batch_size: int = 1,
        sampler: Any = None,
        shuffle: bool = False,
        num_workers: int = 0,
        pin_memory: bool = False,  # noqa: ARG002 -- the original's
        drop_last: bool = False,
        worker_init_fn: Callable[[int], None] | None = None,  # noqa: ARG002 -- the original's
    ) -> None:
        if not isinstance(dataset, MXFaceDataset):
            raise TypeError(
                f"dataset: expected an MXFaceDataset of this module, got {type(dataset).__name__}: "
                "PyTorch's DataLoader takes every other data set"
            )
        if not drop_last:
            raise OptionError("drop_last: expected True, so that all ranks have whole batches")
        ranks, seed = None, 0
        if sampler is not None:
            try:
                ranks = int(sampler.num_replicas), int(sampler.rank)
                shuffle, seed = bool(sampler.shuffle), int(sampler.seed)
            except AttributeError as error:
                raise TypeError(
                    f"sampler: expected a DistributedSampler, got {type(sampler).__name__}"
                ) from error
        faces = _faces(
            *_files(dataset.root_dir),
            batch_size,
            threads=num_workers,
            seed=seed,
            ranks=ranks,
            shuffle="full" if shuffle else False,
            last_batch="discard",
            ctx="cpu",
        )
        super().__init__(faces, local_rank)
