"""shard="even": parts of one sequence, whose one state fits any number of parts."""

import json
import pickle

import numpy as np
import pytest

from gpuio import io
from gpuio.errors import OptionError, StateError
from support import making

KIB = 1 / 1024
SHUFFLES = {
    "none": {},
    "mxnet": {"shuffle": True},
    "full": {"shuffle": "full"},
    "block": {"shuffle": "block", "shuffle_block_size": 1 * KIB, "shuffle_pool_size": 3 * KIB},
}
COUNT = 43


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("even")
    blobs = [making.flat(5 * i, 12, 12) for i in range(COUNT)]
    boxes = [
        [2, 5, i, 0.1, 0.1, 0.9, 0.9] + [i, 0.2, 0.2, 0.8, 0.8] * (i % 3) for i in range(COUNT)
    ]
    return {
        "plain": making.write_rec(folder, blobs),
        "boxes": making.write_rec(folder, blobs, boxes, name="boxes"),
    }


def opened(paths, parts, batch_size=4, *, index=True, boxed=False, **more):
    """Return the iterator of each part."""
    rec, idx = paths["boxes" if boxed else "plain"]
    base = {"path_imgrec": rec, "data_shape": (3, 8, 8), "verbose": False, "ctx": "cpu"}
    base |= {"shard": "even", "last_batch": "pad", "preprocess_threads": 1}
    if index:
        base["path_imgidx"] = idx
    make = io.ImageDetRecordIter if boxed else io.ImageRecordIter
    return [
        make(**{**base, **more}, batch_size=batch_size, num_parts=parts, part_index=part)
        for part in range(parts)
    ]


def labels(batch, boxed=False):
    own = len(batch.data[0]) - batch.pad
    rows = batch.label[0].asnumpy()[:own]
    return [int(row[6] if boxed else row) for row in rows]


def steps(its, count=None, boxed=False):
    """Run all parts step by step; return the records in the order of steps and parts."""
    seen, done = [], 0
    while count is None or done < count:
        batches = [next(it, None) for it in its]
        if batches[0] is None:
            assert batches == [None] * len(its)
            break
        assert None not in batches
        seen += [label for batch in batches for label in labels(batch, boxed)]
        done += 1
    return seen


def close(its):
    for it in its:
        it.close()


def states(its):
    """Return the state that all parts have, to the byte, in JSON."""
    texts = {json.dumps(it.state_dict()) for it in its}
    assert len(texts) == 1
    (text,) = texts
    assert len(text) < 400
    return json.loads(text)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("last_batch", ["borrow", "pad", "partial", "discard"])
def test_parts_have_equal_steps_and_every_record_once(paths, boxed, index, last_batch):
    its = opened(paths, 3, boxed=boxed, index=index, last_batch=last_batch, shuffle="full")
    plan = its[0].shard_plan()
    assert all(it.shard_plan() == plan for it in its)
    assert {share["batches"] for share in plan["parts"]} == {len(it) for it in its}
    seen = steps(its, boxed=boxed)
    dropped = 7 if last_batch == "discard" else 0
    assert len(set(seen)) == len(seen) == COUNT - dropped
    assert plan["dropped"] == dropped
    assert [it.stats()["discarded"] for it in its] == [dropped] * 3
    assert plan["equal"]
    if boxed:  # measured over all records, so that parts have one shape
        assert len({it.label_pad_width for it in its}) == 1
    close(its)


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("last_batch", ["pad", "partial"])
@pytest.mark.parametrize("shuffle", ["none", "block"])
def test_a_part_without_a_row_hands_out_padding(tmp_path, boxed, last_batch, shuffle):
    boxes = [[2, 5, i, 0.1, 0.1, 0.9, 0.9] for i in range(3)]
    name = "boxes" if boxed else "plain"
    paths = {name: making.write_rec(tmp_path, [making.flat(90)] * 3, boxes if boxed else None)}
    its = opened(paths, 8, 2, boxed=boxed, last_batch=last_batch, **SHUFFLES[shuffle])
    assert its[0].shard_plan()["all_padding"]
    for _ in range(2):
        batches = [it.next() for it in its]
        own = [len(batch.data[0]) - batch.pad for batch in batches]
        assert sum(own) == 3
        assert max(own) == 1
        for batch, rows in zip(batches, own, strict=True):
            if rows:
                continue
            assert (batch.data[0].shape, batch.pad) == ((2, 3, 8, 8), 2)
            assert not batch.data[0].asnumpy().any()
            assert not batch.index.any()
            row = its[0]._machine().labels.no_label
            assert (batch.label[0].asnumpy() == (row if boxed else 0)).all()
        for it in its:
            with pytest.raises(StopIteration):
                it.next()
            it.reset()
    close(its)


