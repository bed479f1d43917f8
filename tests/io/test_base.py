"""DataDesc, DataBatch and DataIter are MXNet's, and states are checked."""

import pickle

import numpy as np
import pytest

from gpuio.io import DataBatch, DataDesc, DataIter, NDArrayIter
from gpuio.nd import array


def test_a_description_is_a_tuple_of_two():
    one = DataDesc("data", (2, 3), np.uint8, "NHWC")
    name, shape = one
    assert (name, shape) == one == ("data", (2, 3))
    assert len(one) == 2
    assert one == DataDesc("data", (2, 3), np.float32, "NCHW")
    assert hash(one) == hash(("data", (2, 3)))


def test_a_description_prints_as_mxnets():
    assert repr(DataDesc("data", (2, 3))) == "DataDesc[data,(2, 3),<class 'numpy.float32'>,NCHW]"


def test_a_pickled_description_keeps_dtype_and_layout():
    one = pickle.loads(pickle.dumps(DataDesc("data", (2, 3), np.uint8, "NHWC")))
    assert (one, one.dtype, one.layout) == (("data", (2, 3)), np.uint8, "NHWC")


def test_the_batch_axis_of_a_layout():
    assert [DataDesc.get_batch_axis(one) for one in (None, "NCHW", "TNC", "CHW")] == [0, 0, 1, -1]


def test_descriptions_from_lists():
    assert DataDesc.get_list([("a", (1,))]) == [("a", (1,))]
    (one,) = DataDesc.get_list([("a", (1,))], [("a", np.int32)])
    assert one.dtype is np.int32


def test_a_batch_wants_lists_and_prints_shapes():
    for wrong in ({"data": np.zeros(2)}, {"data": [], "label": np.zeros(2)}):
        with pytest.raises(AssertionError, match="must be list of NDArrays"):
            DataBatch(**wrong)
    batch = DataBatch([np.zeros((2, 3))])
    assert str(batch) == "DataBatch: data shapes: [(2, 3)] label shapes: None"
    assert str(DataBatch([np.zeros(2)], [np.zeros(1)])).endswith("label shapes: [(1,)]")
    with pytest.raises(TypeError):
        str(DataBatch(None))


def test_the_base_iterator_ends_at_once_and_does_nothing():
    it = DataIter()
    assert it.batch_size == 0
    assert list(it) == []
    assert [it.reset(), it.getdata(), it.getlabel(), it.getpad(), it.getindex()] == [None] * 5
    with it as same:
        assert same is it


def test_the_base_iterator_says_that_it_saves_no_state():
    with pytest.raises(NotImplementedError, match="DataIter does not save"):
        DataIter().state_dict()
    with pytest.raises(NotImplementedError, match="DataIter does not load"):
        DataIter().load_state_dict({})


class Numbers(DataIter):
    """Two batches per epoch; `empty` epochs have none."""

    def __init__(self, empty=()):
        super().__init__(1)
        self.empty, self.epoch = empty, -1
        self.reset()

    def reset(self):
        self.epoch += 1
        self.left = 0 if self.epoch in self.empty else 2

    def next(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return DataBatch([array([self.left])], [])


@pytest.mark.parametrize("make", [Numbers, lambda: NDArrayIter(np.zeros((4, 1)), batch_size=2)])
def test_a_loop_over_a_finished_iterator_is_said_once(caplog, make):
    it = make()
    assert len(list(it)) == 2
    assert [next(it, None), next(it, None)] == [None, None]
    assert caplog.records == []
    assert list(it) == list(it) == []
    (said,) = caplog.records
    assert (said.name, said.levelname) == ("gpuio", "WARNING")
    assert "this loop gets no batch, because the epoch has ended: call reset()" in said.message


def test_loops_as_they_should_be_are_not_remarked(caplog):
    it = Numbers(empty=(0,))
    assert list(it) == []  # nothing came before: it is as long as that
    for _ in range(2):
        it.reset()
        for _ in it:
            break
        assert len(list(it)) == 1  # the rest of the epoch
    it.reset()
    while True:  # MXNet's own loop
        try:
            it.next()
        except StopIteration:
            break
    assert caplog.records == []
