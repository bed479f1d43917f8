"""Ranks that wait for each other in every step: their number of steps, and going on elsewhere."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from gpuio.adapters.torch import loader
from support import making

ROOT = Path(__file__).resolve().parents[2]


def torchrun(ranks, *arguments):
    """Run a script in so many processes; one that waits for ever is an error."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    done = subprocess.run(
        [sys.executable, "-m", *launch, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_ranks_stop_and_three_go_on_with_what_rank_0_saved(tmp_path):
    pytest.importorskip("torch")
    records = making.write_rec(tmp_path, [making.flat(2 * i) for i in range(61)])
    script = ROOT / "tests" / "support" / "ddp_steps.py"
    steps = []
    for ranks, rows, stop in ((2, 4, 3), (3, 2, 0)):
        torchrun(ranks, script, tmp_path, rows, stop)
        said = json.loads((tmp_path / "said.json").read_text())
        assert said["ranks"] == ranks
        steps += said["steps"]
    assert len(steps) == 3 + 7  # 24 records, then 37 in steps of 6
    assert said["counts"][-1] == [0, 0, 1]  # ranks without a record have the step all the same
    with making.reader(records, shuffle="full", shard="even", last_batch="pad") as it:
        whole = [label.tolist() for _, label in loader(it, cut_pad=True)]
    assert list(chain(*steps)) == list(chain(*whole))


@pytest.mark.slow
def test_the_example_goes_on_with_another_number_of_ranks(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    example = ROOT / "examples" / "ddp.py"
    said = torchrun(2, example, "--out", tmp_path, "--epochs", 2, "--stop", 30)
    assert said.splitlines()[-1] == "stopped in epoch 2, after step 30, 2 ranks"
    said = torchrun(1, example, "--out", tmp_path, "--epochs", 2)
    first, second, last = said.splitlines()
    assert first == "goes on in epoch 2, after step 30, 1 ranks"
    assert second.startswith("epoch 2: 18 steps")
    assert last.startswith("step 48, accuracy 0.")
