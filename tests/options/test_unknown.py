"""Unknown keywords of every iterator are refused, with what was probably meant."""

import pytest

import gpuio as mx
from gpuio.errors import OptionError
from gpuio.options.unknown import parameters, suggestion


@pytest.mark.parametrize(
    ("iterator", "options", "meant"),
    [
        ("io.ImageRecordIter", {"num_workers": 4}, "preprocess_threads"),
        ("io.ImageRecordIter", {"drop_last": True}, "last_batch='discard'"),
        ("io.ImageRecordIter", {"and_mirror": True}, "rand_mirror"),
        ("io.ImageRecordIter", {"rand_corp": True}, "rand_crop"),
        ("io.ImageRecordUInt8Iter", {"world_size": 2}, "num_parts"),
        ("io.ImageDetRecordIter", {"device": "cuda"}, "ctx"),
        ("io.NDArrayIter", {"data": [1], "drop_last": True}, "last_batch_handle='discard'"),
        ("io.NDArrayIter", {"data": [1], "bs": 2}, "batch_size"),
        ("io.CSVIter", {"drop_last": True}, "round_batch"),
        ("io.LibSVMIter", {"rank": 1}, "part_index"),
        ("io.MNISTIter", {"workers": 1}, "prefetch_buffer"),
        ("io.ResizeIter", {"data_iter": None, "sise": 1}, "size"),
        ("io.PrefetchingIter", {"iters": [], "num_workers": 1}, "depth"),
        ("image.ImageIter", {"num_workers": 1}, "preprocess_threads"),
        ("image.ImageIter", {"random_crop": True}, "rand_crop"),
        ("image.ImageIter", {"aug_list": [], "transform": None}, "aug_list"),
        ("image.ImageDetIter", {"drop_last": 1}, "last_batch_handle='discard'"),
        ("image.ImageDetIter", {"prefetch_factor": 1}, "prefetch_buffer"),
    ],
)
def test_every_iterator_says_what_was_meant(iterator, options, meant):
    module, name = iterator.split(".")
    given = {"batch_size": 1, "data_shape": (3, 8, 8)} if module == "image" else {}
    unknown = list(options)[-1]
    with pytest.raises(OptionError, match=rf"^{unknown}: no such option; ") as raised:
        getattr(getattr(mx, module), name)(**given, **options)
    assert raised.value.message.endswith(f"did you mean {meant}?")


def test_a_word_that_resembles_nothing_is_refused_without_a_guess():
    for error in (OptionError, TypeError):  # what Python raises for such a keyword
        with pytest.raises(error, match=r"^zzz: no such option$"):
            mx.io.NDArrayIter([1], zzz=1)


@pytest.mark.parametrize(
    "open_iterator",
    [
        lambda ctx: mx.io.ImageRecordIter(
            path_imgrec="x", data_shape=(3, 8, 8), batch_size=1, ctx=ctx
        ),
        lambda ctx: mx.io.NDArrayIter([1], ctx=ctx),
        mx.Context,
    ],
)
@pytest.mark.parametrize("ctx", ["cuda", "cuda:0"])
def test_pytorchs_device_is_the_gpu(open_iterator, ctx):
    with pytest.raises(OptionError, match=rf"got '{ctx}'|'{ctx}': expected") as raised:
        open_iterator(ctx)
    assert "did you mean 'gpu'?" in str(raised.value)


def test_an_iterator_of_a_users_own_takes_what_its_constructor_names():
    class Own(mx.io.DataIter):
        def __init__(self, length, batch_size=1):
            super().__init__(batch_size)
            self.length = length

    class Any(Own):
        def __init__(self, **options):
            super().__init__(3)
            self.options = options

    assert Own(length=3).length == 3
    assert Any(num_workers=2).options == {"num_workers": 2}
    with pytest.raises(OptionError, match="did you mean length"):
        Own(lenght=3)


def test_what_a_function_takes():
    assert parameters(lambda self, a, *b, c=1: 0) == {"a", "c"}
    assert parameters(lambda **anything: 0) is None
    assert suggestion("Num_Workers", ["preprocess_threads"]) == "preprocess_threads"
    assert suggestion("zzz", ["abc"]) == ""
