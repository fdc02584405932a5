"""A bundle as one file: written, read back, exchanged with skopeo and tar; and whatever is no whole archive of one bundle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promote.adapters.oci.archive import Archive
from promote.adapters.oci.archive_writing import ArchiveFile, ArchiveStream
from promote.adapters.oci.registry import open_registry
from promote.core.cargo import parts_of
from promote.errors import InputError, IntegrityError, NotFound, PromoteError
from tests.contract.test_carrying import KIND, index_of, made, variants
from tests.fakes.registry import Steps, make_bundle, on_disk

pytestmark = pytest.mark.registry


def export(tmp_path, name="ner.tar", **more):
    """A file with a bundle and two referrers, where it came from, and its bytes."""
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}", **more)
    path = tmp_path / name
    ArchiveFile(path).take(origin.collect("ner", stored.digest), Steps())
    return path, origin, stored


def imported(path, base):
    archive = Archive(path)
    goal = open_registry(str(base), env={})
    goal.take(archive.collect(*archive.bundle()), Steps())
    return goal


@pytest.fixture(params=["layout", "registry"])
def base(request, tmp_path):
    if request.param == "layout":
        return f"oci:{tmp_path / 'goal'}"
    return f"http://{request.getfixturevalue('registry').host}/a{uuid.uuid4().hex[:8]}"


def test_what_was_exported_comes_back_with_what_refers_to_it(tmp_path, base):
    path, origin, stored = export(tmp_path)
    goal = imported(path, base)
    there = goal.resolve("ner", "v1")
    assert (there.digest, there.manifest) == (stored.digest, stored.manifest)
    assert {r.digest for r in goal.referrers(there)} == {r.digest for r in origin.referrers(stored)}
    assert len(goal.fetch(there, str(tmp_path / "out"), Steps())) == len(stored.files)


def test_an_index_comes_back_with_its_variants(tmp_path, base):
    parts = variants(f"oci:{tmp_path / 'part'}")
    origin, _, _ = made(f"oci:{tmp_path / 'origin'}")
    layout = tmp_path / "origin/ner"
    for _, stored in parts:
        for blob in (Path(stored.repository.removeprefix("oci:")) / "blobs/sha256").iterdir():
            shutil.copyfile(blob, layout / "blobs/sha256" / blob.name)
    digest = index_of(layout, [stored for _, stored in parts])
    ArchiveFile(tmp_path / "f.tar").take(origin.collect("ner", "v7"), Steps())
    goal = imported(tmp_path / "f.tar", base)
    assert goal.collect("ner", "v7").root.digest == digest
    assert goal.resolve("ner", parts[1][1].digest).manifest == parts[1][1].manifest


def test_the_same_bundle_is_the_same_file_wherever_it_lies(tmp_path, registry):
    path, origin, stored = export(tmp_path)
    there = open_registry(f"http://{registry.host}/d{uuid.uuid4().hex[:8]}", env={})
    there.take(origin.collect("ner", "v1"), Steps())
    piped = io.BytesIO()
    ArchiveStream(piped).take(there.collect("ner", "v1"), Steps())
    assert piped.getvalue() == path.read_bytes()
    origin.attach(stored, KIND, b"another", {})
    piped = io.BytesIO()
    ArchiveStream(piped).take(origin.collect("ner", "v1"), Steps())
    assert piped.getvalue() != path.read_bytes()


def test_pythons_and_gnus_tar_read_it_and_what_they_unpack_is_a_layout(tmp_path):
    path, _, stored = export(tmp_path)
    with tarfile.open(path) as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode, m.isreg()) for m in members} == {(0, 0, 0, "", 0o644, True)}
    (tmp_path / "unpacked/ner").mkdir(parents=True)
    subprocess.run(["tar", "-xf", str(path), "-C", str(tmp_path / "unpacked/ner")], check=True)
    layout = open_registry(f"oci:{tmp_path / 'unpacked'}", env={})
    assert layout.resolve("ner", "v1").digest == stored.digest
    assert len(layout.referrers(layout.resolve("ner", "v1"))) == 2
    packed = tmp_path / "packed.tar"
    subprocess.run(["tar", "-cf", str(packed), "-C", str(tmp_path / "unpacked/ner"), "."], check=True)
    assert Archive(packed).bundle() == ("ner", stored.digest)


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed: apt-get install skopeo")
def test_skopeo_reads_it_and_what_skopeo_writes_is_read(tmp_path):
    path, _, stored = export(tmp_path)
    for folder in ("sk", "sk2"):
        (tmp_path / folder).mkdir()
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q"]
    subprocess.run([*skopeo, f"oci-archive:{path}:v1", f"oci:{tmp_path / 'sk/ner'}:v1"], check=True)
    assert open_registry(f"oci:{tmp_path / 'sk'}", env={}).resolve("ner", "v1").manifest == stored.manifest
    for name in ("back.tar:v1", "nameless.tar"):
        subprocess.run([*skopeo, f"oci:{tmp_path / 'sk/ner'}:v1", f"oci-archive:{tmp_path / name}"], check=True)
        goal = imported(tmp_path / name.partition(":")[0], f"oci:{tmp_path / name}-goal")
        assert goal.resolve("ner", "v1").digest == stored.digest
    alone = open_registry(f"oci:{tmp_path / 'alone'}", env={})
    alone.push(make_bundle(), Steps())
    ArchiveFile(tmp_path / "alone.tar").take(alone.collect("ner", "v1"), Steps())
    subprocess.run([*skopeo, f"oci-archive:{tmp_path / 'alone.tar'}", f"oci:{tmp_path / 'sk2/ner'}:v1"], check=True)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    blob = tmp_path / "origin/ner/blobs/sha256" / stored.files["ner/1/model.onnx"].digest[7:]
    blob.write_bytes(b"x" * blob.stat().st_size)
    path = tmp_path / "out/ner.tar"
    path.parent.mkdir()
    with pytest.raises(IntegrityError):
        ArchiveFile(path).take(origin.collect("ner", "v1"), Steps())
    assert list(path.parent.iterdir()) == []
    path.mkdir()
    with pytest.raises(InputError, match="no plain file"):
        ArchiveFile(path).take(origin.collect("ner", "v1"), Steps())
    with pytest.raises(InputError):
        ArchiveFile(tmp_path / "nowhere/ner.tar").take(origin.collect("ner", "v1"), Steps())


@pytest.mark.slow
def test_a_file_beyond_eight_gigabytes_is_told_in_gnus_form(tmp_path):
    """Sparse on the disk; nothing but its header and its end are read."""
    path = tmp_path / "large.tar"
    info = tarfile.TarInfo(f"blobs/sha256/{'0' * 64}")
    info.size = 9 * 2**30
    layout = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"schemaVersion":2,"manifests":[]}'}
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(info.size, os.SEEK_CUR)
        file.write(tar_of(layout.items()))
    with pytest.raises(IntegrityError, match="holds 0 bundles"):
        Archive(path).bundle()


# What is refused.


def tar_of(members, **how):
    """A tar of (name, bytes) or of ``TarInfo`` with bytes, as Python's own library writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **({"format": tarfile.USTAR_FORMAT} | how)) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def info(name, **more):
    made = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(made, key, value)
    return made


