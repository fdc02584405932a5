"""``promote pull`` and ``promote copy`` to a bucket are killed midway and typed again: what travels twice, counted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from promote.adapters.oci.registry import open_registry
from promote.core.stages import Stored
from tests.e2e.project import PROMOTE, Project, Typed, clean
from tests.fakes.mirrored import whole_bundle
from tests.parts.registry import RealRegistry
from tests.parts.s3_server import S3
from tests.parts.wire import wire

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MIB = 2**20
OVERHEAD = 200_000  # headers, manifests, lists
PART = 16 * MIB


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, "sqlite:///none.db")
    made.write()
    return made


def killed(project: Project, *arguments: str, env: Mapping[str, str], when: Callable[[], bool]) -> None:
    """Types the command and kills it, with every thread and child, as soon as ``when`` says so."""
    process = subprocess.Popen(
        [PROMOTE, *arguments], cwd=project.folder, env=clean(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not when() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    _, told = process.communicate(timeout=30)
    assert alive, told
    time.sleep(1)  # what the wire had taken arrives


def test_a_pull_reads_again_what_was_on_its_way_alone(project: Project, registry: RealRegistry) -> None:
    parts = {f"part{n:02}.bin": os.urandom((2 + n % 5) * MIB) for n in range(14)}
    stored = whole_bundle(open_registry(f"http://{registry.host}/killed", env={}), "ner", 1, more=parts)
    total = sum(blob.size for blob in stored.files.values())
    with wire(registry.host, 4 * MIB) as line:
        pull = ("pull", f"http://{line.host}/killed/ner:v1", "here")
        killed(project, *pull, env={}, when=lambda: line.came > total * 0.6)
        assert not (project.folder / "here").exists()
        finished = _finished(project.folder / ".here.pull", stored)
        assert MIB < finished < total
        before = line.came
        project(*pull)
        assert line.came - before < total - finished + OVERHEAD
    project("verify", f"http://{registry.host}/killed/ner:v1", "here")
    assert {path.name for path in project.folder.iterdir()} == {"here", "promote.toml"}


def _finished(staging: Path, stored: Stored) -> int:
    """Bytes of the files that have their names; each is whole, and everything else has a name of its own kind."""
    done = 0
    for path in staging.rglob("*"):
        name = str(path.relative_to(staging))
        if path.is_file() and not name.startswith(".partial-"):
            assert path.stat().st_size == stored.files[name].size
            done += stored.files[name].size
    return done


def test_a_copy_to_a_bucket_sends_again_the_parts_that_were_on_their_way_alone(project: Project, s3: S3) -> None:
    size = 8 * PART
    stored = whole_bundle(
        open_registry(f"oci:{project.folder}/bundles", env={}), "ner", 1, more={"model.data": os.urandom(size)}
    )
    bucket = s3.bucket()
    key = {"Bucket": bucket, "Key": "mirror/ner/1/model.data"}
    copy = ("copy", "oci:bundles/ner:v1", f"s3://{bucket}/mirror")

    def parts() -> list[int]:
        begun = s3.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        found = [s3.client.list_parts(**key, UploadId=one["UploadId"]).get("Parts", []) for one in begun]
        return [part["Size"] for several in found for part in several]

    with wire(s3.url.removeprefix("http://"), 12 * MIB) as line:
        env = s3.environment | {"AWS_ENDPOINT_URL_S3": f"http://{line.host}"}
        killed(project, *copy, env=env, when=lambda: line.sent > 5 * PART and len(parts()) >= 2)
        there = sum(parts())
        assert PART <= there < size
        names = [one["Key"] for one in s3.client.list_objects_v2(Bucket=bucket).get("Contents", [])]
        assert key["Key"] not in names
        assert "mirror/ner/config.pbtxt" not in names  # Triton sees nothing of it
        before = line.sent
        typed: Typed = project(*copy, env=env)
        assert line.sent - before < size - there + OVERHEAD
    assert f"{there:,} had arrived before" in typed.err
    assert s3.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    project("verify", "oci:bundles/ner:v1", f"s3://{bucket}/mirror", env=s3.environment)
    assert {blob.size for blob in stored.files.values()} >= {size}
    assert list((project.folder / ".promote").glob("work-*")) == []
