"""A process of a group: steps of DistributedDataParallel over a record file, for tests.

    torchrun ... ddp_steps.py FOLDER ROWS STOP

Goes on from FOLDER/state.json, if it is there; leaves after STOP steps. Rank 0 alone writes: the
state, and into FOLDER/said.json the labels of every step's records, in the order of the ranks.
"""

import json
import sys
from itertools import chain
from pathlib import Path

import torch
from torch import distributed

import gpuio as mx
from gpuio.adapters.torch import loader


def main(folder, rows, stop):
    distributed.init_process_group("gloo")
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3 * 8 * 8, 1))
    options = {"data_shape": (3, 8, 8), "batch_size": rows, "ctx": "cpu", "verbose": False}
    options |= {"num_parts": "auto", "shard": "even", "shuffle": "full", "last_batch": "pad"}
    rec, idx = str(folder / "data.rec"), str(folder / "data.idx")
    saved, steps, counts = folder / "state.json", [], []
    with mx.io.ImageRecordIter(path_imgrec=rec, path_imgidx=idx, **options) as it:
        batches = loader(it, weights=True)
        if saved.exists():
            batches.load_state_dict(json.loads(saved.read_text()))
        for data, label, weight in batches:
            (network(data.flatten(1)).flatten() * weight).sum().backward()  # waits for all ranks
            each = [None] * ranks
            distributed.all_gather_object(each, label[weight > 0].tolist())
            steps.append(list(chain(*each)))
            counts.append([len(one) for one in each])
            if len(steps) == stop:
                break
        states = [None] * ranks
        distributed.all_gather_object(states, json.dumps(batches.state_dict()))
    if rank == 0:
        assert len(set(states)) == 1  # what makes it safe that one rank saves
        saved.write_text(states[0])
        said = {"ranks": ranks, "steps": steps, "counts": counts}
        (folder / "said.json").write_text(json.dumps(said))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
