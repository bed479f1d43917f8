"""What the records of a file are, recognised from a few of them when it is opened.

Most files hold image records only. InsightFace's data sets have a record that states how many
images there are, and one record per person; neither kind has an image. SageMaker puts bare
images, or JSON, or protocol buffers, into the same framing.

Invariant: a file is read as plain unless everything that was looked at says otherwise.
"""

from __future__ import annotations

import logging

import attrs
import numpy as np
import numpy.typing as npt

from gpuio.errors import FormatError, OptionError
from gpuio.recordio.classes import count_classes, labels_of
from gpuio.recordio.index import RecordTable
from gpuio.recordio.insightface import FaceRows, find_faces, identity_ranges
from gpuio.recordio.parts import ManifestTable
from gpuio.recordio.sniff import Sniffed, sniff, spread
from gpuio.storage.files import open_stored, read_whole
from gpuio.storage.stored import StoredFile
from gpuio.storage.urls import beside

__all__ = ["Contents", "recognise"]

_log = logging.getLogger("gpuio")

_SAMPLED = 8  # records of a file that are looked at

_PROTOBUF = (
    "these are records of SageMaker's RecordIO-protobuf (application/x-recordio-protobuf), which "
    "has the same framing and no image records: expected a header of 24 bytes and an image in each "
    "record; pack the images with `gpuio im2rec`"
)
_MANIFEST = (
    "there are JSON records among the images: this is a SageMaker augmented manifest in RecordIO "
    "wrapping, one record per attribute. Expected one image per record: write each image with the "
    "label of its JSON record by gpuio.recordio.pack, or stream the image attribute alone"
)


