"""The server: push, pull, tags, deletion; faults addressed by method, path and request number.

Not here: uploads (``uploads``), and what it is told to imitate (``limits``).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

from tests.fakes.quirk_registry.limits import CONFORMS, Fault, Limits
from tests.fakes.quirk_registry.uploads import Session, Uploads, digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
PATH = re.compile(r"^/v2/(?P<repo>[a-z0-9._/-]+)/(?P<kind>blobs|manifests|tags|referrers)/(?P<ref>.*)$")


class QuirkRegistry:
    """Serves on a free port of 127.0.0.1 between ``__enter__`` and ``__exit__``; keeps everything in memory."""

    def __init__(self, limits: Limits = CONFORMS, faults: tuple[Fault, ...] = ()) -> None:
        self.limits, self.faults = limits, faults
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, Session] = {}
        self.received = 0  # bytes of blobs, those that were kept
        self.most_at_once = self.at_once = 0  # requests with a body of an upload
        self.requests: list[tuple[str, str]] = []
        self._seen: dict[int, int] = {}
        self._lock = threading.RLock()
        owner = self

        class Bound(_Handler):
            registry, closes = owner, limits.closes

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> QuirkRegistry:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def counting(self, length: int) -> Iterator[None]:
        """While a body of some size is being taken."""
        large = length >= 2**20
        with self._lock:
            self.at_once += large
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= large

    def fault(self, method: str, path: str, length: int) -> Fault | None:
        """The fault that this request meets, if any; counts the request."""
        with self._lock:
            self.requests.append((method, path))
            hit = None
            for index, fault in enumerate(self.faults):
                if fault.method in ("", method) and length >= fault.least and re.search(fault.path, path):
                    self._seen[index] = self._seen.get(index, 0) + 1
                    hit = fault if fault.nth in (0, self._seen[index]) else hit
            return hit


class _Handler(Uploads):
    def _serve(self) -> None:
        parts, reg = urlsplit(self.path), self.registry
        fault, self.swallowed = reg.fault(self.command, parts.path, int(self.headers.get("Content-Length", 0))), False
        found = PATH.match(parts.path)
        if fault is not None and fault.acted:
            self.swallowed = True
        elif fault is not None and fault.after is None:
            b"".join(self.pieces())
            return self.refuse(fault.status, fault.code, **fault.headers) if fault.status else self.hang_up()
        if parts.path == "/v2/":
            return self.answer(200)
        if not found:
            return self.refuse(404, "NAME_UNKNOWN")
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        repo, kind, ref = found["repo"], found["kind"], found["ref"]
        if kind == "blobs" and ref.startswith("uploads/"):
            return self.upload(repo, ref.removeprefix("uploads/"), query, fault)
        if self.command == "DELETE" and not reg.limits.deletes:
            return self.refuse(405, "UNSUPPORTED")
        body = b"".join(self.pieces())
        serve = {"blobs": self._blob, "manifests": self._manifest, "tags": self._tags, "referrers": self._referrers}
        serve[kind](repo, ref, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

    def _blob(self, repo: str, ref: str, _: dict[str, str], __: bytes) -> None:
        data = self.registry.blobs.get((repo, ref))
        if data is None:
            return self.refuse(404, "BLOB_UNKNOWN")
        if self.command == "DELETE":
            del self.registry.blobs[repo, ref]
            return self.answer(202)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self.answer(200, data, Docker_Content_Digest=ref)
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first >= len(data):
            return self.answer(416, Content_Range=f"bytes */{len(data)}")
        self.answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def _manifest(self, repo: str, ref: str, _: dict[str, str], body: bytes) -> None:
        reg = self.registry
        if self.command == "PUT":
            return self._put_manifest(repo, ref, body)
        digest = reg.tags.get((repo, ref), ref)
        if (repo, digest) not in reg.manifests:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        if self.command == "DELETE":
            if ref == digest:
                del reg.manifests[repo, ref]
            reg.tags = {k: d for k, d in reg.tags.items() if k != (repo, ref) and (k[0], d) != (repo, ref)}
            return self.answer(202)
        kind, data = reg.manifests[repo, digest]
        self.answer(200, data, Content_Type=kind, Docker_Content_Digest=digest)

    def _put_manifest(self, repo: str, ref: str, body: bytes) -> None:
        reg, digest = self.registry, digest_of(body)
        try:
            document = json.loads(body)
        except ValueError:
            return self.refuse(400, "MANIFEST_INVALID")
        if ref.startswith("sha256:") and ref != digest:
            return self.refuse(400, "DIGEST_INVALID")
        parts = [document["config"], *document["layers"]] if "config" in document else []
        if any((repo, part["digest"]) not in reg.manifests for part in document.get("manifests", [])):
            return self.refuse(404, "MANIFEST_BLOB_UNKNOWN")
        if any((repo, part["digest"]) not in reg.blobs for part in parts):
            return self.refuse(404, "MANIFEST_BLOB_UNKNOWN")
        reg.manifests[repo, digest] = (self.headers["Content-Type"], body)
        if ref != digest:
            reg.tags[repo, ref] = digest
        subject = document.get("subject", {}).get("digest", "") if reg.limits.referrers else ""
        named = {"OCI_Subject": subject} if subject else {}
        self.answer(201, Location=f"/v2/{repo}/manifests/{digest}", Docker_Content_Digest=digest, **named)

    def _referrers(self, repo: str, ref: str, query: dict[str, str], _: bytes) -> None:
        """What names ``ref`` as its subject, and what was listed under its tag before this registry had the API."""
        reg = self.registry
        if not reg.limits.referrers:
            return self.refuse(404, "MANIFEST_UNKNOWN")
        found = []
        for (where, name), (kind, data) in sorted(reg.manifests.items()):
            document = json.loads(data)
            if where == repo and document.get("subject", {}).get("digest") == ref:
                entry = {"mediaType": kind, "digest": name, "size": len(data)}
                entry["artifactType"] = document.get("artifactType") or document["config"]["mediaType"]
                found.append(entry | ({"annotations": document["annotations"]} if document.get("annotations") else {}))
        asked, more = query.get("artifactType"), {}
        if asked and reg.limits.filters:
            found, more = [e for e in found if e["artifactType"] == asked], {"OCI_Filters_Applied": "artifactType"}
        start, size = int(query.get("from", "0")), reg.limits.page or len(found)
        if start + size < len(found):
            kept = f"&artifactType={quote(asked, safe='')}" if asked else ""
            more["Link"] = f'</v2/{repo}/referrers/{ref}?from={start + size}{kept}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found[start : start + size]}
        self.answer(200, json.dumps(index).encode(), Content_Type=INDEX, **more)

    def _tags(self, repo: str, _: str, query: dict[str, str], __: bytes) -> None:
        names = sorted(t for r, t in self.registry.tags if r == repo and t > query.get("last", ""))
        page = names[: int(query.get("n", self.registry.limits.page or len(names)))]
        more = {}
        if page and len(page) < len(names):
            more["Link"] = f'</v2/{repo}/tags/list?n={len(page)}&last={page[-1]}>; rel="next"'
        self.answer(200, json.dumps({"name": repo, "tags": page}).encode(), Content_Type="application/json", **more)
