"""One peer of a benchmark, alone in its process; driven over a pipe by `peers.py`.

Run by the peer's own Python, which need not be gpuio's. Each line on stdin is an order in JSON:
``open`` (the peer's name and its work), ``round`` (do all of the work once, timed) or ``check``
(save the first images). A round opens everything anew, takes the first batch untimed, times the
rest, and closes: at both ends of the clock the peer has the same work under way, and between rounds
none.
"""

import importlib
import json
import os
import resource
import sys
import time
import warnings

import numpy as np

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
    augment = True

    def __init__(self, work):
        """Import DALI and keep what is to be done."""
        from nvidia.dali import pipeline_def  # noqa: F401 -- only whether it is there

        self.work, self.options = work, work["options"]

    def batches(self):
        """Yield (images, tensors) of one pass over the records."""
        from nvidia.dali import Pipeline, fn, types

        o = self.options
        pipe = Pipeline(
            batch_size=o["batch_size"], num_threads=o["preprocess_threads"], device_id=None
        )
        with pipe:
            blobs, _ = fn.readers.mxnet(path=[self.work["rec"]], index_path=[self.work["idx"]])
            images = fn.decoders.image(
                blobs, device="cpu", output_type=types.RGB, jpeg_fancy_upsampling=True
            )
            if self.augment:
                images = fn.resize(
                    images,
                    resize_shorter=o["resize"],
                    interp_type=types.INTERP_LINEAR,
                    antialias=False,
                )
                images = fn.crop_mirror_normalize(
                    images,
                    crop=tuple(o["data_shape"][1:]),
                    mean=[o["mean_" + c] for c in "rgb"],
                    std=[o["std_" + c] for c in "rgb"],
                    dtype=types.FLOAT,
                    output_layout="CHW",
                )
            pipe.set_outputs(images)
        pipe.build()
        left = self.work["images"]
        while left > 0:
            (made,) = pipe.run()
            yield min(left, o["batch_size"]), made
            left -= o["batch_size"]

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return [np.array(batch[i]) for i in range(len(batch))]


class DaliDecode(Dali):
    """DALI on the CPU, its reader and decoder alone."""

    augment = False


class Blobs:
    """What the bare decoders have in common: the encoded images, in memory."""

    def __init__(self, work):
        """Read all records."""
        from gpuio import recordio

        self.threads = work["options"]["preprocess_threads"]
        self.size = work["options"]["batch_size"]
        self.blobs = []
        reader = recordio.MXRecordIO(work["rec"], "r")
        for record in iter(reader.read, None):
            self.blobs.append(recordio.unpack(record)[1])
        reader.close()

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one, R G B."""
        return batch


class Cv2(Blobs):
    """cv2.imdecode on a pool of threads."""

    package = "opencv-python-headless"

    def batches(self):
        """Yield (images, list of pixels)."""
        from concurrent.futures import ThreadPoolExecutor

        import cv2

        cv2.setNumThreads(1)
        arrays = [np.frombuffer(blob, np.uint8) for blob in self.blobs]
        with ThreadPoolExecutor(self.threads) as pool:
            ahead = []
            for array in arrays:
                ahead.append(pool.submit(cv2.imdecode, array, cv2.IMREAD_COLOR_RGB))
                if len(ahead) == 2 * self.size:
                    yield self.size, [job.result() for job in ahead[: self.size]]
                    del ahead[: self.size]
            while ahead:
                some = [job.result() for job in ahead[: self.size]]
                yield len(some), some
                del ahead[: self.size]


class Nvimgcodec(Blobs):
    """nvImageCodec on the CPU."""

    package = "nvidia-nvimgcodec-cu12"

    def batches(self):
        """Yield (images, list of images)."""
        from nvidia import nvimgcodec

        decoder = nvimgcodec.Decoder(
            device_id=-99999,  # NVIMGCODEC_DEVICE_CPU_ONLY
            max_num_cpu_threads=self.threads,
            backends=[nvimgcodec.Backend(nvimgcodec.CPU_ONLY)],
            options=":fancy_upsampling=1",
        )
        for start in range(0, len(self.blobs), self.size):
            made = decoder.decode(self.blobs[start : start + self.size])
            yield len(made), made

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return [np.asarray(image.cpu()) for image in batch]


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


PEERS = {
    "gpuio": Gpuio,
    "mxnet": Mxnet,
    "dali": Dali,
    "dali decode": DaliDecode,
    "cv2": Cv2,
    "nvimgcodec": Nvimgcodec,
    "records": Records,
    "offsets": Offsets,
}


def cpu_s():
    """Return the CPU seconds of this process, all its threads, and its ended children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def one_round(peer):
    """Do the work once, the first batch untimed."""
    batches = peer.batches()
    next(batches)
    count, cpu, wall = 0, cpu_s(), time.perf_counter()
    for images, _ in batches:
        count += images
    return {"images": count, "wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu}


def check(peer, count, out, options):
    """Save the first `count` images as arrays 0, 1, ...; made with some options changed."""
    images = []
    usual = getattr(peer, "options", {})
    peer.options = {**usual, **options}
    batches = peer.batches()
    for valid, batch in batches:
        images += peer.to_numpy(batch)[:valid]
        if len(images) >= count:
            break
    batches.close()
    peer.options = usual
    np.savez(out, **{str(i): image for i, image in enumerate(images[:count])})
    return {"images": min(count, len(images))}


def obey(peer, order):
    """Do one order; return the peer and the answer."""
    if order["do"] == "open":
        try:
            peer = PEERS[order["name"]](order["work"])
        except ImportError as error:
            return None, {"absent": "{}: {}".format(type(error).__name__, error.name)}  # noqa: UP032
        try:
            from importlib.metadata import version

            found = version(peer.package)
        except Exception:  # noqa: BLE001 -- the package may be installed under another name
            found = "unknown"
        file = getattr(peer, "mx", None)
        file = getattr(file, "__file__", "")
        return peer, {"package": peer.package, "version": found, "file": file}
    if order["do"] == "round":
        return peer, one_round(peer)
    return peer, check(peer, order["images"], order["out"], order["options"])


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
