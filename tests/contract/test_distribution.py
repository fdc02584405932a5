"""Cases of the OCI distribution specification 1.1, on the real CNCF registry and on the quirk registry."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.fakes.quirk_registry import DISTRIBUTION, ECR, GAR, GHCR, Fault, Limits, QuirkRegistry
from tests.parts.registry import RealRegistry

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


def test_a_blob_whose_last_part_comes_with_the_digest(base: str) -> None:
    data = os.urandom(1000)
    first = patch(begin(base), data[:600], 0)
    span = {"Content-Range": "600-999", "Content-Type": "application/octet-stream"}
    url = urljoin(base, first.headers["Location"])
    done = requests.put(url, params={"digest": digest(data)}, data=data[600:], headers=span, timeout=10)
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, digest(data))
    assert requests.get(f"{base}/blobs/{digest(data)}", timeout=10).content == data


def test_a_blob_in_a_stream(base: str) -> None:
    """One PATCH of unknown length and no range, as docker sends it."""
    data = os.urandom(1000)
    sent = requests.patch(begin(base), data=iter([data[:600], data[600:]]), timeout=10)
    assert sent.status_code == 202
    done = requests.put(urljoin(base, sent.headers["Location"]), params={"digest": digest(data)}, timeout=10)
    assert done.status_code == 201
    assert requests.get(f"{base}/blobs/{digest(data)}", timeout=10).content == data


def test_a_blob_in_a_single_post_is_taken_or_begun(base: str) -> None:
    """docker-registry 2.8.2 begins an upload, as the specification allows."""
    data = os.urandom(1000)
    reply = requests.post(f"{base}/blobs/uploads/", params={"digest": digest(data)}, data=data, timeout=10)
    assert reply.status_code in (201, 202)
    if reply.status_code == 202:
        url = urljoin(base, reply.headers["Location"])
        assert requests.put(url, params={"digest": digest(data)}, data=data, timeout=10).status_code == 201
    assert requests.get(f"{base}/blobs/{digest(data)}", timeout=10).content == data


def test_an_empty_blob(base: str) -> None:
    assert requests.get(f"{base}/blobs/{put_blob(base, b'')}", timeout=10).content == b""


def test_a_blob_of_another_repository_is_mounted(base: str) -> None:
    data = os.urandom(1000)
    mount = {"mount": put_blob(base, data), "from": base.partition("/v2/")[2]}
    there = f"{base}-mounted"
    assert requests.post(f"{there}/blobs/uploads/", params=mount, timeout=10).status_code == 201
    assert requests.get(f"{there}/blobs/{digest(data)}", timeout=10).content == data
    missing = mount | {"mount": digest(uuid.uuid4().bytes)}
    reply = requests.post(f"{there}/blobs/uploads/", params=missing, timeout=10)
    assert (reply.status_code, bool(reply.headers["Location"])) == (202, True)


def test_how_far_an_upload_is(base: str) -> None:
    url = begin(base)
    empty = requests.get(url, timeout=10)
    assert (empty.status_code, empty.headers["Range"]) == (204, "0-0")
    sent = patch(url, b"x" * 600, 0)
    standing = requests.get(urljoin(base, sent.headers["Location"]), timeout=10)
    assert (standing.status_code, standing.headers["Range"]) == (204, "0-599")
    assert standing.headers["Location"]


def test_an_upload_that_is_cancelled_is_gone(base: str) -> None:
    url = begin(base)
    assert requests.delete(url, timeout=10).status_code == 204
    gone = requests.get(url, timeout=10)
    assert (gone.status_code, code(gone)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert requests.put(url, params={"digest": digest(b"x")}, data=b"x", timeout=10).status_code == 404


def test_an_upload_without_a_digest_does_not_end(base: str) -> None:
    reply = requests.put(begin(base), data=b"data", timeout=10)
    assert (reply.status_code, code(reply)) == (400, "DIGEST_INVALID")


def test_a_part_beyond_the_end_is_refused(base: str) -> None:
    url = f"{base}/blobs/{put_blob(base, b'x' * 100)}"
    # docker-registry 2.8.2 promises more bytes of that answer than it sends, so they are not read.
    with requests.get(url, headers={"Range": "bytes=100-"}, timeout=10, stream=True) as beyond:
        assert beyond.status_code == 416
    assert requests.get(url, headers={"Range": "bytes=99-"}, timeout=10).content == b"x"


def test_a_manifest_that_is_none_or_another_is_refused(base: str) -> None:
    url = f"{base}/manifests"
    kind = {"Content-Type": KIND}
    broken = requests.put(f"{url}/v1", data=b"{", headers=kind, timeout=10)
    assert (broken.status_code, code(broken)) == (400, "MANIFEST_INVALID")
    put_blob(base, b"a")
    other = put_manifest(base, digest(b"other"), b"a")
    assert (other.status_code, code(other)) == (400, "DIGEST_INVALID")


def test_a_manifest_is_there_or_not(base: str) -> None:
    put_blob(base, b"a")
    name = put_manifest(base, "v1", b"a").headers["Docker-Content-Digest"]
    for ref in ("v1", name):
        head = requests.head(f"{base}/manifests/{ref}", headers={"Accept": KIND}, timeout=10)
        assert (head.status_code, head.headers["Docker-Content-Digest"], head.content) == (200, name, b"")
        assert int(head.headers["Content-Length"]) > 100
    assert requests.head(f"{base}/manifests/v2", headers={"Accept": KIND}, timeout=10).status_code == 404


def test_blobs_and_manifests_are_deleted(base: str) -> None:
    put_blob(base, b"a")
    name = put_manifest(base, "v1", b"a").headers["Docker-Content-Digest"]
    for url in (f"{base}/manifests/{name}", f"{base}/blobs/{digest(b'a')}"):
        assert requests.delete(url, timeout=10).status_code == 202
        assert requests.get(url, headers={"Accept": KIND}, timeout=10).status_code == 404
        assert requests.delete(url, timeout=10).status_code == 404
    assert requests.get(f"{base}/manifests/v1", headers={"Accept": KIND}, timeout=10).status_code == 404


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


def refer(base: str, subject: str, kind: str) -> requests.Response:
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": put_blob(base, b"{}"), "size": 2}
    body = {"schemaVersion": 2, "mediaType": KIND, "artifactType": kind, "config": empty, "layers": [empty]}
    body["subject"] = {"mediaType": KIND, "digest": subject, "size": 1}
    data = json.dumps(body)
    url = f"{base}/manifests/{digest(data.encode())}"
    return requests.put(url, data=data, headers={"Content-Type": KIND}, timeout=10)


def test_a_manifest_with_a_subject_is_taken_and_without_the_api_nothing_else_is_said(base: str) -> None:
    subject = digest(b"not there yet")
    reply = refer(base, subject, "application/x")
    assert reply.status_code == 201
    assert "OCI-Subject" not in reply.headers
    assert requests.get(f"{base}/referrers/{subject}", timeout=10).status_code == 404


def test_referrers_are_listed_filtered_and_paged_by_the_quirk_registry_with_the_api() -> None:
    with QuirkRegistry(Limits(referrers=True, page=1)) as quirk:
        base, subject = f"http://{quirk.host}/v2/d", digest(b"subject")
        url = f"{base}/referrers/{subject}"
        none = requests.get(url, timeout=10)
        assert (none.status_code, none.json()["manifests"]) == (200, [])
        assert none.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
        for kind in ("application/x", "application/y"):
            assert refer(base, subject, kind).headers["OCI-Subject"] == subject
        page = requests.get(url, timeout=10)
        rest = requests.get(urljoin(url, page.links["next"]["url"]), timeout=10)
        found = [e["artifactType"] for reply in (page, rest) for e in reply.json()["manifests"]]
        assert (sorted(found), rest.links) == (["application/x", "application/y"], {})
        some = requests.get(url, params={"artifactType": "application/y"}, timeout=10)
        assert some.headers["OCI-Filters-Applied"] == "artifactType"
        assert [e["artifactType"] for e in some.json()["manifests"]] == ["application/y"]


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


# What only the quirk registry does: limits of registries that are not at hand, and faults.


def test_ghcr_takes_no_large_patch_and_deletes_nothing() -> None:
    with QuirkRegistry(GHCR) as quirk:
        base = f"http://{quirk.host}/v2/d"
        reply = patch(begin(base), bytes(4 * 2**20 + 1), 0)
        assert (reply.status_code, reply.headers["Range"]) == (416, "0-0")
        assert patch(begin(base), bytes(4 * 2**20), 0).status_code == 202
        put_blob(base, b"a")
        name = put_manifest(base, "v1", b"a").headers["Docker-Content-Digest"]
        assert requests.delete(f"{base}/manifests/{name}", timeout=10).status_code == 405


def test_ecr_takes_chunks_and_says_nothing_true_of_them() -> None:
    with QuirkRegistry(ECR) as quirk:
        base, data = f"http://{quirk.host}/v2/d", os.urandom(1000)
        url = begin(base)
        said = [patch(url, data[start : start + 400], start) for start in (0, 400)]
        assert [(reply.status_code, reply.headers["Range"]) for reply in said] == [(201, "0-399")] * 2
        span = {"Content-Range": "800-999"}
        done = requests.put(url, params={"digest": digest(data)}, data=data[800:], headers=span, timeout=10)
        assert done.status_code == 201


def test_google_takes_no_chunks_and_one_request() -> None:
    with QuirkRegistry(GAR) as quirk:
        base = f"http://{quirk.host}/v2/d"
        assert patch(begin(base), b"data", 0).status_code == 405
        assert put_blob(base, b"data") == digest(b"data")


def test_distribution_goes_on_from_the_last_address_only(registry: RealRegistry) -> None:
    """The real one and its imitation: an address that is not the last one ends the upload."""
    with QuirkRegistry(DISTRIBUTION) as quirk:
        for host in (registry.host, quirk.host):
            base = f"http://{host}/v2/d{uuid.uuid4().hex[:12]}"
            url = begin(base)
            assert patch(url, b"x" * 600, 0).status_code == 202
            late = requests.get(url, timeout=10)
            assert (late.status_code, code(late)) == (404, "BLOB_UPLOAD_INVALID"), host


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_distribution_keeps_nothing_of_a_request_that_was_cut(registry: RealRegistry, method: str) -> None:
    """The real one and its imitation; a registry that keeps it says so."""
    with QuirkRegistry(DISTRIBUTION) as quirk, QuirkRegistry() as keeps:
        standing = []
        for host in (registry.host, quirk.host, keeps.host):
            url = begin(f"http://{host}/v2/d{uuid.uuid4().hex[:12]}")
            parts = urlsplit(url)
            with socket.create_connection((parts.hostname or "", parts.port or 0)) as line:
                query = f"{parts.query}&digest={digest(b'never')}"
                head = f"{method} {parts.path}?{query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 1000\r\n\r\n"
                line.sendall(head.encode() + b"x" * 600)
                time.sleep(0.2)
            time.sleep(0.2)
            reply = requests.get(url, timeout=10)
            standing.append((reply.status_code, reply.headers.get("Range")))
        assert standing == [(404, None), (404, None), (204, "0-599")]


@pytest.mark.parametrize("says", ["short", "long", "none"])
def test_what_an_upload_has_may_be_a_lie(says: Literal["short", "long", "none"]) -> None:
    with QuirkRegistry(Limits(range=says)) as quirk:
        reply = patch(begin(f"http://{quirk.host}/v2/d"), b"x" * 600, 0)
        assert reply.headers.get("Range") == {"short": "0-299", "long": "0-1599", "none": None}[says]


@pytest.mark.parametrize("after", [0, 1, 500, 999])
def test_a_request_is_cut_at_its_byte(after: int) -> None:
    with QuirkRegistry(faults=(Fault("PUT", "/uploads/", 1, 0, after=after),)) as quirk:
        base, data = f"http://{quirk.host}/v2/d", os.urandom(1000)
        url = begin(base)
        with pytest.raises(requests.ConnectionError):
            requests.put(url, params={"digest": digest(data)}, data=data, timeout=10)
        assert requests.get(url, timeout=10).headers["Range"] == f"0-{max(after - 1, 0)}"
        assert quirk.received == after


def test_a_reply_is_swallowed_after_the_deed() -> None:
    faults = (Fault("PUT", "/uploads/", 1, 0, acted=True), Fault("PUT", "/manifests/", 1, 0, acted=True))
    with QuirkRegistry(faults=faults) as quirk:
        base = f"http://{quirk.host}/v2/d"
        with pytest.raises(requests.ConnectionError):
            put_blob(base, b"a")
        assert requests.get(f"{base}/blobs/{digest(b'a')}", timeout=10).content == b"a"
        with pytest.raises(requests.ConnectionError):
            put_manifest(base, "v1", b"a")
        assert requests.get(f"{base}/tags/list", timeout=10).json()["tags"] == ["v1"]


def test_a_slow_registry_is_slow_and_ends_uploads_in_time() -> None:
    data = os.urandom(400_000)
    with QuirkRegistry(Limits(rate=1_000_000)) as quirk:
        began = time.monotonic()
        put_blob(f"http://{quirk.host}/v2/d", data)
        assert 0.3 < time.monotonic() - began < 3
    with QuirkRegistry(Limits(rate=1_000_000, upload_seconds=0.1)) as quirk, pytest.raises(requests.ConnectionError):
        put_blob(f"http://{quirk.host}/v2/d", data)
