"""A loader in PyTorch's checkpoints, Lightning and Accelerate: saved in an epoch, and resumed."""

import pytest

from gpuio.adapters.torch import loader
from support import making

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def make(tmp_path):
    """Return a maker of loaders over 100 records: 13 batches, in another order in every epoch."""
    records = making.write_rec(tmp_path, [making.flat(2 * i) for i in range(100)])
    options = {"shard": "even", "shuffle": "full", "last_batch": "pad", "batch_size": 8}
    opened = []

    def maker(**more):
        it = making.reader(records, **options, **more)
        opened.append(it)
        return loader(it)

    yield maker
    for it in opened:
        it.close()


def labels(loop):
    return [label.tolist() for _, label in loop]


def epochs(make, number):
    """The labels of all batches of some epochs."""
    one = make()
    return [seen for _ in range(number) for seen in labels(one)]


def test_pytorchs_distributed_checkpoint_resumes(make, tmp_path):
    import torch.distributed.checkpoint as dcp

    first = make()
    loop = iter(first)
    for _ in range(5):
        next(loop)
    dcp.save({"data": first}, checkpoint_id=tmp_path / "saved")
    rest = labels(loop)
    again = make()
    dcp.load({"data": again}, checkpoint_id=tmp_path / "saved")
    assert labels(again) == rest
    assert len(rest) == 8


def test_lightning_fits_and_resumes_in_the_middle_of_an_epoch(make, tmp_path):
    lightning = pytest.importorskip("lightning")
    path = str(tmp_path / "middle.ckpt")

    class Network(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = torch.nn.Linear(3 * 8 * 8, 1), []

        def training_step(self, batch, number):
            data, label = batch
            self.seen.append(label.tolist())
            return self.layer(data.flatten(1)).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-6)

    class Saving(lightning.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 18:
                trainer.save_checkpoint(path)

    def fit(*callbacks, **how):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=3,
            callbacks=list(callbacks),
            enable_checkpointing=False,
            use_distributed_sampler=False,
            default_root_dir=str(tmp_path),
            **quiet,
        )
        network = Network()
        trainer.fit(network, make(), **how)
        return network.seen

    whole = epochs(make, 3)
    assert fit(Saving()) == whole
    assert fit(ckpt_path=path) == whole[18:]


def test_accelerate_saves_and_loads_the_loader_that_is_registered(make, tmp_path):
    accelerate = pytest.importorskip("accelerate")

    def prepared():
        accelerator = accelerate.Accelerator(cpu=True)
        network = torch.nn.Linear(3 * 8 * 8, 1)
        descent = torch.optim.SGD(network.parameters(), 1e-6)
        batches = make()
        network, descent, same = accelerator.prepare(network, descent, batches)
        assert same is batches
        accelerator.register_for_checkpointing(batches)
        return accelerator, network, descent, batches

    accelerator, network, descent, batches = prepared()
    seen = []
    for _ in range(2):
        for data, label in batches:
            seen.append(label.tolist())
            accelerator.backward(network(data.flatten(1)).mean())
            descent.step()
            if len(seen) == 18:
                accelerator.save_state(str(tmp_path / "saved"))
    assert seen == epochs(make, 2)
    accelerator, _, _, batches = prepared()
    accelerator.load_state(str(tmp_path / "saved"))
    assert labels(batches) == seen[18:]


def test_skipping_batches_with_accelerate_is_refused_in_words(make):
    accelerate = pytest.importorskip("accelerate")
    with pytest.raises(AttributeError, match=r"load_state_dict\(state\), in place of accelerate's"):
        accelerate.skip_first_batches(make(), 2)
