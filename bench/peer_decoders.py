"""Peers of `peer_worker.py` that decode JPEG files and do nothing else.

The encoded images lie in memory. Every decoder gives uint8 R G B, height x width x 3. All are
imported when they are asked for: none need be there.
"""

import os

import numpy as np
from plain_records import PlainRecords


def blobs_of(work):
    """Return all encoded images of a record file."""
    records = PlainRecords(work["rec"], work["idx"])
    blobs = [records[number][0] for number in range(len(records))]
    records.close()
    return blobs


class Pool:
    """cv2.imdecode on a pool of threads: what decoding alone allows."""

    package = "opencv-python-headless"

    def __init__(self, work):
        """Read all records."""
        self.blobs, self.options = blobs_of(work), work["options"]
        self.epochs = work.get("epochs", 1)

    def batches(self):
        """Yield (images, list of pixels)."""
        from concurrent.futures import ThreadPoolExecutor

        import cv2

        cv2.setNumThreads(1)
        threads, size = self.options["preprocess_threads"], self.options["batch_size"]
        arrays = [np.frombuffer(blob, np.uint8) for blob in self.blobs]
        some = max(1, size // (4 * threads))  # so many at once: handing over costs, too

        def decode(start, stop):
            return [cv2.imdecode(one, cv2.IMREAD_COLOR_RGB) for one in arrays[start:stop]]

        with ThreadPoolExecutor(threads) as pool:
            ahead = []
            for batch in list(range(0, len(arrays), size)) * self.epochs:
                stop = min(batch + size, len(arrays))
                ahead.append(
                    [
                        pool.submit(decode, at, min(at + some, stop))
                        for at in range(batch, stop, some)
                    ]
                )
                if len(ahead) == 2:
                    made = [image for job in ahead.pop(0) for image in job.result()]
                    yield len(made), made
            for jobs in ahead:
                made = [image for job in jobs for image in job.result()]
                yield len(made), made

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return batch


def opencv():
    """Return OpenCV's decoder."""
    import cv2

    cv2.setNumThreads(1)
    return lambda blob: cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR_RGB)


def pillow():
    """Return Pillow's decoder."""
    import io

    from PIL import Image

    return lambda blob: np.asarray(Image.open(io.BytesIO(blob)).convert("RGB"))


def simplejpeg():
    """Return simplejpeg's decoder, its default of a fast DCT switched off."""
    import simplejpeg

    return lambda blob: simplejpeg.decode_jpeg(blob, "RGB", fastdct=False, fastupsample=False)


def torchvision():
    """Return torchvision's decoder; the pixels are a view of its C x H x W tensor."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    torch.set_num_threads(1)

    def decode(blob):
        encoded = torch.frombuffer(bytearray(blob), dtype=torch.uint8)
        return decode_jpeg(encoded, mode=ImageReadMode.RGB).permute(1, 2, 0).numpy()

    return decode


def imageio():
    """Return imageio's decoder."""
    import imageio.v3

    return lambda blob: imageio.v3.imread(blob, extension=".jpg", mode="RGB")


def skimage():
    """Return scikit-image's decoder; gray files stay gray unless repeated."""
    import io

    import skimage.io

    def decode(blob):
        image = skimage.io.imread(io.BytesIO(blob))
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)

    return decode


def imagecodecs():
    """Return imagecodecs' decoder."""
    import imagecodecs

    return lambda blob: imagecodecs.jpeg8_decode(blob, outcolorspace="RGB")


def turbo_library():
    """Return the path of a TurboJPEG library: that of the wheel `turbojpeg`, else the system's."""
    import ctypes.util
    import glob
    import importlib.metadata

    try:
        wheel = importlib.metadata.distribution("turbojpeg").locate_file("turbojpeg.libs")
    except importlib.metadata.PackageNotFoundError:
        wheel = ""
    found = glob.glob(os.path.join(str(wheel), "libturbojpeg*.so*")) if wheel else []
    found = found[0] if found else ctypes.util.find_library("turbojpeg")
    if not found:
        raise ImportError("no TurboJPEG library", name="libturbojpeg")
    return found


