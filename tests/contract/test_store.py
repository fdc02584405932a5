"""The ``Store`` port: one suite for the fake, a folder on disk, a bucket and a folder of another host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promote.adapters.model_repository import ModelRepository
from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.s3 import S3Space
from promote.adapters.repository.ssh import SshSpace
from promote.core.bundle_files import read_config
from promote.core.golden import split
from promote.core.passport import sha256
from promote.core.repository_place import S3Place, SshPlace
from promote.core.stages import Deployed
from promote.errors import InputError, IntegrityError, NotFound, PromoteError, Unavailable
from tests.fakes.bundle import TOLERANCE, Bundle, bundle, contents, fetched, lying, samples
from tests.fakes.store import FakeStore
from tests.parts.s3_server import S3
from tests.parts.ssh_server import SSHD

if TYPE_CHECKING:
    from promote.ports import Store


@dataclass
class Shop:
    """A store, and ways to look at what a server would see of it."""

    store: Store
    folder: Path
    policy: Callable[[str], tuple[int, ...]]
    versions: Callable[[str], set[int]]

    def bundle(self, name: str, version: int, weight: float = 2.0, **more: bytes) -> Bundle:
        return bundle(self.folder / f"{name}-{version}-{weight}", name, version, weight, **more)

    def live(self, made: Bundle, since: str = "2026-11-23T10:00:00Z") -> Deployed:
        stored = made[0]
        deployed = Deployed(
            name=stored.name,
            version=stored.version,
            digest=stored.digest,
            repository=stored.repository,
            since=since,
            by="tests",
            state="live",
        )
        self.store.commit(deployed)
        return deployed


def named(data: bytes, name: str) -> tuple[int, ...]:
    return tuple(read_config(data, name).version_policy.specific.versions)


def bucket_shop(s3: S3, folder: Path) -> Shop:
    """A repository in a fresh bucket, looked into by another client."""
    bucket = s3.bucket()

    def keys(start: str) -> list[str]:
        return [item["Key"] for item in s3.client.list_objects_v2(Bucket=bucket, Prefix=start).get("Contents", [])]

    def policy(name: str) -> tuple[int, ...]:
        key = f"repo/models/{name}/config.pbtxt"
        if key not in keys(key):
            raise FileNotFoundError(key)
        return named(s3.client.get_object(Bucket=bucket, Key=key)["Body"].read(), name)

    def versions(name: str) -> set[int]:
        home = f"repo/models/{name}/"
        found = {key.removeprefix(home).split("/")[0] for key in keys(home)} - {"config.pbtxt"}
        return {int(version) for version in found}

    store = RemoteRepository(S3Space(S3Place(bucket, "repo/models")), by="tests", work=folder)
    return Shop(store, folder, policy, versions)


@pytest.fixture(params=["fake", "folder", "s3", *(["ssh"] if SSHD else [])])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "s3":
        return bucket_shop(request.getfixturevalue("s3"), tmp_path)
    if request.param == "fake":
        fake = FakeStore()
        return Shop(fake, tmp_path, fake.policy.__getitem__, lambda name: {v for n, v in fake.placed if n == name})
    root = tmp_path / "models"
    root.mkdir()

    def policy(name: str) -> tuple[int, ...]:
        return named((root / name / "config.pbtxt").read_bytes(), name)

    def versions(name: str) -> set[int]:
        return {int(p.name) for p in (root / name).glob("*/")} if (root / name).exists() else set()

    if request.param == "ssh":
        request.getfixturevalue("calypso")
        store = RemoteRepository(SshSpace(SshPlace("", "calypso", 0, str(root))), by="tests", work=tmp_path)
        return Shop(store, tmp_path, policy, versions)
    return Shop(ModelRepository(root, by="tests"), tmp_path, policy, versions)


def test_a_placed_version_is_there_and_has_its_samples(shop: Shop) -> None:
    stored, files = shop.bundle("m", 3)
    shop.store.place(stored, files)
    assert shop.versions("m") == {3}
    data, tolerance = shop.store.golden("m", 3)
    assert tolerance == TOLERANCE
    assert split(data).keys() == samples(2).keys()


def test_what_is_fetched_into_staging_can_be_placed_and_staging_goes(shop: Shop) -> None:
    stored = shop.bundle("m", 1)[0]
    with shop.store.staging(stored) as folder:
        assert list(Path(folder).iterdir()) == []
        shop.store.place(*fetched(Path(folder), "m", 1, contents("m", 1)))
    assert not Path(folder).exists()
    assert shop.versions("m") == {1}
    assert shop.store.golden("m", 1)


def test_what_lies_on_this_machine_is_handed_out_whole_and_verified(shop: Shop) -> None:
    stored, files = shop.bundle("m", 1)
    shop.store.place(stored, files)
    shop.store.serve("m", (1,))  # which changes the config.pbtxt that Triton reads
    if isinstance(shop.store, RemoteRepository):
        with pytest.raises(InputError, match="not on this machine"):
            shop.store.kept("m", 1)
        return
    manifest, passport, there = shop.store.kept("m", 1)
    assert manifest == stored.manifest
    assert {path: sha256(Path(at).read_bytes()) for path, at in there.items()} == {
        path: blob.digest for path, blob in stored.files.items()
    }
    assert passport == Path(there["m/1/promote/passport.json"]).read_bytes()
    with pytest.raises(NotFound):
        shop.store.kept("m", 2)
    if isinstance(shop.store, ModelRepository):
        Path(there["m/1/model.onnx"]).chmod(0o644)
        Path(there["m/1/model.onnx"]).write_bytes(b"x" * stored.files["m/1/model.onnx"].size)
        with pytest.raises(IntegrityError, match=r"m/1/model\.onnx"):
            shop.store.kept("m", 1)


def test_staging_goes_when_the_block_fails(shop: Shop) -> None:
    with pytest.raises(ZeroDivisionError), shop.store.staging(shop.bundle("m", 1)[0]) as folder:
        raise ZeroDivisionError
    assert not Path(folder).exists()


def test_placing_twice_is_placing_once(shop: Shop) -> None:
    made = shop.bundle("m", 1)
    for _ in range(2):
        shop.store.place(*made)
    assert shop.versions("m") == {1}


def test_a_version_number_stands_for_one_bundle(shop: Shop) -> None:
    shop.store.place(*shop.bundle("m", 1, 2.0))
    with pytest.raises(IntegrityError, match="version 1 of m"):
        shop.store.place(*shop.bundle("m", 1, 3.0))
    data, _ = shop.store.golden("m", 1)
    assert split(data)["typical"][1]["y"][0, 1] == 2.0


def test_other_bytes_than_the_manifest_says_are_refused(shop: Shop) -> None:
    made = shop.bundle("m", 1)
    with pytest.raises(IntegrityError, match=r"m/1/model\.onnx"):
        shop.store.place(*lying(made, "m/1/model.onnx", sha256(b"other")))
    longer = shop.bundle("n", 1)
    with Path(longer[1]["n/1/model.onnx"]).open("ab") as file:
        file.write(b"more")
    with pytest.raises(IntegrityError, match=r"n/1/model\.onnx"):
        shop.store.place(*longer)
    assert shop.versions("m") == shop.versions("n") == set()


def test_a_manifest_of_another_digest_is_refused(shop: Shop) -> None:
    stored, files = shop.bundle("m", 1)
    with pytest.raises(IntegrityError):
        shop.store.place(replace(stored, manifest=b"{}"), files)


def test_a_file_that_was_not_fetched_is_refused(shop: Shop) -> None:
    stored, files = shop.bundle("m", 1)
    with pytest.raises(IntegrityError):
        shop.store.place(stored, {path: at for path, at in files.items() if not path.endswith("model.onnx")})
    with pytest.raises(IntegrityError):
        shop.store.place(stored, files | {"m/1/more": files["m/1/model.onnx"]})
    assert shop.versions("m") == set()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("m/1/libtriton_onnxruntime.so", b""),
        ("m/1/batchstrategy.so", b""),
        ("m/1/model.py", b"import os"),
        ("m/1/x.so.1", b""),
        ("m/1/weights.bin", b"\x7fELF\x02\x01"),
        ("m/2/model.onnx", b""),
        ("m/evil.pbtxt", b""),
        ("other/1/model.onnx", b""),
        ("m/1/../../x", b""),
        ("m/1/MODEL.onnx", b""),
    ],
)
def test_what_may_not_be_in_a_bundle_is_refused_whole(shop: Shop, path: str, data: bytes) -> None:
    made = fetched(shop.folder / "b", "m", 1, contents("m", 1) | {path: data})
    with pytest.raises(IntegrityError):
        shop.store.place(*made)
    assert shop.versions("m") == set()


@pytest.mark.parametrize(
    "line", [b'backend: "python"', b'op_library_filename: "x"', b"rubbish {", b'name: "n"', b"\xff"]
)
def test_a_config_that_could_run_code_is_refused(shop: Shop, line: bytes) -> None:
    files = contents("m", 1)
    files["m/config.pbtxt"] += line
    with pytest.raises(IntegrityError, match=r"m/config\.pbtxt"):
        shop.store.place(*fetched(shop.folder / "b", "m", 1, files))
    assert shop.versions("m") == set()


def test_serve_names_the_versions_in_order(shop: Shop) -> None:
    for version in (1, 2, 10):
        shop.store.place(*shop.bundle("m", version))
    shop.store.serve("m", (1,))
    assert shop.policy("m") == (1,)
    shop.store.serve("m", (10, 2))
    assert shop.policy("m") == (2, 10)
    shop.store.serve("m", (2, 2))
    assert shop.policy("m") == (2,)


def test_what_is_not_placed_cannot_be_served_or_replayed(shop: Shop) -> None:
    with pytest.raises(NotFound, match="version 1 of m"):
        shop.store.serve("m", (1,))
    shop.store.place(*shop.bundle("m", 1))
    shop.store.serve("m", (1,))
    for versions in ((2,), (1, 2), (2, 1)):
        with pytest.raises(NotFound, match="version 2 of m"):
            shop.store.serve("m", versions)
    with pytest.raises(NotFound):
        shop.store.golden("m", 2)
    assert shop.policy("m") == (1,)


def test_a_bundle_without_samples_has_no_golden_ones(shop: Shop) -> None:
    files = contents("m", 1)
    del files["m/1/promote/golden.safetensors"]
    shop.store.place(*fetched(shop.folder / "b", "m", 1, files))
    with pytest.raises(NotFound, match="golden"):
        shop.store.golden("m", 1)


def test_the_record_tells_what_is_live_and_what_was(shop: Shop) -> None:
    assert shop.store.current("m") is None
    assert shop.store.history("m") == ()
    assert shop.store.models() == ()
    one = shop.live(shop.bundle("m", 1))
    other = shop.live(shop.bundle("a", 7))
    two = shop.live(shop.bundle("m", 2))
    back = shop.live(shop.bundle("m", 1), since="2026-11-23T11:00:00Z")
    assert shop.store.current("m") == back
    assert shop.store.history("m") == (replace(one, state="kept"), replace(two, state="kept"), back)
    assert shop.store.current("a") == other
    assert shop.store.models() == ("a", "m")


def test_what_is_live_already_is_not_recorded_again(shop: Shop) -> None:
    made = shop.bundle("m", 1)
    first = shop.live(made)
    shop.live(made, since="2026-11-23T12:00:00Z")
    assert shop.store.history("m") == (first,)


def test_a_version_that_served_stands_for_its_bundle_even_when_its_folder_is_gone(shop: Shop) -> None:
    shop.live(shop.bundle("m", 1, 2.0))
    with pytest.raises(IntegrityError, match="version 1 of m"):
        shop.store.place(*shop.bundle("m", 1, 3.0))


def test_withdraw_removes_what_never_served(shop: Shop) -> None:
    shop.store.place(*shop.bundle("m", 1))
    shop.live(shop.bundle("m", 1))
    shop.store.place(*shop.bundle("m", 2, 3.0))
    for _ in range(2):
        shop.store.withdraw("m", 2)
        assert shop.versions("m") == {1}
    with pytest.raises(NotFound):
        shop.store.serve("m", (2,))
    shop.store.place(*shop.bundle("m", 2, 4.0))
    assert shop.versions("m") == {1, 2}


def test_withdraw_keeps_what_served(shop: Shop) -> None:
    made = shop.bundle("m", 1)
    shop.store.place(*made)
    shop.live(made)
    with pytest.raises(InputError, match="rollback"):
        shop.store.withdraw("m", 1)
    assert shop.versions("m") == {1}


def test_the_last_version_withdrawn_takes_the_model_with_it(shop: Shop) -> None:
    shop.store.place(*shop.bundle("m", 1))
    shop.store.serve("m", (1,))
    shop.store.withdraw("m", 1)
    assert shop.versions("m") == set()
    with pytest.raises((KeyError, FileNotFoundError)):
        shop.policy("m")
    shop.store.place(*shop.bundle("m", 1, 3.0))
    assert shop.versions("m") == {1}


def test_prune_keeps_the_live_version_and_those_that_served_last(shop: Shop) -> None:
    made = [shop.bundle("m", version) for version in (1, 2, 3, 4, 5)]
    for one in made:
        shop.store.place(*one)
    for place in (0, 1, 2, 3, 1):  # version 5 was placed and never served, version 2 was rolled back to
        shop.live(made[place])
    assert shop.store.prune("m", 1) == (1, 3)
    assert shop.versions("m") == {2, 4, 5}
    assert shop.store.prune("m", 1) == ()
    assert [d.version for d in shop.store.history("m")] == [1, 2, 3, 4, 2]
    shop.store.place(*made[0])  # what was removed can be fetched again, as the bundle it was
    assert shop.store.prune("m", 3) == ()


def test_what_mlflow_was_not_told_is_kept_until_it_is(shop: Shop) -> None:
    assert shop.store.untold("m") == ()
    first, second = shop.bundle("m", 1), shop.bundle("m", 2)
    for one in (first, second):
        shop.store.place(*one)
        shop.live(one)
    assert [d.version for d in shop.store.untold("m")] == [1, 2]
    shop.store.told("m")
    assert shop.store.untold("m") == ()
    shop.live(first, since="2026-11-23T12:00:00Z")
    assert [(d.version, d.state) for d in shop.store.untold("m")] == [(1, "live")]


def test_one_deployment_of_a_model_at_a_time(shop: Shop) -> None:
    with shop.store.lock("m"):
        with pytest.raises(Unavailable, match="m is being deployed by"), shop.store.lock("m"):
            pass
        with shop.store.lock("other"):
            pass
    with shop.store.lock("m"):
        pass
    with pytest.raises(ZeroDivisionError), shop.store.lock("m"):
        raise ZeroDivisionError
    with shop.store.lock("m"):
        pass


@pytest.mark.parametrize("name", ["../up", "a/b", "", "A", "a\nb", "staging/../x"])
def test_a_name_that_is_none_is_refused_everywhere(shop: Shop, name: str) -> None:
    def locked() -> None:
        with shop.store.lock(name):
            pass

    asks: list[Callable[[], object]] = [
        lambda: shop.store.current(name),
        lambda: shop.store.history(name),
        lambda: shop.store.serve(name, (1,)),
        lambda: shop.store.withdraw(name, 1),
        lambda: shop.store.golden(name, 1),
        locked,
    ]
    for ask in asks:
        with pytest.raises(InputError, match="model name"):
            ask()
    stored, files = shop.bundle("m", 1)
    with pytest.raises(PromoteError):
        shop.store.place(replace(stored, name=name), files)


def test_a_placed_version_is_inspected_and_one_that_is_not_there_says_so(shop: Shop) -> None:
    stored, files = shop.bundle("m", 3)
    shop.store.place(stored, files)
    shop.store.serve("m", (3,))
    seen = shop.store.inspect("m", 3)
    assert (seen.files, seen.config) == ("", "")
    assert seen.checked == sum(blob.size for path, blob in stored.files.items() if path != "m/config.pbtxt")
    assert list(read_config(seen.placed, "m").version_policy.specific.versions) == [3]
    assert shop.store.inspect("m", 3, contents=False).checked == 0
    assert "version 4 of m is not in the model repository" in shop.store.inspect("m", 4).files
