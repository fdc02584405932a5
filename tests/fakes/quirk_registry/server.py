"""The server: push, pull, tags, deletion, and faults addressed by method, path and request number."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PATH = re.compile(r"^/v2/(?P<repo>[a-z0-9._/-]+)/(?P<kind>blobs|manifests|tags)/(?P<ref>.*)$")


@dataclass(frozen=True, slots=True)
class Limits:
    """What this registry does not do: the largest PATCH in bytes, and whether it deletes."""

    patch: int | None = None
    deletes: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """The answer to the ``nth`` request (from 1) whose method and path match; ``status`` 0 cuts the connection."""

    method: str
    path: str
    nth: int
    status: int
    headers: dict[str, str] = field(default_factory=dict)


class QuirkRegistry:
    """Serves on a free port of 127.0.0.1 between ``__enter__`` and ``__exit__``; keeps everything in memory."""

    def __init__(self, limits: Limits = Limits(), faults: tuple[Fault, ...] = ()) -> None:
        self.limits, self.faults = limits, faults
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}
        self.requests: list[tuple[str, str]] = []
        self._seen: dict[int, int] = {}
        self._lock = threading.RLock()
        owner = self

        class Bound(_Handler):
            registry = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> QuirkRegistry:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets, if any; counts the request."""
        with self._lock:
            self.requests.append((method, path))
            hit = None
            for index, fault in enumerate(self.faults):
                if fault.method == method and re.search(fault.path, path):
                    self._seen[index] = self._seen.get(index, 0) + 1
                    hit = fault if self._seen[index] == fault.nth else hit
            return hit


class _Handler(BaseHTTPRequestHandler):
    registry: QuirkRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests read ``requests``."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, **headers: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.lower(), "detail": None}]}).encode()
        self._answer(status, body, Content_Type="application/json", **headers)

    def _serve(self) -> None:
        body, parts, reg = self._body(), urlsplit(self.path), self.registry
        fault = reg.fault(self.command, parts.path)
        if fault is not None:
            if fault.status == 0:
                self.close_connection = True
                return
            return self._refuse(fault.status, "FAULT", **fault.headers)
        if parts.path == "/v2/":
            return self._answer(200)
        found = PATH.match(parts.path)
        if not found:
            return self._refuse(404, "NAME_UNKNOWN")
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        repo, kind, ref = found["repo"], found["kind"], found["ref"]
        if kind == "blobs" and ref.startswith("uploads/"):
            return self._upload(repo, ref.removeprefix("uploads/"), query, body)
        if self.command == "DELETE" and not reg.limits.deletes:
            return self._refuse(405, "UNSUPPORTED")
        {"blobs": self._blob, "manifests": self._manifest, "tags": self._tags}[kind](repo, ref, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _upload(self, repo: str, name: str, query: dict[str, str], body: bytes) -> None:
        reg = self.registry
        if self.command == "POST":
            source = reg.blobs.get((query.get("from", ""), query.get("mount", "")))
            if source is not None:
                return self._keep(repo, query["mount"], source)
            if "digest" in query:
                return self._keep(repo, query["digest"], body)
            name = uuid.uuid4().hex
            reg.uploads[name] = (repo, bytearray())
            return self._answer(202, Location=f"/v2/{repo}/blobs/uploads/{name}", Range="0-0")
        if name not in reg.uploads or reg.uploads[name][0] != repo:
            return self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
        data = reg.uploads[name][1]
        if self.command == "DELETE":
            del reg.uploads[name]
            return self._answer(204)
        where = {"Location": f"/v2/{repo}/blobs/uploads/{name}", "Range": f"0-{max(len(data) - 1, 0)}"}
        if self.command == "GET":
            return self._answer(204, **where)
        start = self.headers.get("Content-Range", f"{len(data)}-").split("-")[0]
        cap = reg.limits.patch if self.command == "PATCH" else None
        if int(start) != len(data) or (cap is not None and len(body) > cap):
            return self._refuse(416, "BLOB_UPLOAD_INVALID", **where)
        data += body
        if self.command == "PATCH":
            return self._answer(202, **(where | {"Range": f"0-{max(len(data) - 1, 0)}"}))
        del reg.uploads[name]
        self._keep(repo, query.get("digest", ""), bytes(data))

    def _keep(self, repo: str, digest: str, data: bytes) -> None:
        if digest != _digest(data):
            return self._refuse(400, "DIGEST_INVALID")
        self.registry.blobs[repo, digest] = data
        self._answer(201, Location=f"/v2/{repo}/blobs/{digest}", Docker_Content_Digest=digest)

    def _blob(self, repo: str, ref: str, _: dict[str, str], __: bytes) -> None:
        data = self.registry.blobs.get((repo, ref))
        if data is None:
            return self._refuse(404, "BLOB_UNKNOWN")
        if self.command == "DELETE":
            del self.registry.blobs[repo, ref]
            return self._answer(202)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self._answer(200, data, Docker_Content_Digest=ref)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first >= len(data):
            return self._answer(416, Content_Range=f"bytes */{len(data)}")
        self._answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def _manifest(self, repo: str, ref: str, _: dict[str, str], body: bytes) -> None:
        reg = self.registry
        if self.command == "PUT":
            return self._put_manifest(repo, ref, body)
        digest = reg.tags.get((repo, ref), ref)
        if (repo, digest) not in reg.manifests:
            return self._refuse(404, "MANIFEST_UNKNOWN")
        if self.command == "DELETE":
            if ref == digest:
                del reg.manifests[repo, ref]
            reg.tags = {k: d for k, d in reg.tags.items() if k != (repo, ref) and (k[0], d) != (repo, ref)}
            return self._answer(202)
        kind, data = reg.manifests[repo, digest]
        self._answer(200, data, Content_Type=kind, Docker_Content_Digest=digest)

    def _put_manifest(self, repo: str, ref: str, body: bytes) -> None:
        reg, digest = self.registry, _digest(body)
        try:
            document = json.loads(body)
        except ValueError:
            return self._refuse(400, "MANIFEST_INVALID")
        if ref.startswith("sha256:") and ref != digest:
            return self._refuse(400, "DIGEST_INVALID")
        parts = [document["config"], *document["layers"]] if "config" in document else []
        if any((repo, part["digest"]) not in reg.blobs for part in parts):
            return self._refuse(404, "MANIFEST_BLOB_UNKNOWN")
        reg.manifests[repo, digest] = (self.headers["Content-Type"], body)
        if ref != digest:
            reg.tags[repo, ref] = digest
        self._answer(201, Location=f"/v2/{repo}/manifests/{digest}", Docker_Content_Digest=digest)

    def _tags(self, repo: str, _: str, query: dict[str, str], __: bytes) -> None:
        names = sorted(t for r, t in self.registry.tags if r == repo and t > query.get("last", ""))
        page = names[: int(query.get("n", len(names)))]
        more = {}
        if page and len(page) < len(names):
            more["Link"] = f'</v2/{repo}/tags/list?n={len(page)}&last={page[-1]}>; rel="next"'
        self._answer(200, json.dumps({"name": repo, "tags": page}).encode(), Content_Type="application/json", **more)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
