"""Registries that lie, against the transport: each lie is refused, and its honest twin is taken."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from promote.adapters.oci.auth import check_realm
from promote.adapters.oci.origin import parse_origin
from promote.adapters.oci.registry import open_registry
from promote.adapters.oci.transport import next_hop
from promote.core.manifest import MANIFEST_TYPE, pack
from promote.core.passport import sha256
from promote.core.stages import Bundle
from promote.errors import AuthError, IntegrityError, PromoteError, Unavailable
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import free_port

LOGIN = {"PROMOTE_REGISTRY_USERNAME": "ci", "PROMOTE_REGISTRY_PASSWORD": "canary-password"}
BASIC = "Basic " + base64.b64encode(b"ci:canary-password").decode()
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Liar:
    """A web server that answers as a test says.

    Args:
        answer: (method, path without query, headers with the query as ``?``) to state, headers, body; a body of a 200 without
            a length goes chunked.
        asked: (method, path with query, headers) in order.
        lost: how often it loses a blob before it is given the manifest.
    """

    port: int = 0
    answer: Callable[[str, str, dict[str, str]], Answer] = lambda *_: (404, {}, b"")
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    lost: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def listening() -> Iterator[Liar]:
    liar = Liar()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            liar.asked.append((self.command, self.path, dict(self.headers)))
            path, _, query = self.path.partition("?")
            state, headers, body = liar.answer(self.command, path, dict(self.headers) | {"?": query})
            self.send_response(state)
            chunked = headers.get("Transfer-Encoding") == "chunked"
            self.close_connection = "Content-Length" in headers  # a promise that is not kept
            for name, value in headers.items() if chunked else ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                piece = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
                self.wfile.write(piece + b"0\r\n\r\n" if chunked else body)

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    liar.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield liar
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    with listening() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Liar]:
    with listening() as made:
        yield made


BUNDLE: Bundle = make_bundle({"model.onnx": b"w" * 5000})
PACKED = pack(BUNDLE)
MANIFEST = PACKED.manifest.data or b""
BLOBS = {b.digest: b.data or b"" for b in [*BUNDLE.files.values(), PACKED.config]}
MODEL = BUNDLE.files["ner/1/model.onnx"]


def honest(method: str, path: str, _: dict[str, str]) -> Answer:
    """A registry that holds ``BUNDLE`` and forgets what it is given."""
    last = path.rpartition("/")[2]
    if "/manifests/" in path:
        return (201, {}, b"") if method == "PUT" else (200, {"Content-Type": MANIFEST_TYPE}, MANIFEST)
    if method in ("GET", "HEAD"):
        return (200, {}, BLOBS[last]) if last in BLOBS else (404, {}, b"")
    return (202, {"Location": "/up/1"}, b"") if method == "POST" else (201, {}, b"")


def client(liar: Liar, env: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    return open_registry(f"{liar.url}/acme", env=env or {})


def instead(blob: bytes, headers: dict[str, str]) -> Callable[[str, str, dict[str, str]], Answer]:
    """``honest``, but for the model's bytes."""
    return lambda m, p, h: (200, headers, blob) if p.endswith(f"/blobs/{MODEL.digest}") else honest(m, p, h)


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("data", "good"),
    [(b"w" * 5000, True), (b"v" * 5000, False), (b"w" * 4999, False), (b"w" * 5001, False), (b"", False)],
)
def test_other_bytes_never_get_a_name(
    liar: Liar, tmp_path: Path, data: bytes, good: bool, headers: dict[str, str]
) -> None:
    liar.answer = instead(data, headers)
    stored = client(liar).resolve("ner", "v1")
    if good:
        assert Path(client(liar).fetch(stored, str(tmp_path), Steps())["ner/1/model.onnx"]).read_bytes() == data
        return
    with pytest.raises(IntegrityError):
        client(liar).fetch(stored, str(tmp_path), Steps())
    assert not (tmp_path / "ner/1/model.onnx").exists()
    assert not list(tmp_path.rglob("*partial*"))


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cuts", [[1, 4999], [2500], [0, 0, 0], [0, 0, 0, 0]])
def test_a_fetch_goes_on_where_the_connection_broke(liar: Liar, tmp_path: Path, cuts: list[int], ranges: bool) -> None:
    data, left = BLOBS[MODEL.digest], list(cuts)

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if not path.endswith(f"/blobs/{MODEL.digest}"):
            return honest(method, path, headers)
        start = int(headers.get("Range", "bytes=0-")[6:-1]) if ranges else 0
        whole = data[start:]
        sent = whole[: left.pop(0) - start] if left else whole
        return 206 if start else 200, {"Content-Length": str(len(whole))}, sent

    liar.answer = answer
    stored = client(liar).resolve("ner", "v1")
    if cuts.count(0) > 3:
        with pytest.raises(Unavailable, match="broke"):
            client(liar).fetch(stored, str(tmp_path), Steps())
        assert not (tmp_path / "ner/1/model.onnx").exists()
        return
    goals = client(liar).fetch(stored, str(tmp_path), Steps())
    assert Path(goals["ner/1/model.onnx"]).read_bytes() == data
    asked = [headers.get("Range") for _, path, headers in liar.asked if path.endswith(MODEL.digest)]
    assert asked[0] is None
    assert len(asked) == len(cuts) + 1
    assert all(asked[1:]) is any(cuts)


