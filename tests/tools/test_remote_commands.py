"""Every command and iterator on S3, by moto: what it does here it does there.

`CASES` has a line for each command of `gpuio`; a new command joins it, or says in `LOCAL` why not.
"""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

import gpuio as mx
from gpuio.errors import StorageError
from gpuio.recordio.checksum import write_checksums
from gpuio.recordio.manifest import read_manifest
from gpuio.storage import files
from gpuio.storage.connections import connect
from gpuio.tools.cli import COMMANDS, main
from support.making import jpeg, photo, write_rec
from support.remote import as_before

COUNT = 12
KEY, SECRET = "AKIAEXAMPLE", "wJalrXUtnFEMI"

# what of the command lines is a place: {here} is a folder, or a URL
CASES = {
    "cat": ["{here}/data.rec", "3", "--out", "{here}/out.jpg"],
    "checksum": ["{here}/data.rec", "--quiet"],
    "extract": ["{here}/data.rec", "{here}/images", "--progress", "none"],
    "im2rec": ["{here}/pack", "{images}", "--pass-through", "--progress", "none"],
    "im2rec --parts": ["{here}/pack", "{images}", "--parts", "3", "--num-thread", "2"],
    "im2rec --list": ["{here}/listed", "{images}", "--list"],
    "im2rec --detection": ["{here}/boxes", "{images}", "--detection", "--progress", "none"],
    "info": ["{here}/data.rec", "--labels"],
    "ls": ["{here}/data.rec"],
    "ls --idx": ["{here}/data.rec", "--idx", "{here}/data.idx"],
    "rec2idx": ["{here}/data.rec", "{here}/new.idx"],
    "rec2idx, keys kept": ["{here}/data.rec", "{here}/data.idx"],
    "filter": ["{here}/data.rec", "{here}/few.rec", "--labels", "0-5"],
    "manifest": ["{here}/parts", "--quiet"],
    "merge": ["{here}/data.rec", "{here}/data.rec", "--out", "{here}/merged.rec", "--quiet"],
    "repair": ["{here}/cut.rec", "{here}/sound.rec", "--quiet"],
    "shuffle": ["{here}/data.rec", "{here}/mixed.rec", "--quiet"],
    "split": ["{here}/data.rec", "{here}/half", "--parts", "2", "--quiet"],
    "show": ["{here}/data.rec", "--out", "{here}/sheet.png", "--count", "4"],
    "stats": ["{here}/data.rec", "--quiet"],
    "verify": ["{here}/data.rec", "{here}/cut.rec", "--decode", "--quiet"],
    "verify --checksum": ["{here}/data.rec", "--checksum", "{here}/sums.crc32", "--quiet"],
}
LOCAL = {
    "bench": "prints seconds, which differ; it reads by an iterator",
    "warmup": "reads no record file",
    "completion": "reads no record file",
    "convert": "its other formats lie on a disk",
    "demo": "packs photos of this machine, to be looked at",
    "doctor": "reads no record file",
    "options": "reads no record file",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder with what the commands read."""
    folder = tmp_path_factory.mktemp("here")
    blobs = [jpeg(photo(24, 24, i)) for i in range(COUNT)]
    rec = Path(write_rec(folder, blobs)[0])
    (folder / "cut.rec").write_bytes(rec.read_bytes()[:-100])
    images = folder.parent / "images"
    images.mkdir(exist_ok=True)
    for number, blob in enumerate(blobs):
        (images / f"{number}.jpg").write_bytes(blob)
    lines = [f"{number}\t{number}\t{number}.jpg\n" for number in range(COUNT)]
    (folder / "pack.lst").write_text("".join(lines))
    boxes = "2\t5\t0\t0.1\t0.1\t0.5\t0.5"
    lines = [f"{number}\t{boxes}\t{number}.jpg\n" for number in range(COUNT)]
    (folder / "boxes.lst").write_text("".join(lines))
    write_checksums(rec, folder / "sums.crc32")
    (folder / "parts").mkdir()
    for number in range(2):
        write_rec(folder / "parts", blobs[number * 6 : number * 6 + 6], name=f"part{number}")
    return folder


@pytest.fixture(scope="module")
def bucket(here):
    """Return moto's S3 with the same objects: (client, URL)."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id=KEY, aws_secret_access_key=SECRET,
    )  # fmt: skip
    client.create_bucket(Bucket="box")
    for path in here.rglob("*.*"):
        name = path.relative_to(here.parent).as_posix().partition("/")[2]
        client.put_object(Bucket="box", Key=f"here/{name}", Body=path.read_bytes())
    for path in (here.parent / "images").iterdir():
        client.put_object(Bucket="box", Key=f"images/{path.name}", Body=path.read_bytes())
    with as_before():
        connect(
            "s3://box", endpoint=endpoint, region="us-east-1", access_key_id=KEY,
            secret_access_key=SECRET,
        )  # fmt: skip
        yield client, "s3://box/here"
    server.stop()


