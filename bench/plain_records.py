"""Record files as a user without this package would read them: an index, a seek, one struct.

For peers whose Python need not have gpuio, so that reading is their own. Records in several parts
and several labels per record are not read.
"""

import os
import struct

MAGIC = 0xCED7230A
_HEAD = struct.Struct("<IIIfQQ")  # magic, length; flag, label, id, second id


class PlainRecords:
    """The records of a .rec file, by their place in its .idx file.

    Parameters
    ----------
    rec, idx : str      paths
    """

    def __init__(self, rec, idx):
        with open(idx) as lines:
            self.offsets = [int(line.split()[1]) for line in lines]
        self.file = os.open(rec, os.O_RDONLY)
        ends = [*self.offsets[1:], os.fstat(self.file).st_size]
        self.sizes = [end - start for start, end in zip(self.offsets, ends)]  # noqa: B905 -- any Python

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, number):
        """Return the encoded image and the label of a record."""
        data = os.pread(self.file, self.sizes[number], self.offsets[number])
        magic, length, flag, label, _, _ = _HEAD.unpack_from(data)
        if magic != MAGIC or length >> 29 or flag:
            raise ValueError("record {}: not one part with one label".format(number))  # noqa: UP032
        return data[_HEAD.size : 8 + length], label

    def close(self):
        """Close the file; may be called twice."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)
