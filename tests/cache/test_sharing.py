"""Two processes share one cache: of one file, of a manifest's parts, of which each reads a part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import boxes, making
from support.parts import manifest_of, write_parts

PROGRAM = Path(__file__).parents[1] / "support" / "cache_sharing.py"
CROPS = {"random_resized_crop": True, "rand_mirror": True, "seed_aug": 3}
BLOCKS = {"shuffle": "block", "shuffle_block_size": 0.02, "shuffle_pool_size": 0.06}
IMAGES = 30


def images(*, bad=()):
    """Images of some 15 kB, decoded."""
    made = [making.jpeg(making.photo(60 + k % 20, 80 - k % 20, k)) for k in range(IMAGES)]
    for k in bad:
        made[k] = b"no image"
    return made


def parts_in(folder, made):
    """Write images as three parts; return the path of their manifest."""
    folder.mkdir()
    return str(manifest_of(write_parts(folder, [12, 1, 17], made.__getitem__)))


def jobs(folder):
    """Return what each of two processes opens, by name: (class, options), without a cache."""
    many = {"path_imgrec": parts_in(folder / "many", images()), **CROPS}
    ill = {"path_imgrec": parts_in(folder / "ill", images(bad=(3, 17))), **CROPS}
    one = {"path_imgrec": making.write_rec(folder, images())[0], **CROPS}
    found = {"path_imgrec": boxes.write(folder, IMAGES)[0], "data_shape": (3, 60, 80)}
    moved = {"rand_mirror_prob": 0.5, "rand_crop_prob": 0.7, "min_crop_scales": 0.5, "seed": 2}

    def ranks(options):
        return [{**options, "num_parts": 2, "part_index": part} for part in range(2)]

    alike = {
        "parts": [{**many, "shuffle": True}] * 2,
        "parts in blocks": [{**many, **BLOCKS}] * 2,
        "parts, by ranks": ranks({**many, **BLOCKS, "shard": "even"}),
        "one file, by ranks": ranks({**one, "shuffle": True}),
        "parts, one resumed": [
            {**many, "shuffle": True},
            {**many, "shuffle": True, "after": 3},
        ],
        "parts, some bad": [{**ill, "on_error": "skip"}, {**ill, "on_error": "replace"}],
        "too little room": [{**many, "cache_size": 200_000}] * 2,
    }
    made = {name: [("ImageRecordIter", each) for each in both] for name, both in alike.items()}
    made["boxes, and none"] = [
        ("ImageDetRecordIter", {**found, **moved}),
        ("ImageRecordIter", {**found, "label_width": "ragged"}),
    ]
    return made


KINDS = (
    *(("host", "parts"), ("disk", "parts"), ("disk", "parts in blocks")),
    *(("host", "parts, by ranks"), ("disk", "one file, by ranks"), ("disk", "parts, one resumed")),
    *(("host", "parts, some bad"), ("host", "too little room"), ("disk", "boxes, and none")),
)
KEPT = {"parts, some bad": IMAGES - 2}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder of caches, and what two processes at a time made of jobs, with a cache and without.

    In one process for all: it loads the kernels once.
    """
    folder = tmp_path_factory.mktemp("sharing")
    wanted, told = jobs(folder), {}
    for kind, name in KINDS:
        room = {"cache": kind, "cache_dir": str(folder / f"{kind}: {name}"), "cache_size": "8MB"}
        told[f"{kind}: {name}"] = wanted[name], room
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_both_processes_are_right_and_the_memory_is_there_once(ran, kind, name):
    folder, told = ran
    both, alone = told[f"{kind}: {name}"]
    assert [one for one in both if isinstance(one, str)] == []  # what went wrong
    expected = [[epoch["digest"] for epoch in each] for each in alone]
    assert [[epoch["digest"] for epoch in each] for each in both] == expected
    caches = [each[-1]["cache"] for each in both]
    assert all(cache["hits"] > 0 for cache in caches)
    assert caches[0]["bytes"] == caches[1]["bytes"]
    if name == "too little room":
        assert 0 < caches[0]["images"] == caches[1]["images"] < IMAGES
        assert caches[0]["bytes"] <= 200_000
    else:
        assert [cache["images"] for cache in caches] == [KEPT.get(name, IMAGES)] * 2
        assert caches[0]["bytes"] < IMAGES * 17_000 + 3 * 4096  # each image once
    resident, own = (sum(each[-1]["memory"][at] for each in both) for at in range(2))
    assert 0 < own < 0.75 * resident
    assert len(list((folder / f"{kind}: {name}").iterdir())) == (kind == "disk")
