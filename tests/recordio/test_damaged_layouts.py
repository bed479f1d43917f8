"""Whatever bytes stand in a file and its index, opening gives records or an error of ours."""

import warnings

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpuio.errors import GpuioError
from gpuio.recordio.layouts import recognise
from gpuio.recordio.reindex import reindexed
from support.faceset import face_payloads, write_payloads
from support.making import flat

CHANGES = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.sampled_from([0, 1, 2, 9, 10, 48, 57, 127, 128, 255])),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["faces", "bare"]), CHANGES, CHANGES, st.booleans(), st.booleans())
@example("faces", [(5, 9)], [(20912, 9)], False, True)  # no whole record, and an index
def test_changed_bytes(tmp_path_factory, kind, in_rec, in_idx, head, index):
    folder = tmp_path_factory.getbasetemp()
    payloads = face_payloads((2, 3)) if kind == "faces" else [flat(i) for i in range(4)]
    rec, idx = write_payloads(folder, payloads, "changed")
    for path, changes in ((rec, in_rec), (idx, in_idx)):
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            for at, value in changes:
                data[at % (40 if head and path == rec else len(data))] = value
            file.seek(0)
            file.write(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = recognise(reindexed([rec], [idx] if index else []))
            assert len(made.table) <= len(payloads)
            assert (made.num_classes() or 0) >= 0
            made.identities()
        except GpuioError:
            pass
