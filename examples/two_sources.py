"""Combine two iterators: images from a record file, and a sentence for each from memory.

    python examples/two_sources.py --out FOLDER

PrefetchingIter joins iterators whose epochs have the same batches; where a batch has to be put
together in another way, an iterator of one's own holds the two.
"""

import argparse
from pathlib import Path

import numpy as np

import gpuio as mx

WORDS = ["<end>", "a", "bright", "dark", "picture", "number", *map(str, range(10))]


def files(out, count):
    """Pack pictures of one brightness each; return the paths and the sentences about them."""
    rec, idx = str(out / "captions.rec"), str(out / "captions.idx")
    sentences = []
    with mx.recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
        for key in range(count):
            level = 255 * key // (count - 1)
            picture = np.full((40, 40, 3), level, np.uint8)
            header = mx.recordio.IRHeader(0, float(key), key, 0)
            writer.write_idx(key, mx.recordio.pack_img(header, picture, img_fmt=".png"))
            tone = "bright" if level > 127 else "dark"
            sentences.append(["a", tone, "picture", "number", str(key), "<end>"])
    return rec, idx, np.array([[WORDS.index(word) for word in line] for line in sentences])


class CaptionIter(mx.io.DataIter):
    """Images and the words so far as data, the words to come as label."""

    def __init__(self, images, captions):
        super().__init__(images.batch_size)
        self.images, self.captions = images, captions
        self.provide_data = images.provide_data + captions.provide_data
        shape = captions.provide_data[0].shape
        self.provide_label = [mx.io.DataDesc("next_word", shape)]

    def reset(self):
        self.images.reset()
        self.captions.reset()

    def next(self):
        image, caption = self.images.next(), self.captions.next()
        assert image.pad == caption.pad
        words = caption.data[0]
        coming = mx.nd.concat(words[:, 1:], mx.nd.zeros((self.batch_size, 1)), dim=1)
        return mx.io.DataBatch([image.data[0], words], [coming], image.pad, image.index)

    def close(self):
        self.images.close()
        self.captions.close()


def main(argv=None):
    parser = argparse.ArgumentParser(description="Combine two iterators.")
    parser.add_argument("--out", default="examples-out", help="folder for the record file")
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)
    rec, idx, captions = files(out, 10)

    def images():
        return mx.io.ImageRecordIter(
            path_imgrec=rec, path_imgidx=idx, data_shape=(3, 32, 32), batch_size=5, verbose=False
        )

    def sentences():
        return mx.io.NDArrayIter({"caption": captions}, batch_size=5)

    with mx.io.PrefetchingIter([images(), sentences()]) as joined:
        print("joined:", [desc.name for desc in joined.provide_data])
        print("batches:", [[array.shape for array in batch.data] for batch in joined])

    with CaptionIter(images(), sentences()) as it:
        print("put together:", it.provide_data, it.provide_label)
        for batch in it:
            image, words = (array.asnumpy() for array in batch.data)
            text = " ".join(WORDS[int(word)] for word in words[0])
            print(f"  mean {image[0].mean():5.1f}: {text} (record {int(batch.index[0])})")


if __name__ == "__main__":
    main()
