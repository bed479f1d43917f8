"""Record files behind a server of this machine, read as s3:// and as http://."""

import contextlib
from pathlib import Path

from gpuio.storage import connections
from gpuio.storage.connections import configure, connect
from support.object_server import ObjectServer

BUCKET = "s3://bkt"


@contextlib.contextmanager
def as_before():
    """Give the process back how it reaches remote files."""
    said, limits = list(connections._connections), list(connections._limits)
    try:
        yield
    finally:
        connections._connections[:], connections._limits[:] = said, limits


@contextlib.contextmanager
def served(files=(), **limits):
    """Serve files of this machine as s3://bkt/NAME; ``server.url`` is the same over HTTP."""
    objects = {f"bkt/{Path(path).name}": Path(path).read_bytes() for path in files}
    with as_before(), ObjectServer(objects) as server:
        configure(**limits)
        connect(BUCKET, endpoint=server.url, skip_signature=True, region="us-east-1")
        yield server


def url(server, path, scheme="s3"):
    """Return the URL of a file that is served."""
    return f"{BUCKET if scheme == 's3' else f'{server.url}/bkt'}/{Path(path).name}"


__all__ = ["BUCKET", "as_before", "served", "url"]
