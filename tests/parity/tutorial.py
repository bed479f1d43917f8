"""A day's work with data, as a user of MXNet 1.9.1 writes it: ``python tutorial.py PHOTOS FOLDER``.

`test_tutorial.py` runs it under MXNet as it is, and under gpuio with its import line changed.
"""

# ruff: noqa: NPY002, T201, UP031 -- written for Python 3.6 and an old NumPy

import os
import random
import sys

import mxnet as mx
import numpy as np

photos, folder = sys.argv[1:]
random.seed(5)
np.random.seed(5)


def inside(name):
    return os.path.join(folder, name)


print("--- data in memory")
data = np.random.rand(7, 3).round(3)
label = np.arange(7) % 3
it = mx.io.NDArrayIter(data=data, label=label, batch_size=3, last_batch_handle="pad")
print(it.provide_data, it.provide_label)
for batch in it:
    print(batch)
    print([batch.data, batch.label, batch.pad])
it.reset()
for handle in ("discard", "roll_over"):
    it = mx.io.NDArrayIter({"b": data, "a": label}, label, 3, True, handle, label_name="y")
    for _ in range(2):
        it.reset()
        print(handle, [(batch.label[0].asnumpy().tolist(), batch.pad) for batch in it])


print("--- text files")
np.savetxt(inside("data.csv"), data, delimiter=",", fmt="%.3f")
np.savetxt(inside("label.csv"), label, delimiter=",", fmt="%d")
it = mx.io.CSVIter(
    data_csv=inside("data.csv"),
    data_shape=(3,),
    label_csv=inside("label.csv"),
    label_shape=(1,),
    batch_size=3,
)
for batch in it:
    print([batch.data, batch.label, batch.pad])


print("--- an iterator of one's own")


class SimpleIter(mx.io.DataIter):
    def __init__(self, data_shapes, label_shapes, makers, num_batches=4):
        super(SimpleIter, self).__init__(batch_size=data_shapes[0][1][0])  # noqa: UP008
        self.data_shapes, self.label_shapes = data_shapes, label_shapes
        self.makers, self.num_batches = makers, num_batches
        self.cur_batch = 0

    def __next__(self):
        return self.next()

    @property
    def provide_data(self):
        return self.data_shapes

    @property
    def provide_label(self):
        return self.label_shapes

    def reset(self):
        self.cur_batch = 0

    def next(self):
        if self.cur_batch == self.num_batches:
            raise StopIteration
        self.cur_batch += 1
        data = [mx.nd.array(self.makers[0](shape)) for _, shape in self.provide_data]
        label = [mx.nd.array(self.makers[1](shape)) for _, shape in self.provide_label]
        return mx.io.DataBatch(data, label)


def simple():
    return SimpleIter(
        [("data", (8, 2))],
        [("softmax_label", (8,))],
        [
            lambda shape: np.random.uniform(-1, 1, shape),
            lambda shape: np.random.randint(0, 2, shape),
        ],
    )


weights = np.zeros(2)
it = simple()
for _ in range(3):  # logistic regression on noise
    loss = 0
    for batch in it:
        x, y = batch.data[0].asnumpy(), batch.label[0].asnumpy()
        p = 1 / (1 + np.exp(-x.dot(weights)))
        loss -= np.log(np.where(y == 1, p, 1 - p)).mean()
        weights -= 0.1 * x.T.dot(p - y)
    it.reset()
    print("loss %.4f" % loss, batch.data[0].dtype == np.float32)
resized = mx.io.ResizeIter(simple(), 6)
print("resized", sum(1 for _ in resized), resized.provide_data)
it = mx.io.PrefetchingIter(mx.io.NDArrayIter(data, label, 3))
print("prefetched", [batch.label[0].asnumpy().tolist() for batch in it], it.provide_data)


print("--- record files")
record = mx.recordio.MXRecordIO(inside("plain.rec"), "w")
for i in range(5):
    record.write(("record_%d" % i).encode())
record.close()
record = mx.recordio.MXRecordIO(inside("plain.rec"), "r")
while True:
    item = record.read()
    if not item:
        break
    print(item)
