"""Train a PyTorch network on record files with DistributedDataParallel, and go on after a stop.

    pip install torch scikit-learn
    torchrun --standalone --nproc-per-node 2 examples/ddp.py --out FOLDER --stop 40
    python examples/ddp.py --out FOLDER

The first line trains with two processes on a CPU (gloo) and stops in the middle of an epoch; the
second goes on from there with one. Every rank has the same number of steps (shard="even"), rank 0
alone saves the state, and the records come in one order, however many ranks there are.
"""

import argparse
import os
from pathlib import Path

from torch_digits import pack

import gpuio as mx

STEP = 60  # records of a step, on all ranks together


def batches(out, name, ranks, **options):
    """Return an iterator over this rank's part of one of the files."""
    return mx.io.ImageRecordIter(
        path_imgrec=str(out / f"{name}.rec"),
        path_imgidx=str(out / f"{name}.idx"),
        data_shape=(1, 8, 8),
        batch_size=STEP // ranks,
        num_parts="auto",  # from the environment that torchrun sets
        shard="even",
        last_batch="pad",
        scale=1 / 255,
        ctx="cpu",
        verbose=False,
        **options,
    )


def start():
    """Meet the other ranks; without torchrun there are none."""
    from torch import distributed

    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    else:
        store = distributed.HashStore()
        distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    return distributed


def total(distributed, *values):
    """Return the sums of numbers over all ranks."""
    import torch

    sums = torch.tensor([float(value) for value in values])
    distributed.all_reduce(sums)
    return sums.tolist()


def accuracy(network, loader, distributed):
    """Return the share of records that are right, of all ranks' records."""
    import torch

    network.eval()
    right = rows = 0.0
    with torch.no_grad():
        for data, label, weight in loader:
            right += float(((network(data).argmax(1) == label) * weight).sum())
            rows += float(weight.sum())
    network.train()
    right, rows = total(distributed, right, rows)
    return right / rows


def train(out, args, distributed):
    import torch
    from torch import nn

    from gpuio.adapters.torch import loader

    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers = [nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    network = nn.parallel.DistributedDataParallel(nn.Sequential(*layers))
    descent = torch.optim.Adam(network.parameters(), lr=4e-3)
    saved, epoch, step = out / "checkpoint.pt", 0, 0
    with (
        batches(out, "train", ranks, shuffle="full", seed=1) as it,
        batches(out, "test", ranks) as it2,
    ):
        training = loader(it, integer_labels=True, weights=True)
        testing = loader(it2, integer_labels=True, weights=True)
        if saved.exists():  # every rank loads what rank 0 has saved
            state = torch.load(saved)
            network.module.load_state_dict(state["network"])
            descent.load_state_dict(state["descent"])
            training.load_state_dict(state["data"])
            epoch, step = state["epoch"], state["step"]
            if rank == 0:
                print(f"goes on in epoch {epoch + 1}, after step {step}, {ranks} ranks")
        for now in range(epoch, args.epochs):
            losses = []
            for data, label, weight in training:
                (rows,) = total(distributed, weight.sum())
                each = nn.functional.cross_entropy(network(data), label, reduction="none")
                loss = (each * weight).sum() / rows  # a row of padding has weight 0
                descent.zero_grad()
                (loss * ranks).backward()  # DDP takes the mean of the ranks: the sum is wanted
                descent.step()
                losses += total(distributed, loss.detach())
                step += 1
                if step == args.stop:
                    if rank == 0:
                        state = {"network": network.module.state_dict(), "epoch": now, "step": step}
                        state |= {"descent": descent.state_dict(), "data": training.state_dict()}
                        torch.save(state, saved)
                        print(f"stopped in epoch {now + 1}, after step {step}, {ranks} ranks")
                    return
            if rank == 0:
                print(f"epoch {now + 1}: {len(losses)} steps, last loss {losses[-1]:.4f}")
        found = accuracy(network.module, testing, distributed)
        if rank == 0:
            print(f"step {step}, accuracy {found:.4f}")


def main(argv=None):
    parser = argparse.ArgumentParser(description="Train a network on digits, on several ranks.")
    parser.add_argument("--out", default="examples-out", help="folder for files and the state")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--stop", type=int, help="save the state after this step, and leave")
    args = parser.parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    distributed = start()
    if distributed.get_rank() == 0 and not (out / "test.idx").exists():
        pack(out)
    distributed.barrier()
    train(out, args, distributed)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
