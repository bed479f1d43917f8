"""Write golden.rec and golden.idx with real MXNet: run with MXNet 1.9.1's Python in this folder.

The payloads are those of `tests/support/payloads.py`, which needs neither package.
"""

import sys
from pathlib import Path

import mxnet as mx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from support.payloads import PAYLOADS, RECORDS

writer = mx.recordio.MXIndexedRecordIO("golden.idx", "golden.rec", "w")
for key, payload in enumerate(PAYLOADS):
    writer.write_idx(10 * key, payload)
for key, (label, identity, id2, blob) in enumerate(RECORDS):
    header = mx.recordio.IRHeader(0, label, identity, id2)
    writer.write_idx(1000 + key, mx.recordio.pack(header, blob))
writer.close()
