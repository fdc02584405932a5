"""The commands that read bundles, as they are typed: what they print, and every way in which a registry can fail them."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from promote.adapters.oci.registry import open_registry
from promote.cli.main import run
from promote.core.evidence import VERDICT_TYPE, annotations_of
from promote.core.variants import Kind
from promote.core.verdict import judge
from tests.contract.test_pull import served, tree
from tests.e2e.project import Typed
from tests.fakes.quirk_registry import Limits, QuirkRegistry
from tests.fakes.registry import Steps
from tests.parts.registry import SECRET, USER, RealRegistry
from tests.parts.tls import Authority

TOLD = json.dumps(
    {
        "verdict": "compatible", "target": {"name": "calypso"}, "findings": [], "plan": {"format": "onnx", "reasons": []},
        "lineage": {"run_id": "4f2a", "experiment": "", "metrics": {"f1": 0.93}}, "files": {},
        "parity": {
            "tolerance": {"absolute": 1e-4, "relative": 1e-3},
            "differences": [{"max_absolute": 2e-6, "output": "y", "case": "typical"}],
        },
    }
).encode()  # fmt: skip


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Typed]:
    """Types a command in an empty folder of settings; an error is one line, a blank one and a hint."""
    for name in ("PROMOTE_CONFIG", "PROMOTE_REGISTRY_USERNAME", "PROMOTE_REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("promote.toml").write_text("")

    def type_it(*arguments: str, code: int = 0) -> Typed:
        capsys.readouterr()
        said = Typed(run(list(arguments)), *capsys.readouterr())
        assert said.code == code, said
        if code:
            lines = said.err.splitlines()
            assert lines[-3].startswith("error: "), said
            assert lines[-2] == "", said
            assert lines[-1].startswith("hint: "), said
        return said

    return type_it


def reads(reference: str) -> list[tuple[str, ...]]:
    """Every command that reads one bundle."""
    return [
        ("pull", reference, "served"),
        ("inspect", reference),
        ("verify", reference),
        ("diff", reference, reference),
    ]


def rows(said: Typed) -> list[dict]:
    return json.loads(said.out)["bundles"]


def test_each_command_ends_with_the_digest(typed, registry: RealRegistry, tmp_path: Path) -> None:
    base = f"{registry.host}/t{uuid.uuid4().hex[:12]}"
    digest = open_registry(base, env={}).push(served(passport=TOLD), Steps()).stored.reference
    for reference in (f"{base}/ner:v1", f"http://{base}/ner:v1", digest):
        for command in reads(reference):
            assert typed(*command).last == digest
    assert typed("inspect", "ner:v1", "--registry", base).last == digest
    assert typed("pull", digest, "served", "--quiet").err == ""
    assert tree(tmp_path / "served") == {path: blob.data for path, blob in served(passport=TOLD).files.items()}


def test_json_is_one_object(typed, tmp_path: Path) -> None:
    stored = open_registry(f"oci:{tmp_path}/bundles", env={}).push(served(passport=TOLD), Steps()).stored
    for command in reads("oci:bundles/ner:v1"):
        said = json.loads(typed(*command, "--json").out)
        assert (said["command"], said["exit"]["code"]) == (command[0], 0)
        assert stored.reference in said.values()
    again = json.loads(typed("pull", "oci:bundles/ner:v1", "served", "--json").out)
    assert (again["there"], again["files"]) == (True, len(stored.files))
    (tmp_path / "served/ner/config.pbtxt").write_text("other")
    said = typed("verify", "oci:bundles/ner:v1", "served", "--quiet", code=6)
    assert said.out.splitlines()[1].split() == ["folder", "ner/config.pbtxt", "has", "other", "bytes"]
    assert "@sha256" not in said.last  # nothing that could be taken for an answer
    code = run(["verify", "oci:bundles/ner:v1", "served", "--json"])
    assert code == 6


def test_a_host_that_is_not_there(typed) -> None:
    for command in reads("127.0.0.1:9/ner:v1"):
        assert "http://127.0.0.1:9/v2/ner/manifests/v1 cannot be reached: no connection" in typed(*command, code=5).err


@contextmanager
def over_tls(folder: Path) -> Iterator[str]:
    """A server with a certificate of an authority that nobody trusts."""
    pair = Authority(folder / "ca").sign("registry")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_certificate_that_nobody_trusts(typed, tmp_path: Path) -> None:
    with over_tls(tmp_path) as url:
        for command in reads(f"{url}/ner:v1"):
            assert "cannot be reached: a TLS failure" in typed(*command, code=5).err


def test_wrong_credentials_and_none(typed, htpasswd_registry: RealRegistry, monkeypatch) -> None:
    base = f"{htpasswd_registry.host}/t{uuid.uuid4().hex[:12]}"
    login = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
    open_registry(base, env=login).push(served(passport=TOLD), Steps())
    for command in reads(f"{base}/ner:v1"):
        assert "asks for a user and password, and none are known" in typed(*command, code=4).err
    monkeypatch.setenv("PROMOTE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", "canary-wrong")
    for command in reads(f"{base}/ner:v1"):
        said = typed(*command, code=4)
        assert "answers 401" in said.err
        assert "canary" not in said.err + said.out
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", SECRET)
    for command in reads(f"{base}/ner:v1"):
        typed(*command)


def test_a_repository_or_version_that_is_not_there(typed, registry: RealRegistry, tmp_path: Path) -> None:
    base = f"{registry.host}/t{uuid.uuid4().hex[:12]}"
    for command in reads(f"{base}/ner:v1"):
        assert f"{base}/ner:v1 is not there" in typed(*command, code=3).err
    open_registry(base, env={}).push(served(passport=TOLD), Steps())
    for command in reads(f"{base}/ner:v2"):
        typed(*command, code=3)
    for command in reads("oci:nowhere/ner:v1"):
        assert "is no OCI layout" in typed(*command, code=3).err
    assert not (tmp_path / "served").exists()
    assert not (tmp_path / "nowhere").exists()


def put(real: RealRegistry, repository: str, tag: str, kind: str, value: dict) -> None:
    """A manifest of others, with an empty config and one layer."""
    for data in (b"{}", b"layer"):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        place = requests.post(f"http://{real.host}/v2/{repository}/blobs/uploads/", timeout=10).headers["Location"]
        assert requests.put(f"{place}&digest={digest}", data=data, timeout=10).status_code == 201
    url = f"http://{real.host}/v2/{repository}/manifests/{tag}"
    assert requests.put(url, json=value, headers={"Content-Type": kind}, timeout=10).status_code == 201


def part(kind: str, data: bytes) -> dict:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


DOCKER, OCI = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize(
    ("kind", "config", "layer"),
    [
        (DOCKER, "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (OCI, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ],
)
def test_a_container_image_is_no_bundle(typed, registry: RealRegistry, kind: str, config: str, layer: str) -> None:
    base = f"t{uuid.uuid4().hex[:12]}"
    image = {"schemaVersion": 2, "mediaType": kind, "config": part(config, b"{}"), "layers": [part(layer, b"layer")]}
    put(registry, f"{base}/ner", "v1", kind, image)
    for command in reads(f"{registry.host}/{base}/ner:v1"):
        said = typed(*command, code=6)
        assert f"{registry.host}/{base}/ner" in said.err
        assert "container image" in said.err


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("ner", "names no version"),
        ("s3://bucket/ner:v1", "s3:// is no registry or layout"),
        ("https://ada:canary@ghcr.io/ner:v1", "may hold no user"),
        ("169.254.169.254/ner:v1", "link-local"),
        ("oci:bundles/Ner:v1", "names no model"),
    ],
)
def test_what_is_no_reference(typed, reference: str, told: str) -> None:
    for command in reads(reference):
        said = typed(*command, code=2)
        assert told in said.err
        assert "canary" not in said.err


@pytest.fixture(params=["layout", "registry"])
def base(request: pytest.FixtureRequest) -> str:
    if request.param == "layout":
        return "oci:bundles"
    real: RealRegistry = request.getfixturevalue("registry")
    return f"{real.host}/t{uuid.uuid4().hex[:12]}"


def test_list_tells_of_every_bundle_newest_first(typed, base: str, monkeypatch) -> None:
    registry = open_registry(base, env={})
    stored = {n: registry.push(served(version=n), Steps()).stored for n in (2, 10, 1)}
    registry.push(served("other"), Steps())
    verdict = judge(stored[2], "proteus", ())
    registry.attach(stored[2], VERDICT_TYPE, b"{}", annotations_of(verdict, b"{}", "2026-11-24T12:00:00Z"))
    listed = rows(typed("list", f"{base}/ner", "--json"))
    assert [row["tag"] for row in listed] == ["v10", "v2", "v1"]  # and not the list of referrers, which is a tag too
    assert [row["digest"] for row in listed] == [stored[n].digest for n in (10, 2, 1)]
    assert listed[1]["targets"] == {"calypso": "compatible", "proteus": "compatible"}
    assert listed[0]["targets"] == {"calypso": "compatible"}
    assert listed[0]["size"] == sum(blob.size for blob in stored[10].files.values())
    assert {row["created"] for row in listed} == {"2023-11-14T22:13:20Z"}
    for everything in (["list", base], ["list", "--registry", base]):
        assert {row["name"] for row in rows(typed(*everything, "--json"))} == {"ner", "other"}
    table = typed("list", f"{base}/other").out.splitlines()
    assert len(table) == 2
    assert table[1].split()[:2] == ["other", "v1"]


def test_an_index_is_listed_with_its_variants(typed, base: str) -> None:
    registry, kinds = open_registry(base, env={}), [Kind(format="onnx", precision=p) for p in ("fp32", "fp16")]
    pushed = [
        registry.push(served(weight=w, **{"same.bin": b"s" * 9}), Steps(), alone=False).stored for w in (2.0, 3.0)
    ]
    index = registry.gather(list(zip(kinds, pushed, strict=True)))
    (row,) = rows(typed("list", f"{base}/ner", "--json"))
    assert (row["kind"], row["digest"]) == ("2 variants", index.digest)
    sizes = {blob.digest: blob.size for stored in pushed for blob in stored.files.values()}
    assert row["size"] == sum(sizes.values())


def test_what_is_no_bundle_is_listed_as_that(typed, registry: RealRegistry) -> None:
    path = f"t{uuid.uuid4().hex[:12]}"
    open_registry(f"{registry.host}/{path}", env={}).push(served(), Steps())
    config, layer = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
    image = {"schemaVersion": 2, "mediaType": OCI, "config": part(config, b"{}"), "layers": [part(layer, b"layer")]}
    put(registry, f"{path}/ner", "latest", OCI, image)
    bundle, other = rows(typed("list", f"{registry.host}/{path}/ner", "--json"))
    assert (bundle["tag"], bundle["kind"], bundle["fault"]) == ("v1", "bundle", "")
    assert (other["tag"], other["kind"], other["digest"]) == ("latest", "no bundle", "")
    assert "container image" in other["fault"]


def test_tags_are_read_page_by_page(typed) -> None:
    with QuirkRegistry(Limits(page=2)) as quirk:
        registry = open_registry(f"http://{quirk.host}/q", env={})
        for version in range(1, 8):
            registry.push(served(version=version), Steps())
        listed = rows(typed("list", f"http://{quirk.host}/q/ner", "--json"))
        assert [row["tag"] for row in listed] == [f"v{version}" for version in range(7, 0, -1)]
        assert sum("/tags/" in path for _, path in quirk.requests) >= 4


def test_a_registry_that_lists_no_repositories_wants_a_model(typed) -> None:
    with QuirkRegistry() as quirk:
        open_registry(f"http://{quirk.host}/q", env={}).push(served(), Steps())
        assert "does not list its repositories" in typed("list", "--registry", f"http://{quirk.host}/q", code=2).err
        assert "q/none holds no bundle" in typed("list", f"http://{quirk.host}/q/none", code=3).err
        assert len(rows(typed("list", f"http://{quirk.host}/q/ner", "--json"))) == 1


def test_a_damaged_layout_does_not_hide_the_others(typed, tmp_path: Path) -> None:
    registry = open_registry("oci:bundles", env={})
    for name in ("one", "two"):
        registry.push(served(name), Steps())
    (tmp_path / "bundles/one/index.json").write_text("{")
    one, two = rows(typed("list", "oci:bundles", "--json"))
    assert (one["name"], one["kind"], two["name"], two["kind"]) == ("one", "no bundle", "two", "bundle")
    assert "plain JSON" in one["fault"]


def test_what_cannot_be_listed(typed, htpasswd_registry: RealRegistry) -> None:
    assert "names one bundle, expected a model" in typed("list", "ner:v1", code=2).err
    assert "cannot be reached" in typed("list", "127.0.0.1:9/ner", code=5).err
    assert "none are known" in typed("list", f"{htpasswd_registry.host}/ner", code=4).err
    assert "holds no bundle" in typed("list", "ner", code=3).err
    assert rows(typed("list", "--json")) == []  # nothing was pushed yet
