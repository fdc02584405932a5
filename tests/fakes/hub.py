"""A Hub on loopback that huggingface_hub's own client takes for one: repositories, commits, LFS in one piece or in parts.

What it does of itself is held by ``tests/contract/test_hub.py`` with that client; what it can do wrong is in ``faults``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.parts.registry import serving

TOKEN = "hf_canary5d1e"
LARGE = 1000  # bytes from which a file is kept as LFS
PART = 5_000  # bytes of a part, where uploads go in parts

Tree = dict[str, bytes]


@dataclass
class Repo:
    """Branches and commits, each a whole tree."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Tree] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)

    def commit(self, branch: str, tree: Tree, title: str) -> str:
        named = json.dumps([title, len(self.commits), sorted(tree)]).encode()
        oid = hashlib.sha1(named).hexdigest()
        self.branches[branch], self.commits[oid] = oid, tree
        self.titles.append(title)
        return oid

    def at(self, revision: str) -> tuple[str, Tree] | None:
        oid = self.branches.get(revision, revision)
        return (oid, self.commits[oid]) if oid in self.commits else None


@dataclass
class Fault:
    """What is answered instead, to requests whose method and path match."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    times: int = 1_000_000


@dataclass
class Hub:
    """The server's state, and what it was asked."""

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    in_parts: bool = False
    damage: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    between: Callable[[], None] | None = None

    def repo(self, name: str) -> Repo:
        """A repository as the Hub makes it: one commit."""
        made = Repo()
        made.commit("main", {".gitattributes": b"*.onnx filter=lfs\n"}, "initial commit")
        self.repos[name] = made
        return made

    def put(self, name: str, changes: dict[str, bytes | None]) -> None:
        """A commit of somebody else; ``None`` takes a file away."""
        repo = self.repos[name]
        tree = dict(repo.commits[repo.branches["main"]])
        for path, data in changes.items():
            tree.pop(path, None)
            if data is not None:
                tree[path] = data
        repo.commit("main", tree, "by hand")


