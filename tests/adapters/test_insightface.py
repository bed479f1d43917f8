"""InsightFace's loaders: the arguments and batches of arcface_torch/dataset.py."""

import inspect
import pickle
import sys
import types

import pytest

from gpuio.adapters import insightface
from gpuio.adapters.insightface import DataLoaderX, MXFaceDataset, dali_data_iter, get_dataloader
from gpuio.errors import OptionError, StorageError
from support import faceset, making


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def root(tmp_path):
    """Twelve faces of three people."""
    faceset.write_faces(tmp_path, (4, 5, 3))
    return tmp_path


@pytest.fixture
def photos(tmp_path):
    """Six photos of the sets' size, in a file without a header record; two labels each."""
    blobs = [making.jpeg(making.photo(112, 112, seed)) for seed in range(6)]
    making.write_rec(tmp_path, blobs, [[float(n), 9.0] for n in range(6)], name="train")
    return tmp_path


def test_the_arguments_are_arcface_torchs():
    assert list(inspect.signature(get_dataloader).parameters) == [
        "root_dir", "local_rank", "batch_size", "dali", "dali_aug", "seed", "num_workers"
    ]  # fmt: skip
    assert list(inspect.signature(MXFaceDataset).parameters) == ["root_dir", "local_rank"]
    assert list(inspect.signature(dali_data_iter).parameters)[:12] == [
        "batch_size", "rec_file", "idx_file", "num_threads", "initial_fill", "random_shuffle",
        "prefetch_queue_depth", "local_rank", "name", "mean", "std", "dali_aug",
    ]  # fmt: skip


@pytest.mark.parametrize("dali", [False, True])
def test_batches_are_normalised_images_and_int64_labels(dali, photos, torch):
    loader = get_dataloader(str(photos), 0, 3, dali)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    for images, labels in batches:
        assert (images.shape, images.dtype) == ((3, 3, 112, 112), torch.float32)
        assert (labels.shape, labels.dtype) == ((3,), torch.int64)
        assert images.min() >= -1
        assert images.max() <= 1
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(6))
    loader.close()


def test_the_pixels_are_those_of_the_original_mirrored_or_not(photos, torch):
    transforms = pytest.importorskip("torchvision").transforms
    dataset = MXFaceDataset(str(photos), 0)
    original = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    plain = [original(dataset._faces[number]["image"]) for number in range(6)]
    flips = transforms.RandomHorizontalFlip()
    torch.manual_seed(1)
    expected = [flips(image) for image in plain]
    torch.manual_seed(1)
    for number in range(6):
        image, label = dataset[number]
        assert torch.equal(image, expected[number])
        assert (label.dtype, label.shape, int(label)) == (torch.int64, (), number)
    loader = get_dataloader(str(photos), 0, 6, seed=3)
    mirrored = 0
    for _ in range(3):
        for images, labels in loader:
            for image, label in zip(images, labels.tolist(), strict=True):
                same = [torch.allclose(image, one, rtol=0, atol=2.0**-22)
                        for one in (plain[label], plain[label].flip(-1))]  # fmt: skip
                assert any(same)  # (x - 127.5) / 127.5 rounds otherwise than (x / 255 - 0.5) / 0.5
                mirrored += same[1]
    assert 0 < mirrored < 18
    loader.close()


def test_of_a_set_as_downloaded_the_images_come(root, torch):
    assert len(MXFaceDataset(root, 0)) == 12
    loader = get_dataloader(root, 0, 4)
    assert (
        sorted(torch.cat([labels for _, labels in loader]).tolist()) == [0] * 4 + [1] * 5 + [2] * 3
    )
    loader.close()


def ranks_of(root, monkeypatch, ranks, batch_size, **options):
    made = []
    for rank in range(ranks):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(ranks))
        made.append(get_dataloader(root, rank, batch_size, **options))
    return made


@pytest.mark.parametrize("dali", [False, True])
def test_ranks_have_equally_many_batches_and_a_state_for_all(dali, root, torch, monkeypatch):
    loaders = ranks_of(root, monkeypatch, 3, 2, dali=dali)
    assert [len(loader) for loader in loaders] == [2] * 3
    loops = [iter(loader) for loader in loaders]
    seen = [next(loop)[1].tolist() for loop in loops]
    assert len({str(loader.state_dict()) for loader in loaders}) == 1
    state = loaders[0].state_dict()
    again = ranks_of(root, monkeypatch, 3, 2, dali=dali)
    for loader in again:
        loader.load_state_dict(state)
    rest = [label for loader in again for _, labels in loader for label in labels.tolist()]
    assert sorted(sum(seen, rest)) == [0] * 4 + [1] * 5 + [2] * 3
    for loader in loaders + again:
        loader.reset()  # as the training script does behind an epoch of DALI's
        loader.close()


