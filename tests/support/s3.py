"""A server that speaks as much of S3 as a client of whole objects asks: a bucket in a folder's place, in memory.

It checks who asks by the key's id alone. `down` has it refuse every connection's request, as a store that is broken does.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

BUCKET, KEY_ID, SECRET = "lab", "AKIATESTING", "wJalrXUtnFEMI-secret"
MOMENT = "2030-01-01T00:00:00.000Z"


class Server(ThreadingHTTPServer):
    """`objects`: key -> content, to be looked at and damaged."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.down = False
        self.log: list[str] = []  # "PUT key", in order

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def puts(self, ending: str = "") -> list[str]:
        return [line.removeprefix("PUT ") for line in self.log if line.startswith("PUT ") and line.endswith(ending)]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in the middle says nothing of the server."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = urlsplit(self.path)
        bucket, _, key = unquote(place.path).lstrip("/").partition("/")
        asked = {name: values[0] for name, values in parse_qs(place.query, keep_blank_values=True).items()}
        if self.server.down:
            return self._say(503, b"<Error><Code>ServiceUnavailable</Code></Error>")
        if f"Credential={KEY_ID}/" not in self.headers.get("Authorization", ""):
            return self._say(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>")
        if bucket != BUCKET:
            return self._say(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if key or self.command == "POST":
            self.server.log.append(f"{self.command} {key}")
        getattr(self, f"_{self.command.lower()}")(key, asked, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _of(self, content: bytes) -> dict[str, str]:
        return {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last_Modified": "Tue, 01 Jan 2030 00:00:00 GMT"}

    def _get(self, key: str, asked: dict[str, str], body: bytes) -> None:
        if not key:
            return self._list(asked)
        if (content := self.server.objects.get(key)) is None:
            return self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        self._say(200, content, **self._of(content))

    _head = _get

    def _list(self, asked: dict[str, str]) -> None:
        """One page of at most three, so that a client has to turn pages."""
        prefix, delimiter, after = asked.get("prefix", ""), asked.get("delimiter"), asked.get("continuation-token", "")
        rows: dict[str, str] = {}
        for key in sorted(self.server.objects):
            if not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folder = key[: cut + 1]
                rows[folder] = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                continue
            rows[key] = (
                f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.objects[key])}</Size>"
                f"<LastModified>{MOMENT}</LastModified><ETag>x</ETag></Contents>"
            )
        left = [name for name in rows if name > after]
        page, more = left[:3], len(left) > 3
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        listed = "".join(rows[name] for name in page)
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>"
        self._say(200, text.encode())

    def _put(self, key: str, asked: dict[str, str], body: bytes) -> None:
        if "partNumber" in asked:
            self.server.parts[asked["uploadId"]][int(asked["partNumber"])] = body
        elif (source := self.headers.get("x-amz-copy-source")) is not None:
            content = self.server.objects[unquote(source).lstrip("/").partition("/")[2]]
            self.server.objects[key] = content
            answer = f"<CopyObjectResult><ETag>x</ETag><LastModified>{MOMENT}</LastModified></CopyObjectResult>"
            return self._say(200, answer.encode())
        else:
            self.server.objects[key] = body
        self._say(200, **self._of(body))

    def _post(self, key: str, asked: dict[str, str], body: bytes) -> None:
        if "uploads" in asked:
            upload = str(len(self.server.parts) + 1)
            self.server.parts[upload] = {}
            answer = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        elif "delete" in asked:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for one in keys:
                self.server.objects.pop(one, None)
            answer = "<DeleteResult>" + "".join(f"<Deleted><Key>{k}</Key></Deleted>" for k in keys) + "</DeleteResult>"
        else:
            parts = self.server.parts.pop(asked["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            answer = f"<CompleteMultipartUploadResult><Key>{key}</Key><ETag>x</ETag></CompleteMultipartUploadResult>"
        self._say(200, answer.encode())

    def _delete(self, key: str, asked: dict[str, str], body: bytes) -> None:
        self.server.objects.pop(key, None)
        self._say(204)


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    server = Server(port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def named(monkeypatch: pytest.MonkeyPatch, server: Server) -> str:
    """Have this process and its children find it; the address of the bundles."""
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/installation"