@pytest.mark.parametrize("last_batch", ["borrow", "discard"])
def test_steps_that_cannot_be_filled_are_refused_on_every_part_alike(paths, last_batch):
    said = set()
    for part in range(16):
        with pytest.raises(OptionError) as raised:
            opened(paths, 16, 8, last_batch=last_batch)[part].close()
        said.add(str(raised.value))
    assert len(said) == 1


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize(("before", "after", "size"), [(2, 3, 4), (3, 1, 5), (1, 2, 3)])
def test_a_state_goes_on_with_other_parts_and_batches(paths, shuffle, boxed, before, after, size):
    more = {**SHUFFLES[shuffle], "boxed": boxed, "index": not boxed}
    (whole,) = opened(paths, 1, **more)
    expected = [steps([whole], boxed=boxed)]
    whole.reset()
    expected.append(steps([whole], boxed=boxed))
    its = opened(paths, before, **more)
    head = steps(its, 2, boxed=boxed)
    state = states(its)
    assert state["samples"] == len(head) == 8 * before
    others = opened(paths, after, size, **more)
    for it in others:
        it.load_state_dict(state)
        assert len(it) == -(-COUNT // (after * size))
    assert states(others) == state
    assert head + steps(others, boxed=boxed) == expected[0]
    assert states(others)["samples"] == COUNT
    ended = states(others)
    for it in others:
        it.reset()
    assert steps(others, boxed=boxed) == expected[1]
    for it in its:  # behind the last batch: nothing is left, and the next epoch is the next pass
        it.load_state_dict(ended)
    assert steps(its) == []
    for it in its:
        it.reset()
    assert steps(its, boxed=boxed) == expected[1]
    close([whole, *its, *others])


def test_what_is_borrowed_is_borrowed_by_all_parts(paths):
    """Passes of 43 records: 2 parts of 4 rows, then 3 of 5 in the second pass, then 1 of 4."""

    def rows(its, count=None):
        made, done = [[] for _ in range(5)], 0
        while count is None or done < count:
            batches = [next(it, None) for it in its]
            if batches[0] is None:
                break
            for behind in (0, 1):
                for it, batch in zip(its, batches, strict=True):
                    label = batch.label[0].asnumpy().astype(int).tolist()
                    own = len(label) - batch.pad
                    made[it.epoch + behind] += label[own:] if behind else label[:own]
            done += 1
        return made

    seen = [[] for _ in range(5)]

    def add(made):
        for pass_index, more in enumerate(made):
            seen[pass_index] += more

    kind = {"shuffle": "full", "last_batch": "borrow"}
    first = opened(paths, 2, **kind)
    add(rows(first))
    state = states(first)
    assert (state["start"], state["samples"]) == (0, 48)  # 43, and 5 of the next pass
    for it in first:
        it.reset()
    assert states(first)["start"] == 5
    add(rows(first, 2))
    second = opened(paths, 3, 5, **kind)
    for it in second:
        it.load_state_dict(states(first))
    add(rows(second))
    state = states(second)
    assert (state["start"], state["samples"]) == (5, 16 + 30)
    third = opened(paths, 1, **kind)
    third[0].load_state_dict(state)
    assert rows(third) == [[]] * 5
    third[0].reset()
    assert third[0].state_dict()["start"] == 8
    add(rows(third))
    (whole,) = opened(paths, 1, 1, **kind)
    for pass_index in range(3):
        assert seen[pass_index] == steps([whole])
        whole.reset()
    close([*first, *second, *third, whole])


def test_what_a_record_becomes_depends_on_no_part(paths):
    """Crops, mirrors and what seed_aug draws; not mixes, whose partners are of one batch."""
    asked = {"rand_crop": True, "rand_mirror": True, "shuffle": "full", "erase_prob": 0.5}
    for seeded in ({}, {"seed_aug": 3}):
        pictures = []
        for parts, size in ((1, 4), (3, 5)):
            its, found = opened(paths, parts, size, **asked, **seeded), {}
            for _ in range(2):
                for it in its:
                    for batch in it:
                        for row, label in enumerate(labels(batch)):
                            found[it.epoch, label] = batch.data[0].asnumpy()[row].tobytes()
                    it.reset()
            pictures.append(found)
            close(its)
        assert len(pictures[0]) == 2 * COUNT
        assert pictures[0] == pictures[1]
        same = sum(pictures[0][0, i] == pictures[0][1, i] for i in range(COUNT))
        assert same < COUNT / 2  # a pass has draws of its own


def test_parts_draw_mixes_of_their_own_and_repeat_them(paths):
    asked = {"num_classes": COUNT, "mixup_alpha": 0.5}
    its = opened(paths, 2, **asked)
    shares = [[batch.mix.share for batch in it] for it in its]
    assert not set(shares[0]) & set(shares[1])
    again = opened(paths, 2, **asked)
    for it in again:
        it.next()
        it.next()
    state = states(again)
    others = opened(paths, 2, **asked)
    for it, expected in zip(others, shares, strict=True):
        it.load_state_dict(state)
        assert [batch.mix.share for batch in it] == expected[2:]
    close([*its, *again, *others])


@pytest.mark.parametrize("on_error", ["skip", "zero", "replace"])
def test_bad_records_count_as_places_whatever_becomes_of_them(tmp_path, on_error):
    blobs = [making.flat(6 * i) if i % 6 else b"no image" for i in range(40)]
    paths = {"plain": making.write_rec(tmp_path, blobs)}
    asked = {"shuffle": "full", "on_error": on_error}
    (whole,) = opened(paths, 1, 1, **asked)
    expected = steps([whole])
    its = opened(paths, 3, **asked)
    head = steps(its, 2)
    state = states(its)
    assert state["samples"] == 24
    others = opened(paths, 2, 3, **asked)
    for it in others:
        it.load_state_dict(state)
    assert head + steps(others) == expected  # replacements, too, depend on pass and place alone
    assert len(expected) == (33 if on_error == "skip" else 40)
    close([whole, *its, *others])


def test_a_state_is_short_whatever_the_options(paths):
    many = {
        **{f"mean_{c}": 123.675 for c in "rgb"},
        **{f"std_{c}": 58.395 for c in "rgb"},
        "random_resized_crop": True,
        "min_random_area": 0.08,
        "min_aspect_ratio": 0.75,
        "max_aspect_ratio": 1.3333,
        "rand_mirror": True,
        "seed": 2**64 - 1,
        "brightness": 0.4,
    }
    (it,) = opened(paths, 1, **SHUFFLES["block"], **many)
    state = it.state_dict()
    source = state["source"]
    largest = {
        **state,
        **dict.fromkeys(("epoch", "start", "samples"), 10**11),
        "source": {**source, "records": 10**10, "bytes": 10**15, "last_batch": "discard"},
    }
    assert len(json.dumps(largest)) < 400
    it.close()


def test_options_of_pixels_that_differ_are_named_or_told_by_their_digests(paths, caplog):
    one, other, third, fourth = (
        opened(paths, 1, **more)[0]
        for more in (
            {},
            {"mean_r": 5.0},
            {"mean_r": 0.25, "mean_g": 4.5, "mean_b": 0.75, "std_r": 1.5, "std_g": 2.5, "std_b": 3},
            {"mean_r": 0.25, "mean_g": 4.5, "mean_b": 0.75, "std_r": 1.5, "std_g": 2.5, "std_b": 3},
        )
    )
    fourth.load_state_dict(third.state_dict())
    assert not caplog.records
    other.load_state_dict(one.state_dict())
    assert "mean_r saved 0.0, here 5.0" in caplog.text
    other.load_state_dict(third.state_dict())
    assert "saved {'digest': '" in caplog.text
    assert len(caplog.records) == 2
    close([one, other, third, fourth])


def test_a_state_of_mxnets_parts_names_what_would_fit(paths):
    mxnet = {"shard": "mxnet", "shuffle": True}
    its, others = opened(paths, 2, **mxnet), opened(paths, 3, **mxnet)
    state = its[0].state_dict()
    with pytest.raises(StateError, match=r"num_parts: saved 2, here 3\. .* shard='even' a state f"):
        others[0].load_state_dict(state)
    with pytest.raises(StateError, match=r"part_index: saved 0, here 1.*shard='even'"):
        its[1].load_state_dict(state)
    even = opened(paths, 2, shuffle=True)
    with pytest.raises(StateError, match="shard: saved 'mxnet', here 'even': give shard='mxnet'"):
        even[0].load_state_dict(state)
    with pytest.raises(StateError, match="shard: saved 'even', here 'mxnet': give shard='even'"):
        its[0].load_state_dict(even[0].state_dict())
    close([*its, *others, *even])


def test_a_state_of_the_first_version_is_loaded_as_what_it_was(paths):
    its = opened(paths, 2, shard="mxnet", shuffle=True)
    source = its[1].state_dict()["source"]
    written = {  # as every version before wrote it
        "version": 1,
        "epoch": 3,
        "start": 0,
        "samples": 8,
        "pixels": {"data_shape": [3, 8, 8]},
        "source": {
            "records": COUNT,
            "bytes": source["bytes"],
            "digest": source["digest"],
            "indexed": True,
            "batch_size": 4,
            "num_parts": 2,
            "part_index": 1,
            "shuffle": True,
            "seed": 0,
            "shuffle_chunk_size": 0,
            "shuffle_chunk_seed": 0,
            "last_batch": "pad",
        },
    }
    assert {**its[1].state_dict(), "epoch": 3, "samples": 8} == written
    its[1].load_state_dict(written)
    rest = steps(its[1:])
    for _ in range(3):
        its[0].reset()
    assert len(rest) == 21 - 8
    close(its)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"samples": COUNT + 1}, "samples: expected a whole number from 0 to 43"),
        ({"samples": -1}, "samples: expected"),
        ({"start": 1}, "start: expected a whole number from 0 to 0"),
        ({"version": 3}, "expected version 2, got 3"),
        ({"version": [2]}, "expected version 2"),
        ({"source": {"seed": 5}}, "seed: saved 5, here 0"),
    ],
)
def test_damaged_and_foreign_states_are_refused(paths, change, says):
    (it,) = opened(paths, 1, shuffle="full")
    it.next()
    state = it.state_dict()
    changed = {**state, **change}
    if "source" in change:
        changed["source"] = {**state["source"], **change["source"]}
    with pytest.raises(StateError, match=says):
        it.load_state_dict(changed)
    assert it.state_dict() == state
    it.close()