@contextmanager
def run_hub() -> Iterator[Hub]:
    """A Hub with no repository in it."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    with serving(Handler) as url:
        hub.url = url
        yield hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Hub

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = f"{self.command} {unquote(parts.path)}"
        self.state.asked.append((said, {key.lower(): value for key, value in self.headers.items()}))
        for pattern, fault in self.state.faults.items():
            if re.search(pattern, said) and fault.times > 0:
                fault.times -= 1
                return self._say(fault.status, fault.body, fault.headers)
        for pattern, method in _ROUTES.items():
            if found := re.fullmatch(pattern, f"{self.command} {parts.path}"):
                named = {key: unquote(value or "") for key, value in found.groupdict().items()}
                return method(self, body, parse_qs(parts.query), **named)
        return self._error(404, "EntryNotFound", f"no such route: {said}")

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, value: object, **headers: str) -> None:
        self._say(200, json.dumps(value).encode(), headers)

    def _error(self, status: int, code: str, words: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": words}
        self._say(status, json.dumps({"error": words}).encode(), headers)

    def _found(self, repo: str, rev: str = "main", *, write: bool = False) -> tuple[Repo, str, Tree] | None:
        """The repository at a revision; otherwise the refusal was sent."""
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            return self._error(401, "", "Invalid credentials in Authorization header")
        if write and given is None:
            return self._error(401, "", "Invalid username or password.")
        if repo not in self.state.repos:
            return self._error(404 if given else 401, "RepoNotFound", "Repository not found")
        there = self.state.repos[repo].at(rev)
        if there is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return self.state.repos[repo], *there

    def _info(self, body: bytes, query: dict[str, list[str]], repo: str, rev: str = "main") -> None:
        if found := self._found(repo, rev or "main"):
            self._json({"id": repo, "sha": found[1], "siblings": [], "tags": []})

    def _tree(self, body: bytes, query: dict[str, list[str]], repo: str, rev: str, path: str) -> None:
        if not (found := self._found(repo, rev)):
            return
        inside = f"{path}/"
        tree = {p: data for p, data in sorted(found[2].items()) if not path or p.startswith(inside)}
        if not tree:
            return self._error(404, "EntryNotFound", f"{path} does not exist on {rev}")
        start, most = int(query.get("cursor", ["0"])[0]), 4
        listed = [_told(p, data) for p, data in tree.items()]
        more = {}
        if start + most < len(listed):
            at = f"{self.state.url}/api/models/{repo}/tree/{rev}/{quote(path, safe='')}?recursive=True&cursor={start + most}"
            more["Link"] = f'<{at}>; rel="next"'
        folders = [{"type": "directory", "path": f"{path}/1", "size": 0, "oid": "0" * 40}] if not start else []
        return self._json([*folders, *listed[start : start + most]], **more)

    def _yaml(self, body: bytes, query: dict[str, list[str]]) -> None:
        import yaml

        head = json.loads(body)["content"].split("---\n")[1]
        told = yaml.safe_load(head)
        if told.get("license") == "other" and "license_name" not in told:
            return self._say(400, b'{"errors": [{"message": "license_name is required"}]}', {})
        return self._json({"warnings": [], "errors": []})

    def _preupload(self, body: bytes, query: dict[str, list[str]], repo: str, rev: str) -> None:
        if not (found := self._found(repo, rev, write=True)):
            return
        ignored = found[2].get(".gitignore", b"").decode().split()
        files = []
        for one in json.loads(body)["files"]:
            old = found[2].get(one["path"])
            large = one["size"] >= LARGE or one["path"].endswith(".onnx")
            known = {"oid": _oid(old, large)} if old is not None else {}
            ignore = any(one["path"].endswith(name) for name in ignored)
            mode = "lfs" if large else "regular"
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": ignore, **known})
        return self._json({"files": files})

    def _batch(self, body: bytes, query: dict[str, list[str]], repo: str) -> None:
        if not self._found(repo, write=True):
            return
        told = []
        for one in json.loads(body)["objects"]:
            oid, size = one["oid"], one["size"]
            told.append({"oid": oid, "size": size})
            if oid in self.state.objects:
                continue
            there, head = f"{self.state.url}/storage/{oid}", {}
            if self.state.in_parts:
                head = {str(n + 1): f"{there}?part={n + 1}" for n in range(-(-size // PART))}
                head["chunk_size"] = str(PART)
            verify = {"href": f"{self.state.url}/{repo}.git/info/lfs/verify", "header": {}}
            told[-1]["actions"] = {"upload": {"href": there, "header": head}, "verify": verify}
        self._json({"transfer": "basic", "objects": told})

    def _store(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
        if self.headers.get("Authorization"):
            return self._error(400, "", "a signed address takes no token")
        if number := query.get("part"):
            self.state.parts[oid, int(number[0])] = body
        elif hashlib.sha256(body).hexdigest() == oid:
            self.state.objects[oid] = body
        return self._say(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _joined(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
        numbers = [one["partNumber"] for one in json.loads(body)["parts"]]
        data = b"".join(self.state.parts[oid, number] for number in numbers)
        if hashlib.sha256(data).hexdigest() != oid:
            return self._error(400, "", "other bytes")
        self.state.objects[oid] = data
        return self._json({})

    def _verify(self, body: bytes, query: dict[str, list[str]], repo: str) -> None:
        told = json.loads(body)
        if len(self.state.objects.get(told["oid"], b"")) != told["size"]:
            return self._error(404, "", "no such object")
        return self._json({})

    def _commit(self, body: bytes, query: dict[str, list[str]], repo: str, rev: str) -> None:
        if not (found := self._found(repo, rev, write=True)):
            return
        if self.state.between:
            self.state.between()
            found = self._found(repo, rev)
            assert found
        kept, _, tree = found
        lines = [json.loads(line) for line in body.splitlines()]
        head, tree = lines[0]["value"], dict(tree)
        if head.get("parentCommit") not in (None, kept.branches[rev]):
            return self._error(412, "", "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif value["oid"] not in self.state.objects:
                return self._error(400, "", f"no object {value['oid']}")
            else:
                tree[value["path"]] = self.state.objects[value["oid"]]
        oid = kept.commit(rev, tree, head["summary"])
        return self._json({"commitUrl": f"{self.state.url}/{repo}/commit/{oid}", "commitOid": oid})

    def _resolve(self, body: bytes, query: dict[str, list[str]], repo: str, rev: str, path: str) -> None:
        if not (found := self._found(repo, rev)):
            return
        data = found[2].get(path)
        if data is None:
            return self._error(404, "EntryNotFound", f"{path} does not exist")
        if len(data) < LARGE and not path.endswith(".onnx"):
            return self._say(200, self._damaged(path, data), {"Content-Type": "text/plain"})
        oid = hashlib.sha256(data).hexdigest()
        self.state.objects[oid] = data
        return self._say(302, b"", {"Location": f"{self.state.url}/storage/{oid}?path={quote(path)}"})

    def _load(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
        self._say(200, self._damaged(query["path"][0], self.state.objects[oid]), {})

    def _damaged(self, path: str, data: bytes) -> bytes:
        return data[:-1] + b"?" if self.state.damage and path.endswith(self.state.damage) else data

    def log_message(self, *_: object) -> None:
        pass


_REPO, _REV = "(?P<repo>[^/]+/[^/]+)", "(?P<rev>[^/]+)"
_ROUTES: dict[str, Callable[..., None]] = {
    rf"GET /api/models/{_REPO}(?:/revision/{_REV})?": _Handler._info,
    rf"GET /api/models/{_REPO}/tree/{_REV}(?:/(?P<path>[^/]*))?": _Handler._tree,
    r"POST /api/validate-yaml": _Handler._yaml,
    rf"POST /api/models/{_REPO}/preupload/{_REV}": _Handler._preupload,
    rf"POST /{_REPO}\.git/info/lfs/objects/batch": _Handler._batch,
    rf"POST /{_REPO}\.git/info/lfs/verify": _Handler._verify,
    r"PUT /storage/(?P<oid>[0-9a-f]{64})": _Handler._store,
    r"POST /storage/(?P<oid>[0-9a-f]{64})": _Handler._joined,
    r"GET /storage/(?P<oid>[0-9a-f]{64})": _Handler._load,
    rf"POST /api/models/{_REPO}/commit/{_REV}": _Handler._commit,
    rf"GET /{_REPO}/resolve/{_REV}/(?P<path>.+)": _Handler._resolve,
}


def _oid(data: bytes, large: bool) -> str:
    return hashlib.sha256(data).hexdigest() if large else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _told(path: str, data: bytes) -> dict[str, object]:
    large = len(data) >= LARGE or path.endswith(".onnx")
    told: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": _oid(data, False)}
    if large:
        told["lfs"] = {"oid": _oid(data, True), "size": len(data), "pointerSize": 130}
    return told