@pytest.fixture
def whole(tmp_path):
    """Members of an archive that is well, by name."""
    path, _, _ = export(tmp_path)
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


BLOB = "blobs/sha256/" + "0" * 64
LONG = "blobs/sha256/" + "a" * 120
HOSTILE = {
    "traversal": [(info("../evil"), b"x")],
    "absolute": [(info("/etc/cron.d/evil"), b"x")],
    "within": [(info("blobs/sha256/../../evil"), b"x")],
    "backslash": [(info("blobs\\sha256\\evil"), b"x")],
    "capital digest": [(info(BLOB.replace("0", "A")), b"x")],
    "newline": [(info(BLOB + "\n"), b"x")],
    "twice dotted": [(info("././index.json"), b"x")],
    "another file": [(info("blobs/sha512/x"), b"x")],
    "another folder": [(info("evil", type=tarfile.DIRTYPE), b"")],
    "symlink": [(info(BLOB, type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")],
    "hard link": [(info(BLOB, type=tarfile.LNKTYPE, linkname="index.json"), b"")],
    "symlink of a folder": [(info("blobs", type=tarfile.SYMTYPE, linkname="/tmp"), b"")],
    "device": [(info(BLOB, type=tarfile.CHRTYPE, devmajor=1, devminor=5), b"")],
    "pipe": [(info(BLOB, type=tarfile.FIFOTYPE), b"")],
    "sparse": [(info(BLOB, type=tarfile.GNUTYPE_SPARSE), b"")],
    "twice": [("index.json", b"{}")],
    "a blob twice": [(BLOB, b"x"), (BLOB, b"y")],
    "dotted twin": [("./index.json", b"{}")],
    "unknown type": [(info(BLOB, type=b"Z"), b"")],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_plain_file_of_a_layout_is_refused(tmp_path, whole, name, first):
    extra, well = HOSTILE[name], list(whole.items())
    path = tmp_path / "hostile.tar"
    path.write_bytes(tar_of([*extra, *well] if first else [*well, *extra]))
    with pytest.raises(IntegrityError) as refused:
        Archive(path)
    assert "\n" not in refused.value.message
    path.write_bytes(tar_of(well))
    assert Archive(path).bundle()[0] == "ner"  # its twin is well


@pytest.mark.parametrize(
    "how",
    [
        {"format": tarfile.PAX_FORMAT, "pax_headers": {"comment": "x" * 200_000}},
        {"format": tarfile.PAX_FORMAT, "pax_headers": {"size": "1"}},
        {"format": tarfile.PAX_FORMAT},
        {"format": tarfile.GNU_FORMAT},
    ],
)
def test_pax_records_and_long_names_are_refused(tmp_path, whole, how):
    path = tmp_path / "pax.tar"
    path.write_bytes(tar_of([*whole.items(), (LONG, b"x")], **how))
    with pytest.raises(IntegrityError, match=r"a pax record|a long name of GNU tar"):
        Archive(path)


def changed(whole, name, edit):
    return dict(whole) | {name: edit(whole[name])}


def manifest_of(whole):
    index = json.loads(whole["index.json"])
    return f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "oci-layout"}, "has no oci-layout"),
        (lambda w: {k: v for k, v in w.items() if k != "index.json"}, r"has no index\.json"),
        (
            lambda w: changed(w, "oci-layout", lambda _: b'{"imageLayoutVersion":"2.0.0"}'),
            "not an OCI layout of version",
        ),
        (lambda w: changed(w, "index.json", lambda _: b"[]"), "not an index of manifests"),
        (lambda w: changed(w, "index.json", lambda _: b'{"manifests":[],"manifests":[]}'), "a key is there twice"),
        (lambda w: changed(w, "index.json", lambda _: b'{"manifests":[]}'), "holds 0 bundles"),
        (lambda w: changed(w, "index.json", lambda _: b" " * (4 * 2**20 + 1)), "expected 4,194,304 at most"),
        (lambda w: changed(w, "index.json", lambda d: d.replace(b"sha256:", b"sha256:/", 1)), "is not a digest"),
        (lambda w: changed(w, manifest_of(w), lambda d: d.replace(b"ner", b"NER", 1)), "has digest"),
        (lambda w: changed(w, manifest_of(w), lambda d: d + b" "), "bytes, expected"),
        (lambda w: {k: v for k, v in w.items() if k != manifest_of(w)}, "has no blob"),
    ],
)
def test_a_layout_that_is_none_is_refused(tmp_path, whole, members, told):
    path = tmp_path / "odd.tar"
    path.write_bytes(tar_of(members(whole).items()))
    with pytest.raises((IntegrityError, NotFound), match=told):
        Archive(path).bundle()