@pytest.mark.parametrize(("lost", "good"), [(1, True), (2, False)])
def test_a_blob_that_the_registry_lost_before_the_manifest_is_sent_again(liar: Liar, lost: int, good: bool) -> None:
    put: list[str] = []
    held = set(BLOBS)

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        last = path.rpartition("/")[2]
        if "/manifests/" in path:
            if method == "GET" and last not in put:
                return 404, {}, b""
            if method == "PUT" and not {"v1", last} & set(put):
                if good and liar.lost == 0 and MODEL.digest in held:
                    put.append(last)
                    return 201, {}, b""
                if liar.lost:
                    liar.lost -= 1
                    held.discard(MODEL.digest)
                return 400, {}, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}'
            put.append(last)
        elif method == "HEAD" and last not in held:
            return 404, {}, b""
        elif method == "PUT":
            held.update(BLOBS)
        return honest(method, path, headers)

    liar.answer, liar.lost = answer, lost
    if good:
        release = client(liar).push(BUNDLE, Steps())
        assert release.sent == MODEL.size + len(MANIFEST)  # the rest was there all the time
    else:
        with pytest.raises(IntegrityError, match="MANIFEST_BLOB_UNKNOWN"):
            client(liar).push(BUNDLE, Steps())
    assert len([1 for method, path, _ in liar.asked if method == "PUT" and "/up/" in path]) == 1


@pytest.mark.parametrize(
    "digest",
    ["sha256:../../x", f"sha256:{'A' * 64}", f"sha512:{'0' * 128}", f"sha256:{'0' * 64}\n", f"sha256:{'0' * 63}", ""],
)
def test_a_digest_of_another_grammar_is_never_asked_for(liar: Liar, digest: str) -> None:
    changed = json.loads(MANIFEST)
    changed["layers"][0]["digest"] = digest
    data = json.dumps(changed).encode()
    liar.answer = lambda *_: (200, {"Content-Type": MANIFEST_TYPE}, data)
    with pytest.raises(IntegrityError):
        client(liar).resolve("ner", "v1")
    assert len(liar.asked) == 1
    liar.answer = honest
    assert client(liar).resolve("ner", "v1").digest == PACKED.manifest.digest


MANIFEST_LIES: dict[str, tuple[dict[str, str], Callable[[dict[str, object]], object]]] = {
    "sent as an index": ({"Content-Type": INDEX_TYPE}, lambda m: m),
    "sent as anything": ({"Content-Type": "application/octet-stream"}, lambda m: m),
    "another digest promised": ({"Docker-Content-Digest": f"sha256:{'0' * 64}"}, lambda m: m),
    "no type of its own": ({}, lambda m: {k: v for k, v in m.items() if k != "mediaType"}),
    "another type of its own": ({}, lambda m: m | {"mediaType": INDEX_TYPE}),
    "layers and manifests": ({}, lambda m: m | {"manifests": []}),
    "manifests only": ({}, lambda m: {k: v for k, v in m.items() if k != "layers"} | {"manifests": m["layers"]}),
    "another artifact": ({}, lambda m: m | {"artifactType": "application/x-cat"}),
    "layers elsewhere": (
        {},
        lambda m: m | {"layers": [layer | {"urls": ["https://evil.test/x"]} for layer in m["layers"]]},  # type: ignore[attr-defined]
    ),
    "more than 4 MiB": ({}, lambda m: m | {"annotations": m["annotations"] | {"x": "y" * 4 * 1024 * 1024}}),  # type: ignore[operator]
}


@pytest.mark.parametrize("lie", MANIFEST_LIES)
def test_a_manifest_that_can_be_taken_for_another_thing_is_refused(liar: Liar, lie: str) -> None:
    headers, change = MANIFEST_LIES[lie]
    data = json.dumps(change(json.loads(MANIFEST))).encode()
    liar.answer = lambda *_: (200, {"Content-Type": MANIFEST_TYPE} | headers, data)
    with pytest.raises(IntegrityError):
        client(liar).resolve("ner", "v1")


