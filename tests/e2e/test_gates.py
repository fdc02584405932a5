"""Every gate of a policy and every way an approval is void, by the commands typed; each with its twin that passes."""

from __future__ import annotations

import datetime
import json

import mlflow
import pytest

from promote.cli.main import run
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]
HOST = 'device = "cpu"\nonnxruntime = "installed"\nhttp = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"\nmodel_repository = "models"\n'
AT = ("gated:v1", "--target", "quay")
NEVER = 36500


class Site:
    """A folder with one release ``gated:v1`` for ``quay``, and what is typed in it, in this process."""

    def __init__(self, folder, uri, capsys, monkeypatch):
        self.folder, self.uri, self.capsys, self.patch = folder, uri, capsys, monkeypatch

    def write(self, triton="24.10"):
        text = f'[mlflow]\ntracking_uri = "{self.uri}"\n[targets.quay]\n{HOST}triton = "{triton}"\n'
        (self.folder / "promote.toml").write_text(text)

    def __call__(self, *words, code=0):
        self.capsys.readouterr()
        came = run(list(words))
        said = self.capsys.readouterr()
        assert came == code, f"{words}\n{said.out}\n{said.err}"
        return said

    def policy(self, **terms):
        told = json.dumps({"schema": "promote.policy/1", "targets": {"quay": terms}})
        (self.folder / "promotion_policy.yaml").write_text(told)

    def gates(self, code=12):
        told = json.loads(self("policy", "check", *AT, "--json", code=code).out)["gates"]
        return {gate["rule"]: gate["holds"] for gate in told if gate["rule"] != "approvals"}

    def approve(self, actor):
        self.patch.setenv("GITHUB_ACTIONS", "true")
        self.patch.setenv("GITHUB_ACTOR", actor)
        said = self("review", "approve", *AT, "--reason", "looked")
        self.patch.delenv("GITHUB_ACTIONS")
        self.patch.delenv("GITHUB_ACTOR")
        return said.err


@pytest.fixture(scope="module")
def made(tmp_path_factory, sqlite_uri):
    folder, logged = tmp_path_factory.mktemp("gates"), log_run(sqlite_uri, {"ner": "onnx"})
    client = mlflow.MlflowClient(sqlite_uri)
    client.set_tag(logged, "license", "apache-2.0")
    client.log_metric(logged, "test_f1", 0.9)
    return folder, logged


@pytest.fixture
def site(made, sqlite_uri, capsys, monkeypatch):
    folder, logged = made
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = Site(folder, sqlite_uri, capsys, monkeypatch)
    here.write()
    (folder / "promotion_policy.yaml").unlink(missing_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    if not (folder / "bundles").exists():
        here("model", logged, "--target", "quay", "--name", "gated", "--quiet")
    return here


def around(now, before, after):
    """A window about now, in UTC."""
    start, end = (now + datetime.timedelta(hours=hours) for hours in (before, after))
    return {
        "start": start.isoformat(timespec="seconds"),
        "end": end.isoformat(timespec="seconds"),
        "reason": "holidays",
    }


def test_each_gate_of_the_file_stops_the_release_and_its_twin_lets_it_through(site):
    now = datetime.datetime.now(datetime.UTC)
    site.approve("eve")
    for rule, stops, passes in (
        ("metrics.test_f1 min", {"metrics": {"test_f1": {"min": 0.91}}}, {"metrics": {"test_f1": {"min": 0.9}}}),
        ("parity max_absolute", None, {"parity": {"max_absolute": 1.0}}),  # what is logged as ONNX differs by nothing
        ("licences", {"licences": ["mit"]}, {"licences": ["mit", "Apache-2.0"]}),
        ("evidence verdict", {"evidence": ["verdict"]}, None),
        ("evidence review", None, {"evidence": ["review"]}),
        ("max_age_days probe", {"max_age_days": {"probe": NEVER}}, None),  # it was never probed
        ("max_age_days matrix", None, {"max_age_days": {"matrix": NEVER}}),
        ("freeze", {"freeze": [around(now, -1, 1)]}, {"freeze": [around(now, 1, 2)]}),
    ):
        for terms, holds in ((stops, False), (passes, True)):
            if terms is None:
                continue
            site.policy(**terms)
            assert site.gates(code=0 if holds else 12) == {rule: holds}
            said = site("deploy", *AT, code=5 if holds else 12).err  # what passes goes on to a Triton that is not there
            assert ("127.0.0.1:9" in said) if holds else (f"{rule}: " in said)


def test_a_matrix_and_a_probe_grow_old(site, monkeypatch):
    site.approve("eve")
    site.policy(max_age_days={"matrix": 30})
    assert site.gates(code=0) == {"max_age_days matrix": True}
    _later(monkeypatch, "promote.pipeline.gating", days=400)
    assert site.gates() == {"max_age_days matrix": False}


def test_so_many_people_and_none_their_own_and_an_approval_ends(site, monkeypatch):
    site.policy(approvals=2)
    site.approve("bob")
    site("review", "reject", *AT, "--reason", "not yet")
    assert "rejected" in site("deploy", *AT, code=14).err
    site("review", "approve", *AT, "--reason", "now it is")  # the same person takes the no back
    site.approve("eve")
    assert site("policy", "check", *AT).out
    site.policy(approvals=20)
    assert "of 20 approvals" in site("deploy", *AT, code=13).err
    site.policy(self_approval=False, identity="proven")
    assert "127.0.0.1:9" in site("deploy", *AT, code=5).err  # bob and eve are proven, and neither made it
    site.policy(approval_days=1)
    assert "127.0.0.1:9" in site("deploy", *AT, code=5).err
    _later(monkeypatch, "promote.pipeline.reviewing", days=2)
    assert "it expired" in site("deploy", *AT, code=13).err


def test_an_approval_is_void_on_another_target_and_counts_again_on_the_first(site):
    site.approve("eve")
    assert "127.0.0.1:9" in site("deploy", *AT, code=5).err
    site.write(triton="24.12")
    assert "the target has changed since (triton 24.10, now 24.12)" in site("deploy", *AT, code=13).err
    site.write()
    assert "127.0.0.1:9" in site("deploy", *AT, code=5).err


def _later(monkeypatch, module, days):
    """That module's clock is so many days ahead."""

    class Ahead(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + datetime.timedelta(days=days)

    monkeypatch.setattr(f"{module}.datetime", Ahead)