def test_two_bundles_in_one_file_are_refused_by_name(tmp_path):
    origin, _, _ = made(f"oci:{tmp_path / 'origin'}")
    origin.push(make_bundle(version=2), Steps())
    path = tmp_path / "two.tar"
    layout = tmp_path / "origin/ner"
    path.write_bytes(
        tar_of(
            (str(p.relative_to(layout)), p.read_bytes())
            for p in layout.rglob("*")
            if p.suffix != ".lock" and p.is_file()
        )
    )
    with pytest.raises(IntegrityError, match=r"holds 2 bundles \(v1, v2\), expected one"):
        Archive(path).bundle()


def test_an_image_that_is_no_bundle_is_told_so(tmp_path, whole):
    manifest = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}'
    digest = hashlib.sha256(manifest).hexdigest()
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{digest}",
        "size": len(manifest),
    }
    members = {"oci-layout": whole["oci-layout"], "index.json": json.dumps({"manifests": [entry]}).encode()}
    path = tmp_path / "image.tar"
    path.write_bytes(tar_of([*members.items(), (f"blobs/sha256/{digest}", manifest)]))
    with pytest.raises(IntegrityError, match="holds no bundle of promote"):
        Archive(path).bundle()


@pytest.mark.parametrize("damage", ["other bytes", "missing", "longer"])
def test_a_blob_that_is_not_what_its_name_says_is_not_taken(tmp_path, whole, damage, base):
    path = tmp_path / "damaged.tar"
    layers = parts_of(whole[manifest_of(whole)], "it")
    name = f"blobs/sha256/{layers[-1].digest[7:]}"
    members = dict(whole)
    if damage == "missing":
        del members[name]
    else:
        members[name] = bytes(len(whole[name]) + (damage == "longer"))
    path.write_bytes(tar_of(members.items()))
    with pytest.raises((IntegrityError, NotFound)):
        imported(path, base)
    with pytest.raises(NotFound):
        open_registry(str(base), env={}).resolve("ner", "v1")


