"""Train a PyTorch network on a record file of handwritten digits.

    pip install torch scikit-learn
    python examples/torch_digits.py --out FOLDER

The 1797 digits of 8 x 8 pixels that scikit-learn brings along are packed into two record files. A
small network, trained on batches of ImageRecordIter handed over without a copy, reaches 97 % on
the 360 digits that it has not seen.
"""

import argparse
from pathlib import Path

import gpuio as mx


def pack(out):
    """Write train.rec (1437 digits) and test.rec (360), as PNG."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name, first, step in (("train", 1, 5), ("test", 0, 5)):
        numbers = [n for n in range(len(digits.images)) if (n % step == 0) == (first == 0)]
        rec, idx = str(out / f"{name}.rec"), str(out / f"{name}.idx")
        with mx.recordio.MXIndexedRecordIO(idx, rec, "w") as writer:
            for key, number in enumerate(numbers):
                picture = (digits.images[number] * 15.9).astype("uint8")  # 0..16 before
                header = mx.recordio.IRHeader(0, float(digits.target[number]), number, 0)
                writer.write_idx(key, mx.recordio.pack_img(header, picture, 9, ".png"))


def batches(out, name, **options):
    """Return an iterator over one of the files."""
    return mx.io.ImageRecordIter(
        path_imgrec=str(out / f"{name}.rec"),
        path_imgidx=str(out / f"{name}.idx"),
        data_shape=(1, 8, 8),
        batch_size=60,
        scale=1 / 255,
        ctx="cpu",
        verbose=False,
        **options,
    )


def accuracy(network, loader):
    import torch

    network.eval()
    right = total = 0
    with torch.no_grad():
        for data, label in loader:
            right += int((network(data).argmax(1) == label).sum())
            total += len(label)
    network.train()
    return right / total


def main(argv=None):
    parser = argparse.ArgumentParser(description="Train a network on digits.")
    parser.add_argument("--out", default="examples-out", help="folder for the record files")
    parser.add_argument("--epochs", type=int, default=16)
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    pack(out)

    import torch
    from torch import nn

    from gpuio.adapters.torch import loader

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the network is too small to be shared out
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )
    descent = torch.optim.Adam(network.parameters(), lr=2e-3)
    with (
        batches(out, "train", shuffle=True, seed=1) as train,
        batches(out, "test", round_batch=False) as test,
    ):
        training, testing = loader(train), loader(test, cut_pad=True)
        for epoch in range(args.epochs):
            for data, label in training:
                descent.zero_grad()
                loss = nn.functional.cross_entropy(network(data), label.long())
                loss.backward()
                descent.step()
            if epoch % 4 == 3:
                print(f"epoch {epoch + 1}: {accuracy(network, testing):.3f}")
        print(f"accuracy {accuracy(network, testing):.3f}")


if __name__ == "__main__":
    main()
