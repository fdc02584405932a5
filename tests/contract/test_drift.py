"""Drift on a real Triton and a real folder: each kind is made, told with its remedy, ended by that remedy, and told no more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_server import TritonServer
from promote.cli.options import split_reference
from promote.core.review import APPROVED, REJECTED, Review
from promote.core.stages import Deployment
from promote.errors import PromoteError, Unavailable
from promote.pipeline import Serving, Status, deploy, rollback, status
from tests.fakes.world import DESK, Bench, bench_of
from tests.parts.triton import Served, new_name

pytestmark = pytest.mark.triton


@dataclass
class Site:
    """A real server and folder, a model with two versions of which the second is live."""

    bench: Bench
    served: Served
    name: str

    @property
    def home(self) -> Path:
        return self.served.repository / self.name

    def deploy(self, version: int) -> None:
        assert isinstance(deploy(self.name, f"v{version}", DESK, "ada@desk", self.bench), Deployment)

    def status(self, target=DESK, *, contents: bool = True) -> Status:
        return status(target, self.bench, contents=contents)

    def row(self, target=DESK, *, contents: bool = True) -> Serving:
        return next(row for row in self.status(target, contents=contents).models if row.name == self.name)

    def kinds(self) -> list[str]:
        return [drift.kind for drift in self.row().drift]

    def obey(self) -> None:
        """Types the last remedy."""
        words = self.row().drift[-1].remedy.split("promote deploy ")[1].split()
        assert words[1:] == ["--target", DESK.name]
        name, reference = split_reference(words[0])
        assert isinstance(deploy(name, reference, DESK, "ada@desk", self.bench), Deployment)


@pytest.fixture(scope="module")
def damaged(fresh_triton: Callable[..., Served]) -> Served:
    """A server of these tests' own: what they leave is drift to everybody else."""
    return fresh_triton()


@pytest.fixture
def site(damaged: Served) -> Site:
    name = new_name("drift")
    server = TritonServer(damaged.triton.http, damaged.triton.grpc)
    store = ModelRepository(damaged.repository, by="tests")
    bench = bench_of(store, server, name)
    site = Site(bench, damaged, name)
    for version, weight in ((1, 2.0), (2, 3.0)):
        bench.promote(weight, name=name)
        site.deploy(version)
    return site


def test_what_answers_as_deployed_is_no_drift(site: Site) -> None:
    row = site.row()
    assert row.drift == ()
    assert row.ready
    assert (row.deployed.version, row.desired.version, row.versions[2]) == (2, 2, "READY")
    assert row.statistics["requests"] == 5  # the warm-up and the golden replays
    assert row.statistics["failures"] == 0
    assert row.statistics["mean_ms"] > 0
    assert row.checked == sum(p.stat().st_size for p in (site.home / "2").rglob("*") if p.is_file())
    assert site.status().unknown == ""


def by_hand(site: Site, versions: str) -> None:
    """Somebody edits the policy and loads."""
    config = site.home / "config.pbtxt"
    config.write_bytes(config.read_bytes().replace(b"    versions: 2\n", versions.encode()))
    site.bench.server.load(site.name)


def other_version(site: Site) -> None:
    by_hand(site, "    versions: 1\n")


def beside(site: Site) -> None:
    by_hand(site, "    versions: 1\n    versions: 2\n")


def unknown_version(site: Site) -> None:
    shutil.copytree(site.home / "1", site.home / "7")
    by_hand(site, "    versions: 2\n    versions: 7\n")


def unloaded(site: Site) -> None:
    site.bench.server.unload(site.name)
    for _ in range(200):
        if not site.bench.server.ready(site.name, 2):
            return
    pytest.fail("not unloaded")


def config_edited(site: Site) -> None:
    config = site.home / "config.pbtxt"
    config.write_bytes(config.read_bytes() + b"# tuned\n")


def config_removed(site: Site) -> None:
    (site.home / "config.pbtxt").unlink()


def config_loaded(site: Site) -> None:
    """Loaded with another configuration, and the file put back."""
    config = site.home / "config.pbtxt"
    good = config.read_bytes()
    config.write_bytes(good.replace(b"count: 1", b"count: 2"))
    site.bench.server.load(site.name)
    site.bench.server.await_ready(site.name, 2, 30)
    config.write_bytes(good)


INJECTED = [
    (other_version, ["not-ready", "other-version", "config-file"]),
    (beside, ["other-version"]),
    (unknown_version, ["unknown-version"]),
    (unloaded, ["not-ready"]),
    (config_edited, ["config-file"]),
    (config_removed, ["config-file"]),
    (config_loaded, ["config-served"]),
]