def test_an_epoch_is_chosen_as_the_training_script_does(root, torch):
    first, again = get_dataloader(root, 0, 4), get_dataloader(root, 0, 4)
    epochs = [[labels.tolist() for _, labels in first] for _ in range(3)]
    again.sampler.set_epoch(2)
    assert [labels.tolist() for _, labels in again] == epochs[2] != epochs[1]
    other = get_dataloader(root, 0, 4, seed=7)
    assert [labels.tolist() for _, labels in other] != epochs[0]
    for loader in (first, again, other):
        loader.close()


def test_the_loader_of_a_data_set_takes_the_samplers_ranks(root, torch):
    dataset = MXFaceDataset(root, 0)
    seen = []
    for rank in range(2):
        sampler = torch.utils.data.distributed.DistributedSampler(
            dataset, num_replicas=2, rank=rank, shuffle=False
        )
        loader = DataLoaderX(
            local_rank=0, dataset=dataset, batch_size=3, sampler=sampler, num_workers=2,
            pin_memory=True, drop_last=True, worker_init_fn=None,
        )  # fmt: skip
        seen.append([labels.tolist() for _, labels in loader])
        loader.close()
    assert seen == [[[0, 0, 0], [1, 1, 1]], [[0, 1, 1], [2, 2, 2]]]
    with pytest.raises(OptionError, match="drop_last: expected True"):
        DataLoaderX(0, dataset=dataset, batch_size=3)
    with pytest.raises(TypeError, match="expected a DistributedSampler"):
        DataLoaderX(0, dataset=dataset, batch_size=3, drop_last=True, sampler=iter([]))
    with pytest.raises(TypeError, match="expected an MXFaceDataset"):
        DataLoaderX(0, dataset=[1], batch_size=3, drop_last=True)


def test_a_data_set_goes_to_worker_processes(root, torch):
    dataset = pickle.loads(pickle.dumps(MXFaceDataset(root, 0)))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    assert next(iter(loader))[1].tolist() == [0, 0, 0, 0]


def test_the_synthetic_set_is_as_long_as_the_originals(torch, monkeypatch):
    (first, second) = ranks_of("synthetic", monkeypatch, 2, 128)
    assert len(first) == len(second) == 500_000 // 128
    images, labels = next(iter(first))
    assert (images.shape, labels.tolist()) == ((128, 3, 112, 112), [1] * 128)
    assert images.abs().max() <= 1


def test_what_cannot_be_had_is_refused(root, tmp_path, torch):
    with pytest.raises(OptionError, match="dali_aug: its blur"):
        get_dataloader(root, 0, 4, True, True)
    with pytest.raises(OptionError, match=r"dali_aug: its blur"):
        dali_data_iter(4, root / "train.rec", root / "train.idx", 2, dali_aug=True)
    with pytest.raises(OptionError, match=r"got 2048\. Where scripts pass the seed in this place"):
        get_dataloader(root, 0, 4, False, 2048, 2)
    with pytest.raises(OptionError, match="initial_fill"):
        dali_data_iter(4, root / "train.rec", root / "train.idx", 2, 0)
    (tmp_path / "images").mkdir()
    with pytest.raises(StorageError, match=r"no train\.rec here: .* `gpuio im2rec` makes one"):
        get_dataloader(tmp_path / "images", 0, 4)


def test_dalis_arguments_are_used(photos, torch):
    rec, idx = str(photos / "train.rec"), str(photos / "train.idx")
    loader = dali_data_iter(
        2, rec, idx, 1, random_shuffle=False, prefetch_queue_depth=2, name="faces",
        mean=(0, 0, 0), std=(255, 255, 255),
    )  # fmt: skip
    assert [labels.tolist() for _, labels in loader] == [[0, 1], [2, 3], [4, 5]]
    options = loader.iterator.options
    assert (options.prefetch_buffer, options.preprocess_threads) == (2, 1)
    assert loader.iterator.provide_data[0].name == "faces"
    images, _ = next(iter(loader))
    assert 0 <= images.min() < images.max() <= 1
    loader.close()


def test_ranks_are_pytorchs_where_it_has_a_group(monkeypatch):
    module, group = types.ModuleType("torch"), types.ModuleType("torch.distributed")
    group.is_available = group.is_initialized = lambda: True
    group.get_world_size, group.get_rank = lambda: 4, lambda: 3
    module.distributed = group
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert insightface._ranks() == (4, 3)
    group.is_initialized = lambda: False
    assert insightface._ranks() == ("auto", 0)


def test_batches_go_to_the_processs_gpu(monkeypatch):
    module = types.ModuleType("torch")
    module.cuda = types.SimpleNamespace(is_available=lambda: True)
    module.device = lambda kind, number: (kind, number)
    monkeypatch.setitem(sys.modules, "torch", module)
    moved = types.SimpleNamespace(to=lambda device, non_blocking: (device, non_blocking))
    assert insightface._to_device(1)(moved) == (("cuda", 1), True)
    module.cuda.is_available = lambda: False
    assert insightface._to_device(1)(moved) is moved


def test_a_set_may_lie_behind_a_url():
    paths = ("s3://bucket/faces/train.rec", "s3://bucket/faces/train.idx")
    assert insightface._files("s3://bucket/faces/") == paths