def run(name, place, images):
    """Run a command; return its exit code and what it printed."""
    arguments = [one.format(here=place, images=images) for one in CASES[name]]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([name.split()[0].rstrip(","), *arguments])
    return code, *(one.getvalue().replace(str(place), "HERE") for one in (out, err))


def held(client):
    """Return the checksum of every object below the folder, by name."""
    found = client.list_objects_v2(Bucket="box", Prefix="here/")["Contents"]
    return {one["Key"].removeprefix("here/"): one["ETag"].strip('"') for one in found}


def checksum(path):
    """Return a file's checksum, as S3 names what came in one piece."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_every_command_has_a_case_or_a_reason():
    named = {name.split()[0].rstrip(",") for name in CASES}
    assert named | set(LOCAL) == set(COMMANDS)
    assert not named & set(LOCAL)


@pytest.mark.parametrize("name", CASES)
def test_a_command_does_there_what_it_does_here(here, bucket, name):
    client, url = bucket
    images = here.parent / "images"
    local, remote = run(name, here, images), run(name, url, images)
    assert remote == local
    assert local[0] == (1 if name in ("repair", "verify") else 0), local
    there = held(client)
    for path in here.rglob("*"):
        if path.is_file() and path.suffix != ".json":  # a report names its files
            assert there.pop(path.relative_to(here).as_posix()) == checksum(path), path
    assert [name for name in there if not name.endswith(".json")] == []


def test_what_is_there_already_is_not_overwritten(here, bucket):
    client, url = bucket
    for command in (
        ["rec2idx", f"{url}/data.rec", f"{url}/pack.lst"],
        ["rec2idx", f"{url}/data.rec", f"{url}/data.rec"],
        ["cat", f"{url}/data.rec", "3", "--out", f"{url}/data.idx"],
        ["checksum", f"{url}/data.rec", "--out", f"{url}/data.idx"],
        ["repair", f"{url}/cut.rec", f"{url}/cut.rec"],
        ["rec2idx", f"{url}/data.rec", f"{url}/b.idx", "--binary"],
        ["im2rec", f"{url}/pack", str(here), "--resume"],
        ["im2rec", f"{url}/pack", url],
    ):
        before = held(client)
        with contextlib.redirect_stderr(io.StringIO()) as err:
            assert main(command) in (2, 3), command
        assert err.getvalue(), command
        assert held(client) == before, command


def test_a_record_file_there_is_converted_to_files_here(here, bucket, tmp_path):
    for number, place in enumerate((here, bucket[1])):
        with contextlib.redirect_stderr(io.StringIO()):
            assert main(["convert", f"{place}/data.rec", str(tmp_path / f"{number}.tar")]) == 0
    made = [(tmp_path / f"{number}-000000.tar").read_bytes() for number in range(2)]
    assert made[0] == made[1]


def test_iterators_read_s3(here, bucket):
    _, url = bucket
    options = {"data_shape": (3, 24, 24), "batch_size": 5, "verbose": False, "ctx": "cpu"}
    for given in ({}, {"path_imgidx": "data.idx", "shuffle": True}, {"path_imglist": "pack.lst"}):
        each = []
        for place in (here, url):
            paths = {n: f"{place}/{v}" if n.startswith("path") else v for n, v in given.items()}
            with mx.io.ImageRecordIter(path_imgrec=f"{place}/data.rec", **paths, **options) as it:
                each.append([(b.data[0].asnumpy(), b.label[0].asnumpy()) for b in it])
        for one, other in zip(*each, strict=True):
            for array, expected in zip(one, other, strict=True):
                np.testing.assert_array_equal(array, expected)
    lists = [f"{place}/pack.lst" for place in (here, url)]
    roots = [str(here.parent / "images"), "s3://box/images"]
    local, remote = (
        mx.image.ImageIter(4, (3, 24, 24), path_imglist=one, path_root=root)
        for one, root in zip(lists, roots, strict=True)
    )
    for one, other in zip(local, remote, strict=True):
        np.testing.assert_array_equal(one.data[0].asnumpy(), other.data[0].asnumpy())


def test_a_manifest_there_has_etags_which_are_compared(here, bucket):
    client, url = bucket
    assert run("manifest", url, "")[0] == 0
    body = client.get_object(Bucket="box", Key="here/parts/manifest.json")["Body"].read()
    tags = {name: tag.strip('"') for name, *_, tag in json.loads(body)["parts"]}
    there = held(client)
    assert tags == {f"part{n}.rec": there[f"parts/part{n}.rec"] for n in range(2)}
    made = read_manifest(f"{url}/parts/manifest.json")
    assert (made.root, made.path) == (f"{url}/parts", f"{url}/parts/manifest.json")
    options = {"data_shape": (3, 24, 24), "verbose": False, "ctx": "cpu", "path_imgrec": made.path}
    with mx.io.ImageRecordIter(batch_size=12, **options) as it:
        assert it.next().label[0].tolist() == [*range(6), *range(6)]
    key = "here/parts/part1.rec"
    before = client.get_object(Bucket="box", Key=key)["Body"].read()
    client.put_object(Bucket="box", Key=key, Body=before[:-1] + bytes([before[-1] ^ 1]))
    said = r"etag .* then, etag .* now"
    with (
        mx.io.ImageRecordIter(batch_size=12, **options) as it,
        pytest.raises(StorageError, match=said) as raised,
    ):
        it.next()
    assert tags["part1.rec"] in str(raised.value)
    assert held(client)["parts/part1.rec"] in str(raised.value)
    client.put_object(Bucket="box", Key=key, Body=before)


def test_if_match_is_honoured(bucket):
    client, url = bucket
    client.put_object(Bucket="box", Key="here/changes", Body=b"a" * 200_000)
    with files.open_stored(f"{url}/changes") as file:
        assert file.read(0, 3) == b"aaa"
        client.put_object(Bucket="box", Key="here/changes", Body=b"b" * 200_000)
        with pytest.raises(StorageError, match="changed while it was open"):
            file.read(150_000, 3)
    files.remove(f"{url}/changes")
    assert not files.exists(f"{url}/changes")


def test_records_written_there_are_those_written_here(bucket, tmp_path):
    client, url = bucket
    payloads = [np.random.default_rng(n).bytes(3000 + n) for n in range(20)]
    for place in (tmp_path, url):
        with mx.recordio.MXIndexedRecordIO(f"{place}/w.idx", f"{place}/w.rec", "w") as made:
            for key, payload in enumerate(payloads):
                made.write_idx(key, payload)
            assert "w.rec" not in held(client)
        with mx.recordio.MXRecordIO(f"{place}/one.rec", "w") as made:
            made.write(payloads[0])
    there = held(client)
    for name in ("w.idx", "w.rec", "one.rec"):
        assert there[name] == checksum(tmp_path / name)
        files.remove(f"{url}/{name}")


def test_a_writer_that_fails_leaves_nothing_and_what_was_there(bucket):
    client, url = bucket
    before = held(client)

    def fails():
        with mx.recordio.MXIndexedRecordIO(f"{url}/data.idx", f"{url}/data.rec", "w") as made:
            made.write_idx(0, b"x" * 100)
            raise KeyError("the caller's")

    with pytest.raises(KeyError):
        fails()
    assert held(client) == before
    uploads = client.list_multipart_uploads(Bucket="box").get("Uploads", [])
    assert uploads == []


def test_a_large_record_file_goes_in_parts_and_bounded_memory(bucket, tmp_path):
    client, url = bucket
    payload = np.random.default_rng(0).bytes(1 << 20)
    for place in (tmp_path, url):
        with mx.recordio.MXRecordIO(f"{place}/large.rec", "w") as made:
            for _ in range(20):
                made.write(payload)
    body = client.get_object(Bucket="box", Key="here/large.rec")
    assert body["ETag"].endswith('-3"')
    assert body["Body"].read() == (tmp_path / "large.rec").read_bytes()
    files.remove(f"{url}/large.rec")


def test_a_forked_child_writes_nothing(bucket):
    client, url = bucket
    made = mx.recordio.MXRecordIO(f"{url}/forked.rec", "w")
    made.write(b"parent")
    pid = os.fork()
    if not pid:
        code = 1
        try:
            made.close()
            del made
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "forked.rec" not in held(client)
    made.close()
    assert mx.recordio.MXRecordIO(f"{url}/forked.rec", "r").read() == b"parent"
    files.remove(f"{url}/forked.rec")