@pytest.mark.parametrize(("inject", "kinds"), INJECTED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_drift_is_told_with_a_remedy_that_ends_it(
    site: Site, inject: Callable[[Site], None], kinds: list[str]
) -> None:
    inject(site)
    assert site.kinds() == kinds
    site.obey()
    assert site.kinds() == []
    assert site.row().ready


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: flipped(v / "model.onnx"), "model.onnx has digest"),
        (lambda v: (v / "model.onnx").write_bytes(b"short"), "model.onnx has 5 bytes"),
        (lambda v: (v / "more.txt").write_bytes(b"x"), "more.txt was added"),
        (lambda v: (v / "promote/passport.json").unlink(), "passport.json is missing"),
        (shutil.rmtree, "is not in the model repository"),
    ],
    ids=["flipped", "short", "added", "removed", "gone"],
)
def test_a_changed_file_is_told_and_moving_it_away_and_deploying_again_ends_it(
    site: Site, tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    version = site.home / "2"
    change(version)
    (drift,) = site.row().drift
    assert drift.kind == "files"
    assert told in drift.has
    assert drift.remedy.startswith(f"move {site.name}/2 out of the model repository, then promote deploy")
    if version.exists():
        version.rename(tmp_path / "aside")
    site.obey()
    assert site.kinds() == []


def test_without_contents_a_change_of_the_same_size_is_not_seen_and_with_them_it_is(site: Site) -> None:
    model = site.home / "2/model.onnx"
    flipped(model)
    assert site.row(contents=False).drift == ()
    assert site.row(contents=False).checked == 0
    assert site.kinds() == ["files"]
    model.write_bytes(b"short")
    assert [d.kind for d in site.row(contents=False).drift] == ["files"]


def test_a_file_is_read_once_until_it_is_touched_even_with_its_times_put_back(site: Site) -> None:
    import time

    time.sleep(1.1)  # a file that was just written is not remembered
    assert site.row().checked > 0
    assert site.row().checked == 0
    model = site.home / "2/model.onnx"
    before = model.stat()
    flipped(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (model.stat().st_mtime_ns, model.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert site.kinds() == ["files"]


def test_what_is_desired_and_not_deployed_is_drift_until_it_is(site: Site) -> None:
    ledger = site.bench.ledger._part
    site.bench.promote(4.0, name=site.name)
    assert site.kinds() == []  # promoted is not desired
    ledger.aliases[site.name, DESK.name] = 3
    (drift,) = site.row().drift
    assert drift.kind == "not-deployed"
    assert drift.has == "version 3 is desired, version 2 is deployed"
    site.obey()
    assert site.kinds() == []
    assert site.row().deployed.version == 3


def test_a_desired_version_that_nobody_approved_is_for_a_reviewer_to_end(site: Site) -> None:
    ledger, guarded = site.bench.ledger._part, replace(DESK, review=True)
    site.bench.promote(4.0, name=site.name)
    ledger.aliases[site.name, DESK.name] = 3
    digest = ledger.versions_of[site.name][3].digest
    for review, word in (
        (Review(), "pending"),
        (Review(state=REJECTED, digest=digest, by="eve", reason="no"), "rejected"),
        (Review(state=APPROVED, digest="sha256:" + 64 * "0", by="eve", reason="of another"), "pending"),
    ):
        ledger.versions_of[site.name][3].reviews[DESK.name] = review
        (drift,) = site.row(guarded).drift
        assert drift.has.endswith(f"its review is {word}")
        assert drift.remedy == f"promote review show {site.name}:v3 --target desk"
    ledger.decide(site.name, 3, DESK.name, Review(state=APPROVED, digest=digest, by="ada", reason="yes"))
    assert site.row(guarded).drift[0].remedy == f"promote deploy {site.name}:v3 --target desk"


def test_a_rollback_is_desired_once_it_is_noted(site: Site) -> None:
    rollback(site.name, DESK, "ada@desk", site.bench)
    assert site.kinds() == []
    assert site.row().desired.version == 1


def test_an_mlflow_that_does_not_answer_is_said_and_all_else_is_told(site: Site) -> None:
    def down(target: str) -> None:
        raise Unavailable("tracking server does not answer")

    site.bench.ledger._part.desired = down
    told = site.status()
    assert told.unknown == "tracking server does not answer"
    assert site.row().drift == ()
    config_edited(site)
    assert site.kinds() == ["config-file"]


def test_a_model_that_promote_never_deployed_is_named_and_not_judged(site: Site) -> None:
    hand = new_name("hand")
    shutil.copytree(site.home, site.served.repository / hand, ignore=shutil.ignore_patterns("1", "promote"))
    config = site.served.repository / hand / "config.pbtxt"
    config.write_bytes(config.read_bytes().replace(site.name.encode(), hand.encode()))
    site.bench.server.load(hand)
    assert hand in site.status().others
    assert hand not in [row.name for row in site.status().models]
    site.bench.server.unload(hand)
    shutil.rmtree(site.served.repository / hand)


def test_a_server_that_was_started_anew_is_drift_until_the_record_is_deployed_again(
    fresh_triton: Callable[..., Served],
) -> None:
    served = fresh_triton()
    from examples.local_triton.launch import start

    name = new_name()
    server = TritonServer(served.triton.http, served.triton.grpc)
    bench = bench_of(ModelRepository(served.repository, by="t"), server, name)
    site = Site(bench, served, name)
    bench.promote(2.0, name=name)
    site.deploy(1)
    served.triton.stop()
    with pytest.raises(PromoteError) as caught:
        site.status()
    assert caught.value.exit_code == 5
    ports = served.triton.ports
    carrier = Path(os.environ["PROMOTE_TRITON_CARRIER"])
    with start(
        served.repository, carrier=carrier, work=served.repository.parent / "again", http_port=ports.http, grpc_port=ports.grpc
    ):  # fmt: skip
        assert site.kinds() == ["not-ready"]
        site.obey()
        assert site.kinds() == []
