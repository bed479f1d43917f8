"""Contact sheets, pages, and batches as options make them: boxes, names, groups, bad records."""

import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

import gpuio as mx
from gpuio.tools import cli, tiles
from gpuio.tools.census import objects_of
from gpuio.tools.entries import open_file
from gpuio.tools.picking import group_rows, some_rows
from support import boxes
from support.faceset import write_faces
from support.making import flat, jpeg, photo, png, write_rec

GRAY = np.full((64, 96, 3), 128, np.uint8)


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def detection(tmp_path):
    labels = [
        boxes.label([(1, 0.25, 0.25, 0.75, 0.75), (0, 0.0, 0.0, 0.2, 0.2)]),
        boxes.label([]),
        boxes.label([(2, 0.1, 0.1, 0.9, 0.9)]),
        boxes.label([(1, 0.5, 0.5, 0.6, 0.6)]),
    ]
    blobs = [png(GRAY), png(GRAY), b"no image", png(GRAY)]
    rec, _ = write_rec(tmp_path, blobs, labels)
    (tmp_path / "data.classes.json").write_text('{"cat": 0, "dog <b>": 1}')
    return rec


def is_colour(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 30


def test_boxes_are_drawn_where_they_are_with_their_names(detection, monkeypatch):
    said = []
    real = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *given: said.append(given[1]) or real(*given))
    records = open_file(detection, None, "auto")
    names = {0: "cat", 1: "dog <b>"}
    made = list(tiles.tiles_of(records, np.arange(4), 96, names, boxes=True))
    assert [one.label for one in made] == ["2 boxes", "0 boxes", "", "1 box"]
    first = made[0].image
    assert first.shape == (64, 96, 3)
    for y, x in ((32, 24), (47, 48), (32, 71)):  # left, bottom and right edge
        assert is_colour(first[y, x], tiles.COLOURS[1]), (y, x)
    assert first[32, 48].tolist() == [128, 128, 128]
    assert (made[1].image == 128).all()
    assert said == ["1 dog <b>", "0 cat", "1 dog <b>"]
    assert made[2].bad.startswith("no image signature")
    assert made[2].title == "2 unusable"
    assert is_colour(made[2].image[0, 50], (200, 40, 40))


def test_objects_of_labels_that_are_no_boxes_are_none():
    for label in ([], [2.0], [9.0, 5.0], [2.0, 3.0, 1.0], [1.0, 1.0]):
        assert len(objects_of(np.array(label, np.float32))) == 0
    assert objects_of(boxes.label([(1, 0, 0, 1, 1)] * 3)).shape == (3, 5)


def test_show_says_what_it_wrote_and_marks_bad_records(detection, tmp_path, capsys):
    out, page = tmp_path / "sheet.png", tmp_path / "page.html"
    code, _, err = run(capsys, "show", detection, "--out", out, "--html", page)
    assert code == 1
    assert f"{out}: 4 of 4 records, 1 unusable" in err
    assert f"{page}: 4 of 4 records, 1 unusable" in err
    assert "gpuio show: key 2: no image signature" in err
    assert cv2.imread(str(out)).shape == (2 * (256 + 20) + 4, 2 * 260 + 4, 3)
    code, said, _ = run(capsys, "show", detection, "--out", out, "--json")
    assert json.loads(said) == {"out": str(out), "html": None, "shown": 4, "unusable": 1}


def test_without_a_target_nothing_is_done(detection, capsys):
    code, _, err = run(capsys, "show", detection)
    assert (code, "expected --out PICTURE or --html PAGE" in err) == (2, True)