def test_what_is_no_file_is_told_so(tmp_path):
    with pytest.raises(NotFound, match="no file"):
        Archive(tmp_path / "none.tar")
    (tmp_path / "link.tar").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.tar")
    for name in ("link.tar", "pipe.tar", "."):
        with pytest.raises(PromoteError):
            Archive(tmp_path / name)
    for content in (b"", b"x" * 511, b"x" * 512, bytes(512), b"PK\x03\x04" + bytes(2000), b"\x1f\x8b" + bytes(2000)):
        (tmp_path / "odd").write_bytes(content)
        with pytest.raises(IntegrityError):
            Archive(tmp_path / "odd")


def test_what_follows_the_end_is_refused(tmp_path, whole):
    path = tmp_path / "followed.tar"
    path.write_bytes(tar_of(whole.items()) + tar_of([("index.json", b"{}")]))
    with pytest.raises(IntegrityError, match="does not end where its end mark is"):
        Archive(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_file_is_never_taken_for_a_whole_one(tmp_path, whole, data):
    bytes_of_it = tar_of(whole.items())
    end = len(bytes_of_it.rstrip(b"\0")) // 512 * 512 + 512  # the content's end: zeros alone come after
    path = tmp_path / "cut.tar"
    path.write_bytes(bytes_of_it[: data.draw(st.integers(0, end + 1023))])
    with pytest.raises(IntegrityError):
        Archive(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_byte_is_changed_the_bundle_is_the_same_or_refused(tmp_path, whole, data):
    """A header's owner or time may change, which nobody reads; a bundle of other bytes is never taken."""
    damaged = bytearray(tar_of(whole.items()))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path, goal = tmp_path / "fuzz.tar", tmp_path / f"goal-{uuid.uuid4().hex}"
    path.write_bytes(bytes(damaged))
    digest = f"sha256:{manifest_of(whole)[-64:]}"
    try:
        registry = imported(path, f"oci:{goal}")
    except PromoteError as error:
        told = error.message
    else:
        assert registry.resolve("ner", "v1").digest == digest
        told = ""
    assert "\n" not in told


@pytest.mark.slow
def test_a_large_bundle_is_exported_and_imported_in_little_memory(tmp_path):
    weights = tmp_path / "w"
    with weights.open("wb") as file:
        file.truncate(400 * 2**20)
    made(f"oci:{tmp_path / 'origin'}", {"model.onnx": b"m", "w.data": on_disk(weights)})
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from promote.cli.main import run\n"
        "assert run(['export', sys.argv[1], 'l.tar', '-q']) == 0\n"
        "assert run(['import', 'l.tar', sys.argv[2], '-q']) == 0\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    command = [sys.executable, "-c", script, f"oci:{tmp_path / 'origin'}/ner:v1", f"oci:{tmp_path / 'back'}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert int(done.stdout.split()[-1]) < 150 * 1024