@attrs.frozen(eq=False)
class Contents:
    """What a set of files holds.

    Attributes
    ----------
    table : RecordTable         the records that hold images; the same object if all do
    payload : str               "image_record", or "raw": the payload is the encoded image
    faces : tuple               for each file its FaceRows, or None if it is not an InsightFace file
    """

    table: RecordTable
    payload: str
    faces: tuple[FaceRows | None, ...]
    _counted: dict[int, int] = attrs.field(factory=dict, init=False, repr=False)  # by column

    @property
    def insightface(self) -> bool:
        """Whether all files that hold records are in InsightFace's layout."""
        if not any(self.faces):
            return False
        number = np.arange(len(self.faces) + 1, dtype=np.int32)
        held = np.diff(np.searchsorted(self.table.file, number)) > 0
        return all(faces for faces, some in zip(self.faces, held.tolist(), strict=True) if some)

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of bare images, int64[N]: keys of the index, else positions in the set."""
        return self.table.key if self.table.indexed else np.arange(len(self.table))

    def described(self) -> list[str]:
        """Return a line for each thing that is not plain, for the log."""
        lines = [
            f"{path}: InsightFace layout: {faces.images:,} images; the header and "
            f"{faces.identities:,} identity records are left out (record_layout='plain' keeps them)"
            + (f"; {faces.doubt}" if faces.doubt else "")
            for path, faces in zip(self.table.paths, self.faces, strict=True)
            if faces is not None
        ]
        if self.payload == "raw":
            lines.append(
                f"{self.table.named}: bare images without a header, labels from "
                "path_imglist or 0 (payload='image_record' refuses them)"
            )
        return lines

    def identities(self) -> dict[int, tuple[int, int]] | None:
        """Return each identity's keys.

        Returns
        -------
        dict of int to (first, stop), or None
            identity 0, 1, ..., in the order of the identity records, to the range of its images'
            keys, first <= key < stop; None if the files hold no identity records

        Raises
        ------
        OptionError             several files are InsightFace data sets: each has keys and
                                identities of its own
        FormatError             the ranges are unusable
        """
        found = [
            (path, faces)
            for path, faces in zip(self.table.paths, self.faces, strict=True)
            if faces is not None
        ]
        if len(found) > 1:
            raise OptionError(
                f"path_imgrec: {len(found)} of the files are InsightFace data sets, whose "
                "identities and keys each start from the beginning: open the one whose identities "
                "you want"
            )
        if not found or not found[0][1].identities:
            return None
        path, faces = found[0]
        with open_stored(path) as file:
            ranges = identity_ranges(file, faces)
        if not (faces.renumbered and self.table.indexed):
            return ranges
        # the index numbers the records by their places: image n of the layout has another key there
        layout = faces.key[faces.image]
        if not (layout[1:] > layout[:-1]).all():
            raise FormatError(
                "identities: the index numbers the records by their places, and the images of an "
                "identity do not stand together: read the file with its own index or without one",
                path=path,
            )
        keys = self.table.key[self.table.file == self.table.paths.index(path)]
        made = {}
        for number, bounds in ranges.items():
            low, high = np.searchsorted(layout, bounds).tolist()
            first = int(keys[min(low, len(keys) - 1)])
            made[number] = (first, int(keys[high - 1]) + 1 if high > low else first)
        return made

    def stated_classes(self) -> int | None:
        """Return how many classes the set states: in its `property` file, else by its identities.

        None if neither exists. Labels are not looked at.

        Raises
        ------
        OptionError             as `identities`
        """
        stated = _property(self._beside())
        if stated is not None:
            return stated
        if sum(faces is not None for faces in self.faces) > 1:
            self.identities()  # raises, and says why there is not a single number
        counts = [faces.identities for faces in self.faces if faces is not None]
        return counts[0] or None if counts else None

    def num_classes(
        self, column: int = 0, labels: npt.NDArray[np.float32] | None = None
    ) -> int | None:
        """Return how many classes the set has: what it states, never below the largest label + 1.

        None where the set states nothing. Else each label is read once, when this is first called,
        unless a manifest lists more records than can be looked at.
        Where the labels and the stated number differ, the log (logger "gpuio", WARNING) says so,
        once.

        Parameters
        ----------
        column : int            which of a record's labels is the class, from 0
        labels : float32[n], optional       labels that replace the records' own

        Raises
        ------
        OptionError             as `identities`
        StorageError            a file cannot be read
        """
        stated = self.stated_classes()
        if stated is None or not self.table.few:
            return stated
        if column not in self._counted:
            by = "property" if _property(self._beside()) is not None else "identities"
            if labels is None and self.payload == "image_record":
                labels = self._by_key(labels_of(self.table, column))
            if labels is None:
                labels = np.empty(0, np.float32)
            made, said = count_classes(stated, labels, by=by)
            if said:
                _log.warning("%s: %s", self.table.named, said)
            self._counted[column] = made
        return self._counted[column]

    def _beside(self) -> str:
        """Return where a `property` file would be."""
        return beside(self.table.paths[0], name="property")

    def _by_key(self, labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Order labels of one file's images by their keys."""
        key = self.table.key
        in_order = len(self.table.paths) > 1 or (key[1:] > key[:-1]).all()
        return labels if in_order else labels[np.argsort(key, kind="stable")]


def _property(path: str) -> int | None:
    """Return the number of classes of a `property` file ("classes,height,width")."""
    try:
        fields = read_whole(path).decode("ascii").strip().split(",")
    except (OSError, ValueError):
        return None
    whole = len(fields) == 3 and all(field.strip().isdigit() for field in fields)
    return int(fields[0]) if whole else None