@pytest.mark.parametrize(
    ("here", "there", "named"),
    [
        ({"shuffle": "full"}, {"shuffle": "block"}, "shuffle: saved 'full', here 'block'"),
        ({"shuffle": "block"}, {**SHUFFLES["block"]}, r"blocks: saved \[4.0, 256.0\]"),
        ({"shuffle": True}, {"shuffle": True, "index": False}, "indexed: saved True, here False"),
        ({}, {"last_batch": "borrow"}, "last_batch: saved 'pad', here 'borrow'"),
        (
            {"index": False, "shuffle_chunk_size": 1},
            {"index": False, "shuffle_chunk_size": 1, "shuffle_chunk_seed": 2},
            r"chunks: saved \[1, 0\], here \[1, 2\]",
        ),
    ],
)
def test_a_state_of_another_order_is_refused(paths, here, there, named):
    one, other = opened(paths, 1, **here)[0], opened(paths, 1, **there)[0]
    with pytest.raises(StateError, match=named):
        other.load_state_dict(one.state_dict())
    close([one, other])


def test_a_pickled_iterator_goes_on_where_a_state_was_loaded(paths):
    its = opened(paths, 2, shuffle="full")
    head = steps(its, 1)
    state = states(its)
    others = opened(paths, 3, shuffle="full")
    for it in others:
        it.load_state_dict(state)
    head += steps(others, 1)
    copies = [pickle.loads(pickle.dumps(it)) for it in others]
    rest = steps(copies)
    assert sorted(head + rest) == list(range(COUNT))
    assert steps(others) == rest
    close([*its, *others, *copies])