@pytest.mark.parametrize("kind", [MANIFEST_TYPE, f"{MANIFEST_TYPE}; charset=utf-8"])
def test_the_manifest_as_it_is_is_taken(liar: Liar, kind: str) -> None:
    liar.answer = lambda *_: (200, {"Content-Type": kind, "Docker-Content-Digest": sha256(MANIFEST)}, MANIFEST)
    assert client(liar).resolve("ner", "v1").digest == sha256(MANIFEST)


def test_a_key_twice_in_a_manifest_is_refused(liar: Liar) -> None:
    data = MANIFEST.replace(b'"schemaVersion":2', b'"schemaVersion":2,"schemaVersion":2')
    assert data != MANIFEST
    liar.answer = lambda *_: (200, {"Content-Type": MANIFEST_TYPE}, data)
    with pytest.raises(IntegrityError, match="twice"):
        client(liar).resolve("ner", "v1")


def test_after_the_tag_was_read_only_digests_are_asked_for(liar: Liar, tmp_path: Path) -> None:
    liar.answer = honest
    stored = client(liar).resolve("ner", "v1")
    before = len(liar.asked)
    liar.answer = lambda m, p, h: (200, {"Content-Type": MANIFEST_TYPE}, b"{}") if "manifests" in p else honest(m, p, h)
    client(liar).fetch(stored, str(tmp_path), Steps())
    assert {path.rpartition("/")[2] for _, path, _ in liar.asked[before:]} == {b.digest for b in BUNDLE.files.values()}


