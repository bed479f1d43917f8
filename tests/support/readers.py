"""Every reader of images but the record iterators; run as a program it lets them read bombs.

The program gives each reader each bomb, with little address space left, and prints what it raised
or said, and how much the process's memory grew, as JSON.
"""

import contextlib
import io
import json
import sys
from pathlib import Path


def readers(folder):
    """Return a dict of name to a function of an image's bytes."""
    import gpuio as mx
    from gpuio.tools import cli

    folder, recordio, image = Path(folder), mx.recordio, mx.image
    path, rec, idx = folder / "bomb.img", folder / "bomb.rec", folder / "bomb.idx"

    def written(blob, label=0.0):
        path.write_bytes(blob)
        (folder / "bomb.lst").write_text("0\t0\tbomb.img\n")
        with recordio.MXIndexedRecordIO(str(idx), str(rec), "w") as file:
            file.write_idx(0, recordio.pack(recordio.IRHeader(0, label, 0, 0), blob))
        return {"path_imgrec": str(rec), "path_imgidx": str(idx)}

    def iterate(make, blob, label=0.0, **options):
        with make(1, (3, 8, 8), **written(blob, label), **options) as it:
            it.next()

    def run(blob, *command):
        written(blob)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = cli.main([str(word) for word in command])
        raise RuntimeError(f"exit {code}: {said.getvalue()}")

    def list_of(blob):
        written(blob)
        rows = [[0, path.name]]
        with image.ImageIter(1, (3, 8, 8), imglist=rows, path_root=str(folder)) as it:
            it.next()

    def pass_file(blob):
        path.write_bytes(blob)
        return image.imread(str(path))

    box = [2, 5, 0, 0.1, 0.1, 0.9, 0.9]
    return {
        "imdecode": image.imdecode,
        "imread": pass_file,
        "unpack_img": lambda blob: recordio.unpack_img(
            recordio.pack(recordio.IRHeader(0, 0, 0, 0), blob)
        ),
        "ImageIter": lambda blob: iterate(image.ImageIter, blob),
        "ImageIter of a list": list_of,
        "ImageDetIter": lambda blob: iterate(image.ImageDetIter, blob, box),
        "show": lambda blob: run(blob, "show", rec, "--out", folder / "sheet.png"),
        "im2rec": lambda blob: run(blob, "im2rec", folder / "bomb", folder),
    }


def main(folder, out):
    from support.bombs import bombs, limit_address_space, resident
    from support.making import flat

    made = bombs()
    made["avif"] = b"\0\0\0\x1cftypavif" + bytes(100)
    made["radiance"] = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n" + bytes(100)
    said = {}
    for name, read in readers(folder).items():
        with contextlib.suppress(RuntimeError):
            read(flat(1))  # what it loads is not to be counted
        said[name] = {}
    before = resident()
    limit_address_space()
    for name, read in readers(folder).items():
        for bomb, blob in made.items():
            try:
                read(blob)
            except Exception as error:  # noqa: BLE001 -- the test looks at it
                said[name][bomb] = f"{type(error).__name__}: {error}"
    Path(out).write_text(json.dumps({"said": said, "grown": resident()[1] - before[1]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