def test_all_parts_begin_at_one_pass_whichever_makes_the_mean_image(paths, tmp_path):
    asked = {"mean_img": str(tmp_path / "mean.bin"), "shuffle": "full"}
    its = opened(paths, 2, **asked)
    assert [it.epoch for it in its] == [0, 0]
    close(its)
    made = (tmp_path / "mean.bin").read_bytes()
    (tmp_path / "mean.bin").unlink()
    (alone,) = opened(paths, 1, **asked)
    assert (tmp_path / "mean.bin").read_bytes() == made  # of all records, not of one part
    alone.close()


def test_dropped_records_are_counted_once_an_epoch(paths):
    its = opened(paths, 2, shard="mxnet", last_batch="discard")
    for it in its:
        for _ in range(3):
            for _ in range(len(it)):
                it.next()
            it.reset()
        assert list(it)
        assert next(it, None) is None
    assert [it.stats()["discarded"] for it in its] == [4 * 2, 4 * 1]
    close(its)


def test_a_part_comes_from_the_launcher(paths, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    rec, idx = paths["plain"]
    asked = {"path_imgrec": rec, "path_imgidx": idx, "data_shape": (3, 8, 8), "batch_size": 4}
    with io.ImageRecordIter(**asked, num_parts="auto", ctx="cpu", verbose=False) as it:
        assert (it.options.num_parts, it.options.part_index) == (3, 2)
        monkeypatch.setenv("RANK", "0")
        assert pickle.loads(pickle.dumps(it)).options.part_index == 2  # as it was made
    with pytest.raises(OptionError, match=r"part_index: 1 beside num_parts='auto', .* part 0 of 3"):
        io.ImageRecordIter(**asked, num_parts="auto", part_index=1)


def test_labels_of_every_part_are_one_shape(tmp_path):
    boxes = [[2, 5, *[i, 0.1, 0.1, 0.9, 0.9] * (1 + 4 * (i == 11))] for i in range(12)]
    paths = {"boxes": making.write_rec(tmp_path, [making.flat(9 * i) for i in range(12)], boxes)}
    its = opened(paths, 2, boxed=True)
    assert [it.label_pad_width for it in its] == [27, 27]
    assert np.shape(its[0].next().label[0]) == np.shape(its[1].next().label[0])
    close(its)


def test_mxnets_stream_of_boxes_depends_on_no_part(paths):
    """What a record draws there depends on those before it in the file, whoever reads them."""
    asked = {"boxed": True, "index": False, "aug_stream": "mxnet", "shuffle": True}
    asked |= {"rand_mirror_prob": 0.5, "rand_crop_prob": 0.5, "min_crop_scales": 0.5}
    found = []
    for parts, size in ((1, 4), (3, 5)):
        its = opened(paths, parts, size, **asked)
        found.append({})
        for it in its:
            for batch in it:
                own = len(batch.data[0]) - batch.pad
                for row in batch.label[0].asnumpy()[:own]:
                    found[-1][row[6]] = row.tobytes()
        close(its)
    assert len(found[0]) == COUNT
    assert found[0] == found[1]
