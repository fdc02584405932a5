"""Approvals that a policy wants signed, as typed: what is forged, moved or nobody's does not serve, and its twin does."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import mlflow
import pytest

from promote.adapters.oci.registry import open_registry
from promote.core.chain import EVENTS_TYPE, annotations_of, chain_of, content_of, follow, read_referrers
from promote.core.events import Kind
from tests.e2e.project import Project
from tests.fakes.factory import log_run
from tests.parts.triton import new_name

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.triton, pytest.mark.slow]
HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'
AT = ("--target", "careful")


@pytest.fixture(scope="module")
def site(tmp_path_factory, sqlite_uri, triton):
    """A project whose targets ``careful`` and ``other`` are one Triton; both want what ada or bob signed."""
    made = Project(tmp_path_factory.mktemp("signed"), sqlite_uri)
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    made.write(careful=HERE + where, other=HERE + where)
    for name in ("ada", "bob", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made.folder / name], check=True)
    signers(made, "ada", "bob")
    policy = "schema: promote.policy/1\ntargets:\n" + "".join(
        f"  {target}:\n    signers: allowed_signers\n    approvals: {many}\n"
        for target, many in (("careful", 1), ("other", 2))
    )
    (made.folder / "promotion_policy.yaml").write_text(policy)
    return made


def signers(site, *names):
    keys = {name: " ".join((site.folder / f"{name}.pub").read_text().split()[:2]) for name in names}
    (site.folder / "allowed_signers").write_text("".join(f"{n}@example.com {key}\n" for n, key in keys.items()))


@pytest.fixture
def name(site):
    made = new_name("signed")
    site("model", log_run(site.uri, {"ner": "onnx"}), *AT, "--name", made, "--quiet")
    return made


def approve(site, reference, *more, target="careful", verb="approve"):
    return site("review", verb, reference, "--target", target, "--reason", "looked at the errors", *more)


def approvals(site, name):
    """The registry, its version 1, and the lines of approvals that lie with it."""
    registry = open_registry(f"oci:{site.folder}/bundles", {})
    stored = registry.find(name, "v1")
    told = read_referrers(registry.referrers(stored, EVENTS_TYPE), stored)
    return registry, stored, [line for line in told.lines if line.event.kind is Kind.APPROVED], told.lines


def attach(registry, stored, lines, event):
    """An event that somebody with the right to write to the registry puts at the end of a chain."""
    (line,) = follow(chain_of(lines, (stored.name, stored.version, stored.digest)), [event], event.noted)
    registry.attach(stored, EVENTS_TYPE, content_of([line]), annotations_of([line]))


def test_an_approval_serves_where_somebody_signed_it_whom_the_policy_names(site, name):
    bare = approve(site, f"{name}:v1")
    assert "pending: " in bare.err
    assert "it is not signed, and the policy wants that (--sign KEY)" in bare.err
    assert "it is not signed" in site("deploy", f"{name}:v1", *AT, code=13).err
    nobody = approve(site, f"{name}:v1", "--sign", "eve")
    assert "allowed_signers lets nobody sign with its ED25519 key SHA256:" in nobody.err
    site("deploy", f"{name}:v1", *AT, code=13)
    said = approve(site, f"{name}:v1", "--sign", "ada")
    assert "next: promote deploy" in said.err
    shown = site("review", "show", f"{name}:v1", *AT, "--json").json
    assert shown["state"] == "approved"
    assert [word["signer"] for word in shown["decisions"]] == ["", "", "ada@example.com"]
    assert "signed by ada@example.com" in site("review", "show", f"{name}:v1", *AT).err
    client = mlflow.MlflowClient(site.uri, registry_uri=site.uri)
    mirrored = [
        json.loads(v) for k, v in client.get_model_version(name, "1").tags.items() if k.startswith("promote.event.")
    ]
    assert [bool(e["more"].get("signature")) for e in mirrored if e["kind"] == "approved"].count(True) == 2
    # who leaves the file signs nothing any more, at the moment somebody deploys
    signers(site, "bob")
    try:
        assert "its signature shows nobody" in site("deploy", f"{name}:v1", *AT, code=13).err
    finally:
        signers(site, "ada", "bob")
    assert site("deploy", f"{name}:v1", *AT).last == said.last


def test_a_signature_that_was_forged_altered_or_moved_serves_nobody(site, name):
    other = new_name("signed")
    site("model", log_run(site.uri, {"ner": "onnx"}), *AT, "--name", other, "--quiet")
    approve(site, f"{other}:v1", "--sign", "ada")
    _, _, (genuine,), _ = approvals(site, other)
    registry, stored, _, lines = approvals(site, name)
    about = {"model": name, "bundle": stored.digest}
    signature = genuine.event.more["signature"]
    for what, changed in (
        ("replayed for another digest", {}),
        ("altered", {"reason": "never said"}),
        ("forged", {"more": {**genuine.event.more, "signature": signature[:-8] + "AAAAAAAA"}}),
    ):
        attach(registry, stored, lines, replace(genuine.event, **about, **changed))
        refused = site("deploy", f"{name}:v1", *AT, code=13).err
        assert "it is not of this decision: forged, or made of another digest, target or words" in refused, what
        registry, stored, _, lines = approvals(site, name)
    # for another target, of the very bundle
    approve(site, f"{name}:v1", "--sign", "ada")
    registry, stored, told, lines = approvals(site, name)
    attach(registry, stored, lines, replace(told[-1].event, target="other"))
    assert (
        "its signature shows nobody: it is not of this decision"
        in site("deploy", f"{name}:v1", "--target", "other", code=13).err
    )
    site("deploy", f"{name}:v1", *AT)


def test_two_signers_are_two_people_and_a_no_of_one_is_not_taken_back_by_an_unsigned_yes(site, name):
    two = ("--target", "other")
    site("model", f"{name}:v1", *two)
    approve(site, f"{name}:v1", "--sign", "ada", target="other")
    approve(site, f"{name}:v1", "--sign", "ada", target="other")
    assert "has 1 of 2 approvals" in site("deploy", f"{name}:v1", *two, code=13).err
    approve(site, f"{name}:v1", "--sign", "bob", target="other")
    assert site("policy", "check", f"{name}:v1", *two).code == 0
    approve(site, f"{name}:v1", "--sign", "bob", target="other", verb="reject")
    approve(site, f"{name}:v1", target="other")
    assert "rejected" in site("deploy", f"{name}:v1", *two, code=14).err


def test_the_agent_follows_an_alias_only_to_what_was_signed(site, name):
    client = mlflow.MlflowClient(site.uri, registry_uri=site.uri)
    approve(site, f"{name}:v1")
    client.set_registered_model_alias(name, "careful", "1")
    refused = site("sync", *AT, "--once", code=13)
    assert "it is not signed" in refused.err + refused.out
    approve(site, f"{name}:v1", "--sign", "ada")
    site("sync", *AT, "--once")
    rows = site("status", *AT, "--json", code=None).json["models"]
    assert next(row for row in rows if row["name"] == name)["ready"] is True


def test_a_signed_approval_survives_in_mlflow_and_comes_back_with_its_force(site, name):
    approve(site, f"{name}:v1", "--sign", "ada")
    _, stored, _, _ = approvals(site, name)
    folder = site.folder / "bundles" / name
    index = json.loads((folder / "index.json").read_text())
    index["manifests"] = [m for m in index["manifests"] if m["digest"] == stored.digest]
    (folder / "index.json").write_text(json.dumps(index))
    assert approvals(site, name)[2] == []
    assert "nobody approved it" in site("deploy", f"{name}:v1", *AT, code=13).err
    site("fsck", name, "--repair", code=None)
    site("deploy", f"{name}:v1", *AT)


def test_what_cannot_sign_or_be_read_is_told_and_nothing_is_written(site, name):
    before = approvals(site, name)[3]
    gone = site("review", "approve", f"{name}:v1", *AT, "--reason", "x", "--sign", "none", code=3)
    assert "no key" in gone.err
    (site.folder / "text").write_text("no key")
    assert (
        "signs nothing" in site("review", "approve", f"{name}:v1", *AT, "--reason", "x", "--sign", "text", code=4).err
    )
    assert approvals(site, name)[3] == before
    approve(site, f"{name}:v1", "--sign", "ada")
    (site.folder / "allowed_signers").rename(site.folder / "kept")
    try:
        assert "no file of signers" in site("deploy", f"{name}:v1", *AT, code=2).err
    finally:
        (site.folder / "kept").rename(site.folder / "allowed_signers")
