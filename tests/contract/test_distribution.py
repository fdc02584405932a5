"""Cases of the OCI distribution specification 1.1, on the real CNCF registry and on the quirk registry."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests

from tests.fakes.quirk_registry import Fault, Limits, QuirkRegistry

KIND = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(params=["registry", "quirk"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "registry":
        yield f"http://{request.getfixturevalue('registry').host}/v2/d{uuid.uuid4().hex[:12]}"
    else:
        with QuirkRegistry() as quirk:
            yield f"http://{quirk.host}/v2/d"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def begin(base: str) -> str:
    reply = requests.post(f"{base}/blobs/uploads/", timeout=10)
    assert reply.status_code == 202
    return urljoin(base, reply.headers["Location"])


def patch(url: str, data: bytes, start: int) -> requests.Response:
    span = {"Content-Range": f"{start}-{start + len(data) - 1}", "Content-Type": "application/octet-stream"}
    return requests.patch(url, data=data, headers=span, timeout=10)


def put_blob(base: str, data: bytes) -> str:
    reply = requests.put(begin(base), params={"digest": digest(data)}, data=data, timeout=10)
    assert reply.status_code == 201
    return digest(data)


def put_manifest(base: str, ref: str, blob: bytes, **more: str) -> requests.Response:
    part = {"mediaType": "application/octet-stream", "digest": digest(blob), "size": len(blob)}
    body = {"schemaVersion": 2, "mediaType": KIND, "config": part, "layers": [part], "annotations": more}
    url = f"{base}/manifests/{ref}"
    return requests.put(url, data=json.dumps(body), headers={"Content-Type": KIND}, timeout=10)


def code(reply: requests.Response) -> str:
    return str(reply.json()["errors"][0]["code"])


def test_a_blob_in_one_put_comes_back_whole_and_in_part(base: str) -> None:
    data = os.urandom(1000)
    url = f"{base}/blobs/{put_blob(base, data)}"
    assert requests.get(url, timeout=10).content == data
    assert requests.head(url, timeout=10).headers["Content-Length"] == "1000"
    part = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=10)
    assert (part.status_code, part.content) == (206, data[10:20])


def test_a_blob_in_chunks(base: str) -> None:
    data = os.urandom(1000)
    first = patch(begin(base), data[:600], 0)
    assert (first.status_code, first.headers["Range"]) == (202, "0-599")
    second = patch(urljoin(base, first.headers["Location"]), data[600:], 600)
    assert (second.status_code, second.headers["Range"]) == (202, "0-999")
    done = requests.put(urljoin(base, second.headers["Location"]), params={"digest": digest(data)}, timeout=10)
    assert done.status_code == 201
    assert requests.get(f"{base}/blobs/{digest(data)}", timeout=10).content == data


def test_a_chunk_out_of_order_is_refused_by_the_quirk_registry() -> None:
    """docker-registry 2.8.2 answers 202 to the same request: it does not support this case."""
    with QuirkRegistry() as quirk:
        assert patch(begin(f"http://{quirk.host}/v2/d"), b"late", 600).status_code == 416


def test_a_wrong_digest_is_refused(base: str) -> None:
    reply = requests.put(begin(base), params={"digest": digest(b"other")}, data=b"data", timeout=10)
    assert (reply.status_code, code(reply)) == (400, "DIGEST_INVALID")
    assert requests.head(f"{base}/blobs/{digest(b'other')}", timeout=10).status_code == 404


def test_a_manifest_by_tag_and_digest(base: str) -> None:
    put_blob(base, b"a")
    pushed = put_manifest(base, "v1", b"a")
    assert pushed.status_code == 201
    name = pushed.headers["Docker-Content-Digest"]
    by_tag, by_digest = (
        requests.get(f"{base}/manifests/{r}", headers={"Accept": KIND}, timeout=10) for r in ("v1", name)
    )
    assert by_tag.content == by_digest.content
    assert digest(by_tag.content) == name
    assert by_tag.headers["Content-Type"] == KIND


def test_what_is_unknown_is_404(base: str) -> None:
    put_blob(base, b"a")
    missing = requests.get(f"{base}/blobs/{digest(b'nothing')}", timeout=10)
    assert (missing.status_code, code(missing)) == (404, "BLOB_UNKNOWN")
    missing = requests.get(f"{base}/manifests/nothing", timeout=10)
    assert (missing.status_code, code(missing)) == (404, "MANIFEST_UNKNOWN")


def test_a_manifest_of_a_missing_blob_is_refused(base: str) -> None:
    reply = put_manifest(base, "v1", uuid.uuid4().bytes)
    assert reply.status_code in (400, 404)
    assert "BLOB_UNKNOWN" in reply.text


def test_tags_are_listed(base: str) -> None:
    put_blob(base, b"a")
    for tag in ("v2", "v1"):
        put_manifest(base, tag, b"a", tag=tag)
    assert sorted(requests.get(f"{base}/tags/list", timeout=10).json()["tags"]) == ["v1", "v2"]


def test_tags_come_in_pages_on_the_quirk_registry() -> None:
    """Pages are not asked of the real registry here."""
    with QuirkRegistry() as quirk:
        base = f"http://{quirk.host}/v2/d"
        put_blob(base, b"a")
        for tag in ("v3", "v1", "v2"):
            put_manifest(base, tag, b"a", tag=tag)
        page = requests.get(f"{base}/tags/list?n=2", timeout=10)
        assert page.json()["tags"] == ["v1", "v2"]
        rest = requests.get(urljoin(base, page.links["next"]["url"]), timeout=10)
        assert (rest.json()["tags"], rest.links) == (["v3"], {})


def test_a_patch_over_the_limit_is_refused_and_its_twin_is_taken() -> None:
    with QuirkRegistry(Limits(patch=4)) as quirk:
        base = f"http://{quirk.host}/v2/d"
        assert patch(begin(base), b"12345", 0).status_code == 416
        assert patch(begin(base), b"1234", 0).status_code == 202


@pytest.mark.parametrize(("deletes", "status"), [(True, 202), (False, 405)])
def test_deletion(deletes: bool, status: int) -> None:
    with QuirkRegistry(Limits(deletes=deletes)) as quirk:
        base = f"http://{quirk.host}/v2/d"
        url = f"{base}/blobs/{put_blob(base, b'a')}"
        assert requests.delete(url, timeout=10).status_code == status
        assert requests.get(url, timeout=10).status_code == (404 if deletes else 200)


def test_a_fault_meets_the_request_it_names() -> None:
    faults = (Fault("HEAD", "/blobs/", 2, 503, {"Retry-After": "7"}), Fault("GET", "/blobs/", 1, 0))
    with QuirkRegistry(faults=faults) as quirk:
        base = f"http://{quirk.host}/v2/d"
        url = f"{base}/blobs/{put_blob(base, b'a')}"
        replies = [requests.head(url, timeout=10) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 503, 200]
        assert replies[1].headers["Retry-After"] == "7"
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=10)
        assert requests.get(url, timeout=10).content == b"a"