def pyturbojpeg():
    """Return PyTurboJPEG's decoder, over the library of the wheel `turbojpeg`.

    Both packages call their module `turbojpeg`, and the wheel's is found first.
    """
    import importlib.metadata
    import importlib.util

    try:
        file = importlib.metadata.distribution("PyTurboJPEG").locate_file("turbojpeg.py")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError("not installed", name="PyTurboJPEG") from error
    spec = importlib.util.spec_from_file_location("pyturbojpeg", str(file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    decoder = module.TurboJPEG(turbo_library())
    return lambda blob: decoder.decode(blob, pixel_format=module.TJPF_RGB)


def turbojpeg():
    """Return TurboJPEG 3 called by ctypes, one handle, pixels straight into a new array."""
    import ctypes

    library = ctypes.CDLL(turbo_library())
    if not hasattr(library, "tj3Init"):
        raise ImportError("libturbojpeg is older than 3", name="tj3Init")
    library.tj3Init.restype = ctypes.c_void_p
    library.tj3DecompressHeader.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    library.tj3Get.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.tj3Decompress8.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int,
        ctypes.c_int,
    ]  # fmt: skip
    handle = library.tj3Init(1)  # TJINIT_DECOMPRESS
    width, height, rgb = 5, 6, 0  # TJPARAM_JPEGWIDTH, TJPARAM_JPEGHEIGHT, TJPF_RGB

    def decode(blob):
        if library.tj3DecompressHeader(handle, blob, len(blob)):
            raise ValueError("tj3DecompressHeader failed")
        shape = library.tj3Get(handle, height), library.tj3Get(handle, width), 3
        pixels = np.empty(shape, np.uint8)
        if library.tj3Decompress8(handle, blob, len(blob), pixels.ctypes.data, 0, rgb):
            raise ValueError("tj3Decompress8 failed")
        return pixels

    return decode


def nvimgcodec():
    """Return nvImageCodec's decoder on the CPU, one image per call."""
    from nvidia import nvimgcodec

    decoder = nvimgcodec.Decoder(
        device_id=-99999,  # NVIMGCODEC_DEVICE_CPU_ONLY
        max_num_cpu_threads=1,
        backends=[nvimgcodec.Backend(nvimgcodec.CPU_ONLY)],
        options=":fancy_upsampling=1",
    )
    return lambda blob: np.asarray(decoder.decode(blob).cpu())


def kornia():
    """Return kornia-rs' decoder, on its TurboJPEG."""
    import kornia_rs.io

    decoder = kornia_rs.io.ImageDecoder()
    return lambda blob: np.asarray(decoder.decode(blob))


# name to what makes the decoder, and the package it is from
DECODERS = {
    "cv2": (opencv, "opencv-python-headless"),
    "pillow": (pillow, "pillow"),
    "simplejpeg": (simplejpeg, "simplejpeg"),
    "torchvision": (torchvision, "torchvision"),
    "imageio": (imageio, "imageio"),
    "scikit-image": (skimage, "scikit-image"),
    "imagecodecs": (imagecodecs, "imagecodecs"),
    "PyTurboJPEG": (pyturbojpeg, "PyTurboJPEG"),
    "turbojpeg by ctypes": (turbojpeg, "turbojpeg"),
    "nvimgcodec": (nvimgcodec, "nvidia-nvimgcodec-cu12"),
    "kornia-rs": (kornia, "kornia-rs"),
}


class _Images:
    """A Dataset of decoded images; each process makes its own decoder."""

    def __init__(self, blobs, make):
        self.blobs, self.make, self.mine = blobs, make, (None, None)

    def __len__(self):
        return len(self.blobs)

    def __getitem__(self, number):
        import torch

        if self.mine[0] != os.getpid():
            self.mine = os.getpid(), self.make()
        pixels = self.mine[1](self.blobs[number])
        return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


class Decoder:
    """One decoder of DECODERS: in this thread alone, or in a torch DataLoader."""

    def __init__(self, work):
        """Read all records, make the decoder."""
        self.make, self.package = DECODERS[work["decoder"]]
        self.blobs, self.options = blobs_of(work), work["options"]
        self.decode = self.make()

    def batches(self):
        """Yield (images, list of pixels); option "workers": of a DataLoader, None: without one."""
        size, workers = self.options["batch_size"], self.options.get("workers")
        if workers is None:
            for start in range(0, len(self.blobs), size):
                made = [self.decode(blob) for blob in self.blobs[start : start + size]]
                yield len(made), made
            return
        from torch.utils.data import DataLoader

        for batch in DataLoader(
            _Images(self.blobs, self.make), size, num_workers=workers, collate_fn=list
        ):
            yield len(batch), batch

    @staticmethod
    def to_numpy(batch):
        """Return the images of a batch, one by one."""
        return [np.asarray(image) for image in batch]