def recognise(table: RecordTable, record_layout: str = "auto", payload: str = "auto") -> Contents:
    """Look at a few records of each file and say what they are.

    Parameters
    ----------
    table : RecordTable             every record of the files
    record_layout : {"auto", "plain", "insightface"}
        "auto" checks each file for InsightFace's layout; the others state the layout
    payload : {"auto", "image_record", "raw"}

    Raises
    ------
    FormatError         the records are not images that this package reads; or `record_layout` is
                        "insightface" and a file does not begin with its header record
    StorageError        a file cannot be read

    Notes
    -----
    The parts of a manifest are plain, and their payload was found out when it was made.
    """
    if isinstance(table, ManifestTable):
        return _of_manifest(table, record_layout, payload)
    bounds = np.searchsorted(table.file, np.arange(len(table.paths) + 1, dtype=np.int32))
    found: list[FaceRows | None] = []
    kinds: dict[int, str] = {}  # of the files that hold records
    for number, path in enumerate(table.paths):
        low, high = int(bounds[number]), int(bounds[number + 1])
        faces, kind = None, payload if payload != "auto" else "image_record"
        if low < high and not (record_layout == "plain" and payload != "auto"):
            with open_stored(path) as file:
                kind = payload if payload != "auto" else _payload(file, table, low, high)
                if kind == "raw" and record_layout == "insightface":
                    raise FormatError(
                        "record_layout='insightface': expected image records, found bare images",
                        path=path,
                    )
                if kind == "image_record" and record_layout != "plain":
                    faces = find_faces(
                        file,
                        table.offset[low:high],
                        table.length[low:high],
                        table.key[low:high],
                        asked=record_layout == "insightface",
                        complete=not any(
                            one.path == file.path and one.end < file.size for one in table.skipped
                        ),
                    )
        found.append(faces)
        if low < high:
            kinds[number] = kind
    if len(set(kinds.values())) > 1:
        odd = next(number for number, kind in kinds.items() if kind == "raw")
        raise FormatError(
            "this file holds bare images and others hold image records: expected one kind in a "
            "set; read them separately",
            path=table.paths[odd],
        )
    return Contents(_images(table, found, bounds), next(iter(kinds.values())), tuple(found))


def _of_manifest(table: ManifestTable, record_layout: str, payload: str) -> Contents:
    """Say what the parts of a manifest hold; none is opened."""
    if record_layout == "insightface":
        raise FormatError(
            "record_layout='insightface': the parts of a manifest are plain records; name the "
            "record files themselves",
            path=table.manifest.path,
        )
    kind = table.manifest.payload if payload == "auto" else payload
    return Contents(table, kind, (None,) * len(table.paths))


def _images(
    table: RecordTable, found: list[FaceRows | None], bounds: npt.NDArray[np.int64]
) -> RecordTable:
    """Return the table of the images alone; without an index InsightFace's have the layout's keys.

    `bounds` says where each file's rows begin, and where the last one's end.
    """
    if not any(found):
        return table
    if len(found) == 1:
        assert found[0] is not None
        made = table.take(found[0].image)
        if found[0].renumbered and not table.indexed:
            return made.with_keys(found[0].key[found[0].image])
        return made
    rows = [
        np.arange(low, high)[slice(None) if faces is None else faces.image]
        for faces, low, high in zip(found, bounds.tolist(), bounds[1:].tolist(), strict=False)
    ]
    made = table.take(np.concatenate(rows))
    if table.indexed or not any(faces is not None and faces.renumbered for faces in found):
        return made
    keys = made.key.copy()
    for number, faces in enumerate(found):
        if faces is not None and faces.renumbered:
            keys[made.file == number] = faces.key[faces.image]
    return made.with_keys(keys)


def _payload(file: StoredFile, table: RecordTable, low: int, high: int) -> str:
    """Return what the payloads of one file are, judged by records spread over it."""
    rows = np.unique(spread(low, high, _SAMPLED))
    seen: dict[str, list[int]] = {}
    for row in rows.tolist():
        at: Sniffed = sniff(file, int(table.offset[row]), int(table.length[row]))
        if at.kind == "image":
            return "image_record"
        seen.setdefault(at.kind, []).append(row)
    if "raw" in seen and "json" not in seen and len(seen["raw"]) > len(rows) // 2:
        return "raw"
    for kind, sentence in (("protobuf", _PROTOBUF), ("json", _MANIFEST)):
        if kind in seen and set(seen) <= {kind, "raw", "damaged"}:
            row = seen[kind][0]
            raise FormatError(
                sentence, path=file.path, key=int(table.key[row]), offset=int(table.offset[row])
            )
    return "image_record"
