"""Peers of `peer_worker.py` that make batches or read records: gpuio, MXNet, DALI, torchvision.

`options` are those of ImageRecordIter; each peer translates what a job of `jobs.py` asks of it.
"""

import importlib
import os

import numpy as np
from plain_records import PlainRecords

if not hasattr(np, "bool"):
    np.bool = bool  # MXNet 1.9.1 names the alias that NumPy 1.24 dropped


class Gpuio:
    """gpuio's ImageRecordIter on the CPU."""

    package = "gpuio"
    module = "gpuio"
    more = {"ctx": "cpu"}  # noqa: RUF012

    def __init__(self, work):
        """Import the package and keep what is to be done."""
        self.mx = importlib.import_module(self.module)
        self.options = dict(
            work["options"], path_imgrec=work["rec"], path_imgidx=work["idx"], **self.more
        )
        self.epochs = work.get("epochs", 1)

    def batches(self):
        """Yield (images, array) of the epochs of one iterator."""
        it = self.mx.io.ImageRecordIter(**self.options)
        for epoch in range(self.epochs):
            if epoch:
                it.reset()
            for batch in it:
                data = batch.data[0]
                data.wait_to_read()
                yield data.shape[0] - batch.pad, data
        getattr(it, "close", lambda: None)()

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return list(batch.asnumpy().copy())


class Mxnet(Gpuio):
    """MXNet's ImageRecordIter."""

    package = "mxnet"
    module = "mxnet"
    more = {}  # noqa: RUF012


class Dali:
    """DALI on the CPU: reader, decoder, resize, crop and normalisation."""

    package = "nvidia-dali-cuda120"

    def __init__(self, work):
        """Import DALI and keep what is to be done."""
        from nvidia.dali import pipeline_def  # noqa: F401 -- only whether it is there

        self.work, self.options = work, work["options"]
        self.epochs = work.get("epochs", 1)

    def batches(self):
        """Yield (images, tensors) of some passes over the records."""
        from nvidia.dali import Pipeline, fn

        o = self.options
        pipe = Pipeline(
            batch_size=o["batch_size"],
            num_threads=o["preprocess_threads"],
            device_id=None,
            prefetch_queue_depth=1,  # with the dynamic executor, the least CPU time per image
            exec_dynamic=True,
        )
        with pipe:
            blobs, _ = fn.readers.mxnet(
                path=[self.work["rec"]],
                index_path=[self.work["idx"]],
                random_shuffle=bool(o.get("shuffle")),
            )
            pipe.set_outputs(self.made(blobs))
        pipe.build()
        left = self.work["images"] * self.epochs
        while left > 0:
            (made,) = pipe.run()
            yield min(left, o["batch_size"]), made
            left -= o["batch_size"]

    def made(self, blobs):
        """Return the graph's node of finished images."""
        from nvidia.dali import fn, types

        o = self.options
        decoded = {"device": "cpu", "output_type": types.RGB, "jpeg_fancy_upsampling": True}
        scaled = {"interp_type": types.INTERP_LINEAR, "antialias": False}
        height, width = o["data_shape"][1:]
        if o.get("random_resized_crop"):
            images = fn.decoders.image_random_crop(
                blobs,
                random_area=[o["min_random_area"], o.get("max_random_area", 1.0)],
                random_aspect_ratio=[o["min_aspect_ratio"], o["max_aspect_ratio"]],
                **decoded,
            )
            images = fn.resize(images, resize_x=width, resize_y=height, **scaled)
        else:
            images = fn.decoders.image(blobs, **decoded)
            if o["resize"] > 0:
                images = fn.resize(images, resize_shorter=o["resize"], **scaled)
        return fn.crop_mirror_normalize(
            images,
            crop=(height, width),
            mirror=fn.random.coin_flip() if o.get("rand_mirror") else 0,
            mean=[o["mean_" + c] for c in "rgb"],
            std=[o["std_" + c] for c in "rgb"],
            dtype=types.FLOAT,
            output_layout="CHW",
        )

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return [np.array(batch[i]) for i in range(len(batch))]


class DaliDecode(Dali):
    """DALI on the CPU, its reader and decoder alone."""

    def made(self, blobs):
        """Return the graph's node of decoded images."""
        from nvidia.dali import fn, types

        return fn.decoders.image(
            blobs, device="cpu", output_type=types.RGB, jpeg_fancy_upsampling=True
        )


class _Decoded:
    """A Dataset as users write it: the record's image, decoded and transformed."""

    def __init__(self, records, transform):
        from torchvision.io import ImageReadMode, decode_jpeg

        self.records, self.transform = records, transform
        self.decode, self.mode = decode_jpeg, ImageReadMode.RGB

    def __len__(self):
        return len(self.records)

    def __getitem__(self, number):
        import torch

        blob, label = self.records[number]
        image = self.decode(torch.frombuffer(bytearray(blob), dtype=torch.uint8), mode=self.mode)
        return self.transform(image), label