class _Page(HTMLParser):
    """Tags that are opened and not closed, and what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_holds_everything_and_loads_nothing(detection, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert run(capsys, "show", detection, "--html", page)[0] == 1
    text = page.read_text()
    read = _Page(text)
    assert read.open == []
    assert len(read.loads) == 4
    assert all(one.startswith("data:image/jpeg;base64,") for one in read.loads)
    assert "<b>" not in text
    for part in (
        "1 dog <b>", "Boxes of each class", "Width", "Format", "Unusable records", "2 unusable",
        "3 boxes; 1 images have none", "Contact sheet", "png",
    ):  # fmt: skip
        assert part in read.texts, part
    assert "http" not in text
    assert run(capsys, "show", detection, "--html", page)[0] == 1  # an older page is replaced
    (tmp_path / "notes.html").write_text("my notes")
    code, _, err = run(capsys, "show", detection, "--html", tmp_path / "notes.html")
    assert (code, "file of another kind" in err) == (3, True)


def test_the_page_has_jpeg_statistics(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [jpeg(photo(40 + i, 60, i)) for i in range(20)])
    assert run(capsys, "show", rec, "--html", tmp_path / "p.html")[0] == 0
    texts = _Page((tmp_path / "p.html").read_text()).texts
    for part in ("JPEG: quality, by libjpeg's scale", "4:2:0", "baseline", "Labels"):
        assert part in texts
    assert "40 to 41" in texts  # heights in bins


def test_random_records_are_the_same_for_a_seed():
    drawn = [some_rows(5, 100, 10, seed).tolist() for seed in (3, 3, 4, None)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[3] == [10, 11, 12, 13, 14]
    assert drawn[0] == sorted(set(drawn[0]))
    assert min(drawn[0]) >= 10
    assert some_rows(5, 3, 0, 1).tolist() == [0, 1, 2]


def test_labels_are_grouped(tmp_path, capsys, monkeypatch):
    labels = [float(i // 10) for i in range(60)]
    rec, _ = write_rec(tmp_path, [flat(i) for i in range(60)], labels)
    records = open_file(rec, None, "auto")
    found = [[labels[row] for row in rows] for rows in group_rows(records, 12, 4, None)]
    assert found == [[0.0] * 4, [2.0] * 4, [5.0] * 4]
    drawn = [group_rows(records, 12, 4, seed) for seed in (1, 1, 2)]
    assert [one.tolist() for one in drawn[0]] == [one.tolist() for one in drawn[1]]
    monkeypatch.setattr("gpuio.tools.picking._ALL", 10)
    monkeypatch.setattr("gpuio.tools.picking._AROUND", 30)
    found = group_rows(records, 12, 4, None)  # of a large file, near each other
    assert [len(rows) for rows in found] == [4] * len(found)
    assert [len({labels[row] for row in rows}) for rows in found] == [1] * len(found)
    assert len({labels[rows[0]] for rows in found}) == len(found) >= 2
    monkeypatch.undo()
    out = tmp_path / "sheet.png"
    assert (
        run(capsys, "show", rec, "--out", out, "--each-label", 3, "--count", 9, "--edge", 32)[0]
        == 0
    )
    assert cv2.imread(str(out)).shape == (3 * (32 + 20 + 4), 3 * 36 + 4, 3)


def test_a_page_lists_labels_that_are_as_common_in_their_order(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [flat(k) for k in range(6)], [30.0, 9.0, 200.0, 9.0, 4.0, 9.0])
    page = tmp_path / "page.html"
    assert run(capsys, "show", rec, "--html", page)[0] == 0
    labels = page.read_text().partition("different first labels")[2].partition("</section>")[0]
    assert re.findall(r">(\d+)<", labels)[::2] == ["9", "4", "30", "200"]


def test_insightfaces_identities_are_rows(tmp_path, capsys):
    rec, _ = write_faces(tmp_path)  # identities of 4, 5 and 3 images
    out = tmp_path / "sheet.png"
    assert run(capsys, "show", rec, "--out", out, "--edge", 32)[0] == 0
    assert cv2.imread(str(out)).shape == (3 * (32 + 20 + 4), 5 * 36 + 4, 3)
    assert run(capsys, "show", rec, "--out", out, "--edge", 32, "--first", 1)[0] == 0
    assert cv2.imread(str(out)).shape == (3 * (32 + 20) + 4, 4 * 36 + 4, 3)


OPTIONS = ["resize=40", "rand_crop=1", "rand_mirror=1", "data_shape=3,32,32", "brightness=0.5",
           "erase_prob=1", "mean_r=120", "random_h=30", "pad=3", "max_rotate_angle=30"]  # fmt: skip


def test_a_batch_is_shown_as_the_options_make_it_and_an_image_step_by_step(tmp_path, capsys):
    rec, _ = write_rec(tmp_path, [jpeg(photo(60, 80, i)) for i in range(6)])
    out, page = tmp_path / "b.png", tmp_path / "b.html"
    words = ("show", rec, "--out", out, "--html", page, "--augment", *OPTIONS)
    code, said, err = run(capsys, *words)
    assert code == 0, err
    steps = [line.split()[0] for line in said.splitlines()]
    assert steps[:5] == ["decoded", "resize", "warp", "pad", "crop"]
    assert {"jitter", "hls", "erase"} <= set(steps)
    assert re.search(r"^pad \d+x46: pad 3, fill 255$", said, re.MULTILINE)
    assert cv2.imread(str(out)) is not None
    read = _Page(page.read_text())
    assert len(read.loads) == 6 + len(steps)
    code, said, _ = run(capsys, *words, "--json")
    told = json.loads(said)["steps"]
    assert told[4]["size"] == [32, 32]
    assert told[1]["resize_h"] == 40


def test_the_last_step_is_the_batchs_image(tmp_path):
    from gpuio.tools.augmented import first_batch

    rec, idx = write_rec(tmp_path, [jpeg(photo(60, 80, i)) for i in range(3)])
    records = open_file(rec, idx, "auto")
    shown, steps = first_batch(records, idx, OPTIONS, 3, {2: "owl"}, boxes=False)
    assert (shown[0].image == steps[-1].image).all()
    assert [one.label for one in shown] == ["0", "1", "2 owl"]
    given = {"resize": 40, "rand_crop": 1, "rand_mirror": 1, "brightness": 0.5, "erase_prob": 1}
    given |= {"random_h": 30, "pad": 3, "max_rotate_angle": 30, "dtype": "uint8"}
    with mx.io.ImageRecordIter(
        path_imgrec=rec, path_imgidx=idx, data_shape=(3, 32, 32), batch_size=3, ctx="cpu", **given
    ) as it:
        batch = it.next().data[0].asnumpy()
    assert (batch.transpose(0, 2, 3, 1) == [one.image for one in shown]).all()


def test_a_detection_batch_has_its_boxes(detection, tmp_path, capsys):
    out = tmp_path / "b.png"
    words = ("--augment", "rand_mirror_prob=1", "data_shape=3,48,48")
    code, said, err = run(capsys, "show", detection, "--out", out, *words)
    assert code == 0, err
    assert [line.split()[0] for line in said.splitlines()] == ["decoded", "flip", "crop"]
    for words, says in (
        (["rand_mirror"], "expected NAME=VALUE"), (["shuffle=1"], "leave it out"),
        (["rand_miror=1"], "did you mean"),
    ):  # fmt: skip
        code, _, err = run(capsys, "show", detection, "--out", out, "--augment", *words)
        assert (code, says in err) == (2, True)


def test_titles_are_cut_where_their_cell_ends(tmp_path):
    from gpuio.tools.contact import contact_sheet

    sheet = contact_sheet([np.zeros((10, 40, 3), np.uint8)] * 2, ["a" * 40, "b"], columns=2)
    ink = (sheet[:16] < 128).all(2)
    assert not ink[:, 44:48].any()  # the space between two cells
    assert ink[:, :44].any()
