"""Write an iterator of your own, and train a small network with it.

    python examples/custom_iterator.py --out FOLDER

The iterator makes points on three spiral arms; a network of one hidden layer, in NumPy, learns
which arm a point lies on. It reaches 95 % on points that it has not seen.
"""

import argparse
from pathlib import Path

import numpy as np

import gpuio as mx

ARMS = 3


class SpiralIter(mx.io.DataIter):
    """Batches of points on spiral arms: data (batch_size, 2), label (batch_size,).

    The least that an iterator needs: `provide_data` and `provide_label`, `next()`, which raises
    StopIteration at the end of an epoch, and `reset()`.
    """

    def __init__(self, batches, batch_size=64, seed=0):
        super().__init__(batch_size)
        self.batches, self.seed = batches, seed
        self.epoch = self.made = 0

    @property
    def provide_data(self):
        return [mx.io.DataDesc("data", (self.batch_size, 2))]

    @property
    def provide_label(self):
        return [mx.io.DataDesc("softmax_label", (self.batch_size,))]

    def reset(self):
        self.epoch, self.made = self.epoch + 1, 0

    def next(self):
        if self.made == self.batches:
            raise StopIteration
        rng = np.random.default_rng([self.seed, self.epoch, self.made])
        self.made += 1
        arm = rng.integers(ARMS, size=self.batch_size)
        along = rng.uniform(0.1, 1, self.batch_size)
        angle = 2 * np.pi * (arm / ARMS + 0.9 * along) + rng.normal(0, 0.3, self.batch_size)
        points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return mx.io.DataBatch([mx.nd.array(points)], [mx.nd.array(arm)], pad=0)


class Network:
    """Two inputs, a hidden layer, three classes; softmax and gradient descent with momentum."""

    def __init__(self, hidden=48, seed=1):
        rng = np.random.default_rng(seed)
        self.weights = [rng.normal(0, 1.5, (2, hidden)), rng.normal(0, 0.3, (hidden, ARMS))]
        self.biases = [rng.normal(0, 0.5, hidden), np.zeros(ARMS)]
        self.speeds = [np.zeros_like(p) for p in self.weights + self.biases]

    def forward(self, data):
        self.hidden = np.tanh(data @ self.weights[0] + self.biases[0])
        scores = self.hidden @ self.weights[1] + self.biases[1]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def train(self, data, label, rate=0.3):
        error = (self.forward(data) - np.eye(ARMS)[label]) / len(data)
        inner = (error @ self.weights[1].T) * (1 - self.hidden**2)
        slopes = [data.T @ inner, self.hidden.T @ error, inner.sum(axis=0), error.sum(axis=0)]
        for value, speed, slope in zip(
            self.weights + self.biases, self.speeds, slopes, strict=True
        ):
            speed[...] = 0.9 * speed - rate * slope
            value[...] = value + speed


def accuracy(network, it):
    right = total = 0
    for batch in it:
        guess = network.forward(batch.data[0].asnumpy()).argmax(axis=1)
        right += int((guess == batch.label[0].asnumpy()).sum())
        total += len(guess)
    return right / total


def draw(path, network, it):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    side = np.linspace(-1.1, 1.1, 200)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    guess = network.forward(grid).argmax(axis=1).reshape(200, 200)
    batch = next(it)
    figure, place = plt.subplots(figsize=(6, 6))
    place.contourf(side, side, guess, levels=[-0.5, 0.5, 1.5, 2.5], alpha=0.25, cmap="brg")
    place.scatter(*batch.data[0].asnumpy().T, c=batch.label[0].asnumpy(), cmap="brg", s=12)
    place.set_title("points by arm, background by the network's guess")
    place.set_aspect("equal")
    place.set_xticks([-1, 0, 1])
    place.set_yticks([-1, 0, 1])
    figure.savefig(path, dpi=100)
    plt.close(figure)
    print("drawn:", path)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Train on an iterator of one's own.")
    parser.add_argument("--out", default="examples-out", help="folder for the picture")
    out = Path(parser.parse_args(argv).out)
    out.mkdir(parents=True, exist_ok=True)

    network = Network()
    with mx.io.PrefetchingIter(SpiralIter(batches=40)) as it:  # batches are made ahead, on a thread
        for epoch in range(20):
            for batch in it:
                label = batch.label[0].asnumpy().astype(int)
                network.train(batch.data[0].asnumpy(), label)
            it.reset()
            if epoch % 5 == 4:
                print(f"epoch {epoch + 1}: {accuracy(network, SpiralIter(8, seed=1)):.3f}")
    draw(out / "spirals.png", network, SpiralIter(1, batch_size=400, seed=2))
    print(f"accuracy {accuracy(network, SpiralIter(20, seed=3)):.3f}")


if __name__ == "__main__":
    main()