class Torchvision:
    """A torch DataLoader over torchvision's decode_jpeg and its v2 transforms."""

    package = "torchvision"

    def __init__(self, work):
        """Import torch and torchvision and keep what is to be done."""
        import torchvision  # noqa: F401 -- only whether it is there

        self.work, self.options = work, work["options"]
        self.epochs = work.get("epochs", 1)

    def transform(self):
        """Return what becomes of a decoded image."""
        import torch
        from torchvision.transforms import v2

        o = self.options
        side = o["data_shape"][1:]
        steps = []
        if o.get("random_resized_crop"):
            scale = (o["min_random_area"], o.get("max_random_area", 1.0))
            ratio = (o["min_aspect_ratio"], o["max_aspect_ratio"])
            steps.append(v2.RandomResizedCrop(side, scale, ratio, antialias=False))
        elif o["resize"] > 0:
            steps += [v2.Resize(o["resize"], antialias=False), v2.CenterCrop(side)]
        if o.get("rand_mirror"):
            steps.append(v2.RandomHorizontalFlip())
        steps.append(v2.ToDtype(torch.float32, scale=True))
        mean, std = ([o[kind + c] / 255 for c in "rgb"] for kind in ("mean_", "std_"))
        steps.append(v2.Normalize(mean, std))
        return v2.Compose(steps)

    def batches(self):
        """Yield (images, tensor) of some epochs of one loader."""
        from torch.utils.data import DataLoader

        records = PlainRecords(self.work["rec"], self.work["idx"])
        loader = DataLoader(
            _Decoded(records, self.transform()),
            batch_size=self.options["batch_size"],
            shuffle=bool(self.options.get("shuffle")),
            num_workers=self.options["preprocess_threads"],
            persistent_workers=True,
        )
        for _ in range(self.epochs):
            for images, _ in loader:
                yield len(images), images
        del loader  # its workers end here
        records.close()

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return list(batch.numpy())


class Records:
    """Reading every record of a file with MXRecordIO, in one thread."""

    def __init__(self, work):
        """Import the package."""
        self.package = work["module"]
        self.mx = importlib.import_module(self.package)
        self.work = work

    def batches(self):
        """Yield (records, their bytes) a thousand at a time."""
        reader = self.mx.recordio.MXRecordIO(self.work["rec"], "r")
        count = size = 0
        for record in iter(reader.read, None):
            count += 1
            size += len(record)
            if count == 1000:
                yield count, size
                count = size = 0
        if count:
            yield count, size
        reader.close()


class Offsets(Records):
    """Finding the offset of every record, for an index."""

    def batches(self):
        """Yield (0, None) once, then (records, None)."""
        yield 0, None
        if self.package == "gpuio":
            from gpuio.recordio.framing import scan
            from gpuio.storage.local import LocalFile

            with LocalFile(self.work["rec"]) as file:
                yield len(scan(file)[0]), None
            return
        # as tools/rec2idx.py does it: read, and ask where the next one starts
        import ctypes

        base = importlib.import_module("mxnet.base")
        reader = self.mx.recordio.MXRecordIO(self.work["rec"], "r")
        offsets, place = [], ctypes.c_size_t()
        while True:
            base._LIB.MXRecordIOReaderTell(reader.handle, ctypes.byref(place))  # noqa: SLF001
            if reader.read() is None:
                break
            offsets.append(place.value)
        yield len(offsets), None


class HostOnly(Gpuio):
    """gpuio's ImageRecordIter whose backend makes no pixels: what is left is the host's work."""

    # the verbs that make pixels, and what one that has nothing to tell returns; all that a backend
    # has of them are replaced
    VERBS = {"make": list, "decode": lambda: None, "augment": list}  # noqa: RUF012

    def __init__(self, work):
        """Import the package and replace the backend's verbs."""
        super().__init__(work)
        from gpuio.backend import open_backend

        backend = open_backend("cpu")
        kind = type(backend)
        backend.close()
        found = [verb for verb in self.VERBS if hasattr(kind, verb)]
        if found not in (["make"], ["decode", "augment"]):
            raise RuntimeError("the backend has the verbs {}".format(found))  # noqa: UP032
        for verb in found:
            nothing = self.VERBS[verb]
            setattr(kind, verb, lambda *_, nothing=nothing, **__: nothing())


class Pread:
    """os.pread of the same records in an order drawn anew, and nothing else."""

    package = "numpy"

    def __init__(self, work):
        """Keep what is to be done."""
        self.work, self.options = work, work["options"]
        self.epochs = work.get("epochs", 1)

    def batches(self):
        """Yield (records, list of their bytes)."""
        records, size = PlainRecords(self.work["rec"], self.work["idx"]), self.options["batch_size"]
        rng = np.random.default_rng(0)
        for _ in range(self.epochs):
            order = rng.permutation(len(records)).tolist()
            for start in range(0, len(order), size):
                some = [
                    os.pread(records.file, records.sizes[number], records.offsets[number])
                    for number in order[start : start + size]
                ]
                yield len(some), some
        records.close()