@pytest.mark.parametrize("moved", [False, True])
def test_a_tag_that_is_another_when_read_back_ends_the_push(liar: Liar, moved: bool) -> None:
    put: list[str] = []

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if method == "PUT" and "/manifests/" in path:
            put.append(path.rpartition("/")[2])
        if method == "GET" and path.endswith("/manifests/v1"):
            data = MANIFEST.replace(b"w", b"v", 1) if moved else MANIFEST
            return (200, {"Content-Type": MANIFEST_TYPE}, data) if "v1" in put else (404, {}, b"")
        return honest(method, path, headers)

    liar.answer = answer
    if moved:
        with pytest.raises(IntegrityError, match="other bytes back"):
            client(liar).push(BUNDLE, Steps())
    else:
        assert client(liar).push(BUNDLE, Steps()).stored.digest == PACKED.manifest.digest
    assert put == [PACKED.manifest.digest, "v1"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_credentials_do_not_follow_a_redirect_to_another_origin(liar: Liar, other: Liar, elsewhere: bool) -> None:
    to = other if elsewhere else liar

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if path.startswith("/there"):
            return 200, {}, BLOBS[MODEL.digest]
        if headers.get("Authorization") != BASIC:
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        if path.endswith(MODEL.digest):
            return 307, {"Location": f"{to.url}/there?sig=canary"}, b""
        return honest(method, path, headers)

    liar.answer = other.answer = answer
    registry = client(liar, LOGIN)
    assert registry.read(registry.resolve("ner", "v1"), MODEL) == BLOBS[MODEL.digest]
    (_, _, headers) = next(asked for asked in to.asked if asked[1].startswith("/there"))
    assert ("Authorization" in headers) is not elsewhere


@pytest.mark.parametrize("hops", [5, 6])
def test_five_redirects_are_followed_and_no_more(liar: Liar, hops: int) -> None:
    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        done = int(path.rpartition("/")[2]) if path.startswith("/hop/") else 0
        if path.endswith(MODEL.digest) or path.startswith("/hop/"):
            return (200, {}, BLOBS[MODEL.digest]) if done == hops else (302, {"Location": f"/hop/{done + 1}"}, b"")
        return honest(method, path, headers)

    liar.answer = answer
    stored = client(liar).resolve("ner", "v1")
    if hops == 5:
        assert client(liar).read(stored, MODEL) == BLOBS[MODEL.digest]
    else:
        with pytest.raises(Unavailable, match="redirects"):
            client(liar).read(stored, MODEL)


@pytest.mark.parametrize(
    "there", ["http://ghcr.io/x", "https://169.254.169.254/x", "ftp://ghcr.io/x", "", "https://a@b/x"]
)
def test_a_redirect_out_of_encryption_or_to_nowhere_is_refused(there: str) -> None:
    with pytest.raises(IntegrityError):
        next_hop("https://ghcr.io/v2/x/blobs/y?sig=canary", there)
    assert next_hop("https://ghcr.io/v2/x", "https://pkg.test/y?sig=1") == "https://pkg.test/y?sig=1"


@pytest.mark.parametrize("place", ["relative", "own", "other", "none", "user"])
def test_an_upload_goes_to_the_registrys_own_origin_only(liar: Liar, other: Liar, place: str) -> None:
    location = {
        "relative": "/up/1?_state=x", "own": f"{liar.url}/up/1?_state=x", "other": f"{other.url}/steal", "none": "",
        "user": f"http://a@127.0.0.1:{liar.port}/up/1",
    }[place]  # fmt: skip

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        known = method == "PUT" or any(m == "PUT" and "/manifests/v1" in p for m, p, _ in liar.asked)
        if method == "POST":
            return 202, {"Location": location} if location else {}, b""
        return honest(method, path, headers) if known or path.endswith(PACKED.manifest.digest) else (404, {}, b"")

    liar.answer = answer
    if place in ("relative", "own"):
        assert client(liar, LOGIN).push(BUNDLE, Steps()).sent == sum(map(len, BLOBS.values())) + len(MANIFEST)
        assert any("_state=x&digest=sha256:" in path for _, path, _ in liar.asked)
        return
    with pytest.raises(IntegrityError, match="another origin"):
        client(liar, LOGIN).push(BUNDLE, Steps())
    assert not other.asked
    assert not [1 for method, _, _ in liar.asked if method == "PUT"]


@pytest.mark.parametrize(
    ("registry", "realm", "good"),
    [
        ("ghcr.io", "https://ghcr.io/token", True),
        ("docker.io", "https://auth.docker.io/token", True),
        ("127.0.0.1:5000", "http://127.0.0.1:6000/token", True),
        ("ghcr.io", "https://ghcr.io.evil.test/token", False),
        ("ghcr.io", "https://evil.test/token", False),
        ("ghcr.io", "https://ghcr.io@evil.test/token", False),
        ("ghcr.io", "http://ghcr.io/token", False),
        ("127.0.0.1:5000", "http://169.254.169.254/token", False),
        ("ghcr.io", "https://169.254.169.254/token", False),
        ("ghcr.io", "", False),
    ],
)
def test_a_token_is_asked_of_the_registrys_own_service_only(registry: str, realm: str, good: bool) -> None:
    origin = parse_origin(f"{registry}/acme")
    if good:
        check_realm(realm, origin)
    else:
        with pytest.raises(AuthError):
            check_realm(realm, origin)


@pytest.mark.parametrize("fault", ["dead redirect", "403 that echoes", "401 again"])
def test_no_message_holds_a_secret(liar: Liar, fault: str) -> None:
    dead = f"http://127.0.0.1:{free_port()}/blob?X-Amz-Signature=canary-signature"

    def answer(method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("Authorization") != BASIC or fault == "401 again":
            return 401, {"WWW-Authenticate": 'Basic realm="canary-realm"'}, b"canary-body"
        return {
            "dead redirect": (307, {"Location": dead}, b""),
            "403 that echoes": (403, {}, b'{"errors":[{"code":"DENIED","message":"canary-password"}]}'),
        }[fault]

    liar.answer = answer
    with pytest.raises(PromoteError) as told:
        client(liar, LOGIN).resolve("ner", "v1")
    assert "canary" not in f"{told.value!r} {told.value.hint} {told.value.__cause__!r}"
    assert told.value.__cause__ is None
    assert told.value.__context__ is None or told.value.__suppress_context__


def test_netrc_is_not_read(liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    liar.answer = honest
    assert client(liar).resolve("ner", "v1").version == 1  # loopback: no proxy, which would be dead
    assert all("Authorization" not in headers for _, _, headers in liar.asked)


@pytest.mark.parametrize("left_out", [False, True])
def test_a_proxy_is_used_beyond_this_machine_unless_no_proxy_says_so(
    liar: Liar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: bool
) -> None:
    (tmp_path / "netrc").write_text("machine registry.invalid login me password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in (("HTTP_PROXY", liar.url), ("NO_PROXY", "registry.invalid" if left_out else "")):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    liar.answer = honest
    registry = open_registry("http://registry.invalid/acme", env={})
    if left_out:
        with pytest.raises(Unavailable):
            registry.resolve("ner", "v1")
        assert not liar.asked
    else:
        assert registry.resolve("ner", "v1").version == 1
        assert liar.asked[0][1] == "http://registry.invalid/v2/acme/ner/manifests/v1"
        assert "Authorization" not in liar.asked[0][2]