record.close()
names = ["wide.jpg", "tall.jpg", "gray.jpg", "small.png"]
record = mx.recordio.MXIndexedRecordIO(inside("photos.idx"), inside("photos.rec"), "w")
for i, name in enumerate(names):
    with open(os.path.join(photos, name), "rb") as file:
        header = mx.recordio.IRHeader(0, float(i), i, 0)
        record.write_idx(i, mx.recordio.pack(header, file.read()))
record.close()
record = mx.recordio.MXIndexedRecordIO(inside("photos.idx"), inside("photos.rec"), "r")
print(record.keys)
header, blob = mx.recordio.unpack(record.read_idx(2))
print(header, len(blob))
several = mx.recordio.pack(mx.recordio.IRHeader(4, [1.0, 2.0, 3.0, 4.0], 2, 0), b"bytes")
print(mx.recordio.unpack(several))


print("--- images")
with open(os.path.join(photos, "wide.jpg"), "rb") as file:
    image = mx.image.imdecode(file.read())
print(image.shape, image.dtype == np.uint8, image.asnumpy().sum(), image[0][0])
print(mx.image.resize_short(image, 40, 1).asnumpy().sum())
crop, where = mx.image.random_crop(image, (30, 20), 1)
print(where, crop.shape, crop.asnumpy().sum())
print([aug.dumps() for aug in mx.image.CreateAugmenter((3, 32, 48), rand_crop=True)])


def shown(batch):
    """What one hands to imshow."""
    pictures = batch.data[0].asnumpy().astype(np.uint8).transpose((0, 2, 3, 1))
    one = batch.data[0][0].astype("uint8").asnumpy().transpose((1, 2, 0))
    assert (one == pictures[0]).all()
    return pictures


it = mx.io.ImageRecordIter(
    path_imgrec=inside("photos.rec"), data_shape=(3, 32, 48), batch_size=2, resize=48
)
for batch in it:  # MXNet's label is in page-locked memory
    print(shown(batch).shape, int(shown(batch).sum()), batch.label[0].asnumpy(), batch.pad)
it = mx.image.ImageIter(
    batch_size=3,
    data_shape=(3, 32, 48),
    path_imgrec=inside("photos.rec"),
    path_imgidx=inside("photos.idx"),
    shuffle=True,
    rand_mirror=True,
    inter_method=1,
)
for batch in it:
    print(shown(batch).shape, int(shown(batch).sum()), batch.label[0], batch.pad)
print([int(batch.label[0][0].asscalar()) for batch in [batch]], batch.label[0][1].asnumpy())


class FilledIter(mx.io.DataIter):
    """Records by key, decoded and laid out row by row, as projects on faces do it."""

    def __init__(self, batch_size, size):
        super(FilledIter, self).__init__(batch_size)  # noqa: UP008
        self.file = mx.recordio.MXIndexedRecordIO(inside("photos.idx"), inside("photos.rec"), "r")
        self.order = list(self.file.keys)
        self.size = size
        self.provide_data = [("data", (batch_size, 3, size, size))]
        self.provide_label = [("softmax_label", (batch_size,))]
        self.reset()

    def reset(self):
        random.shuffle(self.order)
        self.position = 0

    def next(self):
        if self.position + self.batch_size > len(self.order):
            raise StopIteration
        data = mx.nd.empty(self.provide_data[0][1])
        label = mx.nd.empty(self.provide_label[0][1])
        for row in range(self.batch_size):
            header, blob = mx.recordio.unpack(self.file.read_idx(self.order[self.position]))
            self.position += 1
            picture, _ = mx.image.center_crop(mx.image.imdecode(blob), (self.size,) * 2, 1)
            if random.random() < 0.5:
                picture = mx.nd.flip(picture, axis=1)
            data[row][:] = mx.nd.transpose(picture.astype("float32"), axes=(2, 0, 1))
            label[row][:] = header.label
        return mx.io.DataBatch([data], [label], 0)


it = FilledIter(2, 20)
for batch in it:
    print(int(batch.data[0].sum().asscalar()), batch.label[0])
    print([int(one.asscalar()) for one in batch.label[0]], batch.label[0].mean().asscalar())
try:
    mx.recordio.MXRecordIO(inside("missing.rec"), "r")
except mx.base.MXNetError as error:
    print("missing.rec" in str(error), isinstance(error, RuntimeError))
