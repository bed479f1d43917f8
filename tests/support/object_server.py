"""An object server on this machine: ranges, etags, If-Match, S3's listing, latency, and faults.

It keeps objects in memory, answers GET, HEAD, PUT and DELETE, counts requests, and does one wrong
thing where it is told to. ``python object_server.py LATENCY_S FOLDER`` serves the files of a folder
and prints its port, for benchmarks: then its CPU time is its own.
"""

import asyncio
import contextlib
import hashlib
import os
import pathlib
import re
import sys
import threading
import time
import urllib.parse

DATE = "Mon, 23 Nov 2026 10:00:00 GMT"
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class ObjectServer:
    """Serve `objects`, a dict of path to bytes, on a thread.

    `fault` is the name of what is done wrong, to the next `times` requests (None: to all) that read
    bytes: 503, 429, reset, short, stall, drip, whole (200 for 206), shifted, changed (another etag
    and other bytes), deaf (changed, and If-Match is not looked at), weak (weak etags), refused.
    """

    def __init__(self, objects=(), latency_s=0.0):
        self.objects = dict(objects)
        self.latency_s = latency_s
        self.fault, self.times = "", None
        self.requests = []  # (method, path, range)
        self.stalled, self.goes_on = threading.Event(), False  # an answer hangs; it may end now
        self._ready, self._loop = threading.Event(), None
        self.port = 0

    def wrong(self, fault, times=None):
        """Do something wrong from now on."""
        self.stalled.clear()
        self.fault, self.times, self.goes_on = fault, times, False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *exc_info):
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(60)

    async def serve(self, announce=lambda port: None):
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        handlers = set()

        async def handle(reader, writer):
            handlers.add(asyncio.current_task())
            with contextlib.suppress(
                asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
            ):
                while await self._answer(reader, writer):
                    pass
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        announce(self.port)
        await self._stopped.wait()
        server.close()
        for task in handlers:
            task.cancel()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        parsed = urllib.parse.urlsplit(target)
        path = urllib.parse.unquote(parsed.path).strip("/")
        body = b""
        if fields.get("content-length"):
            body = await reader.readexactly(int(fields["content-length"]))
        if path == "_spent":  # seconds of CPU, requests
            told = f"{time.process_time()} {len(self.requests)}"
            return await self._send(writer, 200, told.encode())
        self.requests.append((method, path, fields.get("range", "")))
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if method == "PUT":
            self.objects[path] = body
            return await self._send(writer, 200, b"", {"etag": self._etag(body)})
        if method == "DELETE":
            self.objects.pop(path, None)
            return await self._send(writer, 204, b"")
        if "list-type" in parsed.query:
            return await self._send(writer, 200, self._listing(path, parsed.query))
        if path not in self.objects:
            return await self._send(writer, 404, b"", head=method == "HEAD")
        if method == "HEAD":
            return await self._send(
                writer, 200, self.objects[path], self._meta(self.objects[path]), head=True
            )
        return await self._get(writer, self.objects[path], fields)

    def _listing(self, bucket, query):
        asked = dict(urllib.parse.parse_qsl(query))
        start = f"{bucket}/{asked.get('prefix', '')}"
        names = [name for name in sorted(self.objects) if name.startswith(start)]
        inside = [name for name in names if "/" not in name[len(start) :]]
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>'
            + "".join(
                f"<Contents><Key>{name.partition('/')[2]}</Key><Size>{len(self.objects[name])}"
                f"</Size><ETag>{self._etag(self.objects[name])}</ETag>"
                "<LastModified>2026-11-23T10:00:00.000Z</LastModified></Contents>"
                for name in inside
            )
            + "</ListBucketResult>"
        ).encode()

    def _etag(self, data):
        name = hashlib.md5(data[:100] + data[-100:], usedforsecurity=False).hexdigest()
        return f'{"W/" if self.fault == "weak" else ""}"{name}"'

    def _meta(self, data):
        return {"etag": self._etag(data), "last-modified": DATE, "accept-ranges": "bytes"}

    def _now_wrong(self):
        if not self.fault or self.times == 0:
            return ""
        if self.times is not None:
            self.times -= 1
        return self.fault

    async def _get(self, writer, data, fields):
        fault, meta, status = self._now_wrong(), self._meta(data), 200
        if fault in ("changed", "deaf"):
            data = bytes(len(data))
            meta["etag"] = '"other"'
        if fault in ("503", "429"):
            return await self._send(writer, int(fault), b"", {"retry-after": "1"})
        if fault == "refused":
            return await self._send(writer, 403, b"<Error><Code>AccessDenied</Code></Error>")
        if fault == "reset":
            writer.transport.abort()
            return False
        wanted = fields.get("if-match", meta["etag"].lower())
        if wanted not in (meta["etag"].lower(), "*") and fault != "deaf":
            return await self._send(writer, 412, b"")
        found, size = RANGE.fullmatch(fields.get("range", "")), len(data)
        if found and fault != "whole":
            low, high = int(found[1]), min(int(found[2] or size), size - 1)
            if low >= size:
                return await self._send(writer, 416, b"")
            moved = 4 if fault == "shifted" else 0
            meta["content-range"] = f"bytes {low + moved}-{high + moved}/{size}"
            data, status = data[low : high + 1], 206
        writer.write(_header(status, len(data), meta))
        if fault == "short":
            writer.write(data[: len(data) // 2])
            await writer.drain()
            writer.transport.abort()
            return False
        if fault in ("stall", "drip"):
            for at in range(0, len(data), 16):
                writer.write(data[at : at + 16])
                await writer.drain()
                await (self._hang() if fault == "stall" else asyncio.sleep(0.1))
        elif self.fault == "flip":
            writer.write(bytes([data[0] ^ 255]) + data[1:])
        else:
            writer.write(data)
        await writer.drain()
        return True

    async def _hang(self):
        self.stalled.set()
        for _ in range(3000):
            if self.goes_on:
                break
            await asyncio.sleep(0.01)

    async def _send(self, writer, status, body, fields=(), *, head=False):
        writer.write(_header(status, len(body), dict(fields)) + (b"" if head else body))
        await writer.drain()
        return True


def _header(status, length, fields):
    lines = [f"HTTP/1.1 {status} .", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def main(latency_s, folder):
    """Serve the files of a folder; print the port."""
    files = [path for path in pathlib.Path(folder).iterdir() if path.is_file()]
    server = ObjectServer(
        {f"data/{path.name}": path.read_bytes() for path in files}, float(latency_s)
    )

    def announce(port):
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    asyncio.run(server.serve(announce))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
    os._exit(0)
